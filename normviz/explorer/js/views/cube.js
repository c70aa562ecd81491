// The cube: one SVG whose paths stay and whose `d` changes. A change of method, G or cell sets a few attributes; the
// grid and the outlines are drawn again only when the view turns or the size changes.

/** @import { Margin } from "../core/geometry.js" */
import constants from "../../constants.json" with { type: "json" };
import { d, redraw, set, svg } from "../core/dom.js";
import {
  blockOf,
  clamp,
  cutLength,
  faces,
  fitting,
  fromCube,
  gridLines,
  hasGroups,
  hiddenEdges,
  makeFrame,
  paperLengths,
  pick,
  polygon,
  project,
  sampleLengths,
  segments,
  toCube,
  visibleFaces,
  within
} from "../core/geometry.js";
import { gradientOf, rooted } from "../core/gradient.js";
import {
  axisNames,
  drawnNormalized,
  drawnValue,
  flatIndex,
  hasHoles,
  lengthNames,
  methodName,
  ofWeights
} from "../core/readout.js";

const FACES = ["top", "front", "side"];
export const MOST_SAMPLES = constants.limits.samples;
const PAPER_METHODS = constants.paper_methods;
/** What colours show if they stand for numbers. */
export const VALUES = ["value", "normalized", "gradient"];

// Boxes are ranges along some axes.
const firstOf = (box) => box.map(([from]) => from);
const lastOf = (box) => box.map(([, stop]) => stop - 1);
const oneCell = (cell) => cell.map((at) => [at, at + 1]);
const upTo = (ends) => ends.map((end) => [0, end]);

// ---- the views: which solids they have, and how solids map to cells -------------------------------------------------

/**
 * A view maps cells of the cube (n, c, h, w) to solids and back.
 * @returns {{name: string, solids: any[], cells: number[], lengths: number[], bins: number[], margin: Margin,
 *   box: Function, point: Function, cell: Function}}
 */
function viewOf(name, data, state) {
  const [N, C, H, W] = data.cube;
  const [, bc, bh, bw] = data.bins;
  if (name === "paper") {
    const known = PAPER_METHODS.includes(state.method) || !data.methods[state.method];
    const solids = known ? PAPER_METHODS : [...PAPER_METHODS, state.method];
    const HW = H * W;
    return {
      name,
      solids,
      cells: [C, N, HW],
      lengths: paperLengths(data.cube),
      bins: [bc, Math.ceil(N / constants.limits.paper_samples), Math.ceil(HW / constants.limits.paper_positions)],
      box: (set, _, method) => {
        const all = data.methods[method]?.spatial !== "one";
        const z = set[2][0] * W + set[3][0];
        return [set[1], set[0], all ? [0, HW] : [z, z + 1]];
      },
      point: ([n, c, h, w]) => oneCell([c, n, h * W + w]),
      cell: (_, [c, n, hw]) => [n, c, Math.floor(hw / W), hw % W],
      margin: constants.margins.paper
    };
  }
  const n = toCube(state.index, data.shape)[0];
  const first = Math.floor(n / MOST_SAMPLES) * MOST_SAMPLES;
  const solids = Array.from({ length: Math.min(MOST_SAMPLES, N - first) }, (_, k) => first + k);
  const { least, of_length, ...around } = constants.margins.samples;
  return {
    name: "samples",
    solids,
    cells: [W, C, H],
    lengths: sampleLengths(data.cube),
    bins: [bw, bc, bh],
    box: (set, k) => (solids[k] >= set[0][0] && solids[k] < set[0][1] ? [set[3], set[1], set[2]] : null),
    point: ([, c, h, w]) => oneCell([w, c, h]),
    cell: (k, [w, c, h]) => [solids[k], c, h, w],
    margin: { ...around, most: Math.max(least, of_length / Math.max(H, W)) }
  };
}

// ---- colours --------------------------------------------------------------------------------------------------------

const mix = (a, b, t) => a.map((v, i) => Math.round(v + (b[i] - v) * t));
const hex = (rgb) => `#${rgb.map((v) => v.toString(16).padStart(2, "0")).join("")}`;
const WHITE = constants.tones.white;
const toned = (rgb, face) => hex(mix(rgb, face === "top" ? WHITE : constants.tones.shadow, constants.tones[face] ?? 0));

// Distinguishable with any colour vision (after Okabe & Ito 2008); every set is numbered as well.
const HUES = constants.hues;

/** Hue by sample, shade by group; where sets span all samples, hue by channel. */
function partitionColor([n, c, h, w], grid) {
  const shades = constants.partition;
  const across = grid[0] === 1;
  const hue = HUES[(across ? c : n) % HUES.length];
  // Groups of channels within a position lie between the shades of the groups beside them.
  if (grid[2] * grid[3] > 1)
    return mix(hue, WHITE, shades.positions[(h * 2 + w + c * 3) % 5] + (c % 2) * shades.between);
  const at = across ? Math.floor(c / HUES.length) : c;
  const of = across ? Math.ceil(grid[1] / HUES.length) : grid[1];
  if (of === 1) return mix(hue, WHITE, shades.alone);
  const ramp = at / (of - 1);
  return mix(hue, WHITE, shades.groups * (of <= shades.plain_groups ? ramp : 0.5 * ramp + 0.5 * (at % 2)));
}

const LEVELS = constants.ramp.levels;
/** Colour of a level: teal below zero, plum above, grey where the value is not finite (-1). */
const levelColor = (level) => {
  const { low, middle, high, absent } = constants.ramp;
  if (level < 0) return absent;
  const t = (level / (LEVELS - 1)) * 2 - 1;
  return t < 0 ? mix(middle, low, -t) : mix(middle, high, t);
};
/**
 * The level of a value: diverging about zero where there are two signs, from light to dark where there is one.
 * @param {number} value @param {number[]} range
 */
function levelOf(value, [low, high]) {
  if (!Number.isFinite(value)) return -1;
  const bound = Math.max(Math.abs(low), Math.abs(high)) || 1;
  const t = low < 0 && high > 0 ? value / bound : (value - (low >= 0 ? low : high)) / (high - low || 1);
  return clamp(Math.round(((clamp(t, -1, 1) + 1) / 2) * (LEVELS - 1)), 0, LEVELS - 1);
}
/** The gradient of the legend, in steps of CSS colours. */
export const legendColors = ([low, high]) => {
  const from = low < 0 ? 0 : LEVELS >> 1;
  const to = high > 0 ? LEVELS - 1 : LEVELS >> 1;
  return Array.from({ length: to - from + 1 }, (_, i) => hex(levelColor(from + i)));
};

// ---- the drawing ----------------------------------------------------------------------------------------------------

/** Paths that lie over the faces and under the picked cell, the highest last. */
const UNDER_CELL = "grid,borders,marks,holes,crosses,set-edge,outline,away,ghost,guess-ghost".split(",");

export function createCube() {
  const path = (name) => svg("path", { class: name });
  const triple = (name) => Object.fromEntries(FACES.map((face) => [face, path(`${name} ${face}`)]));
  const kinds = ["guess", "right", "missed", "extra"];
  const answer = Object.fromEntries(kinds.map((kind) => [kind, path(`nv-answer ${kind}`)]));
  const rest = triple("nv-rest");
  const set = triple("nv-set");
  const cell = triple("nv-cell");
  const coloured = svg("g");
  const numbers = svg("g", { class: "nv-numbers" });
  const labels = svg("g", { class: "nv-labels" });
  const names = [...UNDER_CELL, "cell-ghost", "hover"].map((name) => `nv-${name}`);
  const one = Object.fromEntries(names.map((name) => [name, path(name)]));
  const ring = svg("circle", { class: "nv-ring", r: constants.limits.ring.radius });
  const node = svg(
    "svg",
    { class: "nv-svg", "aria-hidden": "true", focusable: "false" },
    ...Object.values(rest),
    coloured,
    ...Object.values(set),
    ...Object.values(answer),
    ...UNDER_CELL.map((name) => one[`nv-${name}`]),
    ...Object.values(cell),
    one["nv-cell-ghost"],
    ring,
    one["nv-hover"],
    numbers,
    labels
  );
  const parts = { node, rest, set, cell, answer, coloured, numbers, labels, one, ring };
  return { ...parts, key: "", colorKey: "", frame: null, view: null, hidden: false };
}

/** Where the samples are cut open: the slice opens all at the selected channel, so that they can be compared. */
export const cutOf = (view, state, cube) => (view.name === "samples" && state.slice ? cube[1] : 0);

/** The cell of x under the pointer, with its solid; or null. With `slice` the box is open at `index`. */
export function hitOf(c, event, size, { shape, slice, index }) {
  if (!c.frame) return null;
  const box = c.node.getBoundingClientRect();
  const scale = size.width / (box.width || 1);
  const [x, y] = [(event.clientX - box.left) * scale, (event.clientY - box.top) * scale];
  const hit = pick(c.frame, x, y, cutOf(c.view, { slice }, toCube(index, shape)));
  return hit && { ...hit, index: fromCube(c.view.cell(hit.solid, hit.cell), shape) };
}
/** How keys turn a cube: by these angles. */
export const TURNS = { "[": [-0.08, 0], "]": [0.08, 0], "-": [0, -0.08], "+": [0, 0.08], "=": [0, 0.08] };

/** Draw the state. `shown` is the result of measure(); size in pixels. */
export function drawCube(c, data, state, shown, size, angles) {
  const view = viewOf(state.view, data, state);
  const index = toCube(state.index, data.shape);
  const cut = cutOf(view, state, index);
  // A set glides to its next place only while the cubes stay in theirs.
  const place = JSON.stringify([view.name, view.solids, size, angles]);
  const letters = state.view === "paper" ? [state.method, state.G] : ofWeights(shown.method);
  const key = JSON.stringify([place, cut, letters]);
  const fresh = key !== c.key;
  c.node.classList.toggle("nv-moved", place !== c.place);
  c.place = place;
  if (fresh) {
    c.key = key;
    c.view = view;
    const cuts = JSON.stringify([view.name, view.solids, cut]);
    if (cuts !== c.cuts) Object.assign(c, { cuts, values: null }); // turning the cube changes no value
    c.frame = makeFrame(view.cells, view.lengths, view.solids.length, size, angles, view.margin);
    drawStill(c, view, data, state, cut, size);
  }
  const { frame } = c;
  drawColours(c, view, data, state, shown, cut, fresh);
  // The set: visible faces are filled, and a dashed box shows the part inside.
  const lit = { top: "", front: "", side: "" };
  const litCell = { top: "", front: "", side: "" };
  let ghost = "";
  let cellGhost = "";
  let hidden = true;
  view.solids.forEach((solid, k) => {
    const set = state.quiet ? null : view.name === "paper" ? shown.setBy(solid) : shown.set;
    for (const box of set ? boxesOf(view, set, k, solid, data, shown, cut) : []) {
      const seen = visibleFaces(frame, k, box, cut);
      for (const face of FACES) if (seen[face]) lit[face] += polygon(seen[face]);
      if (!shown.labels) ghost += segments(hiddenEdges(frame, k, box, cut));
    }
    if (view.name === "paper" || solid === index[0]) {
      const box = view.point(index);
      const seen = visibleFaces(frame, k, view.name === "paper" ? binned(box, view.bins, frame.cells) : box, cut);
      for (const face of FACES)
        if (seen[face]) {
          litCell[face] += polygon(seen[face]);
          hidden = false;
        }
      if (!Object.keys(seen).length) {
        // Its faces, and a line up to its place on the top, which tells how deep inside it lies.
        cellGhost += FACES.map((face) => polygon(faces(frame, k, box)[face])).join("");
        const [[x0, x1], [y0, y1], [z]] = box;
        const [x, y] = [(x0 + x1) / 2, (y0 + y1) / 2];
        cellGhost += segments([[project(frame, k, x, y, 0), project(frame, k, x, y, z)]]);
        cellGhost += polygon(faces(frame, k, [box[0], box[1], [0, 1]]).top);
      }
      if (view.name === "samples") {
        const flat = Object.values(Object.keys(seen).length ? seen : faces(frame, k, box)).flat();
        c.ring.setAttribute("cx", flat.reduce((s, p) => s + p[0], 0) / flat.length);
        c.ring.setAttribute("cy", flat.reduce((s, p) => s + p[1], 0) / flat.length);
      }
    }
  });
  c.hidden = hidden;
  const small = Math.min(frame.unit[0], frame.unit[2]) * frame.scale < constants.limits.ring.below;
  c.ring.style.display = view.name === "samples" && small ? "" : "none";
  for (const face of FACES) {
    d(c.set[face], lit[face]);
    d(c.cell[face], litCell[face]);
  }
  d(c.one["nv-set-edge"], FACES.map((face) => lit[face]).join(""));
  d(c.one["nv-ghost"], ghost);
  d(c.one["nv-cell-ghost"], cellGhost);
  drawAnswer(c, view, data, state.answer, cut);
  const kind = VALUES.includes(state.color) ? "value" : state.color;
  if (c.node.dataset.color !== kind) c.node.dataset.color = kind;
}

/** In the classical figure H and W are one short axis: a cell is shown as the bin it lies in. */
export const binned = (box, bins, cells) =>
  box.map(([a], i) => {
    const start = Math.floor(a / bins[i]) * bins[i];
    return [start, Math.min(start + bins[i], cells[i])];
  });

/** The boxes of a set in one solid; given sets, which are no blocks, have one for each drawn cell on a face. */
function boxesOf(view, set, k, method, data, shown, cut) {
  if (!shown.labels || view.name === "paper") {
    const box = view.box(set, k, method);
    return box ? [box] : [];
  }
  return surface(view, cut).filter((box) =>
    anyCell(...extremes(view, k, box), (cell) => data.labels[flatIndex(data, cell)] === shown.label)
  );
}

/** The first and the last cell of a box. @returns {[number[], number[]]} */
const extremes = (view, k, box) => [view.cell(k, firstOf(box)), view.cell(k, lastOf(box))];

/** Does any of the cells of one sample that a drawn cell stands for pass the test? */
function anyCell(first, last, test) {
  const [n] = first;
  for (let c = first[1]; c <= last[1]; c++)
    for (let h = first[2]; h <= last[2]; h++)
      for (let w = first[3]; w <= last[3]; w++) if (test([n, c, h, w])) return true;
  return false;
}

/** Boxes of one drawn cell that touch a visible face. */
function surface({ cells: [X, Y, Z], bins: [bx, by, bz] }, cut) {
  const boxes = [];
  const start = Math.floor(cut / by) * by;
  for (let y = start; y < Y; y += by)
    for (let z = 0; z < Z; z += bz)
      for (let x = 0; x < X; x += bx)
        if (y === start || z === 0 || x + bx >= X)
          boxes.push([
            [x, Math.min(x + bx, X)],
            [Math.max(y, cut), Math.min(y + by, Y)],
            [z, Math.min(z + bz, Z)]
          ]);
  return boxes;
}

/** The drawn cells on the visible faces, with paths until the view turns, and with values while x is the same. */
function quads(c, view, data, cut) {
  c.quads ??= view.solids.flatMap((solid, k) =>
    surface(view, cut).map((box) => {
      const seen = visibleFaces(c.frame, k, box, cut);
      const [cell, last] = extremes(view, k, box);
      const paths = FACES.flatMap((face, f) => (seen[face] ? [[f, polygon(seen[face])]] : []));
      const one = cell.every((start, a) => start === last[a]);
      return { solid, cell, last, one, paths, value: NaN };
    })
  );
  c.values ??= c.quads.map(({ cell, last }) => drawnValue(data, cell, last, view.name === "paper"));
  c.quads.forEach((quad, i) => {
    quad.value = c.values[i];
  });
  return c.quads;
}

function drawColours(c, view, data, state, shown, cut, fresh) {
  const by = state.color;
  const key = JSON.stringify([
    by,
    ...(by === "set" || by === "value" ? [] : [state.method, state.G, shown.evaluating]),
    ...(by === "gradient" ? [state.index, shown.x] : [])
  ]);
  if (fresh) c.quads = null;
  if (!fresh && key === c.colorKey) return;
  c.colorKey = key;
  const fills = new Map();
  const texts = [];
  const add = (fill, text) => fills.set(fill, (fills.get(fill) ?? "") + text);
  if (by === "partition")
    for (const [k, solid] of view.solids.entries()) partition(c, view, data, state, shown, solid, k, cut, add, texts);
  if (VALUES.includes(by)) {
    const found = [];
    const gradients = new Map();
    const paper = view.name === "paper";
    for (const quad of quads(c, view, data, cut)) {
      const method = paper ? quad.solid : state.method;
      let level;
      if (by === "value") level = levelOf(quad.value, data.colors);
      else if (by === "normalized")
        level = levelOf(drawnNormalized(data, shown, method, quad, paper), constants.normalized);
      else {
        // Outside the set nothing is painted: no gradient reaches it.
        if (!gradients.has(method)) gradients.set(method, gradientOf(data, shown, method));
        const { drawn, end } = gradients.get(method);
        const value = drawn(quad, paper);
        if (value === null) continue;
        level = levelOf(rooted(value, end), [-1, 1]);
      }
      // The least level is -1, for what is not finite.
      for (const path of quad.paths) (found[(level + 1) * 3 + path[0]] ??= []).push(path[1]);
    }
    found.forEach((list, at) => {
      add(toned(levelColor(Math.floor(at / 3) - 1), FACES[at % 3]), list.join(""));
    });
  }
  redraw(c.coloured, [...fills], ([fill, text], path) => {
    set(path, "fill", fill);
    d(path, text);
  });
  c.numbers.replaceChildren(...texts);
  const borders = by === "partition" && bordered(c.frame, view, data, state, shown);
  d(c.one["nv-borders"], borders ? [...fills.values()].join("") : "");
  d(c.one["nv-marks"], data.marks ? markedFaces(view, data, quads(c, view, data, cut)) : "");
  d(c.one["nv-holes"], hasHoles(data) ? struckOut(quads(c, view, data, cut)) : "");
}

/** Are sets thick enough for borders? Very thin ones would show nothing but borders. */
function bordered(frame, view, data, state, shown) {
  if (shown.labels || !data.methods[state.method]) return false;
  const [bn, bc, bh, bw] = blockOf(data.methods[state.method], data.cube, state.G);
  const [X, Y, Z] = view.name === "paper" ? [bc, bn, bh * bw] : [bw, bc, bh];
  return [X, Y, Z].every(
    (extent, a) => extent === view.cells[a] || extent * frame.unit[a] * frame.scale >= constants.limits.border
  );
}

function partition(c, view, data, state, shown, solid, k, cut, add, texts) {
  const paint = (color, box) => {
    const seen = visibleFaces(c.frame, k, box, cut);
    for (const face of FACES) if (seen[face]) add(toned(color, face), polygon(seen[face]));
    return seen;
  };
  if (shown.labels && view.name === "samples") {
    const sets = data.given.last + 1;
    for (const box of surface(view, cut)) {
      const label = data.labels[flatIndex(data, view.cell(k, firstOf(box)))];
      paint(partitionColor([0, label, 0, 0], [1, sets, 1, 1]), box);
    }
    return;
  }
  const method = data.methods[view.name === "paper" ? solid : state.method];
  if (!method) return;
  const block = blockOf(method, data.cube, state.G);
  const grid = data.cube.map((size, a) => size / block[a]);
  const [X, Y, Z] = view.cells;
  const paper = view.name === "paper";
  const own = paper ? [block[1], block[0], method.spatial === "all" ? Z : 1] : [block[3], block[1], block[2]];
  // Positions are drawn in bins, and so are channels and samples that are too many sets to be told apart.
  const few = (a) => (paper ? a < 2 : a === 1) && view.cells[a] / own[a] <= constants.limits.sets;
  const steps = own.map((extent, a) => (few(a) ? extent : Math.max(extent, view.bins[a])));
  // A drawn cell that stands for several sets gets no number.
  const whole = own.every((extent, a) => extent === steps[a]);
  for (let y = 0; y < Y; y += steps[1])
    for (let z = 0; z < Z; z += steps[2])
      for (let x = 0; x < X; x += steps[0]) {
        const box = [
          [x, Math.min(x + steps[0], X)],
          [y, Math.min(y + steps[1], Y)],
          [z, Math.min(z + steps[2], Z)]
        ];
        if (box[1][1] <= cut || (y > cut && z > 0 && box[0][1] < X)) continue;
        const at = view.cell(k, [x, y, z]).map((i, a) => Math.floor(i / block[a]));
        const seen = paint(partitionColor(at, grid), box);
        const number = String(at.reduce((sum, i, a) => sum * grid[a] + i, 0));
        const quad = whole && [seen.front, seen.top, seen.side].find((q) => q && roomy(q, number.length));
        if (!quad) continue;
        const [px, py] = [0, 1].map((a) => quad.reduce((s, p) => s + p[a], 0) / 4);
        texts.push(svg("text", { x: px, y: py + 3.5 }, number));
      }
}

/** Room for a number: 12 pixels of height across the middle of the face, and the width of its digits. */
const roomy = ([a, b, c, e], digits) => {
  const room = constants.limits.number;
  const xs = [a[0], b[0], c[0], e[0]];
  if (Math.max(...xs) - Math.min(...xs) < room.digit * digits + room.around) return false;
  const mid = (p, q) => [(p[0] + q[0]) / 2, (p[1] + q[1]) / 2];
  const far = (p, q) => Math.hypot(p[0] - q[0], p[1] - q[1]);
  const cross = Math.abs((b[0] - a[0]) * (e[1] - a[1]) - (b[1] - a[1]) * (e[0] - a[0]));
  const one = far(mid(a, e), mid(b, c));
  const two = far(mid(a, b), mid(e, c));
  return Math.min(cross / one, cross / two) >= room.height;
};

/** The diagonals of a face, or one of them. */
const crossed = (text, both = true) => {
  const [p, q, r, s] = text.slice(1, -1).split("L");
  return `M${p}L${r}${both ? `M${q}L${s}` : ""}`;
};

/** Ranges along the axes of x as ranges of the cube; null if they are empty. */
function around(ranges, shape) {
  if (!ranges.every(([from, to]) => to > from)) return null;
  const [first, last] = [toCube(firstOf(ranges), shape), toCube(lastOf(ranges), shape)];
  return first.map((from, a) => [from, last[a] + 1]);
}

/** The predicted set on the faces; once revealed, with the true set. Two diagonals: too many; one: missed. */
function drawAnswer(c, view, data, answer, cut) {
  const found = { guess: "", right: "", missed: "", extra: "" };
  let lines = "";
  if (answer && view.name === "samples")
    for (const { cell, last, paths } of quads(c, view, data, cut)) {
      const hit = (box) => anyCell(cell, last, (at) => within(box, fromCube(at, data.shape)));
      const marked = hit(answer.ranges);
      const inside = answer.truth && hit(answer.truth);
      if (!marked && !inside) continue;
      const kind = !answer.truth ? "guess" : !marked ? "missed" : inside ? "right" : "extra";
      for (const [, text] of paths) {
        found[kind] += text;
        if (kind === "extra" || kind === "missed") lines += crossed(text, kind === "extra");
      }
    }
  for (const [kind, text] of Object.entries(found)) d(c.answer[kind], text);
  d(c.one["nv-crosses"], lines);
  // Marked cells may lie inside. In a volume the slices lie apart, so no single box surrounds them.
  const box = answer && view.name === "samples" && data.shape.length < 5 ? around(answer.ranges, data.shape) : null;
  const boxes = view.solids.map((_, k) => box && view.box(box, k));
  const edges = boxes.map((there, k) => (there ? segments(hiddenEdges(c.frame, k, there, cut)) : ""));
  d(c.one["nv-guess-ghost"], edges.join(""));
}

/** Drawn cells with NaN or infinity are struck out in every colour, because one of them spoils its whole set. */
const struckOut = (cells) =>
  cells
    .filter(({ value }) => !Number.isFinite(value))
    .flatMap(({ paths }) => paths.map(([, text]) => text + crossed(text, false)))
    .join("");

/** Marked cells are crossed, so that the mark needs no colour. */
function markedFaces(view, data, cells) {
  const marks = new Set(data.marks);
  if (view.name !== "samples") return "";
  const marked = cells.filter(({ cell, last }) => anyCell(cell, last, (at) => marks.has(flatIndex(data, at))));
  return marked.flatMap(({ paths }) => paths.map(([, text]) => text + crossed(text))).join("");
}

function drawStill(c, view, data, state, cut, size) {
  const { frame } = c;
  const [X, , Z] = view.cells;
  c.node.setAttribute("viewBox", `0 0 ${size.width} ${size.height}`);
  const rest = { top: "", front: "", side: "" };
  let grid = "";
  let away = "";
  view.solids.forEach((_, k) => {
    const seen = visibleFaces(frame, k, upTo(view.cells), cut);
    for (const face of FACES) rest[face] += polygon(seen[face]);
    grid += segments(gridLines(frame, k, view.bins, cut));
    const off = cut ? faces(frame, k, upTo([X, cut, Z])) : null;
    if (off) away += FACES.map((face) => polygon(off[face])).join("");
  });
  for (const face of FACES) d(c.rest[face], rest[face]);
  d(c.one["nv-grid"], grid);
  d(c.one["nv-outline"], FACES.map((face) => rest[face]).join(""));
  d(c.one["nv-away"], away);
  c.labels.replaceChildren(...(view.name === "paper" ? paperLabels : sampleLabels)(frame, view, data, state));
}

/** @param {number[]} point @param {number[]} shift */
const text = ([x, y], [dx, dy], anchor, letter, after = "", more = {}) =>
  svg("text", { x: x + dx, y: y + dy, "text-anchor": anchor, ...more }, formulaLetter(letter), after);
const formulaLetter = (name, more = {}) => svg("tspan", { class: "nv-letter", ...more }, name);

function sampleLabels(frame, view, data, state) {
  const [X, Y, Z] = view.cells;
  const at = (...p) => project(frame, 0, ...p);
  const method = data.methods[state.method];
  const [, channel, ...spatial] = lengthNames(data.shape, method);
  const [first] = axisNames(data.shape, method);
  const { sample, ...letters } = constants.labels;
  const out = [text(at(0, Y / 2, 0), letters.channel, "end", channel)];
  const across = spatial.pop();
  if (spatial.length) out.push(text(at(0, 0, Z / 2), letters.height, "end", spatial.join(", ")));
  if (across) out.push(text(at(X / 2, 0, Z), letters.width, "end", across));
  view.solids.forEach((n, k) => {
    const [right, low] = project(frame, k, X, 0, Z);
    const [, high] = project(frame, k, 0, 0, Z);
    // "Cout = 0" is long, so it keeps a distance from the letter before it.
    const clear = project(frame, k, X / 2, 0, Z)[0] + sample.letter * `${first} = ${n}`.length;
    const place = [Math.max(right - sample.left, clear), Math.max(low, high) + sample.below];
    out.push(text(place, [0, 0], "middle", first, ` = ${n}`));
  });
  return out;
}

function paperLabels(frame, view, data, state) {
  const [X, Y, Z] = view.cells;
  const { paper, title: over, underline } = constants.labels;
  return view.solids.flatMap((name, k) => {
    const at = (...p) => project(frame, k, ...p);
    const [zx, zy] = at(0, 0, Z / 2);
    const turned = `rotate(-90 ${zx + paper.positions} ${zy})`;
    const left = at(0, 0, 0)[0] + frame.width / 2;
    const top = at(0, Y, 0)[1];
    const chosen = name === state.method;
    const row = data.methods[name];
    const [first, channel, ...spatial] = lengthNames(data.shape, row);
    const look = { "text-anchor": "middle", class: chosen ? "nv-chosen" : "nv-title", "data-method": name };
    const narrow = frame.width < Math.max(over.narrow, over.letter * methodName(row, state.G).length);
    const label = narrow ? row.short : row.label;
    const groups = hasGroups(row) ? ` = ${fitting(state.G, cutLength(row, data.shape))}` : "";
    const title = svg("text", { x: left, y: top - over.above, ...look }, label);
    if (groups) title.append(formulaLetter("G", { dx: 5 }), groups);
    const long = underline.letter * (label + (groups && " G") + groups).length;
    const line = `M${left - long / 2} ${top - underline.above}h${long}`;
    return [
      text([zx, zy], [paper.positions, 0], "middle", spatial.join(", "), "", { transform: turned }),
      text(at(X / 2, 0, Z), paper.channel, "end", channel),
      text(at(X, Y / 2, Z), paper.samples, "start", first),
      title,
      ...(chosen ? [svg("path", { class: "nv-underline", d: line })] : [])
    ];
  });
}
