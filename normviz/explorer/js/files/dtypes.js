// How a file stores numbers, and how they become floats.

import { half } from "../core/numbers.js";

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
  if (dtype === "bfloat16") {
    const bits = new Uint32Array(stored.length);
    for (let i = 0; i < bits.length; i++) bits[i] = stored[i] << 16;
    return new Float32Array(bits.buffer);
  }
  const values = dtype === "float16" ? new Float32Array(stored.length) : new Float64Array(stored.length);
  if (dtype === "float16") {
    halves ??= Float32Array.from({ length: 65536 }, (_, bits) => half(bits));
    for (let i = 0; i < values.length; i++) values[i] = halves[stored[i]];
  } else if (dtype === "bool") for (let i = 0; i < values.length; i++) values[i] = stored[i] ? 1 : 0;
  else for (let i = 0; i < values.length; i++) values[i] = Number(stored[i]);
  return values;
}
