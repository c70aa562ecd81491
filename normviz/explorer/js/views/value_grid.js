// The picked map of x as a table of numbers: a cell is picked by arrow keys, and typed over.

import constants from "../../constants.json" with { type: "json" };
import { KEYS, h, setText, take } from "../core/dom.js";
import { clamp, cubeShape, fromCube, toCube } from "../core/geometry.js";
import { decimal } from "../core/numbers.js";
import { axisNames, flatIndex, lengthNames } from "../core/readout.js";
import { say } from "../core/sentences.js";

/** The map of a cell: H x W of its sample and channel; of vectors, all samples and channels. */
function mapOf(shape, index) {
  const [N, C, H, W] = cubeShape(shape);
  const [n, c, y, x] = toCube(index, shape);
  if (shape.length === 2) return { size: [N, C], at: [n, c], cell: ([row, column]) => [row, column] };
  return { size: [H, W], at: [y, x], cell: ([row, column]) => fromCube([n, c, row, column], shape) };
}

/** @param {(index: number[], text: string) => boolean} write  takes what was typed; false if it does not fit */
export function createValueGrid(data, act, write) {
  const most = constants.tensor_panel.listed;
  const table = h("div.nv-values-grid", { role: "grid" });
  const caption = h("p.nv-note");
  const node = h("section.nv-card.nv-map", { "aria-label": say("tensor.grid"), hidden: true }, caption, table);
  let cells = [];
  let drawnAs = "";
  let now = null;
  let input = null;

  const move = ([row, column]) => {
    const at = [clamp(row, 0, now.size[0] - 1), clamp(column, 0, now.size[1] - 1)];
    act.set({ index: now.cell(at) });
    cells[at[0] - now.from[0]]?.[at[1] - now.from[1]]?.focus({ preventScroll: false });
  };
  const stop = (taken) => {
    const field = input;
    input = null;
    field?.remove();
    sync(act.state());
    if (taken) active()?.focus();
  };
  const active = () => cells[now.at[0] - now.from[0]]?.[now.at[1] - now.from[1]];
  /** Type over the picked cell; `text` is what the first key has typed. */
  const edit = (text = null) => {
    const cell = active();
    const index = act.state().index;
    input = h("input", { type: "text", "aria-label": say("tensor.value-of", { index: index.join(", ") }), ...KEYS });
    input.value = text ?? cell.dataset.value;
    const field = input;
    field.addEventListener("keydown", (event) => {
      event.stopPropagation();
      const down = { Enter: 1, Tab: 0 }[event.key];
      if (event.key === "Escape") stop(true);
      else if (down !== undefined) {
        event.preventDefault();
        const [row, column] = now.at;
        if (!write(index, field.value)) return;
        stop(true);
        move(down ? [row + 1, column] : [row, column + (event.shiftKey ? -1 : 1)]);
      } else return;
      event.preventDefault();
    });
    field.addEventListener("blur", () => {
      if (input !== field) return;
      if (field.value !== (text ?? cell.dataset.value) || text !== null) write(index, field.value);
      stop(false);
    });
    cell.replaceChildren(field);
    field.focus();
    if (text === null) field.select();
  };
  /** @returns {[number, number] | null} */
  const placeOf = (event) => {
    const cell = event.target.closest("[role=gridcell]");
    return cell && [Number(cell.dataset.row), Number(cell.dataset.column)];
  };
  table.addEventListener("click", (event) => {
    const place = placeOf(event);
    if (!place || event.target === input) return;
    // A second click or tap on the picked cell types over it.
    if (String(place) === String(now.at) && table.getRootNode().activeElement === active()) edit();
    else move(place);
  });
  table.addEventListener("keydown", (event) => {
    if (event.target === input || event.altKey || event.ctrlKey || event.metaKey) return;
    const [row, column] = now.at;
    const to = {
      ArrowDown: [row + 1, column],
      ArrowUp: [row - 1, column],
      ArrowRight: [row, column + 1],
      ArrowLeft: [row, column - 1],
      Home: [row, 0],
      End: [row, now.size[1] - 1]
    }[event.key];
    if (to) move(to);
    else if (event.key === "Enter" || event.key === "F2") edit();
    else if (/^[-+.\d]$/.test(event.key)) edit(event.key);
    else return;
    take(event);
  });

  function build() {
    const { size, from } = now;
    const rows = Math.min(most, size[0] - from[0]);
    const columns = Math.min(most, size[1] - from[1]);
    cells = Array.from({ length: rows }, (_, r) =>
      Array.from({ length: columns }, (_, c) =>
        h("span", { role: "gridcell", tabindex: "-1", "data-row": from[0] + r, "data-column": from[1] + c, ...KEYS })
      )
    );
    const head = (role, text) => h("span", { role }, text);
    table.style.setProperty("--columns", String(columns));
    const heads = cells[0].map((_, c) => head("columnheader", String(from[1] + c)));
    table.replaceChildren(
      h("div", { role: "row" }, head("columnheader", now.corner), ...heads),
      ...cells.map((row, r) => h("div", { role: "row" }, head("rowheader", String(from[0] + r)), ...row))
    );
    table.setAttribute("aria-rowcount", String(size[0] + 1));
    table.setAttribute("aria-colcount", String(size[1] + 1));
  }

  function sync(state) {
    if (node.hidden || input) return;
    const map = mapOf(data.shape, state.index);
    const axes = axisNames(data.shape);
    const [rowAxis, columnAxis] = data.shape.length === 2 ? axes : data.shape.length === 3 ? ["", "l"] : axes.slice(-2);
    now = { ...map, from: map.at.map((i) => Math.floor(i / most) * most), corner: `${rowAxis}\\${columnAxis}` };
    const focused =
      table.contains(document.activeElement) || table.getRootNode().activeElement?.closest?.("[role=grid]") === table;
    const key = `${data.shape}/${now.from}`;
    if (key !== drawnAs) build();
    drawnAs = key;
    const where = data.shape.length === 2 ? "" : say("tensor.map-of", { n: state.index[0], c: state.index[1] });
    table.setAttribute("aria-label", `${say("tensor.grid")} ${where}`.trim());
    const [rows, columns] = lengthNames(data.shape).slice(-2);
    const part = now.size.some((length) => length > most) ? say("tensor.grid-part", { most, rows, columns }) : "";
    const about = data.values ? [where, say("tensor.grid-keys"), part] : [say("tensor.no-grid")];
    setText(caption, about.filter(Boolean).join(" "));
    table.hidden = !data.values;
    if (!data.values) return;
    cells.forEach((row, r) => {
      row.forEach((cell, c) => {
        const place = [now.from[0] + r, now.from[1] + c];
        const value = data.values[flatIndex(data, toCube(now.cell(place), data.shape))];
        const text = decimal(value, 4);
        if (cell.dataset.value !== String(value) || cell.textContent !== text) {
          cell.textContent = text;
          cell.dataset.value = String(value);
          cell.classList.toggle("nv-not-finite", !Number.isFinite(value));
        }
        const picked = place[0] === now.at[0] && place[1] === now.at[1];
        cell.tabIndex = picked ? 0 : -1;
        cell.setAttribute("aria-selected", String(picked));
      });
    });
    if (focused) active()?.focus({ preventScroll: true });
  }
  return { node, sync };
}
