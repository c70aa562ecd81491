"""Record the statistics of every normalization layer of a torch model while it trains."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from normviz.core.errors import brief, check_keywords, unknown, whole
from normviz.inspect.audit.run import check_model
from normviz.inspect.audit.tensors import (
    MODEL,
    class_name,
    has_children,
    is_scripted,
    is_torchs_own,
    named_modules,
    short_name,
)
from normviz.inspect.audit.torch_norms import function_of
from normviz.inspect.record.candidates import compiled_parts, may_normalize
from normviz.inspect.record.recorder import Recorder
from normviz.inspect.record.recording import Recording


@check_keywords
def record(model: Any, every: int = 1, layers: str | Iterable[str] | None = None) -> Recording:
    """Record the statistics of every normalization layer of a torch model, around any training loop.

    Parameters
    ----------
    model
        A torch.nn.Module: the one that the loop calls, or one inside it, as that inside a DistributedDataParallel.
    every
        Record each `every`-th training forward, from the first one on. A training forward is a call of the model in
        train mode; calls in eval mode are not counted, and one that raises is not either.
    layers
        Names of the layers to record, as `audit` gives them; None for all.

    Returns
    -------
    Recording
        To be used as `with nv.record(model) as r:`; `r.steps`, `r.layers`, `r[name]`, `r.warnings`, `r.save(path)`,
        `r.to_frame()`. It can be read inside the block as well.

    Raises
    ------
    TypeError
        If model is not a torch.nn.Module, every not a whole number, or layers neither a name nor a list of names.
    ValueError
        If every is less than 1, a name is unknown, or the model has no normalization layer. Also if it calls no hooks:
        compiled by torch.compile or torch.jit, or a DataParallel of several devices.

    Warns
    -----
    UserWarning
        At the end of the block, if nothing was recorded (the model was not called, or in eval mode only), or something
        is missing: calls on another thread, layers that changed, values that cannot be read (inside torch.func, on the
        meta device). Not if the block raises.

    Notes
    -----
    Training is the same to the last bit with and without it, and nothing is left in the model, also if the block
    raises. Layers are recognized as by `audit`, at the first recorded forward: by class, by the functions of
    torch.nn.functional that a forward calls, and by their output. Statistics are those of this process, also for a
    synchronized Batch Norm. With activation checkpointing the repeated forward is no step of its own, and its gradient
    counts for the forward that it repeats.

    Of a layer, 2 to 8 T C numbers of 8 bytes are kept, for T recorded steps and C channels, and no activation: 50
    Batch Norms of 256 channels over 500 steps take about 300 MB. `every` keeps that small.

    Examples
    --------
    >>> import normviz as nv, torch
    >>> model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.BatchNorm1d(8), torch.nn.Linear(8, 1))
    >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    >>> with nv.record(model) as r:
    ...     for _ in range(3):
    ...         loss = model(torch.randn(16, 4)).square().mean()
    ...         optimizer.zero_grad()
    ...         loss.backward()
    ...         optimizer.step()
    >>> r.steps, r.layers, r["1"].mean.shape
    ([0, 1, 2], ['1'], (3, 8))
    """
    check_model(model)
    if whole(every, "every") < 1:
        raise ValueError(f"every={brief(every)} is less than 1; every=10 records each tenth training forward")
    named = [(name or MODEL, module) for name, module in named_modules(model)]
    compiled = compiled_parts(model)
    if compiled:
        who = "the model" if compiled[0] == MODEL else short_name(compiled[0])
        raise ValueError(
            f"{who} is compiled by torch.compile, and compiled code calls no hooks; record and train the model as it "
            "was before torch.compile (the attribute _orig_mod of the compiled one)"
        )
    modules = dict(named)
    if is_scripted(model) and has_children(model):
        raise ValueError(
            f"{class_name(model)} is compiled by torch.jit, which calls no hooks for the layers inside; record and "
            "train the model as it was before"
        )
    if len(getattr(model, "device_ids", None) or ()) > 1 and type(model).__name__ == "DataParallel":
        raise ValueError(
            "DataParallel trains copies of the model on other threads, which are not recorded; use "
            "DistributedDataParallel, or DataParallel with one device"
        )
    wanted = None if layers is None else _wanted(modules, [layers] if isinstance(layers, str) else layers)
    if not may_normalize(model):
        raise ValueError(
            f"{type(model).__name__} has no normalization layer to record: none of its "
            f"{len(modules)} modules is one, and none calls a function that is"
        )
    return Recording(Recorder(model, int(every), wanted))


def _wanted(modules: dict[str, Any], layers: Iterable[str]) -> list[str]:
    """Return the names of layers; ValueError for one that the model cannot have."""
    if not isinstance(layers, Iterable):
        raise TypeError(f"layers must be a name or a list of names, not {brief(layers)}")
    wanted = [*layers]
    norms = [short_name(name) for name, module in modules.items() if function_of(module)]
    if not wanted:
        raise ValueError(f"layers is empty; leave it out to record all, or give some of: {', '.join(norms)}")
    for name in wanted:
        module = modules.get(name.partition(":")[0]) if isinstance(name, str) else None
        if module is None:
            raise ValueError(unknown("layer", name, norms))
        if ":" not in name and is_torchs_own(module) and not function_of(module):
            kind = type(module).__name__
            raise ValueError(f"layer {short_name(name)} is a {kind}, no normalization; those are: {', '.join(norms)}")
    return wanted
