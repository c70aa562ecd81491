"""The command ``normviz audit``: find the model at an address, and audit it."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from importlib import import_module
from typing import Any

import numpy as np

from normviz.inspect._snapshot import first_line
from normviz.inspect.audit.audit import audit
from normviz.inspect.audit.report import Audit
from normviz.inspect.audit.tensors import parameters


def run(address: str, x: np.ndarray, options: Mapping[str, Any]) -> Audit:
    """Audit the model at "package.module:factory", from the working directory or installed, on the array x.

    `address`: Address of a torch.nn.Module, or of a function without arguments that returns one.
    `x`: The example; whole numbers are passed as int64, others in the dtype of the model's parameters.
    `options`: `training_batch`, `ignore` and `also`, as for `audit`.

    Raises ValueError, TypeError if there is no such module or factory, if it raises, or if it returns no model.
    """
    try:
        import torch
    except ModuleNotFoundError as error:
        raise ValueError('audit needs PyTorch; install it with: python -m pip install "normviz[torch]"') from error
    before = list(sys.path)
    sys.path.insert(0, os.getcwd())  # noqa: PTH109  As `python -m` does; a Path would have to be turned back into str.
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            model = _model(address)
        example = torch.from_numpy(np.ascontiguousarray(x))
        weights = [*parameters(model).values()]
        dtype = next((p.dtype for p in weights if p.is_floating_point()), torch.float32)
        example = example.to(dtype if example.is_floating_point() else torch.int64)
        device = next((p.device for p in weights), None)
        return audit(model, example.to(device), **{k: options[k] for k in ("training_batch", "ignore", "also")})
    finally:
        sys.path[:] = before


def as_json(found: Audit) -> str:
    """Return an audit as JSON."""
    return json.dumps(found.to_dict(), indent=2)


def _model(address: str) -> Any:
    import torch

    name, _, path = address.partition(":")
    if not name or not path:
        raise ValueError(f"{address!r} does not name a factory; give package.module:factory")
    try:
        value = import_module(name)
    except (Exception, SystemExit) as error:  # a script may end the process
        raise ValueError(f"module {name!r} cannot be imported: {type(error).__name__}: {first_line(error)}") from error
    missing = f"{name} has no {path!r}; give package.module:factory"
    try:
        for part in path.split("."):
            value = getattr(value, part)
    except Exception as error:
        raise ValueError(missing if isinstance(error, AttributeError) else _raised(address, error)) from error
    if isinstance(value, torch.nn.Module):
        return value
    if not callable(value):
        kind = type(value).__name__
        raise TypeError(f"{address} is of type {kind}; it must be a model or a function that returns one")
    try:
        model = value()
    except (Exception, SystemExit) as error:
        raise ValueError(_raised(address, error)) from error
    if not isinstance(model, torch.nn.Module):
        raise TypeError(f"{address} returned {type(model).__name__}, not a torch.nn.Module")
    return model


def _raised(address: str, error: BaseException) -> str:
    return f"{address} raised {type(error).__name__}: {first_line(error)}"
