// An array as a file stores it: what is checked before a number is read, and how stored numbers become floats.

import { half } from "../core/numbers.js";
import { say } from "../core/sentences.js";

/**
 * An array of a file: binary numbers that begin at `offset` of `blob`, or `values` where the numbers were parsed.
 * Arrays of an .npz file have no `blob` before `unpacked` of open.js made it.
 * @typedef {{
 *   file: string, name: string, format: string, shape: number[], dtype: string,
 *   fortran?: boolean, little?: boolean, blob?: Blob | null, offset?: number,
 *   values?: Float32Array | Float64Array, member?: any
 * }} OpenedArray
 */

/** A file or a text that is refused; the message is a sentence of the catalog. */
export class Refusal extends Error {}

const STORED = {
  float64: Float64Array,
  float32: Float32Array,
  float16: Uint16Array,
  bfloat16: Uint16Array,
  int64: BigInt64Array,
  int32: Int32Array,
  int16: Int16Array,
  int8: Int8Array,
  uint64: BigUint64Array,
  uint32: Uint32Array,
  uint16: Uint16Array,
  uint8: Uint8Array,
  bool: Uint8Array
};

/** Bytes of one number of this dtype. */
export const bytesOf = (dtype) => STORED[dtype].BYTES_PER_ELEMENT;

let halves = null;

/**
 * Stored numbers as floats: float32 for the dtypes that it holds exactly (float16, bfloat16, float32), else float64.
 * @param {ArrayBuffer} buffer  whole numbers only; for float32 and float64 the result may share it
 * @returns {Float32Array | Float64Array}
 */
export function decoded(buffer, dtype, little = true) {
  const last = bytesOf(dtype) - 1;
  if (!little && last) {
    const bytes = new Uint8Array(buffer);
    const turned = new Uint8Array(bytes.length);
    for (let i = 0; i < bytes.length; i++) turned[i] = bytes[i ^ last];
    return decoded(turned.buffer, dtype);
  }
  const stored = new STORED[dtype](buffer);
  if (stored instanceof Float64Array || stored instanceof Float32Array) return stored;
  if (dtype === "bfloat16") return new Float32Array(Uint32Array.from(stored, (bits) => bits << 16).buffer);
  const values = dtype === "float16" ? new Float32Array(stored.length) : new Float64Array(stored.length);
  if (dtype === "float16") {
    halves ??= Float32Array.from({ length: 65536 }, (_, bits) => half(bits));
    for (let i = 0; i < values.length; i++) values[i] = halves[stored[i]];
  } else if (dtype === "bool") for (let i = 0; i < values.length; i++) values[i] = stored[i] ? 1 : 0;
  else for (let i = 0; i < values.length; i++) values[i] = Number(stored[i]);
  return values;
}

const MOST_LETTERS = 60;

/** A text of somebody else for a message: on one line, and not long. */
export function quoted(text) {
  const line = text.replace(/\s+/g, " ");
  return line.length > MOST_LETTERS ? `${line.slice(0, MOST_LETTERS - 20)}…${line.slice(-19)}` : line;
}

/** How a message names a file. */
export const fileNamed = (file) => say("files.file", { file: quoted(file) });

/** How a message names an array of a file that may hold several. */
export const arrayNamed = (file, array) => say("files.array", { file: quoted(file), array: quoted(array) });

/** Refuse a shape that no tensor of the explorer has. @param {readonly (number | bigint)[]} shape */
export function checkShape(shape, subject) {
  if (shape.length < 2 || shape.length > 5) throw new Refusal(say("files.rank", { subject, rank: shape.length }));
  if (shape.some((length) => Number(length) === 0))
    throw new Refusal(say("files.empty", { subject, shape: shape.join(", ") }));
}

/**
 * Refuse an array whose numbers do not fill its bytes exactly.
 * @param {bigint[]} shape  as claimed, which may be any whole numbers
 * @param {number} found  bytes that are there
 * @returns {number[]} the shape
 */
export function checkSize(shape, dtype, found, subject) {
  const expected = shape.reduce((product, length) => product * length, BigInt(bytesOf(dtype)));
  if (expected !== BigInt(found))
    throw new Refusal(say("files.size", { subject, shape: shape.join(", "), dtype, expected: `${expected}`, found }));
  return shape.map(Number);
}
