// A tour of about a minute: captions with their states. It plays or steps, and restores the state at the end.

import { h, setText, smallButton } from "../core/dom.js";
import { clamp } from "../core/geometry.js";
import { say } from "../core/sentences.js";

const SECONDS = 6.5;

function tourStops(data) {
  const { shape } = data;
  const [, C] = shape;
  const middle = data.divisors.filter((g) => g > 1 && g < C && g <= 4).pop() ?? 1;
  const c = Math.min(C - 1, Math.floor(C / 2));
  const index = [0, c, ...shape.slice(2).map(() => 0)];
  const base = { view: "samples", color: "set", index, slice: false, mode: "train", quiet: false };
  const stops = [
    [say("tour.tensor"), { method: "instance", step: 0, quiet: true }],
    [say("tour.instance"), { method: "instance", step: 1 }],
    [say("tour.layer"), { method: "layer", step: 1 }],
    [say("tour.group", { groups: middle, channels: C / middle }), { method: "group", num_groups: middle, step: 1 }],
    [say("tour.one-group"), { method: "group", num_groups: 1, step: 1 }],
    [say("tour.most-groups"), { method: "group", num_groups: C, step: 1 }],
    [say("tour.batch"), { method: "batch", step: 2 }],
    [say("tour.normalize"), { method: "batch", step: 4 }],
    [say("tour.partition"), { method: "group", num_groups: middle, color: "partition", step: 5 }],
    [say("tour.paper"), { method: "group", num_groups: middle, view: "paper", step: 5 }]
  ];
  return stops.map(([caption, patch]) => ({ caption, patch: { ...base, ...patch } }));
}

/** @param {any} data @param {Record<string, Function>} act */
export function createTour(data, act) {
  let stops = [];
  const caption = h("p.nv-caption", { "aria-live": "polite" });
  const count = h("span.nv-count");
  const t = { at: -1, node: null };
  const show = (at) => {
    t.at = clamp(at, 0, stops.length - 1);
    act.set(stops[t.at].patch, { by: "tour" });
    setText(next, say(t.at === stops.length - 1 ? "tour.done" : "tour.next"));
    setText(caption, stops[t.at].caption);
    setText(count, say("tour.count", { number: t.at + 1, total: stops.length }));
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
  const next = smallButton(say("tour.next"), () => step(1));
  const pause = smallButton(say("common.pause"), () => playing(!act.playing("tour")));
  const previous = smallButton(say("tour.previous"), () => step(-1));
  const end = smallButton(say("tour.end"), () => t.end());
  t.node = h(
    "div.nv-tour",
    { role: "region", "aria-label": say("tour.name"), hidden: true },
    caption,
    h("div.nv-row", count, h("span.nv-spring"), previous, pause, next, end)
  );
  t.node.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    event.stopPropagation();
    t.end();
  });
  t.sync = () => setText(pause, say(act.playing("tour") ? "common.pause" : "common.play"));
  t.start = () => {
    if (t.at >= 0) return t.end();
    const { method, G, index, step: at, view, color, mode, slice } = act.state();
    stops = tourStops(data);
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
    act.focus("tour");
  };
  return t;
}
