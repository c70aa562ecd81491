// A layer over the steps of a recording: the slider "Time", two charts, and the numbers of the step.

import { KEYS, button, d, h, hide, put, set, setText, svg, take } from "../core/dom.js";
import { clamp, toCube } from "../core/geometry.js";
import { listen } from "../core/model.js";
import { decimal, number } from "../core/numbers.js";
import { cellName, methodName, spreadName } from "../core/readout.js";
import { say } from "../core/sentences.js";
import {
  areaPath,
  column,
  dataAt,
  entry,
  fitBatch,
  linePath,
  nearest,
  placeInTables,
  readTime,
  scaleOf,
  scaleTicks,
  statusAtStep,
  stretches,
  tickTexts
} from "../core/time.js";
import { ticks } from "./charts.js";

/** A run plays in about so many milliseconds, no faster and no slower than so many a step. */
const PACE = { all: 16000, fastest: 80, slowest: 400 };
const NUMBERS = ["mean", "var", "running-mean", "running-var", "gap", "weight", "bias", "samples"];

export function createTimePart({ data, act, model, signal }) {
  const time = readTime(data.time);
  const { steps, T } = time;
  const G = model.get("num_groups");
  const rowOf = (step) => steps.indexOf(step);
  const first = Math.max(0, rowOf(model.get("time") ?? steps[T - 1]));
  const centered = Object.values(data.methods)[0].centered;
  let t = first;
  /** The place of the picked cell in the tables, as of the last sync. */
  let place = { set: 0, c: 0 };
  /** Has the batch of this step no such cell? */
  let absent = false;
  Object.assign(data, { backend: "page" }, dataAt(time, data, t, G));

  // ---- moving ----
  function show(next) {
    t = next;
    act.take(dataAt(time, data, t, G));
  }
  /** Go to a row, as the reader asks; the explorers that are linked follow. */
  function move(next, by = "person") {
    const to = clamp(next, 0, T - 1);
    if (by !== "play") pause();
    act.tell("");
    if (to === t) return;
    act.unready();
    show(to);
    publish();
  }
  const told = (step) => ({ step, address: (prefix) => `${prefix}t=${step}` });
  const publish = () => {
    model.set("part", told(steps[t]));
    act.later(() => model.save_changes(), 0);
  };
  const onPart = () => {
    const given = model.get("part");
    const to = given ? rowOf(given.step) : first;
    if (to >= 0 && to !== t) show(to);
  };
  const stride = Math.max(1, Math.ceil((T * PACE.fastest) / (2 * PACE.all)));
  function play() {
    if (t === T - 1) move(0, "play");
    else move(t + stride, "play");
    act.play("time", clamp(PACE.all / T, PACE.fastest, PACE.slowest), () => {
      move(t + stride, "play");
      if (t === T - 1) pause();
    });
    syncPlay();
  }
  function pause() {
    if (!act.playing("time")) return;
    act.stop("time");
    syncPlay();
    // A text that comes anew is spoken.
    act.later(() => status?.replaceChildren(status.textContent), 60);
  }
  const toggle = () => (act.playing("time") ? pause() : play());

  // ---- the slider ----
  const playButton = button({ class: "nv-play", onclick: toggle, disabled: T < 2 });
  const slider = h("input", {
    type: "range",
    min: 0,
    max: T - 1,
    step: 1,
    "aria-label": say("time.name"),
    ...KEYS,
    oninput: () => move(slider.valueAsNumber)
  });
  const PAGE = Math.max(1, Math.round(T / 10));
  slider.addEventListener("keydown", (event) => {
    // Browsers differ in how far a page goes.
    const by = { PageUp: PAGE, PageDown: -PAGE }[event.key];
    if (!by || event.altKey || event.ctrlKey || event.metaKey || event.shiftKey) return;
    take(event);
    move(t + by);
  });
  const stepNumber = h("b");
  const stepText = h("span.nv-time-step", { "aria-hidden": "true" });
  const bar = h("div.nv-time-bar", playButton, slider, stepText);
  let status = null;
  function syncPlay() {
    const on = act.playing("time");
    playButton.classList.toggle("nv-pause", on);
    set(playButton, "aria-label", say(on ? "common.pause" : "common.play"));
    // While it plays, ten lines a second would be read out.
    if (status) on ? set(status, "aria-live", "off") : status.removeAttribute("aria-live");
  }

  // ---- the charts ----
  const { warnings } = time;
  const onChart = { step: (step) => move(nearest(steps, step)), time };
  const charts = (centered ? ["mean", "var"] : ["var"]).map((key, k) =>
    createTimeChart(key, onChart, k === 0, signal, act)
  );
  const swatch = (name, words) => h("span.nv-swatch", h("span", { class: `nv-chip ${name}` }), words);
  const legend = h(
    "p.nv-legend",
    time.running ? swatch("nv-chip-gap", say("time.legend-gap")) : null,
    time.quartiles ? swatch("nv-chip-band", say("time.legend-band")) : null,
    warnings.length ? swatch("nv-chip-warning", say("time.legend-warning")) : null
  );
  const part = String(time.shape ?? data.shape) !== String(data.shape);
  const notes = [
    time.every > 1 ? say("time.thinned", { every: time.every }) : "",
    part ? say("time.part", { shape: time.shape.join(", "), count: time.mean.length / T }) : ""
  ].filter(Boolean);
  const note = notes.length ? h("p.nv-note", notes.join(" ")) : null;
  const node = h(
    "section.nv-time",
    { "aria-label": say("time.charts") },
    ...charts.map((chart) => chart.node),
    legend,
    note
  );

  // ---- the numbers of the step ----
  const facts = Object.fromEntries(NUMBERS.map((name) => [name, h("dd", { "data-fact": `time-${name}` })]));
  const has = { mean: centered, "running-mean": time.running, "running-var": time.running, gap: time.gap };
  Object.assign(has, { weight: time.weight, bias: time.bias });
  const labels = {};
  const list = h("dl.nv-facts");
  for (const name of NUMBERS) {
    if (name in has && !has[name]) continue;
    labels[name] = h("dt");
    list.append(h("div", labels[name], facts[name]));
  }
  const title = h("strong");
  const used = h("p.nv-note");
  const numbers = h("section.nv-card.nv-time-numbers", { "aria-label": say("time.numbers") }, title, list, used);
  const items = warnings.map(([at, , message]) =>
    h(
      "li",
      button({ class: "nv-small", onclick: () => move(at) }, say("time.step", { step: steps[at] })),
      h("span", message)
    )
  );
  const found = h(
    "section.nv-card.nv-time-warnings",
    { "aria-label": say("time.warnings") },
    h("strong", say("time.warnings")),
    h("ul", ...items)
  );

  function sync(state, shown) {
    place = placeInTables(data, state, toCube(state.index, data.shape));
    const step = steps[t];
    if (slider.valueAsNumber !== t) slider.value = String(t);
    set(slider, "aria-valuetext", say("time.step", { step }));
    setText(stepNumber, String(step));
    if (!stepText.firstChild) stepText.append(say("time.step-word"), " ", stepNumber);
    const { set: s, c } = place;
    const at = (table, k) => entry(time, table, t, k);
    const values = {
      mean: at(time.mean, s),
      var: at(time.var, s),
      "running-mean": time.running && at(time.running.mean, c),
      "running-var": time.running && at(time.running.var, c),
      gap: time.gap && at(time.gap, s),
      weight: time.weight && at(time.weight, c),
      bias: time.bias && at(time.bias, c),
      samples: time.samples[t]
    };
    setText(title, say("time.at", { step, channel: c }));
    const spread = spreadName(shown.method);
    for (const [name, label] of Object.entries(labels)) {
      setText(label, say(`time.fact-${name}`, { spread }));
      put(facts[name], name === "samples" ? String(values[name]) : `<b>${number(values[name])}</b>`);
    }
    setText(used, say(time.own[t] ? "time.used-own" : "time.used-running"));
    hide(used, !time.running);
    for (const chart of charts) {
      const running = time.running && values[`running-${chart.key}`];
      chart.tell(chart.key === "mean" ? say("time.mean") : spread, values[chart.key], running);
    }
  }

  function attach(root) {
    root.classList.add("nv-timed");
    status = root.querySelector(".nv-status");
    const option = root.querySelector('option[value="value"]');
    if (option) setText(option, say("time.color-value"));
    listen(model, "change:part", onPart, signal);
    for (const chart of charts) chart.attach();
    syncPlay();
  }

  return {
    bar,
    node,
    cards: [numbers, ...(warnings.length ? [found] : [])],
    attach,
    sync,
    hooks: () => ({ time: steps[t] }),
    /** A recording has no single values, so there is nothing to ask for. */
    ask: () => true,
    step: (by) => move(t + by),
    measured(shown) {
      absent = !fitBatch(time, t, shown, act.state().index);
    },
    line(line, { method, evaluating }) {
      const { index, G: groups } = act.state();
      const step = steps[t];
      if (absent) return say("time.absent", { step, name: methodName(method, groups), cell: cellName(index) });
      if (!time.running || !time.gap || evaluating) return statusAtStep(step, line, null);
      const { set: s, c } = placeInTables(data, act.state(), toCube(index, data.shape));
      const [mean, spread] = [time.running.mean, time.running.var].map((table) => entry(time, table, t, c));
      return statusAtStep(step, line, { mean, var: spread, gap: entry(time, time.gap, t, s) });
    },
    tip: (mean) => say("time.tip", { value: decimal(mean, 3) }),
    draw() {
      // Below each other, the charts have one scale of steps.
      const left = Math.max(...charts.map((chart) => chart.plan(place)));
      for (const chart of charts) chart.draw(t, left);
    },
    /** Show what a link asks for; a step that is not there is none. */
    follow() {
      const { t: text } = model.get("link").part;
      const to = text === undefined ? first : /^\d+$/.test(text) ? rowOf(Number(text)) : -1;
      pause();
      if (to >= 0 && to !== t) show(to);
      if (to >= 0) model.set("part", text === undefined ? null : told(steps[t]));
      act.follow(to < 0 ? [`t=${text}`] : []);
    }
  };
}
createTimePart.keys = ["t"];
createTimePart.traits = ["index", "color", "mode", "presenter"];

const MARGIN = { right: 14, top: 16 };

/** One chart: a statistic of the picked set over the steps. */
function createTimeChart(key, { step: goTo, time }, isFirst, signal, act) {
  const { steps, warnings } = time;
  const path = (name) => svg("path", { class: name });
  const [band, gap, running, line, cursor] = ["band", "gap", "running", "line", "cursor"].map((n) =>
    path(`nv-time-${n}`)
  );
  const axis = svg("g", { class: "nv-axis" });
  const begins = path("nv-time-begins");
  const dots = ["running", "line"].map((name) => svg("circle", { class: `nv-time-dot ${name}`, r: 4 }));
  const picture = svg("svg", { role: "img" }, axis, begins, band, gap, line, running, cursor, ...dots);
  const tip = h("div.nv-tip", { "aria-hidden": "true", hidden: true });
  const marks = isFirst ? warningMarks(warnings, steps) : [];
  const plot = h("div.nv-time-plot", picture, ...marks.map((mark) => mark.node), tip);
  const name = h("b");
  const ofSet = h("span.nv-time-of-set");
  const ofRunning = h("span.nv-time-of-running");
  const node = h("div.nv-time-chart", h("p.nv-time-head", name, ofSet, ofRunning), plot);
  const c = { key, node, size: null, planned: null, scene: null, drawnFor: "" };

  c.tell = (title, value, runningValue) => {
    setText(name, title[0].toUpperCase() + title.slice(1));
    put(ofSet, say("time.of-set", { value: number(value) }));
    put(ofRunning, runningValue === null ? "" : say("time.of-running", { value: number(runningValue) }));
  };

  for (const mark of marks) {
    mark.node.addEventListener("click", () => goTo(mark.step));
    const tell = (on) => () => {
      tip.hidden = !on;
      setText(tip, mark.text);
      const left = parseFloat(mark.node.style.left);
      tip.style.cssText = left < c.size.width / 2 ? `left:${left}px` : `right:${c.size.width - left}px`;
    };
    for (const [type, on] of Object.entries({ pointerenter: true, focus: true, pointerleave: false, blur: false }))
      mark.node.addEventListener(type, tell(on));
  }
  // ---- click or drag moves time ----
  let dragging = false;
  const follow = (event) => {
    const box = plot.getBoundingClientRect();
    goTo(c.stepAt(event.clientX - box.left));
  };
  plot.addEventListener("pointerdown", (event) => {
    if (event.button || event.target.closest("button") || !c.stepAt) return;
    event.preventDefault();
    plot.setPointerCapture(event.pointerId);
    dragging = true;
    follow(event);
  });
  plot.addEventListener("pointermove", (event) => dragging && follow(event));
  for (const type of ["pointerup", "pointercancel"]) plot.addEventListener(type, () => (dragging = false));

  c.attach = () => {
    const sizes = new ResizeObserver(() => {
      const { clientWidth: width, clientHeight: height } = plot;
      if (!width || !height || (c.size?.width === width && c.size.height === height)) return;
      c.size = { width, height };
      act.redraw();
    });
    sizes.observe(plot);
    signal.addEventListener("abort", () => sizes.disconnect());
  };

  /** Determine the scale of the values; give the room that its texts need. */
  c.plan = ({ set: s, c: channel }) => {
    if (!c.size) return 0;
    // For a presenter the letters are larger.
    const letter = Number.parseFloat(getComputedStyle(plot).fontSize);
    const key = `${s}/${channel}/${c.size.height}/${letter}`;
    if (c.planned?.key !== key) {
      const own = column(time, time[c.key], s);
      const trail = time.running && column(time, time.running[c.key], channel);
      const quarters = time.quartiles && [1, 3].map((q) => column(time, time.quartiles[c.key], q));
      const scale = scaleOf([own, ...(trail ? [trail] : []), ...(quarters ?? [])], c.key === "var");
      const values = scaleTicks(scale, ticks, c.size.height / (3.4 * letter));
      const texts = tickTexts(values);
      const left = Math.ceil(Math.max(0, ...texts.map((text) => text.length)) * letter * 0.56 + 12);
      c.planned = { key, letter, own, trail, quarters, scale, values, texts, left };
    }
    return c.planned.left;
  };

  c.draw = (t, left) => {
    if (!c.size) return;
    const now = `${c.planned.key}/${c.size.width}/${left}`;
    if (now !== c.drawnFor) {
      c.drawnFor = now;
      c.scene = lay(c.planned, left, c.size);
    }
    const { x, y, top, bottom, own, trail } = c.scene;
    d(cursor, `M${x(t).toFixed(1)} ${top - 6}V${bottom}`);
    [trail, own].forEach((values, k) => {
      const v = values?.[t];
      const seen = Number.isFinite(v);
      dots[k].style.display = seen ? "" : "none";
      if (!seen) return;
      set(dots[k], "cx", x(t).toFixed(1));
      set(dots[k], "cy", y(v).toFixed(1));
    });
  };

  /** Draw what does not depend on the step; give the places of its points. */
  function lay({ letter, own, trail, quarters, scale, values, texts }, left, { width, height }) {
    const [top, bottom] = [MARGIN.top, height - letter - 9];
    const span = steps[steps.length - 1] - steps[0];
    const wide = width - left - MARGIN.right;
    const atStep = (step) => left + (span ? ((step - steps[0]) / span) * wide : wide / 2);
    const x = (t) => atStep(steps[t]);
    const y = (v) => bottom - scale.share(v) * (bottom - top);
    c.stepAt = (at) => steps[0] + clamp((at - left) / wide, 0, 1) * span;
    set(picture, "viewBox", `0 0 ${width} ${height}`);
    d(band, quarters ? areaPath(quarters[1], quarters[0], x, y) : "");
    d(gap, trail ? areaPath(own, trail, x, y) : "");
    d(running, trail ? linePath(trail, x, y) : "");
    d(line, linePath(own, x, y));
    d(
      begins,
      [...new Set(warnings.map(([at]) => at))].map((at) => `M${x(at).toFixed(1)} ${top - 6}V${bottom}`).join("")
    );
    for (const mark of marks) mark.node.style.left = `${x(mark.at).toFixed(1)}px`;
    const across = ticks([steps[0], steps[steps.length - 1]], Math.max(2, Math.floor(wide / (7 * letter)))).filter(
      Number.isInteger
    );
    axis.replaceChildren(
      ...values.map((v) => svg("path", { d: `M${left} ${y(v).toFixed(1)}H${width - MARGIN.right}` })),
      ...values.map((v, k) =>
        svg("text", { x: left - 6, y: (y(v) + letter * 0.36).toFixed(1), "text-anchor": "end" }, texts[k])
      ),
      ...across.map((v) => svg("text", { x: atStep(v).toFixed(1), y: height - 4, "text-anchor": "middle" }, String(v)))
    );
    const finite = stretches(own).flatMap(([from, to]) => own.slice(from, to + 1));
    const ends = { first: steps[0], last: steps[steps.length - 1], title: name.textContent };
    const range = { least: decimal(Math.min(...finite), 3), most: decimal(Math.max(...finite), 3) };
    set(picture, "aria-label", say(finite.length ? "time.chart" : "time.chart-empty", { ...ends, ...range }));
    return { x, y, top, bottom, own, trail };
  }
  return c;
}

/** A mark for each step at which warnings begin. */
function warningMarks(warnings, steps) {
  const marks = new Map();
  for (const [at, , message] of warnings) marks.set(at, [...(marks.get(at) ?? []), message]);
  return [...marks].map(([at, messages]) => {
    const step = steps[at];
    const text = say("time.mark", { step, messages: messages.join("; ") });
    return { at, step, text, node: button({ class: "nv-time-mark", "aria-label": text }) };
  });
}
