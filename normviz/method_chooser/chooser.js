// The chooser: questions one after the other, and at the end of a path an advice with its pooling set. It follows the
// module's parts that draw a cube, in one script, and uses them by name.

const START = (shape) => shape.map((length, a) => (a === 1 ? 0 : length >> 1)); // in sight, on the front
const amount = (list) => list.reduce((a, b) => a * b, 1);

/** Where answers lead: the questions of the path, and the key of the open question or of the advice. */
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

/** Answers that an address gives, as far as they make a path. */
function readAnswers(hash, questions, first) {
  const { path } = follow(questions, first, Object.fromEntries(new URLSearchParams(hash.replace(/^#/, ""))));
  return Object.fromEntries(path.filter(({ option }) => option).map(({ question, option }) => [question.key, option.key]));
}
const writeAnswers = (answers) => Object.entries(answers).map(([question, answer]) => `${question}=${answer}`).join("&");

// ---- the sets ------------------------------------------------------------------------------------------------------

/** What drawCube needs of a set, for a cell. */
function setOfDrawn(one, methods, index, shape = one.shape) {
  const method = methods[one.method], cube = cubeShape(shape), G = one.G ?? 1;
  const own = setOf(blockOf(method, shape, G), index), set = setOf(blockOf(method, cube, G), toCube(index, shape));
  return {
    data: { shape, cube, bins: one.bins, methods, values: null, marks: null },
    state: { view: "samples", color: "set", method: one.method, index, G, slice: false, quiet: !one.pooled },
    shown: { method, set, own },
  };
}

/** A small picture of an advice, for the list of those that still fit. Several sets stand side by side. */
function miniature(advice, methods) {
  const alone = advice.drawn.length === 1;
  return h("span", { class: "nv-mini", "aria-hidden": "true" }, ...advice.drawn.map((one) => {
    const shape = [alone ? 4 : 2, ...one.shape.slice(1)], { data, state, shown } = setOfDrawn(one, methods, START(shape), shape), cube = createCube();
    const size = { width: alone ? 430 : 236, height: 150 };
    drawCube(cube, data, state, shown, size, ANGLES.samples);
    cube.node.setAttribute("viewBox", `34 4 ${size.width - 36} ${size.height - 28}`);
    return cube.node;
  }));
}

/** A set on a cube that answers to mouse and keyboard. */
function liveSet(one, methods, life, settled) {
  const cube = createCube(), axes = axisNames(one.shape, methods[one.method]);
  let index = START(one.shape), size = null, frame = 0, now = null;
  const [first, channel, ...spatial] = axes, method = methods[one.method];
  const stage = h("div", { class: "nv-stage", role: "application", tabindex: "0", "aria-roledescription": "cube", ...KEYS,
    "aria-label": `${method.label}${hasGroups(method) ? `, G = ${one.G}` : ""}, on ${ofWeights(method) ? "weights" : "a tensor"} of shape (${one.shape.join(", ")}). ${spatial.length ? `Arrow keys move along ${spatial.join(" and ")}, ` : ""}Page Up and Page Down along ${channel}, Shift with arrows along ${first}; brackets, plus and minus turn the cube.` }, cube.node);
  const caption = h("figcaption", { class: "nv-note", "aria-live": "polite" });
  const node = h("figure", { class: "nv-set-figure" }, one.title ? h("p", { class: "nv-set-title" }, one.title) : null, stage, caption,
    h("p", { class: "nv-words" }, one.pooled ? one.words : "No set: the statistics were pooled before, over the data of the pretraining."),
    one.pooled && one.symbol ? h("p", { class: "nv-where" }, rich(`<i>S</i><sub>i</sub> = { <i>j</i> : ${one.symbol} }`)) : null);

  function refresh() {
    now = setOfDrawn(one, methods, index);
    const where = now.shown.own.map((range, a) => `${axes[a]} ${span(range)}`).join(", "), size = amount(now.shown.own.map(([a, b]) => b - a));
    say(caption, one.pooled
      ? `${method.label}${hasGroups(method) ? `, G = ${one.G}` : ""}: the set of cell (${index.join(", ")}) is ${where}; ${size} of ${amount(one.shape)} cells.`
      : `Frozen, cell (${index.join(", ")}): nothing is pooled.`);
    Object.assign(node.dataset, { method: one.method, numGroups: one.G ?? "", index: index.join(","), set: one.pooled ? now.shown.own.map((r) => r.join(":")).join(",") : "" });
    schedule();
  }
  function schedule() {
    if (size && !frame && !life.signal.aborted) frame = requestAnimationFrame(draw);
  }
  function draw() {
    frame = 0;
    drawCube(cube, now.data, now.state, now.shown, size, angles());
    node.dataset.drawn = "true";
    settled();
  }
  const move = (cell) => { index = cell.map((i, a) => clamp(i, 0, one.shape[a] - 1)); refresh(); };
  const under = (event) => {
    if (!cube.frame) return null;
    const box = cube.node.getBoundingClientRect(), scale = size.width / (box.width || 1);
    const hit = pick(cube.frame, (event.clientX - box.left) * scale, (event.clientY - box.top) * scale);
    return hit && { ...hit, index: fromCube(cube.view.cell(hit.solid, hit.cell), one.shape) };
  };
  const hover = (hit) => d(cube.one["nv-hover"], hit ? Object.values(visibleFaces(cube.frame, hit.solid, cube.view.point(toCube(hit.index, one.shape)))).map(polygon).join("") : "");
  const angles = onStage(stage, { under, hover, pick: move, move, index: () => index, turned: schedule }, life.signal);
  const sizes = new ResizeObserver(() => {
    const { clientWidth: width, clientHeight: height } = stage, fresh = !size;
    if (!width || !height) return;
    size = { width, height };
    fresh ? draw() : schedule();
  });
  sizes.observe(stage);
  life.signal.addEventListener("abort", () => { sizes.disconnect(); cancelAnimationFrame(frame); });
  refresh();
  return node;
}

// ---- the advice ----------------------------------------------------------------------------------------------------

/** The code, and a button that copies it or, where there is no clipboard, marks it. */
function codeBox(text) {
  const code = h("code", {}, text), said = h("span", { class: "nv-note", "aria-live": "polite" });
  const copy = button({ class: "nv-small", onclick: async () => {
    try {
      await navigator.clipboard.writeText(text);
      say(said, "Copied.");
    } catch {
      getSelection().selectAllChildren(code); // a frame may not write to the clipboard
      say(said, "Marked: copy it by hand.");
    }
  } }, "Copy");
  return h("div", { class: "nv-advice-code" }, h("div", { class: "nv-row" }, h("h3", {}, "In PyTorch"), h("span", { class: "nv-spring" }), said, copy), h("pre", { tabindex: "0", role: "region", "aria-label": "Code in PyTorch", ...KEYS }, code));
}

/** Something known and its source; numbers as a table. */
function evidence({ text, source, rows }, k) {
  const id = `nv-evidence-${k}`, words = h("p", { id }, `${text}${rows.length ? "." : ""} `, h("cite", {}, source));
  if (!rows.length) return h("li", {}, words);
  const [head, ...body] = rows;
  return h("li", {}, words, h("table", { "aria-labelledby": id },
    h("thead", {}, h("tr", {}, ...head.map((cell) => (cell ? h("th", { scope: "col" }, cell) : h("td", {}))))),
    h("tbody", {}, ...body.map(([name, ...cells]) => h("tr", {}, h("th", { scope: "row" }, name), ...cells.map((cell) => h("td", {}, cell)))))));
}

/** The card of an advice. */
function adviceCard(advice, methods, life, settled) {
  const title = h("h2", { tabindex: "-1" }, advice.label);
  const point = (name, text) => h("div", {}, h("dt", {}, name), h("dd", {}, text));
  const node = h("div", { class: "nv-advice" }, title, h("p", { class: "nv-why" }, advice.why),
    h("div", { class: "nv-sets" }, ...advice.drawn.map((one) => liveSet(one, methods, life, settled))),
    codeBox(advice.code),
    h("dl", {}, point("Watch", advice.watch), point("Consider", advice.consider)),
    h("h3", {}, "Evidence"), h("ul", { class: "nv-evidence" }, ...advice.evidence.map(evidence)));
  return { node, title };
}

// ---- the page ------------------------------------------------------------------------------------------------------

/** Run the guide in `el`. `given` is what choosing.py wrote. */
function renderChooser(el, given) {
  const questions = Object.fromEntries(given.questions.map((row) => [row.key, row])), { methods } = given;
  const advice = Object.fromEntries(given.advice.map((row) => [row.key, row])), order = given.advice.map((row) => row.key);
  const still = matchMedia("(prefers-reduced-motion: reduce)");
  let answers = {}, shown = "", life = new AbortController(), card = null, held = "";

  // ---- the parts ----
  const steps = Object.fromEntries(given.questions.map((row) => [row.key, step(row)]));
  const path = h("ol", { class: "nv-path" }), again = button({ class: "nv-again", onclick: () => { choose({}); steps[given.first].radios[0].input.focus(); } }, "Start again");
  const told = h("span"), asked = h("span", { class: "nv-hidden" }), status = h("p", { class: "nv-status", role: "status" }, told, asked), result = h("div"), reasons = h("section", { class: "nv-others", "aria-label": "Why not the others", hidden: true });
  const minis = Object.fromEntries(order.map((key) => [key, mini(advice[key])]));
  const field = h("ul", { class: "nv-field-list", "aria-label": "The normalizers, and which of them still fit" }, ...order.map((key) => minis[key].node));
  const root = h("div", { class: "normviz nv-chooser", lang: "en" },
    h("div", { class: "nv-lead" }, h("p", { class: "nv-heading" }, given.title), h("p", { class: "nv-note" }, "One question after the other leads to a normalizer. Any answer can be changed later.")),
    h("div", { class: "nv-columns" }, h("div", { class: "nv-questions" }, path, again), h("div", { class: "nv-outcome" }, status, result), reasons));

  function step(row) {
    const note = h("p", { class: "nv-note", id: `nv-note-${row.key}` }, row.note);
    const radios = row.options.map((option) => {
      const id = `nv-${row.key}-${option.key}`;
      const input = h("input", { type: "radio", name: `nv-${row.key}`, value: option.key, "aria-labelledby": id, "aria-describedby": `${id}-hint`, ...KEYS });
      return { option, input, node: h("label", { class: "nv-option" }, input, h("span", {}, h("span", { class: "nv-option-label", id }, option.label), h("span", { class: "nv-option-hint", id: `${id}-hint` }, option.hint))) };
    });
    const dot = h("span", { class: "nv-dot", "aria-hidden": "true" });
    const node = h("li", { class: "nv-step-of-path" }, dot, h("fieldset", { "aria-describedby": note.id }, h("legend", {}, row.text), note, h("div", { class: "nv-options" }, ...radios.map((radio) => radio.node))));
    node.dataset.question = row.key;
    return { node, dot, radios };
  }
  function mini(one) {
    const out = h("span", { class: "nv-hidden" });
    const node = h("li", {}, miniature(one, methods), h("span", { class: "nv-mini-name" }, one.label), out);
    node.dataset.key = one.key;
    return { node, out };
  }
  /** Why the others were left behind: at which answer, and what was said there. */
  function others(walked) {
    const rows = walked.map(({ option }, k) => option.drops.length && h("li", {},
      h("p", {}, ...option.drops.flatMap((key, j) => [j ? ", " : null, h("b", {}, advice[key].label)])),
      h("p", {}, option.against), h("p", { class: "nv-note" }, `Answer ${k + 1}: “${option.label}”`))).filter(Boolean);
    return [h("h3", {}, `Why not the other ${order.length - 1}`), h("ul", {}, ...rows)];
  }

  // ---- what happens ----
  /** Take answers, as far as they make a path: what no longer applies is forgotten. */
  function choose(wanted) {
    const { path: walked } = follow(questions, given.first, wanted);
    answers = Object.fromEntries(walked.filter(({ option }) => option).map(({ question, option }) => [question.key, option.key]));
    refresh();
    keep();
  }
  /** All that is said is right when the event handler returns; only the cube waits for a frame. */
  function refresh() {
    const { path: walked, at } = follow(questions, given.first, answers), open = questions[at], reached = advice[at];
    const dropped = new Set(walked.flatMap(({ option }) => option?.drops ?? [])), left = order.length - dropped.size;
    // Steps that stay where they are keep the focus.
    const nodes = walked.map(({ question }) => steps[question.key].node);
    [...path.children].forEach((node) => nodes.includes(node) || node.remove());
    nodes.forEach((node, k) => path.children[k] === node || path.insertBefore(node, path.children[k] ?? null));
    walked.forEach(({ question, option }, k) => {
      const { node, dot, radios } = steps[question.key];
      say(dot, String(k + 1));
      node.classList.toggle("nv-answered", Boolean(option) && held !== question.key);
      for (const { input, node: label, option: mine } of radios) {
        input.checked = mine === option;
        label.classList.toggle("nv-chosen-option", mine === option);
      }
    });
    again.hidden = !Object.keys(answers).length;
    say(told, reached
      ? `Your ${walked.length === 1 ? "answer leads" : `${walked.length} answers lead`} to ${reached.label}.`
      : `${left} of ${order.length} normalizers ${dropped.size ? "still fit" : "to choose from"}.`);
    // Who sees the path sees what is asked next.
    say(asked, open ? ` Question ${walked.length}: ${open.text}` : "");
    for (const key of order) {
      minis[key].node.classList.toggle("nv-out", dropped.has(key));
      say(minis[key].out, dropped.has(key) ? " (ruled out)" : "");
    }
    // The card and its cubes stay while other answers lead to the same advice; the reasons may be others.
    if (at !== shown) {
      life.abort();
      life = new AbortController();
      card = reached ? adviceCard(reached, methods, life, settled) : null;
      result.replaceChildren(reached ? card.node : field);
      shown = at;
    }
    reasons.replaceChildren(...(reached ? others(walked) : []));
    reasons.hidden = !reached;
    Object.assign(root.dataset, { question: open ? at : "", advice: reached ? at : "", answers: writeAnswers(answers), left });
  }
  /** Ready, once every cube is drawn. */
  function settled() {
    if (!root.querySelector(".nv-set-figure:not([data-drawn])")) root.dataset.ready = "true";
  }
  function keep() {
    // A sandboxed frame has no address of its own, and some browsers limit how often one may write.
    try { history.replaceState(null, "", `#${writeAnswers(answers)}`); } catch { /* then the answers are not kept */ }
  }
  const framed = parent !== window;
  const behaviour = () => (still.matches ? "auto" : "smooth");
  /** The first field of what comes after a question: the next question, or the advice. */
  function onward() {
    const open = root.dataset.question;
    const target = open ? steps[open].radios[0].input : card.title;
    target.focus({ preventScroll: true });
    (open ? steps[open].node : card.node).scrollIntoView({ block: "nearest", behavior: behaviour() });
  }

  // ---- events ----
  let pointed = false;
  path.addEventListener("pointerdown", () => { pointed = true; });
  path.addEventListener("keydown", (event) => {
    pointed = false;
    if (event.key !== "Enter" || !event.target.matches("input")) return;
    event.preventDefault();
    // Enter takes the answer that has the focus, and goes on.
    if (!event.target.checked) { event.target.checked = true; answered(event.target); }
    held = "";
    refresh();
    onward();
  });
  path.addEventListener("focusout", (event) => {
    // Arrow keys walk through answers: their question stays as large as it is until the keyboard leaves it.
    if (held && !pointed && !steps[held].node.contains(event.relatedTarget)) { held = ""; refresh(); }
  });
  path.addEventListener("change", (event) => answered(event.target));
  // What an answer would rule out shows before it is given.
  const doubt = (event) => {
    const label = event.type === "pointerleave" ? null : event.target.closest("label"), key = label?.closest("li").dataset.question;
    const drops = key === root.dataset.question ? steps[key].radios.find(({ node }) => node === label).option.drops : [];
    for (const other of order) minis[other].node.classList.toggle("nv-doubt", drops.includes(other));
  };
  for (const type of ["pointerover", "pointerleave", "focusin"]) path.addEventListener(type, doubt);
  function answered(input) {
    const key = input.closest("li").dataset.question;
    held = pointed ? "" : key;
    choose({ ...answers, [key]: input.value });
    if (!pointed) return;
    const open = root.dataset.question, { top, bottom } = (open ? steps[open].node : card.node).getBoundingClientRect();
    // A frame as high as its page is always all in its own sight: whether it is in the reader's, the browser knows.
    if (open && (framed || bottom > innerHeight)) steps[open].node.scrollIntoView({ block: "nearest", behavior: behaviour() });
    else if (!open && (framed || top > 0.7 * innerHeight)) card.node.scrollIntoView({ block: framed ? "nearest" : "start", behavior: behaviour() });
  }
  addEventListener("hashchange", (event) => {
    answers = readAnswers(new URL(event.newURL).hash, questions, given.first);
    refresh();
  });
  el.append(root);
  followTheme(root);
  const said = readAnswers(location.hash, questions, given.first);
  answers = Object.keys(said).length ? said : { ...given.answers };
  refresh();
  requestAnimationFrame(settled);
  return root;
}

/** The page's own script. The still picture of the whole tree stays within reach. */
function startChooser() {
  const place = document.querySelector(".nvp-explorer"), live = h("div", { class: "nvp-live" }), tree = place.querySelector(".nvp-still");
  const root = renderChooser(live, JSON.parse(document.getElementById("normviz-data").textContent));
  place.prepend(live);
  if (tree) place.append(h("details", { class: "nvp-tree" }, h("summary", {}, "The whole decision tree as one picture, to print"), tree));
  inFrame(() => root.hasAttribute("data-ready"));
}

startChooser();
