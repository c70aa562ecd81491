// Predict a set, then reveal it.

import { KEYS, button, h, setText } from "../core/dom.js";
import { blockOf, clamp, cutLength, divisors, hasGroups, setOf } from "../core/geometry.js";
import { span } from "../core/numbers.js";
import { axisNames } from "../core/readout.js";
import { within } from "./cube.js";

// ---- arithmetic -----------------------------------------------------------------------------------------------------

/** How an answer and a set lie over each other, counted in cells. @param {Range[]} answer @param {Range[]} truth */
function overlap(answer, truth) {
  const cells = (box) => box.reduce((size, [a, b]) => size * Math.max(0, b - a), 1);
  const right = cells(answer.map(([a, b], k) => [Math.max(a, truth[k][0]), Math.min(b, truth[k][1])]));
  return { right, missed: cells(truth) - right, extra: cells(answer) - right };
}

/** The method for which a box is the set of the cell, the four main methods first; or null. */
function ownerOf(data, index, box) {
  for (const name of data.order) {
    const row = data.methods[name];
    for (const G of hasGroups(row) ? divisors(cutLength(row, data.shape)) : [1])
      if (String(setOf(blockOf(row, data.shape, G), index)) === String(box))
        return row.label + (hasGroups(row) ? ` with G = ${G}` : "");
  }
  return null;
}

/** A sentence on what is wrong. */
function verdict(data, state, answer, truth) {
  const { missed, extra } = overlap(answer, truth);
  const axes = axisNames(data.shape, data.methods[state.method]);
  if (!missed && !extra) return "Right: every cell of the set, and no other.";
  const owner = ownerOf(data, state.index, answer);
  const whose = data.methods[state.method].label;
  const wrong = truth.flatMap((r, a) =>
    String(r) === String(answer[a]) ? [] : [`along ${axes[a]} it takes ${span(r)}, not ${span(answer[a])}`]
  );
  const first = owner
    ? `That is the set of ${owner}.`
    : within(answer, state.index)
      ? "Not quite."
      : "The cell i itself is missing: every cell lies in its own set.";
  return `${first} ${whose} is different: ${wrong.join("; ")}.`;
}

// ---- the question ---------------------------------------------------------------------------------------------------

export function createPrediction(data, act) {
  const { shape } = data;
  const number = (a, end) =>
    h("input", { type: "number", min: 0, max: shape[a] - 1, step: 1, ...KEYS, oninput: () => read(a, end) });
  const question = h("p", { class: "nv-caption" });
  const result = h("p", { class: "nv-verdict", "aria-live": "polite" });
  const counts = h("p", { class: "nv-counts" });
  const rows = shape.map((length, a) => {
    const name = h("i");
    const from = number(a, 0);
    const to = number(a, 1);
    const all = button(
      { class: "nv-small", onclick: () => mark(q.ranges.map((r, b) => (b === a ? [0, length] : r))) },
      "all"
    );
    return { name, from, to, all, node: h("span", { class: "nv-field", role: "group" }, name, from, "to", to, all) };
  });
  const reveal = button({ class: "nv-reveal", onclick: () => show() }, "Reveal");
  const q = { ranges: shape.map(() => [0, 1]), key: "", revealed: false, truth: null };
  const fields = h("div", { class: "nv-row nv-ranges" });
  q.node = h(
    "div",
    { class: "nv-predict", role: "region", "aria-label": "Predict, then reveal", hidden: true },
    question,
    fields,
    h(
      "div",
      { class: "nv-row" },
      reveal,
      button({ class: "nv-small", onclick: () => reset() }, "Start over"),
      button({ class: "nv-small", onclick: () => another() }, "Another question"),
      h("span", { class: "nv-spring" }),
      button(
        {
          class: "nv-small",
          onclick: () => {
            act.set({ predict: false });
            act.focus("predict");
          }
        },
        "End"
      )
    ),
    result,
    counts
  );
  function mark(ranges) {
    if (q.revealed) q.revealed = false;
    q.ranges = ranges;
    act.set({});
  }
  function read(a, end) {
    const v = rows[a][end ? "to" : "from"].valueAsNumber;
    if (!Number.isInteger(v)) return;
    const at = clamp(v, 0, shape[a] - 1);
    const [from, stop] = q.ranges[a];
    mark(q.ranges.map((r, b) => (b !== a ? r : end ? [Math.min(from, at), at + 1] : [at, Math.max(stop, at + 1)])));
  }
  const reset = () => mark(act.state().index.map((i) => [i, i + 1]));
  function another() {
    const pickOf = (list) => list[Math.floor(Math.random() * list.length)];
    const { method: before } = act.state();
    const method = pickOf(data.order.slice(0, 4).filter((name) => name !== before));
    const middle = data.divisors.slice(1, -1);
    act.set({
      method,
      index: shape.map((length) => Math.floor(Math.random() * length)),
      ...(method === "group" ? { num_groups: pickOf(middle.length ? middle : data.divisors) } : {})
    });
  }
  function show() {
    const state = act.state();
    q.revealed = true;
    act.set({});
    act.answer({
      method: state.method,
      num_groups: state.G,
      index: [...state.index],
      ranges: q.ranges,
      truth: q.truth,
      ...overlap(q.ranges, q.truth),
      says: result.textContent
    });
  }
  /** A drag marks the box between two cells; a click lets the box grow to the cell. */
  q.drag = (from, to) => mark(from.map((i, a) => [Math.min(i, to[a]), Math.max(i, to[a]) + 1]));
  q.grow = (index) => mark(q.ranges.map(([a, b], k) => [Math.min(a, index[k]), Math.max(b, index[k] + 1)]));
  /** Start a new question for another cell, method or G. */
  q.sync = (state, shown) => {
    const key = state.predict ? `${state.method}/${state.G}/${state.index}` : "";
    q.node.hidden = !state.predict;
    // The fields exist only during a prediction, so that the steppers are the first fields otherwise.
    if (Boolean(state.predict) !== Boolean(fields.firstChild))
      fields.replaceChildren(...(state.predict ? rows.map((row) => row.node) : []));
    if (!state.predict) return Object.assign(q, { key, revealed: false });
    if (key !== q.key) Object.assign(q, { key, revealed: false, ranges: state.index.map((i) => [i, i + 1]) });
    q.truth = shown.ownSet;
    const axes = axisNames(shape, shown.method);
    const name = shown.method.label + (hasGroups(shown.method) ? `, G = ${state.G}` : "");
    setText(
      question,
      `Which cells share mean and variance with the cell i = (${state.index.join(", ")}) under ${name}? ` +
        "Mark them by ranges, or drag over the cube."
    );
    rows.forEach(({ name: label, from, to, all, node }, a) => {
      setText(label, axes[a]);
      node.setAttribute("aria-label", `marked along ${axes[a]}`);
      from.setAttribute("aria-label", `${axes[a]} from, 0 to ${shape[a] - 1}`);
      to.setAttribute("aria-label", `${axes[a]} to, 0 to ${shape[a] - 1}`);
      all.setAttribute("aria-label", `all ${axes[a]}`);
      if (from.valueAsNumber !== q.ranges[a][0]) from.value = q.ranges[a][0];
      if (to.valueAsNumber !== q.ranges[a][1] - 1) to.value = q.ranges[a][1] - 1;
    });
    reveal.setAttribute("aria-disabled", String(q.revealed));
    const { right, missed, extra } = overlap(q.ranges, q.truth);
    const chip = (kind, text) =>
      h("span", { class: "nv-swatch" }, h("span", { class: `nv-chip nv-chip-${kind}`, "aria-hidden": "true" }), text);
    setText(result, q.revealed ? verdict(data, state, q.ranges, q.truth) : "");
    counts.replaceChildren(
      ...(q.revealed
        ? [chip("right", `${right} right`), chip("missed", `${missed} missed`), chip("extra", `${extra} too many`)]
        : [chip("guess", `${right + extra} marked`)])
    );
  };
  q.asking = (state) => Boolean(state.predict) && !q.revealed;
  return q;
}
