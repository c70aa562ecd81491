// The panel "Tensor", in which the reader makes x.

import { h } from "../core/dom.js";
import { say } from "../core/sentences.js";

export function createTensorPanel() {
  return {
    node: h("section", { class: "nv-tensor", "aria-label": say("tensor.name") }),
    hooks: () => ({}),
    sync() {},
    ask: () => false,
    made: () => false
  };
}
