// A page in a frame: transparent until it has drawn, then as dark, as light and as high as the page around it lets it be.

/**
 * Show the page once it has drawn. A page around it that listens is told that, and how high this one is; one that
 * answers says its theme, which no sandboxed frame can see by itself.
 */
function inFrame(drawn) {
  const root = document.documentElement, main = document.querySelector("main"), framed = parent !== window;
  let theme = "light dark", shown = false, fitted = false;
  // The explorer listens to the style of the root, and looks again for its theme.
  const paint = () => { if (shown) root.style.colorScheme = theme; };
  const say = (what) => { if (framed) parent.postMessage({ normviz: what }, "*"); };
  // A page fills the room that it has, and tells only if that is too little; unless the frame is to fit the page.
  const measure = () => {
    if (!shown) return;
    if (fitted) say({ height: Math.ceil(main.getBoundingClientRect().height) });
    else if (root.scrollHeight > innerHeight + 1) say({ height: root.scrollHeight });
  };
  const reveal = () => {
    if (shown || !drawn()) return;
    shown = true;
    watch.disconnect();
    root.dataset.drawn = "";
    paint();
    say("ready");
    new ResizeObserver(measure).observe(main);
  };
  const watch = new MutationObserver(reveal);
  watch.observe(root, { subtree: true, attributes: true, attributeFilter: ["data-ready"] });
  addEventListener("message", ({ data, source }) => {
    const said = framed && source === parent ? data?.normviz : null;
    if (!said) return;
    if (said.theme === "dark" || said.theme === "light") theme = root.dataset.theme = said.theme;
    if (said.fit === true) {
      fitted = true;
      root.dataset.fitted = "";
    }
    paint();
    measure(); // a page that listens only now has missed how high this one is
  });
  reveal();
}
