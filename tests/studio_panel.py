"""The panel of a studio as a person sees it: widgets by their labels, what is said, and what a browser would send."""

import ipywidgets
import numpy as np

from normviz.studio import panel


def controls(studio):
    """Every widget of the panel, the explorer aside."""
    found, waiting = [], [studio.children[0], studio.children[1]]
    while waiting:
        widget = waiting.pop()
        found.append(widget)
        waiting += getattr(widget, "children", ())
    return found


def control(studio, description):
    """The widget that a person finds by its label."""
    (found,) = (w for w in controls(studio) if getattr(w, "description", None) == description)
    return found


def shown(studio):
    """What the panel says, without its markup's start tags."""
    return next(w.value for w in controls(studio) if "nvs-notes" in w._dom_classes)


def refused(studio):
    return studio.children[1].value


def letters(studio):
    """The axes that have a slider."""
    (lengths,) = (
        w for w in controls(studio) if getattr(w, "children", ()) and isinstance(w.children[0], ipywidgets.IntSlider)
    )
    return "".join(slider.description for slider in lengths.children)


def everything(studio):
    """All that a refusal must leave alone."""
    explorer = studio.explorer
    chosen = [w.value for w in controls(studio) if isinstance(w, ipywidgets.IntSlider | ipywidgets.Dropdown)]
    own = [getattr(studio, name) for name in panel.OWN]
    return [*own, explorer._scene, studio.x, explorer.method, explorer.num_groups, shown(studio), *chosen]


def unchanged(before, after):
    return all(a is b or (not isinstance(a, dict | np.ndarray) and a == b) for a, b in zip(before, after, strict=True))


def upload(studio, name, content):
    """What the browser sends for a file."""
    files = [{"name": name, "type": "", "size": len(content), "content": memoryview(content), "last_modified": 0}]
    button = control(studio, "Open a .npy file, up to 10 MB")
    button.set_state({"value": files})
    assert button.value == ()  # the same file can be given again, and is not kept


def npy(x, path):
    np.save(path, x, allow_pickle=True)
    return path.read_bytes()
