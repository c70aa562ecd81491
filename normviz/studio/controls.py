"""The widgets of the studio's panel: they show a state, and pass on what a person asks for."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from html import escape
from importlib.resources import files
from typing import Any

import anywidget
import ipywidgets as widgets
from traitlets import Unicode

from normviz.backends import BACKENDS
from normviz.explorer.names import length_names
from normviz.methods import Method
from normviz.studio.values import DISTRIBUTIONS, limits

LIVE = 2**15
"""Up to so many cells the explorer follows while a slider is dragged; a larger x waits until it is let go."""
REACH = 32
"""Where the samples' slider ends while there are no more: 256 of them would leave no room for 1, 2 and 4."""
CHOICES = ("source", "distribution", "channel_axis", "backend")


class Voice(anywidget.AnyWidget):
    """Says the notes to those who cannot see them, and names the sliders, both of which ipywidgets leaves out."""

    _esm = files("normviz.studio").joinpath("voice.js").read_text(encoding="utf-8")
    _css = files("normviz.studio").joinpath("studio.css").read_text(encoding="utf-8")

    says = Unicode("").tag(sync=True)

    def get_state(self, key: Any = None, drop_defaults: bool = False) -> dict[str, Any]:
        """As ipywidgets', but exports always keep `_esm`, as the explorer's do."""
        return super().get_state(key, drop_defaults=drop_defaults and key is not None)


class Controls:
    """The widgets by name, and how they show a state."""

    def __init__(self) -> None:
        axes = [("second, (N, C, …)", 1), ("last, (N, …, C)", -1)]
        self.source = _field(widgets.Dropdown, "Source")
        self.distribution = _field(widgets.Dropdown, "Numbers", options=[*DISTRIBUTIONS])
        self.again = _button(widgets.Button, "New numbers")
        self.channel_axis = _field(widgets.Dropdown, "Axis of C", options=axes)
        self.upload = _button(widgets.FileUpload, "Open a .npy file, up to 10 MB", accept=".npy", icon="")
        self.backend = _field(widgets.Dropdown, "Backend", options=["auto", *BACKENDS])
        self.sliders = [_field(widgets.IntSlider, "", wide=36, min=1, max=2) for _ in range(5)]
        self.notes, self.said, self.voice = widgets.HTML(), widgets.HTML(), Voice()
        self.lengths = widgets.VBox()
        self.choices = widgets.VBox(
            [self.source, self.distribution, self.again, self.channel_axis, self.upload, self.backend, self.voice]
        )
        self.box = widgets.GridBox([self.choices, self.lengths, self.notes])
        for widget, name in ((self.box, "nvs-controls"), (self.notes, "nvs-notes")):
            widget.add_class(name)

    def answer_to(self, ask: Callable[[str, Any], None]) -> None:
        """Have every change that a person makes asked for: ask(name of the trait, value)."""
        for name in CHOICES:
            getattr(self, name).observe(lambda change, name=name: ask(name, change["new"]), "value")
        for slider in self.sliders:
            slider.observe(lambda _: ask("shape", tuple(s.value for s in self.lengths.children)), "value")
        self.again.on_click(lambda _: ask("seed", None))
        self.upload.observe(lambda change: change["new"] and ask("file", change["new"][0]), "value")

    def show(self, state: Mapping[str, Any], row: Method, text: str, aloud: Sequence[str], refusal: str) -> None:
        """Show a state, with what there is to say about it; `text` is HTML, the other two are plain."""
        file, source, shape = state["file"], state["source"], state["shape"]
        options = [("real activations", "sample"), ("random numbers", "random")]
        options += [] if file is None else [(file.name, "file")]
        if self.source.options != tuple(options):
            self.source.options = options
        for name in CHOICES:
            # To a list of ipywidgets None is no choice.
            getattr(self, name).value = "auto" if state[name] is None else state[name]
        shown = {"random": (self.distribution, self.again), "file": (self.channel_axis,)}.get(source, ())
        for widget in (self.distribution, self.again, self.channel_axis):
            widget.layout.display = None if widget in shown else "none"
        self.upload.value = ()
        most = limits(source, file, state["channel_axis"])
        ends = most if source == "file" else (min(most[0], max(REACH, shape[0])), *most[1:])
        self._show_lengths(shape, ends, length_names(shape, {"axes": row.axes}))
        self.notes.value, self.voice.says = text, " ".join(aloud)
        self.said.value = f'<p class="nvs-said" role="alert">{escape(refusal)}</p>' if refusal else ""

    def _show_lengths(self, shape: Sequence[int], ends: Sequence[int], names: Sequence[str]) -> None:
        sliders, live = self.sliders[: len(shape)], math.prod(shape) <= LIVE
        for slider, name, n, end in zip(sliders, names, shape, ends, strict=True):
            with slider.hold_sync():
                # A slider needs two ends, also where there is nothing to move.
                slider.max, slider.disabled = max(end, 2), end == 1
                slider.value, slider.description, slider.continuous_update = n, name, live
        if self.lengths.children != tuple(sliders):
            self.lengths.children = sliders

    def close(self) -> None:
        """Close every widget."""
        inner = [*self.choices.children, *self.sliders]
        for widget in [*inner, self.choices, self.lengths, self.notes, self.said, self.box]:
            widget.close()


def _field(kind: type[Any], description: str, wide: int = 74, **options: Any) -> Any:
    layout = widgets.Layout(width="auto", max_width="420px")
    return kind(description=description, layout=layout, style={"description_width": f"{wide}px"}, **options)


def _button(kind: type[Any], description: str, **options: Any) -> Any:
    layout = widgets.Layout(width="auto", max_width="334px", margin="2px 2px 2px 84px")
    return kind(description=description, layout=layout, **options)


__all__ = ["Controls"]
