"""The statistics of a model's normalization layers over a training run, as values that do not change."""

from __future__ import annotations

import html
import io
import json
import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import BadZipFile

import numpy as np

from normviz.atomic_write import check_path, write
from normviz.core.errors import unknown
from normviz.explorer.fragment import Fragment
from normviz.inspect.audit.table import html_box, html_table, needed_pandas, plural
from normviz.inspect.audit.tensors import short_name
from normviz.inspect.record.explore import explored
from normviz.inspect.record.layer import ARRAYS, OF_CHANNELS, OPTIONAL, LayerRecording, frozen
from normviz.inspect.record.missing import what_is_missing
from normviz.inspect.record.rules import RecordWarning, find_warnings

if TYPE_CHECKING:
    from normviz.explorer.show import Shown
    from normviz.inspect.record.recorder import Recorder

_FORMAT = "normviz recording 1"
_HEADS = ("layer", "method", "C", "variance, first", "variance, last", "gradient norm, last")
_MORE = 12


class Recording(Fragment):
    """The statistics of every normalization layer of a model over a training run, made by `record`.

    `explore(name)` shows one layer over time, and `figure()` all of them. `to_html` writes a page; `save` and `load`
    take the recording to another machine.

    Attributes
    ----------
    steps
        A list of ints: which training forwards were recorded, counted from 0.
    layers
        A list of names, in the order of first call; `recording[name]` is a LayerRecording.
    warnings
        A list of RecordWarning, in the order of their steps: `.code`, `.layer`, `.step`, `.message`, `.remedy`,
        `.numbers`.
    every
        Each how many-th training forward was recorded.
    """

    def __init__(self, recorder: Recorder | None = None) -> None:
        self._recorder, self._began = recorder, False
        self.every = recorder.every if recorder else 1
        self._steps: tuple[int, ...] = ()
        self._layers: dict[str, LayerRecording] = {}
        self._warnings: list[RecordWarning] | None = None

    @property
    def steps(self) -> list[int]:
        """Which training forwards were recorded, counted from 0."""
        return [*(self._recorder.steps if self._recorder else self._steps)]

    @property
    def layers(self) -> list[str]:
        """The names of the layers, in the order of first call."""
        return [*(self._recorder.series if self._recorder else self._layers)]

    @property
    def warnings(self) -> list[RecordWarning]:
        """What the numbers warn of, in the order of the steps at which it began."""
        if self._recorder:
            return find_warnings(self.steps, [self[name] for name in self.layers])
        if self._warnings is None:
            self._warnings = find_warnings(self._steps, [*self._layers.values()])
        return [*self._warnings]

    def __getitem__(self, name: str) -> LayerRecording:
        """Return the layer called `name`; KeyError names the nearest one."""
        if not isinstance(name, str) or name not in self.layers:
            raise KeyError(unknown("layer", name, map(short_name, self.layers)))
        if self._recorder:
            return frozen(name, self._recorder.series[name], len(self._recorder.steps))
        return self._layers[name]

    def __getstate__(self) -> dict[str, Any]:
        """Return what a copy or a pickle has: what was recorded so far, without the hooks."""
        known = {"_recorder": None, "_steps": tuple(self.steps), "_layers": {name: self[name] for name in self.layers}}
        return vars(self) | known

    # ---- the block ----

    def __enter__(self) -> Recording:
        if self._recorder is None or self._began:
            why = "is one of the past" if self._recorder is None else "has already begun"
            raise RuntimeError(f"this recording {why} and takes no more steps; make a new one with nv.record(model)")
        self._began = True
        self._recorder.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: Any) -> None:
        recorder = self._recorder
        if recorder is None:
            return
        model = recorder.model
        recorder.stop()
        for name, series in recorder.series.items():
            self._layers[name] = frozen(name, series, len(recorder.steps))
            series.rows = {}  # so that the numbers of one layer only are in memory twice
        self._steps, self._recorder = tuple(recorder.steps), None
        if kind is None:
            for sentence in what_is_missing(recorder, model):
                warnings.warn(sentence, UserWarning, stacklevel=2)

    # ---- out of the process ----

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the recording to a file, completely or not at all; `Recording.load` reads it.

        The file is a NumPy archive (.npz), with the arrays of layer i under the names "i.mean", "i.var" and so on.
        """
        names = ("name", "type", "kind", "num_groups", "shape", "eps", "momentum")
        layers = [self[name] for name in self.layers]
        header = {"format": _FORMAT, "every": self.every, "layers": [{n: getattr(a, n) for n in names} for a in layers]}
        arrays = {"header": np.array(json.dumps(header)), "steps": np.array(self.steps, np.int64)}
        for i, layer in enumerate(layers):
            kept = {name: getattr(layer, name) for name in ARRAYS}
            arrays |= {f"{i}.{name}": array for name, array in kept.items() if array is not None}
        file = io.BytesIO()
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]
        write(path, file.getvalue())

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Recording:
        """Read a recording that `save` wrote.

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        ValueError
            If it holds no recording.
        """
        data = io.BytesIO(Path(path).read_bytes())
        try:
            with np.load(data, allow_pickle=False) as archive:
                arrays = {name: archive[name] for name in archive.files}
            header = json.loads(str(arrays["header"]))
            if header["format"] != _FORMAT:
                raise ValueError(f"its format is {header['format']!r}, not {_FORMAT!r}")
            loaded = cls()
            loaded.every, loaded._steps = int(header["every"]), tuple(map(int, arrays["steps"]))
            for i, of_layer in enumerate(header["layers"]):
                found: dict[str, Any] = {name: arrays.get(f"{i}.{name}") for name in ARRAYS}
                for name, array in found.items():
                    if name not in OPTIONAL if array is None else len(array) != len(loaded._steps):
                        raise ValueError(f"{name} of layer {i} does not have one row for each step")
                of_layer["shape"] = tuple(of_layer["shape"])
                loaded._layers[of_layer["name"]] = LayerRecording(**of_layer, **found)
        except (ValueError, KeyError, TypeError, EOFError, BadZipFile, AttributeError) as error:
            raise ValueError(f"{path} holds no recording ({error}); Recording.save writes one") from error
        return loaded

    def to_frame(self) -> Any:
        """Return a pandas.DataFrame with a row for each step, layer and channel.

        The norm of the gradient, one number a step, stands in each row of the step. Quartiles of the sets are left out.

        Raises
        ------
        ImportError
            If pandas is not installed.
        """
        pandas = needed_pandas()
        columns: dict[str, list] = {n: [] for n in ("step", "layer", "channel", *OF_CHANNELS, "grad_norm")}
        for layer in (self[name] for name in self.layers):
            T, C = layer.mean.shape
            columns["step"].append(np.repeat(self.steps, C))
            columns["layer"].append(np.repeat(np.array([layer.name], object), T * C))
            columns["channel"].append(np.tile(np.arange(C), T))
            columns["grad_norm"].append(np.repeat(layer.grad_norm, C))
            for name in OF_CHANNELS:
                array = getattr(layer, name)
                columns[name].append(np.full(T * C, np.nan) if array is None else array.reshape(-1))
        return pandas.DataFrame({n: np.concatenate(parts) if parts else [] for n, parts in columns.items()})

    # ---- to look at ----

    def explore(self, name: str, *, time: int | None = None, **keywords: Any) -> Shown:
        """Show a layer as an explorer with a slider over time: the set of the picked cell, and its mean and variance.

        Beside them stand the running statistics and the gap between the two, at each recorded step.

        Parameters
        ----------
        name
            Of the layer, one of `layers`.
        time
            The step at which it opens, one of `steps`; None for the last at which the layer was called.
        **keywords
            As `show` takes them: index, (n, c, *spatial); color ("set", "partition" or "value", which is the mean of
            the channel); mode ("train" or "eval") for Batch Norm with running statistics; controls, presenter, title.

        Returns
        -------
        Shown
            Displays itself with no kernel; `to_html` and `to_svg` write files, and `nv.to_html` takes it.

        Raises
        ------
        TypeError
            For another keyword, a step that is no whole number, or an index that is none.
        ValueError
            For an unknown layer, a step that is not recorded, or a layer whose pooling sets are not known.
        IndexError
            For a cell that is not shown.

        Notes
        -----
        The page has the statistics of each set, and no activation. Of Batch Norm these are all sets. Of another method
        they are the first 64, or C if that is more, so the picture shows the samples, or the positions, whose sets
        these are. The numbers over time take at most 2.1 MB of a page: where the channels and steps are many, it
        shows one of every few steps, and says so. They have 7 digits there, and all of theirs elsewhere.

        Examples
        --------
        >>> import normviz as nv, torch
        >>> model = torch.nn.BatchNorm1d(8)
        >>> with nv.record(model) as r:
        ...     for _ in range(3):
        ...         y = model(torch.randn(16, 8))
        >>> r.explore(r.layers[0], time=1, index=(0, 5))
        Shown(shape=(16, 8), method='batch', index=(0, 5))
        """
        return explored(self, name, time, keywords)

    def figure(self, other: Recording | None = None, *, width: int | None = None, presenter: bool = False) -> Any:
        """Draw all layers over time, and one of them, which a slider chooses; with another recording, both.

        The heat map has a row for each layer; buttons choose variance, batch against running statistics, or the norm of
        the gradient. Below it stand variance and mean of the chosen layer's pooling sets and its gradient norm.

        Parameters
        ----------
        other
            A Recording, whose layers are matched by name.
        width, presenter
            Pixels, at least 320; and whether the figure is for a projector.

        Returns
        -------
        plotly.graph_objects.Figure
            It works without a kernel. Many steps are thinned evenly, and the caption says so.

        Raises
        ------
        TypeError
            If other is no Recording.
        ValueError
            If there is no step or no layer, or if the two have no layer in common.

        Examples
        --------
        >>> r.figure(), r.figure(other_run)  # doctest: +SKIP
        """
        from normviz.inspect.record.figure import figure

        if other is not None and not isinstance(other, Recording):
            raise TypeError(f"other must be a Recording, as nv.record gives, not {type(other).__name__}")
        return figure(self, other, width=width, presenter=presenter)

    def to_html(self, path: str | os.PathLike[str] | None = None) -> str | None:
        """Return one page of the recording that needs no Python and no network, or write it to `path` and return None.

        The page has the chart of `figure`, with more channels of each layer, the warnings with their remedies, and a
        table of the layers.

        Parameters
        ----------
        path
            Where to write it.

        Returns
        -------
        str or None
            The page, or None once it is written.

        Raises
        ------
        ValueError
            If there is no step or no layer.
        TypeError, OSError
            If path is none, or cannot be written to.

        Notes
        -----
        Of each layer, the page has the quartiles of its pooling sets and up to four channels: those that warnings name,
        then those whose running statistics are furthest from the batches'. The numbers have four digits. 50 layers of
        256 channels over 500 steps take less than 6 MB, of which plotly is 2.
        """
        from normviz.inspect.record.page import page

        if path is not None:
            check_path(path)
        text = page(self, self._summary(), self._warning_list(), self._table())
        return text if path is None else write(path, text)

    # ---- in words ----

    def _summary(self) -> str:
        steps = self.steps
        span = f" ({steps[0]} to {steps[-1]})" if len(steps) > 1 else ""
        counted = f"{plural(len(self.layers), 'normalization layer')}, {plural(len(steps), 'recorded step')}{span}"
        return f"{counted}, {plural(len(self.warnings), 'warning')}"

    def __repr__(self) -> str:
        return f"<Recording: {self._summary()}>"

    def __str__(self) -> str:
        return "\n".join([f"{self._summary()}.", *(f"! {warning}" for warning in self.warnings)])

    def _repr_html_(self) -> str:
        return html_box(self._table() + self._warning_list())

    def _warning_list(self) -> str:
        items = [
            f"<li><code>{html.escape(w.code)}</code> <b>{html.escape(short_name(w.layer))}</b>, from step {w.step} on: "
            f"{html.escape(w.message)}.<br>{html.escape(w.remedy[:1].upper() + w.remedy[1:])}.</li>"
            for w in self.warnings
        ]
        if len(items) > _MORE:
            more = f"<details><summary>{len(items) - _MORE} more</summary><ul>{''.join(items[_MORE:])}</ul></details>"
            items = [*items[:_MORE], f"<li>{more}</li>"]
        return f"<ul>{''.join(items)}</ul>" * bool(items)

    def _table(self) -> str:
        codes = {w.layer: w.code for w in reversed(self.warnings)}
        rows = [(_row(self[name]), codes.get(name)) for name in self.layers]
        return html_table(_HEADS, rows, caption=self._summary())


def _row(layer: LayerRecording) -> tuple[str, ...]:
    """Return the cells of a layer, one for each of _HEADS: variances as medians over the channels."""
    var, grad = layer.var[layer.called], layer.grad_norm[~np.isnan(layer.grad_norm)]
    with np.errstate(all="ignore"):
        first, last = (f"{np.median(var[t]):.3g}" for t in (0, -1)) if len(var) else ("–", "–")
    norm = f"{grad[-1]:.3g}" if len(grad) else "–"
    return short_name(layer.name), layer.label, str(layer.mean.shape[1]), first, last, norm
