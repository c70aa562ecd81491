// A cube to hover, click, turn and use by keys: the explorer's, the quiz's and those of the decision guide.

import { KEYS, d, h, take } from "../core/dom.js";
import { ANGLES, clamp, clampAngles, polygon, toCube, visibleFaces } from "../core/geometry.js";
import { say } from "../core/sentences.js";
import { TURNS, binned, cutOf, hitOf } from "./cube.js";

const STEPS_OF = { ArrowRight: 1, ArrowDown: 1, PageDown: 1, ArrowLeft: -1, ArrowUp: -1, PageUp: -1 };

/** The element that shows a cube and takes the keyboard. @param {Node[]} children */
export function createStage(...children) {
  const about = { role: "application", tabindex: "0", "aria-roledescription": say("common.cube"), ...KEYS };
  return h("div.nv-stage", about, ...children);
}

/** The cell to which a key leads, which is the same at the end of an axis; null if the key does not move. */
function cellBy({ key, shiftKey }, index, shape) {
  const by = STEPS_OF[key];
  const paging = key.startsWith("Page");
  if (!by || (shiftKey && paging)) return null;
  const axis = shiftKey ? 0 : paging ? 1 : index.length - (/Left|Right/.test(key) ? 1 : 2);
  if (axis < 2 && !shiftKey && !paging) return index; // x has no such axis
  const cell = index.map((i, a) => (a === axis ? i + by : i));
  // In a volume the slices lie one below the other: after the last row comes the next slice.
  if (shape.length === 5 && axis === 3 && cell[3] !== clamp(cell[3], 0, shape[3] - 1)) {
    cell[2] += by;
    if (cell[2] === clamp(cell[2], 0, shape[2] - 1)) cell[3] = by > 0 ? 0 : shape[3] - 1;
  }
  return cell.map((i, a) => clamp(i, 0, shape[a] - 1));
}

/**
 * @param {HTMLElement} stage
 * @param {ReturnType<typeof import("./cube.js").createCube>} cube
 * @param {{shape: number[]}} tensor  whose shape may change
 * @param {object} on
 * @param {(size: object, angles: object) => void} on.draw - the stage has a size, or changed
 * @param {(index: number[], solid: number) => void} on.pick - a cell was clicked
 * @param {(index: number[]) => void} on.move - a key leads to that cell, which lies in the tensor
 * @param {() => void} [on.resize] - the stage has another size, or its first
 * @param {() => number[]} on.index - the picked cell
 * @param {() => boolean} [on.slice] - whether the box is open at that cell
 * @param {() => string} [on.view] - the view, if there are several
 * @param {typeof ANGLES} [on.angles] - from which the cube is seen at first, in each view
 * @param {() => void} [on.enter] - Enter or the space bar
 * @param {(event: PointerEvent, index?: number[], solid?: number) => void} [on.hover] - the pointer is over a cell, or
 *   over none
 * @param {() => boolean} [on.marking] - whether a drag from cell to cell marks them, instead of turning the cube
 * @param {(from: number[], to: number[]) => void} [on.mark] - such a drag
 * @param {AbortSignal} [signal] - ends all listeners
 */
export function onStage(stage, cube, tensor, on, signal) {
  const angles = { ...ANGLES, ...on.angles };
  const view = () => on.view?.() ?? "samples";
  let drag = null;
  let size = null;
  let frame = 0;
  const draw = () => {
    frame = 0;
    on.draw(size, angles[view()]);
  };
  /** Draw in the next frame. */
  const schedule = () => {
    if (size && !frame && !signal?.aborted) frame = requestAnimationFrame(draw);
  };
  /** Turn the cube by these angles, or back. @param {number[] | null} by */
  const turn = (by) => {
    const { az, el } = angles[view()];
    angles[view()] = by ? clampAngles({ az: az + by[0], el: el + by[1] }) : ANGLES[view()];
    schedule();
  };
  const under = (event) => hitOf(cube, event, size, { shape: tensor.shape, slice: on.slice?.(), index: on.index() });
  const outlineOf = ({ index, solid }) => {
    const cell = cube.view.point(toCube(index, tensor.shape), solid);
    const box = cube.view.name === "paper" ? binned(cell, cube.view.bins, cube.frame.cells) : cell;
    const cut = cutOf(cube.view, { slice: on.slice?.() }, toCube(on.index(), tensor.shape));
    return Object.values(visibleFaces(cube.frame, solid, box, cut))
      .map(polygon)
      .join("");
  };
  const hover = (event, hit = null) => {
    stage.classList.toggle("nv-over", hit !== null);
    d(cube.one["nv-hover"], hit ? outlineOf(hit) : "");
    on.hover?.(event, hit?.index, hit?.solid);
  };
  const sizes = new ResizeObserver(() => {
    const { clientWidth: width, clientHeight: height } = stage;
    if (!width || !height || (size?.width === width && size.height === height)) return;
    const isFirst = !size;
    size = { width, height };
    on.resize?.();
    if (isFirst) draw();
    else schedule();
  });
  sizes.observe(stage);
  signal?.addEventListener("abort", () => {
    sizes.disconnect();
    cancelAnimationFrame(frame);
  });
  const listen = (type, listener) => stage.addEventListener(type, listener, { signal });
  listen("pointerdown", (event) => {
    if (event.button) return;
    const from = on.marking?.() ? under(event) : null;
    drag = { x: event.clientX, y: event.clientY, angles: angles[view()], moved: false, from: from?.index };
    stage.setPointerCapture(event.pointerId);
  });
  listen("pointermove", (event) => {
    if (!drag) return hover(event, event.pointerType === "touch" ? null : under(event));
    const dx = event.clientX - drag.x;
    const dy = event.clientY - drag.y;
    if (!drag.moved && Math.hypot(dx, dy) < 5) return;
    drag.moved = true;
    if (drag.from) {
      const to = under(event);
      return to && on.mark(drag.from, to.index);
    }
    hover(event);
    angles[view()] = drag.angles;
    turn([-dx * 0.006, dy * 0.006]);
  });
  listen("pointerleave", (event) => hover(event));
  listen("pointercancel", () => {
    drag = null;
  });
  listen("pointerup", (event) => {
    const hit = drag && !drag.moved ? under(event) : null;
    drag = null;
    if (hit) on.pick(hit.index, hit.solid);
  });
  listen("keydown", (event) => {
    const { key } = event;
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    const cell = cellBy(event, on.index(), tensor.shape);
    if (TURNS[key] || key === "0") turn(TURNS[key]);
    else if (on.enter && (key === "Enter" || key === " ")) on.enter();
    else if (!cell) return;
    else on.move(cell);
    take(event);
    schedule();
  });
  return { angles, schedule, turn };
}
