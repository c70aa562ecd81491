// Block arithmetic and orthographic projection. Pure functions: no DOM, no state.
//
// A drawing is a row of *solids* that share one frame. A solid has three axes: X to the right, Y into depth, Z down
// from the top. In the "samples" view a solid is one sample, (X, Y, Z) = (w, c, h); in the "paper" view it is one
// method, (X, Y, Z) = (c, n, hw). Ranges are in cells, so a set is drawn at its true place, aggregated or not.

import constants from "../../constants.json" with { type: "json" };

/**
 * @typedef {{name: string, label: string, n: string, c: string, spatial: string, centered: boolean,
 *   statistic: string, axes: string, affine: string}} Method
 */
/** @typedef {[number, number]} Range  start and stop */
/**
 * @typedef {{left: number, right: number, top: number, bottom: number, gap: number, most: number}} Margin
 *   in pixels: left and right around all solids; top, bottom and gap around each; `most` is the largest scale in
 *   pixels per unit
 */

/** Every G that divides C, in order. @param {number} C */
export const divisors = (C) => Array.from({ length: C }, (_, i) => i + 1).filter((g) => C % g === 0);

/** The largest divisor of a length that is at most G. @param {number} G @param {number} length */
export function fitting(G, length) {
  let g = Math.max(1, Math.min(Math.trunc(G) || 1, length));
  while (length % g) g--;
  return g;
}

/** Does the method take G? @param {Method} [method] */
export const hasGroups = (method) => method?.c === "group" || method?.n === "group";
/**
 * How long the axis is that G cuts: the samples for ghost batches, else the channels.
 * @param {Method | undefined} method @param {number[]} shape
 */
export const cutLength = (method, shape) => shape[method?.n === "group" ? 0 : 1];

/**
 * Extents of one pooling set on a shape (N, C, ...spatial). A G that does not divide is replaced by the next lower
 * divisor: the classical figure shows Group Norm beside ghost batches, whose G divides N.
 * @param {Method} method @param {number[]} shape @param {number} G
 */
export function blockOf(method, shape, G) {
  const rules = [method.n, method.c, method.spatial];
  return shape.map((size, axis) => {
    const rule = rules[Math.min(axis, 2)];
    return rule === "all" ? size : rule === "group" ? size / fitting(G, size) : 1;
  });
}

/** Do two methods cut a shape into the same sets, and take the same statistic of each? */
export const alike = (a, G, b, H, shape) =>
  a.axes === b.axes && a.statistic === b.statistic && String(blockOf(a, shape, G)) === String(blockOf(b, shape, H));

/**
 * The other methods, each with its G, that have the sets and the statistic of a method on a shape.
 * @param {Method[]} rows @param {Method} row @param {number} G @param {number[]} shape
 */
export const twinsOf = (rows, row, G, shape) =>
  rows.flatMap((other) => {
    const every = other.name === row.name ? [] : hasGroups(other) ? divisors(cutLength(other, shape)) : [1];
    const H = every.find((g) => alike(row, G, other, g, shape));
    return H ? [{ row: other, G: H }] : [];
  });

/**
 * The block that contains a cell, as a [start, stop) for each axis.
 * @param {number[]} block @param {number[]} index @returns {Range[]}
 */
export const setOf = (block, index) =>
  block.map((size, a) => {
    const start = Math.floor(index[a] / size) * size;
    return [start, start + size];
  });

/** Any rank from 2 to 5 is drawn as (N, C, H, W): a line has H = 1, a volume stacks its slices along H. */
export function cubeShape(shape) {
  const [N, C, ...spatial] = shape;
  const W = spatial.length ? spatial[spatial.length - 1] : 1;
  return [N, C, spatial.slice(0, -1).reduce((a, b) => a * b, 1), W];
}
/** A cell of x as a cell of the cube. @param {number[]} index @param {number[]} shape */
export function toCube(index, shape) {
  const [n, c, ...spatial] = index;
  const w = spatial.length ? spatial[spatial.length - 1] : 0;
  return [n, c, spatial.slice(0, -1).reduce((h, i, a) => h * shape[a + 2] + i, 0), w];
}
/** A cell of the cube as a cell of x. @param {number[]} cell @param {number[]} shape */
export function fromCube(cell, shape) {
  let [n, c, h, w] = cell;
  const spatial = shape.slice(2);
  if (!spatial.length) return [n, c];
  const rest = [];
  for (let a = spatial.length - 2; a >= 0; a--) {
    rest.unshift(h % spatial[a]);
    h = Math.floor(h / spatial[a]);
  }
  return [n, c, ...rest, w];
}

export const within = (ranges, index) => ranges.every(([a, b], k) => index[k] >= a && index[k] < b);

/** The product of a list of numbers: 1 for none. */
export const product = (list) => list.reduce((a, b) => a * b, 1);
export const clamp = (value, low, high) => Math.min(Math.max(value, low), high);
/** The angles at which the same three faces stay visible. */
export const ANGLES = constants.angles;
export const clampAngles = ({ az, el }) => ({ az: clamp(az, ...ANGLES.limits.az), el: clamp(el, ...ANGLES.limits.el) });

/** Drawn lengths of (W, C, H): true to the cells, but depth is squashed and no side is thinner than a sixth. */
export function sampleLengths([, C, H, W]) {
  const longest = Math.max(H, W);
  const side = (cells) => Math.max(cells, longest / constants.lengths.thinnest);
  return [side(W), side(Math.min(C, constants.lengths.deepest * longest)), side(H)];
}
/** Drawn lengths of (C, N, HW) in the classical figure. */
export function paperLengths([N, C]) {
  const { paper: side, paper_least: least } = constants.lengths;
  return [side, clamp((side * N) / C, least, side), side];
}

/**
 * Where the solids stand, in the rows and columns that draw them largest.
 * @param {number[]} cells     cells along X, Y, Z
 * @param {number[]} lengths   drawn lengths of X, Y, Z, in any unit
 * @param {number} count       how many solids
 * @param {{width: number, height: number}} size  in pixels
 * @param {{az: number, el: number}} angles
 * @param {Margin} margin
 */
export function makeFrame(cells, lengths, count, size, angles, margin) {
  const arrangement = constants.arrangement;
  const { az, el } = clampAngles(angles);
  const ca = Math.cos(az);
  const sa = Math.sin(az);
  const ce = Math.cos(el);
  const se = Math.sin(el);
  const [X, Y, Z] = lengths;
  const wide = X * ca + Y * sa;
  const high = Z * ce + (X * sa + Y * ca) * se;
  let best = { scale: 0, cols: 1, rows: 1 };
  for (let cols = 1; cols <= count; cols++) {
    const rows = Math.ceil(count / cols);
    const across = (size.width - margin.left - margin.right - (cols - 1) * margin.gap) / (cols * wide);
    const down = (size.height / rows - margin.top - margin.bottom) / high;
    const scale = Math.min(across, down, margin.most);
    if (scale > best.scale * arrangement.better) best = { scale, cols, rows };
  }
  const scale = Math.max(best.scale, arrangement.least);
  const { cols, rows } = best;
  const w = wide * scale;
  const h = high * scale;
  const stepX = Math.min(
    w * arrangement.apart + margin.gap,
    (size.width - margin.left - margin.right + margin.gap) / cols
  );
  const left = margin.left + (size.width - margin.left - margin.right - (stepX * (cols - 1) + w)) / 2;
  const stepY = Math.min(size.height / rows, h + margin.top + margin.bottom + arrangement.below);
  const above = (size.height - stepY * rows) / 2;
  // The lower left corner of the front face is the origin of a solid: it lies X*sin(az)*sin(el) above the lowest point.
  const origins = Array.from({ length: count }, (_, k) => [
    left + stepX * (k % cols),
    above +
      stepY * Math.floor(k / cols) +
      (stepY - margin.top - margin.bottom - h) / 2 +
      margin.top +
      h -
      X * sa * se * scale
  ]);
  const unit = lengths.map((l, a) => l / cells[a]);
  return { cells, lengths, count, origins, scale, ca, sa, ce, se, unit, width: w, height: h };
}

/** A point of solid k, in cells (z counted from the top), on the screen. @returns {[number, number]} */
export function project(frame, k, x, y, z) {
  const { ca, sa, ce, se, unit, scale, cells } = frame;
  const px = x * unit[0];
  const py = y * unit[1];
  const pz = (cells[2] - z) * unit[2];
  return [
    frame.origins[k][0] + scale * (px * ca + py * sa),
    frame.origins[k][1] - scale * (pz * ce + (py * ca - px * sa) * se)
  ];
}

/** The visible faces of a box in solid k: top, front, side, each four corners. */
export function faces(frame, k, [[x0, x1], [y0, y1], [z0, z1]]) {
  const p = (x, y, z) => project(frame, k, x, y, z);
  return {
    top: [p(x0, y0, z0), p(x1, y0, z0), p(x1, y1, z0), p(x0, y1, z0)],
    front: [p(x0, y0, z0), p(x1, y0, z0), p(x1, y0, z1), p(x0, y0, z1)],
    side: [p(x1, y0, z0), p(x1, y1, z0), p(x1, y1, z1), p(x1, y0, z1)]
  };
}

/** What of a box can be seen of a solid whose front has been cut off at `cut`. @returns {{top?, front?, side?}} */
export function visibleFaces(frame, k, box, cut = 0) {
  const [[, x1], [y0, y1], [z0]] = box;
  if (y1 <= cut) return {};
  const all = faces(frame, k, [box[0], [Math.max(y0, cut), y1], box[2]]);
  const seen = {};
  if (z0 <= 0) seen.top = all.top;
  if (y0 <= cut) seen.front = all.front;
  if (x1 >= frame.cells[0]) seen.side = all.side;
  return seen;
}

/** Pairs of the corners 0 to 7, whose bits say at which end of each axis they lie. */
const EDGES = [1, 2, 4].flatMap((bit) => [0, 1, 2, 3, 4, 5, 6, 7].filter((i) => !(i & bit)).map((i) => [i, i | bit]));
/** The edges of a box inside the solid, which cannot be seen: pairs of points. */
export function hiddenEdges(frame, k, box, cut = 0) {
  const corner = (i) => [box[0][i & 1], box[1][(i >> 1) & 1], box[2][(i >> 2) & 1]];
  const onFace = [(p) => p[2] <= 0, (p) => p[0] >= frame.cells[0], (p) => p[1] === cut];
  return EDGES.map((ends) => ends.map(corner))
    .filter((ends) => !onFace.some((isOn) => ends.every(isOn)))
    .map((ends) => ends.map((p) => project(frame, k, ...p)));
}

/** Grid lines of the visible faces; `bins` cells to a line, and never closer than a few pixels. */
export function gridLines(frame, k, bins, cut = 0) {
  const [X, Y, Z] = frame.cells;
  const lines = [];
  const seg = (a, b) => lines.push([project(frame, k, ...a), project(frame, k, ...b)]);
  const every = (axis, first, stop) => {
    const cell = frame.unit[axis] * frame.scale * [frame.ca, Math.hypot(frame.sa, frame.ca * frame.se), frame.ce][axis];
    const step = bins[axis] * Math.max(1, Math.ceil(constants.limits.grid / (cell * bins[axis])));
    const at = [];
    for (let v = Math.floor(first / step) * step + step; v < stop; v += step) at.push(v);
    return at;
  };
  for (const x of every(0, 0, X)) {
    seg([x, cut, 0], [x, cut, Z]);
    seg([x, cut, 0], [x, Y, 0]);
  }
  for (const y of every(1, cut, Y)) {
    seg([0, y, 0], [X, y, 0]);
    seg([X, y, 0], [X, y, Z]);
  }
  for (const z of every(2, 0, Z)) {
    seg([0, cut, z], [X, cut, z]);
    seg([X, cut, z], [X, Y, z]);
  }
  return lines;
}

/**
 * The cell under a point of the screen. Each face is a plane, so this inverts the projection.
 * @param {number} cut  where the front of the solids is cut off
 * @returns {{solid: number, cell: number[], face: string} | null}
 */
export function pick(frame, px, py, cut = 0) {
  const { ca, sa, ce, se, unit, scale } = frame;
  const [X, Y, Z] = frame.cells;
  for (let k = 0; k < frame.count; k++) {
    const u = (px - frame.origins[k][0]) / scale;
    const v = (frame.origins[k][1] - py) / scale;
    const inside = (x, y, z) => x >= 0 && x < X && y >= cut && y < Y && z >= 0 && z < Z;
    const at = (face, x, y, z) => ({
      solid: k,
      face,
      cell: [clamp(Math.floor(x), 0, X - 1), clamp(Math.floor(y), cut, Y - 1), clamp(Math.floor(z), 0, Z - 1)]
    });
    const height = Z * unit[2] * ce;
    {
      // front: y = cut
      const ux = (u - cut * unit[1] * sa) / ca;
      const z = (v - (cut * unit[1] * ca - ux * sa) * se) / ce;
      if (inside(ux / unit[0], cut, Z - z / unit[2] - 1e-9)) return at("front", ux / unit[0], cut, Z - z / unit[2]);
    }
    {
      // top: z = 0
      const t = (v - height) / se;
      const ux = u * ca - t * sa;
      const uy = u * sa + t * ca;
      if (inside(ux / unit[0], uy / unit[1], 0)) return at("top", ux / unit[0], uy / unit[1], 0);
    }
    {
      // side: x = X
      const uy = (u - X * unit[0] * ca) / sa;
      const z = (v - (uy * ca - X * unit[0] * sa) * se) / ce;
      if (inside(X - 1, uy / unit[1], Z - z / unit[2] - 1e-9)) return at("side", X - 1, uy / unit[1], Z - z / unit[2]);
    }
  }
  return null;
}

// ---- SVG path data ----

const tenth = (v) => Math.floor(10 * v + 0.5) / 10;
const point = ([x, y]) => `${tenth(x)} ${tenth(y)}`;
export const polygon = (points) => `M${points.map(point).join("L")}Z`;
export const segments = (lines) => lines.map(([a, b]) => `M${point(a)}L${point(b)}`).join("");
