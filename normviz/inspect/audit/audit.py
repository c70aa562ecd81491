"""A torch model's normalizations, listed and read for trouble."""

from __future__ import annotations

import copy
import inspect
import sys
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from normviz.core.errors import check_keywords, unknown
from normviz.inspect._snapshot import untouched
from normviz.inspect.audit.layers import Layer

if TYPE_CHECKING:
    from normviz.inspect.audit.hooks import Watch
    from normviz.inspect.audit.report import Audit
    from normviz.inspect.audit.seen import Seen


@check_keywords
def audit(
    model: Any,
    example: Any,
    *,
    training_batch: int | None = None,
    ignore: str | Iterable[str] = (),
    also: str | Iterable[str] = (),
) -> Audit:
    """Run a torch model once, list every normalization layer in order of use, and warn of those that mean trouble.

    Parameters
    ----------
    model
        A torch.nn.Module, run in the mode it is in, train or eval.
    example
        Its input: a tensor, a tuple of arguments, or a dict of keyword arguments.
    training_batch
        How many samples are normalized together in training: on one device, unless the layers are synchronized. The
        example's own number says nothing of it, so without it no warning depends on the batch.
    ignore
        Codes not to warn of.
    also
        Codes to warn of beside the default ones: "train-mode", "running-untouched", "dead-channel",
        "bias-before-norm", "group-one", "back-to-back".

    Returns
    -------
    Audit
        `.layers`, `.warnings`, `.unseen`; `.to_frame()`, `.explore(name)`; a table in a notebook.

    Raises
    ------
    TypeError
        If model is no torch.nn.Module.
    ValueError
        If a code is unknown, or the model raises on the example; what it raised is the cause.

    Notes
    -----
    The model, the example and the random state are left as they were, also when the model raises. Nothing is kept of
    the activations; `explore` runs the model again, up to the layer asked for. While it runs, the parameters are there
    twice. Layers are known by class, by the functions of torch.nn.functional that a forward calls, and by their output,
    which sets of the input explain or not. A normalization written out by hand in the midst of a longer forward is not
    seen, nor is what torch.jit has compiled; `unseen` names the modules.

    By default: "one-value-per-set", "small-set", "accidental-instance", "small-batch" (needs training_batch),
    "non-finite", "train-eval-gap" (silent while the running statistics are untouched), "groups-do-not-divide".

    Examples
    --------
    >>> import normviz as nv, torch
    >>> model = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.GroupNorm(8, 8))
    >>> found = nv.audit(model, torch.zeros(1, 3, 8, 8))
    >>> found.layers[0].name, found.layers[0].block, found.warnings[0].code
    ('1', (1, 1, 6, 6), 'accidental-instance')
    """
    _check_model(model)
    from normviz.inspect.audit.report import Audit
    from normviz.inspect.audit.rules import CODES, DEFAULT, find_troubles

    ignored, wanted = (_codes(c, name, CODES) for c, name in ((ignore, "ignore"), (also, "also")))
    if training_batch is not None and (type(training_batch) is not int or training_batch < 1):
        raise ValueError(f"training_batch={training_batch!r} is no number of samples; give a whole number from 1 on")
    codes = {*DEFAULT, *wanted} - ignored
    model = _materialized(model, example)
    watch = watched(model, example, ignore=ignored, dead="dead-channel" in codes)
    seen = sorted(watch.seen.values(), key=lambda s: s.order)
    import torch

    return Audit(
        layers=_layers(seen),
        warnings=find_troubles(seen, training_batch, codes),
        unseen=watch.unseen(),
        model=model,
        example=example,
        random_state=torch.get_rng_state(),
        seen={s.name: s for s in seen},
    )


def watched(model: Any, example: Any, **options: Any) -> Watch:
    """Run the model on the example, watched, and leave both as they were.

    Raises
    ------
    ValueError
        If the model raises.
    """
    from normviz.inspect.audit.hooks import Watch

    with untouched(getattr(model, "_orig_mod", model), example):
        watch = Watch(model, **options)
        try:
            watch.run(_call(model, example))
        except Exception as error:
            raise ValueError(_why(error, model, example, watch)) from error
    return watch


def _check_model(model: Any) -> None:
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(model, torch.nn.Module):
        return
    if isinstance(model, type):
        raise TypeError(f"model is the class {model.__name__} itself; make a model of it first, and pass that")
    kind = type(model).__name__
    raise TypeError(f"model is of type {kind}, not a torch.nn.Module; for a single function or layer there is nv.probe")


def _codes(given: str | Iterable[str], name: str, known: Mapping[str, str]) -> set[str]:
    codes = [given] if isinstance(given, str) else list(given)
    for code in codes:
        if code not in known:
            raise ValueError(f"{name}: {unknown('code', code, known)}")
    return set(codes)


def _materialized(model: Any, example: Any) -> Any:
    """Return the model; of one with lazy layers a copy whose layers have their parameters, as these can't be undone."""
    import torch

    from normviz.inspect.audit.tensors import empty

    lazy = [t for t in [*model.parameters(), *model.buffers()] if empty(t)]
    if not lazy:
        return model
    # Handed over, as torch cannot copy a buffer that is not there yet.
    made = copy.deepcopy(model, {id(t): type(t)(device=t.device, dtype=t.dtype) for t in lazy})
    modes = {m: m.training for m in made.modules()}
    with untouched(example), torch.no_grad():
        try:
            _call(made.eval(), example)()  # eval, so that running statistics stay as they are
        except Exception as error:
            raise ValueError(_why(error, model, example, None)) from error
    for module, mode in modes.items():
        module.training = mode
    return made


def _call(model: Any, example: Any) -> Callable[[], Any]:
    """Return the call of the model; a tuple or dict is its arguments unless its forward takes such a thing whole."""
    whole = partial(model, example)
    if isinstance(example, Mapping):
        spread = partial(model, **example) if all(isinstance(k, str) for k in example) else whole
    elif isinstance(example, tuple | list):
        spread = partial(model, *example)
    else:
        return whole
    try:
        inspect.signature(getattr(model, "_orig_mod", model).forward).bind(*spread.args, **spread.keywords)
    except TypeError:
        return whole
    except ValueError:  # no signature to be had
        return spread
    return spread


def _why(error: Exception, model: Any, example: Any, watch: Watch | None) -> str:
    """Say in one sentence what the model raised, where, and on what."""
    name, shape = watch.where() if watch else ("(model)", None)
    at = f" in {name}" + (f", on an input of shape {shape}" if shape else "") if name != "(model)" else ""
    line = " ".join(str(error).split())
    said = f"the model raised {type(error).__name__}{at}, when given {_describe(example)}: {line}"
    devices = {str(p.device) for p in model.parameters()}
    others = {str(t.device) for t in _tensors(example)} - devices
    if devices and others:
        to = sorted(devices)[0]
        return f"{said}; the example is on {', '.join(sorted(others))}, the model on {to}: move it with .to({to!r})"
    return f"{said}; give an example that it takes"


def _tensors(value: Any) -> Iterable[Any]:
    import torch

    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, Mapping):
        for v in value.values():
            yield from _tensors(v)
    elif isinstance(value, tuple | list):
        for v in value:
            yield from _tensors(v)


def _describe(example: Any) -> str:
    shapes = [f"{tuple(t.shape)} {str(t.dtype).removeprefix('torch.')}" for t in _tensors(example)]
    if not shapes:
        return f"an example of type {type(example).__name__}"
    return ("an example of shape " if len(shapes) == 1 else "examples of shapes ") + ", ".join(shapes)


def _layers(seen: list[Seen]) -> list[Layer]:
    total = sum(s.cells for s in seen) or 1
    return [
        Layer(
            name=s.name,
            type=s.type,
            kind=s.norm.kind,
            num_groups=s.norm.num_groups,
            input_shape=s.norm.shape,
            block=s.norm.block,
            size=s.norm.size,
            count=s.norm.count,
            channel_axis=s.norm.channel_axis,
            parameters=s.parameters,
            share=s.cells / total,
            frozen=s.frozen,
            gap=s.measured.gap,
            mode=s.mode,
            uses=s.uses,
            eps=s.norm.eps,
            known_by=s.known_by,
        )
        for s in seen
    ]
