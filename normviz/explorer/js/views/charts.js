// The histogram of a set before and after, on one fixed scale.

import { d, redraw, set, setText, svg } from "../core/dom.js";
import { clamp } from "../core/geometry.js";
import { decimal, histogram } from "../core/numbers.js";
import { setValues } from "../core/readout.js";
import { say } from "../core/sentences.js";

const BINS = 48;
const CHART = { width: 340, row: 66, left: 6, right: 6 };

/** One axis for both rows and all states, so that only the set moves, not the scale. Outliers lie outside. */
function chartRange(data) {
  const [low, high] = data.colors;
  const room = 0.25 * (high - low);
  return [Math.min(Math.max(low - room, data.extent[0]), -3), Math.max(Math.min(high + room, data.extent[1]), 3)];
}

/** Round tick values inside a range. @param {number[]} range @param {number} about  how many */
export function ticks([low, high], about) {
  const raw = (high - low) / about;
  const power = 10 ** Math.floor(Math.log10(raw || 1));
  const step = [1, 2, 5, 10].map((s) => s * power).find((s) => s >= raw) ?? power;
  const out = [];
  for (let v = Math.ceil(low / step) * step; v <= high + step * 1e-9; v += step)
    out.push(Math.abs(v) < step * 1e-9 ? 0 : v);
  return out;
}

export function createChart() {
  const before = svg("path", { class: "nv-bars before" });
  const after = svg("path", { class: "nv-bars after" });
  const marks = svg("g");
  const axis = svg("g", { class: "nv-axis" });
  const titles = [0, CHART.row + 8].map((y) => svg("text", { x: 6, y: y + 13 }));
  const height = 2 * CHART.row + 30;
  const look = { class: "nv-chart", viewBox: `0 0 ${CHART.width} ${height}`, role: "img", "aria-label": "" };
  const node = svg("svg", look, axis, before, after, marks, ...titles);
  return { node, before, after, marks, axis, titles, height, axisKey: "" };
}

/** With `gradient`, one histogram of the gradient takes the place of the two of the values. */
export function drawChart(chart, data, shown, gradient = null) {
  const values = gradient?.all() ?? setValues(data, shown);
  const end = Number.isFinite(gradient?.end) ? gradient.end : 1;
  const range = gradient ? [-end, end] : chartRange(data);
  const turn = (v) => ((v - shown.mean) / shown.deviation) * shown.gamma + shown.beta;
  const finite = Number.isFinite(shown.mean) && Number.isFinite(shown.deviation);
  const rows = [histogram(values, ...range, BINS)];
  if (!gradient) rows.push(finite ? histogram(values.map(turn), ...range, BINS) : new Array(BINS).fill(0));
  const most = Math.max(...rows.flat(), 1e-9);
  const plot = CHART.width - CHART.left - CHART.right;
  const x = (v) => CHART.left + (plot * (clamp(v, ...range) - range[0])) / (range[1] - range[0]);
  const low = 2 * CHART.row + 8;
  const base = gradient ? [low] : [CHART.row, low];
  [chart.before, chart.after].forEach((path, row) => {
    // Square roots: next to a set of equal values, a set of spread values would look flat.
    const bar = (share, i) => {
      if (!share) return "";
      const left = CHART.left + (plot * i) / BINS + 0.5;
      const width = plot / BINS - 1;
      const height = Math.sqrt(share / most) * (base[0] - 18);
      const [at, across, up, back] = [left, width, -height, -width].map((v) => v.toFixed(1));
      return `M${at} ${base[row]}h${across}v${up}h${back}z`;
    };
    d(path, rows[row]?.map(bar).join("") ?? "");
  });
  const line = (row, v) => ["nv-mean", `M${x(v).toFixed(1)} ${base[row]}V${base[row] - base[0] + 17}`];
  const mark = (row, v) => ["nv-here", `M${x(v).toFixed(1)} ${base[row] + 1}l-4 6h8z`];
  const marks = [];
  const centered = shown.given || shown.method.centered;
  const deviation = Math.sqrt(shown.var);
  // A norm is not a distance from the mean.
  if (!gradient && finite && deviation > 0 && shown.method?.statistic !== "squared norm") {
    const [from, to] = [shown.mean - deviation, shown.mean + deviation].map((v) => x(v).toFixed(1));
    marks.push(["nv-sigma", `M${from} ${base[0] + 3}H${to}`]);
  }
  const means = centered ? [shown.mean, finite ? shown.beta : NaN] : [];
  for (const [row, v] of (gradient ? [0] : means).entries()) if (Number.isFinite(v)) marks.push(line(row, v));
  for (const [row, v] of (gradient ? [gradient.own] : [shown.x, shown.y]).entries())
    if (Number.isFinite(v)) marks.push(mark(row, v));
  redraw(chart.marks, marks, ([name, text], path) => {
    set(path, "class", name);
    d(path, text);
  });
  const titles = gradient
    ? [say("gradient.chart"), ""]
    : [say("panel.before"), say("panel.after", { result: shown.affine ? "y" : "x\u0302" })];
  titles.forEach((title, row) => {
    setText(chart.titles[row], data.values || !title ? title : say("panel.of-means", { title }));
  });
  const key = `${base}/${range}`;
  if (chart.axisKey !== key) {
    chart.axisKey = key;
    chart.axis.replaceChildren(
      ...base.map((y) => svg("path", { d: `M${CHART.left} ${y}H${CHART.width - CHART.right}` })),
      ...ticks(range, gradient ? 5 : 6)
        .filter((v) => x(v) < CHART.width - 14 && x(v) > 14)
        .map((v) => svg("text", { x: x(v), y: low + 17, "text-anchor": "middle" }, decimal(v, 3)))
    );
  }
  const both = { before: decimal(shown.mean), after: decimal(finite ? shown.beta : NaN) };
  set(chart.node, "aria-label", gradient ? titles[0] : say("panel.chart", both));
}
