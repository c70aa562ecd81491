// The catalog of sentences, filled by the same rule as in sentences.py: `{key}` stands for a value, and
// `{key?one|many}` for the first text if the value is 1 and the second if not.

import sentences from "../../sentences.json" with { type: "json" };

const PLACE = /\{([a-z]\w*)(?:\?([^|{}]*)\|([^{}]*))?\}/gi;

/** The text "section.name" of the catalog with its values. @param {Record<string, string | number>} [values] */
export function say(key, values = {}) {
  const [section, name] = key.split(".");
  if (!Object.hasOwn(sentences[section] ?? {}, name)) throw new Error(`there is no text "${key}"`);
  return fillText(sentences[section][name], values);
}

/** The text with its values; what stands in braces inside a value stays as it is. */
export const fillText = (text, values) =>
  text.replace(PLACE, (_, name, one, many) => {
    const value = Object.hasOwn(values, name) ? values[name] : null;
    if (value === null || value === undefined) throw new Error(`"${text}" needs a value for "${name}"`);
    return one === undefined ? String(value) : String(value) === "1" ? one : many;
  });
