"""The studio itself: traits that say what x is made of, their checks, and one new tensor for every change."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import ipywidgets
import numpy as np
from traitlets import Any as AnyTrait
from traitlets import TraitError, Unicode, validate

from normviz.backends import host
from normviz.errors import unknown
from normviz.explorer import Explorer, page, picture
from normviz.explorer.measure import Data
from normviz.explorer.state import snapped
from normviz.methods import METHODS
from normviz.normalization import statistics
from normviz.results import Statistics
from normviz.studio import values, words
from normviz.studio.controls import Controls
from normviz.studio.files import Given, given

OWN = ("shape", "source", "file", "seed", "distribution", "channel_axis", "backend")
PASSED = ("method", "num_groups", "index", "step", "view", "color", "controls", "predict", "presenter", "eps", "title")
"""Keywords of the explorer that fit a tensor of any shape."""
HEARD = ("_scene", "method", "num_groups", "predict")


@contextmanager
def refusals() -> Iterator[None]:
    """Turn what a wrong value or a wrong file raises into the error of an assignment."""
    try:
        yield
    except OSError as error:
        raise TraitError(f"{error.filename}: {error.strerror}" if error.filename else str(error)) from None
    except (ValueError, TypeError, RuntimeError, MemoryError) as error:
        raise TraitError(str(error)) from None


class Studio(ipywidgets.VBox):
    """A panel for class: sliders for N, C, H and W, where the values come from, the backend, and the explorer.

    As the sliders move the explorer goes on with the new tensor, and the panel says in numbers which methods have the
    same sets at that shape: at N = 1 Batch Norm's are Instance Norm's. It runs in JupyterLab, and under Voila as a
    page without code.

    Parameters
    ----------
    shape
        (N, C, H, W); None takes (4, 16, 12, 12), or the whole of a file. Of a file, how many cells of each axis.
    source
        "sample", real activations, up to (256, 16, 12, 12): the first samples, channels spread evenly, the middle of
        the maps. "random", float32 numbers, up to (32, 64, 32, 32). "file". None takes the file if there is one, else
        the sample.
    file
        The path of a .npy file of 2 to 5 axes, or an array. People who use the panel can only upload one: what lies on
        the computer that Python runs on is not theirs to open.
    seed, distribution
        Of the random numbers. They are "normal", or normal but for a "loud channel" or a "loud sample", ten times as
        large, or "far from zero", mean 100 and standard deviation 0.1.
    channel_axis
        Where C is in the file: 1, or -1 for (N, H, W, C). The explorer shows (N, C, H, W) in either case.
    backend
        Who computes `statistics`, which the panel compares with what the explorer shows: "numpy", "cupy", or None for
        whoever suits the array.
    method, num_groups, **keywords
        As `Explorer` takes them: index, step, view, color, controls, predict, presenter, eps, title. Once it is there
        they are attributes of `explorer`.

    Attributes
    ----------
    shape, source, seed, distribution, channel_axis, backend
        Traits, as above. Assign one, and the panel and the explorer follow.
    file
        What was read: `file.name`, and all of it as `file.values`. Assign a path or an array to show it.
    explorer
        The Explorer that is shown, two-way as any other. Another x assigned to it is taken as the file. It goes on when
        the panel is closed.
    x
        The tensor, (N, C, *spatial). Assign an array to show it.
    statistics
        Mean and variance of every set of the explorer's method, by the chosen backend.

    Raises
    ------
    ValueError, TypeError, RuntimeError, OSError
        For arguments that do not fit, a backend that is not there, a file that cannot be read; in one sentence.
        Assigning such a value later raises traitlets.TraitError and changes nothing.

    Examples
    --------
    >>> import normviz as nv
    >>> studio = nv.Studio((4, 8, 6, 6), source="random", method="batch")
    >>> studio.explorer.pooling.block
    (4, 1, 6, 6)
    >>> studio.shape = (1, 8, 6, 6)
    >>> studio.explorer.pooling.block == nv.pooling("instance", studio.shape).block
    True
    >>> studio
    Studio(shape=(1, 8, 6, 6), source='random', method='batch')
    """

    shape = AnyTrait(())
    source = Unicode("sample")
    file = AnyTrait(None)
    seed = AnyTrait(0)
    distribution = Unicode("normal")
    channel_axis = AnyTrait(1)
    backend = Unicode(None, allow_none=True)

    def __init__(
        self,
        shape: Sequence[int] | None = None,
        *,
        source: str | None = None,
        file: Any = None,
        seed: int = 0,
        distribution: str = "normal",
        channel_axis: int = 1,
        backend: str | None = None,
        method: str | None = None,
        num_groups: int | None = None,
        **keywords: Any,
    ) -> None:
        own = {"layout": keywords.pop("layout")} if "layout" in keywords else {}
        for name in keywords:
            if name not in PASSED:
                raise TypeError(f"Studio(): {unknown('keyword', name, (*OWN, *PASSED, 'layout'))}")
        state = values.start(shape, source, file, seed, distribution, channel_axis, backend)
        self._made = values.make(state)
        self._explorer = Explorer(self._made, method, num_groups, **keywords)
        self._groups = self._explorer.num_groups
        self._controls = Controls()
        self._settling = False
        super().__init__([self._controls.box, self._controls.said, self._explorer], **state, **own)
        self.add_class("normviz-studio")
        self._shown = self._state()
        self.observe(self._changed, OWN)
        self._explorer.observe(self._explored, HEARD)
        self._controls.answer_to(self._ask)
        self._tell()

    # ---- what is shown, for Python ----

    @property
    def explorer(self) -> Explorer:
        """The explorer, two-way."""
        return self._explorer

    @property
    def x(self) -> Any:
        """The tensor that is shown, (N, C, *spatial). Assign an array to show it."""
        return self._explorer.x

    @x.setter
    def x(self, x: Any) -> None:
        self.file = x

    @property
    def statistics(self) -> Statistics:
        """Mean and variance of every set, computed by the chosen backend."""
        pool = self._explorer.pooling
        assert pool is not None  # a studio's explorer has no given sets
        return statistics(self.x, pool.method, num_groups=pool.num_groups, backend=self.backend)

    def close(self) -> None:
        """Take the panel away. The explorer goes on, and has no more to do with the panel."""
        if getattr(self, "_shown", None) is not None:
            self._shown = None
            self._explorer.unobserve(self._explored, HEARD)
            self._controls.close()
        super().close()

    def _state(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in OWN}

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, Any]:
        # The explorer alone outlives the kernel: with nobody to make tensors, sliders would move nothing.
        scene, now = self._explorer._scene, self._explorer._state()
        more = {"text/html": page.fragment((scene, now)), "image/svg+xml": picture.svg(scene, now)}
        return {**(super()._repr_mimebundle_(**kwargs) or {}), **more}

    def __setattr__(self, name: str, value: Any) -> None:
        """Refuse an attribute that a studio does not have: `studio.sorce = "random"` would change nothing."""
        if not name.startswith("_") and not hasattr(type(self), name):
            raise AttributeError(f"Studio: {unknown('attribute', name, (*OWN, 'x', 'explorer'))}")
        super().__setattr__(name, value)

    def __repr__(self) -> str:
        pool = self._explorer.pooling
        groups = f", num_groups={pool.num_groups}" if pool and pool.num_groups else ""
        return f"Studio(shape={self.shape}, source={self.source!r}, method={self._explorer.method!r}{groups})"

    # ---- checks: every assignment, from Python or from the panel ----

    @validate(*OWN)
    def _check(self, proposal: dict[str, Any]) -> Any:
        name, value = proposal["trait"].name, proposal["value"]
        with refusals():
            if name == "shape":
                return values.check_lengths(value, self.source, self.file, self.channel_axis)
            if name == "source":
                return values.check_source(value, self.file)
            if name == "file":
                return None if value is None else given(value, self.channel_axis)
            return getattr(values, f"check_{name}")(value)

    # ---- one change, one tensor ----

    def _changed(self, change: dict[str, Any]) -> None:
        """Fit the other traits to the one that changed, and show what all of them make; or take the change back."""
        if self._settling:
            return
        before = self._shown or self._state()
        with self._settle():
            self._fit(change["name"], before)
        now = self._state()
        try:
            if values.recipe(now) != values.recipe(before):
                self._replace(values.make(now))
        except TraitError:  # the explorer has parameters, a weight for each channel, that do not fit the new shape
            self._restore(before)
            raise
        self._shown = now
        self._tell()

    def _replace(self, x: np.ndarray) -> None:
        explorer = self._explorer
        with self._settle(), explorer.hold_sync():
            explorer.x = x
            # G snaps to a divisor of every C on the way, and is back where it was once C is.
            explorer.num_groups = snapped(self._groups, explorer.method, explorer._subject)
        self._made = x

    def _fit(self, name: str, before: dict[str, Any]) -> None:
        if name == "file" and (self.file is not None or self.source == "file"):
            self.source = "sample" if self.file is None else "file"
        most = values.limits(self.source, self.file, self.channel_axis)
        # What was assigned together with the source, while notifications were held, stays.
        if name in ("file", "source", "channel_axis") and self.shape == before["shape"] and self.source == "file":
            self.shape = values.first_shape("file", most)
        else:
            self.shape = values.fitted(self.shape, most)

    def _explored(self, change: dict[str, Any]) -> None:
        """Follow the explorer: another method, or another tensor that was assigned to it, which becomes the file."""
        if self._settling:
            return
        if change["name"] != "_scene":
            self._groups = self._explorer.num_groups
        if self._explorer.x is not self._made:
            self._made = self._explorer.x
            own = Given("array", host(self._made))
            now = self._state() | {"channel_axis": 1, "file": own, "source": "file", "shape": own.values.shape}
            self._restore(now)
            self._shown = now
        self._tell()

    def _restore(self, state: dict[str, Any]) -> None:
        with self._settle(), self.hold_trait_notifications():
            for name in OWN:
                setattr(self, name, state[name])
        self._tell()

    @contextmanager
    def _settle(self) -> Iterator[None]:
        """Answer no changes: these are made here."""
        self._settling, before = True, self._settling
        try:
            yield
        finally:
            self._settling = before

    # ---- the panel ----

    def _ask(self, name: str, value: Any) -> None:
        """Do what a person asks for in the panel; what can't be is said there, and everything stays as it was."""
        if self._settling:
            return
        try:
            with refusals():
                if name == "file":
                    value = given(value["content"], self.channel_axis, value["name"])
                setattr(self, name, self.seed + 1 if name == "seed" else value)
        except TraitError as error:
            self._tell(str(error))

    def _tell(self, refusal: str = "") -> None:
        """Show the state, what there is to say about it, and what was refused."""
        explorer, found = self._explorer, self.statistics
        row, groups, scene = METHODS[explorer.method], explorer.num_groups, explorer._scene
        by = words.computed(found, row, words.agree(found, Data(scene), row, groups))
        text, aloud = words.panel(self._state(), scene["dtype"], row.name, groups, by, predict=explorer.predict)
        with self._settle():
            self._controls.show(self._state(), row, text, aloud, refusal)
