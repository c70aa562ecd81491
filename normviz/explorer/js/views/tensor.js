// The panel "Tensor", in which the reader makes x: axes, fill, file, typed cells, weight, bias and eps.

/** @import { Recipe } from "../tensor/recipe.js" */
import constants from "../../constants.json" with { type: "json" };
import { KEYS, button, h, scrolling, setText, smallButton, take } from "../core/dom.js";
import { product, toCube } from "../core/geometry.js";
import { listen } from "../core/model.js";
import { decimal, shortest } from "../core/numbers.js";
import { flatIndex } from "../core/readout.js";
import { sameAs } from "../core/same_sets.js";
import { say } from "../core/sentences.js";
import { openFile, readPasted, unpacked } from "../files/open.js";
import { asCode, npyBytes } from "../files/save.js";
import { EXAMPLE, FILLS } from "../tensor/fills.js";
import { createMaker } from "../tensor/maker.js";
import { createMessages } from "../tensor/messages.js";
import { channelsSecond } from "../tensor/source.js";
import {
  RANKS,
  TENSOR_KEYS,
  axesOf,
  checkList,
  checkMade,
  edited,
  forPython,
  orderOf,
  perChannel,
  recipeAddress,
  recipeInAddress,
  reshaped,
  shownFill,
  typedList,
  typedNumber,
  typedWhole
} from "../tensor/recipe.js";
import { copyText } from "./panel.js";
import { createValueGrid } from "./value_grid.js";

const CHOICES = [...FILLS, "file", "edited"];
const MOST_SEED = 2 ** 32 - 1;

/** The shortest text from which the value is read again, as the dtype of x keeps it. */
function exactly(value, dtype) {
  if (!Number.isFinite(value)) return decimal(value);
  if (dtype === "float64") return value && Math.abs(value) < 1e-3 ? value.toExponential() : String(value);
  return shortest(value, true);
}

/** What was typed, for a sentence. */
const clipped = (text) => (text.length > 60 ? `${text.slice(0, 60)}…` : text);

/** The recipe with which the page begins. @returns {Recipe} */
function firstRecipe(data) {
  const { recipe } = data.editable;
  const own = ["file", "edited"].includes(recipe.fill);
  const listed = (parameter) => parameter && Array.from(parameter);
  return {
    shape: data.shape,
    fill: own ? "file" : recipe.fill,
    seed: recipe.seed,
    channelAxis: recipe.channel_axis,
    edits: [],
    own: own ? { shape: data.shape, values: data.values, given: true } : null,
    eps: data.eps,
    weight: listed(data.weight),
    bias: listed(data.bias),
    elementwise: data.elementwise.length > 0
  };
}

export function createTensorPanel({ data, act, model, signal }) {
  const first = firstRecipe(data);
  const scene = { ...data };
  const maker = /** @type {any} */ (createMaker(data.editable.sample));
  signal.addEventListener("abort", () => maker.close());

  // ---- what is shown, what was asked for, and what was shown before ----
  /** @type {Recipe} */
  let recipe = first;
  let wanted = first;
  let history = [first];
  let at = 0;
  let turn = 0;
  let waiting = false;
  let unsettled = false;
  let quietly = false;
  /** What follows once the picture is there. @type {(() => void)[]} */
  let then = [];
  /** The arrays of the file that was opened last. */
  let opened = { name: "", arrays: [] };
  let stopReading = new AbortController();

  /** G and cell, which another shape may change, at the time when each tensor was left. */
  const left = new WeakMap();
  const chosen = () => ({ num_groups: act.state().G, index: act.state().index });

  /** Make what a recipe says, and show it: at once, or when the maker is done. */
  function run(next, { settled = true, quiet = false, after = null } = {}) {
    act.unready();
    const same = next === wanted;
    if (wanted === history[at]) left.set(wanted, chosen());
    wanted = next;
    unsettled = unsettled || settled;
    quietly = quiet;
    if (after) then.push(after);
    if (same) return waiting || finish();
    const mine = ++turn;
    try {
      maker.cancel();
      const part = isFirst(next)
        ? firstPart()
        : maker.make(orderOf(next), { onProgress: (share) => mine === turn && busy(share) });
      if (!(part instanceof Promise)) return show(next, part);
      waiting = true;
      act.later(() => waiting && mine === turn && busy(0), 150);
      part.then(
        (made) => mine === turn && !signal.aborted && show(next, made),
        (error) => mine === turn && !signal.aborted && fail(error)
      );
    } catch (error) {
      fail(error);
    }
  }
  /** Does the scene of the page have this x? */
  const isFirst = ({ shape, fill, seed, edits, own }) =>
    String(shape) === String(first.shape) &&
    fill === first.fill &&
    seed === first.seed &&
    (own === first.own || own?.given) &&
    !edits.length;

  /** What x decides of `data`; of the scene it is what every part has. */
  let partNow = {};
  /** Who has the values of a large x, which may be the panel of a linked explorer. */
  let holder = { maker, of: null };
  const firstPart = () => Object.fromEntries(Object.keys(partNow).map((key) => [key, scene[key]]));
  function show(next, part, from = { maker, of: maker.kept() }) {
    waiting = false;
    partNow = part;
    holder = from;
    busy(null);
    recipe = next;
    act.tell("");
    const own = next.weight === first.weight && next.bias === first.bias;
    const length = next.shape[1];
    act.take({
      ...part,
      eps: next.eps,
      channel_axis: next.channelAxis,
      elementwise: next.elementwise ? scene.elementwise : [],
      weight: next.elementwise && own ? scene.weight : perChannel(next.weight, length),
      bias: next.elementwise && own ? scene.bias : perChannel(next.bias, length)
    });
    finish();
  }
  function finish() {
    if (unsettled) settle();
    else syncFields();
    const follows = then;
    then = [];
    for (const f of follows) f();
    act.redraw();
  }
  /** Nothing has changed: say why, and show again what is true, of which a slider may not have told yet. */
  function fail(error) {
    waiting = false;
    unsettled = false;
    then = [];
    busy(null);
    wanted = recipe;
    if (error && error.name !== "AbortError") act.tell(error.message);
    if (recipe === history[at]) syncFields();
    else settle();
    act.redraw();
  }
  /** The reader is done with a change: it can be undone, stands in the address, and Python hears of it. */
  function settle() {
    unsettled = false;
    remember();
    syncFields();
    publish();
  }
  function remember() {
    if (recipe === history[at]) return;
    history = [...history.slice(Math.max(0, at + 2 - constants.tensor_panel.undo), at + 1), recipe];
    at = history.length - 1;
  }
  /** Go back or on to another tensor, and to the G and the cell with which it was left. */
  const goTo = (place) => {
    if (wanted === history[at]) left.set(wanted, chosen());
    at = place;
    const state = left.get(history[at]);
    run(history[at], { after: () => state && act.set(state) });
  };

  // ---- the host ----
  function publish() {
    act.push();
    if (model.get("part") !== undefined) {
      const address = (prefix, room) => recipeAddress(recipe, first, prefix, room);
      model.set("part", recipe === first ? null : { recipe, part: partNow, address, holder });
      // A link is followed by every explorer that it speaks of.
      if (!quietly) model.save_changes();
      return;
    }
    messages.tell(recipe);
  }

  /** Call `f` with all values of x: at once, or once the maker has handed them out. */
  const withValues = (f) => {
    if (data.values) f(data.values);
    else if (isFirst(recipe)) act.tell(say("tensor.no-values"));
    else holder.maker.values(holder.of).then(f, () => {});
  };
  const messages = createMessages(model, first, { data, isFirst, withValues });

  /** A linked explorer has another tensor. */
  const onTensor = () => {
    const given = model.get("part") ?? { recipe: first, part: firstPart() };
    if (given.recipe === recipe) return;
    turn++;
    maker.cancel();
    wanted = given.recipe;
    show(given.recipe, given.part, given.holder);
    remember();
    syncFields();
  };
  /** Show what a link asks for: first the tensor, then the state, which depends on its shape. */
  function follow() {
    const { recipe: asked, later, wrong, lost } = recipeInAddress(model.get("link").part, first, EXAMPLE.shape);
    const after = () => act.follow(wrong, lost);
    if (later) run(asked, { settled: false, after: () => run(later(data.values), { quiet: true, after }) });
    else run(asked, { quiet: true, after });
  }

  // ---- what the reader does ----
  const on = (target, type, listener, options = {}) => target.addEventListener(type, listener, { signal, ...options });
  /** Do what a control asks for; a sentence that it throws is told. */
  const attempt = (f, settled = true) => {
    act.unready();
    try {
      run(f(), { settled });
    } catch (error) {
      fail(error);
    }
  };
  const lengths = { L: first.shape.at(-1), H: first.shape.at(-2), W: first.shape.at(-1), D: 2 };
  if (first.shape.length < 4) Object.assign(lengths, { H: 4, W: 4, L: 4 });
  const withShape = (shape) => {
    checkMade(shape);
    const values = recipe === wanted ? data.values : null;
    return String(shape) === String(wanted.shape) ? wanted : reshaped(wanted, shape, values);
  };
  const withAxis = (a, length) => withShape(wanted.shape.map((l, b) => (a === b ? length : l)));

  const unfold = () => setOpen(body.hidden);
  const fold = button({ class: "nv-fold", "aria-expanded": "true", onclick: unfold }, say("tensor.name"));
  const summary = h("span.nv-note");
  const small = (name, onclick) => smallButton(say(`tensor.do-${name}`), onclick);
  const undo = small("undo", () => at > 0 && goTo(at - 1));
  const redo = small("redo", () => at < history.length - 1 && goTo(at + 1));
  const reset = small("reset", () => run(first));
  const setOpen = (open) => {
    body.hidden = !open;
    fold.setAttribute("aria-expanded", String(open));
  };

  const axes = h("div.nv-axes");
  let axisRows = [];
  function axisRow(a) {
    const slide = (settled) => () => attempt(() => withAxis(a, slider.valueAsNumber), settled);
    const moved = { oninput: slide(false), onchange: slide(true) };
    const slider = h("input", { type: "range", min: 1, step: 1, ...KEYS, ...moved });
    const type = () => attempt(() => withAxis(a, input.value === "" ? NaN : Number(input.value)));
    const input = h("input", { type: "number", min: 1, step: 1, ...KEYS, onchange: type });
    const letter = h("span.nv-letter", { "aria-hidden": "true" });
    return { slider, input, letter, nodes: [letter, slider, input] };
  }
  const select = (name, options, onchange) => {
    const choices = options.map(([value, text]) => h("option", { value }, text));
    const node = h("select", { "aria-label": say(`tensor.name-${name}`), ...KEYS }, ...choices);
    node.addEventListener("change", () => onchange(node.value));
    return node;
  };
  const labelled = (label, node, wide = "") => h("label", { class: `nv-field ${wide}` }, h("span", label), node);
  const field = (name, node, wide) => labelled(say(`tensor.name-${name}`), node, wide);
  const ranks = RANKS.map((r) => [r, String(r)]);
  const ofRank = (r) => withShape(axesOf(r).map((axis, a) => (a < 2 ? wanted.shape[a] : lengths[axis])));
  const rank = select("rank", ranks, (r) => attempt(() => ofRank(Number(r))));
  const channels = select(
    "channels",
    [
      [1, say("tensor.channels-first")],
      [-1, say("tensor.channels-last")]
    ],
    (value) =>
      attempt(() => {
        const channelAxis = /** @type {1 | -1} */ (Number(value));
        return wanted.own?.file ? fromFile(wanted.own.file, channelAxis) : { ...wanted, channelAxis };
      })
  );
  const fill = select(
    "fill",
    CHOICES.map((name) => {
      const key = name.replace(" ", "-");
      return [name, say(`tensor.fill-${key}`)];
    }),
    (name) =>
      attempt(() => {
        const plain = { ...wanted, edits: [], own: null };
        if (name === "file") return latestOwn() ?? wanted;
        if (name === "edited") return wanted;
        return name === "example" ? { ...plain, fill: name, shape: [...EXAMPLE.shape] } : { ...plain, fill: name };
      })
  );
  /** The recipe that last showed values of one's own, without typed cells. */
  const latestOwn = () => {
    const last = [...history, first].reverse().find(({ fill: name, own }) => name === "file" && own);
    return last && { ...last, shape: last.own.shape, edits: [] };
  };
  const inputOf = (type, label, more) => h("input", { type, "aria-label": label, ...more, ...KEYS });
  const unaided = { spellcheck: "false", autocomplete: "off" };
  const text = (name, more) => inputOf("text", say(`tensor.name-${name}`), { ...unaided, ...more });
  const seed = inputOf("number", say("tensor.seed"), { min: 0, max: MOST_SEED, step: 1 });
  seed.addEventListener("change", () =>
    attempt(() => {
      const number = typedWhole(seed.value);
      if (!(number <= MOST_SEED)) throw new Error(say("tensor.seed-refused", { most: MOST_SEED }));
      return { ...wanted, seed: number };
    })
  );
  const value = text("value", { inputmode: "decimal" });
  const eps = text("eps", { inputmode: "decimal" });
  const weight = text("weight", { placeholder: say("tensor.none") });
  const bias = text("bias", { placeholder: say("tensor.none") });

  /** Type over a cell; false, and a sentence, if the text is no number. */
  function write(index, words) {
    act.unready();
    const number = typedNumber(words);
    if (number === undefined) {
      fail(new Error(say("tensor.value-refused", { text: clipped(words) })));
      return false;
    }
    const now = data.values?.[flatIndex(data, toCube(index, data.shape))];
    run(Object.is(now, number) && recipe === wanted ? wanted : edited(wanted, index, number));
    return true;
  }
  value.addEventListener("change", () => write(act.state().index, value.value));
  eps.addEventListener("change", () =>
    attempt(() => {
      const number = typedNumber(eps.value);
      if (!(number > 0 && number < Infinity)) throw new Error(say("tensor.eps-refused", { text: clipped(eps.value) }));
      return { ...wanted, eps: number };
    })
  );
  for (const [name, input] of Object.entries({ weight, bias }))
    input.addEventListener("change", () =>
      attempt(() => {
        const list = typedList(input.value);
        if (list === undefined) throw new Error(say("tensor.list-refused", { name, text: clipped(input.value) }));
        checkList(name, list, wanted.shape[1]);
        const plain = wanted.elementwise ? { weight: null, bias: null, elementwise: false } : {};
        return { ...wanted, ...plain, [name]: list };
      })
    );

  // ---- files ----
  const file = inputOf("file", say("tensor.open"), { class: "nv-unseen" });
  const array = h("select", { "aria-label": say("tensor.name-array"), ...KEYS });
  const arrayField = field("array", array);
  const fromFile = (one, channelAxis) => {
    const shape = channelsSecond(one.shape, channelAxis);
    return { ...wanted, shape, channelAxis, fill: "file", edits: [], own: { shape, values: null, file: one } };
  };
  /** Read one of the arrays that `find` gives, and show it; false if that is not possible. */
  async function open(find, k = 0) {
    act.unready();
    const mine = ++turn;
    maker.cancel();
    stopReading = new AbortController();
    const { signal: stopped } = stopReading;
    waiting = true;
    act.later(() => waiting && mine === turn && busy(0), 150);
    try {
      const found = await find();
      const onProgress = (share) => mine === turn && busy(share);
      const one = await unpacked(found.arrays[k], { onProgress, signal: stopped });
      if (mine !== turn || signal.aborted) return false;
      const named = ({ name, shape, dtype }) => `${name} (${shape.join(", ")}) ${dtype}`;
      if (opened !== found)
        array.replaceChildren(...found.arrays.map((each, at) => h("option", { value: at }, named(each))));
      opened = found;
      waiting = false;
      run(fromFile(one, wanted.channelAxis));
      return true;
    } catch (error) {
      if (mine === turn && !signal.aborted) fail(error);
      return false;
    }
  }
  array.addEventListener("change", () => open(() => opened, Number(array.value)));
  file.addEventListener("change", () => {
    const [one] = file.files;
    if (one) open(() => openFile(one));
    file.value = ""; // so that the same file can be opened again
  });
  const paste = (words) => open(() => ({ name: "", arrays: [readPasted(words)] }));
  const names = { "aria-label": say("tensor.numbers"), placeholder: say("tensor.numbers-hint") };
  const pasted = h("textarea", { rows: 4, ...names, spellcheck: "false", ...KEYS });
  const use = async () => {
    if (!(await paste(pasted.value))) return;
    pasted.value = "";
    toggle(pasteButton, pasteBox, false);
    pasteButton.focus();
  };
  const pasteBox = h("div.nv-paste", { hidden: true }, pasted, small("use", use));
  const toggle = (opener, node, isOpen = node.hidden) => {
    node.hidden = !isOpen;
    opener.setAttribute("aria-expanded", String(isOpen));
  };
  const openers = new Map();
  /** A button that opens a part of the panel. One is open at a time: a frame has no room for more. */
  const opener = (name, node, opening = () => {}) => {
    const one = button({ class: "nv-small", "aria-expanded": "false" }, say(`tensor.do-${name}`));
    openers.set(one, node);
    one.addEventListener("click", () => {
      for (const [other, part] of openers) toggle(other, part, other === one && part.hidden);
      if (!node.hidden) opening();
    });
    return one;
  };
  const pasteButton = opener("paste", pasteBox, () => pasted.focus());

  // ---- take away ----
  const save = small("save", () => {
    withValues((all) => {
      const [values, shape] = recipe.channelAxis === 1 ? [all, data.shape] : channelsLast(all, data.shape);
      const address = URL.createObjectURL(new Blob([npyBytes(values, shape)]));
      h("a", { href: address, download: "x.npy" }).click();
      act.later(() => URL.revokeObjectURL(address), 10000);
    });
  });
  const code = h("pre.nv-code", scrolling(say("tensor.do-code")));
  const copy = smallButton(say("common.copy"), () => copyText(code, copy, act.later));
  const codeBox = h("div.nv-card", { hidden: true }, code, copy);
  const codeButton = opener("code", codeBox, () => syncCode());
  const syncCode = () => {
    if (!codeBox.hidden) setText(code, asCode(forPython(recipe), data, recipe.own));
  };
  const grid = createValueGrid(data, act, write);
  const gridButton = opener("table", grid.node, () => grid.sync(act.state()));

  // ---- progress ----
  const percents = { "aria-valuemin": 0, "aria-valuemax": 100 };
  const bar = h("div", { role: "progressbar", "aria-label": say("tensor.reading"), ...percents }, h("span"));
  const stop = small("cancel", () => cancel());
  const progress = h("div.nv-row.nv-progress", { hidden: true }, bar, stop);
  const busy = (share) => {
    progress.hidden = share === null;
    if (share === null) return;
    const percent = Math.round(100 * share);
    bar.setAttribute("aria-valuenow", String(percent));
    bar.firstElementChild.style.width = `${percent}%`;
  };
  const cancel = () => {
    turn++;
    stopReading.abort();
    maker.cancel();
    fail(null);
  };

  // ---- the whole ----
  const alike = h("summary", { ...KEYS });
  const alikeMore = h("p");
  const same = h("details.nv-note.nv-same", alike, alikeMore);
  const body = h(
    "div.nv-tensor-body",
    h("div.nv-tensor-part", axes, h("div.nv-row", field("rank", rank), field("channels", channels))),
    h(
      "div.nv-tensor-part",
      h("div.nv-row", field("fill", fill, "nv-wide"), labelled(say("tensor.seed"), seed)),
      h("div.nv-row", h("label.nv-file", h("span", { "aria-hidden": "true" }, say("tensor.open")), file), pasteButton),
      pasteBox,
      arrayField,
      progress,
      h("div.nv-row", field("value", value), gridButton)
    ),
    h(
      "div.nv-tensor-part",
      h("div.nv-row.nv-parameters", field("eps", eps), field("weight", weight), field("bias", bias)),
      h("div.nv-row", save, codeButton, summary)
    ),
    same
  );
  const top = h("div.nv-row", fold, h("span.nv-spring"), undo, redo, reset);
  const node = h("section.nv-card.nv-tensor", { "aria-label": say("tensor.name") }, top, body);

  /** Show the recipe in the controls. */
  function syncFields() {
    const { shape, own } = wanted;
    const names = axesOf(shape.length);
    names.forEach((name, a) => {
      if (a >= 2) lengths[name] = shape[a];
    });
    if (axisRows.length !== names.length) {
      axisRows = names.map((_, a) => axisRow(a));
      axes.replaceChildren(...axisRows.flatMap((row) => row.nodes));
    }
    axisRows.forEach(({ slider, input, letter }, a) => {
      setText(letter, names[a]);
      input.setAttribute("aria-label", names[a]);
      slider.setAttribute("aria-label", say("tensor.slider", { axis: names[a] }));
      // While it is moved, the slider keeps the way back to a longer axis.
      const longest = slider.matches(":focus") ? Number(slider.max) : 0;
      slider.max = String(Math.max(constants.tensor_panel.sliders[Math.min(a, 2)], shape[a], longest));
      slider.value = String(shape[a]);
      keep(input, slider.value);
    });
    rank.value = String(shape.length);
    channels.value = String(wanted.channelAxis);
    channels.disabled = shape.length === 2;
    const name = shownFill(wanted);
    for (const option of fill.options) {
      if (option.value === "file") option.disabled = !latestOwn();
      if (option.value === "edited") option.disabled = name !== "edited";
    }
    fill.value = name;
    keep(seed, String(wanted.seed));
    const texts = { eps: exactly(wanted.eps, "float64"), weight: listText(wanted.weight), bias: listText(wanted.bias) };
    for (const [key, input] of Object.entries({ eps, weight, bias })) keep(input, texts[key]);
    const { name: shown = "", file: source = "" } = own?.file ?? {};
    arrayField.hidden = !(opened.arrays.length > 1 && opened.name === source);
    const place = opened.arrays.findIndex(({ name: each }) => each === shown);
    array.value = String(Math.max(0, place));
    const cells = say("tensor.cells", { count: product(recipe.shape), dtype: data.dtype });
    setText(summary, source ? `${cells} · ${source}` : cells);
    undo.disabled = at === 0;
    redo.disabled = at === history.length - 1;
    reset.disabled = recipe === first;
    syncCode();
    shownValue = null;
    syncValue();
  }
  const listText = (list) => (list ? list.map((v) => exactly(v, "float64")).join(", ") : "");
  /** Show a text in a field, unless the reader is just typing another one there. */
  const keep = (input, words) => {
    const isTyping = input.getRootNode().activeElement === input && input.value !== (input.dataset.kept ?? input.value);
    if (isTyping) return;
    input.dataset.kept = input.value = words;
  };
  node.addEventListener("change", ({ target }) => (target.dataset.kept = target.value), { capture: true });
  let shownValue = null;
  function syncValue(shown = lastShown) {
    if (!shown) return;
    lastShown = shown;
    const { index } = act.state();
    const key = `${index}/${shown.x}`;
    if (key === shownValue) return;
    shownValue = key;
    keep(value, data.values || shown.about === undefined ? exactly(shown.x, data.dtype) : "");
  }
  let lastShown = null;

  /** Files, numbers and Ctrl+Z may come anywhere on the explorer. */
  function attach(root) {
    // JupyterLab takes Enter from a field, which would then say only when it is left that its text has changed.
    on(node, "keydown", (event) => {
      const { key, target, shiftKey, ctrlKey, altKey, metaKey } = event;
      if (key !== "Enter" || shiftKey || ctrlKey || altKey || metaKey || !target.matches("input:not([type=file])"))
        return;
      event.preventDefault();
      target.blur();
      target.focus({ preventScroll: true });
    });
    const holds = (event) => event.dataTransfer?.types.some((type) => type === "Files" || type === "text/plain");
    for (const type of ["dragenter", "dragover"])
      on(root, type, (event) => {
        if (!holds(event)) return;
        event.preventDefault();
        root.classList.add("nv-dropping");
      });
    on(root, "dragleave", (event) => {
      if (!root.contains(event.relatedTarget)) root.classList.remove("nv-dropping");
    });
    const receive = (event, from) => {
      const one = from?.files[0];
      const words = from?.getData("text/plain");
      if (!one && !words?.trim()) return;
      take(event);
      if (one) open(() => openFile(one));
      else paste(words);
    };
    on(root, "drop", (event) => {
      root.classList.remove("nv-dropping");
      receive(event, event.dataTransfer);
    });
    const typing = (target) => target?.matches?.("textarea, input[type=text], input[type=number]");
    on(document, "paste", (event) => {
      const [target] = event.composedPath();
      const inside = event.composedPath().includes(root);
      const nowhere = target === document.body || target === document.documentElement;
      if (!inside && !(nowhere && document.querySelector(".normviz:has(.nv-tensor)") === root)) return;
      if (typing(target) && !event.clipboardData?.files.length) return;
      receive(event, event.clipboardData);
    });
    on(root, "keydown", (event) => {
      if (!(event.ctrlKey || event.metaKey) || event.altKey) return;
      const [target] = event.composedPath();
      const key = event.key.toLowerCase();
      const by = key === "z" ? (event.shiftKey ? 1 : -1) : key === "y" ? 1 : 0;
      // While a text is typed, the keys undo the typing.
      if (!by || (typing(target) && target.value !== target.dataset.kept)) return;
      take(event);
      if (at + by >= 0 && at + by < history.length) goTo(at + by);
    });
    listen(model, "change:part", onTensor, signal);
    syncFields();
  }

  return {
    node,
    below: [grid.node, codeBox],
    attach,
    follow,
    hooks: () => ({ fill: shownFill(recipe), seed: recipe.seed }),
    sync(state, shown) {
      syncValue(shown);
      const [most = "", ...more] = sameAs(data, state);
      same.hidden = !most;
      setText(alike, most);
      setText(alikeMore, more.join(" "));
      grid.sync(state);
    },
    /** Ask the maker for the numbers of a cell that the page does not carry; false if Python has them. */
    ask(question, answer) {
      if (isFirst(recipe)) return false;
      holder.maker.ask(question, data.methods[question.method], holder.of).then(
        (found) => signal.aborted || answer({ kind: "cell", ...found }),
        () => {}
      );
      return true;
    },
    /** Is another tensor on its way? */
    waiting: () => waiting,
    made: messages.sent
  };
}
createTensorPanel.keys = TENSOR_KEYS;

/** The values in the order (N, *spatial, C), with that shape. */
function channelsLast(values, [N, C, ...spatial]) {
  const each = product(spatial);
  const out = new values.constructor(values.length);
  for (let n = 0; n < N; n++)
    for (let c = 0; c < C; c++)
      for (let p = 0; p < each; p++) out[(n * each + p) * C + c] = values[(n * C + c) * each + p];
  return [out, [N, ...spatial, C]];
}
