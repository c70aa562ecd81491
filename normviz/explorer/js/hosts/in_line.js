// Explorers side by side stand in line, whichever of them has the longest text.

/** What has a text of its own, in the order in which it stands. */
const PARTS =
  ".nv-heading, .nv-method, .nv-controls, .nv-tour, .nv-predict, .nv-aggregated, .nv-under, .nv-status, .nv-card";

/**
 * Give each part the height of the highest one beside it, now and whenever a text or the width changes.
 * @param {Element} row
 */
export function keepInLine(row) {
  const align = () => {
    /** @param {Element} root @returns {HTMLElement[]} */
    const partsOf = (root) => [...root.querySelectorAll(/** @type {"p"} */ (PARTS))];
    const each = [...row.querySelectorAll(".normviz")].map(partsOf);
    for (const part of each.flat()) part.style.minHeight = "";
    if (getComputedStyle(row).gridTemplateColumns.split(" ").length === 1) return;
    each[0]?.forEach((_, k) => {
      const high = Math.max(...each.map((parts) => Math.ceil(parts[k].getBoundingClientRect().height)));
      for (const parts of each) parts[k].style.minHeight = `${high}px`;
    });
  };
  new ResizeObserver(align).observe(row);
  // The picture changes under the pointer at every move, and has no part in the height.
  new MutationObserver((changes) => {
    const inPicture = ({ target }) => /** @type {Element} */ (target).closest(".nv-stage");
    if (!changes.every(inPicture)) align();
  }).observe(row, { subtree: true, childList: true, attributes: true, attributeFilter: ["hidden", "class"] });
}
