// Counts what modules loaded from a blob (as anywidget loads the explorer's) have left running on the page:
// listeners on things that outlive the view, observers, timers and frames. Runs before anything else does.
(() => {
  const ours = () => /blob:/.test(new Error().stack);
  const live = { listeners: new Set(), observers: new Set(), timers: new Set(), frames: new Set() };
  const lasting = (target) =>
    target === window ||
    target === document ||
    target === document.documentElement ||
    target === document.body ||
    target instanceof MediaQueryList;
  const { addEventListener, removeEventListener } = EventTarget.prototype;
  EventTarget.prototype.addEventListener = function (type, listener, options) {
    const target = this ?? window;
    if (lasting(target) && ours()) live.listeners.add({ target, type, listener, signal: options?.signal });
    return addEventListener.call(target, type, listener, options);
  };
  EventTarget.prototype.removeEventListener = function (type, listener, options) {
    const target = this ?? window;
    for (const entry of live.listeners)
      if (entry.target === target && entry.type === type && entry.listener === listener) live.listeners.delete(entry);
    return removeEventListener.call(target, type, listener, options);
  };
  for (const name of ["MutationObserver", "ResizeObserver", "IntersectionObserver"]) {
    const Original = window[name];
    window[name] = class extends Original {
      observe(...args) {
        if (ours()) live.observers.add(this);
        return super.observe(...args);
      }
      disconnect() {
        live.observers.delete(this);
        return super.disconnect();
      }
    };
  }
  for (const [start, stop, repeats] of [
    ["setTimeout", "clearTimeout", false],
    ["setInterval", "clearInterval", true],
    ["requestAnimationFrame", "cancelAnimationFrame", false]
  ]) {
    const begin = window[start];
    const end = window[stop];
    const kept = start === "requestAnimationFrame" ? live.frames : live.timers;
    window[start] = (f, ...rest) => {
      if (!ours()) return begin.call(window, f, ...rest);
      const id = begin.call(
        window,
        (...args) => {
          if (!repeats) kept.delete(id);
          return f(...args);
        },
        ...rest
      );
      kept.add(id);
      return id;
    };
    window[stop] = (id) => {
      kept.delete(id);
      return end.call(window, id);
    };
  }
  window.leaks = () => ({
    listeners: [...live.listeners].filter(({ signal }) => !signal?.aborted).map(({ type }) => type),
    observers: live.observers.size,
    timers: live.timers.size,
    frames: live.frames.size
  });
})();
