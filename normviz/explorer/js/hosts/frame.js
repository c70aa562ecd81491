// A page in a frame: transparent until it has drawn; then the page around it may set its theme and its height.

/**
 * Show the page once it has drawn, and send that and the height to the page around it. That page may answer with its
 * theme, which a sandboxed frame cannot read by itself.
 */
export function inFrame(drawn) {
  const root = document.documentElement;
  const main = document.querySelector("main");
  const framed = parent !== window;
  let theme = root.dataset.theme ?? "light dark";
  let shown = false;
  let fitted = false;
  // The explorer observes the style of the root and determines its theme again.
  const paint = () => {
    if (shown) root.style.colorScheme = theme;
  };
  const send = (message) => {
    if (framed) parent.postMessage({ normviz: message }, "*");
  };
  // A page fills its frame and reports its height only if the frame is too low, unless the frame shall fit the page.
  const measure = () => {
    if (!shown) return;
    if (fitted) send({ height: Math.ceil(main.getBoundingClientRect().height) });
    else if (root.scrollHeight > innerHeight + 1) send({ height: root.scrollHeight });
  };
  const reveal = () => {
    if (shown || !drawn()) return;
    shown = true;
    watch.disconnect();
    root.dataset.drawn = "";
    paint();
    send("ready");
    new ResizeObserver(measure).observe(main);
  };
  const watch = new MutationObserver(reveal);
  watch.observe(root, { subtree: true, attributes: true, attributeFilter: ["data-ready"] });
  addEventListener("message", ({ data, source }) => {
    const message = framed && source === parent ? data?.normviz : null;
    if (!message) return;
    if (message.theme === "dark" || message.theme === "light") theme = root.dataset.theme = message.theme;
    if (message.fit === true) {
      fitted = true;
      root.dataset.fitted = "";
    }
    paint();
    measure(); // a page that starts to listen only now has missed the height
  });
  reveal();
}
