"""Shapes and methods that the numeric tests share."""

import pickle
import re
import warnings
from functools import partial

import numpy as np
import pytest

import normviz as nv

# Odd sizes, one of everything, and a set larger than one neighbour.
SHAPES = [(3, 4), (2, 6, 5), (2, 4, 3, 2), (2, 4, 1, 1), (1, 2, 2, 3, 2), (1, 1, 1)]


def configurations(shape):
    """Every (method, num_groups) that shape allows."""
    for name, row in nv.METHODS.items():
        for num_groups in nv.divisors(shape[row.grouped_axis]) if row.has_groups else [None]:
            yield name, num_groups


def one_each(method, shape):
    """How many entries a weight or bias of the method has: one a channel, or one an output channel."""
    return shape[nv.METHODS[method].affine_axis]


def two_groups(method):
    """num_groups for a shape whose N and C are even: 2 where the method takes one."""
    return 2 if nv.METHODS[method].has_groups else None


CASES = [(shape, *configuration) for shape in SHAPES for configuration in configurations(shape)]


def values(shape, seed=0, dtype=np.float64, loc=1.0, scale=2.0):
    return np.random.default_rng(seed).normal(loc, scale, shape).astype(dtype)


def on_axis(x, axis):
    """Move the channels of x, (N, C, *spatial), so that channel_axis=axis finds them; N comes first of the others."""
    others = [a for a in range(x.ndim) if a != 1]
    others.insert(axis % x.ndim, 1)
    return x.transpose(others)


def sample_on_axis(parameter, axis, rank):
    """Lay out a weight as x is laid out: per channel as it is, per element as one sample of on_axis(x, axis)."""
    return parameter if parameter is None or parameter.ndim == 1 else np.moveaxis(parameter, 0, max(axis % rank - 1, 0))


def stepped(size, shape, strides):
    """An array of zeros whose cells lie so many bytes apart, some perhaps in one place."""
    return np.lib.stride_tricks.as_strided(np.zeros(size), shape, strides)


def each_message(cases):
    """Parametrize a test over (wrong, error, parts), as `refuses` takes them."""
    return pytest.mark.parametrize(("wrong", "error", "parts"), cases, ids=[parts[:40] for *_, parts in cases])


def refuses(wrong, error, parts):
    """See that a call raises this very error in one sentence, and that it changes nothing.

    `parts` are the sentence with some of its words left out: subject, sizes and remedy, with " ... " between them.
    """
    before = state(wrong)
    with pytest.raises(error) as caught:
        wrong()
    assert type(caught.value) is error
    said = str(caught.value)
    assert re.fullmatch(".*".join(map(re.escape, re.split(r" ?\.\.\. ?", parts))), said), said
    assert len(re.findall(r"[.!] [A-Z]", said)) == 0
    assert state(wrong) == before


def state(call):
    """Everything that a refused call must leave as it was: what it is given, by value, and NumPy's settings."""
    if isinstance(call, partial):
        given = [*call.args, *call.keywords.values()]
    else:
        given = [*map(call.__globals__.get, call.__code__.co_names), *(call.__defaults__ or ())]
    given = [value for value in given if isinstance(value, np.ndarray | nv.RunningStatistics | list | dict)]
    return pickle.dumps((given, np.geterr(), np.random.get_state(), warnings.filters))  # noqa: NPY002
