"""Whether a function is the normalizer that it should be; and if not, which bug it has."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from numbers import Real
from typing import Any

import numpy as np

from normviz.backends.dispatch import host
from normviz.core.errors import check_keywords, unknown
from normviz.core.methods import find
from normviz.core.pooling import Pooling, canonical, check_shape
from normviz.inspect._call import FRAMEWORKS, RESOLUTION, check_callable, owner
from normviz.inspect._snapshot import untouched
from normviz.inspect.check.codes import HINTS
from normviz.inspect.check.examination import Examination
from normviz.inspect.check.setup import Wanted
from normviz.inspect.check.verdict import Verdict


@check_keywords
def check(
    fn: Callable,
    method: str,
    num_groups: int | None = None,
    *,
    shape: Sequence[int] | None = None,
    weight: Any = None,
    bias: Any = None,
    eps: float = 1e-5,
    channel_axis: int = 1,
    framework: str | None = None,
    dtype: str | None = None,
    seed: int = 0,
    backward: Callable | None = None,
    running: tuple[str, str] | None = None,
    momentum: float | None = None,
    ignore: Collection[str] = (),
) -> Verdict:
    """Say whether `fn` is the normalizer `method`, and if it is not, which bug it has.

    Parameters
    ----------
    fn
        fn(x), or fn(x, weight, bias) if its parameters are called that (or gamma and beta, scale and shift, w and b),
        or are two that it requires; num_groups and eps are handed over where they are required. For "batch" also an
        object with a mode (`train()` and `eval()`, an attribute or an argument `training`) and running statistics.
        Weight and bias that an object keeps are filled with random numbers for the time of the check.
    method, num_groups
        What it should be: a key of METHODS.
    shape
        Of the arrays to call it with, as fn takes them; None tries some.
    weight, bias
        What fn applies, or is to be given; None where it has none, or takes random ones.
    eps
        What it should add, at least 0.
    channel_axis
        Where its channels are: -1 for (N, H, W, C) and (batch, tokens, features).
    framework
        "numpy", "torch", "jax" or "cupy"; None finds out.
    dtype
        "float64", "float32", "float16" or "bfloat16" to insist; None takes the first of them that fn takes. Sums that
        float16 is too small for show only where it is asked for, or all that fn takes.
    seed
        Of the random inputs. The same seed gives the same calls.
    backward
        backward(grad_output, x), with weight and bias where it takes them, or backward(grad_output) after a call of fn;
        it returns the gradient of x, or a tuple of those of x, weight and bias. An object's own method of that name is
        found. Without one autograd is asked, where there is any.
    running
        The names of the attributes that hold the running mean and variance; None tries the usual ones.
    momentum
        The share of the newest batch in the running statistics; None takes the object's own word for it.
    ignore
        Codes to leave out of the findings.

    Returns
    -------
    Verdict
        `.passed`, `.findings`, `.raise_if_failed()`; print it, or show it in a notebook.

    Raises
    ------
    TypeError, ValueError
        If what is asked makes no sense. What is wrong with fn, also that it raises, is a finding.

    Notes
    -----
    Each known bug is simulated. It is named if its simulation, and that of no other, gives fn's output on several
    inputs, alone or with up to two others; otherwise the first wrong stage is reported, with the numbers. Everything fn
    keeps is as it was afterwards. Half precision is compared to two digits, float32 to four.

    Examples
    --------
    >>> import normviz as nv
    >>> def mine(x, weight, bias):
    ...     mean, std = x.mean((0, 2, 3), keepdims=True), x.std((0, 2, 3), keepdims=True, ddof=1)
    ...     return (x - mean) / (std + 1e-5) * weight.reshape(1, -1, 1, 1) + bias.reshape(1, -1, 1, 1)
    >>> nv.check(mine, "batch").codes
    ('unbiased-variance', 'eps-outside')
    """
    check_callable(fn)
    if backward is not None:
        check_callable(backward)
    row = find(method)
    shape = None if shape is None else check_shape(shape, "shape")
    if not hasattr(channel_axis, "__index__") or not -5 <= channel_axis < 5:
        raise ValueError(f"channel_axis={channel_axis!r} is an axis of no array of 2 to 5 axes; 1 and -1 are the usual")
    if shape is not None:
        Pooling(method, canonical(np.empty(shape, np.int8), channel_axis, "shape").shape, num_groups)
    elif row.has_groups and not _is_count(num_groups):
        raise TypeError(f"method {method!r} needs num_groups, a whole number from 1 on, not {num_groups!r}")
    elif not row.has_groups and num_groups is not None:
        raise ValueError(f"num_groups={num_groups} means nothing to method {method!r}; leave it out")
    if isinstance(eps, bool) or not isinstance(eps, Real) or not 0 <= eps < np.inf:
        raise ValueError(f"eps={eps!r} is no number from 0 on; it is what is added to the variance")
    if framework is not None and framework not in FRAMEWORKS:
        raise ValueError(unknown("framework", framework, FRAMEWORKS))
    if dtype is not None and dtype not in RESOLUTION:
        raise ValueError(unknown("dtype", dtype, RESOLUTION))
    if momentum is not None and not (isinstance(momentum, Real) and 0 <= momentum <= 1):
        raise ValueError(f"momentum={momentum!r} is not between 0 and 1; it is the share of the newest batch")
    ignored = (ignore,) if isinstance(ignore, str) else ignore
    for code in ignored:
        if code not in HINTS:
            raise ValueError(unknown("code", code, HINTS))
    for name, value in (("weight", weight), ("bias", bias)):
        if value is not None and host(value).dtype.kind not in "biuf":
            raise TypeError(f"{name} has dtype {host(value).dtype}; use a float")
    wanted = Wanted(method, num_groups, shape, weight, bias, float(eps), channel_axis, framework, dtype, seed)
    with untouched(fn, owner(fn), backward), np.errstate(all="ignore"):
        examination = Examination(fn, wanted, backward=backward, running=running, momentum=momentum)
        verdict = examination.verdict()
    return replace(verdict, findings=tuple(f for f in verdict.findings if f.code not in ignored))


def _is_count(value: Any) -> bool:
    return hasattr(value, "__index__") and not isinstance(value, bool) and value >= 1
