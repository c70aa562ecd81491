// Numbers in a text: a table with separators (CSV), or nested lists as Python, JSON, NumPy and PyTorch print them.

import { say } from "../core/sentences.js";
import { Refusal, checkShape, quoted } from "./arrays.js";

const NUMBER = /^[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:e[+-]?\d+)?$/i;
const WORD = /^([+-]?)(?:np\.|numpy\.|math\.|torch\.)?([a-z]+)_?$/i;
const WORDS = { nan: NaN, inf: Infinity, infinity: Infinity, true: 1, false: 0 };
const DECIMAL_COMMA = /^[+-]?\d*,\d+(?:e[+-]?\d+)?$/i;
const COMPLEX = /^[+-]?[\d.]+(?:e[+-]?\d+)?(?:[+-](?:[\d.]+(?:e[+-]?\d+)?|nan|inf))?[ij]$/i;
/** A bracket, perhaps after "x =" and "array(". */
const LISTS = /^(?:\w{1,40}\s*=\s*)?(?:[a-z_][\w.]{0,40}\s*(\()\s*(?=[[(]))?[[(]/i;
/** NumPy prints the numbers in a list of Python as np.float64(1.5). */
const SCALAR = /\b(?:np\.|numpy\.)?(?:u?int|b?float)\d+\(([^()[\]]*)\)/g;
const TOKEN = /\s*([[\](),]|[^\s[\](),]+)/y;
const CLOSING = new Map([
  ["[", "]"],
  ["(", ")"]
]);

/** The number that a text is; null for another text. */
function numberIn(text) {
  const plain = text.replace("\u2212", "-");
  if (NUMBER.test(plain)) return Number(plain);
  const [, sign, word] = WORD.exec(plain.toLowerCase()) ?? [];
  return Object.hasOwn(WORDS, word ?? "") ? (sign === "-" ? -1 : 1) * WORDS[word] : null;
}

/**
 * The array in a text, float64.
 * @param {boolean} [table]  read a table, however the text begins
 */
export function numbersIn(text, subject, table = false) {
  const given = text.replace(SCALAR, "$1").trimEnd();
  const { shape, values } = (!table && LISTS.test(given.trimStart()) ? readLists : readTable)(given, subject);
  checkShape(shape, subject);
  return { shape, dtype: "float64", values: Float64Array.from(values) };
}

/** A table: rows are samples, columns are channels. A header line and lines that begin with "#" are left out. */
function readTable(text, subject) {
  const values = [];
  let separator = null;
  let header = true;
  let rows = 0;
  let first = null;
  for (const [k, content] of text.split(/\r\n|\n|\r/).entries()) {
    const trimmed = content.trim();
    if (!trimmed || trimmed.startsWith("#")) continue;
    const line = k + 1;
    separator ??= ["\t", ";", ","].find((each) => trimmed.replace(/"[^"]*"/g, "").includes(each)) ?? /\s+/;
    const fields = fieldsOf(separator === "\t" ? content : trimmed, separator);
    // A line with a number is none: a mistyped sample must not vanish.
    const isHeader = header && fields.every((field) => numberIn(field) === null) && /[a-z]/i.test(trimmed);
    header = false;
    if (isHeader && !fields.some((field) => COMPLEX.test(field))) {
      separator = null; // a title may stand over the columns
      continue;
    }
    fields.forEach((field, column) => {
      const value = numberIn(field);
      if (value === null) throw notNumber(field, trimmed, { subject, line, column: column + 1 });
      values.push(value);
    });
    first ??= { line, length: fields.length };
    if (fields.length !== first.length)
      throw new Refusal(
        say("files.row", { subject, line, count: fields.length, first: first.line, expected: first.length })
      );
    rows++;
  }
  if (!first) throw new Refusal(say("files.blank", { subject }));
  return { shape: [rows, first.length], values };
}

/** The fields of a line; a separator inside quotes separates nothing. */
function fieldsOf(line, separator) {
  const fields = [""];
  for (const [k, part] of line.split('"').entries())
    for (const [j, piece] of (k % 2 ? [part] : part.split(separator)).entries())
      if (j) fields.push(piece);
      else fields[fields.length - 1] += piece;
  return fields.map((field) => field.trim());
}

/** Why a field of a table is no number. */
function notNumber(field, content, { subject, line, column }) {
  if (!field) return new Refusal(say("files.field-empty", { subject, line, column }));
  if (COMPLEX.test(field)) return new Refusal(say("files.holds-complex", { subject }));
  const comma = [field, ...content.split(/\s+/, 3)].find((part) => DECIMAL_COMMA.test(part));
  if (comma) return new Refusal(say("files.comma", { subject, line, text: comma }));
  return new Refusal(say("files.field", { subject, line, column, text: quoted(field) }));
}

/** Nested lists; what stands around them, as in `x = array([[1, 2]], dtype=int8)`, is left out. */
function readLists(text, subject) {
  const begin = text.length - text.trimStart().length;
  const [opening, wrapped] = LISTS.exec(text.slice(begin));
  const values = [];
  const lengths = []; // of the lists of every level
  const closing = []; // of the lists that are open
  const counts = []; // what they hold so far
  let leaf = null; // as many lists are open around every number
  let separated = true;
  TOKEN.lastIndex = begin + opening.length - 1;
  const line = () => text.slice(0, TOKEN.lastIndex).split("\n").length;
  const place = (levels) => levels.map((count) => `[${count}]`).join("");
  const misplaced = (token) => new Refusal(say("files.bracket", { subject, line: line(), text: quoted(token) }));
  do {
    const token = TOKEN.exec(text)?.[1];
    if (!token) throw new Refusal(say("files.unclosed", { subject }));
    if (token === ",") {
      if (separated) throw misplaced(token);
    } else if (CLOSING.has(token)) {
      if (closing.length === leaf) throw new Refusal(say("files.mixed", { subject, at: place(counts) }));
      closing.push(CLOSING.get(token));
      counts.push(0);
    } else if (token === "]" || token === ")") {
      if (closing.at(-1) !== token) throw misplaced(token);
      const level = closing.length - 1;
      const count = counts[level];
      lengths[level] ??= count;
      if (lengths[level] !== count)
        throw new Refusal(
          say("files.ragged", { subject, at: place(counts.slice(0, -1)), count, expected: lengths[level] })
        );
      closing.pop();
      counts.pop();
      if (level) counts[level - 1]++;
    } else {
      const value = numberIn(token);
      if (value === null) {
        if (/^\.\.\.|^…/.test(token)) throw new Refusal(say("files.shortened", { subject }));
        if (COMPLEX.test(token)) throw new Refusal(say("files.holds-complex", { subject }));
        throw new Refusal(say("files.word", { subject, line: line(), text: quoted(token) }));
      }
      leaf ??= closing.length;
      if (closing.length !== leaf) throw new Refusal(say("files.mixed", { subject, at: place(counts) }));
      values.push(value);
      counts[leaf - 1]++;
    }
    separated = token === "," || CLOSING.has(token);
  } while (closing.length);
  const rest = text.slice(TOKEN.lastIndex).trim();
  if (!(wrapped ? /^(?:,\s*\w+\s*=[^[\]]*|,)?\)[;.]?$/ : /^[;,.]?$/).test(rest)) throw misplaced(rest || ")");
  return { shape: lengths, values };
}
