// How x is made: shape, fill, seed, typed cells and parameters, and how an address keeps them. No DOM.

/** @import { OpenedArray } from "../files/open.js" */
import constants from "../../constants.json" with { type: "json" };
import { product } from "../core/geometry.js";
import { enumerated } from "../core/readout.js";
import { say } from "../core/sentences.js";
import { FILLS } from "./fills.js";

/**
 * What the reader asked for. It is never changed in place, so earlier ones stay as they were.
 * @typedef {object} Recipe
 * @property {number[]} shape  (N, C, *spatial), whatever channelAxis is
 * @property {string} fill  what lies below the typed cells: a name of FILLS; "file" for values of one's own
 * @property {number} seed
 * @property {1 | -1} channelAxis  where C is in x
 * @property {[number[], number][]} edits  the typed cells: index and value
 * @property {Own | null} own  values that do not follow from a fill and a shape
 * @property {number} eps
 * @property {number[] | null} weight  repeated or cut to the length of the channels
 * @property {number[] | null} bias
 * @property {boolean} elementwise  are weight and bias of the shape of a sample, as Python may give them?
 */
/**
 * @typedef {object} Own
 * @property {number[]} shape
 * @property {ArrayLike<number> | null} values  null if they are only in a file, or in Python
 * @property {OpenedArray} [file]  where they were read
 * @property {Recipe} [made]  how they were filled and typed over
 * @property {boolean} [given]  are they those with which the page began? Linked explorers have them in common
 */

const LETTERS = { 2: "", 3: "L", 4: "HW", 5: "DHW" };
/** The names of the axes of a rank: N, C, H, W. */
export const axesOf = (rank) => [..."NC", ...LETTERS[rank]];
export const RANKS = Object.keys(LETTERS).map(Number);
const inside = (index, shape) => index.length === shape.length && index.every((i, a) => i >= 0 && i < shape[a]);
/** The typed cells that a shape has: those of a longer axis or another rank are seen again only there. */
const typedIn = ({ shape, edits }) => edits.filter(([index]) => inside(index, shape));
const sameList = (a, b) => String(a) === String(b);

/** The name of the fill as a person sees it: "edited" if cells were typed over, or values of one's own were cut. */
export function shownFill({ shape, fill, edits, own }) {
  const typed = typedIn({ shape, edits }).length || own?.made?.edits.length;
  return typed || (own && !sameList(own.shape, shape)) ? "edited" : fill;
}

/** The same values as far as they fit into another shape; beyond, they are repeated. */
export function reshaped(recipe, shape, values) {
  const { own, edits, fill } = recipe;
  const sample = sameList(shape.slice(1), recipe.shape.slice(1));
  const parameters = recipe.elementwise && !sample ? { weight: null, bias: null, elementwise: false } : {};
  const next = { ...recipe, ...parameters, shape };
  // Values of one's own stay as they are, so that a smaller N and back brings all of them back.
  if (own || !(edits.length || fill === "example") || !values) return next;
  return { ...next, edits: [], own: { shape: recipe.shape, values, made: recipe } };
}

/** The same with one more typed cell. */
export function edited(recipe, index, value) {
  const edits = recipe.edits.filter(([at]) => !sameList(at, index));
  return { ...recipe, edits: [...edits, [index, value]] };
}

/** What the maker is asked for. */
export function orderOf({ shape, fill, seed, edits, own, channelAxis }) {
  const flat = (index) => index.reduce((at, i, a) => at * shape[a] + i, 0);
  const typed = typedIn({ shape, edits }).map(([index, value]) => [flat(index), value]);
  const file = own?.file ?? null;
  if (own && !file && !own.values) throw new Error(say("tensor.no-values"));
  const base = own && !file ? { values: own.values, shape: own.shape } : null;
  return { shape, fill, seed, base, edits: typed, file, channelAxis };
}

/** A weight or a bias for so many channels; one number is that of every channel. */
export const perChannel = (list, length) => list && Float64Array.from({ length }, (_, c) => list[c % list.length]);

/** The recipe as Python reads it. */
export function forPython(recipe) {
  const { shape, seed, channelAxis, own } = recipe;
  const fill = shownFill(recipe);
  // JSON has no NaN and no infinity.
  const typed = typedIn(recipe).map(([index, value]) => [index, Number.isFinite(value) ? value : String(value)]);
  const below = fill === "edited" ? { base: own?.made?.fill ?? recipe.fill } : {};
  return { shape, fill, seed, channel_axis: channelAxis, edits: typed, ...below };
}

// ---- what a person types --------------------------------------------------------------------------------------------

const NAMED = { nan: NaN, inf: Infinity, "+inf": Infinity, "-inf": -Infinity };
/** A number as it is typed or stands in an address; undefined for other text. */
export function typedNumber(text) {
  const word = text.trim().replace("−", "-").toLowerCase().replace("infinity", "inf");
  if (Object.hasOwn(NAMED, word)) return NAMED[word];
  // In an address "+" is a space.
  return /^[-+]?(\d+\.?\d*|\.\d+)(e[-+ ]?\d+)?$/.test(word) ? Number(word.replace("e ", "e+")) : undefined;
}
/** A whole number as it is typed; undefined for other text. */
export const typedWhole = (text) => (/^\s*\d{1,15}\s*$/.test(text) ? Number(text) : undefined);

/** A list of finite numbers, with commas or spaces between; null for none, undefined for other text. */
export function typedList(text) {
  const words = text
    .replace(/[[\]()]/g, " ")
    .split(/[\s,;]+/)
    .filter(Boolean);
  const numbers = words.map(typedNumber);
  return numbers.every(Number.isFinite) ? (numbers.length ? numbers : null) : undefined;
}

/** Throws a sentence if a shape cannot be made. */
export function checkMade(shape) {
  const most = constants.limits.filled;
  shape.forEach((length, a) => {
    if (!(Number.isInteger(length) && length >= 1))
      throw new Error(say("tensor.length", { axis: axesOf(shape.length)[a] }));
  });
  const cells = product(shape);
  if (cells > most) throw new Error(say("tensor.too-many", { shape: shape.join(", "), cells, most }));
}

/** Throws a sentence if a weight or a bias does not fit. */
export function checkList(name, list, length) {
  if (list && list.length !== 1 && list.length !== length)
    throw new Error(say("tensor.list", { name, length, count: list.length }));
}

// ---- the address ----------------------------------------------------------------------------------------------------

/** The keys of a recipe in an address. `edits` were typed in the shape `from`, `later` in the shape chosen then. */
export const TENSOR_KEYS = "shape,fill,seed,channel_axis,eps,from,edits,later,weight,bias,without".split(",");
/** A number in few characters. In an address "+" is a space. */
function brief(value) {
  if (!Number.isFinite(value)) return String(value).replace("Infinity", "inf").replace("NaN", "nan");
  const power = value.toExponential().replace("e+", "e");
  const plain = String(value).replace("e+", "e");
  return power.length < plain.length ? power : plain;
}
const inAddress = (list) => list.map(brief).join(",");
const typedCells = (edits) => edits.map(([index, value]) => `${index}:${brief(value)}`).join(";");

/** The parts of the address, those that may be left out last. A tensor from a file cannot be kept. */
function addressParts(recipe, first) {
  const { own } = recipe;
  const made = own?.made ?? null;
  const below = made ?? recipe;
  const parts = [["shape", recipe.shape.join(",")]];
  if (!made && own && !own.given) return [["fill", "file"]];
  if (below.fill !== first.fill || below.fill !== "file") parts.push(["fill", below.fill]);
  if (below.seed !== first.seed) parts.push(["seed", below.seed]);
  if (recipe.channelAxis !== first.channelAxis) parts.push(["channel_axis", recipe.channelAxis]);
  if (recipe.eps !== first.eps) parts.push(["eps", brief(recipe.eps)]);
  if (made) parts.push(["from", made.shape.join(",")]);
  const typed = made ? { edits: typedIn(made), later: typedIn(recipe) } : { edits: typedIn(recipe) };
  const long = Object.entries(typed).flatMap(([key, edits]) => (edits.length ? [[key, typedCells(edits)]] : []));
  for (const key of ["weight", "bias"])
    if (!sameList(recipe[key], first[key]) && !recipe.elementwise)
      long.push([key, recipe[key] ? inAddress(recipe[key]) : ""]);
  return [...parts, ...long.map(([key, text]) => [key, text, true])];
}

/**
 * A recipe as a part of the address, with a prefix before each key; empty for the first recipe of the page.
 * @param {number} room  how many characters it may have
 */
export function recipeAddress(recipe, first, prefix, room) {
  if (recipe === first) return "";
  const kept = [];
  const without = [];
  let length = 0;
  for (const [key, text, long] of addressParts(recipe, first)) {
    const part = `${prefix}${key}=${String(text).replaceAll(" ", "%20")}`;
    if (long && length + part.length + 40 > room) without.push(key);
    else {
      kept.push(part);
      length += part.length + 1;
    }
  }
  if (without.length) kept.push(`${prefix}without=${without}`);
  return kept.join("&");
}

/** A shape as it stands in an address; null for what is none. */
function shapeInAddress(text) {
  const shape = /^\d+(,\d+)+$/.test(text) ? text.split(",").map(Number) : null;
  return shape && RANKS.includes(shape.length) && shape.every((n) => n) ? shape : null;
}

function readCells(text, shape) {
  return text.split(";").map((cell) => {
    const [at, word] = cell.split(":");
    const index = at.split(",").map((part) => typedWhole(part) ?? -1);
    const value = typedNumber(word ?? "");
    if (!inside(index, shape) || value === undefined) throw new Error(cell);
    return /** @type {[number[], number]} */ ([index, value]);
  });
}

/**
 * The recipe of an address, what of it does not fit (as it stands there), and a sentence on what it has lost. `later`
 * takes the values of that recipe and gives the final one, where cells were typed over in another shape.
 * @param {Record<string, string>} given  texts by the keys above
 * @param {Recipe} first  of the page
 * @param {number[]} example  the shape of the fill "example"
 */
export function recipeInAddress(given, first, example) {
  const wrong = [];
  let recipe = first;
  const refuse = () => {
    throw new Error();
  };
  const read = (key, f) => {
    if (given[key] === undefined) return;
    try {
      recipe = { ...recipe, ...f(given[key]) };
    } catch {
      wrong.push(`${key}=${given[key]}`);
    }
  };
  const shapeOf = (text) => {
    const shape = shapeInAddress(text) ?? refuse();
    checkMade(shape);
    return shape;
  };
  const own = (fill) => fill === "file" && first.fill === "file";
  const strange = given.fill === "file" && first.fill !== "file";
  if (!strange)
    read("fill", (fill) =>
      own(fill) || FILLS.includes(fill)
        ? { fill, own: own(fill) ? first.own : null, ...(fill === "example" ? { shape: example } : {}) }
        : refuse()
    );
  read("seed", (text) => ({ seed: typedWhole(text) < 2 ** 32 ? typedWhole(text) : refuse() }));
  read("channel_axis", (text) => ({ channelAxis: { 1: 1, "-1": -1 }[text] ?? refuse() }));
  read("eps", (text) => ({
    eps: typedNumber(text) > 0 && typedNumber(text) < Infinity ? typedNumber(text) : refuse()
  }));
  for (const key of ["weight", "bias"])
    read(key, (text) => {
      const list = typedList(text);
      return list === undefined ? refuse() : { [key]: list, elementwise: false };
    });
  const twice = given.from !== undefined;
  if (recipe.fill !== "example") read(twice ? "from" : "shape", (text) => reshaped(recipe, shapeOf(text), null));
  read("edits", (text) => ({ edits: readCells(text, recipe.shape) }));
  let later = null;
  if (twice) {
    const before = recipe;
    const last = { shape: recipe.shape, edits: [] };
    read("shape", (text) => Object.assign(last, { shape: shapeOf(text) }) && {});
    read("later", (text) => Object.assign(last, { edits: readCells(text, last.shape) }) && {});
    later = (values) => ({ ...reshaped(before, last.shape, values), edits: last.edits });
  }
  const left = given.without?.split(",").filter((key) => TENSOR_KEYS.includes(key)) ?? [];
  const lost = strange
    ? say("tensor.link-file")
    : left.length
      ? say("tensor.link-without", { parts: enumerated(left.map((key) => say(`tensor.part-${key}`))) })
      : "";
  return { recipe, later, wrong, lost };
}
