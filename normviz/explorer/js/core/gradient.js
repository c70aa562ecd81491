// How x_hat of the picked cell i follows every x_j: d x_hat_i / d x_j. It is 0 outside the set.

import constants from "../../constants.json" with { type: "json" };
import { product, within } from "./geometry.js";
import { decimal } from "./numbers.js";
import { boxesBetween, flatIndex, gather, setValues, statisticsOf } from "./readout.js";
import { say } from "./sentences.js";

const meanOf = (values) => values.reduce((a, b) => a + b, 0) / values.length;
const cellsOf = (box) => product(box.map(([start, stop]) => stop - start));

/** Do ranges and the cells from `first` to `last` have nothing in common along one of the first axes? */
function apart(ranges, first, last, axes) {
  for (let a = 0; a < axes; a++) if (last[a] < ranges[a][0] || first[a] >= ranges[a][1]) return true;
  return false;
}

/**
 * The gradient under one method: (1/s) (delta_ij - (1 + x_hat_i x_hat_j) / m) in the set of m cells, with
 * s = sqrt(var + eps). Without the 1 where no mean is taken; without 1/m for a squared norm; 1/s at i alone in eval.
 *
 * `at(x_j)` is the gradient at another cell of the set, `own` at cell i, `end` the end of the colours on both sides,
 * and `drawn` the mean over a drawn cell: null outside the set.
 */
export function gradientOf(data, shown, name) {
  const method = data.methods[name];
  const { cell } = shown;
  const alone = shown.evaluating && name === "batch";
  const point = cell.map((i) => [i, i + 1]);
  const set = alone ? point : shown.setBy(name);
  const { mean, var: spread } = shown.statisticsAt(cell, name);
  const deviation = Math.sqrt(spread + data.eps);
  const hat = (v) => (v - mean) / deviation;
  // A page without single values takes the mean of the drawn cell.
  const x = shown.about ?? shown.x;
  const here = hat(x);
  const size = set ? cellsOf(set) : shown.size;
  const share = 1 / deviation / (method?.statistic === "squared norm" ? 1 : size);
  const one = !method || method.centered ? 1 : 0;
  const at = (v) => (alone ? 0 : -share * (one + here * hat(v)));
  const own = 1 / deviation + at(x);
  const reach = alone ? 0 : share * (one + constants.normalized[1] * Math.abs(here));
  const labelled = set ? null : { ...data, values: data.labels };

  /** How many cells of a box are in the set, and the sum of their values. */
  const inside = (box) => {
    const common = set ? box.map(([a, b], k) => [Math.max(a, set[k][0]), Math.min(b, set[k][1])]) : box;
    if (common.some(([a, b]) => a >= b)) return [0, 0];
    const mine = labelled && gather(labelled, box).map((label) => label === shown.label);
    const values = gather(data, common).filter((_, k) => !mine || !data.values || mine[k]);
    const count = mine ? mine.filter(Boolean).length : cellsOf(common);
    return [count, count && count * meanOf(values)];
  };
  return {
    own,
    at,
    alone,
    // Beyond these ends lie cell i, if the set is large, and cells with an x_hat beyond 3.
    end: reach === 0 ? 1 / deviation : reach,
    drawn({ cell: first, last, value }, flat) {
      // Most drawn cells lie outside the set, or inside without cell i: no list of their cells is made.
      const axes = flat ? 2 : 4;
      if (set && apart(set, first, last, axes)) return null;
      const whole = set && within(set, first) && within(set, last);
      if (whole && apart(point, first, last, axes)) return at(value);
      const boxes = boxesBetween(data, first, last, flat);
      const total = boxes.reduce((sum, box) => sum + cellsOf(box), 0);
      const [count, sum] = whole
        ? [total, total * value]
        : boxes.map(inside).reduce(([n, s], [more, values]) => [n + more, s + values], [0, 0]);
      const self = boxes.some((box) => within(box, cell)) ? 1 / deviation : 0;
      return count ? (count * at(sum / count) + self) / total : null;
    },
    /** The gradient at one cell j with that value. */
    to(index, value) {
      if (within(point, index)) return own;
      const inside = set ? within(set, index) : data.labels[flatIndex(data, index)] === shown.label;
      return inside ? at(value) : 0;
    },
    /** The values over the set. */
    all() {
      const values = alone ? [x] : setValues(data, shown);
      const found = values.map(at);
      found[Math.max(values.indexOf(x), 0)] = own;
      return found;
    },
    /** The sum over the set: what x_hat_i does when all its cells grow alike. */
    sum() {
      if (one) return alone ? own : 0 * own;
      const centered = { ...method, name: `${name}/mean`, centered: true, statistic: "" };
      const found = statisticsOf(data, centered, shown.G, cell);
      const raw = found.pending ? meanOf(setValues(data, shown)) : found.mean;
      return 1 / deviation - share * here * size * (raw / deviation);
    }
  };
}

/** What a colour shows of the gradient, from -1 to 1: a signed root, because cell i's is so much larger than others. */
export function rooted(value, end) {
  const part = value / (end || 1);
  return Math.abs(part) < 1e-6 ? 0 : Math.sign(part) * Math.sqrt(Math.abs(part));
}

/** The gradient in one sentence, for the status line. */
export function gradientText(data, shown, name) {
  const { own, alone, sum } = gradientOf(data, shown, name);
  if (!Number.isFinite(own)) return say("gradient.sum-lost");
  // Differences of rounding are no gradient.
  const plain = (v) => decimal(Math.abs(v) < 1e-10 / shown.deviation ? 0 : v);
  const key = alone ? "eval" : !shown.method || shown.method.centered ? "mean" : "no-mean";
  return say(`gradient.sum-${key}`, { own: plain(own), sum: plain(sum()) });
}
