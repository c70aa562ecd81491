// An exported page: a stand-in for anywidget's model, and the state in the address.

import { say } from "../core/sentences.js";
import { fit, render } from "../explorer.js";
import { inFrame } from "./frame.js";
import { keepInLine } from "./in_line.js";

/** Traits that the page's address keeps, and their names there. */
const IN_ADDRESS = {
  method: "method",
  num_groups: "G",
  index: "i",
  step: "step",
  view: "view",
  color: "color",
  mode: "mode",
  predict: "predict",
  presenter: "presenter"
};
/** Default values are omitted from the URL. */
const OMITTED = { mode: "train", predict: false, presenter: false };

/** Traits that linked explorers share. */
const SHARED = ["index", "step", "view", "color", "mode", "predict", "presenter"];

/** A stand-in for anywidget's model, without a kernel. */
function standIn(scene, state) {
  const values = { ...state, _scene: scene };
  const listeners = new Map();
  const listenersOf = (name) => listeners.get(name) ?? listeners.set(name, new Set()).get(name);
  const emit = (name, ...details) => {
    for (const listener of [...listenersOf(name)]) listener(...details);
  };
  return {
    get: (key) => values[key],
    set(key, value) {
      if (JSON.stringify(values[key]) === JSON.stringify(value)) return;
      values[key] = value;
      emit(`change:${key}`, this, value);
    },
    on(name, listener) {
      listenersOf(name).add(listener);
    },
    off(name, listener) {
      listener ? listenersOf(name).delete(listener) : listeners.delete(name);
    },
    save_changes() {
      emit("saved");
    },
    send() {}
  };
}

/** Keys of the first explorer have no prefix; those of the second begin with "2.". */
const prefixOf = (k) => (k ? `${k + 1}.` : "");

/** The state of explorer k in the address. Invalid values in the URL are ignored. */
function readAddress(hash, k, scene, first) {
  const given = new URLSearchParams(hash.replace(/^#/, ""));
  const state = { ...first };
  for (const [key, short] of Object.entries(IN_ADDRESS)) {
    const text = given.get(prefixOf(k) + short);
    if (text === null) continue;
    const whole = /^\d+(,\d+)*$/.test(text) ? text.split(",").map(Number) : null;
    if (key === "index") {
      if (whole?.length === scene.shape.length) state.index = whole;
    } else if (key === "predict" || key === "presenter") state[key] = text === "true" || text === "1";
    else if (key === "num_groups" || key === "step") {
      if (whole?.length === 1) state[key] = whole[0];
    } else if (key !== "method" || scene.methods.some((row) => row.name === text) || (text === "given" && scene.labels))
      state[key] = text;
  }
  const methods = Object.fromEntries(scene.methods.map((row) => [row.name, row]));
  const { G, ...rest } = fit(
    { ...state, G: state.num_groups },
    { shape: scene.shape, methods, labels: scene.labels, running: scene.running }
  );
  return { ...rest, num_groups: G };
}

/** The state of explorer k as a part of the address. */
const writeAddress = (model, k) =>
  Object.entries(IN_ADDRESS)
    .filter(([key]) => !(key in OMITTED) || (model.get(key) ?? OMITTED[key]) !== OMITTED[key])
    .map(([key, short]) => `${prefixOf(k)}${short}=${model.get(key)}`)
    .join("&");

/** Start the explorers of the page. @param {Function | null} createTensor  as `render` takes it */
export function startPage(createTensor = null) {
  const shown = JSON.parse(document.getElementById("normviz-data").textContent);
  const touched = new Set();
  // Linked explorers share one scene, which the page holds once.
  for (const one of shown) if (typeof one.scene === "number") one.scene = shown[one.scene].scene;
  const live = shown.map(({ scene, state }, k) => {
    const place = document.querySelectorAll(".nvp-explorer")[k];
    const model = standIn(scene, readAddress(location.hash, k, scene, state));
    if (JSON.stringify(writeAddress(model, k)) !== JSON.stringify(writeAddress(standIn(scene, state), k)))
      touched.add(k);
    // A frame in a notebook has no address to copy.
    if (location.protocol !== "about:")
      model.address = () => {
        touched.add(k);
        return new URL(`#${addressed()}`, location.href).href;
      };
    const el = document.createElement("div");
    el.className = "nvp-live";
    place.append(el);
    try {
      render({ model, el }, createTensor);
    } catch (error) {
      el.remove(); // the still picture stays
      console.error(error);
      return null;
    }
    place.querySelector(".nvp-still")?.remove();
    // With several explorers, each part needs a name of its own.
    if (shown.length > 1)
      for (const part of el.querySelectorAll("section, [role=region]"))
        part.setAttribute(
          "aria-label",
          say("common.of-several", { name: part.getAttribute("aria-label"), number: k + 1 })
        );
    model.on("saved", () => {
      touched.add(k);
      // Linked explorers keep their own methods and share the other traits.
      if (shown[k].link !== undefined)
        live.forEach((other, j) => {
          if (j === k || !other || shown[j].link !== shown[k].link) return;
          touched.add(j);
          for (const key of SHARED) other.set(key, model.get(key));
        });
      keep();
    });
    return model;
  });
  for (const row of document.querySelectorAll(".nvp-row")) keepInLine(row);
  const addressed = () =>
    [...touched]
      .sort((a, b) => a - b)
      .map((k) => writeAddress(live[k], k))
      .join("&");
  const keep = () => {
    const hash = addressed();
    // A sandboxed frame may not write its address, and some browsers limit how often a page may.
    try {
      history.replaceState(null, "", `#${hash}`);
    } catch {
      /* the address keeps its old state */
    }
  };
  // Read the address of the event: location.hash may have been written since.
  addEventListener("hashchange", (event) =>
    live.forEach((model, k) => {
      if (!model) return;
      const asked = readAddress(new URL(event.newURL).hash, k, shown[k].scene, shown[k].state);
      for (const key of Object.keys(IN_ADDRESS)) model.set(key, asked[key]);
    })
  );
  // In the frame of `nv.show`, the still picture below stays visible until everything is drawn.
  inFrame(() => document.querySelector(".normviz")?.hasAttribute("data-ready"));
}
