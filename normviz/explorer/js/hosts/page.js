// An exported page: its explorers, and their state in the address.

import { say } from "../core/sentences.js";
import { render } from "../explorer.js";
import { inFrame } from "./frame.js";
import { keepInLine } from "./in_line.js";
import { standIn } from "./stand_in.js";

/** Traits that the page's address keeps, and their names there. */
const BY_NAME = ["step", "view", "color", "mode", "predict", "presenter"];
const SAME_NAMES = Object.fromEntries(BY_NAME.map((name) => [name, name]));
const IN_ADDRESS = { method: "method", num_groups: "G", index: "i", ...SAME_NAMES };
/** The most characters of the address that a tensor may fill up. */
const MOST_ADDRESS = 2000;
/** Default values are omitted from the URL. */
const OMITTED = { mode: "train", predict: false, presenter: false };

/** Traits that linked explorers share. */
const SHARED = ["tensor", "index", ...BY_NAME];

/** Keys of the first explorer have no prefix; those of the second begin with "2.". */
const prefixOf = (k) => (k ? `${k + 1}.` : "");

/**
 * What the address asks of explorer k. `link` tells the explorer which parts of the address these were: by trait, by
 * key of the tensor, and those that mean nothing. Linked explorers have one tensor, whose keys are those of the first.
 * @param {number} leader  the first of the linked explorers
 * @param {string[]} tensorKeys
 * @param {number} count  of the explorers; the first one hears of parts that belong to none
 */
function readAddress(hash, k, leader, { scene, state: first }, tensorKeys, count) {
  const link = { state: {}, tensor: {}, strange: [] };
  const state = { ...first, link };
  for (const [name, text] of new URLSearchParams(hash.replace(/^#/, ""))) {
    const [, before = "1", short] = /^(?:(\d+)\.)?(.*)$/.exec(name);
    const number = Number(before);
    const key = Object.keys(IN_ADDRESS).find((trait) => IN_ADDRESS[trait] === short);
    if (!key && !text) continue; // an anchor of the page around
    const isTensor = tensorKeys.includes(short) && number <= count;
    if ((number <= count ? number - 1 : 0) !== (isTensor ? leader : k)) continue;
    const value = key && number <= count ? traitOf(key, text, scene) : undefined;
    const part = `${name}=${text}`;
    if (isTensor) link.tensor[short] = text;
    else if (value === undefined) link.strange.push(part);
    else {
      state[key] = value;
      link.state[key] = part;
    }
  }
  return state;
}

/** A text of the address as the value of a trait; undefined where it is none. */
function traitOf(key, text, scene) {
  const whole = /^\d+(,\d+)*$/.test(text) ? text.split(",").map(Number) : undefined;
  if (key === "index") return whole;
  if (key === "num_groups" || key === "step") return whole?.length === 1 ? whole[0] : undefined;
  if (key === "predict" || key === "presenter") return { true: true, 1: true, false: false, 0: false }[text];
  if (key === "method" && text !== "given" && !scene.methods.some((row) => row.name === text)) return undefined;
  return text;
}

/** The state of explorer k as a part of the address. */
const writeAddress = (model, k) =>
  Object.entries(IN_ADDRESS)
    .filter(([key]) => !(key in OMITTED) || (model.get(key) ?? OMITTED[key]) !== OMITTED[key])
    .map(([key, short]) => `${prefixOf(k)}${short}=${model.get(key)}`)
    .join("&");

/**
 * Start the explorers of the page.
 * @param {(Function & {keys?: string[]}) | null} createTensor  as `render` takes it, with the keys of its address
 */
export function startPage(createTensor = null) {
  const shown = JSON.parse(document.getElementById("normviz-data").textContent);
  const touched = new Set();
  // Linked explorers share one scene, which the page holds once.
  for (const one of shown) if (typeof one.scene === "number") one.scene = shown[one.scene].scene;
  const leader = (k) => (shown[k].link === undefined ? k : shown.findIndex(({ link }) => link === shown[k].link));
  const asked = (hash, k) => readAddress(hash, k, leader(k), shown[k], createTensor?.keys ?? [], shown.length);
  const live = shown.map(({ scene, state }, k) => {
    const place = document.querySelectorAll(".nvp-explorer")[k];
    const model = standIn(scene, asked(location.hash, k));
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
    if (model.get("tensor") || writeAddress(model, k) !== writeAddress(standIn(scene, state), k)) touched.add(k);
    // With several explorers, each part needs a name of its own.
    if (shown.length > 1)
      for (const part of el.querySelectorAll("section, [role=region]")) {
        const name = part.getAttribute("aria-label");
        part.setAttribute("aria-label", say("common.of-several", { name, number: k + 1 }));
      }
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
  const addressed = () => {
    const order = [...touched].sort((a, b) => a - b);
    const parts = order.map((k) => writeAddress(live[k], k));
    for (const k of order) {
      const tensor = leader(k) === k ? live[k].get("tensor") : null;
      parts.push(tensor?.address(prefixOf(k), MOST_ADDRESS - parts.join("&").length) ?? "");
    }
    return parts.filter(Boolean).join("&");
  };
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
  addEventListener("hashchange", (event) => {
    for (const [k, model] of live.entries()) model?.follow(asked(new URL(event.newURL).hash, k));
  });
  // In the frame of `nv.show`, the still picture below stays visible until everything is drawn.
  inFrame(() => document.querySelector(".normviz")?.hasAttribute("data-ready"));
}
