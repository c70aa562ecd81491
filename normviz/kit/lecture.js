// A lecture: one slide at a time, with the keys of a clicker. Its explorers are those of any page.

import { take } from "../explorer/js/core/dom.js";
import { startPage } from "../explorer/js/hosts/page.js";

const LAST_STEP = 5;

function startDeck() {
  const deck = document.documentElement;
  /** @type {HTMLElement[]} */
  const slides = [...document.querySelectorAll(/** @type {"p"} */ (".slide"))];
  const nav = document.querySelector("nav");
  let at = 0;

  /** @returns {HTMLElement} */
  const explorer = () => slides[at].querySelector(".normviz");
  const asked = () => Number(location.hash.slice(1)) - 1 || 0;

  function show(number) {
    at = Math.min(Math.max(number, 0), slides.length - 1);
    for (const [k, slide] of slides.entries()) slide.classList.toggle("now", k === at);
    nav.querySelector(".count").textContent = `${at + 1} / ${slides.length}`;
    history.replaceState(null, "", `#${at + 1}`);
    // An explorer gets the keys that are pressed inside of it.
    const place = explorer() ?? slides[at];
    place.tabIndex = -1;
    place.focus({ preventScroll: true });
  }

  /** Go to the next or the last slide; on a slide that walks through the steps of its explorer, to the next step. */
  function go(by) {
    const step = Number(explorer()?.dataset.step) + by;
    if (!("walk" in slides[at].dataset) || !(step >= 0 && step <= LAST_STEP)) return show(at + by);
    /** @type {NodeListOf<HTMLElement>} */ (explorer().querySelectorAll(".nv-step-name"))[step].click();
  }

  function toggleNotes() {
    const shown = deck.toggleAttribute("data-notes");
    nav.querySelector("[data-act=notes]").setAttribute("aria-pressed", String(shown));
  }

  const fullScreen = () => (document.fullscreenElement ? document.exitFullscreen() : deck.requestFullscreen());
  const [back, next] = [() => go(-1), () => go(1)];
  const acts = { back, next, notes: toggleNotes };
  const keys = {
    PageDown: next,
    ArrowRight: next,
    PageUp: back,
    ArrowLeft: back,
    " ": next,
    Home: () => show(0),
    End: () => show(slides.length - 1),
    n: toggleNotes,
    N: toggleNotes,
    f: fullScreen,
    F: fullScreen
  };

  // On the window, so that it comes before the explorers.
  addEventListener(
    "keydown",
    (event) => {
      const { key } = event;
      const target = /** @type {Element} */ (event.target);
      if (event.altKey || event.ctrlKey || event.metaKey || target.matches?.("input, select, textarea")) return;
      // Arrows, Home and End move within the methods and along the slider, and the space bar presses a button.
      if (/^(Arrow|Home|End)/.test(key) && target.matches?.("[role=radio], [role=slider]")) return;
      if (key === " " && target.matches?.("button, a")) return;
      if (keys[key]) keys[key]();
      // Escape folds the methods that are unfolded, and does not end the presentation of an explorer.
      else if (key !== "Escape" || slides[at].querySelector("[aria-expanded=true]")) return;
      take(event);
      event.stopImmediatePropagation();
    },
    { capture: true }
  );
  nav.addEventListener("click", ({ target }) => acts[/** @type {HTMLElement} */ (target).dataset.act]?.());
  addEventListener("hashchange", () => show(asked()));

  deck.dataset.deck = "";
  show(asked());
}

startPage();
startDeck();
