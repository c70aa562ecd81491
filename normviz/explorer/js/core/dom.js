// Make elements without parsing text as HTML.

/**
 * An element such as h("p.nv-note.nv-wide", { onclick: f }, "text", child); the attributes may be left out.
 * @param {string} name  the tag, and the classes behind dots @param {any[]} content
 * @returns {any}
 */
export function h(name, ...content) {
  const [tag, ...classes] = name.split(".");
  const node = document.createElement(tag);
  if (classes.length) node.className = classes.join(" ");
  const hasAttributes = Object.getPrototypeOf(content[0] ?? "") === Object.prototype;
  for (const [key, value] of hasAttributes ? Object.entries(content.shift()) : []) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else node.setAttribute(key, value === true ? "" : value);
  }
  node.append(...content.filter((child) => child !== null && child !== undefined));
  return node;
}

/** Copy a text, where the clipboard is refused by selecting its `node`; says whether it is copied. */
export async function copied(text, node = null) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    if (!node) return false;
  }
  // A sandboxed frame has no clipboard, but may copy what is selected.
  getSelection().selectAllChildren(node);
  try {
    return document.execCommand("copy");
  } catch {
    return false; // the reader is then asked for Ctrl+C
  }
}

/** JupyterLab takes arrow keys and letters unless the focused element has this attribute. */
export const KEYS = { "data-lm-suppress-shortcuts": "true" };
export const button = (attributes, ...children) => h("button", { type: "button", ...KEYS, ...attributes }, ...children);
export const smallButton = (words, onclick) => button({ class: "nv-small", onclick }, words);
/** The attributes of a box that may scroll, so that keys can scroll it as well. */
export const scrolling = (label) => ({ tabindex: "0", role: "region", "aria-label": label, ...KEYS });
/** Keep an event from the browser and from the page around. @param {Event} event */
export function take(event) {
  event.preventDefault();
  event.stopPropagation();
}

const MARKS = /(<\/?(?:i|b|sub|sup)>)/;
/**
 * The few marks of formulas (i, b, sub, sup) as nodes; anything else is text.
 * @param {string} markup @param {Text[]} [texts]  takes the text nodes, one for each text beside and between marks
 */
export function rich(markup, texts = []) {
  /** @type {ParentNode[]} */
  const stack = [document.createDocumentFragment()];
  markup.split(MARKS).forEach((part, k) => {
    if (k % 2 === 0) {
      const text = document.createTextNode(part);
      texts.push(text);
      stack[stack.length - 1].append(text);
    } else if (part[1] === "/") stack.length > 1 && stack.pop();
    else {
      const node = document.createElement(part.slice(1, -1));
      stack[stack.length - 1].append(node);
      stack.push(node);
    }
  });
  return stack[0];
}

/** What `put` has put into each element. @type {WeakMap<Node, {markup: string, parts: string[], texts: Text[]}>} */
const contents = new WeakMap();
/** Replace the content only when it changed; where the marks are the same, only the texts between them. */
export function put(node, markup) {
  const before = contents.get(node);
  if (before?.markup === markup) return;
  const parts = markup.split(MARKS);
  const alike =
    before?.parts.length === parts.length && parts.every((part, k) => k % 2 === 0 || part === before.parts[k]);
  const texts = alike ? before.texts : [];
  contents.set(node, { markup, parts, texts });
  if (!alike) return node.replaceChildren(rich(markup, texts));
  texts.forEach((text, k) => {
    if (before.parts[2 * k] !== parts[2 * k]) text.data = parts[2 * k];
  });
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
/** Set an attribute only when it changed: the browser looks at its styles again whenever one is set. */
export function set(node, name, value) {
  const text = String(value);
  if (node.getAttribute(name) !== text) node.setAttribute(name, text);
}
/** Show or hide an element, if that is a change. */
export const hide = (node, hidden) => {
  if (node.hidden !== hidden) node.hidden = hidden;
};
/** Set the data of a path. */
export const d = (element, text) => set(element, "d", text);
/**
 * Draw each item by a path of a group; paths that are there are used again.
 * @template T @param {Element} group @param {T[]} items @param {(item: T, path: Element) => void} draw
 */
export function redraw(group, items, draw) {
  const paths = group.children;
  while (paths.length > items.length) paths[items.length].remove();
  while (paths.length < items.length) group.append(svg("path"));
  items.forEach((item, k) => {
    draw(item, paths[k]);
  });
}
