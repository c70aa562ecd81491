// Zip files, as far as .npz files need them: members that are stored or deflated, also of zip64. Every size that the
// file claims is checked against the file before it is used.

import constants from "../../constants.json" with { type: "json" };
import { createPause } from "../core/pause.js";
import { say } from "../core/sentences.js";
import { Refusal, checkCount } from "./arrays.js";

const END = 0x06054b50;
const END_64 = 0x06064b50;
const LOCATOR_64 = 0x07064b50;
const MEMBER = 0x02014b50;
const LOCAL = 0x04034b50;
const FULL = 0xffffffff;
const STORED_MEMBER = 0;
const DEFLATED_MEMBER = 8;

/** @typedef {{name: string, deflated: boolean, crc: number, size: number, start: number, packed: Blob}} Member */

const dataViewOf = async (file, begin, length) => new DataView(await file.slice(begin, begin + length).arrayBuffer());
const long = (view, at) => Number(view.getBigUint64(at, true));

/**
 * The members of a zip file whose names end in `ending`.
 * @param {Blob} file
 * @returns {Promise<Member[]>}
 */
export async function zipMembers(file, ending, subject) {
  const damaged = () => new Refusal(say("files.zip", { subject }));
  const { count, begin, length } = await directoryOf(file, damaged);
  checkCount(count, subject);
  const view = await dataViewOf(file, begin, length);
  const members = [];
  let at = 0;
  for (let k = 0; k < count; k++) {
    if (at + 46 > length || view.getUint32(at, true) !== MEMBER) throw damaged();
    const [nameLength, extraLength, commentLength] = [28, 30, 32].map((place) => view.getUint16(at + place, true));
    const extra = at + 46 + nameLength;
    const next = extra + extraLength + commentLength;
    if (next > length) throw damaged();
    const name = new TextDecoder().decode(new Uint8Array(view.buffer, at + 46, nameLength));
    if (name.endsWith(ending)) {
      const [size, packedSize, start] = sizesOf(view, at, extra, extra + extraLength, damaged);
      const [flags, method] = [8, 10].map((place) => view.getUint16(at + place, true));
      const crc = view.getUint32(at + 16, true);
      members.push({ name, encrypted: flags & 1, method, crc, size, packedSize, start });
    }
    at = next;
  }
  if (at !== length) throw damaged();
  if (members.some((member) => !(member.start + 30 <= begin))) throw damaged();
  const locals = await Promise.all(members.map((member) => dataViewOf(file, member.start, 30)));
  let free = begin;
  for (const k of [...members.keys()].sort((a, b) => members[b].start - members[a].start)) {
    const [member, local] = [members[k], locals[k]];
    const data = member.start + 30 + local.getUint16(26, true) + local.getUint16(28, true);
    // Members that share bytes would let a small file claim much.
    if (local.getUint32(0, true) !== LOCAL || !(data + member.packedSize <= free)) throw damaged();
    member.packed = file.slice(data, data + member.packedSize);
    free = member.start;
  }
  return members.map(({ name, encrypted, method, crc, size, start, packed }) => {
    if (encrypted) throw new Refusal(say("files.zip-encrypted", { subject }));
    const deflated = method === DEFLATED_MEMBER;
    if (!deflated && method !== STORED_MEMBER) throw new Refusal(say("files.zip-method", { subject, method }));
    if (!deflated && packed.size !== size) throw damaged();
    return { name, deflated, crc, size, start, packed };
  });
}

/** Where the list of members stands: it is told at the end of the file. */
async function directoryOf(file, damaged) {
  const tail = await dataViewOf(file, Math.max(0, file.size - 65557), 65557);
  let at = tail.byteLength - 22;
  while (at >= 0 && (tail.getUint32(at, true) !== END || at + 22 + tail.getUint16(at + 20, true) !== tail.byteLength))
    at--;
  if (at < 0) throw damaged();
  let found = { count: tail.getUint16(at + 10, true), length: tail.getUint32(at + 12, true), begin: 0 };
  found.begin = tail.getUint32(at + 16, true);
  let end = file.size - tail.byteLength + at;
  if (at >= 20 && tail.getUint32(at - 20, true) === LOCATOR_64) {
    end = long(tail, at - 12);
    if (!(end + 56 <= file.size)) throw damaged();
    const view = await dataViewOf(file, end, 56);
    if (view.getUint32(0, true) !== END_64) throw damaged();
    found = { count: long(view, 32), length: long(view, 40), begin: long(view, 48) };
  }
  if (!(found.begin + found.length <= end) || found.length > constants.files.directory) throw damaged();
  return found;
}

/** Size, packed size and start of a member: those that need more than 32 bits stand in an extra field. */
function sizesOf(view, at, begin, end, damaged) {
  const sizes = [24, 20, 42].map((place) => view.getUint32(at + place, true));
  if (!sizes.includes(FULL)) return sizes;
  for (let field = begin; field + 4 <= end; field += 4 + view.getUint16(field + 2, true)) {
    if (view.getUint16(field, true) !== 1) continue;
    let place = field + 4;
    const last = Math.min(end, place + view.getUint16(field + 2, true));
    return sizes.map((size) => {
      if (size !== FULL) return size;
      if (place + 8 > last) throw damaged();
      place += 8;
      return long(view, place - 8);
    });
  }
  throw damaged();
}

/** Few bytes at a time: each may become a thousand, and the browser keeps what they become until it is read. */
const inPortions = (size) =>
  new TransformStream({
    transform(chunk, controller) {
      for (let at = 0; at < chunk.length; at += size) controller.enqueue(chunk.subarray(at, at + size));
    }
  });
const inflated = (blob, size) =>
  blob.stream().pipeThrough(inPortions(size)).pipeThrough(new DecompressionStream("deflate-raw")).getReader();
const PORTION = 1 << 14;
const FIRST_PORTION = 1 << 8;
const MOST_PORTIONS = 16;

/** Bytes with which a member begins, at most so many; their checksum is not known. @param {Member} member */
export async function beginningOf(member, most) {
  if (!member.deflated) return new Uint8Array(await member.packed.slice(0, most).arrayBuffer());
  const reader = inflated(member.packed.slice(0, MOST_PORTIONS * FIRST_PORTION), FIRST_PORTION);
  const bytes = new Uint8Array(Math.min(most, member.size));
  let filled = 0;
  try {
    while (filled < bytes.length) {
      const { value, done } = await reader.read();
      if (done) break;
      const part = value.subarray(0, bytes.length - filled);
      bytes.set(part, filled);
      filled += part.length;
    }
  } catch (error) {
    // The member goes on, or is damaged, which its checksum will tell.
    if (!(error instanceof TypeError)) throw error;
  } finally {
    reader.cancel().catch(() => {});
  }
  return bytes.subarray(0, filled);
}

const PIECE = 1 << 20;

/** The bytes of a member that is stored, piece by piece. */
async function* pieces(blob) {
  for (let at = 0; at < blob.size; at += PIECE) yield new Uint8Array(await blob.slice(at, at + PIECE).arrayBuffer());
}

/** The bytes of a deflated member as the browser unpacks them. */
async function* unpackedPieces(blob, damaged) {
  const reader = inflated(blob, PORTION);
  try {
    for (let { value, done } = await reader.read(); !done; { value, done } = await reader.read()) yield value;
  } catch (error) {
    throw error instanceof TypeError ? damaged : error;
  } finally {
    reader.cancel().catch(() => {});
  }
}

/**
 * A member, unpacked; its size and its checksum are compared with those that the zip file names.
 * @param {Member} member
 * @param {{onProgress?: (share: number) => void, signal?: AbortSignal}} options
 * @returns {Promise<Blob>}
 */
export async function contentOf(member, subject, options) {
  const most = constants.files.inflated;
  if (member.deflated && member.size > most)
    throw new Refusal(
      say("files.inflated", { subject, size: Math.ceil(member.size / 1e6), most: Math.floor(most / 1e6) })
    );
  const damaged = new Refusal(say("files.checksum", { subject }));
  const pause = createPause(() => !options.signal?.aborted, options.onProgress);
  const parts = [];
  let loose = [];
  let size = 0;
  let crc = -1;
  for await (const piece of member.deflated ? unpackedPieces(member.packed, damaged) : pieces(member.packed)) {
    size += piece.length;
    if (size > member.size) throw damaged;
    crc = crc32(piece, crc);
    if (member.deflated) loose.push(piece);
    if (loose.length * PORTION > PIECE) {
      parts.push(new Blob(loose)); // which keeps its bytes outside the script's memory
      loose = [];
    }
    await pause(size / member.size);
  }
  if (size !== member.size || ~crc >>> 0 !== member.crc) throw damaged;
  return member.deflated ? new Blob([...parts, ...loose]) : member.packed;
}

let table = null;

/** The checksum of zip files, continued. @param {Uint8Array} bytes */
function crc32(bytes, crc) {
  table ??= Int32Array.from({ length: 256 }, (_, k) => {
    for (let bit = 0; bit < 8; bit++) k = k & 1 ? 0xedb88320 ^ (k >>> 1) : k >>> 1;
    return k;
  });
  for (let i = 0; i < bytes.length; i++) crc = table[(crc ^ bytes[i]) & 255] ^ (crc >>> 8);
  return crc;
}
