// A page of its own, such as the quiz or the decision guide, which draws cubes without an explorer.

import { h } from "../core/dom.js";
import { inFrame } from "./frame.js";

/** A visible cell, on the front of the cube. */
export const startCell = (shape) => shape.map((length, a) => (a === 1 ? 0 : length >> 1));

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
  const live = h("div.nvp-live");
  place.prepend(live);
  const root = render(live, JSON.parse(document.getElementById("normviz-data").textContent));
  const still = place.querySelector(".nvp-still");
  still?.remove();
  inFrame(() => root.hasAttribute("data-ready"));
  return { place, still };
}
