// The same normalization as source code in four frameworks, by a layer of theirs or written out, and in JavaScript.
// What each framework calls an operation stands in frameworks.json, and what the comments say in sentences.json.

import frameworks from "../../frameworks.json" with { type: "json" };
import { flatCode } from "./flat_code.js";
import { hasGroups } from "./geometry.js";
import { tuple } from "./numbers.js";
import { lengthNames, ofWeights } from "./readout.js";
import { fillText, say } from "./sentences.js";

/** The longest line of code that a panel of 420 px shows without scrolling. */
const CODE_WIDTH = 62;
const PARAMETERS = ["weight", "bias"];
const RUNNING = ["running_mean", "running_var"];

export const FRAMEWORKS = [...Object.keys(frameworks.spelling), say("code.javascript")];

/**
 * The source code by framework. It is meant to be copied and run: it takes `x` in the layout that normviz was given,
 * and makes `y` in the same layout, whatever layout the framework prefers in between. JavaScript's arrays are flat.
 * @param {any} method  a row of METHODS
 * @param {{shape: number[], G?: number, eps: number, channelAxis?: number, evaluating?: boolean,
 *   affine?: {weight?: number[], bias?: number[]}}} choice
 *   shape is (N, C, ...spatial), whatever `channelAxis` is, which is the axis of C in the `x` that the code takes;
 *   affine has the shapes of the arrays `weight` and `bias` that scale and shift: (C,), for heads also (C/G,), for
 *   weights (Cout,), or that of one sample, which belongs to Layer Norm alone; `evaluating` takes the arrays
 *   `running_mean` and `running_var`
 * @returns {Record<string, string>}
 */
export function codeOf(method, { shape, G, eps, channelAxis = 1, evaluating = false, affine = {} }) {
  const given = PARAMETERS.filter((name) => affine[name]?.length === 1 || (affine[name] && method.name === "layer"));
  const choice = {
    method,
    shape,
    G,
    C: shape[1],
    axis: (channelAxis + shape.length) % shape.length,
    last: shape.length - 1,
    inner: shape.slice(1).map((_, a) => a + 1),
    cells: shape.reduce((a, b) => a * b, 1),
    eps: eps && eps < 1e-4 ? eps.toExponential() : String(eps),
    evaluating,
    // A head's norm is one of C/G channels at one position.
    heads: method.n === "one" && method.c === "group" && method.spatial === "one",
    given,
    perElement: given.filter((name) => affine[name].length > 1)
  };
  const flat = { ...choice, names: layout(choice, choice.axis), lengths: ordered(shape, choice.axis) };
  const lines = (name) => (name in frameworks.spelling ? snippetOf(choice, name) : flatCode(flat));
  return Object.fromEntries(FRAMEWORKS.map((name) => [name, lines(name).join("\n")]));
}

function snippetOf(choice, framework) {
  const { method, shape, C, G, axis, last, given, evaluating, heads } = choice;
  const spelling = frameworks.spelling[framework];
  const layer = LAYERS[framework]?.(heads ? ofHeads(choice) : choice);
  const lines = [
    // A calculation that is written out needs only the first import, of the arrays.
    ...spelling.imports.slice(0, layer ? 2 : 1),
    "",
    `# x: ${tuple(layout(choice, axis))} = ${tuple(ordered(shape, axis))}`,
    spelling.convert
  ];
  if (!layer)
    return [
      ...lines,
      ...byHand(choice, spelling),
      ...(method.name === "frn" ? comment(say("code.frn")) : []),
      ...(framework === "PyTorch" && NOT_OF_ONE_CELL.includes(method.name) ? comment(say("code.torch-refuses")) : []),
      ...(framework === "PyTorch" && method.name === "weight_norm" ? comment(say("code.torch-no-eps")) : [])
    ];
  const wanted = layer.axis;
  const end = (at) => (at === last ? -1 : at);
  const moving = (from, to) =>
    from === to ? [] : [(x) => fillText(spelling.move, { x, from: end(from), to: end(to) })];
  const shaping = (...lengths) =>
    heads ? [(x) => fillText(spelling.reshape, { x, lengths: [-1, ...shape.slice(2), ...lengths].join(", ") })] : [];
  const names = layout(choice, wanted);
  const holds = heads ? {} : layer.holds;
  const held = [...given, ...(evaluating ? RUNNING : [])].filter((name) => holds[name]);
  const outside = given.filter((name) => !holds[name]);
  const apply = layer.apply ?? "norm(x)";
  const back = [...shaping(C), ...moving(wanted, axis)];
  return [
    ...lines,
    ...chained(
      "x",
      "x",
      [...moving(axis, wanted), ...shaping(G, C / G)],
      tuple(heads ? [...names.slice(0, -1), "G", "C/G"] : names)
    ),
    ...called(`norm = ${fillText(spelling.layer, layer)}`, layer.options),
    ...(held.length && spelling.before ? [spelling.before] : []),
    ...held.map((name) =>
      fillText((RUNNING.includes(name) && spelling.set_running) || spelling.set, { own: holds[name], array: name })
    ),
    ...(evaluating && spelling.evaluate ? [spelling.evaluate] : []),
    ...(heads && outside.length
      ? [`y = ${apply}`, ...scaled(choice, spelling, outside, last), ...chained("y", "y", back)]
      : [...chained("y", apply, back), ...scaled(choice, spelling, outside)]),
    ...(evaluating ? [] : heads ? comment(say("code.heads")) : layer.notes.flatMap(comment))
  ];
}

/** What a layer gets to do for heads: it normalizes the last axis, of C/G channels, and takes no weight. */
const ofHeads = ({ method, C, G, ...rest }) => ({
  ...rest,
  method: { ...method, name: { "mean and variance": "positional", "mean square": "rms" }[method.statistic] },
  C: C / G,
  G,
  given: []
});

/** The layers of each framework, and what they call the arrays; null where none takes this x. */
const LAYERS = {
  /** Channels are on axis 1, except for the layers that normalize the last axes. */
  PyTorch({ method, shape, C, G, axis, last, eps, cells, given, perElement, evaluating }) {
    const channels = axis || 1;
    const inner = ordered(shape, channels).slice(1);
    const dims = Math.max(shape.length - 2, 1);
    const off = given.length ? "" : "affine=False";
    const lastOff = given.length ? "" : "elementwise_affine=False";
    const whole = method.name !== "layer" || perElement.length === given.length;
    const epsilon = `eps=${eps}`;
    // It refuses sets of one cell, but not where the last axes are normalized.
    const [name, at, options] =
      {
        batch: evaluating || cells > C ? [`BatchNorm${dims}d`, 1, [C, epsilon, off]] : [],
        layer: whole
          ? ["LayerNorm", channels, [list(inner), epsilon, lastOff]]
          : cells > 1
            ? ["GroupNorm", 1, [1, C, epsilon]]
            : [],
        instance:
          cells > shape[0] * C ? [`InstanceNorm${dims}d`, 1, [C, epsilon, given.length ? "affine=True" : ""]] : [],
        group: cells > G ? ["GroupNorm", 1, [G, C, epsilon, off]] : [],
        positional: ["LayerNorm", last, [C, epsilon, lastOff]],
        rms: ["RMSNorm", last, [C, epsilon, lastOff]]
      }[method.name] ?? [];
    if (!name) return null;
    const holds = Object.fromEntries([...PARAMETERS, ...RUNNING].map((array) => [array, array]));
    const topic = whole ? method.name : "channels";
    return {
      name,
      axis: at,
      options,
      holds: !whole && perElement.length ? {} : method.centered ? holds : { weight: "weight" },
      notes: [say(`code.torch-${topic}`, { shape: tuple(inner) })]
    };
  },

  /** Channels come last; weight and bias are per channel for every method. */
  "JAX/Flax"(choice) {
    const { method, C, G, last, inner, eps, evaluating } = choice;
    const [name, option] =
      {
        batch: ["BatchNorm", `use_running_average=${truth(evaluating)}`],
        layer: ["LayerNorm", inner.length > 1 ? `reduction_axes=${tuple(inner)}` : ""],
        instance: ["InstanceNorm", ""],
        group: ["GroupNorm", `num_groups=${G}`],
        positional: ["LayerNorm", ""],
        rms: ["RMSNorm", ""]
      }[method.name] ?? [];
    if (!name) return null;
    const holds = accepted(choice, { weight: "scale", bias: "bias", running_mean: "mean", running_var: "var" });
    return {
      name,
      axis: last,
      options: [
        C,
        option,
        `epsilon=${eps}`,
        holds.weight ? "" : "use_scale=False",
        method.centered && !holds.bias ? "use_bias=False" : "",
        method.centered ? "use_fast_variance=False" : "",
        "rngs=nnx.Rngs(0)"
      ],
      holds,
      notes: [say(`code.flax-${method.name}`), ...(method.centered ? [say("code.flax-variance")] : [])]
    };
  },

  /** Channels come last; LayerNormalization has one weight for each element that it reduces. */
  Keras(choice) {
    const { method, G, last, inner, eps, evaluating, given, perElement } = choice;
    const channels = method.name === "layer" && given.length > 0 && !perElement.length;
    const [name, option] =
      {
        batch: ["BatchNormalization", ""],
        layer: channels
          ? ["GroupNormalization", 1]
          : ["LayerNormalization", inner.length > 1 ? `axis=${list(inner)}` : ""],
        instance: ["GroupNormalization", -1],
        group: ["GroupNormalization", G],
        positional: ["LayerNormalization", ""],
        rms: ["RMSNormalization", ""]
      }[method.name] ?? [];
    if (!name) return null;
    const running = { running_mean: "moving_mean", running_var: "moving_variance" };
    const holds = accepted(choice, { weight: method.centered ? "gamma" : "scale", bias: "beta", ...running });
    const topic = channels ? "channels" : method.name;
    const cancels = !channels && /^(Batch|Group)/.test(name);
    return {
      name,
      axis: last,
      options: [
        option,
        `epsilon=${eps}`,
        ...(method.centered ? [holds.weight ? "" : "scale=False", holds.bias ? "" : "center=False"] : [])
      ],
      holds,
      apply: method.name === "batch" ? `norm(x, training=${truth(!evaluating)})` : "norm(x)",
      notes: [say(`code.keras-${topic}`), ...(cancels ? [say("code.keras-variance")] : [])]
    };
  }
};
/** The methods whose layer in PyTorch refuses sets of one cell. */
const NOT_OF_ONE_CELL = ["batch", "layer", "instance", "group"];

/** Leaves out arrays that are not given, and those that a layer with one weight per channel cannot take. */
function accepted({ method, given, perElement }, names) {
  const taken = (name) =>
    RUNNING.includes(name) || (given.includes(name) && !perElement.length && (method.centered || name === "weight"));
  return Object.fromEntries(Object.entries(names).filter(([name]) => taken(name)));
}

/** The calculation: view x by blocks, reduce, normalize, scale and shift, without a branch for each method. */
function byHand(choice, spelling) {
  const { method, shape, C, G, axis, eps, evaluating, heads } = choice;
  const extents = ordered(
    shape.map((_, a) => [method.n, method.c, method.spatial][Math.min(a, 2)]),
    axis
  );
  const lengths = ordered([-1, C, ...shape.slice(2)], axis);
  const [view, back] = [[], []];
  let z = "x";
  // The grouped axis becomes two, such as (G, C/G), and the second one is pooled.
  if (hasGroups(method)) {
    const [at, inside] = method.n === "group" ? [axis ? 0 : 1, -1] : [axis, `${C} // ${G}`];
    extents.splice(at, 1, "one", "all");
    lengths.splice(at, 1, G, inside);
    z = "z";
    view.push(`z = ${fillText(spelling.reshape, { x: "x", lengths: lengths.join(", ") })}`);
    back.push(`y = ${fillText(spelling.reshape, { x: "y", lengths: "*x.shape" })}`);
  }
  const pooled = [...extents.keys()].filter((a) => extents[a] === "all");
  const axes = pooled.length === 1 ? pooled[0] : tuple(pooled);
  const affine = scaled(choice, spelling, choice.given);
  const after = heads ? [...affine, ...back] : [...back, ...affine];
  const root = (variance) => fillText(spelling.sqrt, { x: `${variance} + ${eps}` });
  if (evaluating)
    return [
      `mean = ${along(choice, spelling, "running_mean")}`,
      `var = ${along(choice, spelling, "running_var")}`,
      `y = (x - mean) / ${root("var")}`,
      ...after
    ];
  if (!method.centered) {
    const pool = method.statistic === "squared norm" ? spelling.sum : spelling.mean;
    const square = pooled.length ? fillText(pool, { x: `(${z}**2)`, axes }) : `${z}**2`;
    return [...view, `square = ${square}`, noted(`y = ${z} / ${root("square")}`, say("code.no-mean")), ...after];
  }
  // Some frameworks reduce over all axes if none is given.
  if (!pooled.length) return [noted("y = x - x", say("code.one-cell")), ...after];
  return [
    ...view,
    `mean = ${fillText(spelling.mean, { x: z, axes })}`,
    noted(`var = ${fillText(spelling.var, { x: z, axes })}`, say("code.biased")),
    `y = (${z} - mean) / ${root("var")}`,
    ...after
  ];
}

/** Weight and bias written out, where the channels are on axis `at`. */
const scaled = (choice, spelling, names, at = choice.axis) =>
  names.map((name) => `y = y ${name === "weight" ? "*" : "+"} ${along(choice, spelling, name, at)}`);

/** An array, shaped to broadcast against x; for heads against (G, C/G), so that it may also be one that they share. */
function along({ method, shape, C, G, axis, last, perElement, heads }, spelling, array, at = axis) {
  const whole = fillText(spelling.array, { array });
  if (perElement.includes(array)) return axis ? whole : `${whole}[:, None]`;
  const [length, place] = ofWeights(method) ? [shape[0], axis ? 0 : 1] : [C, at];
  if (place === last && !heads) return whole;
  const lengths = [...(heads ? [-1, C / G] : [length]), ...Array(last - place).fill(1)];
  return fillText(spelling.shaped, { array, lengths: lengths.join(", ") });
}

/** Items of (n, c, ...spatial) in the order that has c at `axis`. @param {any[]} items @returns {any[]} */
const ordered = ([n, c, ...spatial], axis) => [n, ...spatial].toSpliced(axis, 0, c);
/** The names of the lengths of the axes, such as (N, H, W, C). */
const layout = ({ method, shape }, axis) => ordered(lengthNames(shape, method), axis);
/** A list and a truth value as Python writes them. */
const list = (items) => `[${items.join(", ")}]`;
const truth = (is) => (is ? "True" : "False");

/** `name` becomes what operations make of `start`, in one line if it fits, which a comment follows if there is room. */
function chained(name, start, operations, text = "") {
  const whole = operations.reduce((x, operation) => operation(x), start);
  if (whole === name) return [];
  const lines =
    `${name} = ${whole}`.length <= CODE_WIDTH || operations.length < 2
      ? [`${name} = ${whole}`]
      : operations.map((operation, k) => `${name} = ${operation(k ? name : start)}`);
  return text ? [...lines.slice(0, -1), noted(lines.at(-1), text)] : lines;
}

/** A line with a comment behind it, where there is room for one. */
function noted(line, text) {
  const whole = `${line}  # ${text}`;
  return whole.length <= CODE_WIDTH ? whole : line;
}

/** A sentence as lines of comments. */
const comment = (text) =>
  folded(text.split(" "), (words) => `# ${words.join(" ")}`).map((words) => `# ${words.join(" ")}`);

/** `start(options)`, on one line where it fits, else with the options on lines of their own. */
function called(start, options) {
  const sources = options.filter((option) => option !== "").map(String);
  const whole = `${start}(${sources.join(", ")})`;
  if (whole.length <= CODE_WIDTH) return [whole];
  const lines = folded(sources, (some) => `    ${some.join(", ")},`).map((some) => `    ${some.join(", ")},`);
  return [`${start}(`, ...lines.slice(0, -1), `${lines.at(-1).slice(0, -1)})`];
}

/** Items in as few rows as the width of a line allows. */
function folded(items, line) {
  const rows = [[]];
  for (const item of items)
    if (!rows[0].length || line([...rows.at(-1), item]).length <= CODE_WIDTH) rows.at(-1).push(item);
    else rows.push([item]);
  return rows;
}
