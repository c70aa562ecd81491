// Makes a tensor to order, small ones at once and large ones in a worker.

/** How the sample activations are stored: multiples of a step. */
const SAMPLE = { shape: [16, 16, 12, 12], step: 1 / 128 };

/** The sample activations from the bytes that scene.py packed. @param {string} packed */
export async function unpackSample(packed) {
  const deflated = Uint8Array.from(atob(packed), (char) => char.charCodeAt(0));
  const stream = new Blob([deflated]).stream().pipeThrough(new DecompressionStream("deflate"));
  const bytes = new Uint8Array(await new Response(stream).arrayBuffer());
  const size = bytes.length / 2;
  const values = Float32Array.from({ length: size }, (_, i) => (bytes[i] + 256 * bytes[size + i]) * SAMPLE.step);
  return { values, shape: SAMPLE.shape };
}
