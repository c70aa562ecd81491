// Keyboard and screen-reader access to plotly's sliders, buttons and menus: over each lies an invisible native control
// with the same effect, and a ring around it shows the focus. A classic script that also loads as a module; a page
// calls `normvizKeys.equip` for each drawn chart.
(() => {
  "use strict";
  const STYLE = `
.normviz-keys { position: absolute; inset: 0; z-index: 1; pointer-events: none; }
.normviz-keys .normviz-key { position: absolute; border-radius: 6px; forced-color-adjust: none; }
.normviz-keys .normviz-key:focus-within { outline: 3px solid #2f7de1; outline-offset: 2px; }
.normviz-keys .normviz-key > * { position: absolute; inset: 0; width: 100%; height: 100%; margin: 0; opacity: 0; }
.normviz-hidden { position: absolute; width: 1px; height: 1px; margin: 0; overflow: hidden; clip-path: inset(50%);
  white-space: nowrap; }
.normviz-numbers { font: 13px/1.5 system-ui, sans-serif; overflow-x: auto; }
.normviz-numbers table { border-collapse: collapse; margin: 0.5em 0 1em; }
.normviz-numbers caption { text-align: left; font-weight: bold; }
.normviz-numbers :is(th, td) { padding: 1px 8px; border-bottom: 1px solid #8888; text-align: right; }
@media print {
  :has(> .normviz-keys) :is(.updatemenu-button, .modebar-container, .normviz-key, .slider-group > :not(.slider-label)),
  .normviz-numbers:not([open]) { display: none; }
}`;
  /** Columns of a table. */
  const MOST = 24;
  const EVENTS = ["plotly_sliderchange", "plotly_buttonclicked", "plotly_relayout", "plotly_afterplot"];
  const equipped = new WeakMap();

  const make = (tag, attributes = {}, ...children) => {
    const node = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
    node.append(...children);
    return node;
  };

  /** A native control. The attribute keeps JupyterLab from handling its arrow keys. */
  const makeControl = (tag, attributes, ...children) =>
    make(tag, { "data-lm-suppress-shortcuts": "true", ...attributes }, ...children);

  /** Plotly's markup as plain text. The parsed document runs no scripts. */
  const plain = (markup) => {
    const text = String(markup ?? "")
      .replace(/<br\s*\/?>/g, "\n")
      .replaceAll("<sup>", "^")
      .replaceAll("\u00a0", " ");
    return new DOMParser().parseFromString(`<pre>${text}</pre>`, "text/html").body.textContent.trim();
  };

  /** Apply a step or a button as plotly does, and set plotly's own control to it. */
  function perform(Plotly, chart, { method, execute }, args, path, index) {
    const chosen = { [`${path}.active`]: index };
    const [first, second, ...rest] = args ?? [];
    if (execute === false || !method || method === "skip") return Plotly.relayout(chart, chosen);
    if (method === "update") return Plotly.update(chart, first ?? {}, { ...second, ...chosen }, ...rest);
    if (method === "relayout") {
      const changes = typeof first === "string" ? { [first]: second } : first;
      return Plotly.relayout(chart, { ...changes, ...chosen });
    }
    return Promise.resolve(Plotly[method](chart, ...args)).then(() => Plotly.relayout(chart, chosen));
  }

  /** The titles and notes that a step changes, as text. */
  const changedTexts = (method, args) =>
    Object.entries((method === "update" ? args?.[1] : args?.[0]) ?? {})
      .filter(([key, value]) => key.endsWith(".text") && typeof value === "string")
      .map(([, value]) => plain(value))
      .join("; ");

  /** The drawn data as tables: of longer lines and named heat maps every k-th point, at most MOST. */
  function tables({ data, layout }) {
    const axis = (trace, letter) => layout[(trace[`${letter}axis`] ?? letter).replace(letter, `${letter}axis`)] ?? {};
    const oneLine = (markup) => plain(markup).replaceAll("\n", " ");
    const short = (value) =>
      typeof value === "number" ? String(Number(value.toPrecision(4))) : oneLine(value ?? "none");
    const tick = ({ tickvals, ticktext }, value) => short(ticktext?.[[...(tickvals ?? [])].indexOf(value)] ?? value);
    const found = new Map();
    const row = (scope, tag, [first, ...rest]) =>
      make("tr", {}, make("th", { scope }, first), ...rest.map((cell) => make(tag, {}, cell)));
    const add = (caption, head, cells) => {
      const key = [caption, ...head].join("|");
      const table = found.get(key) ?? make("table", {}, make("caption", {}, caption), row("col", "th", head));
      table.append(row("row", "td", cells));
      found.set(key, table);
    };
    for (const trace of data.filter(({ name, visible, z }) => (name || z) && (visible ?? true))) {
      const { name, x, y, z, text, mode, hoverinfo } = trace;
      const axes = [axis(trace, "x"), axis(trace, "y")];
      const [across, down] = axes.map(({ title }) => oneLine(title?.text) || "row");
      const shown = [...(x ?? z?.[0] ?? []).keys()].filter((k, _, { length }) => k % Math.ceil(length / MOST) === 0);
      const head = shown.map((k) => tick(axes[0], x?.[k] ?? k));
      if (mode === "text") found.set(name, make("pre", {}, plain([text].flat().join("\n"))));
      else if (z && (name || shown.length === z[0].length))
        for (const k of z.keys())
          add(name ?? across, [down, ...head], [y?.[k] ?? k, ...shown.map((c) => (text ?? z)[k][c])].map(short));
      else if (x && y && hoverinfo !== "skip")
        add(down, [across, ...head], [name, ...shown.map((k) => tick(axes[1], y[k]))]);
    }
    return [...found.values()];
  }

  /**
   * Add native controls to a drawn chart, its alt text and caption for screen readers, and its numbers as tables.
   *
   * @param {HTMLElement} figure The element around the chart, best a <figure>.
   * @param {any} chart The element that Plotly.newPlot drew in. `layout.meta` may have `alt` and `caption`.
   * @param {object} Plotly Plotly itself.
   * @returns {() => void} Removes everything again; equipping the same chart again calls it first.
   */
  function equip(figure, chart, Plotly) {
    equipped.get(chart)?.();
    const { alt, caption } = Object(chart.layout.meta);
    const controls = [];
    const status = make("span", { role: "status", class: "normviz-hidden" });
    const numbers = make("details", { class: "normviz-numbers" }, make("summary", {}, "The numbers"));
    const layer = make("div", { class: "normviz-keys" }, make("style", {}, STYLE));
    const added = [layer, numbers];

    const visible = (name) =>
      (chart.layout[name] ?? []).map((item, k) => ({ item, k })).filter(({ item }) => item.visible ?? true);
    const active = (name, k) => chart.layout[name][k].active ?? 0;
    const nth = (query, k) => [...chart.querySelectorAll(query)][k];

    /** Add a native control over plotly's own one, which `target` finds; `sync` copies plotly's state to it. */
    const add = (native, target, sync, parent = layer) => {
      const box = parent.appendChild(make("span", { class: "normviz-key" }, native));
      controls.push({ box, target, sync });
    };

    /** Apply a step or button, emit plotly's event of it, which `event` makes, and announce the changed texts. */
    const act = (name, k, index, step, args, event) => {
      const before = active(name, k);
      const done = Promise.resolve(perform(Plotly, chart, step, args, `${name}[${k}]`, index));
      done.then(() => chart.emit(...event(before)));
      status.textContent = changedTexts(step.method, args);
    };

    const press = (k, i) => {
      const menu = chart.layout.updatemenus[k];
      const button = menu.buttons[i];
      // A pressed button with args2 is released by them.
      const release = button.args2 && active("updatemenus", k) === i;
      const event = () => ["plotly_buttonclicked", { menu, button, active: menu.active }];
      act("updatemenus", k, release ? -1 : i, button, release ? button.args2 : button.args, event);
    };

    visible("updatemenus").forEach(({ item, k }, place) => {
      const target = () => nth(".updatemenu-header-group", place);
      const label = item.name ?? "Show";
      if (item.type === "buttons") {
        const group = () => layer.appendChild(make("span", { role: "group", "aria-label": label }));
        const row = item.buttons.length > 1 ? group() : layer;
        item.buttons.forEach((button, i) => {
          const text = plain(button.label).replace(/^[^\p{L}\p{N}]+/u, "") || label;
          const native = makeControl("button", { type: "button" }, text);
          native.addEventListener("click", () => press(k, i));
          const sync = () => native.setAttribute("aria-pressed", active("updatemenus", k) === i);
          add(native, () => target()?.querySelectorAll(".updatemenu-button")[i], sync, row);
        });
      } else {
        const options = item.buttons.map((button) => make("option", {}, plain(button.label)));
        const native = makeControl("select", { "aria-label": label }, ...options);
        native.addEventListener("change", () => press(k, native.selectedIndex));
        add(native, target, () => {
          native.selectedIndex = active("updatemenus", k);
        });
      }
    });

    visible("sliders").forEach(({ item, k }, place) => {
      const label = plain(item.currentvalue?.prefix).replace(/[\s=:]+$/, "") || item.name || "Step";
      const range = { type: "range", min: 0, max: item.steps.length - 1, step: 1, "aria-label": label };
      const native = makeControl("input", range);
      const showValue = () =>
        native.setAttribute("aria-valuetext", plain(chart.layout.sliders[k].steps[native.value]?.label));
      let frame = 0;
      const move = () => {
        const slider = chart.layout.sliders[k];
        const step = slider.steps[native.value];
        frame = 0;
        act("sliders", k, Number(native.value), step, step.args, (previousActive) => [
          "plotly_sliderchange",
          { slider, step, interaction: true, previousActive }
        ]);
      };
      // At most one redraw in each animation frame, as in plotly, so that redraws do not queue up behind a held key.
      native.addEventListener("input", () => {
        showValue();
        frame ||= requestAnimationFrame(move);
      });
      const sync = () => {
        if (!frame) native.value = active("sliders", k);
        showValue();
      };
      add(native, () => nth(".slider-group", place), sync);
    });

    const place = () => {
      const origin = layer.getBoundingClientRect();
      for (const { box, target } of controls) {
        const { left, top, width, height } = target()?.getBoundingClientRect() ?? {};
        box.hidden = left === undefined;
        if (box.hidden) continue;
        const corner = `left: ${left - origin.left}px; top: ${top - origin.top}px`;
        box.style.cssText = `${corner}; width: ${width}px; height: ${height}px`;
      }
    };

    /** Update controls and texts after plotly has changed the chart. */
    const follow = () => {
      for (const { sync } of controls) sync();
      place();
      // The tick labels of a drawing are noise in a screen reader.
      if (alt) for (const svg of chart.querySelectorAll(".main-svg")) svg.setAttribute("aria-hidden", "true");
      numbers.hidden = !alt;
      if (numbers.open) numbers.replaceChildren(numbers.firstChild, ...tables(chart));
    };

    if (getComputedStyle(figure).position === "static") figure.style.position = "relative";
    if (alt) figure.setAttribute("aria-label", alt);
    if (!figure.matches("figure, [role]")) figure.setAttribute("role", "figure");
    if (caption) added.push(make(figure.matches("figure") ? "figcaption" : "p", { class: "normviz-hidden" }, caption));
    layer.append(status);
    layer.addEventListener("focusin", place);
    numbers.addEventListener("toggle", follow);
    // Before the chart, so that the focus reaches the chart's controls before plotly's toolbar.
    figure.prepend(layer);
    figure.append(...added.slice(1));
    for (const name of EVENTS) chart.on(name, follow);
    follow();
    equipped.set(chart, () => {
      for (const node of added) node.remove();
      for (const name of EVENTS) chart.removeListener?.(name, follow);
    });
    return equipped.get(chart);
  }
  globalThis.normvizKeys = { equip };
})();
