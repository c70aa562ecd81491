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

/**
 * Is the page behind an element dark?
 * @param {Element} element
 */
export function isDark(element) {
  // Where nothing is painted, such as in a transparent frame, light letters tell of a dark page.
  const paper = lightness(["#fff", getComputedStyle(element).color]) > 0.5 ? "#000" : "#fff";
  const layers = [];
  for (let at = element; at; at = parentOf(at)) layers.unshift(getComputedStyle(at).backgroundColor);
  return lightness([paper, ...layers]) < 0.43;
}
