// The worker of the panel "Tensor": makes large tensors beside the page.

import { buffersOf, createBench } from "./making.js";

const bench = createBench();

addEventListener("message", async ({ data }) => {
  const { call, task } = data;
  try {
    const result = await bench[task](data, (share) => postMessage({ call, share }));
    postMessage({ call, result }, { transfer: task === "make" ? buffersOf(result) : [] });
  } catch (error) {
    const { name, message } = /** @type {Error} */ (error);
    postMessage({ call, error: { name, message } });
  }
});
