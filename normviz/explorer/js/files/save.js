// What takes x away from the page: the bytes of a .npy file, and NumPy code.

import { shortest } from "../core/numbers.js";
import { say } from "../core/sentences.js";

/** A larger x is not written out in the code. */
const MOST_WRITTEN = 512;
const LINE = 88;
const IN_LINE = 8;

/** A .npy file, version 1.0. @param {Float32Array | Float64Array} values  in C order @param {number[]} shape */
export function npyBytes(values, shape) {
  const dict = `{'descr': '<f${values.BYTES_PER_ELEMENT}', 'fortran_order': False, 'shape': (${shape.join(", ")}), }`;
  // As NumPy does, so that the numbers begin at a multiple of 64 bytes.
  const header = `${dict.padEnd(Math.ceil((dict.length + 11) / 64) * 64 - 11)}\n`;
  const bytes = new Uint8Array(10 + header.length + values.byteLength);
  bytes.set([0x93, ...new TextEncoder().encode("NUMPY"), 1, 0, header.length & 255, header.length >> 8]);
  bytes.set(new TextEncoder().encode(header), 10);
  bytes.set(new Uint8Array(values.buffer, values.byteOffset, values.byteLength), 10 + header.length);
  return bytes;
}

/**
 * Python code that makes the same x with axes (N, C, *spatial), as a variable of that name.
 * @param {{shape: number[], fill: string, seed: number, channel_axis: number, base?: string,
 *   edits: [number[], number | string][]}} recipe
 * @param {{values: Float32Array | Float64Array | null, dtype: string}} part
 * @param {{shape: number[], file?: import("./arrays.js").OpenedArray} | null} own  values below the edits that no fill
 *   makes, and the file from which they were read
 */
export function asCode(recipe, { values, dtype }, own = null) {
  const { shape, fill, seed, base = fill, edits, channel_axis: channelAxis } = recipe;
  if (values && values.length <= MOST_WRITTEN) {
    const kept = ["float16", "float32"].includes(dtype) ? dtype : "float64";
    return say("files.code-written", { values: nestedLists(values, shape, 4), dtype: kept });
  }
  const cells = edits.map(([index, value]) => `x[${index.join(", ")}] = ${numeral(Number(value))}\n`);
  const typed = cells.length ? `x = x.astype(np.float64)\n${cells.join("")}` : "";
  if (!own && !["file", "edited"].includes(base)) {
    const numpy = typed && say("files.code-numpy");
    return say("files.code-filled", { numpy, shape: shape.join(", "), fill: base, seed, typed });
  }
  const moved = (x) => (channelAxis === -1 && shape.length > 2 ? say("files.code-moved", { x }) : x);
  const loaded = own?.file && String(own.shape) === String(shape) ? loading(own.file) : null;
  if (!loaded) return say("files.code-saved", { loaded: moved('np.load("x.npy")') });
  return say("files.code-loaded", { reader: loaded.reader, loaded: moved(loaded.call), typed });
}

/** How Python reads an array of a file; null for what NumPy does not read as the page does. */
function loading({ file, name, format, dtype }) {
  const [path, key] = [file, name].map((text) => JSON.stringify(text));
  if (format === "npy") return { reader: "", call: `np.load(${path})` };
  if (format === "npz") return { reader: "", call: `np.load(${path})[${key}]` };
  if (format !== "safetensors") return null;
  // NumPy has no bfloat16.
  const [library, end] = dtype === "bfloat16" ? ["torch", ".float().numpy()"] : ["numpy", ""];
  return { reader: say("files.code-tensors", { library }), call: `load_file(${path})[${key}]${end}` };
}

/** Nested lists of Python. */
function nestedLists(values, shape, indent) {
  const texts = Array.from(values, (value) => numeral(value, values instanceof Float32Array));
  const list = (axis, start, space) => {
    const size = shape.slice(axis + 1).reduce((a, b) => a * b, 1);
    const items = Array.from({ length: shape[axis] }, (_, k) =>
      size === 1 && axis === shape.length - 1 ? texts[start + k] : list(axis + 1, start + k * size, space + 4)
    );
    const line = `[${items.join(", ")}]`;
    if (space + line.length < LINE && !line.includes("\n")) return line;
    const lines = [];
    const most = axis === shape.length - 1 ? IN_LINE : 1;
    for (let k = 0; k < items.length; k += most) lines.push(`${items.slice(k, k + most).join(", ")},`);
    const before = `\n${" ".repeat(space + 4)}`;
    return `[${before}${lines.join(before)}\n${" ".repeat(space)}]`;
  };
  return list(0, 0, indent);
}

/** A number in Python, in as few digits as give it again, or where float32 keeps it, the same float32. */
function numeral(value, single = false) {
  if (!Number.isFinite(value)) return Number.isNaN(value) ? "np.nan" : value > 0 ? "np.inf" : "-np.inf";
  if (Object.is(value, -0)) return "-0.0";
  return shortest(value, single);
}
