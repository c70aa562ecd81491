// Make elements without parsing text as HTML.

/** h("button", {class: "x", onclick: f}, "text", child) */
export function h(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

/** JupyterLab takes arrow keys and letters unless the focused element has this attribute. */
export const KEYS = { "data-lm-suppress-shortcuts": "true" };
export const button = (attributes, ...children) => h("button", { type: "button", ...KEYS, ...attributes }, ...children);

/** The few marks of formulas (i, b, sub, sup) as nodes; anything else is text. */
export function rich(markup) {
  /** @type {ParentNode[]} */
  const stack = [document.createDocumentFragment()];
  for (const part of markup.split(/(<\/?(?:i|b|sub|sup)>)/)) {
    const tag = /^<(\/?)(i|b|sub|sup)>$/.exec(part);
    if (!tag) stack[stack.length - 1].append(part);
    else if (tag[1]) stack.length > 1 && stack.pop();
    else {
      const node = document.createElement(tag[2]);
      stack[stack.length - 1].append(node);
      stack.push(node);
    }
  }
  return stack[0];
}

/** Replace the content only when it changed. */
export function put(node, markup) {
  if (node.dataset.shown === markup) return;
  node.dataset.shown = markup;
  node.replaceChildren(rich(markup));
}
export const setText = (node, words) => {
  if (node.textContent !== words) node.textContent = words;
};

const SVG = "http://www.w3.org/2000/svg";
export const svg = (tag, attributes = {}, ...children) => {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
};
/** Set the data of a path. */
export const d = (element, text) => element.setAttribute("d", text);
