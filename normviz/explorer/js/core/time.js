// A recording over time: what it has at one step, and the scales of its charts. No DOM.

import { decimal, unpack } from "./numbers.js";
import { say } from "./sentences.js";

/** Unpack the part "time" of a scene; T steps, S sets, C channels. */
export function readTime(time) {
  const pair = (packed) => packed && { mean: unpack(packed.mean), var: unpack(packed.var) };
  return {
    ...time,
    ...pair(time),
    steps: unpack(time.steps),
    running: pair(time.running),
    quartiles: pair(time.quartiles),
    weight: unpack(time.weight),
    bias: unpack(time.bias),
    channelMean: unpack(time.channel_mean ?? time.mean),
    gap: unpack(time.gap),
    own: unpack(time.own),
    samples: unpack(time.samples)
  };
}

/** Row t of a table with T rows. */
export const rowAt = (table, t, T) => {
  const width = table.length / T;
  return table.subarray(t * width, (t + 1) * width);
};

/**
 * The status line of a step: the step, the line about the set, and the running statistics of the cell's channel.
 * @param {{mean: number, var: number, gap: number} | null} running
 */
export function statusAtStep(step, line, running) {
  if (!running) return say("time.status", { step, line });
  const [mean, spread, gap] = [running.mean, running.var, running.gap].map((v) => decimal(v));
  return say("time.status-running", { step, line, mean, var: spread, gap });
}
