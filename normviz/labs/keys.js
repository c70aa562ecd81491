// Plotly's sliders, buttons and menus for the keyboard and for screen readers; plotly only draws them. Over each lies the
// native control, unseen, that does the same, and a ring around plotly's own shows where the focus is. A classic script
// that also loads as a module: it leaves `normvizKeys.equip`, to be called once a chart is drawn.
(() => {
  "use strict";
  const STYLE = `
.normviz-keys { position: absolute; inset: 0; z-index: 1; pointer-events: none; }
.normviz-keys .normviz-key { position: absolute; border-radius: 6px; forced-color-adjust: none; }
.normviz-keys .normviz-key:focus-within { outline: 3px solid #2f7de1; outline-offset: 2px; }
.normviz-keys .normviz-key > * { position: absolute; inset: 0; width: 100%; height: 100%; margin: 0; opacity: 0; }
.normviz-said { position: absolute; width: 1px; height: 1px; margin: 0; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }`;
  /** Points of a trace, or cells of a row, that are few enough to listen to. */
  const MOST = 24;
  const EVENTS = ["plotly_sliderchange", "plotly_buttonclicked", "plotly_relayout", "plotly_afterplot"];
  const equipped = new WeakMap();
  const make = (tag, attributes = {}, ...children) => {
    const node = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
    node.append(...children);
    return node;
  };
  // JupyterLab takes arrow keys for itself unless the focused element says no.
  const control = (tag, attributes, ...children) => make(tag, { "data-lm-suppress-shortcuts": "true", ...attributes }, ...children);
  /** Plotly's markup as plain text. */
  const plain = (markup) => {
    const text = String(markup ?? "").replace(/<br\s*\/?>/g, "\n").replaceAll("<sup>", "^").replaceAll("\u00a0", " ");
    return new DOMParser().parseFromString(`<pre>${text}</pre>`, "text/html").body.textContent.trim();
  };
  /** Do what plotly does for a step or a button, and set its own control to it. */
  function perform(Plotly, chart, { method, execute }, args, path, index) {
    const chosen = { [`${path}.active`]: index }, [first, second, ...rest] = args ?? [];
    if (execute === false || !method || method === "skip") return Plotly.relayout(chart, chosen);
    if (method === "update") return Plotly.update(chart, first ?? {}, { ...second, ...chosen }, ...rest);
    if (method === "relayout") return Plotly.relayout(chart, { ...(typeof first === "string" ? { [first]: second } : first), ...chosen });
    return Promise.resolve(Plotly[method](chart, ...args)).then(() => Plotly.relayout(chart, chosen));
  }

  /** The words that a step changes: titles and notes. */
  const changed = (method, args) => Object.entries((method === "update" ? args?.[1] : args?.[0]) ?? {})
    .filter(([key, value]) => key.endsWith(".text") && typeof value === "string").map(([, value]) => plain(value)).join("; ");

  /** What is drawn, in words: a line for each trace, with its points if they are few, and for each row of a table. */
  function words({ data, layout }) {
    const axis = (trace, xy) => layout[(trace[`${xy}axis`] ?? xy).replace(xy, `${xy}axis`)] ?? {};
    const line = (markup) => plain(markup).replaceAll("\n", " ");
    const short = (value) => (typeof value === "number" ? String(Number(value.toPrecision(4))) : line(value ?? "none"));
    const at = ({ tickvals, ticktext }, value) => short(ticktext?.[[...(tickvals ?? [])].indexOf(value)] ?? value);
    return data.filter((trace) => trace.visible ?? true).flatMap((trace) => {
      const { name, x, y, z, text, mode, fill } = trace, across = axis(trace, "x"), up = axis(trace, "y");
      if (mode === "text") return [plain([text].flat().join("\n"))];
      if (Array.isArray(z) && y?.length === z.length && z[0]?.length <= MOST) return z.map((row, k) => `${y[k]}: ${[...(text?.[k] ?? row)].map(short).join(", ")}`);
      if (!name || !Array.isArray(x) || !Array.isArray(y) || fill === "toself") return [];
      const about = [name, [up, across].map(({ title }) => line(title?.text)).filter(Boolean).join(" against ")].filter(Boolean).join(", ");
      if (x.length > MOST) return [`${about}: ${x.length} points, from ${short(Math.min(...y))} to ${short(Math.max(...y))}`];
      return [`${about}: ${x.map((value, k) => `${at(across, value)}: ${at(up, y[k])}`).join("; ")}`];
    });
  }

  /**
   * Give a drawn chart native controls, and its alt text, numbers and caption as text.
   *
   * @param {HTMLElement} figure What holds the chart, best a <figure>: the frame of what lies over the chart.
   * @param {HTMLElement} chart The element given to Plotly.newPlot, once that is done. `layout.meta` may hold `alt` and `caption`.
   * @param {object} Plotly Plotly itself.
   * @returns {() => void} Takes it all away; equipping the same chart again does so first.
   */
  function equip(figure, chart, Plotly) {
    equipped.get(chart)?.();
    const { alt, caption } = Object(chart.layout.meta), controls = [];
    const status = make("span", { role: "status", class: "normviz-said" }), list = make("ul", { "aria-label": "What is drawn", class: "normviz-said" });
    const layer = make("div", { class: "normviz-keys" }, make("style", {}, STYLE)), added = [layer, list];
    const shown = (name) => (chart.layout[name] ?? []).map((one, k) => ({ one, k })).filter(({ one }) => one.visible ?? true);
    const now = (name, k) => chart.layout[name][k].active ?? 0;
    const nth = (query, k) => [...chart.querySelectorAll(query)][k];
    const add = (native, over, sync, parent = layer) => controls.push({ box: parent.appendChild(make("span", { class: "normviz-key" }, native)), over, sync });
    const act = (name, k, index, step, args, told) => {
      const before = now(name, k);
      Promise.resolve(perform(Plotly, chart, step, args, `${name}[${k}]`, index)).then(() => chart.emit(...told(before)));
      status.textContent = changed(step.method, args);
    };
    const press = (k, i) => {
      const menu = chart.layout.updatemenus[k], button = menu.buttons[i];
      const back = button.args2 && now("updatemenus", k) === i; // pressed, it goes back by its second arguments
      act("updatemenus", k, back ? -1 : i, button, back ? button.args2 : button.args, () => ["plotly_buttonclicked", { menu, button, active: menu.active }]);
    };
    shown("updatemenus").forEach(({ one, k }, place) => {
      const over = () => nth(".updatemenu-header-group", place), label = one.name ?? "Show";
      if (one.type === "buttons") {
        const row = one.buttons.length > 1 ? layer.appendChild(make("span", { role: "group", "aria-label": label })) : layer;
        one.buttons.forEach((button, i) => {
          const native = control("button", { type: "button" }, plain(button.label).replace(/^[^\p{L}\p{N}]+/u, "") || label);
          native.addEventListener("click", () => press(k, i));
          add(native, () => over()?.querySelectorAll(".updatemenu-button")[i], () => native.setAttribute("aria-pressed", now("updatemenus", k) === i), row);
        });
      } else {
        const native = control("select", { "aria-label": label }, ...one.buttons.map((button) => make("option", {}, plain(button.label))));
        native.addEventListener("change", () => press(k, native.selectedIndex));
        add(native, over, () => { native.selectedIndex = now("updatemenus", k); });
      }
    });
    shown("sliders").forEach(({ one, k }, place) => {
      const label = plain(one.currentvalue?.prefix).replace(/[\s=:]+$/, "") || one.name || "Step";
      const native = control("input", { type: "range", min: 0, max: one.steps.length - 1, step: 1, "aria-label": label });
      const say = () => native.setAttribute("aria-valuetext", plain(chart.layout.sliders[k].steps[native.value]?.label));
      let waiting = 0;
      const move = () => {
        const slider = chart.layout.sliders[k], step = slider.steps[native.value];
        waiting = 0;
        act("sliders", k, Number(native.value), step, step.args, (previousActive) => ["plotly_sliderchange", { slider, step, interaction: true, previousActive }]);
      };
      // Once a frame, as plotly does: a key that is held down must not leave redrawing behind it.
      native.addEventListener("input", () => { say(); waiting ||= requestAnimationFrame(move); });
      add(native, () => nth(".slider-group", place), () => { if (!waiting) native.value = now("sliders", k); say(); });
    });
    const place = () => {
      const from = layer.getBoundingClientRect();
      for (const { box, over } of controls) {
        const to = over()?.getBoundingClientRect();
        box.hidden = !to;
        if (to) box.style.cssText = `left: ${to.left - from.left}px; top: ${to.top - from.top}px; width: ${to.width}px; height: ${to.height}px`;
      }
    };
    const follow = () => {
      controls.forEach(({ sync }) => sync());
      place();
      // A drawing's ticks are noise to a listener.
      if (alt) chart.querySelectorAll(".main-svg").forEach((svg) => svg.setAttribute("aria-hidden", "true"));
      list.replaceChildren(...(alt ? words(chart) : []).map((line) => make("li", {}, line)));
      list.hidden = !list.children.length;
    };
    if (getComputedStyle(figure).position === "static") figure.style.position = "relative";
    if (alt) figure.setAttribute("aria-label", alt);
    if (!figure.matches("figure, [role]")) figure.setAttribute("role", "figure");
    if (caption) added.push(make(figure.matches("figure") ? "figcaption" : "p", { class: "normviz-said" }, caption));
    layer.append(status);
    layer.addEventListener("focusin", place);
    // Before the chart, so that plotly's own few buttons come after what the chart is about.
    figure.prepend(layer);
    figure.append(...added.slice(1));
    EVENTS.forEach((name) => chart.on(name, follow));
    follow();
    equipped.set(chart, () => {
      added.forEach((node) => node.remove());
      EVENTS.forEach((name) => chart.removeListener?.(name, follow));
    });
    return equipped.get(chart);
  }
  globalThis.normvizKeys = { equip };
})();
