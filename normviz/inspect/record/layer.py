"""The statistics of one normalization layer over a training run, as a value that does not change."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from normviz.core.methods import METHODS
from normviz.core.statistics import trusted_state
from normviz.inspect.audit.detect import DEFAULT_EPS
from normviz.inspect.audit.measurements import squared_gaps
from normviz.inspect.audit.table import plural
from normviz.inspect.audit.tensors import short_name

if TYPE_CHECKING:
    from normviz.inspect.record.recorder import Series

OF_CHANNELS = ("mean", "var", "running_mean", "running_var", "weight", "bias")
OF_SETS = ("set_mean", "set_var")
OF_FIRST_SETS = ("first_mean", "first_var")
OF_STEPS = ("grad_norm", "samples", "count", "own")
OPTIONAL = (*OF_CHANNELS[2:], *OF_FIRST_SETS)
ARRAYS = (*OF_CHANNELS, *OF_SETS, *OF_FIRST_SETS, *OF_STEPS)


@dataclass(frozen=True, eq=False, repr=False)
class LayerRecording:
    """One normalization layer over T recorded steps; C is its number of channels.

    Arrays are read-only, and float64 unless stated otherwise. A step in which the layer was not called has NaN.

    Attributes
    ----------
    name, type
        As in `audit`: the name in `model.named_modules()`, or "blocks.0:layer_norm" for a function that the module
        blocks.0 calls; the name of the class or function.
    kind, num_groups
        A key of METHODS, and G of Group Norm.
    shape
        Of the layer's input at its first recorded call that had a sample, (N, C, *spatial).
    eps, momentum
        None where there is none. `momentum` is the share of the newest batch in the running statistics.
    mean, var
        Of the layer's input, per channel, over all samples and positions: shape (T, C). The variance is biased.
    set_mean, set_var
        Minimum, quartiles and maximum over the layer's own pooling sets: shape (T, 5). Where the method takes no mean
        (rms), they are 0 and those of the mean square.
    first_mean, first_var
        The same statistics of the first S pooling sets, (T, S): in the order of the sets' first cells in (N, C,
        *spatial); S is at most 64, or C if that is more. None for Batch Norm, whose sets are the channels.
    running_mean, running_var
        As they stand after the forward, (T, C); None if the layer has none.
    weight, bias
        As used in the forward, (T, C); the mean over a channel if every element has a weight of its own; None if the
        layer has none.
    grad_norm
        The L2 norm of the gradient of the loss with respect to the layer's output in this very forward, (T,); NaN
        where none came. It is the gradient that reached the output, so that of the scaled loss with a gradient scaler,
        and that of one batch's loss where several are accumulated. The squares of several gradients are added before
        the root: of a layer called several times, and of a backward that runs again over one forward.
    samples, count
        The number of samples, and the number of cells of a channel, (T,), int; 0 where the layer was not called.
    own
        Whether the layer used the batch's statistics and not its running ones, (T,), bool.
    """

    name: str
    type: str
    kind: str
    num_groups: int | None
    shape: tuple[int, ...]
    eps: float | None
    momentum: float | None
    mean: np.ndarray
    var: np.ndarray
    set_mean: np.ndarray
    set_var: np.ndarray
    first_mean: np.ndarray | None
    first_var: np.ndarray | None
    running_mean: np.ndarray | None
    running_var: np.ndarray | None
    weight: np.ndarray | None
    bias: np.ndarray | None
    grad_norm: np.ndarray
    samples: np.ndarray
    count: np.ndarray
    own: np.ndarray

    def __post_init__(self) -> None:
        """Make the arrays read-only."""
        for value in vars(self).values():
            if isinstance(value, np.ndarray):
                value.setflags(write=False)

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Make the arrays of a copy or of an unpickled value read-only as well."""
        trusted_state(self, state)

    @property
    def called(self) -> np.ndarray:
        """Whether the layer was called, (T,), bool."""
        return self.count > 0

    @property
    def label(self) -> str:
        """The method's name as it is written in a text, with G."""
        name = METHODS[self.kind].label if self.kind in METHODS else self.type
        return name + (f", G = {self.num_groups}" if self.num_groups else "")

    @property
    def used_eps(self) -> float:
        """The layer's eps, or the usual one."""
        return DEFAULT_EPS if self.eps is None else self.eps

    def squared_gaps(self) -> np.ndarray | None:
        """How far the outputs by running and by the batch's statistics are apart, squared, (T, C); None if no running.

        In standard deviations of the output.
        """
        if self.running_mean is None or self.running_var is None:
            return None
        return squared_gaps(self.mean, self.var, self.running_mean, self.running_var, self.used_eps)

    def __repr__(self) -> str:
        T, C = self.mean.shape
        return f"<LayerRecording {short_name(self.name)}: {self.label}, {plural(T, 'step')}, C = {C}>"


def in_a_sentence(short: str, word: str = "layer") -> str:
    r"""Return a layer's short name, with the word before it where it is a number.

    >>> in_a_sentence("10"), in_a_sentence("layer1.0.bn1")
    ('layer\xa010', 'layer1.0.bn1')
    """
    return short if any(map(str.isalpha, short)) else f"{word}\N{NO-BREAK SPACE}{short}"


def frozen(name: str, series: Series, steps: int) -> LayerRecording:
    """Return what was recorded of a layer so far."""
    C, rows = series.norm.channels, series.rows

    def table(of: str, width: int) -> np.ndarray | None:
        if width == C and all(row[of] is None for row in rows.values()):
            return None
        filled = np.full((steps, width), np.nan)
        for step, row in rows.items():
            if row[of] is not None:
                filled[step] = row[of]
        return filled

    def numbers(of: str, kind: type) -> np.ndarray:
        filled = np.zeros(steps, kind)
        for step, row in rows.items():
            filled[step] = row[of]
        return filled

    grad_norm = np.full(steps, np.nan)
    for step, row in rows.items():
        came = [square for squares in row["squares"] for square in squares]
        if came:
            grad_norm[step] = np.sqrt(np.sum(came))
    norm = series.norm
    shape = norm.canonical(norm.shape)
    shape = shape if len(shape) <= 5 else (*shape[:2], math.prod(shape[2:]))
    tables: dict[str, Any] = {of: table(of, C) for of in OF_CHANNELS} | {of: table(of, 5) for of in OF_SETS}
    tables |= {of: _first_sets(rows, of, steps) for of in OF_FIRST_SETS}
    return LayerRecording(
        name=name,
        type=series.type,
        kind=norm.kind,
        num_groups=norm.num_groups,
        shape=shape,
        eps=norm.eps,
        momentum=series.momentum,
        **tables,
        grad_norm=grad_norm,
        samples=numbers("samples", int),
        count=numbers("count", int),
        own=numbers("own", bool),
    )


def _first_sets(rows: dict[int, dict[str, Any]], of: str, steps: int) -> np.ndarray | None:
    """Return the rows as a table; in a smaller batch than the first one, some sets are missing."""
    given = {step: row[of] for step, row in rows.items() if row[of] is not None}
    if not given:
        return None
    filled = np.full((steps, max(map(len, given.values()))), np.nan)
    for step, row in given.items():
        filled[step, : len(row)] = row
    return filled
