// Runs the cells of a notebook in Pyodide under Node: `node pyodide_node.mjs JOB.json`, whose entries are
// pyodide (a folder), packages, wheels, script (the Python file that runs the cells), cells ([{id, source}]) and
// result (the file to write).

import { readFileSync, writeFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const job = JSON.parse(readFileSync(process.argv[2], "utf8"));
// Processor time: other programs do not add to it.
globalThis.seconds = () => Object.values(process.cpuUsage()).reduce((sum, time) => sum + time / 1e6, 0);

try {
  const { loadPyodide } = await import(pathToFileURL(`${job.pyodide}/pyodide.mjs`).href);
  const pyodide = await loadPyodide({ indexURL: `${job.pyodide}/` });
  await pyodide.loadPackage(job.packages, { messageCallback() {} });
  for (const wheel of job.wheels) {
    pyodide.unpackArchive(new Uint8Array(readFileSync(wheel)), "wheel");
  }
  pyodide.globals.set("CELLS", JSON.stringify(job.cells));
  writeFileSync(job.result, await pyodide.runPythonAsync(readFileSync(job.script, "utf8")));
  process.exit(0);
} catch (error) {
  // Without this, Node prints the line of the script that failed, and Pyodide is one line of a megabyte.
  console.error(String(error.message ?? error).slice(-4000));
  process.exit(1);
}
