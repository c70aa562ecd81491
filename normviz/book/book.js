// A page of a book: draws plotly's figures when they come near the screen, and tells charts and explorers the theme.
(() => {
  "use strict";
  const root = document.documentElement;
  const here = document.currentScript.src;
  /** Charts and explorers are drawn before they are seen. Pixels. */
  const AHEAD = 800;
  /** The least that a chart is shrunk to: its smallest letters are 9 pixels high. */
  const LEAST = 0.8;
  /** The height of a line of a chart's own caption, in pixels: `LINE` of normviz.labs.look. */
  const CAPTION_LINE = 17;
  let plotly = null;

  /** "dark" or "light", as the book's theme says it, or else as the page looks. */
  let printing = false;
  const theme = () => {
    if (printing) return "light";
    const said = root.dataset.theme ?? document.body.dataset.theme;
    if (said === "dark" || said === "light") return said;
    // A theme that says nothing shows it: by the ground under the text.
    for (const place of [document.body, root]) {
      const rgba = getComputedStyle(place).backgroundColor.match(/[\d.]+/g)?.map(Number);
      if (rgba && (rgba.length < 4 || rgba[3] > 0.5)) return 0.3 * rgba[0] + 0.59 * rgba[1] + 0.11 * rgba[2] < 110 ? "dark" : "light";
    }
    return "light";
  };

  /** Call back whenever the theme has become another. */
  function onTheme(follow) {
    let last = theme();
    const look = () => { if (theme() !== last) { last = theme(); follow(); } };
    for (const place of [root, document.body]) new MutationObserver(look).observe(place, { attributes: true, attributeFilter: ["data-theme"] });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", look);
    for (const [event, now] of [["beforeprint", true], ["afterprint", false]]) addEventListener(event, () => { printing = now; look(); });
  }

  /** Plotly, loaded once, by the first chart that needs it. */
  const loaded = () => (plotly ??= new Promise((done, failed) => {
    const script = document.createElement("script");
    script.src = new URL("normviz-plotly.min.js", here).href;
    script.onload = () => done(window.Plotly);
    script.onerror = () => failed(new Error("plotly.js is not where the book keeps it"));
    document.head.append(script);
  }));

  /** What a figure looks like on a dark and on a light page: a lab's carries both, any other gets ground and letters. */
  function looksOf(layout) {
    const switcher = layout.updatemenus?.find((menu) => menu.buttons?.some((button) => button.args2?.[0]?.template));
    if (switcher) {
      const { args, args2 } = switcher.buttons[0];
      switcher.visible = false; // the book has a switch of its own
      return { dark: { template: args[0].template }, light: { template: args2[0].template } };
    }
    const plain = (ground, letters) => ({ paper_bgcolor: ground, plot_bgcolor: ground, "font.color": letters });
    return layout.paper_bgcolor ? { dark: {}, light: {} } : { dark: plain("#14171c", "#e8ebf1"), light: plain("#fff", "#1b1f27") };
  }

  /** The caption as text of the page, which breaks where the page does and has the size of what stands around it. */
  function caption(figure, layout) {
    const drawn = layout.annotations?.find((one) => one.name === "caption"), text = layout.meta?.caption;
    if (!drawn || !text) return;
    const freed = CAPTION_LINE * (drawn.text.split("<br>").length);
    layout.annotations = layout.annotations.filter((one) => one !== drawn);
    layout.height -= freed;
    layout.margin.b -= freed;
    layout.meta = { alt: layout.meta.alt };
    const words = document.createElement("figcaption");
    words.textContent = text;
    figure.append(words);
  }

  /** A chart is drawn for one width. Where there is a little less, it shrinks; where much less, its frame scrolls. */
  function fitted(figure, place, { width, height }) {
    const wide = figure.parentElement, scale = Math.min(1, Math.max(LEAST, wide.clientWidth / width));
    place.style.transform = scale < 1 ? `scale(${scale})` : "";
    place.style.height = `${height}px`;
    place.style.marginBottom = `${height * (scale - 1)}px`;
    figure.style.width = `${width * scale}px`;
    figure.style.setProperty("--chart-width", `${Math.min(width * scale, wide.clientWidth)}px`);
    // Only what scrolls is a stop for the keyboard.
    wide.tabIndex = width * scale > wide.clientWidth + 1 ? 0 : -1;
  }

  async function draw(figure) {
    if (figure.dataset.begun) return;
    figure.dataset.begun = "yes";
    const Plotly = await loaded(), place = figure.querySelector(".normviz-plot");
    const { data, layout } = JSON.parse(figure.querySelector("script").textContent);
    const looks = looksOf(layout);
    caption(figure, layout);
    place.style.minHeight = "";
    await Plotly.newPlot(place, data, layout, { displaylogo: false, showSendToCloud: false, responsive: !layout.width });
    // A figure comes as for a light page: most are drawn once.
    if (theme() === "dark") await Plotly.relayout(place, looks.dark);
    if (layout.width) {
      const fit = () => fitted(figure, place, layout);
      fit();
      new ResizeObserver(fit).observe(figure.parentElement);
    }
    window.normvizKeys?.equip(figure, place, Plotly);
    figure.dataset.ready = "";
    onTheme(() => Plotly.relayout(place, looks[theme()]));
  }

  const near = new IntersectionObserver((seen) => {
    for (const { isIntersecting, target } of seen) {
      if (!isIntersecting) continue;
      near.unobserve(target);
      draw(target).catch((error) => console.error(error));
    }
  }, { rootMargin: `${AHEAD}px` });
  const charts = [...document.querySelectorAll(".normviz-chart")];
  charts.forEach((figure) => near.observe(figure));
  // What is far away is drawn when there is nothing else to do: whoever prints the page wants all of it.
  const idle = window.requestIdleCallback ?? ((call) => setTimeout(call, 500));
  const rest = () => {
    const next = charts.find((figure) => !figure.dataset.begun);
    if (next) draw(next).catch((error) => console.error(error)).then(() => idle(rest));
  };
  addEventListener("load", () => idle(rest));

  // An explorer's frame can't see the page around it: it asks for the theme once it has drawn, and is told of changes.
  // It says how high it is, and gets that: nothing has to be scrolled within the page.
  const frames = () => [...document.querySelectorAll("iframe[srcdoc][sandbox]")];
  const tell = (frame) => frame.contentWindow.postMessage({ normviz: { theme: theme(), fit: true } }, "*");
  addEventListener("message", ({ data, source }) => {
    const said = data?.normviz, frame = said && frames().find((one) => one.contentWindow === source);
    if (!frame) return;
    if (said === "ready") tell(frame);
    else if (Number.isFinite(said.height)) {
      frame.parentElement.style.cssText += `;height:${Math.ceil(said.height)}px;min-height:0;padding-bottom:0;overflow:hidden`;
    }
  });
  onTheme(() => frames().forEach(tell));
  frames().forEach(tell);
})();
