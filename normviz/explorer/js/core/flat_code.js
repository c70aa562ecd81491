// The calculation in plain JavaScript over a flat array, where the place of a cell tells which cells share its set.
// The lines of the code stand in frameworks.json.

import frameworks from "../../frameworks.json" with { type: "json" };
import { ofWeights } from "./readout.js";
import { fillText, say } from "./sentences.js";

const write = (name, values) => fillText(frameworks.flat[name], values);
const inOneLine = (list) => write("constants", { list: list.join(", ") });
const times = (factors) => factors.join(" * ") || "1";
const bracket = (factors) => (factors.length > 1 ? `(${times(factors)})` : times(factors));

/**
 * Lines in which `S(i)` is the number of the set of cell i. The first pass over x sums up the means, the second one the
 * squared deviations from them.
 * @param {any} choice  as in code.js, with `lengths` of the axes of x in its own order, and their `names`
 * @returns {string[]}
 */
export function flatCode({ method, names, lengths, axis, G, eps, evaluating, heads, given, perElement }) {
  const sample = ofWeights(method) ? "o" : "n";
  /** The index of cell i along axes that lie side by side, from `start` to before `end`. @param {any[]} range */
  const along = ([start, end]) => {
    const whole = end < names.length ? write("whole", { behind: bracket(names.slice(end)) }) : "i";
    return start ? `${whole} % ${bracket(names.slice(start, end))}` : whole;
  };
  const first = axis ? 0 : 1;
  // Where the channels lie between the positions, these are two runs of axes.
  const runs = [
    [first + 1, axis],
    [Math.max(axis, first) + 1, names.length]
  ].filter(([start, end]) => start < end);
  const positions = runs.flatMap(([start, end]) => names.slice(start, end));
  // The three parts of an index: the extent of a set along it, its letter, its lengths.
  const parts = [
    [method.n, sample, [names[first]]],
    [method.c, "c", [names[axis]]],
    ...(runs.length ? [[method.spatial, "p", positions]] : [])
  ];
  const [, cut, [length]] = parts.find(([extent]) => extent === "group") ?? parts[1];
  const indices = {
    [sample]: along([first, first + 1]),
    c: along([axis, axis + 1]),
    p: runs.map(along).join(` * ${times(names.slice(...(runs[1] ?? [0])))} + `),
    g: write("group", { letter: cut, length })
  };
  const kept = parts
    .filter(([extent]) => extent !== "all")
    .map(([extent, letter, factors]) => (extent === "group" ? ["g", ["G"]] : [letter, factors]));
  const pooled = parts
    .filter(([extent]) => extent !== "one")
    .map(([extent, , factors]) => (extent === "group" ? `${length} / G` : times(factors)));
  const number = kept
    .slice(1)
    .reduce(
      (all, [letter, factors], k) => `${k ? `(${all})` : all} * ${times(factors)} + ${letter}(i)`,
      kept.length ? `${kept[0][0]}(i)` : "0"
    );
  const sizes = [`sets = ${times(kept.flatMap(([, factors]) => factors))}`, `size = ${times(pooled)}`];
  const lines = evaluating
    ? [
        write("root", { name: "running_var", term: "v", eps }),
        write("y", { term: "(v - running_mean[c(i)]) / s[c(i)]" })
      ]
    : [
        write("index", { letter: "S", index: number }),
        inOneLine(sizes.slice(0, method.statistic === "squared norm" ? 1 : 2)),
        ...reduction(method.statistic, eps)
      ];
  const element = axis ? `i % ${bracket(names.slice(1))}` : runs.length ? `c(i) * ${times(positions)} + p(i)` : "c(i)";
  for (const name of given) {
    const own = ofWeights(method) ? sample : "c";
    const at = perElement.includes(name) ? element : heads ? `c(i) % ${name}.length` : `${own}(i)`;
    lines.push(write("affine", { sign: name === "weight" ? "*" : "+", name, at }));
  }
  const text = lines.join();
  const uses = (letter) => text.includes(`${letter}(i)`);
  const used = Object.entries(indices).filter(([letter]) => uses(letter) || (letter === cut && uses("g")));
  const groups = uses("g") ? write("groups", { G }) : "";
  return [
    write("x", { names: `(${names.join(", ")})` }),
    write("lengths", { names: names.join(", "), lengths: lengths.join(", "), groups }),
    ...used.map(([letter, index]) => write("index", { letter, index })),
    ...lines,
    ...(method.centered && !evaluating ? [`// ${say("code.one-pass")}`] : []),
    ...(method.name === "frn" ? [`// ${say("code.frn")}`] : [])
  ];
}

/** The lines from the sums of the sets to y. */
function reduction(statistic, eps) {
  if (statistic === "mean and variance")
    return [
      inOneLine(["mean", "M2"].map((name) => write("zeros", { name }))),
      write("sum", { name: "mean", term: "v / size" }),
      write("sum", { name: "M2", term: "(v - mean[S(i)]) ** 2" }),
      write("root", { name: "M2", term: "v / size", eps }),
      write("y", { term: "(v - mean[S(i)]) / s[S(i)]" })
    ];
  return [
    inOneLine([write("zeros", { name: "square" })]),
    write("sum", { name: "square", term: "v ** 2" }),
    write("root", { name: "square", term: statistic === "mean square" ? "v / size" : "v", eps }),
    write("y", { term: "v / s[S(i)]" })
  ];
}
