// Numbers: unpacking what Python sent, the statistics of one set, and how a number is written.

const ARRAYS = { float32: Float32Array, float64: Float64Array, uint8: Uint8Array, int32: Int32Array };

/** Decode half precision from its bits: not every browser has a Float16Array. */
export const half = (bits) => {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return sign * (exponent ? 2 ** (exponent - 15) * (1 + fraction / 1024) : 2 ** -24 * fraction);
};

export const fromBase64 = (text) => Uint8Array.from(atob(text), (char) => char.charCodeAt(0));

/**
 * @param {{dtype: string, data: string, filled?: string, size?: number} | null} packed  numbers in base64;
 *   with `filled` only of those whose bit is set there, among `size` numbers of which the others are 0
 */
export function unpack(packed) {
  if (!packed) return null;
  const { buffer } = fromBase64(packed.data);
  const numbers =
    packed.dtype === "float16" ? Float32Array.from(new Uint16Array(buffer), half) : new ARRAYS[packed.dtype](buffer);
  if (!packed.filled) return numbers;
  const filled = fromBase64(packed.filled);
  let at = 0;
  return new numbers.constructor(packed.size).map((_, i) => ((filled[i >> 3] >> (i & 7)) & 1 ? numbers[at++] : 0));
}

/**
 * Merge atoms of equal count (Chan, Golub & LeVeque 1983): the mean of the means, and M2 plus the squared differences
 * of the means.
 * @param {{mean: ArrayLike<number>, m2: ArrayLike<number>, rest?: ArrayLike<number>}} moments
 *   of all atoms; `rest` is what the means lost when they were rounded, if that is known
 * @param {number[]} atoms  the numbers of those that merge
 */
export function mergeAtoms({ mean: means, m2: m2s, rest }, count, atoms) {
  const pick = (array) => array && atoms.map((atom) => array[atom]);
  const { mean, m2 } = twoPassMoments(pick(means), pick(rest));
  return { count: count * atoms.length, mean, m2: atoms.reduce((sum, atom) => sum + m2s[atom], count * m2) };
}

/**
 * Mean and M2, the sum of squared deviations from it, in two passes: E[x^2] - E[x]^2 loses every digit once the mean is
 * large beside the deviations. Relative to the first value, so that a constant has its own mean and an M2 of exactly 0.
 * @param {ArrayLike<number>} [rests]  small numbers to be added to the values
 */
function twoPassMoments(values, rests) {
  const { length } = values;
  const first = Number.isFinite(values[0]) ? values[0] : 0;
  let sum = 0;
  for (let i = 0; i < length; i++) sum += values[i] - first + (rests ? rests[i] : 0);
  const mean = first + sum / length;
  let left = 0;
  let m2 = 0;
  for (let i = 0; i < length; i++) {
    const off = values[i] - mean + (rests ? rests[i] : 0);
    left += off;
    m2 += off * off;
  }
  // What is left of the sum is the rounding of the mean.
  const correction = left / length;
  return Number.isFinite(m2) ? { mean: mean + correction, m2: Math.max(m2 - left * correction, 0) } : { mean, m2 };
}

/** Mean and biased variance, or 0 and the mean square where no mean is taken. */
export function twoPass(values, centered) {
  const { mean, m2 } = twoPassMoments(values);
  if (centered) return { mean, var: m2 / values.length };
  // Beside an infinite value there is no variance, but a mean square.
  const square = Number.isNaN(m2) ? values.reduce((a, b) => a + b * b, 0) : m2;
  return { mean: 0, var: square / values.length + (Number.isNaN(m2) ? 0 : mean * mean) };
}

/** Mean and variance of a set with these values, by the statistic of a method. */
export function statisticsOfValues(values, { centered, statistic }) {
  const found = twoPass(values, centered);
  return statistic === "squared norm" ? { mean: 0, var: found.var * values.length } : found;
}

/** The same of a set with these moments. */
export function statisticsOfMoments({ count, mean, m2 }, { centered, statistic }) {
  if (centered) return { mean, var: m2 / count };
  const square = m2 / count + mean ** 2;
  return { mean: 0, var: statistic === "squared norm" ? square * count : square };
}

/** A plain decimal without an exponent, which a screen reader can read; halves of the exact value away from zero. */
export function decimal(value, digits = 5) {
  if (!Number.isFinite(value)) return Number.isNaN(value) ? "NaN" : value > 0 ? "inf" : "-inf";
  if (value === 0) return "0";
  const [mantissa, exponent] = Math.abs(value)
    .toExponential(digits - 1)
    .split("e");
  const shown = mantissa.replace(".", "").replace(/0+$/, "");
  const power = Number(exponent);
  const ones = power < 0 ? "0" : shown.slice(0, power + 1).padEnd(power + 1, "0");
  const rest = power < 0 ? shown.padStart(shown.length - power - 1, "0") : shown.slice(power + 1);
  return `${value < 0 ? "-" : ""}${ones}${rest && `.${rest}`}`;
}
/** As decimal(), but very small and very large numbers as powers of ten, for formulas. May hold <sup>. */
export function number(value, digits = 5) {
  const size = Math.abs(value);
  if (!Number.isFinite(value) || value === 0 || (size >= 1e-6 && size < 10 ** Math.max(9, digits)))
    return decimal(value, digits);
  const [mantissa, exponent] = value.toExponential(digits - 1).split("e");
  return `${Number(mantissa)}·10<sup>${Number(exponent)}</sup>`;
}

/** Digits that distinguish a value from the mean: more than five where both are large against the deviation. */
export function digitsFor(x, mean, deviation) {
  const lost = Math.log10(Math.max(Math.abs(x), Math.abs(mean)) / deviation);
  return Number.isFinite(lost) ? Math.min(5 + Math.max(0, Math.ceil(lost - 1)), 15) : 5;
}

/** The fewest digits from which a number is read again: as float32 if it is `single` and one of those. */
export function shortest(value, single) {
  const digits = single && [6, 7, 8, 9].find((n) => Math.fround(Number(value.toPrecision(n))) === value);
  return String(digits ? Number(value.toPrecision(digits)) : value);
}

/** A whole number with thin spaces between the thousands. */
export const whole = (value) => String(value).replace(/\B(?=(\d{3})+$)/g, "\u202f");

/** Inclusive ranges for people: "0 to 3", "5". */
export const span = ([start, stop]) => (stop - start === 1 ? `${start}` : `${start} to ${stop - 1}`);

/** Shares of the values in equal bins over [low, high]; what lies outside counts in the end bins. NaN is left out. */
export function histogram(values, low, high, bins) {
  const counts = new Array(bins).fill(0);
  const width = (high - low) / bins || 1;
  let total = 0;
  for (const v of values) {
    if (Number.isNaN(v)) continue;
    counts[Math.min(Math.max(Math.floor((v - low) / width), 0), bins - 1)]++;
    total++;
  }
  return counts.map((c) => (total ? c / total : 0));
}

/** A list as Python writes a tuple. */
export const tuple = (items) => `(${items.join(", ")}${items.length === 1 ? "," : ""})`;
