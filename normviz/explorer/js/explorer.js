// The explorer: state, events and the life of one view. A widget calls `render({ model, el })`; an exported page calls
// the same function with a small stand-in for the model.

import constants from "../constants.json" with { type: "json" };
import { isDark, onBehind } from "./core/background.js";
import { h, hide, set, setText, take } from "./core/dom.js";
import { ANGLES, clamp, cutLength, fitting, toCube } from "./core/geometry.js";
import { gradientOf } from "./core/gradient.js";
import { listen, quietly } from "./core/model.js";
import { decimal, span } from "./core/numbers.js";
import {
  axisNames,
  cellName,
  enumerated,
  gather,
  keysText,
  lengthNames,
  measure,
  methodName,
  ofWeights,
  readScene
} from "./core/readout.js";
import { say } from "./core/sentences.js";
import { statusText } from "./core/status.js";
import {
  MODES,
  VIEWS,
  colorChoices,
  createControls,
  createSteppers,
  drawLegend,
  hintText,
  slicing,
  syncControls,
  syncSteppers
} from "./views/controls.js";
import { MOST_SAMPLES, createCube, drawCube } from "./views/cube.js";
import { STEPS, createPanel, drawPanel, showTab, syncPanel } from "./views/panel.js";
import { createPrediction } from "./views/predict.js";
import { createPresenter } from "./views/presenter.js";
import { createStage, onStage } from "./views/stage.js";
import { createTour } from "./views/tour.js";

/** What an explorer is in, beside its tensor. */
export const TRAITS = "method,num_groups,index,step,view,color,mode,controls,predict,presenter".split(",");
const PLAY = { groups: 1100, steps: 2200 };

/** Read a state from the model and make it fit the scene. */
function readState(model, data) {
  const { num_groups: G, ...got } = Object.fromEntries(TRAITS.map((key) => [key, model.get(key)]));
  const [controls, predict, presenter] = [got.controls !== false, got.predict === true, got.presenter === true];
  return fit({ ...got, G, controls, predict, presenter, numbers: false, slice: false }, data);
}

/** Turn any state, such as one from a link or an old page, into a state that can be drawn. */
export function fit(state, data) {
  const { shape } = data;
  const index = Array.isArray(state.index) && state.index.length === shape.length ? state.index : shape.map(() => 0);
  // Own keys only: a link may ask for the method "constructor".
  const known = Object.hasOwn(data.methods, state.method) || (state.method === "given" && data.labels);
  const otherwise = data.labels && !state.predict ? "given" : "group";
  return {
    ...state,
    // A prediction is about sets that are blocks, in the "samples" view.
    method: known && !(state.predict && state.method === "given") ? state.method : otherwise,
    G: fitting(state.G || 4, cutLength(known ? data.methods[state.method] : null, shape)),
    index: index.map((i, a) => clamp(Math.trunc(i) || 0, 0, shape[a] - 1)),
    step: clamp(Math.trunc(state.step) || 0, 0, STEPS.length - 1),
    view: VIEWS.includes(state.view) && !state.predict ? state.view : "samples",
    color: colorChoices(data).includes(state.color) && !state.predict ? state.color : "set",
    mode: MODES.includes(state.mode) && data.running && !state.predict ? state.mode : "train"
  };
}

/** The maker of the part that belongs to a scene, if the host brought it along. */
export const partFor = (parts, scene) => parts[Object.keys(parts).find((name) => scene[name])];

/** Sentences on what the drawing aggregates or leaves out. */
function aggregation(data, state, shown) {
  const { limits } = constants;
  const parts = [];
  const paper = state.view === "paper";
  const [N] = data.shape;
  const [, , H, W] = data.cube;
  const weights = ofWeights(data.methods[state.method]);
  const lengths = lengthNames(data.shape, data.methods[state.method]);
  const spatial = axisNames(data.shape, data.methods[state.method]).slice(2);
  const axes = [weights ? "Cout" : "n", weights ? "Cin" : "c", enumerated(spatial.slice(0, -1)), spatial.at(-1)];
  const what = weights ? "filters" : "samples";
  const folded = data.bins
    .map((size, a) => (size > 1 && !(paper && a > 1) ? say("aggregation.cells-along", { size, axis: axes[a] }) : ""))
    .filter(Boolean);
  if (folded.length) parts.push(say("aggregation.cell", { cells: enumerated(folded) }));
  if (data.shape.length === 5 && !paper)
    parts.push(say("aggregation.depth", { depth: lengths[2], height: lengths[3] }));
  const first = Math.floor(state.index[0] / MOST_SAMPLES) * MOST_SAMPLES;
  const last = Math.min(first + MOST_SAMPLES, N);
  if (N > MOST_SAMPLES && !paper)
    parts.push(say(`aggregation.shown-${what}`, { range: span([first, last]), drawn: last - first, count: N }));
  const drawn = Math.ceil((H * W) / Math.ceil((H * W) / limits.paper_positions));
  if (paper && H * W > limits.paper_positions)
    parts.push(say("aggregation.positions", { axes: enumerated(lengths.slice(2)), count: H * W, drawn }));
  if (paper && N > limits.paper_samples)
    parts.push(say(`aggregation.cell-${what}`, { count: Math.ceil(N / limits.paper_samples) }));
  if (state.color === "gradient" && !data.values) parts.push(say("gradient.means"));
  // A tensor that was made in the page is asked for there; one that Python sent needs Python.
  const sent = data.values || data.backend === "page" ? "exact" : shown.pending ? "no-numbers" : "exact-sets";
  const numbers = data.time ? "recorded" : sent;
  return parts.length ? `${parts.join(" ")} ${say(`aggregation.numbers-${numbers}`)}` : "";
}

/**
 * @param {{model: any, el: HTMLElement}} place
 * @param {Record<string, Function>} parts  what the host brings along: makers of the part that an explorer has beside
 *   the cube, each by the name of its entry in the scene
 */
export function render({ model, el }, parts = {}) {
  let view = mount(model, el, parts);
  const remount = () => {
    // Python sends back what this view made; the view shows it already.
    if (view.made(model.get("_scene").revision)) return;
    const kept = view.kept();
    view();
    view = mount(model, el, parts, kept);
  };
  const life = new AbortController();
  listen(model, "change:_scene", remount, life.signal);
  return () => {
    life.abort();
    view();
  };
}

/** `kept` is the state of a view that this one replaces: how the cube was turned, what was open. */
function mount(model, el, parts, kept = null) {
  const data = readScene(model.get("_scene"));
  let state = { ...readState(model, data), slice: kept?.slice ?? false };
  let shown = null;
  let timer = null;
  let timerName = "";
  const pushing = new Set();
  const life = new AbortController();
  const later = new Set();
  const asked = new Set();

  // ---- actions ----
  const act = {
    state: () => state,
    set(patch, { settled = true, push = true, by = "person" } = {}) {
      const { num_groups, ...rest } = patch;
      const before = state;
      if (num_groups !== undefined) rest.G = num_groups;
      state = fit({ ...state, ...rest }, data);
      // With every step the presenter's numbers hide again.
      if (state.step !== before.step || state.presenter !== before.presenter) state.numbers = false;
      if (push)
        for (const key of TRAITS) if (String(value(before, key)) !== String(value(state, key))) pushing.add(key);
      // The sweep of G stops when another control is used, because it would change the numbers there.
      const others = ["method", "step", "color", "view", "mode", "slice"];
      if (timerName === "groups" && by !== "play" && others.some((key) => key in patch)) act.stop("groups");
      if (by === "person" && Object.keys(patch).length) {
        tour.touched = true;
        act.tell("");
      }
      refresh();
      if (settled) act.push();
    },
    push() {
      if (!pushing.size) return;
      const keys = [...pushing];
      pushing.clear();
      save(keys, (key) => value(state, key));
    },
    cell(axis, v) {
      act.set({ index: state.index.map((i, a) => (a === axis ? v : i)) });
    },
    step(by) {
      if (part?.step) return part.step(by);
      act.stop("steps");
      act.set({ step: clamp(state.step + by, 0, STEPS.length - 1) });
    },
    redraw: () => cubeStage.schedule(),
    /** What is drawn is no longer what is asked for. */
    unready: () => {
      delete root.dataset.ready;
    },
    /** Show another tensor, or other parameters: `part` replaces what `data` has of them. */
    take(part) {
      const sameShape = String(part.shape) === String(data.shape);
      Object.assign(data, part);
      asked.clear();
      Object.assign(cube, { colorKey: "", values: null }, sameShape ? {} : { key: "", cuts: "", place: "" });
      act.set({}, { settled: false, by: "tensor" });
    },
    /** Tell the reader in one sentence what went wrong; the next success takes it away. */
    tell(sentence) {
      setText(alert, sentence);
      hide(alert, !sentence);
    },
    /** Show the state that a link asks for, once its tensor is there. @param {string[]} wrong  parts that do not fit */
    follow(wrong = [], more = "") {
      const { state: parts = {}, strange = [] } = model.get("link") ?? {};
      state = { ...readState(model, data), slice: state.slice };
      const misfits = Object.entries(parts).filter(([key]) => String(value(state, key)) !== String(model.get(key)));
      const all = [...misfits.map(([, text]) => text), ...strange, ...wrong];
      for (const key of TRAITS) model.set(key, value(state, key));
      refresh();
      act.tell([all.length ? say("common.bad-link", { parts: enumerated(all) }) : "", more].filter(Boolean).join(" "));
    },
    turn: (by = null) => cubeStage.turn(by),
    later(f, ms) {
      const id = setTimeout(() => {
        later.delete(id);
        f();
      }, ms);
      later.add(id);
    },
    playing: (name) => timer !== null && timerName === name,
    play(name, ms, f) {
      act.stop(timerName);
      timerName = name;
      timer = setInterval(f, ms);
      syncPlay();
    },
    stop(name) {
      if (timer === null || name !== timerName) return;
      clearInterval(timer);
      timer = null;
      syncPlay();
    },
    playGroups() {
      if (act.playing("groups")) return act.stop("groups");
      const next = () => {
        const { method, all } = slicing(data, state);
        act.set({ method, num_groups: all[(all.indexOf(state.G) + 1) % all.length] }, { by: "play" });
      };
      act.play("groups", PLAY.groups, next);
      next();
    },
    playSteps() {
      if (act.playing("steps")) return act.stop("steps");
      act.set({ step: state.step === STEPS.length - 1 ? 0 : state.step + 1 });
      act.play("steps", PLAY.steps, () =>
        state.step < STEPS.length - 1 ? act.set({ step: state.step + 1 }) : act.stop("steps")
      );
    },
    tour: () => tour.start(),
    present() {
      act.set({ presenter: true });
      presenter.forward.focus({ preventScroll: true });
    },
    focus: (name) => controls[name].focus({ preventScroll: true }),
    /** Choose a method by its digit, if it has one. */
    digit(key) {
      const method = data.order.slice(0, 4)[Number(key) - 1];
      if (method) act.set({ method });
      return Boolean(method);
    },
    groups: (by) => data.single || controls.slider.step(by),
    unfolded: () => controls.open,
    answer: (found) => save(["answer"], () => found)
  };
  /** Tell Python, once the event handler has returned. */
  const save = (keys, of) => {
    const tell = () => {
      for (const key of keys) model.set(key, of(key));
      model.save_changes();
    };
    act.later(() => quietly(tell), 0);
  };
  const value = (s, key) => (key === "num_groups" ? s.G : s[key]);
  const ask = (question) => {
    const key = `${question.method}/${question.num_groups}/${question.index}`;
    if (asked.has(key)) return;
    asked.add(key);
    if (!part?.ask(question, onAnswer)) quietly(() => model.send(question));
  };
  const onAnswer = (answer) => {
    if (answer?.kind !== "cell") return;
    const real = (v) => (v === null ? NaN : v);
    data.answers.set(answer.key, { x: real(answer.x), mean: real(answer.mean), var: real(answer.var) });
    refresh();
  };

  // ---- the parts ----
  const part = partFor(parts, data)?.({ data, act, model, signal: life.signal }) ?? null;
  const cube = createCube();
  const controls = createControls(data, act, model.address, part?.bar);
  const steppers = createSteppers(act);
  const panel = createPanel(act, part?.cards);
  const tour = createTour(data, act);
  const quiz = createPrediction(data, act);
  const presenter = createPresenter(act, data.single);
  const alert = h("p.nv-alert", { role: "alert", hidden: true });
  const status = h("p.nv-status", { role: "status" });
  const note = h("p.nv-note.nv-aggregated");
  const tip = h("div.nv-tip", { "aria-hidden": "true", hidden: true });
  const stage = createStage(cube.node, tip);
  const heading = h("p.nv-method");
  const top = h("div.nv-top", heading, presenter.node);
  const picture = h("div.nv-picture", stage, note, steppers.node, status);
  const root = h(
    "div.normviz",
    { lang: "en" },
    data.title ? h("p.nv-heading", data.title) : null,
    top,
    controls.node,
    alert,
    h("div.nv-main", tour.node, quiz.node, picture, part?.node),
    ...(part?.below ?? []),
    panel.node
  );

  /** Hooks, ARIA states and the status line are up to date when the event handler returns. */
  function refresh() {
    shown = measure(data, state, ask);
    part?.measured?.(shown);
    syncControls(controls, data, state, shown);
    act.unready();
    quiz.sync(state, shown);
    presenter.sync(state);
    const asking = quiz.asking(state);
    // For a presenter, numbers show up to the current step; the status line's are of step 3.
    const reached = state.presenter && !state.numbers && !data.single;
    const silent = reached && state.step < 3;
    const own = shown.given ? `label:${shown.label}` : shown.ownSet?.map((r) => r.join(":")).join(",");
    const hooks = {
      method: state.method,
      numGroups: state.G,
      index: state.index.join(","),
      set: asking || shown.evaluating ? "" : own,
      step: state.step,
      view: state.view,
      color: state.color,
      mode: state.mode,
      numbers: asking ? "hidden" : reached ? "reached" : "shown",
      shape: data.shape.join(","),
      ...part?.hooks()
    };
    for (const [name, text] of Object.entries(hooks))
      if (root.dataset[name] !== String(text)) root.dataset[name] = text;
    const keys = keysText(axisNames(data.shape, shown.method));
    const shape = data.shape.join(", ");
    const about = say(ofWeights(shown.method) ? "common.weights" : "common.tensor", { shape });
    set(stage, "aria-label", `${about} ${keys}`);
    const name = methodName(shown.method, state.G);
    setText(heading, shown.evaluating ? say("common.named-eval", { method: name }) : name);
    hide(top, state.controls && !state.presenter && !data.single);
    root.classList.toggle("nv-bare", !state.controls);
    stage.classList.toggle("nv-tall", data.shape[0] > constants.stage.tall_above);
    root.classList.toggle("nv-asking", asking);
    root.classList.toggle("nv-presenter", state.presenter);
    const question = { name, cell: cellName(state.index) };
    const line = asking ? say("status.question", question) : statusText(data, state, shown, silent);
    setText(status, part?.line?.(line, shown) ?? line);
    syncSteppers(steppers, data, state);
    syncPanel(panel, state, shown);
    part?.sync(state, shown);
    cubeStage.schedule();
  }
  function syncPlay() {
    if (data.single) return;
    const groups = act.playing("groups");
    controls.slider.play.classList.toggle("nv-pause", groups);
    controls.slider.play.setAttribute("aria-label", say(groups ? "controls.pause-groups" : "controls.play-groups"));
    setText(panel.play, say(act.playing("steps") ? "common.pause" : "common.play"));
    tour.sync();
  }
  function draw(size, angles) {
    const answer = { ranges: quiz.ranges, truth: quiz.revealed ? quiz.truth : null };
    drawCube(cube, data, state.predict ? { ...state, quiet: true, answer } : state, shown, size, angles);
    if (!quiz.asking(state)) drawPanel(panel, data, state, shown);
    drawLegend(steppers, data, state, shown);
    hide(steppers.legend, Boolean(state.predict));
    hide(steppers.turn, angles === ANGLES[state.view]);
    setText(steppers.hint, quiz.asking(state) ? say("controls.hint-mark") : hintText(steppers, cube.hidden));
    setText(note, aggregation(data, state, shown));
    hide(note, !note.textContent);
    part?.draw?.();
    if (!part?.waiting?.()) root.dataset.ready = "true";
  }

  /** The cell under the pointer with its value; nothing where there is none. */
  function showTip(event, index, solid) {
    tip.hidden = !index;
    if (!index) return;
    const at = toCube(index, data.shape);
    const [x] = gather(data, /** @type {any} */ (at.map((i) => [i, i + 1])));
    const mean = () => part?.tip?.(x) ?? say("controls.hover-mean", { value: decimal(x, 3) });
    const value = data.values ? `x = ${decimal(x)}` : mean();
    const method = state.view === "paper" ? cube.view.solids[solid] : state.method;
    const own = () => decimal(gradientOf(data, shown, method).to(at, x), 3);
    const gradient = state.color === "gradient" ? `  ${say("gradient.hover", { value: own() })}` : "";
    setText(tip, `(${index.join(", ")})  ${value}${gradient}`);
    const area = stage.getBoundingClientRect();
    const left = event.clientX - area.left;
    const side = left < area.width / 2 ? `left:${left + 12}px` : `right:${area.width - left + 12}px`;
    tip.style.cssText = `top:${event.clientY - area.top - 34}px;${side}`;
  }

  // ---- events ----
  const on = (target, type, listener, options = {}) =>
    target.addEventListener(type, listener, { signal: life.signal, ...options });
  const cubeStage = onStage(
    stage,
    cube,
    data,
    {
      draw,
      index: () => state.index,
      slice: () => state.slice,
      view: () => state.view,
      move: (index) => act.set({ index }),
      pick(index, solid) {
        if (quiz.asking(state)) quiz.grow(index);
        else act.set({ index, ...(cube.view.name === "paper" ? { method: cube.view.solids[solid] } : {}) });
      },
      marking: () => quiz.asking(state),
      mark: quiz.drag,
      hover: showTip,
      resize: () => behind(),
      angles: kept?.angles
    },
    life.signal
  );
  // A clicker's keys go to the focused element, often to none: then the first presenter on the page takes them.
  on(
    document,
    "keydown",
    (event) => {
      const { target } = event;
      const inside = event.composedPath().includes(root);
      const here = /** @type {Document | ShadowRoot} */ (root.getRootNode());
      const nowhere = target === document.body || target === document.documentElement;
      if (state.presenter && (inside || (nowhere && here.querySelector(".nv-presenter") === root)))
        presenter.key(event);
    },
    { capture: true }
  );
  on(root, "keydown", (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey || event.target.matches("input, select, textarea")) return;
    if (!act.digit(event.key)) return;
    take(event);
  });

  // ---- the host ----
  const onModel = (name, listener) => listen(model, name, listener, life.signal);
  for (const key of TRAITS)
    onModel(`change:${key}`, () => {
      const now = value(readState(model, data), key);
      if (String(now ?? false) !== String(value(state, key) ?? false)) act.set({ [key]: now }, { push: false });
    });
  onModel("msg:custom", onAnswer);
  const theme = () => {
    root.dataset.theme = isDark(el) ? "dark" : "light";
  };
  const place = h("div.nv-place", root);
  el.append(place);
  if (kept) {
    controls.open = kept.open;
    panel.framework = kept.framework;
    showTab(panel, kept.tab);
  }
  refresh();
  syncPlay();
  const behind = onBehind(el, theme, life.signal);
  part?.attach(root);
  const follow = () => {
    if (part) part.follow();
    else act.follow(Object.entries(model.get("link").part).map(([key, text]) => `${key}=${text}`));
  };
  if (model.get("link")) follow();
  onModel("change:link", follow);

  const close = () => {
    life.abort();
    clearInterval(timer);
    later.forEach(clearTimeout);
    place.remove();
  };
  close.made = (revision) => part?.made?.(revision) ?? false;
  close.kept = () => ({
    angles: cubeStage.angles,
    slice: state.slice,
    open: controls.open,
    tab: panel.tab,
    framework: panel.framework
  });
  return close;
}
