// The controls over the cube: methods, the G slider, view, colour, train and eval; and the steppers under it.

import constants from "../../constants.json" with { type: "json" };
import { KEYS, button, copied, h, hide, rich, set, setText, take } from "../core/dom.js";
import { clamp, divisors, fitting, hasGroups, twinsOf } from "../core/geometry.js";
import { gradientOf } from "../core/gradient.js";
import { decimal } from "../core/numbers.js";
import { axisNames, hasHoles } from "../core/readout.js";
import { say } from "../core/sentences.js";
import { VALUES, legendColors } from "./cube.js";

const COLORS = ["set", "partition", ...VALUES];
/** What colours can show: of a single layer, no values of x. */
export const colorChoices = (data) => (data.single ? COLORS.slice(0, 3) : COLORS);
export const VIEWS = ["samples", "paper"];
export const MODES = ["train", "eval"];

/** Radio buttons with one tab stop; arrow keys move the choice. */
function radioGroup(label, entries, choose, attributes = {}) {
  const radios = new Map();
  const group = h("div", { role: "radiogroup", "aria-label": label, class: "nv-segments", ...attributes });
  for (const [value, content] of entries) {
    const radio = button(
      { role: "radio", "aria-checked": "false", tabindex: "-1", "data-value": value, onclick: () => choose(value) },
      ...content
    );
    radios.set(value, radio);
    group.append(radio);
  }
  group.addEventListener("keydown", (event) => {
    const by = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (!by || event.altKey || event.ctrlKey || event.metaKey) return;
    const open = [...radios].filter(([, radio]) => !radio.hidden);
    const at = open.findIndex(([, radio]) => radio === event.target.closest("[role=radio]"));
    const [value, radio] = open[(at + by + open.length) % open.length];
    take(event);
    radio.focus(); // first, for the same reason as in syncControls
    choose(value);
  });
  const check = (value) => {
    for (const [key, radio] of radios) set(radio, "tabindex", key === value ? 0 : -1);
    for (const [key, radio] of radios) set(radio, "aria-checked", key === value);
  };
  return { node: group, radios, check };
}

/** A button that switches a part of the state on and off. */
function toggle(act, key, words) {
  const onclick = () => act.set({ [key]: !act.state()[key] });
  return button({ class: "nv-toggle", "aria-pressed": "false", onclick }, words);
}

/** Ghost Batch Norm starts with two samples in a slice if the batch allows it: with one it is Instance Norm. */
const chosen = (data, { method: before, G }, method) => {
  const [N] = data.shape;
  return data.methods[method]?.n === "group" && method !== before
    ? { method, num_groups: fitting(Math.min(G, N >> 1), N) }
    : { method };
};

/**
 * Every change of a control calls `act.set`.
 * @param {(() => string) | undefined} address  gives the address with the state, on pages that have one
 * @param {HTMLElement} [bar]  what a single layer has instead of methods, views and the slider of G
 */
export function createControls(data, act, address, bar) {
  const labels = [
    ...data.order.map((name) => [name, data.methods[name].label]),
    ...(data.labels ? [["given", say("common.given")]] : [])
  ];
  const sample = h("small", { "aria-hidden": "true" });
  const methods = radioGroup(
    say("controls.method"),
    labels.map(([name, label]) => [name, name === "layer" ? [label, sample] : [label]]),
    (method) => act.set(chosen(data, act.state(), method)),
    { class: "nv-methods" }
  );
  const extra = data.order.slice(4);
  // The relatives unfold over what follows, so that the picture stays in its place. Folded, the chosen one shows.
  const relatives = h("div.nv-relatives");
  if (extra.length) methods.radios.get(extra[0]).before(relatives);
  for (const name of extra) {
    const radio = methods.radios.get(name);
    const { label, short } = data.methods[name];
    radio.setAttribute("aria-label", label);
    radio.replaceChildren(h("span.nv-long", label), h("span.nv-short", short));
    relatives.append(radio);
  }
  const unfold = (open) => {
    c.open = open;
    syncControls(c, data, c.state, c.shown);
  };
  const turn = () => unfold(!c.open);
  const more = button({ class: "nv-more", "aria-expanded": "false", onclick: turn }, say("controls.more"));
  const choice = h("div.nv-segments.nv-choice", methods.node, extra.length ? more : null);
  methods.node.addEventListener("click", () => c.open && unfold(false));
  choice.addEventListener("focusout", ({ relatedTarget }) => {
    if (c.open && !choice.contains(/** @type {Node} */ (relatedTarget))) unfold(false);
  });
  choice.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || !c.open) return;
    take(event);
    unfold(false);
    more.focus();
  });
  const views = VIEWS.map((name) => [name, [say(`controls.view-${name}`)]]);
  const modes = MODES.map((name) => [name, [say(`controls.mode-${name}`)]]);
  const view = radioGroup(say("controls.view"), views, (name) => act.set({ view: name }));
  const mode = radioGroup(say("controls.mode"), modes, (name) => act.set({ mode: name }), { "data-modes": true });
  const colors = colorChoices(data).map((value) => h("option", { value }, say(`controls.color-${value}`)));
  const choose = () => act.set({ color: color.value });
  const color = h("select", { "aria-label": say("controls.color"), ...KEYS, onchange: choose }, ...colors);
  const tour = button({ class: "nv-tour-button", onclick: () => act.tour() }, say("tour.name"));
  const predict = toggle(act, "predict", say("controls.predict"));
  const present = button({ onclick: () => act.present() }, say("controls.present"));
  const slider = createSlider(act);
  const link = address ? createLink(act, address) : null;
  const shade = h("label.nv-field", h("span", say("controls.color")), color);
  const c = { predict, present, shade, sample, methods, more, extra, open: false, view, mode, color, tour, slider };
  const all = data.single
    ? [h("span.nv-row", mode.node, shade), h("span.nv-row.nv-actions", present, link), bar]
    : [
        choice,
        h("span.nv-row.nv-actions", predict, present, tour, link),
        slider.node,
        h("span.nv-row", mode.node, view.node, shade)
      ];
  c.node = h("div.nv-controls", ...all);
  return c;
}

export function syncControls(c, data, state, shown) {
  Object.assign(c, { state, shown });
  // First, while nothing else has changed: the browser lays out the page when the focus leaves the tab order.
  c.methods.check(state.method);
  for (const name of c.extra) hide(c.methods.radios.get(name), !c.open && name !== state.method);
  set(c.more, "aria-expanded", c.open);
  setText(c.more, say(c.open ? "controls.fewer" : "controls.more"));
  c.methods.node.classList.toggle("nv-unfolded", c.open);
  // Hide what would show the answer of a prediction, or does not apply to one.
  for (const node of [c.view.node, c.shade, c.tour]) hide(node, Boolean(state.predict));
  hide(c.mode.node, Boolean(state.predict) || !data.running);
  const given = c.methods.radios.get("given");
  if (given) hide(given, !data.labels);
  setText(c.sample, `(${axisNames(data.shape).slice(1).join(", ").toUpperCase()})`);
  set(c.predict, "aria-pressed", Boolean(state.predict));
  c.view.check(state.view);
  c.mode.check(state.mode);
  if (c.color.value !== state.color) c.color.value = state.color;
  if (!data.single) syncSlider(c.slider, data, state);
}

// ---- the slider of G -----------------------------------------------------------------------------------------------

/** G has a logarithmic scale: halving the groups is the same distance everywhere. */
const placeOf = (G, C) => (C === 1 ? 0 : Math.log(G) / Math.log(C));

/**
 * What the slider cuts: the channels into groups or heads or, for ghost batches, the batch into slices. It moves the
 * chosen method if that has groups, else Group Norm.
 */
export function slicing(data, state) {
  const row = data.methods[hasGroups(data.methods[state.method]) ? state.method : "group"];
  const ghost = row.n === "group";
  const length = data.shape[ghost ? 0 : 1];
  const all = divisors(length);
  const what = ghost ? "ghost" : row.spatial === "one" ? "head" : "group";
  // The methods whose statistics the ends of the slider have on every shape, and what lies between.
  const twin = (extent) => {
    const like = { ...row, [ghost ? "n" : "c"]: extent };
    return Object.values(data.methods).find((other) =>
      ["n", "c", "spatial", "statistic", "axes"].every((key) => other[key] === like[key])
    );
  };
  const ends = { [length]: twin("one"), 1: twin("all") };
  const tell = (G) =>
    ends[G] ? say("controls.end", { method: ends[G].label }) : say(`controls.each-${what}`, { count: length / G });
  return {
    row,
    method: row.name,
    name: say(`controls.slider-${what}`),
    length,
    all,
    tell: (G) => say("controls.groups-are", { G, what: tell(G) }),
    refuse: (G) => (length % G ? say("controls.refused", { G, letter: ghost ? "N" : "C", length }) : "")
  };
}

function ticksOf({ length: C, tell, refuse }) {
  const ticks = [];
  let last = -1;
  let labelled = -1;
  for (let G = 1; G <= C; G++) {
    const at = placeOf(G, C);
    const divides = C % G === 0;
    if (!divides && (at - last < 0.012 || C > 96)) continue;
    last = at;
    // Numbers keep a distance from each other and from the last number.
    const number = divides && (G === C || (at - labelled > 0.13 && 1 - at > 0.13));
    if (number) labelled = at;
    const tick = divides ? "span.nv-tick" : "span.nv-tick.nv-no";
    const about = { style: `left:${at * 100}%`, title: divides ? tell(G) : refuse(G) };
    ticks.push(h(tick, about, number ? h("span", String(G)) : null));
  }
  return ticks;
}

const FORTH = { ArrowRight: 1, ArrowUp: 1, PageUp: 1, End: Infinity };
const MOVES = { ...FORTH, ArrowLeft: -1, ArrowDown: -1, PageDown: -1, Home: -Infinity };

function createSlider(act) {
  const thumb = h("span.nv-thumb");
  const hint = h("span.nv-hint");
  const ticks = h("span.nv-ticks");
  const about = { role: "slider", tabindex: "0", "aria-label": say("controls.slider-group"), "aria-valuemin": "1" };
  const track = h("div.nv-track", { ...about, ...KEYS }, h("span.nv-rail"), ticks, thumb);
  const play = button({ class: "nv-play", "aria-label": say("controls.play-groups"), onclick: () => act.playGroups() });
  const s = { play, track, thumb, hint, ticks };
  const go = (G, settled = true) => act.set({ method: s.cut.method, num_groups: G }, { settled });
  s.step = (by) => {
    const { all } = s.cut;
    go(all[clamp(all.indexOf(s.G) + by, 0, all.length - 1)]);
  };
  /** Drag the thumb to the nearest G; say why the one under the pointer is none. */
  const follow = (event) => {
    const { length: C, all } = s.cut;
    const box = track.getBoundingClientRect();
    const place = clamp((event.clientX - box.left) / box.width, 0, 1);
    const away = (g) => Math.abs(placeOf(g, C) - place);
    const nearest = all.reduce((best, g) => (away(g) < away(best) ? g : best), 1);
    s.why = s.cut.refuse(clamp(Math.round(C ** place), 1, C));
    if (s.dragging) go(nearest, false);
    else s.refresh?.();
  };
  track.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    event.preventDefault();
    track.focus();
    track.setPointerCapture(event.pointerId);
    s.dragging = true;
    follow(event);
  });
  track.addEventListener("pointermove", follow);
  track.addEventListener("pointerleave", () => {
    s.why = "";
    s.refresh?.();
  });
  const drop = () => {
    if (!s.dragging) return;
    s.dragging = false;
    act.set({});
  };
  track.addEventListener("pointerup", drop);
  track.addEventListener("pointercancel", drop);
  track.addEventListener("keydown", (event) => {
    const by = MOVES[event.key];
    if (!by || event.altKey || event.ctrlKey || event.metaKey) return;
    take(event);
    s.why = "";
    s.step(by);
  });
  s.node = h("div.nv-slider", h("span.nv-name", { "aria-hidden": "true" }, h("i", "G")), play, track, hint);
  return s;
}

function syncSlider(s, data, state) {
  const cut = slicing(data, state);
  const C = cut.length;
  const grouped = state.method === cut.method;
  // Where the chosen method has no groups: the G at which Group Norm is the same on this shape.
  const chosen = data.methods[state.method];
  const like = chosen && !grouped && twinsOf([cut.row], chosen, 1, data.shape)[0];
  const G = like ? like.G : state.G;
  s.G = G;
  if (s.cut?.method !== cut.method || s.cut.length !== C) {
    s.ticks.replaceChildren(...ticksOf(cut));
    s.track.setAttribute("aria-label", cut.name);
    s.track.setAttribute("aria-valuemax", String(C));
  }
  s.cut = cut;
  s.thumb.style.left = `${placeOf(G, C) * 100}%`;
  s.track.classList.toggle("nv-ghosted", !grouped);
  set(s.track, "aria-valuenow", G);
  set(s.track, "aria-valuetext", say("controls.groups", { G }));
  const ghost = like ? say("controls.ghost", { method: chosen.label, G }) : say("controls.no-groups");
  s.refresh = () => setText(s.hint, s.why || (grouped ? cut.tell(G) : ghost));
  s.refresh();
}

// ---- under the cube ------------------------------------------------------------------------------------------------

export function createSteppers(act) {
  const stepper = (a) => {
    const name = h("i");
    const input = h("input", {
      type: "number",
      min: 0,
      step: 1,
      ...KEYS,
      oninput: (event) => {
        const v = event.target.valueAsNumber;
        if (Number.isInteger(v)) act.cell(a, v);
      },
      onchange: (event) => {
        event.target.value = act.state().index[a];
      }
    });
    return { name, input, node: h("label.nv-field", name, input) };
  };
  const slice = toggle(act, "slice", say("common.slice"));
  const legend = h("span.nv-legend");
  const turn = button({ class: "nv-toggle", hidden: true, onclick: () => act.turn() }, say("controls.reset"));
  const hint = h("span.nv-note");
  const steppers = h("span.nv-steppers");
  const about = h("span.nv-cellname", { "aria-hidden": "true" }, rich(say("controls.cell")));
  const node = h("div.nv-under", about, steppers, slice, turn, legend, h("span.nv-spring"), hint);
  return { node, steppers, stepper, fields: [], slice, turn, legend, hint };
}

export function syncSteppers(s, data, state) {
  const axes = axisNames(data.shape, data.methods[state.method]);
  if (s.fields.length !== axes.length) {
    s.fields = axes.map((_, a) => s.stepper(a));
    s.steppers.replaceChildren(...s.fields.map((field) => field.node));
  }
  s.fields.forEach(({ name, input }, a) => {
    setText(name, axes[a]);
    set(input, "max", data.shape[a] - 1);
    set(input, "aria-label", say("controls.index", { axis: axes[a], last: data.shape[a] - 1 }));
    if (input.valueAsNumber !== state.index[a]) input.value = state.index[a];
  });
  const front = state.index[1] === 0;
  hide(s.slice, state.view === "paper");
  set(s.slice, "title", say(front ? "controls.slice-front" : "controls.slice-title", { axis: axes[1] }));
  set(s.slice, "aria-pressed", state.slice);
  s.idle = state.slice && front && !s.slice.hidden;
}

/** What to do with the cube, or what cannot be seen of it. @param {boolean} inside  whether the picked cell is */
export function hintText(s, inside) {
  if (inside) return say(s.slice.hidden ? "controls.hint-deep" : "controls.hint-inside");
  return s.idle ? s.slice.title : say("controls.hint");
}

export function drawLegend(s, data, state, shown) {
  const by = state.color;
  // In the classical figure every cube has its ends. Given sets have no cube there, so the first cube's are told.
  const method = state.view === "paper" && shown.given ? constants.paper_methods[0] : state.method;
  const gradient = by === "gradient" ? gradientOf(data, shown, method) : null;
  const key = [by, method, state.mode, state.view, data.colors, data.extent, gradient?.end, hasHoles(data)].join("/");
  if (s.key === key) return;
  s.key = key;
  const swatch = (name, label) =>
    h("span.nv-swatch", h("span", { class: `nv-chip ${name}`, "aria-hidden": "true" }), label);
  const parts = [];
  if (VALUES.includes(by)) {
    const range = gradient ? [-gradient.end, gradient.end] : by === "value" ? data.colors : constants.normalized;
    const colors = legendColors(range);
    const bound = Math.max(...range.map(Math.abs));
    const [low, high] = range[0] < 0 && range[1] > 0 ? [-bound, bound] : range;
    // The colour at an end also stands for the values beyond it.
    const [least, most] = gradient?.alone ? range : by === "value" ? data.extent : [-Infinity, Infinity];
    const [from, to] = [decimal(low, 3), decimal(high, 3)];
    parts.push(
      h(
        "span.nv-swatch",
        least < low ? say("controls.legend-low", { value: from }) : from,
        h("span.nv-scale", { style: `background:linear-gradient(90deg,${colors.join(",")})` }),
        most > high ? say("controls.legend-high", { value: to }) : to
      )
    );
    if (gradient) parts.push(h("span", say(`gradient.scale-${state.view}`)));
  } else if (by === "partition") parts.push(swatch("nv-many", say("controls.legend-partition")));
  if (!shown.evaluating && by !== "partition") parts.push(swatch("nv-chip-set", say("controls.legend-set")));
  const chip = by === "partition" ? "nv-chip-cell nv-plain" : "nv-chip-cell";
  parts.push(swatch(chip, say("controls.legend-cell")));
  if (hasHoles(data)) parts.push(swatch("nv-chip-hole", say("controls.legend-holes")));
  if (data.marks && state.view === "samples") parts.push(swatch("nv-chip-mark", say("controls.legend-marked")));
  s.legend.replaceChildren(...parts);
}

// ---- copy the address ----------------------------------------------------------------------------------------------

/** A button that copies the address with the state; without a clipboard, a field to copy it from by hand. */
function createLink(act, address) {
  const name = say("controls.link-name");
  const field = h("input", { type: "text", readonly: true, hidden: true, "aria-label": name, ...KEYS });
  const said = h("span.nv-note", { "aria-live": "polite" });
  const copy = async () => {
    const text = address();
    const done = await copied(text);
    field.hidden = done;
    field.value = text;
    setText(said, say(done ? "controls.link-done" : "controls.link-failed"));
    if (!done) {
      field.focus();
      field.select();
    } else act.later(() => setText(said, ""), 4000);
  };
  return h("span.nv-row.nv-link", button({ onclick: copy }, say("controls.link")), field, said);
}
