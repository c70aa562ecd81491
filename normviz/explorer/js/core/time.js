// A recording over time: what it has at one step, and the lines and scales of its charts. No DOM.

import { clamp } from "./geometry.js";
import { decimal, unpack } from "./numbers.js";
import { setNumber, tableOf } from "./readout.js";
import { say } from "./sentences.js";

/** How many times the lowest value the highest one may be on a linear scale. */
const MOST_LINEAR = 30;

/** Unpack the part "time" of a scene. Tables have a row for each of the T steps. */
export function readTime(time) {
  const pair = (packed) => packed && { mean: unpack(packed.mean), var: unpack(packed.var) };
  const steps = Array.from(unpack(time.steps));
  const own = pair(time);
  return {
    ...time,
    ...own,
    steps,
    T: steps.length,
    running: pair(time.running),
    quartiles: pair(time.quartiles),
    weight: unpack(time.weight),
    bias: unpack(time.bias),
    channelMean: unpack(time.channel_mean) ?? own.mean,
    gap: unpack(time.gap),
    own: unpack(time.own),
    samples: unpack(time.samples),
    count: unpack(time.count)
  };
}

/** Row t of a table. */
const row = ({ T }, table, t) => {
  const width = table.length / T;
  return table.subarray(t * width, (t + 1) * width);
};

/** What the explorer's data are at row t: statistics of the sets and of the channels, and colours. */
export function dataAt(time, data, t, G) {
  const [method] = Object.values(data.methods);
  const of = (table) => table && row(time, table, t);
  const part = {
    shape: data.shape,
    statistics: new Map(),
    running: time.running && { mean: of(time.running.mean), var: of(time.running.var) },
    weight: of(time.weight),
    bias: of(time.bias)
  };
  const [mean, spread] = [of(time.mean), of(time.var)];
  const table = tableOf({ ...part, cube: data.cube }, method, G);
  table.found = Array.from(mean, (v, s) => ({ mean: v, var: spread[s] }));
  const means = of(time.channelMean);
  const [N, C, H, W] = data.cube.map((length, a) => Math.ceil(length / data.bins[a]));
  // A drawn cell stands for one channel or several.
  const colors = Array.from({ length: C }, (_, c) => {
    const each = means.slice(c * data.bins[1], (c + 1) * data.bins[1]);
    return each.reduce((a, b) => a + b, 0) / each.length;
  });
  part.coarse = new Float64Array(N * C * H * W).map((_, i) => colors[Math.floor(i / (H * W)) % C]);
  part.statistics.set("holes", !colors.every(Number.isFinite));
  return part;
}

/** Where the picked cell is in the tables: the number of its set, and its channel. */
export function placeInTables(data, state, cell) {
  const method = data.methods[state.method];
  return { set: setNumber(tableOf({ cube: data.cube, statistics: new Map() }, method, state.G), cell), c: cell[1] };
}

/** Column k of a table, as T numbers. */
export const column = ({ T }, table, k) => {
  const width = table.length / T;
  return Array.from({ length: T }, (_, t) => table[t * width + k]);
};

/** Entry k of row t of a table. */
export const entry = ({ T }, table, t, k) => table[(t * table.length) / T + k];

/**
 * Let the set have as many samples as the batch of row t, where it spans all samples.
 * @returns {boolean} whether that batch has the picked cell: it may have fewer samples or positions than the picture
 */
export function fitBatch(time, t, shown, index) {
  const [samples, count] = [time.samples[t], time.count[t]];
  if (shown.method.n === "all") {
    shown.size = count;
    shown.block = [samples, ...shown.block.slice(1)];
    shown.ownSet = [[0, samples], ...shown.ownSet.slice(1)];
    return true;
  }
  const long = index.length === 3 && shown.method.spatial === "one";
  return index[0] < samples && !(long && index[2] >= Math.floor(count / Math.max(samples, 1)));
}

/**
 * The status line of a step: the step, the line about the set, and the running statistics of the cell's channel.
 * @param {{mean: number, var: number, gap: number} | null} running
 */
export function statusAtStep(step, line, running) {
  if (!running) return say("time.status", { step, line });
  const [mean, spread, gap] = [running.mean, running.var, running.gap].map((v) => decimal(v));
  return say("time.status-running", { step, line, mean, var: spread, gap });
}

// ---- charts ---------------------------------------------------------------------------------------------------------

/**
 * A scale for values: linear, or logarithmic for positive ones that span much.
 * @param {number[][]} lists @param {boolean} positive  whether the values are variances, which are never below 0
 */
export function scaleOf(lists, positive) {
  const finite = lists.flat().filter(Number.isFinite);
  const above = finite.filter((v) => v > 0);
  const least = (values) => values.reduce((a, b) => Math.min(a, b), Infinity);
  const most = finite.reduce((a, b) => Math.max(a, b), -Infinity);
  const log = positive && above.length > 0 && most > MOST_LINEAR * least(above);
  let [low, high] = finite.length ? [least(log ? above : finite), most] : [0, 1];
  if (log) {
    [low, high] = [Math.log10(low), Math.log10(high)];
    // A value of 0 lies on the lower edge.
    if (least(finite) <= 0) low -= 0.3;
  } else if (low === high) [low, high] = [low - (Math.abs(low) / 2 || 0.5), high + (Math.abs(high) / 2 || 0.5)];
  const room = 0.06 * (high - low);
  // Variances near 0 are seen beside 0.
  low = positive && !log && low >= 0 && low < high / 3 ? 0 : low - room;
  high += room;
  const turn = (v) => (log ? (v > 0 ? Math.log10(v) : -Infinity) : v);
  return { log, low, high, share: (v) => clamp((turn(v) - low) / (high - low), 0, 1) };
}

/**
 * The values at the ticks of a scale, ascending.
 * @param {{log: boolean, low: number, high: number}} scale
 * @param {(range: number[], about: number) => number[]} linear  gives round values in a range
 * @param {number} about  how many
 */
export function scaleTicks({ log, low, high }, linear, about) {
  if (!log) {
    const few = linear([low, high], about);
    return few.length > 1 ? few : linear([low, high], 2 * about);
  }
  const decades = [];
  const every = Math.max(1, Math.ceil((high - low) / about));
  for (let p = Math.ceil(low / every) * every; p <= high; p += every) decades.push(10 ** p);
  if (decades.length > 1) return decades;
  // Less than two decades: 1, 2 and 5 of each.
  const out = [];
  for (let p = Math.floor(low); p <= high; p++) for (const s of [1, 2, 5]) out.push(s * 10 ** p);
  return out.filter((v) => Math.log10(v) >= low && Math.log10(v) <= high);
}

const SUPERSCRIPTS = "⁰¹²³⁴⁵⁶⁷⁸⁹";
/** A number times a power of ten, as text. */
function asPower(v, digits) {
  if (v === 0 || v === 1) return String(v);
  const [mantissa, exponent] = v.toExponential(digits - 1).split("e");
  const raised = String(Math.abs(Number(exponent))).replace(/./g, (digit) => SUPERSCRIPTS[Number(digit)]);
  const power = `10${Number(exponent) < 0 ? "⁻" : ""}${raised}`;
  return Number(mantissa) === 1 ? power : `${Number(mantissa)}·${power}`;
}

/** The texts at ticks: plain decimals, or powers of ten where those are long; with digits that tell them apart. */
export function tickTexts(values) {
  const plain = values.every((v) => v === 0 || (Math.abs(v) >= 1e-4 && Math.abs(v) < 1e6));
  const write = (digits) => values.map((v) => (plain ? decimal(v, digits) : asPower(v, digits)));
  let digits = 3;
  const apart = Math.min(...values.slice(1).map((v, k) => v - values[k]));
  const lost = (v) => Math.abs(Number(v.toPrecision(digits)) - v) > 0.01 * apart;
  while (digits < 15 && values.some(lost)) digits++;
  return write(digits);
}

/** The rows of each stretch in which all lists are finite, as [first, last]. @param {...number[]} lists */
export function stretches(...lists) {
  const out = [];
  let first = -1;
  for (let t = 0; t <= lists[0].length; t++) {
    const good = t < lists[0].length && lists.every((list) => Number.isFinite(list[t]));
    if (good && first < 0) first = t;
    if (!good && first >= 0) {
      out.push([first, t - 1]);
      first = -1;
    }
  }
  return out;
}

/** The path of a line, with gaps where a number is missing; a number alone is a short dash. */
export const linePath = (values, x, y) =>
  stretches(values)
    .map(([first, last]) => {
      if (first === last) return `M${(x(first) - 2).toFixed(1)} ${y(values[first]).toFixed(1)}h4`;
      let path = "M";
      for (let t = first; t <= last; t++) path += `${x(t).toFixed(1)} ${y(values[t]).toFixed(1)} `;
      return path;
    })
    .join("");

/** The path of the area between two lines, where both have numbers. */
export const areaPath = (upper, lower, x, y) =>
  stretches(upper, lower)
    .map(([first, last]) => {
      let path = "M";
      for (let t = first; t <= last; t++) path += `${x(t).toFixed(1)} ${y(upper[t]).toFixed(1)} `;
      for (let t = last; t >= first; t--) path += `${x(t).toFixed(1)} ${y(lower[t]).toFixed(1)} `;
      return `${path}z`;
    })
    .join("");

/** The row whose step is nearest. @param {number[]} steps  ascending */
export function nearest(steps, step) {
  let best = 0;
  steps.forEach((each, t) => {
    if (Math.abs(each - step) < Math.abs(steps[best] - step)) best = t;
  });
  return best;
}
