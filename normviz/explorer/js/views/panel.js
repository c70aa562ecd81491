// The panel under the cube: the set in words, symbols and numbers; the calculation; the values; the code.

import { FRAMEWORKS, codeOf } from "../core/code.js";
import { button, copied, h, hide, put, scrolling, set, setText, smallButton } from "../core/dom.js";
import { gradientOf } from "../core/gradient.js";
import { number, span, tuple, whole } from "../core/numbers.js";
import { axisNames, lengthNames, methodTexts, ofWeights, setValues, spreadName } from "../core/readout.js";
import { fillText, say } from "../core/sentences.js";
import { createChart, drawChart } from "./charts.js";
import sentences from "../../sentences.json" with { type: "json" };

export const STEPS = ["pick", "gather", "mean", "variance", "normalize", "scale"];
const stepName = (step) => say(`steps.name-${STEPS[step]}`);
const FACTS = ["size", "sets", "shape", "channels", "couples"];
const HAT = "x\u0302";

/** @param {HTMLElement[]} [cards]  what stands beside the set instead of its values, where there are none */
export function createPanel(act, cards) {
  const facts = Object.fromEntries(FACTS.map((name) => [name, h("dd", { "data-fact": name })]));
  const p = {
    act,
    facts,
    symbol: h("p.nv-symbol"),
    where: h("p.nv-where"),
    words: h("p.nv-words"),
    caution: h("p.nv-caution"),
    now: Object.fromEntries(["name", "result", "work"].map((part) => [part, h("span", { class: `nv-now-${part}` })])),
    rows: STEPS.map((_, k) => {
      const body = h("span.nv-result");
      const work = h("span.nv-formula");
      const label = h("span", stepName(k));
      const number = h("span.nv-step-number", { "aria-hidden": "true" }, String(k));
      const head = button({ class: "nv-step-name", onclick: () => act.set({ step: k }) }, number, label);
      return { head, label, body, work, node: h("li.nv-step", { "data-step": k }, head, body, work) };
    }),
    previous: smallButton(say("panel.previous"), () => act.step(-1)),
    next: smallButton(say("panel.next"), () => act.step(1)),
    play: smallButton(say("common.play"), () => act.playSteps()),
    chart: createChart(),
    code: h("pre.nv-code", scrolling(say("panel.code"))),
    framework: FRAMEWORKS[0],
    tab: "values",
    copy: smallButton(say("common.copy"), () => copyText(p.code, p.copy, act.later)),
    fixed: h("p.nv-note")
  };
  const tab = (words, pressed, onclick, more = "") =>
    button({ class: `nv-tab ${more}`, "aria-pressed": String(pressed), onclick }, words);
  p.tabs = {
    values: tab(say("panel.values"), true, () => showTab(p, "values")),
    code: tab(say("panel.code"), false, () => showTab(p, "code"))
  };
  const choose = (name) => {
    p.framework = name;
    drawCode(p);
  };
  const ofFramework = (name) => tab(name, name === p.framework, () => choose(name), "nv-framework");
  p.frameworks = Object.fromEntries(FRAMEWORKS.map((name) => [name, ofFramework(name)]));
  p.valuesBox = h("div.nv-values", p.chart.node, p.fixed);
  const group = (label, buttons, ...rest) =>
    h("div.nv-row", { role: "group", "aria-label": label }, ...Object.values(buttons), ...rest);
  const choice = group(say("panel.framework"), p.frameworks, h("span.nv-spring"), p.copy);
  p.codeBox = h("div.nv-code-box", { hidden: true }, choice, p.code);
  const list = h("dl.nv-facts");
  for (const name of FACTS) list.append(h("div", h("dt", say(`panel.fact-${name}`)), facts[name]));
  const ofValues = () => [
    h(
      "section.nv-card.nv-second",
      { "aria-label": say("panel.step-by-step") },
      h("div.nv-row", h("strong", say("panel.steps")), h("span.nv-spring"), p.previous, p.next, p.play),
      h("p.nv-now", ...Object.values(p.now)),
      h("ol.nv-steps", ...p.rows.map((row) => row.node))
    ),
    h(
      "section.nv-card.nv-third",
      { "aria-label": say("panel.values-and-code") },
      group(say("panel.show"), p.tabs),
      p.valuesBox,
      p.codeBox
    )
  ];
  p.cards = cards;
  p.node = h(
    "div.nv-panel",
    h("section.nv-card", { "aria-label": say("panel.set") }, p.symbol, p.where, list, p.words, p.caution),
    ...(cards ?? ofValues())
  );
  return p;
}

export function showTab(p, name) {
  p.tab = name;
  for (const [key, tab] of Object.entries(p.tabs)) tab.setAttribute("aria-pressed", String(key === name));
  p.valuesBox.hidden = name !== "values";
  p.codeBox.hidden = name !== "code";
  p.node.classList.toggle("nv-coding", name === "code");
  p.act.redraw();
}

/** Copy the text of a node; the button says whether that was possible. */
export async function copyText(node, press, later) {
  setText(press, say((await copied(node.textContent, node)) ? "panel.copied" : "panel.copy-failed"));
  later(() => setText(press, say("common.copy")), 1600);
}

function drawCode(p) {
  const { data, state, shown } = p.drawn;
  for (const [name, tab] of Object.entries(p.frameworks))
    tab.setAttribute("aria-pressed", String(name === p.framework));
  const { method, evaluating } = shown;
  const { shape, eps, channel_axis: channelAxis } = data;
  const affine = affineShapes(data, method);
  const code = () => codeOf(method, { shape, G: state.G, eps, channelAxis, evaluating, affine })[p.framework];
  setText(p.code, shown.given ? say("panel.code-given") : code());
}

/** The shapes of weight and bias that a method takes: for activations, or for the filters of weights. */
function affineShapes(data, method) {
  const names = Boolean(data.per_output) === ofWeights(method) ? ["weight", "bias"].filter((name) => data[name]) : [];
  const shape = (name) => (data.elementwise.includes(name) ? data.shape.slice(1) : [data[name].length]);
  return Object.fromEntries(names.map((name) => [name, shape(name)]));
}

/** Update steps and buttons at once, before anything is drawn. */
export function syncPanel(p, state, shown) {
  const spread = spreadName(shown.method);
  setText(p.rows[3].label, spread[0].toUpperCase() + spread.slice(1));
  p.rows.forEach(({ node, head }, k) => {
    node.classList.toggle("nv-current", k === state.step);
    node.classList.toggle("nv-ahead", k > state.step);
    if (k === state.step) set(head, "aria-current", "step");
    else head.removeAttribute("aria-current");
  });
  set(p.previous, "aria-disabled", state.step === 0);
  set(p.next, "aria-disabled", state.step === STEPS.length - 1);
}

export function drawPanel(p, data, state, shown) {
  p.drawn = { data, state, shown };
  drawSet(p, data, state, shown);
  if (p.cards) return;
  stepTexts(data, state, shown).forEach(([result, work], k) => {
    const row = p.rows[k];
    put(row.body, result.replace(" = ", "\u00a0=\u00a0"));
    put(row.work, k === state.step ? work : "");
    // For a presenter the current step also stands by itself, in large type.
    if (k === state.step)
      for (const [part, text] of Object.entries({ name: `${k} ${row.label.textContent}`, result, work }))
        put(p.now[part], state.presenter ? text : "");
  });
  if (p.tab === "code") drawCode(p);
  else {
    const gradient = state.color === "gradient" ? gradientOf(data, shown, state.method) : null;
    drawChart(p.chart, data, shown, gradient);
    const scale = say(gradient ? "gradient.bars" : "panel.scale");
    setText(p.fixed, `${data.values ? "" : `${say("panel.scale-means")} `}${scale}`);
  }
}

/** Does the output for one sample depend on other samples? */
function couples(data, shown) {
  const { given, method, evaluating, block } = shown;
  if (given) return say(new Set(membersOf(data, shown.label)).size > 1 ? "sets.yes" : "sets.no");
  if (!evaluating && ofWeights(method)) return say("sets.couples-weights");
  if (evaluating || method.n === "one") return say("sets.no");
  if (method.n === "group") return say("sets.couples-slice", { count: block[0] });
  return say(data.shape[0] === 1 ? "sets.couples-alone" : "sets.yes");
}

function drawSet(p, data, state, shown) {
  const axes = axisNames(data.shape, shown.method);
  const index = state.index.join(", ");
  const { given, evaluating } = shown;
  const texts = given ? null : methodTexts(shown.method, data.shape);
  if (given) {
    put(p.symbol, say("panel.symbol-given", { label: shown.label }));
    put(p.where, say("panel.where-given", { index }));
  } else if (evaluating) {
    put(p.symbol, say("panel.symbol-eval"));
    put(p.where, "");
  } else {
    put(p.symbol, say("sets.symbol", { symbol: texts.symbol }));
    const part = (r, a) =>
      r[1] - r[0] === data.shape[a] && data.shape[a] > 1
        ? say("panel.where-all", { axis: axes[a] })
        : `<i>${axes[a]}</i> = ${span(r)}`;
    put(p.where, say("panel.where", { index, ranges: shown.ownSet.map(part).join(", ") }));
  }
  // In eval mode nothing is pooled, so the panel speaks of no set. Sets that are given are no blocks.
  for (const name of ["size", "sets"]) hide(p.facts[name].parentElement, evaluating);
  hide(p.facts.channels.parentElement, evaluating || Boolean(given));
  const product = shown.block && shown.block.filter((b) => b > 1).length > 1 ? `${shown.block.join(" · ")} = ` : "";
  put(p.facts.size, evaluating ? "" : `${product}<b>${whole(shown.size)}</b>`);
  put(p.facts.sets, evaluating ? "" : `<b>${whole(shown.sets)}</b>`);
  put(p.facts.shape, given ? say("panel.shape-given") : `${texts.statistics} = <b>${tuple(shown.statisticsShape)}</b>`);
  const channels = (row) => say(`panel.channels-${row.c}`, { count: shown.block[1], all: data.shape[1] });
  put(p.facts.channels, given || evaluating ? "" : channels(shown.method));
  put(p.facts.couples, couples(data, shown));
  const own = evaluating ? say("panel.where-eval", { channel: shown.cell[1] }) : texts?.words;
  put(p.words, given ? say("sets.given") : own);
  put(p.caution, given || evaluating ? "" : cautionOf(shown.method, data.shape));
}

/** What to be careful about with a method, if the catalog says something. */
function cautionOf({ name, ...row }, shape) {
  const lengths = lengthNames(shape, row);
  return fillText(sentences.cautions[name] ?? "", { axes: lengths.join(", "), sample: lengths.slice(1).join(", ") });
}

/** The sample of every member of a given set. */
function membersOf(data, label) {
  const each = data.labels.length / data.shape[0];
  const out = [];
  data.labels.forEach((l, at) => {
    if (l === label) out.push(Math.floor(at / each));
  });
  return out;
}

/** Which weight and bias were applied, or why none. */
function affineText(data, shown, c) {
  const owner = data.elementwise.length ? "element" : data.per_output ? "filter" : "channel";
  if (shown.affine) return say(`steps.affine-${owner}`, { index: owner === "filter" ? shown.cell[0] : c });
  return say(data.weight || data.bias ? `steps.refused-${owner}` : "steps.affine-none");
}

/**
 * The six steps with the actual numbers: the result, and the calculation.
 * @returns {string[][]}
 */
function stepTexts(data, state, shown) {
  const { x, mean, var: variance, normalized, y, gamma, beta, evaluating } = shown;
  const centered = shown.given || shown.method.centered;
  const norm = shown.method?.statistic === "squared norm";
  const axes = axisNames(data.shape, shown.method);
  const absent = shown.about !== undefined;
  const index = state.index.join(", ");
  const { digits } = shown;
  const wrap = (v, places) => (v < 0 ? `(${number(v, places)})` : number(v, places));
  const short = (v) => wrap(v, digits - 2);
  const N = (v) => number(v, digits);
  const N5 = (v) => number(v, 5);
  const pick = absent
    ? [say("steps.pick-absent"), say("steps.pick-about", { index, mean: N5(shown.about) })]
    : [`<i>x</i><sub>i</sub> = <b>${N(x)}</b>`, say("steps.pick", { index })];
  const gathered = evaluating
    ? [say("steps.gather-none"), say("steps.gather-eval")]
    : [
        say("steps.gather-size", { size: whole(shown.size) }),
        shown.given
          ? say("steps.gather-given", { label: shown.label })
          : `<i>S</i><sub>i</sub>: ${shown.ownSet.map((r, a) => `<i>${axes[a]}</i> ${span(r)}`).join(", ")}`
      ];
  if (shown.pending) return [pick, gathered, ...Array(4).fill(["?", say("steps.absent")])];
  const values = evaluating || !data.values ? [] : setValues(data, shown);
  const terms = (f) =>
    values.length > 2 ? `${f(values[0])} + … + ${f(values[values.length - 1])}` : values.map(f).join(" + ");
  const sum = (f) => (!values.length ? "" : norm ? terms(f) : `(${terms(f)}) / ${whole(shown.size)}`);
  const c = shown.cell[1];
  const square = (v) => (centered && mean !== 0 ? `(${number(v, digits - 2)} −\u00a0${short(mean)})²` : `${short(v)}²`);
  const spread = centered ? "<i>σ</i>²" : norm ? "‖<i>x</i>‖²" : say("steps.mean-square");
  const unknown = ["?", say("steps.absent-x")];
  return [
    pick,
    gathered,
    [
      centered ? `<i>μ</i> = <b>${N(mean)}</b>` : say("steps.no-mean"),
      evaluating
        ? say("steps.running-mean", { channel: c })
        : centered
          ? sum(short) || say("steps.merged")
          : say("steps.no-mean-work")
    ],
    [
      `${spread} = <b>${N5(variance)}</b>`,
      evaluating ? say("steps.running-variance", { channel: c }) : sum(square) || say("steps.merged")
    ],
    absent
      ? unknown
      : [
          `<i>${HAT}</i> = <b>${N5(normalized)}</b>`,
          `(${N(x)} −\u00a0${wrap(mean, digits)}) / √(${N5(variance)} + ${N5(data.eps)})`
        ],
    absent
      ? unknown
      : [
          `<i>y</i> = <b>${N5(y)}</b>`,
          `${N5(gamma)} · ${wrap(normalized, 5)} + ${wrap(beta, 5)}${affineText(data, shown, c)}`
        ]
  ];
}
