// The steps in which a tensor is made: the same ones in the worker and, where there is none, on the page's own thread.

import { blockOf, cubeShape, product, setOf, toCube } from "../core/geometry.js";
import { mergeAtoms, statisticsOfMoments, statisticsOfValues } from "../core/numbers.js";
import { createPause } from "../core/pause.js";
import { EXAMPLE, fillIn, repeatInto } from "./fills.js";
import { createSetTally, createTally, partOf } from "./part.js";
import { channelsSecond, createArranger, createSource, keeps } from "./source.js";
import { fiveAxes } from "./stored_order.js";

/**
 * @typedef {{shape: number[], fill: string, seed: number, base?: {values: ArrayLike<number>, shape: number[]} | null,
 *   edits?: [number, number][], file?: import("../files/arrays.js").OpenedArray | null, channelAxis?: 1 | -1}} Order
 *   what to make: a file, cut or repeated to `shape` where that is given; or `base`, cut or repeated; or a fill. Then
 *   come edits, [place in C order, value], with which x is float64.
 */

/** A file of more bytes is not kept in memory. */
const MOST_IN_MEMORY = 1 << 25;
/** As many cells are added to the sums at a time, so that other work comes in between. */
const CELLS_IN_PIECE = 1 << 18;

/** The shape that an order asks for. @param {Partial<Order>} order */
export function shapeOf({ shape, fill, base, file, channelAxis }) {
  if (file) return shape ?? channelsSecond(file.shape, channelAxis);
  return !base && fill === "example" ? EXAMPLE.shape : shape;
}

/** What an order begins with: the type of its values, and the steps that fill them. @param {Order} order */
function beginning({ fill, seed, base, edits, ...order }, sample) {
  const shape = shapeOf({ fill, base, ...order });
  const dtype = edits?.length || (base && !(base.values instanceof Float32Array)) ? "float64" : "float32";
  const values = new (keeps(dtype))(product(shape));
  const steps = base ? repeatInto(values, base, shape) : fillIn(values, shape, fill, seed, sample);
  return { shape, dtype, values, steps };
}

function applyEdits(values, edits = []) {
  for (const [place, value] of edits) values[place] = value;
}

/** A small tensor at once; its numbers come from no file. @param {Order} order */
export function makeNow(order, sample) {
  const { shape, dtype, values, steps } = beginning(order, sample);
  Array.from(steps); // all of them
  applyEdits(values, order.edits);
  return partOf(values, shape, dtype);
}

/**
 * Makes tensors piece by piece, and answers questions about those that it keeps.
 *
 * A part carries few values of a large tensor, so the tensor stays here until `keep` names another one.
 */
export function createBench() {
  const tensors = new Map();
  let wanted = null;
  return {
    /** @param {{id: number, order: Order, sample?: any}} task @param {(share: number) => void} report */
    async make({ id, order, sample }, report) {
      wanted = id;
      const pause = createPause(() => wanted === id, report);
      await pause(0);
      const { part, tensor } = await (order.file ? fromFile(order, pause) : fromRule(order, sample, pause));
      tensors.set(id, tensor);
      return part;
    },
    stop({ id }) {
      if (wanted === id) wanted = null;
    },
    keep({ id }) {
      for (const other of tensors.keys()) if (other !== id) tensors.delete(other);
    },
    /** @param {{tensor: number, question: any, row: import("../core/geometry.js").Method}} task */
    ask: ({ tensor, question, row }) => answerOf(tensors.get(tensor), question, row),
    /** All values of a tensor that is kept, in C order. @param {{tensor: number}} task */
    values: ({ tensor }) => tensors.get(tensor).values()
  };
}

async function fromRule(order, sample, pause) {
  const { shape, dtype, values, steps } = beginning(order, sample);
  for (const done of steps) await pause((0.7 * done) / values.length);
  applyEdits(values, order.edits);
  return inMemory(values, shape, dtype, pause);
}

async function fromFile(order, pause) {
  const source = createSource(order.file, order.channelAxis);
  const shape = shapeOf(order);
  if (source.bytes > MOST_IN_MEMORY && String(shape) === String(source.shape))
    return fromSlices(source, order.edits, pause);
  const kept = fiveAxes(source.shape).map((length, a) => Math.min(length, fiveAxes(shape)[a]));
  const values = new (keeps(source.dtype))(product(kept));
  const arrange = createArranger(values, kept, source);
  for await (const slice of source.slices()) {
    arrange(slice.values);
    await pause((0.6 * slice.start) / source.cells);
  }
  const found = await fromRule({ ...order, file: null, base: { values, shape: kept }, shape }, null, pause);
  if (!order.edits?.length) found.part.dtype = source.dtype;
  return found;
}

/** A file that is not kept in memory. */
async function fromSlices(source, edits = [], pause) {
  const { shape, cells } = source;
  const tally = createTally(shape, source.layout);
  const edited = new Map(edits.map(([place, value]) => [source.placeOf(unravelled(place, fiveAxes(shape))), value]));
  const withEdits = ({ start, values }) => {
    const here = [...edited].filter(([place]) => place >= start && place < start + values.length);
    if (!here.length) return values;
    const copy = Float64Array.from(values);
    for (const [place, value] of here) copy[place - start] = value;
    return copy;
  };
  let share = 0.8;
  let before = 0;
  do {
    for await (const slice of source.slices()) {
      tally.add(withEdits(slice));
      await pause(before + (share * slice.start) / cells);
    }
    [before, share] = [share, 1 - share];
  } while (tally.again());
  const part = tally.part(null, edits.length ? "float64" : source.dtype);
  const numbersAt = async (places) => {
    const stored = places.map((place) => source.placeOf(unravelled(place, fiveAxes(shape))));
    const numbers = await source.at(stored);
    return stored.map((place, i) => edited.get(place) ?? numbers[i]);
  };
  async function* slices() {
    for await (const slice of source.slices()) yield withEdits(slice);
  }
  const values = async () => {
    const all = new (keeps(part.dtype))(cells);
    const arrange = createArranger(all, fiveAxes(shape), source);
    for await (const slice of slices()) arrange(slice);
    return all;
  };
  const tensor = { shape, layout: source.layout, moments: tally.moments(), numbersAt, values, slices };
  return { part, tensor };
}

async function inMemory(values, shape, dtype, pause) {
  const tally = createTally(shape);
  do
    for (let start = 0; start < values.length; start += CELLS_IN_PIECE) {
      tally.add(values.subarray(start, start + CELLS_IN_PIECE));
      await pause(0.7 + (0.3 * start) / values.length);
    }
  while (tally.again());
  const numbersAt = async (places) => places.map((place) => values[place]);
  const part = tally.part(values, dtype);
  async function* slices() {
    yield values;
  }
  const tensor = { shape, layout: {}, moments: tally.moments(), numbersAt, values: async () => values, slices };
  // The page that gets all values asks for none.
  return { part, tensor: part.values ? null : tensor };
}

/** The place in C order as indices. */
function unravelled(place, lengths) {
  const cell = [];
  for (let a = lengths.length - 1; a >= 0; a--) {
    cell.unshift(place % lengths[a]);
    place = Math.floor(place / lengths[a]);
  }
  return cell;
}

/** The value of a cell, and mean and variance of its set: what Python answers for a tensor that does not travel. */
async function answerOf(tensor, { method, num_groups, index }, row) {
  const cube = cubeShape(tensor.shape);
  const [, C, H, W] = cube;
  const cell = toCube(index, tensor.shape);
  const [ns, cs, hs, ws] = setOf(blockOf(row, cube, num_groups), cell);
  const placeOf = (n, c, h, w) => ((n * C + c) * H + h) * W + w;
  const key = `${method}/${num_groups}/${index}`;
  const [x] = await tensor.numbersAt([placeOf(...cell)]);
  const channels = [];
  for (let n = ns[0]; n < ns[1]; n++) for (let c = cs[0]; c < cs[1]; c++) channels.push(n * C + c);
  if (row.spatial === "all" && tensor.moments)
    return { key, x, ...statisticsOfMoments(mergeAtoms(tensor.moments, H * W, channels), row) };
  if (row.spatial === "all") {
    const tally = createSetTally(tensor.shape, tensor.layout, [ns, cs]);
    do for await (const values of tensor.slices()) tally.add(values);
    while (tally.again());
    return { key, x, ...statisticsOfMoments(tally.moments(), row) };
  }
  const values = await tensor.numbersAt(channels.map((channel) => (channel * H + hs[0]) * W + ws[0]));
  return { key, x, ...statisticsOfValues(values, row) };
}

/** The memory of a part, which moves to the page instead of being copied. */
export const buffersOf = ({ values, coarse, mean, m2, rest, positions }) =>
  [values, coarse, mean, m2, rest, positions?.mean, positions?.m2, positions?.rest]
    .filter(Boolean)
    .map((array) => array.buffer);
