// What ipywidgets leaves out: its sliders have no names, and a text that is replaced is not read aloud.
// This element is there for both; nobody sees it.

/** Name every slider of a panel, and the number beside it, by the label before them; take "(0)" off the upload button. */
function name(panel) {
  for (const button of panel.querySelectorAll(".widget-upload")) {
    const text = button.textContent.replace(/ \(\d+\)$/, "");
    if (button.textContent !== text) button.textContent = text;
  }
  for (const slider of panel.querySelectorAll(".widget-slider")) {
    const axis = slider.querySelector(".widget-label")?.textContent ?? "";
    const names = { "[role=slider]": axis, ".widget-readout": `${axis}, as a number` };
    for (const [query, text] of Object.entries(names)) {
      const part = slider.querySelector(query);
      if (part && part.getAttribute("aria-label") !== text) part.setAttribute("aria-label", text);
    }
    const readout = slider.querySelector(".widget-readout");
    if (readout && !readout.hasAttribute("role")) readout.setAttribute("role", "textbox");
  }
}

export default {
  render({ model, el }) {
    el.classList.add("nvs-voice");
    el.setAttribute("aria-live", "polite");
    const say = () => { el.textContent = model.get("says"); };
    let panel = null;
    const watching = new MutationObserver(() => name(panel));
    // The element gets its size when the panel takes it in, and only then has a panel.
    const arriving = new ResizeObserver(() => {
      panel = el.closest(".nvs-controls");
      if (!panel) return;
      arriving.disconnect();
      watching.observe(panel, { childList: true, characterData: true, subtree: true });
      name(panel);
    });
    arriving.observe(el);
    model.on("change:says", say);
    say();
    return () => {
      arriving.disconnect();
      watching.disconnect();
      model.off("change:says", say);
    };
  },
};
