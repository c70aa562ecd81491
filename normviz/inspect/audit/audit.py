"""List the normalization layers of a torch model, and warn of those that mean trouble."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from normviz.core.errors import brief, check_keywords
from normviz.inspect._call import MOST_CELLS, check_codes
from normviz.inspect.audit.report import Audit, NormLayer
from normviz.inspect.audit.rules import RULES, find_warnings
from normviz.inspect.audit.run import LayerRecord, ModelRun, check_model, materialized, observe


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
        A torch.nn.Module; it is run in its present mode, train or eval.
    example
        Its input: a tensor, a tuple of arguments, or a dict of keyword arguments.
    training_batch
        How many samples are normalized together in training: those on one device, unless the layers are synchronized.
        The example may have another number, so without `training_batch` no warning depends on the batch.
    ignore
        Codes of warnings to leave out.
    also
        Codes of warnings to add to the default ones: "train-mode", "running-untouched", "dead-channel",
        "bias-before-norm", "group-one", "back-to-back", "eps-underflow".

    Returns
    -------
    Audit
        `.layers`, `.warnings`, `.unseen`; `.to_frame()`, `.explore(name)`; a table in a notebook.

    Raises
    ------
    TypeError
        If model is not a torch.nn.Module.
    ValueError
        If a code is unknown, or the model raises on the example; its exception is the cause.

    Notes
    -----
    The model, the example and the random state are left as they were, also when the model raises. Activations are not
    kept; `explore` runs the model again, up to the layer asked for. During the run, the parameters are in memory twice.
    Layers are recognized by their class, by the functions of torch.nn.functional that a forward calls, and by their
    output, if sets of the input explain it. Where the example hides them, as with squares that overflow, a module that
    holds no other module's parameters is called a few times more, on noise; what takes mean and variance over H x W
    without being a plain normalizer, such as EvoNorm and GRN, is found in this way. A normalization written out by hand
    in the middle of a longer forward is not found, nor is anything that torch.jit has compiled; `unseen` names the
    modules.

    Default codes: "one-value-per-set", "small-set", "accidental-instance", "small-batch" (needs training_batch),
    "non-finite", "constant-output", "groups-do-not-divide", "train-eval-gap" (silent while the running statistics are
    untouched), "statistics-not-loaded", "frozen-but-training", "momentum-reversed". Those of running statistics but
    "train-eval-gap", and "non-finite", are given once, at the first such layer; `numbers["layers"]` names all.

    Examples
    --------
    >>> import normviz as nv, torch
    >>> model = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.GroupNorm(8, 8))
    >>> found = nv.audit(model, torch.zeros(1, 3, 8, 8))
    >>> found.layers[0].name, found.layers[0].block, found.warnings[0].code
    ('1', (1, 1, 6, 6), 'accidental-instance')
    """
    check_model(model)
    ignored, added = (check_codes(given, name, RULES) for given, name in ((ignore, "ignore"), (also, "also")))
    if training_batch is not None and (type(training_batch) is not int or not 0 < training_batch <= MOST_CELLS):
        given = f"training_batch={brief(training_batch)}"
        raise ValueError(f"{given} is not a number of samples; give a whole number from 1 on, at most {MOST_CELLS:,}")
    codes = ({code for code, rule in RULES.items() if rule.default} | added) - ignored
    model = materialized(model, example)
    run = observe(model, example, lambda m: ModelRun(m, ignore=ignored, dead="dead-channel" in codes))
    records = sorted(run.layers.values(), key=lambda record: record.order)
    import torch

    warnings = find_warnings(records, training_batch, codes)
    ran = {"model": model, "example": example, "random_state": torch.get_rng_state()}
    return Audit(layers=_layers(records), warnings=warnings, unseen=run.unseen(), **ran)


def _layers(records: list[LayerRecord]) -> list[NormLayer]:
    cells = sum(record.cells for record in records) or 1
    of_norm = "kind", "num_groups", "block", "size", "count", "channel_axis", "eps"
    of_record = "name", "type", "parameters", "frozen", "mode", "uses", "known_by"
    return [
        NormLayer(
            input_shape=record.norm.shape,
            share=record.cells / cells,
            gap=record.measured.gap,
            fixed=not record.norm.own,
            **{name: getattr(record.norm, name) for name in of_norm},
            **{name: getattr(record, name) for name in of_record},
        )
        for record in records
    ]
