// An array as a file stores it: what is checked before a number is read.

import constants from "../../constants.json" with { type: "json" };
import { say } from "../core/sentences.js";
import { bytesOf } from "./dtypes.js";

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

/** Refuse a file that holds more arrays than a reader can choose from. */
export function checkCount(count, subject) {
  const most = constants.files.members;
  if (count > most) throw new Refusal(say("files.many", { subject, count, most }));
}

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
