// The page of a recording: the chart at the width that there is room for, light or dark, with the layer of a click.
(async () => {
  const { Plotly, normvizKeys } = /** @type {any} */ (globalThis);
  const packed = JSON.parse(document.getElementById("normviz-data").textContent);
  const bytes = Uint8Array.from(atob(packed), (c) => c.charCodeAt(0));
  const unpacked = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  const { data, layouts, steps, buttons, dark, light } = await new Response(unpacked).json();
  /** @type {any} plotly adds to the element */
  const chart = document.getElementById("nvr-chart");
  const figure = chart.closest("figure");
  const root = document.documentElement;
  const darkReader = matchMedia("(prefers-color-scheme: dark)");

  for (const layout of layouts) {
    for (const [k, step] of (layout.sliders?.[0].steps ?? []).entries()) step.args = steps[k];
    for (const [k, button] of layout.updatemenus[0].buttons.entries()) button.args[0] = buttons[k];
  }
  const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : darkReader.matches);
  const fitting = () => layouts.findIndex(({ width }, k) => width <= figure.clientWidth || k === layouts.length - 1);
  const template = () => (isDark() ? dark : light);

  let shown = -1;
  /** Draw the chart at the width that fits, with the layer and the quantity that were chosen before. */
  const draw = async () => {
    if (shown === fitting()) return;
    const before = shown < 0 ? null : chart.layout;
    shown = fitting();
    const layout = { ...layouts[shown], template: template() };
    if (!before) await Plotly.newPlot(chart, data, layout, { displaylogo: false, showSendToCloud: false });
    else {
      const active = [before.updatemenus[0].active ?? 0, before.sliders?.[0].active];
      await Plotly.react(chart, chart.data, layout);
      for (const [name, k] of [
        ["updatemenus", active[0]],
        ["sliders", active[1]]
      ]) {
        const control = layout[name]?.[0];
        const step = (control?.buttons ?? control?.steps)?.[k];
        if (!step) continue;
        const [traces, changes, indices] = step.args;
        await Plotly.update(chart, traces, { ...changes, [`${name}[0].active`]: k }, indices);
      }
    }
    figure.style.minHeight = "0";
    normvizKeys.equip(figure, chart, Plotly);
  };
  const recolour = () => Plotly.relayout(chart, { template: template() });

  await draw();
  new ResizeObserver(draw).observe(figure);
  darkReader.addEventListener("change", recolour);
  document.getElementById("nvr-look").addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    recolour();
  });
  // A click in a row of the heat map chooses its layer, as the slider does.
  chart.on("plotly_click", ({ points: [point] }) => {
    /** @type {HTMLInputElement} */
    const slider = figure.querySelector("input[type=range]");
    if (!slider || point.data.type !== "heatmap") return;
    slider.value = String(point.pointNumber[0]);
    slider.dispatchEvent(new Event("input"));
  });
  root.dataset.drawn = "";
})();
