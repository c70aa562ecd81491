// A cube to hover, click, turn and use by keys, on pages without an explorer.

const TURNS = { "[": [-0.08, 0], "]": [0.08, 0], "-": [0, -0.08], "+": [0, 0.08], "=": [0, 0.08] };
const STEPS_OF = { ArrowRight: 1, ArrowDown: 1, PageDown: 1, ArrowLeft: -1, ArrowUp: -1, PageUp: -1 };

/**
 * @param {HTMLElement} stage
 * @param {object} on
 * @param {(event: PointerEvent) => ?object} on.under - the cell under the pointer, or null
 * @param {(hit: ?object) => void} on.hover
 * @param {(index: number[]) => void} on.pick - a cell was clicked
 * @param {(index: number[]) => void} on.move - a key leads to that cell, which may lie outside
 * @param {() => void} [on.enter] - Enter or the space bar
 * @param {() => number[]} on.index - the picked cell
 * @param {() => void} on.turned - draw again
 * @param {AbortSignal} [signal] - ends all listeners
 * @returns {() => object} the angles from which the cube is seen
 */
function onStage(stage, on, signal) {
  let angles = ANGLES.samples, drag = null;
  const listen = (type, listener) => stage.addEventListener(type, listener, { signal });
  const turn = (az, el) => { angles = clampAngles({ az, el }); };
  listen("pointerdown", (event) => {
    if (event.button) return;
    drag = { x: event.clientX, y: event.clientY, from: angles, moved: false };
    stage.setPointerCapture(event.pointerId);
  });
  listen("pointermove", (event) => {
    if (!drag) {
      const hit = event.pointerType === "touch" ? null : on.under(event);
      stage.classList.toggle("nv-over", hit !== null);
      return on.hover(hit);
    }
    const dx = event.clientX - drag.x, dy = event.clientY - drag.y;
    if (!drag.moved && Math.hypot(dx, dy) < 5) return;
    drag.moved = true;
    turn(drag.from.az - dx * 0.006, drag.from.el + dy * 0.006);
    on.hover(null);
    on.turned();
  });
  listen("pointerleave", () => on.hover(null));
  listen("pointercancel", () => { drag = null; });
  listen("pointerup", (event) => {
    const hit = drag && !drag.moved ? on.under(event) : null;
    drag = null;
    if (hit) on.pick(hit.index);
  });
  listen("keydown", (event) => {
    const { key, shiftKey } = event, index = on.index(), last = index.length - 1, by = STEPS_OF[key];
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    const axis = shiftKey ? 0 : key.startsWith("Page") ? 1 : /Left|Right/.test(key) ? last : last - 1;
    if (TURNS[key]) turn(angles.az + TURNS[key][0], angles.el + TURNS[key][1]);
    else if (key === "0") angles = ANGLES.samples;
    else if (on.enter && (key === "Enter" || key === " ")) on.enter();
    else if (by && (shiftKey || key.startsWith("Page") || axis > 1)) on.move(
      index.map((i, a) => (a === axis ? i + by : i)));
    else return;
    event.preventDefault();
    event.stopPropagation();
    on.turned();
  });
  return () => angles;
}

/** Keep the theme on the root of the picture: the page's data-theme or, without it, the system's. */
function followTheme(root) {
  const dark = matchMedia("(prefers-color-scheme: dark)"), page = document.documentElement;
  const theme = () => { root.dataset.theme = page.dataset.theme ?? (dark.matches ? "dark" : "light"); };
  dark.addEventListener("change", theme);
  new MutationObserver(theme).observe(page, { attributes: true, attributeFilter: ["data-theme"] });
  theme();
}
