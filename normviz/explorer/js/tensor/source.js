// The numbers of an opened array: of a file, read in slices in the order in which they are stored, or parsed already.

import { product } from "../core/geometry.js";
import { half } from "../core/numbers.js";
import { createWalk, fiveAxes } from "./stored_order.js";

/**
 * @typedef {{name: string, shape: number[], dtype: string, fortran?: boolean, little?: boolean, blob?: Blob,
 *   offset?: number, values?: ArrayLike<number>}} OpenedArray
 *   `shape` is as stored; the numbers begin at `offset` of `blob`, or are `values`
 */

/** As many cells are read at a time. */
const CELLS_IN_SLICE = 1 << 20;
/** Cells that lie closer together than this, in bytes, are read at once. */
const NEAR = 1 << 22;

/** How the numbers of a dtype are stored. */
const STORED = {
  bool: Uint8Array,
  int8: Int8Array,
  uint8: Uint8Array,
  int16: Int16Array,
  uint16: Uint16Array,
  int32: Int32Array,
  uint32: Uint32Array,
  int64: BigInt64Array,
  uint64: BigUint64Array,
  float16: Uint16Array,
  bfloat16: Uint16Array,
  float32: Float32Array,
  float64: Float64Array
};
/** Dtypes whose numbers are all float32. */
const FITS_FLOAT32 = ["bool", "int8", "uint8", "int16", "uint16", "float16", "bfloat16", "float32"];

/** The type of array that keeps every number of a dtype, as far as float64 does. @param {string} dtype */
export const keeps = (dtype) => (FITS_FLOAT32.includes(dtype) ? Float32Array : Float64Array);

/** (N, C, ...spatial) of an array whose channels are its second or last axis. @param {number[]} shape */
export const channelsSecond = (shape, channelAxis) =>
  channelAxis === 1 ? shape : [shape[0], shape[shape.length - 1], ...shape.slice(1, -1)];

/**
 * @param {OpenedArray} array
 * @param {1 | -1} channelAxis  where C is
 * @param {number} most  as many cells are read at a time
 */
export function createSource(array, channelAxis, most = CELLS_IN_SLICE) {
  const { dtype, fortran = false, little = true, blob, offset = 0 } = array;
  const shape = channelsSecond(array.shape, channelAxis);
  const layout = { fortran, channelsLast: channelAxis === -1 };
  const cells = product(shape);
  const width = STORED[dtype].BYTES_PER_ELEMENT;
  // Slices of whole runs, so that the sums of a run do not depend on where slices end.
  const { run, placeOf } = createWalk(fiveAxes(shape), layout);
  const step = Math.max(1, Math.floor(most / run)) * Math.min(run, most);
  const slice = async (start, stop) => {
    if (array.values) return Float64Array.from(Array.prototype.slice.call(array.values, start, stop));
    const part = blob.slice(offset + start * width, offset + stop * width);
    return decode(await part.arrayBuffer(), dtype, little);
  };
  return {
    shape,
    dtype,
    layout,
    cells,
    bytes: cells * width,
    placeOf,
    /** All numbers as they are stored, in slices; the next one is read while the last one is used. */
    async *slices() {
      let next = slice(0, Math.min(step, cells));
      for (let start = 0; start < cells; start += step) {
        const values = await next;
        const stop = Math.min(start + step, cells);
        if (stop < cells) next = slice(stop, Math.min(stop + step, cells));
        yield { start, values };
      }
    },
    /** The numbers at places in the order of storage, ascending. @param {number[]} places */
    async at(places) {
      const [first, last] = [places[0], places[places.length - 1]];
      if ((last - first) * width <= NEAR) {
        const near = await slice(first, last + 1);
        return places.map((place) => near[place - first]);
      }
      return Promise.all(places.map(async (place) => (await slice(place, place + 1))[0]));
    }
  };
}

/** The numbers in a piece of a file, which it may overwrite. @returns {ArrayLike<number>} */
function decode(buffer, dtype, little) {
  if (!little) swapBytes(new Uint8Array(buffer), STORED[dtype].BYTES_PER_ELEMENT);
  const stored = new STORED[dtype](buffer);
  const { length } = stored;
  if (dtype === "bool") return stored.map((byte) => (byte ? 1 : 0));
  if (dtype === "float16") {
    const table = halves();
    const values = new Float32Array(length);
    for (let i = 0; i < length; i++) values[i] = table[stored[i]];
    return values;
  }
  if (dtype === "bfloat16") {
    const bits = new Uint32Array(length);
    for (let i = 0; i < length; i++) bits[i] = stored[i] << 16;
    return new Float32Array(bits.buffer);
  }
  if (dtype.endsWith("int64")) {
    const values = new Float64Array(length);
    for (let i = 0; i < length; i++) values[i] = Number(stored[i]);
    return values;
  }
  return stored;
}

let tableOfHalves = null;
/** Every float16, by its bits. */
function halves() {
  tableOfHalves ??= Float32Array.from({ length: 1 << 16 }, (_, bits) => half(bits));
  return tableOfHalves;
}

/** Turn the bytes of every number round, in place. */
function swapBytes(bytes, width) {
  for (let at = 0; at < bytes.length; at += width)
    for (let i = at, j = at + width - 1; i < j; i++, j--) {
      const byte = bytes[i];
      bytes[i] = bytes[j];
      bytes[j] = byte;
    }
}

/**
 * Takes numbers in the order of storage and puts those of the first cells along every axis into C order.
 * @param {Float32Array | Float64Array} values  what to fill @param {number[]} shape  of the values
 * @param {{shape: number[], layout: import("./stored_order.js").Layout}} from
 */
export function createArranger(values, shape, from) {
  const kept = fiveAxes(shape);
  const lengths = fiveAxes(from.shape);
  const walk = createWalk(lengths, from.layout);
  const step = product(kept.slice(walk.axis + 1));
  return (numbers) =>
    walk.by(numbers.length, (at, length, cell) => {
      if (cell.some((i, a) => i >= kept[a])) return;
      let place = cell.reduce((sum, i, a) => sum * kept[a] + i, 0);
      const stop = at + Math.min(length, kept[walk.axis] - cell[walk.axis]);
      for (; at < stop; at++, place += step) values[place] = numbers[at];
    });
}
