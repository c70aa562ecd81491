// What takes the place of the widget's model on a page without a kernel.

/** A stand-in for anywidget's model, without a kernel. */
export function standIn(scene, state) {
  const values = { ...state, _scene: scene, part: null };
  const listeners = new Map();
  const listenersOf = (name) => listeners.get(name) ?? listeners.set(name, new Set()).get(name);
  const emit = (name, ...details) => {
    for (const listener of [...listenersOf(name)]) listener(...details);
  };
  return {
    get: (key) => values[key],
    set(key, value) {
      // A part, such as a tensor, is large, and never changed in place.
      if (key === "part" ? values[key] === value : JSON.stringify(values[key]) === JSON.stringify(value)) return;
      values[key] = value;
      emit(`change:${key}`, this, value);
    },
    on(name, listener) {
      listenersOf(name).add(listener);
    },
    off(name, listener) {
      listener ? listenersOf(name).delete(listener) : listeners.delete(name);
    },
    save_changes() {
      emit("saved");
    },
    /** Take the values of a link all together. */
    follow(link) {
      Object.assign(values, link);
      emit("change:link");
    },
    send() {}
  };
}
