// The page of an audit: the explorer of a layer opens below the button that asks for it.

import { button, h } from "../../explorer/js/core/dom.js";
import { fromBase64 } from "../../explorer/js/core/numbers.js";
import { say } from "../../explorer/js/core/sentences.js";
import { render } from "../../explorer/js/explorer.js";
import { inFrame } from "../../explorer/js/hosts/frame.js";
import { standIn } from "../../explorer/js/hosts/stand_in.js";

/** The value whose JSON was packed, as base64 of gzip. */
function unpackJSON(text) {
  return new Response(new Blob([fromBase64(text)]).stream().pipeThrough(new DecompressionStream("gzip"))).json();
}

/** Let each button of the page open and close the explorer of its layer; one is open at a time. */
function startAudit({ methods, names, explorers, notes }) {
  const place = h("section", { class: "nvp-explorer nva-explorer" });
  /** The button of the open explorer, and how to take that explorer away. */
  let shown = null;
  let wanted = null;

  const close = () => {
    shown?.remove();
    shown?.opener.setAttribute("aria-expanded", "false");
    shown = wanted = null;
    place.remove();
    place.replaceChildren();
  };
  /** Give the keyboard back to the button that opened the explorer. */
  const leave = () => {
    const opener = shown?.opener;
    close();
    opener?.focus();
  };
  const open = async (opener) => {
    close();
    wanted = opener;
    const layer = Number(opener.dataset.layer);
    const { scene, state } = await unpackJSON(explorers[layer]);
    if (wanted !== opener) return; // another button was pressed in the meantime
    const el = h("div", { class: "nvp-live" });
    place.setAttribute("aria-label", names[layer]);
    const note = notes[layer] ? h("p", {}, notes[layer]) : null;
    place.append(button({ class: "nva-close", onclick: leave }, say("common.close")), ...(note ? [note] : []), el);
    opener.closest(".normviz-audit").after(place);
    shown = { opener, remove: render({ model: standIn({ ...scene, methods }, state), el }) };
    opener.setAttribute("aria-expanded", "true");
    place.scrollIntoView({ block: "nearest" });
  };
  /** @type {NodeListOf<HTMLButtonElement>} */
  const openers = document.querySelectorAll("button[data-layer]");
  for (const opener of openers) {
    opener.setAttribute("aria-expanded", "false");
    opener.addEventListener("click", () => (shown?.opener === opener ? leave() : open(opener)));
  }
}

startAudit(JSON.parse(document.getElementById("normviz-data").textContent));
inFrame(() => true);
