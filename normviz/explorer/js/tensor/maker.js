// Makes a tensor to order: small ones at once, large ones in a worker or, where there is none, piece by piece.

import { product } from "../core/geometry.js";
import { fromBase64 } from "../core/numbers.js";
import { abandoned } from "../core/pause.js";
import { say } from "../core/sentences.js";
import { Refusal, fileNamed } from "../files/arrays.js";
import { createBench, makeNow, shapeOf } from "./making.js";

/** A tensor of as many cells takes about as long as a frame of the screen, so it is made at once. */
const MOST_AT_ONCE = 1 << 15;

/** How the sample activations are stored: multiples of a step. */
const SAMPLE = { shape: [16, 16, 12, 12], step: 1 / 128 };

/** The sample activations from the bytes that scene.py packed. @param {string} packed */
export async function unpackSample(packed) {
  const stream = new Blob([fromBase64(packed)]).stream().pipeThrough(new DecompressionStream("deflate"));
  const bytes = new Uint8Array(await new Response(stream).arrayBuffer());
  const size = bytes.length / 2;
  const values = Float32Array.from({ length: size }, (_, i) => (bytes[i] + 256 * bytes[size + i]) * SAMPLE.step);
  return { values, shape: SAMPLE.shape };
}

/**
 * @param {string} packedSample  the scene's `editable.sample`
 */
export function createMaker(packedSample) {
  const here = createBench();
  const there = createRemoteBench(here);
  let sample = null;
  let ids = 0;
  let running = null;
  let kept = null;
  const cancel = () => {
    running?.reject(abandoned());
    running?.bench.stop({ id: running.id });
    running = null;
  };
  const keep = (next) => {
    kept?.bench.keep({ id: next?.bench === kept.bench ? next.id : null });
    kept = next;
  };
  return {
    /**
     * The part of the data of an explorer that a tensor decides, or a promise of it. An earlier order that is not done
     * yet is given up: its promise rejects with an AbortError.
     * @param {import("./making.js").Order} order
     * @param {{onProgress?: (share: number) => void}} options  share from 0 to 1
     */
    make(order, { onProgress = () => {} } = {}) {
      cancel();
      const repeats = !order.file && !order.base && order.fill === "sample";
      const small = product(shapeOf(order)) <= MOST_AT_ONCE;
      if (small && !order.file && (sample || !repeats)) {
        keep(null);
        return makeNow(order, sample);
      }
      const few = small && (!order.file || product(order.file.shape) <= MOST_AT_ONCE);
      const task = { id: ++ids, bench: few ? here : there, reject: null };
      running = task;
      const report = (share) => {
        if (running === task) onProgress(share);
      };
      const made = async () => {
        if (repeats) sample ??= await unpackSample(packedSample);
        if (running !== task) throw abandoned();
        const part = await task.bench.make({ id: task.id, order, sample: repeats ? sample : null }, report);
        if (running !== task) throw abandoned();
        running = null;
        keep(task);
        return part;
      };
      return new Promise((resolve, reject) => {
        task.reject = reject;
        made().then(resolve, (error) => reject(inWords(error, order)));
      });
    },
    cancel,
    /** What stands for the tensor that was made last in `ask` and `values`; null if its part has the values. */
    kept: () => kept,
    /**
     * The value of one cell of the tensor that was made last, and mean and variance of its set, for a part without
     * values. Rejects with an AbortError if another tensor than `of` is kept by now.
     * @param {{method: string, num_groups: number, index: number[]}} question
     * @param {import("../core/geometry.js").Method} row  the row of the method
     */
    async ask(question, row, of = kept) {
      if (!of || kept !== of) throw abandoned();
      const answer = await of.bench.ask({ tensor: of.id, question, row });
      if (kept !== of) throw abandoned();
      return answer;
    },
    /** All values of the tensor that was made last, for a part without values. Rejects as `ask` does. */
    async values(of = kept) {
      if (!of || kept !== of) throw abandoned();
      const values = await of.bench.values({ tensor: of.id });
      if (kept !== of) throw abandoned();
      return values;
    },
    /** Give up everything. */
    close() {
      cancel();
      kept = null;
      there.close();
    }
  };
}

/** What the browser says of a file or of its memory, as a sentence of the catalog. */
function inWords(error, order) {
  if (order.file && error.name.startsWith("Not"))
    return new Refusal(say("files.unreadable", { subject: fileNamed(order.file.file) }));
  return error.name === "RangeError" ? new Refusal(say("common.memory", { shape: shapeOf(order).join(", ") })) : error;
}

/** A bench in a worker; where a page may have no worker, all goes to the bench `here`. */
function createRemoteBench(here) {
  const waiting = new Map();
  let calls = 0;
  let worker = null;
  let address = "";
  let broken = false;
  const end = () => {
    worker?.terminate();
    worker = null;
    URL.revokeObjectURL(address);
  };
  const giveUp = () => {
    broken = true;
    end();
    for (const { message, report, resolve, reject } of waiting.values()) perform(message, report).then(resolve, reject);
    waiting.clear();
  };
  const perform = async (message, report) => here[message.task](message, report);
  function start() {
    // Joined, it is a classic script: on a page from the disk and in a sandboxed frame, no worker may be a module.
    address = String(new URL("./worker.js", import.meta.url));
    worker = new Worker(address);
    worker.onerror = (event) => {
      event.preventDefault();
      giveUp();
    };
    worker.onmessage = ({ data: { call, share, result, error } }) => {
      const task = waiting.get(call);
      if (share !== undefined) return task?.report(share);
      waiting.delete(call);
      return error
        ? task?.reject(Object.assign(new Error(error.message), { name: error.name }))
        : task?.resolve(result);
    };
  }
  function send(task, details, report = () => {}) {
    const message = { ...details, task, call: ++calls };
    try {
      if (!broken && !worker) start();
      if (!broken) worker.postMessage(message);
    } catch {
      giveUp();
    }
    if (broken) return perform(message, report);
    return new Promise((resolve, reject) => waiting.set(message.call, { message, report, resolve, reject }));
  }
  return {
    make: (details, report) => send("make", details, report),
    ask: (details) => send("ask", details),
    values: (details) => send("values", details),
    stop: (details) => void send("stop", details),
    keep: (details) => void send("keep", details),
    close() {
      end();
      waiting.clear();
    }
  };
}
