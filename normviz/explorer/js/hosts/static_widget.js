// The explorer as an anywidget that brings its tensor along, for hosts without Python, such as MyST. The host's model
// is only read: what it holds takes the place of the exported state.

import { TRAITS, render } from "../explorer.js";
import { standIn } from "./stand_in.js";

/** The anywidget of an exported scene and state. */
export const widgetOf = ({ scene, state }) => ({
  render({ model, el }) {
    const asked = TRAITS.map((key) => [key, model.get(key)]).filter(([, value]) => value != null);
    const parts = Object.fromEntries(asked.map(([key, value]) => [key, `${key}: ${JSON.stringify(value)}`]));
    // MyST puts its own error in the place of a model that is no JSON.
    const error = model.get("error");
    const link = { state: parts, part: {}, strange: error ? [String(error).replace(/\.$/, "")] : [] };
    return render({ model: standIn(scene, { ...state, ...Object.fromEntries(asked), link }), el });
  }
});
