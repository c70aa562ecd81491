// A page in a frame: transparent until it has drawn, then as dark, as light and as high as the page around it lets it be.

/**
 * Show the page once it has drawn. A page around it that listens is told that, and how high this one is; one that
 * answers says its theme, which no sandboxed frame can see by itself.
 */
function inFrame(drawn) {
  const root = document.documentElement, framed = parent !== window;
  let theme = "light dark", shown = false;
  // The explorer listens to the style of the root, and looks again for its theme.
  const paint = () => { if (shown) root.style.colorScheme = theme; };
  const say = (what) => { if (framed) parent.postMessage({ normviz: what }, "*"); };
  // Only what is too high is told: a page that has room fills it.
  const measure = () => { if (shown && root.scrollHeight > innerHeight + 1) say({ height: root.scrollHeight }); };
  const reveal = () => {
    if (shown || !drawn()) return;
    shown = true;
    watch.disconnect();
    root.dataset.drawn = "";
    paint();
    say("ready");
    new ResizeObserver(measure).observe(document.querySelector("main"));
  };
  const watch = new MutationObserver(reveal);
  watch.observe(root, { subtree: true, attributes: true, attributeFilter: ["data-ready"] });
  addEventListener("message", ({ data, source }) => {
    const said = source === parent ? data?.normviz?.theme : null;
    if (!framed || (said !== "dark" && said !== "light")) return;
    theme = root.dataset.theme = said;
    paint();
    measure(); // a page that listens only now has missed how high this one is
  });
  reveal();
}
