// A cube to hover, click, turn and use by keys, on pages without an explorer.

import { d, h } from "../core/dom.js";
import { ANGLES, clamp, clampAngles, polygon, toCube, visibleFaces } from "../core/geometry.js";
import { inFrame } from "../hosts/frame.js";
import { TURNS, cutOf, hitOf } from "./cube.js";

/** A visible cell, on the front of the cube. */
export const startCell = (shape) => shape.map((length, a) => (a === 1 ? 0 : length >> 1));

const STEPS_OF = { ArrowRight: 1, ArrowDown: 1, PageDown: 1, ArrowLeft: -1, ArrowUp: -1, PageUp: -1 };

/**
 * @param {HTMLElement} stage
 * @param {ReturnType<typeof import("./cube.js").createCube>} cube
 * @param {number[]} shape
 * @param {object} on
 * @param {(size: object, angles: object) => void} on.draw - the stage has a size, or changed
 * @param {(index: number[]) => void} on.pick - a cell was clicked
 * @param {(index: number[]) => void} on.move - a key leads to that cell, which lies in the tensor
 * @param {() => void} [on.enter] - Enter or the space bar
 * @param {() => number[]} on.index - the picked cell
 * @param {() => boolean} [on.slice] - whether the box is open at that cell
 * @param {AbortSignal} [signal] - ends all listeners
 * @returns {() => void} draws in the next frame
 */
export function onStage(stage, cube, shape, on, signal) {
  let angles = ANGLES.samples;
  let drag = null;
  let size = null;
  let frame = 0;
  const draw = () => {
    frame = 0;
    on.draw(size, angles);
  };
  const schedule = () => {
    if (size && !frame && !signal?.aborted) frame = requestAnimationFrame(draw);
  };
  const under = (event) => hitOf(cube, event, size, { shape, slice: on.slice?.(), index: on.index() });
  const hover = (hit) => {
    const cell = hit && cube.view.point(toCube(hit.index, shape));
    const cut = hit && cutOf(cube.view, { slice: on.slice?.() }, toCube(on.index(), shape))(hit.solid);
    const faces = hit ? Object.values(visibleFaces(cube.frame, hit.solid, cell, cut)) : [];
    d(cube.one["nv-hover"], faces.map(polygon).join(""));
  };
  const sizes = new ResizeObserver(() => {
    const { clientWidth: width, clientHeight: height } = stage;
    const isFirst = !size;
    if (!width || !height) return;
    size = { width, height };
    if (isFirst) draw();
    else schedule();
  });
  sizes.observe(stage);
  signal?.addEventListener("abort", () => {
    sizes.disconnect();
    cancelAnimationFrame(frame);
  });
  const listen = (type, listener) => stage.addEventListener(type, listener, { signal });
  const turn = (az, el) => {
    angles = clampAngles({ az, el });
  };
  listen("pointerdown", (event) => {
    if (event.button) return;
    drag = { x: event.clientX, y: event.clientY, from: angles, moved: false };
    stage.setPointerCapture(event.pointerId);
  });
  listen("pointermove", (event) => {
    if (!drag) {
      const hit = event.pointerType === "touch" ? null : under(event);
      stage.classList.toggle("nv-over", hit !== null);
      return hover(hit);
    }
    const dx = event.clientX - drag.x;
    const dy = event.clientY - drag.y;
    if (!drag.moved && Math.hypot(dx, dy) < 5) return;
    drag.moved = true;
    turn(drag.from.az - dx * 0.006, drag.from.el + dy * 0.006);
    hover(null);
    schedule();
  });
  listen("pointerleave", () => hover(null));
  listen("pointercancel", () => {
    drag = null;
  });
  listen("pointerup", (event) => {
    const hit = drag && !drag.moved ? under(event) : null;
    drag = null;
    if (hit) on.pick(hit.index);
  });
  listen("keydown", (event) => {
    const { key, shiftKey } = event;
    const index = on.index();
    const last = index.length - 1;
    const by = STEPS_OF[key];
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    const axis = shiftKey ? 0 : key.startsWith("Page") ? 1 : /Left|Right/.test(key) ? last : last - 1;
    if (TURNS[key]) turn(angles.az + TURNS[key][0], angles.el + TURNS[key][1]);
    else if (key === "0") angles = ANGLES.samples;
    else if (on.enter && (key === "Enter" || key === " ")) on.enter();
    else if (by && (shiftKey || key.startsWith("Page") || axis > 1))
      on.move(index.map((i, a) => (a === axis ? clamp(i + by, 0, shape[a] - 1) : i)));
    else return;
    event.preventDefault();
    event.stopPropagation();
    schedule();
  });
  return schedule;
}

/** Keep the theme on the root of the picture: the page's data-theme or, without it, the system's. */
export function followTheme(root) {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const page = document.documentElement;
  const theme = () => {
    root.dataset.theme = page.dataset.theme ?? (dark.matches ? "dark" : "light");
  };
  dark.addEventListener("change", theme);
  new MutationObserver(theme).observe(page, { attributes: true, attributeFilter: ["data-theme"] });
  theme();
}

/** Run `render(el, data)` before the still picture of the page, which is taken away and returned. */
export function renderOnPage(render) {
  const place = document.querySelector(".nvp-explorer");
  const live = h("div", { class: "nvp-live" });
  place.prepend(live);
  const root = render(live, JSON.parse(document.getElementById("normviz-data").textContent));
  const still = place.querySelector(".nvp-still");
  still?.remove();
  inFrame(() => root.hasAttribute("data-ready"));
  return { place, still };
}
