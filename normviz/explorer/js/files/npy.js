// The header of a .npy file, which is a Python dict: a strict reader takes it apart, and nothing evaluates it.

import { say } from "../core/sentences.js";
import { Refusal, checkShape, checkSize, quoted } from "./arrays.js";

/** As many bytes hold every header that is read: NumPy reads longer ones only if it is told to. */
export const MOST_HEADER = 12 + 10000;

const MAGIC = "\x93NUMPY";
const ITEM =
  /\s*(['"])(descr|fortran_order|shape)\1 *: *(?:(True|False)|(['"])([^'"\\]*)\4|\(([\d\sL,]*)\)|([[({]).*)\s*(,|$)/sy;
const KINDS = { f: "float", i: "int", u: "uint" };
const REFUSED = { c: "complex", O: "object", V: "structured", S: "text", U: "text", a: "text" };

/** Does a file begin like a .npy file? @param {Uint8Array} bytes */
export const isNpy = (bytes) => String.fromCharCode(...bytes.subarray(0, MAGIC.length)) === MAGIC;

/** Where the numbers begin: after the header, whose length its first 12 bytes tell. @param {Uint8Array} bytes */
export function npyOffset(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, 12);
  return bytes[6] === 1 ? 10 + view.getUint16(8, true) : 12 + view.getUint32(8, true);
}

/**
 * Read and check the header of a .npy file.
 * @param {Uint8Array} bytes  the first MOST_HEADER bytes, or all of a smaller file
 * @param {number} size  of the whole file, in bytes
 * @returns {{shape: number[], dtype: string, little: boolean, fortran: boolean, offset: number}}
 */
export function readNpyHeader(bytes, size, subject) {
  const damaged = () => new Refusal(say("files.header", { subject }));
  if (bytes.length < 12 || !isNpy(bytes)) throw damaged();
  const [major, minor] = bytes.subarray(6, 8);
  if (major < 1 || major > 3 || minor)
    throw new Refusal(say("files.version", { subject, version: `${major}.${minor}` }));
  const start = major === 1 ? 10 : 12;
  const offset = npyOffset(bytes);
  if (offset > bytes.length) throw damaged();
  const header = new TextDecoder(major === 3 ? "utf-8" : "latin1").decode(bytes.subarray(start, offset));
  const dict = header.trim();
  if (!dict.startsWith("{") || !dict.endsWith("}")) throw damaged();
  const items = dict.slice(1, -1).trimEnd();
  const found = {};
  for (ITEM.lastIndex = 0; ITEM.lastIndex < items.length; ) {
    const item = ITEM.exec(items);
    if (!item || Object.hasOwn(found, item[2])) throw damaged();
    const [, , key, truth, , text, tuple, nested] = item;
    if (key === "descr" && nested) throw new Refusal(say("files.holds-structured", { subject }));
    found[key] = { descr: text, fortran_order: truth && truth === "True", shape: tuple }[key];
    if (found[key] === undefined) throw damaged();
  }
  if (Object.keys(found).length !== 3) throw damaged();
  if (!/^(?:\d{1,20}L?\s*,\s*)*(?:\d{1,20}L?)?$/.test(found.shape.trim())) throw damaged();
  const { dtype, little } = dtypeOf(found.descr, subject);
  const claimed = (found.shape.match(/\d+/g) ?? []).map(BigInt);
  checkShape(claimed, subject);
  return {
    shape: checkSize(claimed, dtype, size - offset, subject),
    dtype,
    little,
    fortran: found.fortran_order,
    offset
  };
}

/** The name of NumPy's dtype with a text such as "<f4", and the order of its bytes. */
function dtypeOf(text, subject) {
  const parts = /^([<>=|]?)([a-zA-Z?])(\d*)(\[\w*\])?$/.exec(text);
  const [, order, kind, size] = parts ?? [];
  const little = order !== ">";
  if (kind === "b" && size === "1") return { dtype: "bool", little };
  const least = kind === "f" ? 2 : 1;
  if (KINDS[kind] && ["1", "2", "4", "8"].includes(size) && Number(size) >= least)
    return { dtype: `${KINDS[kind]}${8 * Number(size)}`, little };
  if (REFUSED[kind]) throw new Refusal(say(`files.holds-${REFUSED[kind]}`, { subject }));
  throw new Refusal(say("files.dtype", { subject, dtype: quoted(text) }));
}
