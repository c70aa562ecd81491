// Whether a page is dark. Hosts set themes in many ways, so the colors that are seen count.

/** @type {CanvasRenderingContext2D} */
let pixel = null;

/** The parent on the screen: that of a slot, or the host of a shadow tree. */
const parentOf = (element) => element.assignedSlot ?? element.parentElement ?? element.getRootNode().host;

/** How light colors are that lie over each other, the last one on top: from 0 to 1. */
function lightness(colors) {
  pixel ??= document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  // Painted, every notation of a color becomes the same three numbers, and transparent ones mix.
  for (const color of colors) {
    pixel.fillStyle = color;
    pixel.fillRect(0, 0, 1, 1);
  }
  const [red, green, blue] = pixel.getImageData(0, 0, 1, 1).data;
  return (0.3 * red + 0.59 * green + 0.11 * blue) / 255;
}

/** Paper on which letters of this color can be read. */
const paperOf = (color) => (lightness(["#fff", color]) > 0.5 ? "#000" : "#fff");

/**
 * Is the page behind an element dark?
 * @param {Element} element
 */
export function isDark(element) {
  const layers = [];
  for (let at = element; at; at = parentOf(at)) {
    const { backgroundColor, backgroundImage, color } = getComputedStyle(at);
    // The colors of an image are not known, but the letters on it are.
    layers.unshift(backgroundImage === "none" ? backgroundColor : paperOf(color));
  }
  // Where nothing is painted, such as in a transparent frame, light letters tell of a dark page.
  return lightness([paperOf(getComputedStyle(element).color), ...layers]) < 0.43;
}

/**
 * Call `follow` now and whenever the page behind an element may have become dark or light.
 * @param {Element} element
 * @param {() => void} follow
 * @param {AbortSignal} signal  ends it
 * @returns {() => void} begins again, for an element that has come into the page or under another parent
 */
export function onBehind(element, follow, signal) {
  const changes = new MutationObserver(follow);
  const begin = () => {
    changes.disconnect();
    // Each host says its theme by an attribute of its own, or by another style sheet.
    for (let at = element; at; at = parentOf(at)) changes.observe(at, { attributes: true });
    changes.observe(document.head, { subtree: true, childList: true, attributes: true, characterData: true });
    follow();
  };
  document.head.addEventListener("load", follow, { capture: true, signal });
  const faded = ({ propertyName }) => propertyName === "background-color" && follow();
  document.addEventListener("transitionend", faded, { signal });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", follow, { signal });
  signal.addEventListener("abort", () => changes.disconnect());
  begin();
  return begin;
}
