// For a lecture: a bar with the steps, and keys for a clicker. Numbers show up to the current step.

import { button, h, hide, setText, take } from "../core/dom.js";
import { say } from "../core/sentences.js";

/** @param {boolean} single  whether the steps are those of a recording, whose numbers always show */
export function createPresenter(act, single) {
  const toggle = () => act.set({ numbers: !act.state().numbers });
  const numbers = button({ onclick: toggle });
  const forward = button({ onclick: () => act.step(1) }, say("presenter.forward"));
  const leave = () => {
    act.set({ presenter: false });
    act.focus("present");
  };
  const p = { forward };
  p.node = h(
    "div.nv-row",
    { role: "group", "aria-label": say("presenter.name"), hidden: true },
    button({ onclick: () => act.step(-1) }, say("presenter.back")),
    forward,
    single ? null : numbers,
    button({ onclick: leave }, say("presenter.leave"))
  );
  p.sync = (state) => {
    hide(p.node, !state.presenter);
    setText(numbers, say(state.numbers ? "presenter.hide" : "presenter.show"));
  };
  /**
   * Keys of a clicker: pages or arrows for the steps; a full stop or B, which blank a screen, for all numbers. Keys of
   * a keyboard: 1 to 4 for the methods, comma and slash for the next smaller and larger G.
   */
  p.key = (event) => {
    const { key, target } = event;
    const typed = target.matches?.("input:not([type=range]), select, textarea");
    if (event.altKey || event.ctrlKey || event.metaKey || event.shiftKey || typed) return;
    const by = { PageDown: 1, ArrowRight: 1, PageUp: -1, ArrowLeft: -1 }[key];
    // Arrows move within the methods and along the slider.
    if (by && key.startsWith("Arrow") && target.matches?.("[role=radio], [role=slider], input")) return;
    if (by) act.step(by);
    else if (key === "," || key === "/") act.groups(key === "," ? -1 : 1);
    else if (key === "." || key === "b" || key === "B") toggle();
    else if (key === "Escape" && !act.unfolded()) leave();
    else if (!act.digit(key)) return;
    take(event);
  };
  return p;
}
