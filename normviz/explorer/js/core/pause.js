// Long work on the main thread, which lets other work come in between.

/** The error of what is no longer wanted. */
export const abandoned = () => new DOMException("abandoned", "AbortError");

/**
 * Lets other work come in between, but not more often than every few milliseconds; says how much is done (0 to 1), and
 * throws where the work is no longer wanted.
 */
export function createPause(isWanted = () => true, report = (_share) => {}) {
  let last = -Infinity;
  return async (share) => {
    if (performance.now() - last < 8) return;
    report(share);
    await new Promise((/** @type {(value?: any) => void} */ resolve) => {
      const { port1, port2 } = new MessageChannel(); // a timer would wait
      port1.onmessage = () => {
        port1.close();
        resolve();
      };
      port2.postMessage(null);
    });
    last = performance.now();
    if (!isWanted()) throw abandoned();
  };
}
