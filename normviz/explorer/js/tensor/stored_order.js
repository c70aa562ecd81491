// Cells of a tensor in the order in which they are stored: channels first or last, C order or Fortran order.

/**
 * @typedef {{fortran?: boolean, channelsLast?: boolean}} Layout
 * @typedef {number[]} Five  one number for each of the axes n, c, d, h, w (0 to 4)
 */

/** Any rank from 2 to 5 as lengths along n, c, d, h, w. @param {number[]} shape @returns {Five} */
export const fiveAxes = (shape) => [...shape.slice(0, 2), ...[1, 1, 1, ...shape.slice(2)].slice(-3)];

/**
 * The axes of which x has more than one cell, as they are stored: the cells of the last one lie side by side.
 * @param {Five} lengths @param {Layout} layout
 */
function storedOrder(lengths, { fortran = false, channelsLast = false }) {
  const order = (channelsLast ? [0, 2, 3, 4, 1] : [0, 1, 2, 3, 4]).filter((axis) => lengths[axis] > 1);
  if (!order.length) order.push(4);
  return fortran ? order.reverse() : order;
}

/**
 * A walk through the cells of a tensor as they are stored, run by run. A run is cells side by side along one axis.
 * @param {Five} lengths @param {Layout} layout
 */
export function createWalk(lengths, layout = {}) {
  const order = storedOrder(lengths, layout);
  const axis = order[order.length - 1];
  const index = [0, 0, 0, 0, 0];
  return {
    /** The axis along which the runs lie, and their length. */
    axis,
    run: lengths[axis],
    /**
     * Walk on by so many cells. After the last cell of the tensor comes the first one again.
     * @param {(at: number, length: number, index: Five) => void} visit
     *   `at` counts the cells of this call; `index` is the first cell of the run
     */
    by(count, visit) {
      for (let at = 0; at < count; ) {
        const length = Math.min(count - at, lengths[axis] - index[axis]);
        visit(at, length, index);
        at += length;
        index[axis] += length;
        for (let a = order.length - 1; index[order[a]] === lengths[order[a]]; a--) {
          index[order[a]] = 0;
          if (!a) break;
          index[order[a - 1]]++;
        }
      }
    },
    /** Where a cell is stored. @param {Five} cell */
    placeOf: (cell) => order.reduce((place, a) => place * lengths[a] + cell[a], 0)
  };
}
