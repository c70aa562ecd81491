// The status line of the explorer.

import { gradientText } from "./gradient.js";
import { decimal, span } from "./numbers.js";
import { axisNames, cellName, methodName, spreadName } from "./readout.js";
import { say } from "./sentences.js";

/** The status line: the set, its size, mean and variance; without numbers if `silent`. */
export function statusText(data, state, shown, silent = false) {
  const more =
    state.color === "gradient" && !silent && !shown.pending ? ` ${gradientText(data, shown, state.method)}` : "";
  const where = { name: methodName(shown.method, state.G), cell: cellName(state.index) };
  if (shown.evaluating) {
    if (silent) return say("status.eval-silent", where);
    return say("status.eval", { ...where, mean: decimal(shown.mean), var: decimal(shown.var) }) + more;
  }
  const axes = axisNames(data.shape, shown.method);
  const set = shown.given
    ? say("status.given", { label: shown.label })
    : shown.ownSet.map((r, a) => `${axes[a]} ${span(r)}`).join(", ");
  if (silent) return say("status.set-silent", { ...where, set });
  const spread = spreadName(shown.method);
  if (shown.pending) return say("status.set-pending", { ...where, set, size: shown.size, spread });
  const numbers = { mean: decimal(shown.mean, shown.digits), var: decimal(shown.var) };
  return say("status.set", { ...where, set, size: shown.size, spread, ...numbers }) + more;
}
