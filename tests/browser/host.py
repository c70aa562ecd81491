"""A bare host: a page that runs the front-end on a model of a few lines, as anywidget or an exported page would.

It stands in for Python: ``models[i].receive({...})`` is what an assignment in Python does to a page.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from normviz.explorer import js, validation

PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>A bare host</title>
<main><h1 style="position: absolute; clip-path: inset(50%)">A bare host</h1></main>
<script type="application/json" id="given">GIVEN</script>
<script type="module">
const given = JSON.parse(document.getElementById("given").textContent);
document.head.append(Object.assign(document.createElement("style"), { textContent: given.style }));
class Model {
  constructor(values) { Object.assign(this, { values, listeners: new Map(), pushed: [], waiting: {}, sent: [] }); }
  get(name) { return this.values[name]; }
  set(name, value) { this.waiting[name] = this.values[name] = value; }
  save_changes() { this.pushed.push(this.waiting); this.waiting = {}; }
  send(message, _, buffers = []) {
    const bytes = buffers.map((view) => [...new Uint8Array(view.buffer, view.byteOffset, view.byteLength)]);
    this.sent.push(buffers.length ? { ...message, buffers: bytes } : message);
  }
  on(name, f) { this.listeners.set(name, [...(this.listeners.get(name) ?? []), f]); }
  off(name, f) { this.listeners.set(name, (this.listeners.get(name) ?? []).filter((g) => g !== f)); }
  emit(name, ...args) { for (const f of this.listeners.get(name) ?? []) f(...args); }
  receive(values) {
    Object.assign(this.values, values);
    for (const name of Object.keys(values)) this.emit(`change:${name}`);
  }
}
window.front = await import(URL.createObjectURL(new Blob([given.module], { type: "text/javascript" })));
window.models = given.models.map((values) => new Model(values));
window.mount = async (k) => {
  const el = document.querySelector("main").appendChild(document.createElement("div"));
  return front.default.render({ model: models[k], el });
};
window.closers = await Promise.all(models.map((_, k) => mount(k)));
window.loaded = true;
</script>
</html>
"""


def model(x: Any, method: str = "group", num_groups: int | None = None, **keywords: Any) -> dict[str, Any]:
    """All traits of an explorer of x, as they travel."""
    subject, first = validation.start(x, {"method": method, "num_groups": num_groups, **keywords})
    return first | {"_scene": subject.scene, "index": list(first["index"])}


def write(
    path: Path,
    models: Iterable[dict[str, Any]] = (),
    *,
    style: str = "",
    entry: str = "explorer/js/hosts/editable_widget.js",
) -> Path:
    """Write a page with an explorer for each model, or with another file of the front-end and no explorer."""
    style = f"{js.stylesheet()}\nbody {{ margin: 0; {style} }}"
    text = exporting(entry)
    given = json.dumps({"module": text, "style": style, "models": list(models)})
    path.write_text(PAGE.replace("GIVEN", given.replace("<", "\\u003c")), encoding="utf-8")
    return path


def exporting(entry: str) -> str:
    """The joined module of a file, with all functions that it keeps to itself, so that tests can call them."""
    texts, _ = js.collected(entry)
    names = [name for text in texts.values() for name in js.TOP_LEVEL.findall(text)]
    return f"{js.joined(entry)}\nexport {{ {', '.join(names)} }};"


def tensor(*shape: int, seed: int = 0, dtype: str = "float32") -> np.ndarray:
    """Random values, the same each time, that are not centred."""
    return np.random.default_rng(seed).normal(0.7, 1.6, shape).astype(dtype)
