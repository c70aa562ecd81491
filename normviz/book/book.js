// A page of a book: draws plotly's figures when they come near the screen, and tells charts and explorers the theme.
(() => {
  "use strict";
  const root = document.documentElement;
  const here = document.currentScript.src;
  /** Charts and explorers are drawn before they are seen. Pixels. */
  const AHEAD = 800;
  /** The least that a chart is shrunk to: its smallest letters are 11 pixels high. */
  const LEAST = 0.8;
  let plotly = null;

  /** "dark" or "light", as the book's theme says it, or else the system. */
  const theme = () => {
    const said = root.dataset.theme ?? document.body.dataset.theme;
    if (said === "dark" || said === "light") return said;
    return matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
  };

  /** Call back whenever the theme has become another. */
  function onTheme(follow) {
    let last = theme();
    const look = () => { if (theme() !== last) { last = theme(); follow(); } };
    for (const place of [root, document.body]) new MutationObserver(look).observe(place, { attributes: true, attributeFilter: ["data-theme"] });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", look);
  }

  /** Plotly, loaded once, by the first chart that needs it. */
  const loaded = () => (plotly ??= new Promise((done, failed) => {
    const script = document.createElement("script");
    script.src = new URL("normviz-plotly.min.js", here).href;
    script.onload = () => done(window.Plotly);
    script.onerror = () => failed(new Error("plotly.js is not where the book keeps it"));
    document.head.append(script);
  }));

  /** A lab's figure carries both its templates, in the button that changes them. */
  const templates = (layout) => {
    const both = layout.updatemenus?.flatMap((menu) => menu.buttons ?? []).find((button) => button.args2?.[0]?.template);
    if (!both) return null;
    const active = `updatemenus[${layout.updatemenus.findIndex((menu) => menu.buttons?.includes(both))}].active`;
    // The button that was pressed last, so that the next press changes the look.
    return { dark: { template: both.args[0].template, [active]: 0 }, light: { template: both.args2[0].template, [active]: -1 } };
  };

  /** A chart is drawn for one width. Where there is a little less, it shrinks; where much less, its frame scrolls. */
  function fitted(figure, place, { width, height }) {
    const scale = Math.min(1, Math.max(LEAST, figure.parentElement.clientWidth / width));
    place.style.transform = scale < 1 ? `scale(${scale})` : "";
    place.style.transformOrigin = "0 0";
    figure.style.width = `${width * scale}px`;
    figure.style.height = `${height * scale}px`;
  }

  async function draw(figure) {
    const Plotly = await loaded(), place = figure.querySelector(".normviz-plot");
    const { data, layout } = JSON.parse(figure.querySelector("script").textContent);
    const looks = templates(layout);
    if (looks) layout.template = looks[theme()].template;
    await Plotly.newPlot(place, data, layout, { displaylogo: false, showSendToCloud: false, responsive: !layout.width });
    if (looks) await Plotly.relayout(place, looks[theme()]);
    if (layout.width) new ResizeObserver(() => fitted(figure, place, layout)).observe(figure.parentElement);
    window.normvizKeys?.equip(figure, place, Plotly);
    figure.dataset.ready = "";
    if (looks) onTheme(() => Plotly.relayout(place, looks[theme()]));
  }

  const near = new IntersectionObserver((seen) => {
    for (const { isIntersecting, target } of seen) {
      if (!isIntersecting) continue;
      near.unobserve(target);
      draw(target).catch((error) => console.error(error));
    }
  }, { rootMargin: `${AHEAD}px` });
  document.querySelectorAll(".normviz-chart").forEach((figure) => near.observe(figure));

  // An explorer's frame can't see the page around it: it asks for the theme once it has drawn, and is told of changes.
  // One that needs more room than its place has says so, and gets it: nothing has to be scrolled within the page.
  const frames = () => [...document.querySelectorAll("iframe[srcdoc][sandbox]")];
  const tell = (frame) => frame.contentWindow.postMessage({ normviz: { theme: theme() } }, "*");
  addEventListener("message", ({ data, source }) => {
    const said = data?.normviz, frame = said && frames().find((one) => one.contentWindow === source);
    if (!frame) return;
    if (said === "ready") tell(frame);
    else if (Number.isFinite(said.height)) frame.parentElement.style.minHeight = `${Math.ceil(said.height)}px`;
  });
  onTheme(() => frames().forEach(tell));
  frames().forEach(tell);
})();
