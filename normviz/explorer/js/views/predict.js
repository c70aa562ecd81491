// Predict a set, then reveal it.

/** @import { Range } from "../core/geometry.js" */
import { KEYS, button, h, hide, setText, smallButton } from "../core/dom.js";
import { blockOf, clamp, cutLength, divisors, hasGroups, setOf, within } from "../core/geometry.js";
import { span } from "../core/numbers.js";
import { axisNames, methodName, methodWithGroups } from "../core/readout.js";
import { say } from "../core/sentences.js";

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
      if (String(setOf(blockOf(row, data.shape, G), index)) === String(box)) return methodWithGroups(row, G);
  }
  return null;
}

/** A sentence on what is wrong. */
function verdict(data, state, answer, truth) {
  const { missed, extra } = overlap(answer, truth);
  const axes = axisNames(data.shape, data.methods[state.method]);
  if (!missed && !extra) return say("predict.exact");
  const owner = ownerOf(data, state.index, answer);
  const whose = data.methods[state.method].label;
  const wrong = truth.flatMap((r, a) =>
    String(r) === String(answer[a])
      ? []
      : [say("predict.difference", { axis: axes[a], right: span(r), wrong: span(answer[a]) })]
  );
  const first = owner
    ? say("predict.owner", { owner })
    : say(within(answer, state.index) ? "predict.close" : "predict.cell-missing");
  return `${first} ${say("predict.different", { method: whose, axes: wrong.join("; ") })}`;
}

// ---- the question ---------------------------------------------------------------------------------------------------

export function createPrediction(data, act) {
  const number = (a, end) => h("input", { type: "number", min: 0, step: 1, ...KEYS, oninput: () => read(a, end) });
  const question = h("p.nv-caption");
  const result = h("p.nv-verdict", { "aria-live": "polite" });
  const counts = h("p.nv-counts");
  const rowOf = (a) => {
    const [name, from, to] = [h("i"), number(a, 0), number(a, 1)];
    const whole = () => mark(q.ranges.map((r, b) => (b === a ? [0, data.shape[a]] : r)));
    const all = smallButton(say("predict.all"), whole);
    const node = h("span.nv-field", { role: "group" }, name, from, say("predict.to"), to, all);
    return { name, from, to, all, node };
  };
  const reveal = button({ class: "nv-reveal", onclick: () => show() }, say("predict.reveal"));
  let rows = [];
  const q = { ranges: [], key: "", revealed: false, truth: null };
  const fields = h("div.nv-row.nv-ranges");
  q.node = h(
    "div.nv-predict",
    { role: "region", "aria-label": say("predict.name"), hidden: true },
    question,
    fields,
    h(
      "div.nv-row",
      reveal,
      smallButton(say("predict.again"), () => reset()),
      smallButton(say("predict.another"), another),
      h("span.nv-spring"),
      smallButton(say("predict.end"), end)
    ),
    result,
    counts
  );
  function end() {
    act.set({ predict: false });
    act.focus("predict");
  }
  function mark(ranges) {
    q.revealed = false;
    q.ranges = ranges;
    act.set({});
  }
  function read(a, end) {
    const v = rows[a][end ? "to" : "from"].valueAsNumber;
    if (!Number.isInteger(v)) return;
    const at = clamp(v, 0, data.shape[a] - 1);
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
      index: data.shape.map((length) => Math.floor(Math.random() * length)),
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
    const key = state.predict ? `${state.method}/${state.G}/${state.index}/${data.shape}` : "";
    hide(q.node, !state.predict);
    // The fields exist only during a prediction, so that the steppers are the first fields otherwise.
    if (rows.length !== (state.predict ? data.shape.length : 0)) {
      rows = state.predict ? data.shape.map((_, a) => rowOf(a)) : [];
      fields.replaceChildren(...rows.map((row) => row.node));
    }
    if (!state.predict) {
      Object.assign(q, { key, revealed: false });
      return;
    }
    if (key !== q.key) Object.assign(q, { key, revealed: false, ranges: state.index.map((i) => [i, i + 1]) });
    q.truth = shown.ownSet;
    const axes = axisNames(data.shape, shown.method);
    const name = methodName(shown.method, state.G);
    const { statistic } = shown.method;
    setText(question, say("predict.question", { statistic, index: state.index.join(", "), method: name }));
    rows.forEach(({ name: label, from, to, all, node }, a) => {
      setText(label, axes[a]);
      const place = { axis: axes[a], last: data.shape[a] - 1 };
      from.max = to.max = String(data.shape[a] - 1);
      node.setAttribute("aria-label", say("predict.marked-along", { axis: axes[a] }));
      from.setAttribute("aria-label", say("predict.from-name", place));
      to.setAttribute("aria-label", say("predict.to-name", place));
      all.setAttribute("aria-label", say("predict.all-name", { axis: axes[a] }));
      if (from.valueAsNumber !== q.ranges[a][0]) from.value = q.ranges[a][0];
      if (to.valueAsNumber !== q.ranges[a][1] - 1) to.value = q.ranges[a][1] - 1;
    });
    reveal.setAttribute("aria-disabled", String(q.revealed));
    const { right, missed, extra } = overlap(q.ranges, q.truth);
    const chip = (kind, count) => {
      const color = h(`span.nv-chip.nv-chip-${kind}`, { "aria-hidden": "true" });
      return h("span.nv-swatch", color, say(`predict.count-${kind}`, { count }));
    };
    setText(result, q.revealed ? verdict(data, state, q.ranges, q.truth) : "");
    const found = q.revealed ? { right, missed, extra } : { guess: right + extra };
    counts.replaceChildren(...Object.entries(found).map(([kind, count]) => chip(kind, count)));
  };
  q.asking = (state) => Boolean(state.predict) && !q.revealed;
  return q;
}
