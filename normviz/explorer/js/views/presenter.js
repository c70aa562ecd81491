// The presenter's bar: large type, steps by a clicker, and numbers that are hidden until they are asked for.

import { button, h, setText } from "../core/dom.js";
import { say } from "../core/sentences.js";
import { stepName } from "./panel.js";

export function createPresenter(act) {
  const at = h("strong");
  const numbers = button({ onclick: () => act.set({ numbers: !act.state().numbers }) });
  const forward = button({ onclick: () => act.step(1) }, say("presenter.forward"));
  const leave = () => {
    act.set({ presenter: false });
    act.focus("present");
  };
  const p = { forward };
  p.node = h(
    "div",
    { class: "nv-presenter-bar", role: "group", "aria-label": say("presenter.name"), hidden: true },
    at,
    h("span", { class: "nv-spring" }),
    button({ onclick: () => act.step(-1) }, say("presenter.back")),
    forward,
    numbers,
    button({ onclick: leave }, say("presenter.leave"))
  );
  p.sync = (state) => {
    p.node.hidden = !state.presenter;
    setText(at, `${state.step} ${stepName(state.step)}`);
    setText(numbers, say(state.numbers ? "presenter.hide" : "presenter.show"));
  };
  /** Keys of a clicker: pages or arrows for the steps; a full stop or B, which blank a screen, for the numbers. */
  p.key = (event) => {
    if (
      event.altKey ||
      event.ctrlKey ||
      event.metaKey ||
      event.shiftKey ||
      event.target.matches?.("input, select, textarea, [role=radio], [role=slider]")
    )
      return;
    const by = { PageDown: 1, ArrowRight: 1, PageUp: -1, ArrowLeft: -1 }[event.key];
    if (by) act.step(by);
    else if (event.key === "." || event.key === "b" || event.key === "B") act.set({ numbers: !act.state().numbers });
    else if (event.key === "Escape") leave();
    else return;
    event.preventDefault();
    event.stopPropagation();
  };
  return p;
}
