// The quiz hides the name of a layer. Poking a cell lights the cells that respond, and the student names the layer.
// The page holds only the pooling sets, as labels. An answer is right if the named method has the same sets, so the
// page stores no answer.

import { KEYS, button, d, h, setText } from "../explorer/js/core/dom.js";
import {
  blockOf,
  clamp,
  cubeShape,
  cutLength,
  divisors,
  hasGroups,
  hiddenEdges,
  product,
  segments,
  toCube
} from "../explorer/js/core/geometry.js";
import { span, unpack } from "../explorer/js/core/numbers.js";
import { axisNames, enumerated, keysText, methodWithGroups } from "../explorer/js/core/readout.js";
import { say } from "../explorer/js/core/sentences.js";
import { MOST_SAMPLES, createCube, cutOf, drawCube } from "../explorer/js/views/cube.js";
import { followTheme, renderOnPage, startCell } from "../explorer/js/hosts/standalone.js";
import { createStage, onStage } from "../explorer/js/views/stage.js";

/** Whether cutting the tensor into blocks gives the sets of the labels. */
function sameSets(labels, shape, block) {
  const grid = shape.map((length, a) => length / block[a]);
  const labelOfSet = new Map();
  const setOfLabel = new Map();
  const index = shape.map(() => 0);
  for (let flat = 0; flat < labels.length; flat++) {
    const set = index.reduce((number, i, a) => number * grid[a] + Math.floor(i / block[a]), 0);
    const label = labels[flat];
    if ((labelOfSet.get(set) ?? label) !== label || (setOfLabel.get(label) ?? set) !== set) return false;
    labelOfSet.set(set, label);
    setOfLabel.set(label, set);
    for (let a = shape.length - 1; a >= 0 && ++index[a] === shape[a]; a--) index[a] = 0;
  }
  return true;
}

/** All right answers, each as a row of METHODS and its G. */
const rightAnswers = (labels, shape, rows) =>
  rows
    .flatMap((row) => (hasGroups(row) ? divisors(cutLength(row, shape)) : [1]).map((G) => ({ row, G })))
    .filter(({ row, G }) => sameSets(labels, shape, blockOf(row, shape, G)));

/** The indices of a set along each axis, and whether the set contains all their combinations. */
function extentOf(labels, shape, label) {
  const along = shape.map(() => new Set());
  let size = 0;
  for (let flat = 0; flat < labels.length; flat++) {
    if (labels[flat] !== label) continue;
    size++;
    for (let a = shape.length - 1, rest = flat; a >= 0; rest = Math.floor(rest / shape[a--]))
      along[a].add(rest % shape[a]);
  }
  const indices = along.map((set) => [...set].sort((a, b) => a - b));
  return { size, indices, full: product(indices.map((list) => list.length)) === size };
}

/** Whole numbers as text: "3", "0 to 3", "0, 2, 4". */
const listed = (list) =>
  list.at(-1) - list[0] === list.length - 1 ? span([list[0], list.at(-1) + 1]) : list.join(", ");

/** Numbers of samples, channels and positions as text: "one sample, all 8 channels and all 12 positions". */
function countsAsText(counts, shape) {
  const some = (count, all, what) => {
    const amount = all === 1 ? "only" : count === all ? "all" : count === 1 ? "one" : "some";
    return say(`quiz.amount-${amount}`, { count, what: say(`quiz.unit-${what}`, { count }) });
  };
  const parts = [some(counts[0], shape[0], "sample"), some(counts[1], shape[1], "channel")];
  if (shape.length > 2) parts.push(some(product(counts.slice(2)), product(shape.slice(2)), "position"));
  return enumerated(parts);
}

/** A note on samples that are not drawn, and on drawn cells that stand for several cells. */
function leftOut({ shape, bins }, n) {
  const first = Math.floor(n / MOST_SAMPLES) * MOST_SAMPLES;
  const parts = [];
  if (shape[0] > MOST_SAMPLES)
    parts.push(
      say("quiz.samples-drawn", { range: span([first, Math.min(first + MOST_SAMPLES, shape[0])]), count: shape[0] })
    );
  if (bins.some((size) => size > 1)) parts.push(say("quiz.drawn-cell", { count: product(bins) }));
  return parts.join(" ");
}

/** Whether an answer is right, with a sentence on what distinguishes the methods. */
function judge(labels, shape, rows, { name, G }, label) {
  const right = rightAnswers(labels, shape, rows);
  const row = rows.find((each) => each.name === name);
  const { size, indices, full } = extentOf(labels, shape, label);
  const counts = indices.map((list) => list.length);
  const set = full ? countsAsText(counts, shape) : say("quiz.no-box", { count: size });
  const names = right.map((one) => methodWithGroups(one.row, one.G));
  const solution = right.length
    ? say("quiz.set-of", { set, layer: enumerated(names, "or") })
    : say("quiz.set-unknown", { set });
  if (!row) return { right: !right.length, why: solution };
  const mine = methodWithGroups(row, G);
  const others = names.filter((one) => one !== mine);
  if (right.some((one) => one.row.name === name && (!hasGroups(row) || one.G === G))) {
    const same = others.length
      ? ` ${say("quiz.also-right", { layers: enumerated(others), count: others.length })}`
      : "";
    return { right: true, why: say("quiz.set-of-answer", { set, layer: mine }) + same };
  }
  const block = blockOf(row, shape, G);
  const count = product(block);
  const taken = { layer: mine, set: countsAsText(block, shape), count };
  const difference = count === size ? say("quiz.other-cells", taken) : say("quiz.other-count", { ...taken, size });
  return { right: false, why: `${solution} ${difference}` };
}

/** Run a quiz in `el`; `given` is the data that quiz.py wrote. */
function startQuiz(el, given) {
  const { shape, methods: rows, pokes: most } = given;
  const cube3d = createCube();
  const last = shape.length - 1;
  const axes = axisNames(shape);
  const questions = given.questions.map(({ labels }) => unpack(labels));
  const data = { shape, cube: cubeShape(shape), bins: given.bins, methods: {}, values: null, marks: null };
  let at;
  let poked;
  let label;
  let extent;
  let left;
  let verdict;
  let index;
  let slice;
  let score = 0;

  // ---- the elements ----
  const byArrows = last > 1 ? axes.slice(last > 2 ? -2 : -1) : [];
  const tensor = say("common.tensor", { shape: shape.join(", ") });
  const keys = keysText([axes[0], axes[1], ...byArrows]);
  const stage = createStage(cube3d.node);
  stage.setAttribute("aria-label", `${tensor} ${say("quiz.keys")} ${keys}`);
  const fields = axes.map((axis, a) => {
    const most = shape[a] - 1;
    const whole = (text) => clamp(Math.trunc(text) || 0, 0, most);
    return h("input", {
      type: "number",
      min: 0,
      max: most,
      "aria-label": say("quiz.axis", { axis, last: most }),
      ...KEYS,
      onchange: ({ target }) => move(index.map((i, b) => (a === b ? whole(target.value) : i)))
    });
  });
  const poke = button({ class: "nv-quiz-go", onclick: () => probe() });
  const open = button(
    {
      class: "nv-toggle",
      "aria-pressed": "false",
      title: say("quiz.slice-title"),
      onclick: () => {
        slice = !slice;
        refresh();
      }
    },
    say("common.slice")
  );
  const status = h("p", { class: "nv-status", role: "status" });
  const count = h("p", { class: "nv-quiz-count" });
  const choice = h("select", { "aria-label": say("quiz.groups-name"), ...KEYS, onchange: () => refresh() });
  const radios = [...rows, ...(given.none ? [{ name: "none", label: say("quiz.none") }] : [])].map((row) => ({
    row,
    input: h("input", { type: "radio", name: "nv-quiz", value: row.name, ...KEYS, onchange: () => refresh() })
  }));
  const answers = h(
    "fieldset",
    { class: "nv-quiz-answers" },
    h("legend", {}, say("quiz.question")),
    ...radios.map(({ row, input }) => h("label", { class: "nv-quiz-option" }, input, row.label))
  );
  const groups = h("span", { class: "nv-field" }, say("quiz.groups"), choice);
  const submit = button({ class: "nv-quiz-go", onclick: () => answer() }, say("quiz.answer"));
  const next = button({ class: "nv-quiz-go", onclick: () => proceed() });
  const note = h("p", { class: "nv-note" });
  const feedback = h("p", { class: "nv-quiz-word", role: "status" });
  const swatch = (kind, text) => h("span", { class: "nv-swatch" }, h("span", { class: kind }), text);
  const root = h(
    "div",
    { class: "normviz nv-quiz", lang: "en" },
    h(
      "div",
      { class: "nv-row" },
      h("p", { class: "nv-heading" }, given.title),
      h("span", { class: "nv-spring" }),
      count
    ),
    h("p", { class: "nv-note" }, say("quiz.intro")),
    stage,
    note,
    h(
      "div",
      { class: "nv-row nv-pick" },
      ...axes.map((axis, a) => h("span", { class: "nv-field" }, h("i", { "aria-hidden": "true" }, axis), fields[a])),
      poke,
      open,
      h(
        "span",
        { class: "nv-legend" },
        swatch("nv-chip nv-chip-cell", say("quiz.legend-cell")),
        swatch("nv-chip", say("quiz.legend-changed"))
      )
    ),
    status,
    answers,
    h("div", { class: "nv-row" }, submit, next),
    feedback
  );

  // ---- the actions ----
  const chosen = () => radios.find(({ input }) => input.checked)?.row;
  const flat = (cell) => cell.reduce((number, i, a) => number * shape[a] + i, 0);
  function begin(question) {
    at = question;
    Object.assign(data, { labels: questions[at] });
    poked = new Map();
    label = extent = verdict = null;
    left = most;
    slice = false;
    index = startCell(shape);
    for (const { input } of radios) input.checked = input.disabled = false;
    choice.disabled = false;
    setText(status, say("quiz.unpoked"));
    setText(feedback, "");
    refresh();
  }
  function move(cell) {
    index = cell;
    refresh();
  }
  function probe(cell = index) {
    index = [...cell];
    const key = flat(cell);
    const fresh = !poked.has(key);
    if (fresh && !left && !verdict) {
      setText(status, say("quiz.no-pokes", { index: cell.join(", ") }));
      return refresh();
    }
    if (fresh && !verdict) left--;
    label = data.labels[key];
    poked.set(key, label);
    extent = extentOf(data.labels, shape, label);
    const { size: cells, indices, full } = extent;
    const where = indices.map((list, a) => `${axes[a]} ${listed(list)}`).join("; ");
    const told = { index: cell.join(", "), count: cells, total: data.labels.length, where };
    setText(status, say(full ? "quiz.poked" : "quiz.poked-within", told));
    refresh();
  }
  function answer() {
    const row = chosen();
    if (label === null) return setText(feedback, say("quiz.poke-first"));
    if (!row) return setText(feedback, say("quiz.choose-first"));
    verdict = judge(data.labels, shape, rows, { name: row.name, G: Number(choice.value) }, label);
    if (verdict.right) score++;
    for (const { input } of radios) input.disabled = true;
    choice.disabled = true;
    const told = [say(verdict.right ? "quiz.right" : "quiz.wrong"), verdict.why];
    if (at === questions.length - 1) told.push(say("quiz.score", { right: score, total: questions.length }));
    setText(feedback, told.join(" "));
    refresh();
    next.focus({ preventScroll: true });
  }
  function proceed() {
    if (at === questions.length - 1) score = 0;
    begin((at + 1) % questions.length);
    stage.focus({ preventScroll: true });
  }

  /** Update all text at once; only drawing waits for the next frame. */
  function refresh() {
    const row = chosen();
    const lengths = hasGroups(row) ? divisors(cutLength(row, shape)) : null;
    if (!lengths) groups.remove();
    else if (groups.dataset.of !== row.name || !groups.isConnected) {
      groups.dataset.of = row.name;
      radios.find((each) => each.row === row).input.parentElement.after(groups);
      choice.replaceChildren(...lengths.map((G) => h("option", { value: G }, String(G))));
    }
    fields.forEach((field, a) => {
      field.value = index[a];
    });
    setText(poke, verdict ? say("quiz.poke") : say("quiz.poke-left", { left }));
    poke.setAttribute("aria-disabled", String(!verdict && !left && !poked.has(flat(index))));
    open.setAttribute("aria-pressed", String(slice));
    setText(note, leftOut(data, index[0]));
    note.hidden = !note.textContent;
    setText(count, say("quiz.progress", { number: at + 1, total: questions.length, right: score }));
    submit.hidden = verdict !== null;
    next.hidden = verdict === null;
    setText(next, say(at === questions.length - 1 ? "quiz.again" : "quiz.next"));
    Object.assign(root.dataset, {
      question: at + 1,
      index: index.join(","),
      left,
      score,
      verdict: verdict ? (verdict.right ? "right" : "wrong") : "",
      answered: extent?.size ?? 0
    });
    schedule();
  }
  /** The ranges of a set along (n, c, h, w) if it is a box, and null otherwise. */
  function boxOf(found) {
    if (!found?.full) return null;
    const [start, end] = [0, -1].map((k) => found.indices.map((list) => list.at(k))).map((at) => toCube(at, shape));
    const box = start.map((i, a) => [i, end[a] + 1]);
    return product(box.map(([from, to]) => to - from)) === found.size ? box : null;
  }
  function draw(size, angles) {
    const state = { view: "samples", color: "set", method: "given", index, G: 1, slice, quiet: label === null };
    drawCube(cube3d, data, state, { labels: true, label, set: data.cube.map((length) => [0, length]) }, size, angles);
    // A dashed box shows the part of the set that lies inside the cube.
    const box = boxOf(extent);
    const { view, frame: placed } = cube3d;
    const cut = cutOf(view, state, toCube(index, shape));
    const edges = (_, k) => {
      const inside = view.box(box, k);
      return inside ? segments(hiddenEdges(placed, k, inside, cut)) : "";
    };
    d(cube3d.one["nv-ghost"], box ? view.solids.map(edges).join("") : "");
    root.dataset.ready = "true";
  }

  const { schedule } = onStage(
    stage,
    cube3d,
    { shape },
    { draw, pick: probe, move, enter: () => probe(), index: () => index, slice: () => slice }
  );
  el.append(root);
  followTheme(root);
  begin(0);
  return root;
}

renderOnPage(startQuiz);
