// The fills of the panel "Tensor": the same bits as `nv.samples.filled` in Python.

import { product } from "../core/geometry.js";
import { fiveAxes } from "./stored_order.js";

/** What a tensor is filled with by a rule; "file" and "edited" are values that somebody gave. */
export const FILLS = [
  "sample",
  "normal",
  "relu",
  "loud channel",
  "loud sample",
  "offset",
  "constant",
  "ramp",
  "example"
];

/** Fill "example" sets the shape. */
export const EXAMPLE = {
  shape: [3, 4, 1, 2],
  values: [2, 3, 5, 7, 11, 13, 17, 19, 0, 1, 1, 2, 3, 5, 8, 13, 1, 2, 3, 4, 5, 6, 7, 8]
};

/** 2^32 over the golden ratio, as 32 bits with a sign: its multiples are spread evenly. */
const GOLDEN = 0x9e3779b9 | 0;

/** As many cells are filled at a time, so that a worker can be interrupted. */
const CELLS_AT_ONCE = 1 << 17;

/**
 * The values of a tensor filled by a rule, in C order.
 * @param {number[]} shape  (N, C, ...spatial); ignored by "example"
 * @param {number} seed  a whole number; its remainder modulo 2^32 counts
 * @param {{values: ArrayLike<number>, shape: number[]}} [sample]  what fill "sample" repeats
 */
export function filled(shape, fill, seed, sample) {
  if (fill === "example") return Float32Array.from(EXAMPLE.values);
  const values = new Float32Array(product(shape));
  Array.from(fillIn(values, shape, fill, seed, sample)); // all pieces
  return values;
}

/** The same, piece by piece into `values`: after each piece it says how many cells are filled. */
export function* fillIn(values, shape, fill, seed, sample) {
  const size = values.length;
  if (fill === "example") values.set(EXAMPLE.values);
  else if (fill === "constant") values.fill(1);
  else if (fill === "sample") {
    // Along the axes that x lacks, the first cell is taken; along D all are alike.
    yield* repeatInto(values, sample, shape);
  } else if (fill === "ramp") {
    for (let start = 0; start < size; yield start) {
      const stop = Math.min(start + CELLS_AT_ONCE, size);
      for (; start < stop; start++) values[start] = start;
    }
  } else {
    const key = scrambled(seed ^ GOLDEN);
    const perChannel = product(shape.slice(2));
    // The loud cells are runs of equal length at equal distances.
    const [loud, every, from] =
      fill === "loud channel"
        ? [perChannel, perChannel * shape[1], perChannel * Math.floor(shape[1] / 2)]
        : fill === "loud sample"
          ? [perChannel * shape[1], size, perChannel * shape[1] * Math.floor(shape[0] / 2)]
          : [0, 1, 0];
    for (let start = 0; start < size; yield start) {
      const stop = Math.min(start + CELLS_AT_ONCE, size);
      for (; start < stop; start++) {
        const z = nearlyNormal(key, start);
        if (fill === "relu") values[start] = Math.max(z, 0);
        else if (fill === "offset") values[start] = 100 + z / 10;
        else {
          const at = (start % every) - from;
          values[start] = at >= 0 && at < loud ? 8 * z : z;
        }
      }
    }
  }
  yield size;
}

/** The finalizer of MurmurHash3 (Appleby 2011). */
function scrambled(h) {
  h ^= h >>> 16;
  h = Math.imul(h, 0x85ebca6b);
  h ^= h >>> 13;
  h = Math.imul(h, 0xc2b2ae35);
  return h ^ (h >>> 16);
}

/** The sum of twelve random numbers of 16 bits, less its mean, over its deviation. The place and the key decide it. */
function nearlyNormal(key, place) {
  let total = 0;
  let word = Math.imul(6 * place, GOLDEN);
  for (let k = 0; k < 6; k++) {
    const bits = scrambled((key + word) | 0);
    total += (bits & 0xffff) + (bits >>> 16);
    word = (word + GOLDEN) | 0;
  }
  return (total - 393210) / 65536;
}

/**
 * Values cut, or repeated cyclically along every axis, to a shape; after each piece it says how many cells are filled.
 * @param {Float32Array | Float64Array} values  what to fill
 * @param {{values: ArrayLike<number>, shape: number[]}} base @param {number[]} shape  of any rank
 */
export function* repeatInto(values, base, shape) {
  const lengths = fiveAxes(shape);
  const stored = fiveAxes(base.shape);
  const index = [0, 0, 0, 0, 0];
  let said = 0;
  for (let at = 0; at < values.length; at += lengths[4]) {
    let row = 0;
    for (let a = 0; a < 4; a++) row = row * stored[a] + (index[a] % stored[a]);
    row *= stored[4];
    for (let i = 0, from = 0; i < lengths[4]; i++) {
      values[at + i] = base.values[row + from];
      if (++from === stored[4]) from = 0;
    }
    for (let a = 3; a >= 0 && ++index[a] === lengths[a]; a--) index[a] = 0;
    if (at - said >= CELLS_AT_ONCE) yield (said = at);
  }
}
