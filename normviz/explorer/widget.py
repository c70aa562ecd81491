"""The widget: its traits, their checks, and the numbers that a page asks Python for. The browser draws the picture."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import anywidget
import numpy as np
from traitlets import Any as AnyTrait
from traitlets import Bool, Bunch, Dict, Int, TraitError, Unicode, observe, validate

from normviz.core.errors import unknown
from normviz.core.pooling import Pooling, check_cell, check_groups, pooling
from normviz.core.statistics import Statistics
from normviz.explorer import js, validation
from normviz.explorer.recipe import Arrivals, with_none
from normviz.explorer.show import OneExplorer, Part

PARAMETERS = ("weight", "bias", "eps")
FROM_PAGE = (*(name for name in validation.STATE if name != "controls"), "answer")
"""The traits that the front-end may set."""
CHECKED = ("method", "num_groups", "index", "step", *validation.CHOICES, "answer", "editable", "recipe", *PARAMETERS)


@contextmanager
def refusals() -> Iterator[None]:
    """Turn what a wrong value raises into the error of an assignment."""
    try:
        yield
    except (ValueError, TypeError, IndexError) as error:
        raise TraitError(str(error)) from None


class Given(AnyTrait):
    """A trait that `_check` checks. Traitlets would take None for it without a check."""

    allow_none = False


class Explorer(OneExplorer, anywidget.AnyWidget):
    """An activation tensor as a cube with the pooling set of one cell lit; Python and the page change each other.

    An explorer can be copied and pickled: the copy shows the same tensor in the same state. Assign another `x` to show
    another tensor; changing the array in place changes neither the picture nor `statistics`. Above 2**17 cells the
    explorer keeps the moments but no copy of the values, so a single value is read from x when the page asks for it.

    Parameters
    ----------
    x
        Shape (N, C, *spatial) with 0 to 3 spatial axes, float16, float32, float64, integers or booleans; NumPy, CuPy,
        torch or JAX; without one, `nv.samples.activations()`. Axes longer than 32 are drawn aggregated.
    method
        A key of METHODS. For "weight_norm" and "weight_standardization" x stands for weights, (Cout, Cin, *kernel).
    num_groups
        G of Group Norm; None takes the largest divisor of C that is at most 4. For Ghost Batch Norm the number of
        slices of the batch, a divisor of N. With another method it is an error.
    index
        The picked cell, (n, c, *spatial) whatever `channel_axis` is; None takes the first.
    step
        0 pick, 1 gather, 2 mean, 3 variance, 4 normalize, 5 scale and shift.
    view
        "samples" side by side, or "paper": N x C x (H, W), the four methods of Wu & He 2018, Figure 2.
    color
        "set" lights one set, "partition" tells all sets apart, "value" and "normalized" show x and x_hat. "gradient"
        shows d x_hat_i / d x_j of the picked cell i at every cell j; `nv.gradient` gives the same numbers for a
        grad_output that is 1 at i and 0 elsewhere, as torch.autograd does.
    mode
        "train", or "eval": Batch Norm with the running `statistics`.
    controls
        False hides the controls, for slides.
    weight, bias
        Shape (C,); for "layer" also x.shape[1:], as torch.nn.LayerNorm has; for "per_head" and "per_head_rms" also
        (C / num_groups,), which is kept with an entry for each channel; for weights (Cout,).
    eps
        Added to the variance, inside the root; above 0. Like weight and bias it can be assigned later.
    statistics
        A RunningStatistics (or Statistics with one entry a channel) for mode "eval".
    channel_axis
        Where C is in x.
    labels
        Whole numbers of the shape (N, C, *spatial): given sets, blocks or not.
    marks
        Booleans of that shape: cells to mark.
    title
        A line over the explorer.
    predict
        Predict, then reveal: the set and all numbers are hidden, and the explorer asks which cells S_i holds. What was
        revealed comes back as `answer`.
    presenter
        Large type, and a clicker's keys walk the steps; numbers show up to the current step.
    editable
        The page gets the panel "Tensor", in which its reader makes x; `recipe` says how. Not with labels, marks or
        statistics, which belong to one x; `channel_axis` is then 1 or -1. A weight or bias is repeated or cut where
        the reader changes the number of channels.
    layout
        An ipywidgets Layout, or a dict of what it takes.

    Raises
    ------
    ValueError, TypeError, IndexError
        For arguments that do not fit, in one sentence. Assigning such a value later raises traitlets.TraitError.

    Examples
    --------
    >>> import numpy as np, normviz as nv
    >>> explorer = nv.Explorer(np.random.default_rng(0).normal(size=(2, 8, 4, 4)), method="group", num_groups=4)
    >>> explorer.index = (0, 3, 1, 1)
    >>> explorer.set
    (slice(0, 1, None), slice(2, 4, None), slice(0, 4, None), slice(0, 4, None))
    """

    _esm = js.module()
    _css = js.stylesheet()

    method = Unicode("group").tag(sync=True)
    num_groups = Int(1).tag(sync=True)
    index = Given(()).tag(sync=True)
    step = Int(0).tag(sync=True)
    view = Unicode("samples").tag(sync=True)
    color = Unicode("set").tag(sync=True)
    mode = Unicode("train").tag(sync=True)
    controls = Bool(True).tag(sync=True)
    predict = Bool(False).tag(sync=True)
    presenter = Bool(False).tag(sync=True)
    editable = Bool(False).tag(sync=True)
    recipe = Dict().tag(sync=True)
    """How x is made, if the explorer is editable, and else empty: shape, (N, C, *spatial); fill, which is "file" for an
    x of one's own and "edited" if cells were typed over; seed; channel_axis, 1 or -1; edits, [[n, c, *spatial], value].

    Observe it to hear of each tensor that the page makes. A dict with some of these entries, assigned, fills x anew
    with `samples.filled`; the others keep their values, but edits begin anew. For wrong entries traitlets.TraitError.
    """
    answer = Dict().tag(sync=True)
    """The last revealed answer: method, num_groups, index; ranges and truth as [start, stop) for each axis; right,
    missed and extra in cells; says, in words. Empty until then."""
    # The page gets these three with the scene.
    weight = AnyTrait(None)
    bias = AnyTrait(None)
    eps = Given(1e-5)
    _scene = Dict().tag(sync=True)

    def __init__(
        self, x: Any = None, method: str | None = None, num_groups: int | None = None, **keywords: Any
    ) -> None:
        if method is not None:
            keywords["method"] = method
        # Every ipywidget takes its layout.
        own = {"layout": keywords.pop("layout")} if "layout" in keywords else {}
        subject, first = validation.start(x, keywords | {"num_groups": num_groups})
        chosen = first["method"], first["num_groups"], subject.shape
        given = {name: validation.for_all_groups(keywords[name], *chosen) for name in PARAMETERS if name in keywords}
        self._begin(subject, first | own, given)

    def _begin(self, subject: validation.Subject, traits: Mapping[str, Any], parameters: Mapping[str, Any]) -> None:
        self._subject, self._arrivals, self._filled = subject, Arrivals(), None
        self._given, self._first = dict(parameters), subject
        # Only an editable explorer brings along the panel, because every saved notebook keeps the script.
        script = js.module(editable=subject.recipe is not None)
        super().__init__(**{"_esm": script, "_scene": subject.scene, **traits, **of_recipe(subject)})
        with self.cross_validation_lock:
            for name, value in parameters.items():
                self.set_trait(name, value)
        self.on_msg(self._hear)
        self.observe(self._rescale, PARAMETERS)

    def __reduce__(self) -> Any:
        # anywidget gives every instance a class of its own, with the name of its base.
        name = type(self).__module__, type(self).__qualname__
        kind = [kind for kind in type(self).__mro__ if (kind.__module__, kind.__qualname__) == name][-1]
        layout = {name: value for name, value in self.layout.get_state().items() if name[0] != "_"}
        traits = self._state() | {"answer": self.answer, "tooltip": self.tooltip, "layout": layout}
        return _restored, (kind, self._subject, traits, {name: getattr(self, name) for name in PARAMETERS})

    def __copy__(self) -> Explorer:
        rebuild, arguments = self.__reduce__()
        return rebuild(*arguments)

    def __deepcopy__(self, memo: dict[int, Any]) -> Explorer:
        rebuild, arguments = self.__reduce__()
        return rebuild(*copy.deepcopy(arguments, memo))

    # ---- what is shown, for Python ----

    @property
    def x(self) -> Any:
        """The tensor, as it was given. On assignment of another, G snaps to a divisor of C and the index is clipped.

        If the page or a recipe made it, it is a NumPy array, float32, or float64 where cells were typed over or numbers
        pasted; `recipe["channel_axis"]` says where C is.
        """
        return self._subject.x

    @x.setter
    def x(self, x: Any) -> None:
        with refusals():
            subject = self._subject.with_x(x)
        self._show(subject)

    def _show(
        self, subject: validation.Subject, revision: int = 0, parameters: Mapping[str, Any] = MappingProxyType({})
    ) -> None:
        """Show another tensor, or the same in another way; one with a revision was made by the page, which shows it."""
        fitted, scene, before = validation.fitted_state(self._state(), subject), subject.scene, self._subject
        # The page fits G and the index by the same rule, and a person may have gone on since.
        own = {name: list(value) if name == "index" else value for name, value in fitted.items() if revision}
        changed = [name for name in ("weight", "bias") if getattr(subject, name) is not getattr(before, name)]
        given = {name: getattr(subject, name) for name in changed} | dict(parameters)
        if not revision:
            self._first = subject
        with self._lock_property(**own), self.hold_sync(), self.hold_trait_notifications():
            self._subject, self._arrivals.revision = subject, revision
            self._given |= given
            self.set_trait("_scene", scene | {"revision": revision} if revision else scene)
            for name, value in (fitted | of_recipe(subject) | given).items():
                self.set_trait(name, value)
        if revision and subject.tensor is not before.tensor and subject.recipe == before.recipe:
            # Another file of the same shape.
            self.notify_change(Bunch(name="recipe", old=self.recipe, new=self.recipe, owner=self, type="change"))

    @property
    def pooling(self) -> Pooling | None:
        """How the method cuts the shape (N, C, *spatial); None for given sets."""
        if self.method == "given":
            return None
        takes_groups = validation.grouped(self.method).name == self.method
        return pooling(self.method, self._subject.shape, self.num_groups if takes_groups else None)

    @property
    def statistics(self) -> Statistics:
        """Mean and variance of every set, or the running ones in eval mode; count is that of the lit set."""
        on, blocks = self._subject, self.pooling
        if blocks is None:
            sets = on.sets or {}
            return Statistics(mean=sets["mean"], var=sets["var"], count=int(self.set.sum()))
        if self.mode == "eval" and self.method == "batch" and on.running is not None:
            return Statistics(mean=on.running[0], var=on.running[1], count=blocks.size)
        return on.tensor.statistics(self.method, blocks.num_groups)

    @property
    def set(self) -> Any:
        """The lit set: slices in the order (n, c, *spatial), or for given sets a boolean array of that shape."""
        blocks, labels = self.pooling, np.asarray(self._subject.labels)
        return labels == labels[self.index] if blocks is None else blocks.set_of(self.index)

    # ---- pictures and pages ----

    def page_parts(self) -> Sequence[Part]:
        """The tensor with the state."""
        return [(self._subject, self._state())]

    def _state(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in validation.STATE}

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        bundle = anywidget.AnyWidget._repr_mimebundle_(self, **kwargs)
        if bundle is None:
            return None
        data, metadata = bundle
        return data | self._bundle("auto"), metadata

    def __setattr__(self, name: str, value: Any) -> None:
        """Refuse an attribute that an explorer does not have: `explorer.methd = "layer"` would change nothing."""
        if not name.startswith("_") and not hasattr(type(self), name):
            known = (*validation.STATE, *PARAMETERS, "x", "editable", "recipe")
            raise AttributeError(f"Explorer: {unknown('attribute', name, known)}")
        super().__setattr__(name, value)

    def __repr__(self) -> str:
        groups = f", num_groups={self.num_groups}" if validation.grouped(self.method).name == self.method else ""
        return f"Explorer(shape={self._subject.shape}, method={self.method!r}{groups}, index={self.index})"

    def get_state(self, key: Any = None, drop_defaults: bool = False) -> dict[str, Any]:
        """As in ipywidgets, but exports always keep `_esm`, without which a page has no front-end to run."""
        return super().get_state(key, drop_defaults=drop_defaults and key is not None)

    def _handle_msg(self, msg: Any) -> None:
        super()._handle_msg({**msg, "content": with_none(msg["content"])})

    def set_state(self, sync_data: dict[str, Any]) -> None:
        """Take from the front-end what a person can change there; everything else keeps its value."""
        if isinstance(sync_data, dict):
            super().set_state({name: value for name, value in sync_data.items() if name in FROM_PAGE})

    # ---- checks: every assignment, from Python or from the page ----

    @validate(*CHECKED)
    def _check(self, proposal: dict[str, Any]) -> Any:
        name, value, on = proposal["trait"].name, proposal["value"], self._subject
        with refusals():
            if name in PARAMETERS:
                value = validation.for_all_groups(value, self.method, self.num_groups, on.shape)
                on.with_parameter(name, value, self.method)
                return value
            if name == "method":
                return validation.check_method(value, on)
            if name == "num_groups":
                return check_groups(value, validation.grouped(self.method), on.shape)
            if name == "index":
                return check_cell(value, on.shape)
            if name == "step":
                return validation.check_step(value)
            if name == "recipe":
                if value != (on.recipe or {}):
                    self._filled = on.filled(value)
                    value = copy.deepcopy(self._filled.recipe)
                return value
            if name == "editable":
                if value and on.recipe is None:
                    on.opened()
                return value
            if name == "answer":
                return validation.check_answer(value, on)
            return validation.check_choice(name, value, on)

    @observe("recipe")
    def _fill(self, change: dict[str, Any]) -> None:
        if self._filled is not None and self._filled.recipe == change["new"] != self._subject.recipe:
            self._show(self._filled)
        self._filled = None

    @observe("editable")
    def _open(self, change: dict[str, Any]) -> None:
        """Let the reader of the page change x, or no longer; `_check` has accepted it."""
        on = self._subject
        if change["new"] != (on.recipe is not None):
            self._esm = js.module(editable=change["new"])
            self._show(on.opened() if change["new"] else replace(on, recipe=None))

    @observe("method")
    def _regroup(self, change: dict[str, Any]) -> None:
        """Ghost Batch Norm cuts the samples and Group Norm the channels: G snaps to a divisor of what is cut now."""
        if hasattr(self, "_subject"):
            self.num_groups = validation.snapped(self.num_groups, change["new"], self._subject)

    def _rescale(self, change: dict[str, Any]) -> None:
        if self._given.get(change["name"], self) is change["new"]:  # it came with the tensor
            return
        method = self.method if validation.takes_weights(self.method) else "layer"
        name, value = change["name"], change["new"]
        self._show(self._subject.with_parameter(name, value, method), parameters={name: value})

    def _hear(self, widget: Any, message: Any, buffers: Any) -> None:
        """Take what the page sends: a tensor that its reader made, parameters, or a question; ignore all else."""
        kind = message.get("kind") if isinstance(message, dict) else None
        if not self.editable or kind not in ("piece", "made", "first", "parameters"):
            return self._answer(widget, message, buffers)
        on, given, revision = self._subject, {}, self._arrivals.revision
        try:
            if kind == "piece":
                return self._arrivals.piece(message, buffers)
            if kind == "made":
                revision, made, values = self._arrivals.made(message, buffers)
                on = on.made(made, values)
            elif kind == "first":  # the tensor with which the page began
                revision, on = self._arrivals.checked_revision(message["revision"]), on.back_to(self._first)
            else:
                if "revision" in message:
                    revision = self._arrivals.checked_revision(message["revision"])
                given = {name: message[name] for name in PARAMETERS if name in message}
                if not given:
                    return None
                for name, value in given.items():
                    on = on.with_parameter(name, value, self.method)
        except (KeyError, ValueError, TypeError, IndexError, MemoryError):
            return None
        return self._show(on, revision, given)

    def _answer(self, _widget: Any, question: Any, _buffers: Any) -> None:
        """Send the page the numbers of one cell of a tensor that is too large to travel."""
        try:
            on, index = self._subject, check_cell(question["index"], self._subject.shape)
            method = validation.check_method(question["method"], on)
            row = validation.grouped(method)
            groups = check_groups(question["num_groups"], row, on.shape)
            pool = None if method == "given" else pooling(method, on.shape, groups if row.name == method else None)
        except (KeyError, ValueError, TypeError, IndexError):
            return
        if pool is not None:
            mean, var = on.tensor.set_statistics(pool, index)
        else:
            sets = on.sets or {}
            at = np.searchsorted(sets["label"], np.asarray(on.labels)[index])
            mean, var = sets["mean"][at], sets["var"][at]
        found = {"x": on.values[index], "mean": mean, "var": var}
        numbers = {name: float(value) if math.isfinite(value) else None for name, value in found.items()}
        key = f"{question['method']}/{question['num_groups']}/{','.join(map(str, question['index']))}"
        self.send({"kind": "cell", "key": key} | numbers)


def of_recipe(subject: validation.Subject) -> dict[str, Any]:
    """The traits that say how x is made."""
    return {"editable": subject.recipe is not None, "recipe": copy.deepcopy(subject.recipe or {})}


def _restored(
    kind: type[Explorer], subject: validation.Subject, traits: Mapping[str, Any], parameters: Mapping[str, Any]
) -> Explorer:
    explorer = kind.__new__(kind)
    explorer._begin(subject, traits, parameters)
    return explorer
