// A tour of about a minute: captions with their states. It plays or steps, and restores the state at the end.

import { button, h, setText } from "../core/dom.js";
import { clamp } from "../core/geometry.js";

const SECONDS = 6.5;

function tourStops(data) {
  const { shape } = data;
  const [N, C] = shape;
  const middle = data.divisors.filter((g) => g > 1 && g < C && g <= 4).pop() ?? 1;
  const c = Math.min(C - 1, Math.floor(C / 2));
  const index = [0, c, ...shape.slice(2).map(() => 0)];
  const base = { view: "samples", color: "set", index, slice: false, mode: "train", quiet: false };
  const stops = [
    [
      "This is one activation tensor: N samples side by side, each C channels deep, H high and W wide. " +
        "One cell, in orange, is waiting to be normalized.",
      { method: "instance", step: 0, quiet: true }
    ],
    [
      "It needs a mean and a variance. Instance Norm takes them from the blue cells: one channel of one sample.",
      { method: "instance", step: 1 }
    ],
    ["Layer Norm takes all channels of the sample instead.", { method: "layer", step: 1 }],
    [
      `Group Norm stands between them: here ${middle} group${middle === 1 ? "" : "s"} of ${C / middle} ` +
        "neighbouring channels.",
      { method: "group", num_groups: middle, step: 1 }
    ],
    ["One group alone is Layer Norm's set again ...", { method: "group", num_groups: 1, step: 1 }],
    ["... and as many groups as channels is Instance Norm's.", { method: "group", num_groups: C, step: 1 }],
    [
      "Batch Norm takes one channel of every sample: what happens to one sample now depends on the " +
        `${N > 1 ? `other ${N - 1}` : "others in its batch"}.`,
      { method: "batch", step: 2 }
    ],
    [
      "Subtract the mean, divide by the root of the variance: now the cell is measured against its set.",
      { method: "batch", step: 4 }
    ],
    [
      "Every cell of the tensor belongs to exactly one set. Here each has its own color.",
      { method: "group", num_groups: middle, color: "partition", step: 5 }
    ],
    [
      "And this is the classical figure. Click any cell, choose a method, move G: the numbers follow.",
      { method: "group", num_groups: middle, view: "paper", step: 5 }
    ]
  ];
  return stops.map(([caption, patch]) => ({ caption, patch: { ...base, ...patch } }));
}

/** @param {{set: Function, every: Function, state: Function}} act */
export function createTour(data, act) {
  const stops = tourStops(data);
  const caption = h("p", { class: "nv-caption", "aria-live": "polite" });
  const count = h("span", { class: "nv-count" });
  const t = { at: -1, node: null };
  const show = (at) => {
    t.at = clamp(at, 0, stops.length - 1);
    act.set(stops[t.at].patch, { by: "tour" });
    setText(next, t.at === stops.length - 1 ? "Done" : "Next stop");
    setText(caption, stops[t.at].caption);
    setText(count, `${t.at + 1} of ${stops.length}`);
  };
  const playing = (on) => {
    if (on) act.play("tour", SECONDS * 1000, () => (t.at < stops.length - 1 ? show(t.at + 1) : playing(false)));
    else act.stop("tour");
  };
  const step = (by) => {
    playing(false);
    if (t.at + by === stops.length) return t.end();
    show(t.at + by);
  };
  const next = button({ class: "nv-small", onclick: () => step(1) }, "Next stop");
  const pause = button({ class: "nv-small", onclick: () => playing(!act.playing("tour")) }, "Pause");
  t.node = h(
    "div",
    { class: "nv-tour", role: "region", "aria-label": "Tour", hidden: true },
    caption,
    h(
      "div",
      { class: "nv-row" },
      count,
      h("span", { class: "nv-spring" }),
      button({ class: "nv-small", onclick: () => step(-1) }, "Previous stop"),
      pause,
      next,
      button({ class: "nv-small", onclick: () => t.end() }, "End tour")
    )
  );
  t.node.addEventListener("keydown", (event) => {
    if (event.key === "Escape") {
      event.stopPropagation();
      t.end();
    }
  });
  t.sync = () => setText(pause, act.playing("tour") ? "Pause" : "Play");
  t.start = () => {
    if (t.at >= 0) return t.end();
    const { method, G, index, step: at, view, color, mode, slice } = act.state();
    t.before = { method, num_groups: G, index, step: at, view, color, mode, slice };
    t.touched = false;
    t.node.hidden = false;
    show(0);
    playing(true);
    pause.focus({ preventScroll: true });
  };
  t.end = () => {
    if (t.at < 0) return;
    playing(false);
    t.at = -1;
    t.node.hidden = true;
    // Choices made during the tour are kept.
    act.set(t.touched ? { quiet: false } : { ...t.before, quiet: false }, { by: "tour" });
    act.focusTour();
  };
  return t;
}
