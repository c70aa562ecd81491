// What Python is told of a tensor that the reader of a live widget made. `explorer/recipe.py` checks it.

/** @import { Recipe } from "./recipe.js" */
import constants from "../../constants.json" with { type: "json" };
import { quietly } from "../core/model.js";
import { forPython } from "./recipe.js";

const TENSOR_TOLD = ["shape", "fill", "seed", "channelAxis", "edits", "own"];
const PARAMETERS_TOLD = ["eps", "weight", "bias"];

/**
 * @param {any} model
 * @param {Recipe} first  what Python knows when the view begins
 * @param {{data: any, isFirst: (recipe: Recipe) => boolean, withValues: (f: (values: any) => void) => void}} view
 */
export function createMessages(model, first, { data, isFirst, withValues }) {
  const scene = model.get("_scene");
  // Python sends back what it was told; by these numbers a view knows its own among those of other views.
  const begin = Math.max(scene.revision ?? 0, Math.floor(Math.random() * 2 ** 40));
  let revision = begin;
  let told = first;
  const send = (message) => model.send({ ...message, revision: ++revision });

  /** Values go in pieces, because servers limit the size of a message. */
  function sendValues(message, values) {
    const most = constants.limits.piece;
    const named = { ...message, revision: ++revision, dtype: values instanceof Float32Array ? "float32" : "float64" };
    const parts = Math.ceil(values.byteLength / most);
    const piece = (part) => {
      const start = part * most;
      return [new DataView(values.buffer, values.byteOffset + start, Math.min(most, values.byteLength - start))];
    };
    if (parts === 1) return model.send(named, undefined, piece(0));
    for (let part = 0; part < parts; part++)
      model.send({ kind: "piece", revision, part, parts }, undefined, piece(part));
    model.send(named);
  }

  function tellOf(recipe) {
    const before = told;
    told = recipe;
    const differs = (key) => before[key] !== recipe[key];
    const sameTensor = !TENSOR_TOLD.some(differs);
    const { eps, weight, bias } = recipe;
    const [weights, biases] = [data.weight, data.bias].map((list) => list && Array.from(list));
    const parameters = recipe.elementwise ? { eps } : { eps, weight: weights, bias: biases };
    const rest = () => {
      if (PARAMETERS_TOLD.some(differs) || ((weight || bias) && !sameTensor))
        send({ kind: "parameters", ...parameters });
    };
    if (sameTensor) return rest();
    // The tensor that Python has given needs no description.
    const given = isFirst(recipe) && !scene.revision;
    const message = given ? { kind: "first" } : { kind: "made", recipe: forPython(recipe), shape: recipe.shape };
    if (["file", "edited"].includes(message.recipe?.fill))
      return withValues((values) => {
        sendValues(message, values);
        rest();
      });
    send(message);
    rest();
  }

  return {
    /** Tell Python what has changed since it was told, or since the view began. @param {Recipe} recipe */
    tell: (recipe) => quietly(() => tellOf(recipe)),
    /** Was the tensor with this number made in this view? @param {number} number */
    sent: (number) => number > begin && number <= revision
  };
}
