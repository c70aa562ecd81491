// A picture through the layer of the sample activations: normviz/samples/make.py in JavaScript, for the middle square
// of a picture, which is brought to the size of the sample's photographs.

import constants from "../../constants.json" with { type: "json" };
import { createPause } from "../core/pause.js";
import { say } from "../core/sentences.js";
import { Refusal } from "./arrays.js";

const SIDE = 64;
const CELLS = 12;
const STRIDE = 4;
const PAD = 32;
const PADDED = SIDE + 2 * PAD;
const WAVELENGTHS = [4, 6, 9, 13.5];
const ORIENTATIONS = 4;
const BANDWIDTH = 1.6;
const SPREAD = 0.45;
const GAIN = 45;
const ACTIVATION_STEP = 1 / 128;
const LUMINANCE = [0.2126, 0.7152, 0.0722];
export const ACTIVATIONS_SHAPE = [1, ORIENTATIONS * WAVELENGTHS.length, CELLS, CELLS];

/** As many bytes hold the size of most pictures: in JPEG files, a preview may stand before it. */
const MOST_BEFORE = 1 << 20;

/**
 * Width and height that a PNG, JPEG or WebP file states; null for another file, and [0, 0] where they are not found.
 * @param {Uint8Array} bytes  the beginning of the file
 */
export function pictureSize(bytes) {
  const text = String.fromCharCode(...bytes.subarray(0, 16));
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const enough = bytes.length >= 30;
  if (text.startsWith("\x89PNG\r\n\x1a\n")) return enough ? [view.getUint32(16), view.getUint32(20)] : [0, 0];
  if (text.startsWith("RIFF") && text.slice(8, 12) === "WEBP") {
    if (!enough) return [0, 0];
    const bits = view.getUint32(21, true);
    return (
      {
        "VP8 ": [view.getUint16(26, true) & 0x3fff, view.getUint16(28, true) & 0x3fff],
        VP8L: [(bits & 0x3fff) + 1, ((bits >>> 14) & 0x3fff) + 1],
        VP8X: [(view.getUint32(23, true) >>> 8) + 1, (view.getUint32(26, true) >>> 8) + 1]
      }[text.slice(12)] ?? [0, 0]
    );
  }
  if (!text.startsWith("\xff\xd8\xff")) return null;
  for (let at = 2; at + 9 <= bytes.length && bytes[at] === 0xff; at += 2 + view.getUint16(at + 2)) {
    const marker = bytes[at + 1];
    if (marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker))
      return [view.getUint16(at + 7), view.getUint16(at + 5)];
  }
  return [0, 0];
}

/** The sample's layer on a picture, of shape ACTIVATIONS_SHAPE. @param {Blob} file */
export async function readPicture(file, subject) {
  const [width, height] = pictureSize(new Uint8Array(await file.slice(0, MOST_BEFORE).arrayBuffer()));
  const unreadable = () => new Refusal(say("files.picture", { subject }));
  if (!width || !height) throw unreadable();
  const most = constants.files.pixels;
  if (width * height > most)
    throw new Refusal(say("files.picture-size", { subject, width, height, most: Math.floor(most / 1e6) }));
  let bitmap = null;
  try {
    bitmap = await createImageBitmap(file);
  } catch (error) {
    throw error instanceof DOMException ? unreadable() : error;
  }
  const grey = await greyOf(bitmap);
  bitmap.close();
  return filtered(grey);
}

/** The luminance of the middle square, from 0 to 1, as SIDE x SIDE means of equal areas. @param {ImageBitmap} bitmap */
async function greyOf(bitmap) {
  const side = Math.min(bitmap.width, bitmap.height);
  const step = side / SIDE;
  // One row of the result at a time: a large picture is never in memory twice.
  const canvas = new OffscreenCanvas(side, Math.ceil(step) + 1);
  const pen = canvas.getContext("2d", { willReadFrequently: true });
  pen.fillStyle = "#fff"; // behind what is transparent
  const columns = Array.from({ length: SIDE }, (_, column) => overlaps(column, step));
  const [red, green, blue] = LUMINANCE.map((share) => share / (255 * step * step));
  const grey = new Float64Array(SIDE * SIDE);
  const pause = createPause();
  for (let row = 0; row < SIDE; row++) {
    await pause(row / SIDE);
    const first = Math.floor(row * step);
    pen.fillRect(0, 0, side, canvas.height);
    pen.drawImage(bitmap, -Math.floor((bitmap.width - side) / 2), -Math.floor((bitmap.height - side) / 2) - first);
    const { data } = pen.getImageData(0, 0, side, canvas.height);
    for (const [y, high] of columns[row])
      columns.forEach((column, k) => {
        for (const [x, wide] of column) {
          const at = 4 * ((y - first) * side + x);
          grey[row * SIDE + k] += high * wide * (red * data[at] + green * data[at + 1] + blue * data[at + 2]);
        }
      });
  }
  return grey;
}

/** Pixels, and how much of each lies in part k of a line, if a part is `step` pixels long. */
function overlaps(k, step) {
  const found = [];
  const end = (k + 1) * step;
  for (let pixel = Math.floor(k * step); pixel < end; pixel++) {
    const share = Math.min(pixel + 1, end) - Math.max(pixel, k * step);
    if (share > 1e-9) found.push([pixel, share]);
  }
  return found;
}

/** ReLU(filter * grey) at the cells of the sample, as multiples of ACTIVATION_STEP. @param {Float64Array} grey */
export function filtered(grey) {
  const n = PADDED;
  const cos = Float64Array.from({ length: n }, (_, k) => Math.cos((2 * Math.PI * k) / n));
  const sin = Float64Array.from({ length: n }, (_, k) => Math.sin((2 * Math.PI * k) / n));
  const mirrored = (i) => SIDE - 1 - Math.abs(SIDE - 1 - Math.abs(i - PAD));
  const frequency = (k) => (k < n / 2 ? k : k - n) / n;
  // The spectrum: every row, then every column of the rows' spectra.
  const rows = new Float64Array(2 * SIDE * n);
  for (let y = 0; y < SIDE; y++)
    for (let f = 0; f < n; f++)
      for (let x = 0; x < n; x++) {
        const value = grey[y * SIDE + mirrored(x)];
        rows[2 * (y * n + f)] += value * cos[(f * x) % n];
        rows[2 * (y * n + f) + 1] -= value * sin[(f * x) % n];
      }
  const spectrum = new Float64Array(2 * n * n);
  for (let g = 0; g < n; g++)
    for (let y = 0; y < n; y++) {
      const [c, s] = [cos[(g * y) % n], sin[(g * y) % n]];
      const row = 2 * mirrored(y) * n;
      for (let f = 0; f < n; f++) {
        spectrum[2 * (g * n + f)] += rows[row + 2 * f] * c + rows[row + 2 * f + 1] * s;
        spectrum[2 * (g * n + f) + 1] += rows[row + 2 * f + 1] * c - rows[row + 2 * f] * s;
      }
    }
  const values = new Float32Array(ORIENTATIONS * WAVELENGTHS.length * CELLS * CELLS);
  const place = (k) => PAD + (SIDE - STRIDE * CELLS) / 2 + STRIDE / 2 + STRIDE * k;
  for (let map = 0; map < ACTIVATIONS_SHAPE[1]; map++) {
    const orientation = (Math.floor(map / WAVELENGTHS.length) * Math.PI) / ORIENTATIONS;
    const gain = new Float64Array(n * n);
    for (let g = 0; g < n; g++)
      for (let f = 0; f < n; f++) {
        // A log-Gabor filter; it does not respond to uniform brightness.
        const along = Math.log(Math.hypot(frequency(f), frequency(g)) * WAVELENGTHS[map % WAVELENGTHS.length]);
        const turned = Math.atan2(frequency(g), frequency(f)) - orientation;
        const away = Math.atan2(Math.sin(turned), Math.cos(turned));
        gain[g * n + f] = f || g ? Math.exp(-((along / Math.log(BANDWIDTH)) ** 2 + (away / SPREAD) ** 2) / 2) : 0;
      }
    for (let h = 0; h < CELLS; h++) {
      const line = new Float64Array(2 * n);
      for (let g = 0; g < n; g++) {
        const [c, s] = [cos[(g * place(h)) % n], sin[(g * place(h)) % n]];
        for (let f = 0; f < n; f++) {
          const at = g * n + f;
          line[2 * f] += gain[at] * (spectrum[2 * at] * c - spectrum[2 * at + 1] * s);
          line[2 * f + 1] += gain[at] * (spectrum[2 * at] * s + spectrum[2 * at + 1] * c);
        }
      }
      for (let w = 0; w < CELLS; w++) {
        let imaginary = 0;
        for (let f = 0; f < n; f++)
          imaginary += line[2 * f] * sin[(f * place(w)) % n] + line[2 * f + 1] * cos[(f * place(w)) % n];
        // Minus the imaginary part is the response of an odd filter: edges, dark to bright.
        const response = Math.max((-2 * imaginary) / (n * n), 0);
        values[(map * CELLS + h) * CELLS + w] = Math.round((response * GAIN) / ACTIVATION_STEP) * ACTIVATION_STEP;
      }
    }
  }
  return values;
}
