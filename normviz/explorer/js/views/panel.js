// The panel under the cube: the set in words, symbols and numbers; the calculation; the values; the code.

import { KEYS, button, h, put, setText } from "../core/dom.js";
import { number, span, whole } from "../core/numbers.js";
import { axisNames, ofWeights, setValues, spreadName } from "../core/readout.js";
import { createChart, drawChart } from "./charts.js";

export const STEPS = ["Pick", "Gather", "Mean", "Variance", "Normalize", "Scale and shift"];
const FRAMEWORKS = ["PyTorch", "NumPy", "JAX/Flax", "Keras"];
const HAT = "x\u0302";

export function createPanel(act) {
  const facts = Object.fromEntries(
    ["size", "sets", "shape", "couples"].map((name) => [name, h("dd", { "data-fact": name })])
  );
  const p = {
    act,
    facts,
    symbol: h("p", { class: "nv-symbol" }),
    where: h("p", { class: "nv-where" }),
    words: h("p", { class: "nv-words" }),
    caution: h("p", { class: "nv-caution" }),
    rows: STEPS.map((name, k) => {
      const body = h("span", { class: "nv-result" });
      const work = h("span", { class: "nv-formula" });
      const label = h("span", {}, name);
      const head = button(
        { class: "nv-step-name", onclick: () => act.set({ step: k }) },
        h("span", { class: "nv-step-number", "aria-hidden": "true" }, String(k)),
        label
      );
      return { head, label, body, work, node: h("li", { class: "nv-step", "data-step": k }, head, body, work) };
    }),
    previous: button({ class: "nv-small", onclick: () => act.step(-1) }, "Previous"),
    next: button({ class: "nv-small", onclick: () => act.step(1) }, "Next"),
    play: button({ class: "nv-small", onclick: () => act.playSteps() }, "Play"),
    chart: createChart(),
    code: h("pre", { class: "nv-code", tabindex: "0", role: "region", "aria-label": "Code", ...KEYS }),
    framework: FRAMEWORKS[0],
    tab: "values",
    copy: button({ class: "nv-small", onclick: () => copyCode(p) }, "Copy"),
    fixed: h("p", { class: "nv-note" })
  };
  p.tabs = {
    values: button({ class: "nv-tab", "aria-pressed": "true", onclick: () => showTab(p, "values") }, "Values"),
    code: button({ class: "nv-tab", "aria-pressed": "false", onclick: () => showTab(p, "code") }, "Code")
  };
  p.frameworks = Object.fromEntries(
    FRAMEWORKS.map((name) => [
      name,
      button(
        {
          class: "nv-tab nv-framework",
          "aria-pressed": String(name === p.framework),
          onclick: () => {
            p.framework = name;
            drawCode(p);
          }
        },
        name
      )
    ])
  );
  p.valuesBox = h("div", { class: "nv-values" }, p.chart.node, p.fixed);
  p.codeBox = h(
    "div",
    { class: "nv-code-box", hidden: true },
    h(
      "div",
      { class: "nv-row", role: "group", "aria-label": "Framework" },
      ...Object.values(p.frameworks),
      h("span", { class: "nv-spring" }),
      p.copy
    ),
    p.code
  );
  const list = h("dl", { class: "nv-facts" });
  for (const [name, label] of [
    ["size", "cells in the set"],
    ["sets", "sets in all"],
    ["shape", "statistics\u2019 shape"],
    ["couples", "couples samples"]
  ])
    list.append(h("div", {}, h("dt", {}, label), facts[name]));
  p.node = h(
    "div",
    { class: "nv-panel" },
    h("section", { class: "nv-card", "aria-label": "The pooling set" }, p.symbol, p.where, list, p.words, p.caution),
    h(
      "section",
      { class: "nv-card nv-second", "aria-label": "Step by step" },
      h(
        "div",
        { class: "nv-row" },
        h("strong", {}, "Steps"),
        h("span", { class: "nv-spring" }),
        p.previous,
        p.next,
        p.play
      ),
      h("ol", { class: "nv-steps" }, ...p.rows.map((row) => row.node))
    ),
    h(
      "section",
      { class: "nv-card nv-third", "aria-label": "Values and code" },
      h("div", { class: "nv-row", role: "group", "aria-label": "Show" }, ...Object.values(p.tabs)),
      p.valuesBox,
      p.codeBox
    )
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

async function copyCode(p) {
  let done = false;
  try {
    await navigator.clipboard.writeText(p.code.textContent);
    done = true;
  } catch {
    // A sandboxed frame has no clipboard, but may copy what is selected.
    getSelection().selectAllChildren(p.code);
    try {
      done = document.execCommand("copy");
    } catch {
      /* the button then asks for Ctrl+C */
    }
  }
  p.copy.textContent = done ? "Copied" : "Press Ctrl+C";
  p.act.later(() => {
    p.copy.textContent = "Copy";
  }, 1600);
}

function drawCode(p) {
  const { state, shown } = p.drawn;
  for (const [name, tab] of Object.entries(p.frameworks))
    tab.setAttribute("aria-pressed", String(name === p.framework));
  const source = shown.given
    ? "# These sets are given by labels; no normalizer is known that pools them."
    : (shown.evaluating ? shown.method.eval : shown.method.code)[p.framework];
  setText(p.code, source.replaceAll("{G}", state.G));
}

/** Update steps and buttons at once, before anything is drawn. */
export function syncPanel(p, state, shown) {
  const spread = spreadName(shown.method);
  setText(p.rows[3].label, spread[0].toUpperCase() + spread.slice(1));
  p.rows.forEach(({ node, head }, k) => {
    node.classList.toggle("nv-current", k === state.step);
    node.classList.toggle("nv-ahead", k > state.step);
    if (k === state.step) head.setAttribute("aria-current", "step");
    else head.removeAttribute("aria-current");
  });
  p.previous.setAttribute("aria-disabled", String(state.step === 0));
  p.next.setAttribute("aria-disabled", String(state.step === STEPS.length - 1));
}

export function drawPanel(p, data, state, shown) {
  p.drawn = { state, shown };
  drawSet(p, data, state, shown);
  stepTexts(data, state, shown).forEach(([result, work], k) => {
    put(p.rows[k].body, result);
    put(p.rows[k].work, k === state.step ? work : "");
  });
  if (p.tab === "code") drawCode(p);
  else {
    drawChart(p.chart, data, shown);
    const coarse = data.values ? "" : "Means of drawn cells, which vary less than the cells themselves. ";
    setText(
      p.fixed,
      `${coarse}The values of the ${shown.evaluating ? "channel" : "set"} on one fixed scale; ` +
        "what lies beyond it is in the end bars. Heights are square roots of shares. Line: mean. Triangle: cell i."
    );
  }
}

/** Does the output for one sample depend on other samples? */
function couples(data, shown) {
  const { given, method, evaluating, block } = shown;
  const yes = "<b>yes</b>";
  if (given) return new Set(membersOf(data, shown.label)).size > 1 ? yes : "<b>no</b>";
  if (evaluating) return "<b>no</b>: nothing is pooled";
  if (ofWeights(method)) return "<b>no</b> data are pooled";
  if (method.n === "one") return "<b>no</b>";
  if (method.n === "all") return data.shape[0] === 1 ? `${yes}, but N = 1` : yes;
  return block[0] === 1 ? `${yes}, but a slice has 1` : `${yes}, the ${block[0]} of a slice`;
}

function drawSet(p, data, state, shown) {
  const axes = axisNames(data.shape, shown.method);
  const i = state.index.join(", ");
  if (shown.given) {
    put(p.symbol, `<i>S</i><sub>i</sub> = set ${shown.label}`);
    put(p.where, `the set that holds <i>i</i> = (${i})`);
  } else if (shown.evaluating) {
    put(p.symbol, "eval mode: <i>S</i><sub>i</sub> is empty");
    put(
      p.where,
      `channel <i>c</i> = ${shown.cell[1]} uses the running mean and variance gathered in training, ` +
        "whatever else is in this batch."
    );
  } else {
    put(p.symbol, `<i>S</i><sub>i</sub> = { <i>j</i> : ${shown.method.symbol} }`);
    const part = (r, a) =>
      r[1] - r[0] === data.shape[a] && data.shape[a] > 1 ? `all <i>${axes[a]}</i>` : `<i>${axes[a]}</i> = ${span(r)}`;
    put(p.where, `for <i>i</i> = (${i}): ${shown.ownSet.map(part).join(", ")}`);
  }
  const product = shown.block && shown.block.filter((b) => b > 1).length > 1 ? `${shown.block.join(" · ")} = ` : "";
  put(p.facts.size, shown.evaluating ? "none" : `${product}<b>${whole(shown.size)}</b>`);
  put(p.facts.sets, `<b>${whole(shown.sets)}</b>`);
  const comma = shown.statisticsShape?.length === 1 ? "," : "";
  put(
    p.facts.shape,
    shown.given
      ? "one for each set"
      : `${shown.method.statistics} = <b>(${shown.statisticsShape.join(", ")}${comma})</b>`
  );
  put(p.facts.couples, couples(data, shown));
  put(p.words, shown.given ? "Sets as given by labels." : shown.method.words);
  put(p.caution, shown.given ? "" : shown.method.caution);
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
  const owner = data.elementwise ? "this element" : data.per_output ? `filter ${shown.cell[0]}` : `channel ${c}`;
  if (shown.affine) return `, weight and bias of ${owner}`;
  if (!data.weight && !data.bias) return ": no weight, no bias";
  return data.elementwise
    ? "; a weight for each element belongs to Layer Norm"
    : data.per_output
      ? "; a weight for each filter belongs to weights"
      : "; a weight for each channel belongs to activations";
}

/**
 * The six steps with the actual numbers: the result, and the calculation.
 * @returns {[string, string][]}
 */
function stepTexts(data, state, shown) {
  const { x, mean, var: variance, normalized, y, gamma, beta, evaluating } = shown;
  const centered = shown.given || shown.method.centered;
  const norm = shown.method?.statistic === "squared norm";
  const axes = axisNames(data.shape, shown.method);
  const absent = shown.about !== undefined;
  const i = state.index.join(", ");
  const { digits } = shown;
  const wrap = (v, places) => (v < 0 ? `(${number(v, places)})` : number(v, places));
  const short = (v) => wrap(v, digits - 2);
  const N = (v) => number(v, digits);
  const N5 = (v) => number(v, 5);
  const pick = absent
    ? [
        "<i>x</i><sub>i</sub>: needs a kernel",
        `the cells drawn as one with (${i}) have the mean ` +
          `${N5(shown.about)}; a tensor this large brings no single values along`
      ]
    : [`<i>x</i><sub>i</sub> = <b>${N(x)}</b>`, `the value at <i>i</i> = (${i})`];
  const gathered = [
    evaluating ? "nothing" : `<b>${whole(shown.size)}</b> ${shown.size === 1 ? "cell" : "cells"}`,
    evaluating
      ? "eval mode takes the running statistics: no cell is gathered"
      : shown.given
        ? `all cells of set ${shown.label}`
        : `<i>S</i><sub>i</sub>: ${shown.ownSet.map((r, a) => `<i>${axes[a]}</i> ${span(r)}`).join(", ")}`
  ];
  if (shown.pending)
    return [
      pick,
      gathered,
      ...Array(4).fill(["?", "This page does not carry these numbers: they need a running kernel."])
    ];
  const values = evaluating || !data.values ? [] : setValues(data, shown);
  const terms = (f) =>
    values.length > 2 ? `${f(values[0])} + … + ${f(values[values.length - 1])}` : values.map(f).join(" + ");
  const sum = (f) => (!values.length ? "" : norm ? terms(f) : `(${terms(f)}) / ${whole(shown.size)}`);
  const c = shown.cell[1];
  const square = (v) => (centered && mean !== 0 ? `(${number(v, digits - 2)} − ${short(mean)})²` : `${short(v)}²`);
  const spread = centered ? "<i>σ</i>²" : norm ? "‖<i>x</i>‖²" : "mean of <i>x</i>²";
  const unknown = ["?", "This page does not carry x<sub>i</sub>: it needs a running kernel."];
  return [
    pick,
    gathered,
    [
      centered ? `<i>μ</i> = <b>${N(mean)}</b>` : "none is taken: <b>0</b>",
      evaluating
        ? `running mean of channel ${c}`
        : centered
          ? sum(short) || "merged from the moments of each channel"
          : "no mean is subtracted: the values are only scaled, as if <i>μ</i> were 0"
    ],
    [
      `${spread} = <b>${N5(variance)}</b>`,
      evaluating ? `running variance of channel ${c}` : sum(square) || "merged from the moments of each channel"
    ],
    absent
      ? unknown
      : [
          `<i>${HAT}</i> = <b>${N5(normalized)}</b>`,
          `(${N(x)} − ${wrap(mean, digits)}) / √(${N5(variance)} + ${N5(data.eps)})`
        ],
    absent
      ? unknown
      : [
          `<i>y</i> = <b>${N5(y)}</b>`,
          `${N5(gamma)} · ${wrap(normalized, 5)} + ${wrap(beta, 5)}${affineText(data, shown, c)}`
        ]
  ];
}
