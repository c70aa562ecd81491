// What x alone decides of the data of an explorer: moments, colours, and means of boxes where there are many cells.
// Python computes the same in scene.py; here x was made in the page.

import constants from "../../constants.json" with { type: "json" };
import { clamp, cubeShape, divisors, product } from "../core/geometry.js";
import { createWalk, fiveAxes } from "./stored_order.js";

/**
 * Where the mean of a set lies further than the root of this, in standard deviations, from the value that its sums are
 * relative to, too many digits cancel, and a second pass sums relative to the mean.
 */
const MOST_CANCELLED = 64;
/** With fewer positions, the moments of a large tensor would need much more memory than its values. */
const LEAST_POSITIONS = 16;

/**
 * The part of the data of an explorer that belongs to a tensor with these values, in C order.
 * @param {Float32Array | Float64Array} values @param {number[]} shape  (N, C, ...spatial)
 * @param {string} dtype  of x, as it is shown
 */
export function partOf(values, shape, dtype) {
  const tally = createTally(shape);
  do tally.add(values);
  while (tally.again());
  return tally.part(values, dtype);
}

/**
 * Sums over a tensor that comes in pieces, in the order in which it is stored. After one pass, `again()` says whether
 * some sets need a second one; then come the same pieces once more.
 * @param {number[]} shape  (N, C, ...spatial)
 * @param {import("./stored_order.js").Layout} layout
 */
export function createTally(shape, layout = {}) {
  const cube = cubeShape(shape);
  const [N, C, H, W] = cube;
  const exact = product(cube) <= constants.limits.values;
  const sizes = binsOf(shape);
  const few = exact || N * C <= constants.limits.moments;
  const atoms = few || H * W >= LEAST_POSITIONS ? sumsOf(N * C) : null;
  const places = !exact && N * H * W <= constants.limits.coarse ? sumsOf(N * H * W) : null;
  const boxes = exact ? null : boxMeans(cube, sizes);
  const rows = fiveAxes(shape)[3];
  const walk = createWalk(fiveAxes(shape), layout);
  const atomStep = [C, 1, 0, 0, 0][walk.axis];
  const placeStep = [H * W, 0, rows * W, W, 1][walk.axis];
  const boxAxis = [0, 1, 2, 2, 3][walk.axis];
  const boxStep = walk.axis === 2 ? rows : 1;
  let passes = 0;
  return {
    /** @param {ArrayLike<number>} values */
    add(values) {
      walk.by(values.length, (at, length, cell) => {
        const n = cell[0]; // taking five numbers out at once would cost as much as a run of cells
        const c = cell[1];
        const w = cell[4];
        const y = cell[2] * rows + cell[3];
        if (atoms) addRun(atoms, values, at, length, n * C + c, atomStep);
        if (places) addRun(places, values, at, length, (n * H + y) * W + w, placeStep);
        if (boxes && !passes) boxes.add(values, at, length, n, c, y, w, boxAxis, boxStep);
      });
    },
    /** Is another pass needed? */
    again() {
      const sums = [
        [atoms, H * W],
        [places, C]
      ].filter(([one]) => one);
      return !passes++ && startAgain(sums);
    },
    /** Mean and M2 of every (sample, channel), unless they would need more memory than the values. */
    moments: () => atoms && momentsOf(atoms, H * W),
    /** @param {Float32Array | Float64Array | null} values  needed up to as many cells as the page keeps */
    part(values, dtype) {
      const means = boxes?.means();
      return {
        shape,
        dtype,
        backend: "page",
        bins: sizes,
        count: H * W,
        ...(few ? momentsOf(atoms, H * W) : { mean: null, m2: null, rest: null }),
        values: exact ? values : null,
        positions: places && momentsOf(places, C),
        ...colorsOf(exact ? values : means, exact),
        cube,
        divisors: divisors(C),
        statistics: new Map(),
        answers: new Map()
      };
    }
  };
}

/**
 * The same for one set alone that has all positions.
 * @param {number[]} shape @param {import("./stored_order.js").Layout} layout
 * @param {number[][]} ranges  of the set, [start, stop) along n and c
 */
export function createSetTally(shape, layout, ranges) {
  const walk = createWalk(fiveAxes(shape), layout);
  const count = product(shape.slice(2)) * product(ranges.map(([start, stop]) => stop - start));
  const sums = sumsOf(1);
  let passes = 0;
  return {
    /** @param {ArrayLike<number>} values */
    add(values) {
      walk.by(values.length, (at, length, cell) => {
        let [start, stop] = [0, length];
        for (let a = 0; a < 2; a++)
          if (a === walk.axis) {
            start = Math.max(start, ranges[a][0] - cell[a]);
            stop = Math.min(stop, ranges[a][1] - cell[a]);
          } else if (cell[a] < ranges[a][0] || cell[a] >= ranges[a][1]) return;
        if (start < stop) addRun(sums, values, at + start, stop - start, 0, 0);
      });
    },
    again: () => !passes++ && startAgain([[sums, count]]),
    moments() {
      const { mean, m2 } = momentsOf(sums, count);
      return { count, mean: mean[0], m2: m2[0] };
    }
  };
}

/** How many cells one drawn cell stands for, along n, c, h, w. The same rule as in svg/geometry.py. */
function binsOf(shape) {
  const cube = cubeShape(shape);
  const size = [1, ...cube.slice(1).map((length) => Math.ceil(length / constants.limits.lines))];
  if (product(cube) <= constants.limits.values) return size;
  for (;;) {
    const drawn = cube.map((length, a) => Math.ceil(length / size[a]));
    const most = Math.max(...drawn.slice(1));
    if (product(drawn) <= constants.limits.coarse || most === 1) return size;
    size[drawn.indexOf(most, 1)] *= 2;
  }
}

// ---- sums of many sets ----

/** `shift` is the value that the sums of a set are relative to: its first one, so that a constant has sums of 0. */
const sumsOf = (size) => ({
  shift: new Float64Array(size).fill(NaN),
  sum: new Float64Array(size),
  square: new Float64Array(size)
});

/** Add values that lie side by side to the sets index, index + step, index + 2 step, and so on. */
function addRun({ shift, sum, square }, values, at, length, index, step) {
  // The sets of a run begin together.
  if (Number.isNaN(shift[index]))
    for (let i = 0; i < (step ? length : 1); i++)
      shift[index + i * step] = Number.isFinite(values[at + i]) ? values[at + i] : 0;
  const end = at + length;
  if (step) {
    for (; at < end; at++, index += step) {
      const off = values[at] - shift[index];
      sum[index] += off;
      square[index] += off * off;
    }
    return;
  }
  const from = shift[index];
  let total = 0;
  let squares = 0;
  for (; at < end; at++) {
    const off = values[at] - from;
    total += off;
    squares += off * off;
  }
  sum[index] += total;
  square[index] += squares;
}

/** Were digits lost in some set, or did its sums overflow? */
function isRough({ sum, square }, count) {
  for (let i = 0; i < sum.length; i++) {
    const lost = (sum[i] * sum[i]) / count;
    if (!(lost <= MOST_CANCELLED * (square[i] - lost))) return true;
  }
  return false;
}

/** Start again where a set needs it; each entry is the sums of sets of so many cells. Does one need it? */
function startAgain(entries) {
  const needed = entries.some(([sums, count]) => isRough(sums, count));
  if (needed) for (const [sums, count] of entries) restart(sums, count);
  return needed;
}

/** Sum relative to the means; where those overflowed, or a value is not finite, the values themselves. */
function restart({ shift, sum, square }, count) {
  for (let i = 0; i < sum.length; i++) {
    const mean = shift[i] + sum[i] / count;
    shift[i] = Number.isFinite(mean) ? mean : 0;
  }
  for (const array of [sum, square]) array.fill(0);
}

/** Mean and M2; and the rest of each mean, which is lost when the mean is rounded. */
function momentsOf({ shift, sum, square }, count) {
  const [mean, m2, rest] = [0, 0, 0].map(() => new Float64Array(sum.length));
  for (let i = 0; i < mean.length; i++) {
    const off = sum[i] / count;
    mean[i] = shift[i] + off;
    if (!Number.isFinite(off)) m2[i] = NaN;
    else {
      m2[i] = Number.isFinite(square[i]) ? Math.max(square[i] - off * sum[i], 0) : square[i];
      const added = mean[i] - shift[i];
      rest[i] = shift[i] - (mean[i] - added) + (off - added);
    }
  }
  return { mean, m2, rest };
}

// ---- what is drawn ----

/** Means of boxes of `sizes` cells; the last box along an axis may be smaller. */
function boxMeans(cube, sizes) {
  const drawn = cube.map((length, a) => Math.ceil(length / sizes[a]));
  const sums = new Float64Array(product(drawn));
  // For every cell along an axis, what its place there adds to the number of its box.
  const steps = drawn.map((_, a) => product(drawn.slice(a + 1)));
  const tables = cube.map((length, a) => Int32Array.from({ length }, (_, i) => Math.floor(i / sizes[a]) * steps[a]));
  return {
    /** Add values from a cell of the cube on, along the axis with this number. */
    add(values, at, length, n, c, h, w, axis, step) {
      const first = axis === 0 ? n : axis === 1 ? c : axis === 2 ? h : w;
      const table = tables[axis];
      const base = tables[0][n] + tables[1][c] + tables[2][h] + tables[3][w] - table[first];
      let box = base + table[first];
      let sum = 0;
      for (let k = 0, i = first; k < length; k++, i += step) {
        if (base + table[i] !== box) {
          sums[box] += sum;
          sum = 0;
          box = base + table[i];
        }
        sum += values[at + k];
      }
      sums[box] += sum;
    },
    means() {
      const cells = drawn.map((count, a) =>
        Array.from({ length: count }, (_, i) => Math.min(sizes[a], cube[a] - i * sizes[a]))
      );
      let box = 0;
      for (const n of cells[0])
        for (const c of cells[1]) for (const h of cells[2]) for (const w of cells[3]) sums[box++] /= n * c * h * w;
      return sums;
    }
  };
}

/** Scales end where twice as much is still finite. */
const clampToScale = (value) => clamp(value, -constants.limits.largest, constants.limits.largest);

/** The range of the drawn values, the range that their colours span, and the means in steps of one byte. */
function colorsOf(drawn, exact) {
  const finite = new Float64Array(drawn.length);
  let count = 0;
  for (let i = 0; i < drawn.length; i++) if (Number.isFinite(drawn[i])) finite[count++] = clampToScale(drawn[i]);
  const sorted = finite.subarray(0, count).sort();
  const extent = count ? [sorted[0], sorted[count - 1]] : [0, 0];
  const colors = count ? [percentile(sorted, 0.02), percentile(sorted, 0.98)] : [0, 0];
  if (exact) return { coarse: null, extent, colors };
  const coarse = new Uint8Array(drawn.length);
  const range = extent[1] - extent[0] || 1;
  for (let i = 0; i < drawn.length; i++) {
    const share = (clampToScale(drawn[i]) - extent[0]) / range;
    coarse[i] = Number.isFinite(drawn[i]) ? halfToEven(share * 254) : 255;
  }
  return { coarse, extent, colors };
}

/** As `numpy.percentile`, to the last bit. */
function percentile(sorted, share) {
  const place = (sorted.length - 1) * share;
  const below = Math.floor(place);
  const part = place - below;
  const [low, high] = [sorted[below], sorted[Math.min(below + 1, sorted.length - 1)]];
  return part < 0.5 ? low + (high - low) * part : high - (high - low) * (1 - part);
}

/** A number of 0 or more, rounded as `numpy.round` does. */
function halfToEven(value) {
  const up = Math.round(value);
  return up - value === 0.5 && up % 2 ? up - 1 : up;
}
