// Which methods become the same on a shape: their sets and the statistic of each are equal. For a page on which the
// shape changes. It also says what still differs.

/** @import { Method } from "./geometry.js" */
import { blockOf, product, twinsOf } from "./geometry.js";
import { enumerated, lengthNames, methodWithGroups } from "./readout.js";
import { say } from "./sentences.js";

/**
 * The lengths, and the G of `row`, without which two methods would have different sets; none if they agree on every
 * shape. The G of the other method stands beside its name.
 * @param {Method} row @param {number} G @param {Method} other @param {number[]} shape
 */
export function whyAlike(row, G, other, shape) {
  const names = lengthNames(shape, row);
  const equal = (name, value) => say("same.length", { name, value });
  const found = [];
  for (const [axis, key] of ["n", "c"].entries()) {
    if (row[key] === other[key] || other[key] === "group") continue;
    if (row[key] !== "group") found.push(equal(names[axis], 1));
    else found.push(other[key] === "all" ? equal("G", 1) : equal(`G = ${names[axis]}`, G));
  }
  if (row.spatial !== other.spatial)
    found.push(names.length > 2 ? equal(names.slice(2).join(" = "), 1) : say("same.no-positions"));
  return found;
}

/** Values by a key, in the order in which the keys come. */
function grouped(items, keyOf) {
  const found = new Map();
  for (const item of items) found.set(keyOf(item), [...(found.get(keyOf(item)) ?? []), item]);
  return [...found];
}

/**
 * Sentences on the methods that the chosen one becomes the same as on this shape, on why, and on what still differs.
 * None if there is no such method and the sets have more than one cell.
 * @returns {string[]}
 */
export function sameAs(data, state) {
  const row = data.methods[state.method];
  if (!row) return [];
  const rows = data.order.map((name) => data.methods[name]);
  const twins = twinsOf(rows, row, state.G, data.shape);
  const [samples, channels] = lengthNames(data.shape, row);
  // A G that is the whole length of its axis is named with it: "G = C = 6".
  const name = ({ row: other, G }) => {
    const [axis, extent] = other.n === "group" ? [samples, row.n] : [channels, row.c];
    return methodWithGroups(other, extent === "one" ? `${axis} = ${G}` : G);
  };
  const said = [];
  if (product(blockOf(row, data.shape, state.G)) === 1) said.push(say(row.centered ? "same.cell" : "same.cell-size"));
  const why = ({ row: other }) => enumerated(whyAlike(row, state.G, other, data.shape));
  // What this shape has brought about comes before what is true on every shape.
  for (const [reason, these] of grouped(twins, why).sort(([a], [b]) => Number(!a) - Number(!b))) {
    const about = { method: row.label, others: enumerated(these.map(name)), statistic: row.statistic };
    said.push(reason ? say("same.because", { ...about, reason }) : say("same.always", about));
  }
  const every = [{ row, G: state.G }, ...twins];
  const learned = grouped(every, (one) => one.row.affine.replaceAll(" ", "-"));
  const has = learned.map(([affine, these]) =>
    say("same.has", { methods: enumerated(these.map(name)), count: these.length, what: say(`same.affine-${affine}`) })
  );
  if (has.length > 1) said.push(say("same.affine", { list: has.join("; ") }));
  // What couples samples in training must not do so at inference.
  const [running, own] = [true, false].map((couples) => every.filter((one) => (one.row.n !== "one") === couples));
  const [methods, others] = [running, own].map((some) => enumerated(some.map(name)));
  if (running.length && own.length)
    said.push(say("same.running", { methods, count: running.length, others, more: own.length }));
  return said;
}
