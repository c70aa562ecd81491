// The chooser asks one question after the other and ends in advice, with its pooling set.

import { KEYS, button, copied, h, rich, scrolling, setText, smallButton } from "../explorer/js/core/dom.js";
import { ANGLES, blockOf, cubeShape, product, setOf, toCube } from "../explorer/js/core/geometry.js";
import { span } from "../explorer/js/core/numbers.js";
import { axisNames, cellName, keysText, methodName, methodTexts, ofWeights } from "../explorer/js/core/readout.js";
import { say } from "../explorer/js/core/sentences.js";
import { createCube, drawCube } from "../explorer/js/views/cube.js";
import { followTheme, renderOnPage, startCell } from "../explorer/js/hosts/standalone.js";
import { createStage, onStage } from "../explorer/js/views/stage.js";

/** Follow answers: the questions of the path, and the key of the open question or of the advice. */
function follow(questions, first, answers) {
  const path = [];
  let at = first;
  while (questions[at]) {
    const option = questions[at].options.find(({ key }) => key === answers[at]);
    path.push({ question: questions[at], option });
    if (!option) break;
    at = option.to;
  }
  return { path, at };
}

/** Those of the wanted answers that form a path from the first question; the others are dropped. */
function validAnswers(questions, first, wanted) {
  const { path } = follow(questions, first, wanted);
  const answered = path.filter(({ option }) => option);
  return Object.fromEntries(answered.map(({ question, option }) => [question.key, option.key]));
}
const readAnswers = (hash, questions, first) =>
  validAnswers(questions, first, Object.fromEntries(new URLSearchParams(hash.replace(/^#/, ""))));
const writeAnswers = (answers) =>
  Object.entries(answers)
    .map(([question, answer]) => `${question}=${answer}`)
    .join("&");

// ---- the sets ------------------------------------------------------------------------------------------------------

/** The arguments of drawCube for the set of a cell. */
function setOfDrawn(one, methods, index, shape = one.shape) {
  const method = methods[one.method];
  const cube = cubeShape(shape);
  const G = one.G ?? 1;
  const own = setOf(blockOf(method, shape, G), index);
  const set = setOf(blockOf(method, cube, G), toCube(index, shape));
  return {
    data: { shape, cube, bins: one.bins, methods, values: null, marks: null },
    state: { view: "samples", color: "set", method: one.method, index, G, slice: false, quiet: !one.pooled },
    shown: { method, set, own }
  };
}

/** A small picture of an advice, for the list of those that still fit; several sets stand side by side. */
function miniature(advice, methods) {
  const alone = advice.drawn.length === 1;
  const size = { width: alone ? 430 : 236, height: 150 };
  return h(
    "span.nv-mini",
    { "aria-hidden": "true" },
    ...advice.drawn.map((one) => {
      const shape = [alone ? 4 : 2, ...one.shape.slice(1)];
      const cube = createCube();
      const { data, state, shown } = setOfDrawn(one, methods, startCell(shape), shape);
      drawCube(cube, data, state, shown, size, ANGLES.samples);
      cube.node.setAttribute("viewBox", `34 4 ${size.width - 36} ${size.height - 28}`);
      return cube.node;
    })
  );
}

/** A set on an interactive cube. `signal` ends its listeners; `onDrawn` is called after each drawing. */
function liveSet(one, methods, signal, onDrawn) {
  const method = methods[one.method];
  const cube = createCube();
  const axes = axisNames(one.shape, method);
  const name = methodName(method, one.G);
  let index = startCell(one.shape);
  let drawn = null;
  const tensor = say(ofWeights(method) ? "common.weights" : "common.tensor", { shape: one.shape.join(", ") });
  const label = `${name}. ${tensor} ${keysText(axes)}`;
  const stage = createStage(cube.node);
  stage.setAttribute("aria-label", label);
  const caption = h("figcaption.nv-note", { "aria-live": "polite" });
  const texts = methodTexts(method, one.shape);
  const words = one.pooled ? texts.words : say("chooser.frozen-words");
  const symbol = one.pooled ? rich(say("sets.symbol", { symbol: texts.symbol })) : null;
  const title = one.title ? h("p.nv-set-title", one.title) : null;
  const where = symbol ? h("p.nv-where", symbol) : null;
  const node = h("figure.nv-set-figure", title, stage, caption, h("p.nv-words", words), where);

  function refresh() {
    drawn = setOfDrawn(one, methods, index);
    const { own } = drawn.shown;
    const cell = cellName(index);
    const set = own.map((range, a) => `${axes[a]} ${span(range)}`).join(", ");
    const cells = { count: product(own.map(([a, b]) => b - a)), total: product(one.shape) };
    setText(caption, one.pooled ? say("chooser.set", { name, cell, set, ...cells }) : say("chooser.frozen", { cell }));
    const ranges = one.pooled ? own.map((r) => r.join(":")).join(",") : "";
    Object.assign(node.dataset, { method: one.method, numGroups: one.G ?? "", index: index.join(","), set: ranges });
    schedule();
  }
  function draw(size, angles) {
    drawCube(cube, drawn.data, drawn.state, drawn.shown, size, angles);
    node.dataset.drawn = "true";
    onDrawn();
  }
  const move = (cell) => {
    index = cell;
    refresh();
  };
  const { schedule } = onStage(stage, cube, one, { draw, pick: move, move, index: () => index }, signal);
  refresh();
  return node;
}

// ---- the advice ----------------------------------------------------------------------------------------------------

/** The code, and a button that copies it or, without access to the clipboard, selects it. */
function codeBox(text) {
  const code = h("code", text);
  const result = h("span.nv-note", { "aria-live": "polite" });
  const copy = async () => setText(result, say((await copied(text, code)) ? "chooser.copied" : "chooser.copy-failed"));
  return h(
    "div.nv-advice-code",
    h("div.nv-row", h("h3", say("chooser.code")), h("span.nv-spring"), result, smallButton(say("common.copy"), copy)),
    h("pre", scrolling(say("chooser.code-name")), code)
  );
}

/** A published fact with its source; numbers stand in a table. */
function evidence({ text, source, rows }, k) {
  const id = `nv-evidence-${k}`;
  const statement = h("p", { id }, `${text}${rows.length ? "." : ""} `, h("cite", source));
  if (!rows.length) return h("li", statement);
  const [head, ...body] = rows;
  const heads = head.map((cell) => (cell ? h("th", { scope: "col" }, cell) : h("td", {})));
  const lines = body.map(([name, ...cells]) =>
    h("tr", h("th", { scope: "row" }, name), ...cells.map((cell) => h("td", cell)))
  );
  return h("li", statement, h("table", { "aria-labelledby": id }, h("thead", h("tr", ...heads)), h("tbody", ...lines)));
}

/** The card of an advice; for `signal` and `onDrawn` see liveSet. */
function adviceCard(advice, methods, signal, onDrawn) {
  const title = h("h2", { tabindex: "-1" }, advice.label);
  const point = (key) => h("div", h("dt", say(`chooser.point-${key}`)), h("dd", advice[key]));
  const node = h(
    "div.nv-advice",
    title,
    h("p.nv-why", advice.why),
    h("div.nv-sets", ...advice.drawn.map((one) => liveSet(one, methods, signal, onDrawn))),
    codeBox(advice.code),
    h("dl", point("watch"), point("consider")),
    h("h3", say("chooser.evidence")),
    h("ul.nv-evidence", ...advice.evidence.map(evidence))
  );
  return { node, title };
}

// ---- the page ------------------------------------------------------------------------------------------------------

/** Run the guide in `el`; `given` is the data that chooser.py wrote. */
function renderChooser(el, given) {
  const { methods } = given;
  const questions = Object.fromEntries(given.questions.map((row) => [row.key, row]));
  const advice = Object.fromEntries(given.advice.map((row) => [row.key, row]));
  const order = given.advice.map((row) => row.key);
  const reducedMotion = matchMedia("(prefers-reduced-motion: reduce)");
  let answers = {};
  let shown = ""; // key of the open question or of the advice that is on the page
  let card = null;
  let cardListeners = new AbortController();
  let keyboardStep = ""; // key of the question whose answers the keyboard moves through

  // ---- the elements ----
  const steps = Object.fromEntries(given.questions.map((row) => [row.key, step(row)]));
  const path = h("ol.nv-path");
  const restart = () => {
    choose({});
    steps[given.first].radios[0].input.focus();
  };
  const again = button({ class: "nv-again", onclick: restart }, say("chooser.again"));
  const summary = h("span");
  const nextQuestion = h("span.nv-hidden");
  const status = h("p.nv-status", { role: "status" }, summary, nextQuestion);
  const result = h("div");
  const reasons = h("section.nv-others", { "aria-label": say("chooser.others-name"), hidden: true });
  const minis = Object.fromEntries(order.map((key) => [key, mini(advice[key])]));
  const field = h("ul.nv-field-list", { "aria-label": say("chooser.field") }, ...order.map((key) => minis[key].node));
  const root = h(
    "div.normviz.nv-chooser",
    { lang: "en" },
    h("div.nv-lead", h("p.nv-heading", given.title), h("p.nv-note", say("chooser.intro"))),
    h("div.nv-columns", h("div.nv-questions", path, again), h("div.nv-outcome", status, result), reasons)
  );

  function step(row) {
    const note = h("p.nv-note", { id: `nv-note-${row.key}` }, row.note);
    const radios = row.options.map((option) => {
      const id = `nv-${row.key}-${option.key}`;
      const about = { "aria-labelledby": id, "aria-describedby": `${id}-hint`, ...KEYS };
      const input = h("input", { type: "radio", name: `nv-${row.key}`, value: option.key, ...about });
      const label = h("span.nv-option-label", { id }, option.label);
      const hint = h("span.nv-option-hint", { id: `${id}-hint` }, option.hint);
      return { option, input, node: h("label.nv-option", input, h("span", label, hint)) };
    });
    const dot = h("span.nv-dot", { "aria-hidden": "true" });
    const options = h("div.nv-options", ...radios.map((radio) => radio.node));
    const fields = h("fieldset", { "aria-describedby": note.id }, h("legend", row.text), note, options);
    const node = h("li.nv-step-of-path", { "data-question": row.key }, dot, fields);
    return { node, dot, radios };
  }
  function mini(one) {
    const out = h("span.nv-hidden");
    const name = h("span.nv-mini-name", one.label);
    return { node: h("li", { "data-key": one.key }, miniature(one, methods), name, out), out };
  }
  /** For each answer, the advice that it ruled out, and why. */
  function others(route) {
    const row = ({ option }, k) => {
      const names = option.drops.flatMap((key, j) => [j ? ", " : null, h("b", advice[key].label)]);
      const answer = h("p.nv-note", say("chooser.others-answer", { number: k + 1, label: option.label }));
      return option.drops.length ? h("li", h("p", ...names), h("p", option.against), answer) : null;
    };
    const rows = route.map(row).filter(Boolean);
    return [h("h3", say("chooser.others", { count: order.length - 1 })), h("ul", ...rows)];
  }

  // ---- the actions ----
  /** Take over the answers that form a path; answers that no longer apply are dropped. */
  function choose(wanted) {
    answers = validAnswers(questions, given.first, wanted);
    refresh();
    saveAnswers();
  }
  /** Update the page at once; only the cube waits for the next frame. */
  function refresh() {
    const { path: route, at } = follow(questions, given.first, answers);
    const open = questions[at];
    const reached = advice[at];
    const dropped = new Set(route.flatMap(({ option }) => option?.drops ?? []));
    const left = order.length - dropped.size;
    // Elements that stay in place keep the focus.
    const nodes = route.map(({ question }) => steps[question.key].node);
    for (const node of [...path.children]) if (!nodes.includes(node)) node.remove();
    nodes.forEach((node, k) => {
      if (path.children[k] !== node) path.insertBefore(node, path.children[k] ?? null);
    });
    route.forEach(({ question, option }, k) => {
      const { node, dot, radios } = steps[question.key];
      setText(dot, String(k + 1));
      node.classList.toggle("nv-answered", Boolean(option) && keyboardStep !== question.key);
      for (const { input, node: label, option: mine } of radios) {
        input.checked = mine === option;
        label.classList.toggle("nv-chosen-option", mine === option);
      }
    });
    again.hidden = !Object.keys(answers).length;
    setText(
      summary,
      reached
        ? say(route.length === 1 ? "chooser.leads" : "chooser.lead", { count: route.length, advice: reached.label })
        : say(dropped.size ? "chooser.left" : "chooser.all", { count: left, total: order.length })
    );
    // For screen readers only: on the screen the next question is visible.
    setText(nextQuestion, open ? ` ${say("chooser.question", { number: route.length, text: open.text })}` : "");
    for (const key of order) {
      minis[key].node.classList.toggle("nv-out", dropped.has(key));
      setText(minis[key].out, dropped.has(key) ? ` ${say("chooser.out")}` : "");
    }
    // Other answers that lead to the same advice keep the card and its cubes, but the reasons may change.
    if (at !== shown) {
      cardListeners.abort();
      cardListeners = new AbortController();
      card = reached ? adviceCard(reached, methods, cardListeners.signal, markReady) : null;
      result.replaceChildren(reached ? card.node : field);
      shown = at;
    }
    reasons.replaceChildren(...(reached ? others(route) : []));
    reasons.hidden = !reached;
    const keys = { question: open ? at : "", advice: reached ? at : "" };
    Object.assign(root.dataset, { ...keys, answers: writeAnswers(answers), left });
  }
  /** The page is ready once every cube is drawn. */
  function markReady() {
    if (!root.querySelector(".nv-set-figure:not([data-drawn])")) root.dataset.ready = "true";
  }
  function saveAnswers() {
    try {
      history.replaceState(null, "", `#${writeAnswers(answers)}`);
    } catch {
      // A sandboxed frame has no address, and some browsers limit the number of changes: the answers are not saved.
    }
  }
  const framed = parent !== window;
  /** The element of the open question, or of the advice. */
  const current = () => (root.dataset.question ? steps[root.dataset.question] : card).node;
  const scroll = (block) => current().scrollIntoView({ block, behavior: reducedMotion.matches ? "auto" : "smooth" });
  /** Move the focus to the next question, or to the advice. */
  function focusNext() {
    const open = root.dataset.question;
    (open ? steps[open].radios[0].input : card.title).focus({ preventScroll: true });
    scroll("nearest");
  }

  // ---- events ----
  let usesPointer = false;
  path.addEventListener("pointerdown", () => {
    usesPointer = true;
  });
  path.addEventListener("keydown", (event) => {
    usesPointer = false;
    if (event.key !== "Enter" || !event.target.matches("input")) return;
    event.preventDefault();
    // Enter chooses the focused answer and goes to the next question.
    if (!event.target.checked) {
      event.target.checked = true;
      answered(event.target);
    }
    keyboardStep = "";
    refresh();
    focusNext();
  });
  path.addEventListener("focusout", (event) => {
    // Arrow keys move through the answers; their question stays expanded until it loses the focus.
    if (keyboardStep && !usesPointer && !steps[keyboardStep].node.contains(event.relatedTarget)) {
      keyboardStep = "";
      refresh();
    }
  });
  path.addEventListener("change", (event) => answered(event.target));
  // Preview which normalizers the answer under the pointer, or with the focus, would rule out.
  const preview = (event) => {
    const label = event.type === "pointerleave" ? null : event.target.closest("label");
    const key = label?.closest("li").dataset.question;
    const drops =
      key === root.dataset.question ? steps[key].radios.find(({ node }) => node === label).option.drops : [];
    for (const other of order) minis[other].node.classList.toggle("nv-doubt", drops.includes(other));
  };
  for (const type of ["pointerover", "pointerleave", "focusin"]) path.addEventListener(type, preview);
  function answered(input) {
    const key = input.closest("li").dataset.question;
    keyboardStep = usesPointer ? "" : key;
    choose({ ...answers, [key]: input.value });
    if (!usesPointer) return;
    const open = root.dataset.question;
    const { top, bottom } = current().getBoundingClientRect();
    // A frame as high as its page does not know which part the reader sees, so there the browser decides.
    if (framed || (open ? bottom > innerHeight : top > 0.7 * innerHeight)) scroll(open || framed ? "nearest" : "start");
  }
  addEventListener("hashchange", (event) => {
    answers = readAnswers(new URL(event.newURL).hash, questions, given.first);
    refresh();
  });
  el.append(root);
  followTheme(root);
  const inAddress = readAnswers(location.hash, questions, given.first);
  answers = Object.keys(inAddress).length ? inAddress : { ...given.answers };
  refresh();
  requestAnimationFrame(markReady);
  return root;
}

// The still picture of the whole tree moves below the guide.
const guide = renderOnPage(renderChooser);
if (guide.still) guide.place.append(h("details.nvp-tree", h("summary", say("chooser.tree")), guide.still));
