// The numbers of one state: the set, its statistics and the values of one cell. No DOM.

/** @import { Method } from "./geometry.js" */
import { blockOf, cubeShape, divisors, hasGroups, setOf, toCube } from "./geometry.js";
import { digitsFor, mergeAtoms, statisticsOfMoments, statisticsOfValues, tuple, twoPass, unpack } from "./numbers.js";
import { say } from "./sentences.js";

/** Up to which multiple of the variance the square of the mean may be, so that merged moments keep 13 digits. */
const MOST_OVER_VARIANCE = 1e4;

/** Unpack the scene once. */
export function readScene(scene) {
  const methods = Object.fromEntries(scene.methods.map((row) => [row.name, row]));
  const labels = unpack(scene.labels);
  return {
    ...scene,
    methods,
    order: scene.methods.map((row) => row.name),
    /** Is there one method, which cannot be changed? */
    single: scene.methods.length === 1,
    cube: cubeShape(scene.shape),
    divisors: divisors(scene.shape[1]),
    values: unpack(scene.values),
    coarse: unpack(scene.coarse),
    mean: unpack(scene.mean),
    m2: unpack(scene.m2),
    rest: null,
    weight: unpack(scene.weight),
    bias: unpack(scene.bias),
    labels,
    given: labels && {
      sets: new Set(labels).size,
      last: labels.reduce((a, b) => Math.max(a, b)),
      ...unpackAll(scene.sets)
    },
    running: unpackAll(scene.running),
    positions: unpackAll(scene.positions),
    statistics: new Map(),
    answers: new Map()
  };
}

const unpackAll = (packed) =>
  packed && Object.fromEntries(Object.entries(packed).map(([key, array]) => [key, unpack(array)]));

/** Position of a cell of the cube in the flat tensor. @param {any} data @param {number[]} cell */
export const flatIndex = ({ cube: [, C, H, W] }, [n, c, h, w]) => ((n * C + c) * H + h) * W + w;

/**
 * The values of a range of cells, exact, or the coarse means that overlap it.
 * @param {any} data @param {number[][]} ranges
 */
export function gather(data, [ns, cs, hs, ws]) {
  const out = [];
  const exact = data.values !== null;
  const source = exact ? data.values : data.coarse;
  const [, bc, bh, bw] = exact ? [1, 1, 1, 1] : data.bins;
  const [, C, H, W] = data.cube.map((length, a) => Math.ceil(length / (exact ? 1 : data.bins[a])));
  const reach = (range, size) => [Math.floor(range[0] / size), Math.ceil(range[1] / size)];
  const [c0, c1] = reach(cs, bc);
  const [h0, h1] = reach(hs, bh);
  const [w0, w1] = reach(ws, bw);
  for (let n = ns[0]; n < ns[1]; n++)
    for (let c = c0; c < c1; c++)
      for (let h = h0; h < h1; h++) for (let w = w0; w < w1; w++) out.push(source[((n * C + c) * H + h) * W + w]);
  // Bytes stand for levels of a colour; of a recording there are numbers.
  return exact || !(source instanceof Uint8Array)
    ? out
    : out.map((level) => (level === 255 ? NaN : data.extent[0] + (level / 254) * (data.extent[1] - data.extent[0])));
}

/** Does x hold NaN or infinity? The cube of a quiz or of the guide has no values. */
export function hasHoles({ statistics, values, coarse }) {
  if (!statistics) return false;
  if (!statistics.has("holes"))
    statistics.set("holes", values ? !values.every(Number.isFinite) : Boolean(coarse?.includes(255)));
  return statistics.get("holes");
}

/** The sets of a method, and the statistics that have been computed of them. */
export function tableOf(data, method, G) {
  const key = `${method.name}/${hasGroups(method) ? G : ""}`;
  let table = data.statistics.get(key);
  if (!table) {
    const block = blockOf(method, data.cube, G);
    table = { block, grid: data.cube.map((length, a) => length / block[a]), found: [] };
    data.statistics.set(key, table);
  }
  return table;
}

/** The number of the set of `cell`: sets are in the order of their first cells. */
export function setNumber({ block, grid }, cell) {
  let number = 0;
  for (let a = 0; a < 4; a++) number = number * grid[a] + Math.floor(cell[a] / block[a]);
  return number;
}

/** Mean and variance of the set of `cell`; each set is computed once. */
export function statisticsOf(data, method, G, cell, table = tableOf(data, method, G)) {
  const { block, found } = table;
  return (
    (found[setNumber(table, cell)] ??= compute(data, method, setOf(block, cell))) ?? {
      mean: NaN,
      var: NaN,
      pending: true
    }
  );
}

function compute(data, method, set) {
  const [, C, H, W] = data.cube;
  const [ns, cs, hs, ws] = set;
  let merged;
  if (method.spatial === "all" && data.mean) {
    const atoms = [];
    for (let n = ns[0]; n < ns[1]; n++) for (let c = cs[0]; c < cs[1]; c++) atoms.push(n * C + c);
    merged = mergeAtoms(data, data.count, atoms);
  }
  // Where the mean is large beside the deviations, the means of the atoms have lost digits of their differences. Beside
  // an infinite value there is no variance, but a mean square. The values give both.
  const lost =
    merged &&
    (method.centered ? merged.mean ** 2 > MOST_OVER_VARIANCE * (merged.m2 / merged.count) : Number.isNaN(merged.m2));
  if (data.values && (!merged || lost)) return statisticsOfValues(gather(data, set), method);
  if (!merged && data.positions && method.spatial === "one" && method.c === "all") {
    const at = (ns[0] * H + hs[0]) * W + ws[0];
    merged = { count: C, mean: data.positions.mean[at], m2: data.positions.m2[at] };
  }
  return merged ? statisticsOfMoments(merged, method) : null;
}

/** Values and statistics of a given set: from its values, or from the scene where it carries no values. */
function givenSet(data, label) {
  const values = [];
  const { given } = data;
  if (!data.values) {
    const at = given.label.indexOf(label);
    return { values, size: given.count[at], mean: given.mean[at], var: given.var[at] };
  }
  for (let i = 0; i < data.labels.length; i++) if (data.labels[i] === label) values.push(data.values[i]);
  return { values, size: values.length, ...twoPass(values, true) };
}

/** Mean and variance of every given set, by its label; computed once. @returns {Map<number, any>} */
function givenStatistics(data) {
  const { statistics, given, labels, values } = data;
  if (statistics.has("given")) return statistics.get("given");
  const found = new Map();
  if (values) {
    const sets = new Map();
    labels.forEach((label, i) => {
      if (!sets.has(label)) sets.set(label, []);
      sets.get(label).push(values[i]);
    });
    for (const [label, own] of sets) found.set(label, twoPass(own, true));
  } else for (const [k, label] of given.label.entries()) found.set(label, { mean: given.mean[k], var: given.var[k] });
  statistics.set("given", found);
  return found;
}

/**
 * All numbers of a state.
 * @param {(question: object) => void} ask  asks a running kernel for numbers that the page does not carry
 */
export function measure(data, state, ask = () => {}) {
  const { shape } = data;
  const cell = toCube(state.index, shape);
  const given = state.method === "given";
  const method = data.methods[state.method];
  const G = state.G;
  const flat = flatIndex(data, cell);
  const [, C] = shape;
  const evaluating = state.mode === "eval" && state.method === "batch" && data.running !== null;
  const shown = { method, given, G, labels: given && data.labels, cell, evaluating };
  if (given) {
    shown.label = data.labels[flat];
    Object.assign(shown, { ...givenSet(data, shown.label), sets: data.given.sets, block: null, ownSet: null });
    shown.set = data.cube.map((length) => [0, length]);
  } else {
    const block = blockOf(method, shape, G);
    Object.assign(shown, {
      block,
      ownSet: setOf(block, state.index),
      size: block.reduce((a, b) => a * b, 1),
      grid: shape.map((length, a) => length / block[a]),
      set: setOf(blockOf(method, data.cube, G), cell),
      ...statisticsOf(data, method, G, cell)
    });
    shown.sets = shown.grid.reduce((a, b) => a * b, 1);
    shown.statisticsShape = shown.grid.filter((_, a) => [method.n, method.c, method.spatial][Math.min(a, 2)] !== "all");
    if (evaluating)
      Object.assign(shown, { mean: data.running.mean[cell[1]], var: data.running.var[cell[1]], pending: false });
  }
  const answer = data.answers.get(`${state.method}/${G}/${state.index}`);
  if (data.values) shown.x = data.values[flat];
  else if (answer) shown.x = answer.x;
  else {
    // The page carries only the mean of a drawn cell, which is not the x to be normalized.
    shown.x = NaN;
    shown.about = gather(
      data,
      cell.map((i) => [i, i + 1])
    )[0];
    ask({ method: state.method, num_groups: G, index: state.index });
  }
  if (shown.pending && answer) Object.assign(shown, { mean: answer.mean, var: answer.var, pending: false });
  // Weight or bias applied at a cell. Per-element parameters exist only for Layer Norm, per-filter ones for weights.
  const perOutput = Boolean(data.per_output);
  const applies = (!data.elementwise.length || state.method === "layer") && perOutput === ofWeights(method);
  const inSample = flat % shape.slice(1).reduce((a, b) => a * b, 1);
  const of = (parameter) => parameter[perOutput ? cell[0] : parameter.length === C ? cell[1] : inSample];
  shown.gamma = applies && data.weight ? of(data.weight) : 1;
  shown.beta = applies && data.bias ? of(data.bias) : 0;
  shown.affine = applies && (data.weight !== null || data.bias !== null);
  shown.deviation = Math.sqrt(shown.var + data.eps);
  shown.digits = digitsFor(shown.x, shown.mean, Math.sqrt(shown.var));
  shown.normalized = (shown.x - shown.mean) / shown.deviation;
  shown.y = shown.normalized * shown.gamma + shown.beta;
  shown.setBy = (name) =>
    (evaluating && name === "batch") || !data.methods[name]
      ? null
      : setOf(blockOf(data.methods[name], data.cube, G), cell);
  if (evaluating) shown.set = null;
  const tables = new Map();
  shown.statisticsAt = (at, name) => {
    if (name === "given") return givenStatistics(data).get(data.labels[flatIndex(data, at)]);
    if (evaluating && name === "batch") return { mean: data.running.mean[at[1]], var: data.running.var[at[1]] };
    const row = data.methods[name];
    if (!tables.has(name)) tables.set(name, tableOf(data, row, G)); // thousands of cells ask for the same one
    return statisticsOf(data, row, G, at, tables.get(name));
  };
  return shown;
}

/**
 * The boxes of the cells from `cell` to `last` that a drawn cell stands for. With `flat`, as in the classical figure, H
 * and W are one axis, so the cells may begin and end within a row.
 * @returns {number[][][]}
 */
export function boxesBetween(data, cell, last, flat) {
  const [n, c, h, w] = cell.map((start, a) => [start, last[a] + 1]);
  if (!flat || cell[2] === last[2]) return [[n, c, h, w]];
  // Means of drawn cells do not follow the positions, so those of whole rows are taken.
  if (!data.values) return [[n, c, h, [0, data.cube[3]]]];
  const row = (y) => [y === cell[2] ? w[0] : 0, y === last[2] ? w[1] : data.cube[3]];
  return Array.from({ length: h[1] - h[0] }, (_, k) => [n, c, [h[0] + k, h[0] + k + 1], row(h[0] + k)]);
}

/** The value that colours one drawn cell: the mean of the cells that it stands for. */
export function drawnValue(data, cell, last, flat) {
  if (data.values && cell.every((start, a) => start === last[a])) return data.values[flatIndex(data, cell)];
  const values = boxesBetween(data, cell, last, flat).flatMap((box) => gather(data, box));
  return values.reduce((a, b) => a + b, 0) / values.length;
}

/** The same, each cell normalized by its own set; where the page has only means, by the set of the first cell. */
export function drawnNormalized(data, shown, name, { cell, last, one, value }, flat) {
  const normalize = (v, { mean, var: spread }) => (v - mean) / Math.sqrt(spread + data.eps);
  const first = shown.statisticsAt(cell, name);
  if (one) return normalize(value, first);
  const final = shown.statisticsAt(last, name);
  const alike = first === final || (shown.evaluating && name === "batch" && cell[1] === last[1]);
  if (!data.values || (alike && name !== "given")) return normalize(value, first);
  let sum = 0;
  let count = 0;
  for (const [ns, cs, hs, ws] of boxesBetween(data, cell, last, flat))
    for (let n = ns[0]; n < ns[1]; n++)
      for (let c = cs[0]; c < cs[1]; c++)
        for (let h = hs[0]; h < hs[1]; h++)
          for (let w = ws[0]; w < ws[1]; w++, count++)
            sum += normalize(data.values[flatIndex(data, [n, c, h, w])], shown.statisticsAt([n, c, h, w], name));
  return sum / count;
}

/** The values of the set before and after, for the histogram. */
export function setValues(data, shown) {
  if (shown.values) return shown.values;
  const whole = shown.set ?? data.cube.map((length, a) => (a === 1 ? [shown.cell[1], shown.cell[1] + 1] : [0, length]));
  return gather(data, whole);
}

/** "cell (0, 3, 1, 1)" */
export const cellName = (index) => say("common.cell", { index: index.join(", ") });
/**
 * The name of a method, with G if it takes one.
 * @param {Method | undefined} method  undefined for given sets
 * @param {number} [G]
 */
export const methodName = (method, G) =>
  !method ? say("common.given") : hasGroups(method) ? say("common.named", { method: method.label, G }) : method.label;
/** The same inside a sentence: "Group Norm with G = 4". */
export const methodWithGroups = (method, G) =>
  hasGroups(method) ? say("common.named-with", { method: method.label, G }) : method.label;
/** "a, b and c", or "a, b or c" */
export const enumerated = (names, word = "and") =>
  names.length > 1
    ? say(`common.list-${word}`, { rest: names.slice(0, -1).join(", "), last: names.at(-1) })
    : names.join("");

/**
 * The texts about a method: what is pooled, the condition that every j in S_i meets, and the symbolic shape of the
 * statistics. `texts.words` in Python returns the same.
 */
export function methodTexts(row, shape) {
  const lengths = lengthNames(shape, row);
  const axes = axisNames(shape, row)
    .map((axis, a) => ({ axis, length: lengths[a], extent: [row.n, row.c, row.spatial][Math.min(a, 2)] }))
    .filter(({ extent }) => extent !== "all");
  const kept = axes.map(({ length, extent }) => (extent === "group" ? "G" : length));
  const kernels = ofWeights(row);
  const where = kernels ? "kernel" : row.spatial;
  const pooled = {
    samples: say(`sets.samples-${row.n}`),
    channels: say(`sets.channels-${row.c}`),
    positions: shape.length > 2 ? ` ${say(`sets.positions-${where}`)}` : "",
    numbers: row.centered ? say("sets.mean") : say("sets.no-mean", { statistic: row.statistic })
  };
  return {
    words: say(kernels ? "sets.words-weights" : "sets.words", pooled),
    symbol: axes.map(({ axis, length, extent }) => say(`sets.same-${extent}`, { axis, length })).join(", "),
    statistics: tuple(kept)
  };
}

/** Does x stand for weights? @param {Method} [method]  undefined for given sets */
export const ofWeights = (method) => method?.axes === "weights";
/** The name of the second statistic. */
export const spreadName = (method) => (!method || method.centered ? "variance" : method.statistic);
/** Names of the axes of x: n, c, h, w; of weights Cout, Cin, kH, kW. */
export function axisNames(shape, method) {
  const spatial = { 2: [], 3: ["l"], 4: ["h", "w"], 5: ["d", "h", "w"] }[shape.length];
  return ofWeights(method)
    ? ["Cout", "Cin", ...spatial.map((name) => `k${name.toUpperCase()}`)]
    : ["n", "c", ...spatial];
}
/** Names of the lengths of the axes: N, C, H, W; of weights Cout, Cin, kH, kW. */
export const lengthNames = (shape, method) =>
  axisNames(shape, method).map((name) => (ofWeights(method) ? name : name.toUpperCase()));
/** What the keys do with a cube, for screen readers. @param {string[]} axes */
export const keysText = ([sample, channel, ...spatial]) =>
  `${spatial.length ? `${say("common.keys-arrows", { axes: enumerated(spatial) })} ` : ""}` +
  say("common.keys", { channel, sample });
