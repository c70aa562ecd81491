// The numbers of an opened array: of a file, read in slices in the order in which they are stored, or parsed already.

import { product } from "../core/geometry.js";
import { bytesOf, decoded } from "../files/dtypes.js";
import { createWalk, fiveAxes } from "./stored_order.js";

/** @import { OpenedArray } from "../files/arrays.js" */

/** As many cells are read at a time. */
const CELLS_IN_SLICE = 1 << 20;
/** Cells that lie closer together than this, in bytes, are read at once. */
const NEAR = 1 << 22;

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
  const width = bytesOf(dtype);
  // Slices of whole runs, so that the sums of a run do not depend on where slices end.
  const { run, placeOf } = createWalk(fiveAxes(shape), layout);
  const step = Math.max(1, Math.floor(most / run)) * Math.min(run, most);
  const slice = async (start, stop) => {
    if (array.values) return Float64Array.from(Array.prototype.slice.call(array.values, start, stop));
    const part = await blob.slice(offset + start * width, offset + stop * width).arrayBuffer();
    if (part.byteLength !== (stop - start) * width) throw new DOMException("shorter", "NotReadableError");
    return decoded(part, dtype, little);
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
