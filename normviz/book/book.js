// The script of a book's pages: it draws plotly's figures when they come near the visible part of the page, and passes
// the theme on to charts and explorers.

import { isDark } from "../explorer/js/core/background.js";

const root = document.documentElement;
const here = /** @type {HTMLScriptElement} */ (document.currentScript).src;
/** How far from the visible part of the page a chart is drawn, in pixels. */
const AHEAD = 800;
/** The smallest scale of a chart: its smallest letters are then 9 pixels high. */
const MIN_SCALE = 0.8;
/** The height of a line of a chart's own caption, in pixels: `LINE` of normviz.charts.chart. */
const CAPTION_LINE = 17;
let plotly = null;
let printing = false;

/** "dark" or "light": from the book's theme if it names one, and else from the page's background. */
const theme = () => {
  if (printing) return "light";
  const named = root.dataset.theme ?? document.body.dataset.theme;
  if (named === "dark" || named === "light") return named;
  return isDark(document.body) ? "dark" : "light";
};

/** Call `follow` whenever the theme changes; paper is light. */
function onTheme(follow) {
  let last = theme();
  const check = () => {
    if (theme() === last) return;
    last = theme();
    follow();
  };
  const print = (now) => () => {
    printing = now;
    check();
  };
  for (const place of [root, document.body])
    new MutationObserver(check).observe(place, { attributes: true, attributeFilter: ["data-theme"] });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", check);
  addEventListener("beforeprint", print(true));
  addEventListener("afterprint", print(false));
}

/** Plotly; the first chart loads it. */
const loaded = () =>
  (plotly ??= new Promise((done, failed) => {
    const script = document.createElement("script");
    script.src = new URL("normviz-plotly.min.js", here).href;
    script.onload = () => done(globalThis.Plotly);
    script.onerror = () => failed(new Error(`plotly.js was not found at ${script.src}`));
    document.head.append(script);
  }));

/** Plotly's settings for a dark and for a light page: a lab's figure holds both, other figures get two colors. */
function looksOf(layout) {
  const switcher = layout.updatemenus?.find((menu) => menu.buttons?.some((button) => button.args2?.[0]?.template));
  if (switcher) {
    const { args, args2 } = switcher.buttons[0];
    switcher.visible = false; // the book has its own switch
    return { dark: { template: args[0].template }, light: { template: args2[0].template } };
  }
  const plain = (background, text) => ({ paper_bgcolor: background, plot_bgcolor: background, "font.color": text });
  return layout.paper_bgcolor
    ? { dark: {}, light: {} }
    : { dark: plain("#14171c", "#e8ebf1"), light: plain("#fff", "#1b1f27") };
}

/** Replace the caption that plotly draws by text of the page, in the page's font size and line breaks. */
function caption(figure, layout) {
  const drawn = layout.annotations?.find((one) => one.name === "caption");
  const text = layout.meta?.caption;
  if (!drawn || !text) return;
  const freed = CAPTION_LINE * drawn.text.split("<br>").length;
  layout.annotations = layout.annotations.filter((one) => one !== drawn);
  layout.height -= freed;
  layout.margin.b -= freed;
  layout.meta = { alt: layout.meta.alt };
  const element = document.createElement("figcaption");
  element.textContent = text;
  figure.append(element);
}

/** Fit a chart of fixed width to the page: a slightly narrower page shrinks it, a much narrower one scrolls it. */
function fitted(figure, place, { width, height }) {
  const wide = figure.parentElement;
  const scale = Math.min(1, Math.max(MIN_SCALE, wide.clientWidth / width));
  place.style.transform = scale < 1 ? `scale(${scale})` : "";
  place.style.height = `${height}px`;
  place.style.marginBottom = `${height * (scale - 1)}px`;
  figure.style.width = `${width * scale}px`;
  figure.style.setProperty("--chart-width", `${Math.min(width * scale, wide.clientWidth)}px`);
  // A chart that does not scroll needs no keyboard focus.
  wide.tabIndex = width * scale > wide.clientWidth + 1 ? 0 : -1;
}

async function draw(figure) {
  if (figure.dataset.begun) return;
  figure.dataset.begun = "yes";
  const Plotly = await loaded();
  const place = figure.querySelector(".normviz-plot");
  const { data, layout } = JSON.parse(figure.querySelector("script").textContent);
  const looks = looksOf(layout);
  caption(figure, layout);
  place.style.minHeight = "";
  await Plotly.newPlot(place, data, layout, { displaylogo: false, showSendToCloud: false, responsive: !layout.width });
  // Figures are stored for a light page, so most are drawn once.
  if (theme() === "dark") await Plotly.relayout(place, looks.dark);
  if (layout.width) {
    const fit = () => fitted(figure, place, layout);
    fit();
    new ResizeObserver(fit).observe(figure.parentElement);
  }
  globalThis.normvizKeys?.equip(figure, place, Plotly);
  figure.dataset.ready = "";
  onTheme(() => Plotly.relayout(place, looks[theme()]));
}

const near = new IntersectionObserver(
  (entries) => {
    for (const { isIntersecting, target } of entries) {
      if (!isIntersecting) continue;
      near.unobserve(target);
      draw(target).catch(console.error);
    }
  },
  { rootMargin: `${AHEAD}px` }
);
const charts = [.../** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll(".normviz-chart"))];
for (const figure of charts) near.observe(figure);
// All other charts are drawn when the browser is idle, because the page may be printed.
const idle = window.requestIdleCallback ?? ((call) => setTimeout(call, 500));
const rest = () => {
  const next = charts.find((figure) => !figure.dataset.begun);
  if (!next) return;
  draw(next)
    .catch(console.error)
    .then(() => idle(rest));
};
addEventListener("load", () => idle(rest));

// An explorer's sandboxed frame cannot read the page around it. It asks for the theme once it has drawn, and then
// receives changes. It reports its height, and the page makes the frame that high, so that nothing scrolls inside.
/** @returns {NodeListOf<HTMLIFrameElement>} */
const frames = () => document.querySelectorAll("iframe[srcdoc][sandbox]");
const tell = (frame) => frame.contentWindow.postMessage({ normviz: { theme: theme(), fit: true } }, "*");
addEventListener("message", ({ data, source }) => {
  const message = data?.normviz;
  const frame = message && [...frames()].find((one) => one.contentWindow === source);
  if (!frame) return;
  if (message === "ready") tell(frame);
  else if (Number.isFinite(message.height)) {
    const height = `${Math.ceil(message.height)}px`;
    Object.assign(frame.parentElement.style, { height, minHeight: "0", paddingBottom: "0", overflow: "hidden" });
  }
});
const tellAll = () => {
  for (const frame of frames()) tell(frame);
};
onTheme(tellAll);
tellAll();
