// An exported page: its explorers, and their state in the address.

import { say } from "../core/sentences.js";
import { partFor, render } from "../explorer.js";
import { inFrame } from "./frame.js";
import { keepInLine } from "./in_line.js";
import { standIn } from "./stand_in.js";

/**
 * @typedef {Function & {keys: string[], traits?: string[]}} Part  the maker of a part, with its keys in the address and
 *   the traits that can change beside it, if not all can
 */

/** Traits that the page's address keeps, and their names there. */
const BY_NAME = ["step", "view", "color", "mode", "predict", "presenter"];
const SAME_NAMES = Object.fromEntries(BY_NAME.map((name) => [name, name]));
const IN_ADDRESS = { method: "method", num_groups: "G", index: "i", ...SAME_NAMES };
/** The most characters of the address that a part, such as a tensor, may fill up. */
const MOST_ADDRESS = 2000;
/** Default values are omitted from the URL. */
const OMITTED = { mode: "train", predict: false, presenter: false };

/** Traits that linked explorers share. */
const SHARED = ["part", "index", ...BY_NAME];

/** Keys of the first explorer have no prefix; those of the second begin with "2.". */
const prefixOf = (k) => (k ? `${k + 1}.` : "");

/**
 * What the address asks of explorer k. `link` tells the explorer which parts of the address these were: by trait, by
 * key of its part, and those that mean nothing. Linked explorers have one such part, whose keys are those of the first.
 * @param {number} leader  the first of the linked explorers
 * @param {Part | undefined} part
 * @param {number} count  of the explorers; the first one hears of parts that belong to none
 */
function readAddress(hash, k, leader, { scene, state: first }, part, count) {
  const link = { state: {}, part: {}, strange: [] };
  const state = { ...first, link };
  for (const [name, text] of new URLSearchParams(hash.replace(/^#/, ""))) {
    const [, before = "1", short] = /^(?:(\d+)\.)?(.*)$/.exec(name);
    const number = Number(before);
    const key = Object.keys(IN_ADDRESS).find((trait) => IN_ADDRESS[trait] === short);
    if (!key && !text) continue; // an anchor of the page around
    const ofPart = part?.keys.includes(short) && number <= count;
    if ((number <= count ? number - 1 : 0) !== (ofPart ? leader : k)) continue;
    const value = key && number <= count ? traitOf(key, text, scene) : undefined;
    const fixed = !isFree(part, key) && String(value) !== String(first[key]);
    const asked = `${name}=${text}`;
    if (ofPart) link.part[short] = text;
    else if (value === undefined || fixed) link.strange.push(asked);
    else {
      state[key] = value;
      link.state[key] = asked;
    }
  }
  return state;
}

/** Can the trait change beside such a part? */
const isFree = (part, key) => part?.traits?.includes(key) ?? true;

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
const writeAddress = (model, k, part) =>
  Object.entries(IN_ADDRESS)
    .filter(([key]) => isFree(part, key) && (!(key in OMITTED) || (model.get(key) ?? OMITTED[key]) !== OMITTED[key]))
    .map(([key, short]) => `${prefixOf(k)}${short}=${model.get(key)}`)
    .join("&");

/**
 * Start the explorers of the page.
 * @param {Record<string, Part>} parts  as `render` takes them
 */
export function startPage(parts = {}) {
  const shown = JSON.parse(document.getElementById("normviz-data").textContent);
  const touched = new Set();
  // Linked explorers share one scene, which the page holds once.
  for (const one of shown) if (typeof one.scene === "number") one.scene = shown[one.scene].scene;
  const leader = (k) => (shown[k].link === undefined ? k : shown.findIndex(({ link }) => link === shown[k].link));
  const partOf = (k) => /** @type {Part | undefined} */ (partFor(parts, shown[k].scene));
  const asked = (hash, k) => readAddress(hash, k, leader(k), shown[k], partOf(k), shown.length);
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
      render({ model, el }, parts);
    } catch (error) {
      el.remove(); // the still picture stays
      console.error(error);
      return null;
    }
    place.querySelector(".nvp-still")?.remove();
    const written = (from) => writeAddress(from, k, partOf(k));
    if (model.get("part") || written(model) !== written(standIn(scene, state))) touched.add(k);
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
    const texts = order.map((k) => writeAddress(live[k], k, partOf(k)));
    for (const k of order) {
      const part = leader(k) === k ? live[k].get("part") : null;
      texts.push(part?.address(prefixOf(k), MOST_ADDRESS - texts.join("&").length) ?? "");
    }
    return texts.filter(Boolean).join("&");
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
