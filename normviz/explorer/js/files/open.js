// Files and pasted texts that the reader opens. They are read here, in the page; nothing is sent anywhere.

import constants from "../../constants.json" with { type: "json" };
import { say } from "../core/sentences.js";
import { Refusal, arrayNamed, fileNamed } from "./arrays.js";
import { MOST_HEADER, isNpy, npyOffset, readNpyHeader } from "./npy.js";
import { ACTIVATIONS_SHAPE, pictureSize, readPicture } from "./picture.js";
import { isSafetensors, readSafetensors } from "./safetensors.js";
import { numbersIn } from "./text.js";
import { beginningOf, contentOf, zipMembers } from "./zip.js";

/** @typedef {import("./arrays.js").OpenedArray} OpenedArray */

/** So many arrays of a file are looked at together: a browser answers single reads slowly. */
const TOGETHER = 32;
/** Bytes of nearly every header of a .npy file. */
const USUAL_HEADER = 128;
const TABLE = /\.(csv|tsv)$/i;

/**
 * The arrays in a file that have 2 to 5 axes and real numbers; the kind of the file is told by its first bytes.
 * @param {File} file
 * @returns {Promise<{name: string, arrays: OpenedArray[]}>}
 * @throws {Error} with a sentence that names the file; nothing else has changed
 */
export async function openFile(file) {
  const subject = fileNamed(file.name);
  return { name: file.name, arrays: await told(arraysIn(file, subject), subject) };
}

/**
 * An array of openFile() whose numbers can be read from its `blob`: those of .npz files are unpacked and checked here,
 * others are given back as they are.
 * @param {OpenedArray} array
 * @param {{onProgress?: (share: number) => void, signal?: AbortSignal}} [options]  share from 0 to 1
 * @returns {Promise<OpenedArray>}
 */
export async function unpacked(array, options = {}) {
  const { member, ...rest } = array;
  if (!member) return array;
  const subject = arrayNamed(array.file, array.name);
  return { ...rest, blob: await told(contentOf(member, subject, options), subject) };
}

/** What is read; a sentence where the file was moved, changed or locked after it was chosen. */
async function told(reading, subject) {
  try {
    return await reading;
  } catch (error) {
    if (!(error instanceof DOMException && error.name.startsWith("Not"))) throw error;
    throw new Refusal(say("files.unreadable", { subject }));
  }
}

/**
 * The array in a pasted text, float64.
 * @param {string} text
 * @returns {OpenedArray}
 * @throws {Error} with a sentence
 */
export function readPasted(text) {
  const name = say("files.pasted");
  checkText(text.length, name);
  return { file: name, name, format: "text", ...numbersIn(text, name) };
}

function checkText(size, subject) {
  const most = constants.files.text;
  if (size > most)
    throw new Refusal(say("files.text", { subject, size: Math.ceil(size / 1e6), most: Math.floor(most / 1e6) }));
}

async function arraysIn(file, subject) {
  const bytes = new Uint8Array(await file.slice(0, MOST_HEADER).arrayBuffer());
  const alone = (format, array) => [{ file: file.name, name: file.name, format, ...array }];
  const several = async (format, named, none) => {
    const read = async ([name, reader]) => ({ file: file.name, name, format, ...(await reader()) });
    const tried = [];
    for (let k = 0; k < named.length; k += TOGETHER)
      tried.push(...(await Promise.allSettled(named.slice(k, k + TOGETHER).map(read))));
    const refused = tried.flatMap((each) => (each.status === "rejected" ? [each.reason] : []));
    const failed = refused.find((reason) => !(reason instanceof Refusal));
    if (failed || refused.length === tried.length) throw failed ?? refused[0] ?? new Refusal(none);
    return tried.flatMap((each) => (each.status === "fulfilled" ? [each.value] : []));
  };
  if (isNpy(bytes)) return alone("npy", { ...readNpyHeader(bytes, file.size, subject), blob: file });
  if (bytes[0] === 0x50 && bytes[1] === 0x4b) {
    const members = await zipMembers(file, ".npy", subject);
    const named = members.map((member) => [member.name.slice(0, -4), () => arrayOf(member, file)]);
    return several("npz", named, say("files.zip-none", { subject }));
  }
  if (pictureSize(bytes))
    return alone("picture", { shape: ACTIVATIONS_SHAPE, dtype: "float32", values: await readPicture(file, subject) });
  if (isSafetensors(bytes) || /\.safetensors$/i.test(file.name))
    return several("safetensors", await readSafetensors(file, subject), say("files.tensors-none", { subject }));
  if (/\.npy$/i.test(file.name)) throw new Refusal(say("files.header", { subject }));
  return alone("text", numbersIn(await textIn(file, bytes, subject), subject, TABLE.test(file.name)));
}

/** A file as text: UTF-8, or UTF-16 with its mark, or in a table the letters of Windows. */
async function textIn(file, bytes, subject) {
  const mark = (bytes[0] << 8) | bytes[1];
  const encoding = mark === 0xfffe ? "utf-16le" : mark === 0xfeff ? "utf-16be" : "utf-8";
  const decode = (part, name, stream) => new TextDecoder(name, { fatal: true }).decode(part, { stream });
  if (encoding !== "utf-8" || !bytes.includes(0))
    for (const name of TABLE.test(file.name) ? [encoding, "windows-1252"] : [encoding])
      try {
        decode(bytes, name, true);
        checkText(file.size, subject);
        return decode(await file.arrayBuffer(), name, false);
      } catch (error) {
        if (!(error instanceof TypeError)) throw error;
      }
  throw new Refusal(say("files.kind", { subject }));
}

/** An array of an .npz file: its header is read, its numbers are not. */
async function arrayOf(member, file) {
  const named = arrayNamed(file.name, member.name.slice(0, -4));
  let beginning = await beginningOf(member, USUAL_HEADER);
  if (beginning.length === USUAL_HEADER && npyOffset(beginning) > USUAL_HEADER)
    beginning = await beginningOf(member, MOST_HEADER);
  return { ...readNpyHeader(beginning, member.size, named), blob: member.deflated ? null : member.packed, member };
}
