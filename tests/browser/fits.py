"""Whether the frame of `nv.show` has the height that its page needs, at every width."""

from playwright.sync_api import Frame, Locator, Page

from tests.browser.reading import ready

WIDTHS = (320, 360, 420, 480, 560, 620, 680, 720, 800, 880, 960, 1100, 1400)

DRAWN = "root => root.querySelector('.nv-svg').viewBox.baseVal.width === root.querySelector('.nv-stage').clientWidth"
"""Whether the picture is drawn for the width that it has."""

ALL_DRAWN = f"() => [...document.querySelectorAll('.normviz:has(.nv-stage)')].every({DRAWN})"
"""Whether the picture of each explorer on a page is drawn for the width that it has."""

THROUGH_STATES = r"""
/** Bring the panel "Tensor" into each state that may need much room, and leave the one that needs most. */
async function throughTensorStates(root, state) {
  const view = root.ownerDocument.defaultView;
  const button = (text) => [...root.querySelectorAll("button")].find((e) => e.textContent === text);
  const enter = async (selector, value, name) => {
    const field = root.querySelector(selector);
    field.value = value;
    field.dispatchEvent(new view.Event("change"));
    await state(name);
  };
  for (const method of [...root.querySelectorAll(".nv-methods [role=radio]")].slice(0, 4)) {
    method.click();
    await enter(".nv-tensor [aria-label=N]", 1, `${method.textContent}, N = 1`);
  }
  await enter(".nv-tensor [aria-label=Seed]", -1, "a sentence");
  const rank = ".nv-tensor select:has([value='5'])";
  await enter(rank, 5, "rank 5");
  for (const name of ["Paste numbers", "As code", "Table"]) {
    button(name).click();
    await state(name);
    button(name).click();
  }
}

/** Bring an explorer of a recording into each state that may need much room. */
async function throughTimes(root, state) {
  const view = root.ownerDocument.defaultView;
  const enter = async (field, value, type) => {
    field.value = value;
    field.dispatchEvent(new view.Event(type));
    await state(`${field.ariaLabel} ${value}`);
  };
  for (const color of ["value", "partition", "set"]) await enter(root.querySelector("select"), color, "change");
  for (const field of root.querySelectorAll(".nv-steppers input")) await enter(field, Math.min(3, field.max), "input");
  const slider = root.querySelector("input[type=range]");
  for (const t of [0, slider.max >> 1, slider.max]) await enter(slider, t, "input");
  for (const mode of root.querySelectorAll("[data-value=eval], [data-value=train]")) {
    mode.click();
    await state(mode.textContent);
  }
}

/** Bring an explorer into each state that may need much room; `measure(name)` looks at it. */
async function throughStates(root, measure) {
  const view = root.ownerDocument.defaultView, isBare = root.classList.contains("nv-bare");
  const buttons = (text) => [...root.querySelectorAll("button")].filter((e) => e.textContent === text);
  // Without controls Python chooses the state; the hidden buttons stand in for it.
  const press = (text) => (buttons(text).find((e) => e.checkVisibility()) ?? buttons(text)[0])?.click();
  const step = (k) => root.querySelectorAll(".nv-step-name")[k].click();
  const methods = [...root.querySelectorAll(".nv-methods [role=radio]")];
  const choose = (name) => methods.find((e) => e.textContent.startsWith(name)).click();
  const state = async (name) => {
    await new Promise((done) => view.requestAnimationFrame(() => view.requestAnimationFrame(done)));
    measure(name);
  };
  await state("as it opens");
  if (root.classList.contains("nv-timed")) return throughTimes(root, state);
  if (root.querySelector(".nv-tensor")) await throughTensorStates(root, state);
  press("More");
  for (const method of methods) {
    method.click();
    for (const k of [0, 3]) { step(k); await state(`${method.textContent}, step ${k}`); }
    press("Code");
    for (const framework of ["PyTorch", "JAX/Flax", "JavaScript"]) {
      press(framework);
      await state(`${method.textContent} in ${framework}`);
    }
    press("Values");
  }
  choose("Batch Norm");
  if (buttons("Eval").length) {
    press("Eval");
    for (const k of [0, 3]) { step(k); await state(`eval, step ${k}`); }
    press("Train");
  }
  const color = root.querySelector("select");
  for (const value of ["value", "partition", "gradient"]) {
    color.value = value;
    color.dispatchEvent(new view.Event("change"));
    await state(`color ${value}`);
  }
  press("Paper figure");
  await state("paper figure");
  press("Samples");
  if (!isBare) {
    press("Tour");
    press("Code");
    for (let stop = 1; stop <= 10; stop++) { await state(`tour, stop ${stop}`); press("Next stop"); }
    press("End tour");
    press("Values");
  }
  press("Predict");
  for (const name of ["Batch Norm", "Layer Norm", "Group Norm"]) {
    choose(name);
    await state(`question about ${name}`);
    press("Reveal");
    step(3);
    await state(`answer about ${name}`);
  }
  press("End");
  press("Present");
  press("Show numbers");
  for (const k of [0, 3]) { step(k); await state(`presented, step ${k}`); }
  press("Leave");
}
"""


def frame_of(place: Page | Frame | Locator) -> tuple[Locator, Frame]:
    """The first frame of an output within a page: its element, and the page inside, drawn."""
    element = place.locator("iframe[srcdoc]").first
    element.scroll_into_view_if_needed()
    inside = element.element_handle().content_frame()
    assert inside is not None
    ready(inside)
    return element, inside


def what_scrolls(element: Locator, inside: Frame, resize: str, widths: tuple[int, ...] = WIDTHS) -> list[str]:
    """At which widths a frame scrolls, down or to the side.

    Parameters
    ----------
    element, inside
        From `frame_of`.
    resize
        A JavaScript function of the frame's element and a width, which gives the place around the frame that width.
    """
    found = []
    for width in widths:
        element.evaluate(resize, width)
        # The page inside hears later than the page around it how large it is.
        size = element.evaluate("frame => [frame.clientWidth, frame.clientHeight]")
        inside.wait_for_function("([width, height]) => innerWidth === width && innerHeight === height", arg=size)
        # Until it is drawn again, a picture keeps the height that it had at the width before.
        inside.wait_for_function(ALL_DRAWN)
        page = "document.scrollingElement"
        more = inside.evaluate(f"[{page}.scrollWidth - innerWidth, {page}.scrollHeight - innerHeight]")
        if max(more) > 0:
            found.append(f"{width} px: a frame of {size} px needs {more} px more")
    return found
