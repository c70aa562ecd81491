// The header of a .safetensors file: its length, then JSON with the dtype, the shape and the place of every tensor.

import constants from "../../constants.json" with { type: "json" };
import { say } from "../core/sentences.js";
import { Refusal, arrayNamed, checkCount, checkShape, checkSize, quoted } from "./arrays.js";

const DTYPES = {
  F64: "float64",
  F32: "float32",
  F16: "float16",
  BF16: "bfloat16",
  I64: "int64",
  I32: "int32",
  I16: "int16",
  I8: "int8",
  U64: "uint64",
  U32: "uint32",
  U16: "uint16",
  U8: "uint8",
  BOOL: "bool"
};
const isWhole = (value) => Number.isSafeInteger(value) && value >= 0;

/** Does a file begin like a .safetensors file? @param {Uint8Array} bytes */
export const isSafetensors = (bytes) => bytes.length > 8 && bytes[8] === 0x7b && bytes[7] === 0 && bytes[6] === 0;

/**
 * Read the header: the name of every tensor, and a function that checks it and gives the array.
 * @param {File} file
 * @returns {Promise<[string, () => object][]>}
 */
export async function readSafetensors(file, subject) {
  const damaged = () => new Refusal(say("files.tensors", { subject }));
  if (file.size < 8) throw damaged();
  const length = new DataView(await file.slice(0, 8).arrayBuffer()).getBigUint64(0, true);
  const begin = 8 + Number(length);
  if (begin > file.size || length > constants.files.header)
    throw new Refusal(say("files.tensors-header", { subject, length: `${length}`, size: file.size }));
  let header = null;
  try {
    header = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(await file.slice(8, begin).arrayBuffer()));
  } catch (error) {
    if (!(error instanceof SyntaxError || error instanceof TypeError)) throw error;
  }
  if (header === null || typeof header !== "object" || Array.isArray(header)) throw damaged();
  const tensors = Object.entries(header).filter(([name]) => name !== "__metadata__");
  checkCount(tensors.length, subject);
  return tensors.map(([name, tensor]) => [
    name,
    () => {
      const { dtype, shape, data_offsets: place } = tensor ?? {};
      if (![shape, place].every((list) => Array.isArray(list) && list.every(isWhole))) throw damaged();
      const [first, end] = place;
      if (place.length !== 2 || first > end || begin + end > file.size) throw damaged();
      const named = arrayNamed(file.name, name);
      if (!Object.hasOwn(DTYPES, dtype))
        throw new Refusal(say("files.dtype", { subject: named, dtype: quoted(`${dtype}`) }));
      checkShape(shape, named);
      return {
        shape: checkSize(shape.map(BigInt), DTYPES[dtype], end - first, named),
        dtype: DTYPES[dtype],
        little: true,
        fortran: false,
        blob: file,
        offset: begin + first
      };
    }
  ]);
}
