// The widget's model. On a static page it may have no kernel and no listeners.

/** Do what needs them; without them the page goes on by itself. @param {() => void} f */
export function quietly(f) {
  try {
    f();
  } catch {
    /* nobody listens */
  }
}

/** Listen to the model until the signal ends it. @param {AbortSignal} signal */
export function listen(model, name, listener, signal) {
  quietly(() => model.on?.(name, listener));
  signal.addEventListener("abort", () => quietly(() => model.off?.(name, listener)));
}
