"""What a function normalizes, found by experiment alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from normviz.core.errors import check_keywords
from normviz.core.pooling import canonical, check_shape
from normviz.inspect._call import check_callable
from normviz.inspect._snapshot import untouched
from normviz.inspect.probe.experiments import Experiments
from normviz.inspect.probe.report import Probe


@check_keywords
def probe(
    fn: Callable,
    shape: Sequence[int] = (4, 8, 6, 6),
    *,
    channel_axis: int = 1,
    framework: str | None = None,
    seed: int = 0,
) -> Probe:
    """Find out by experiment which cells `fn` normalizes together, and how.

    Parameters
    ----------
    fn
        Any callable that takes an array of `shape` and gives one: a NumPy function, a torch.nn.Module in train or eval
        mode, a function or layer of JAX, Flax, Keras or CuPy.
    shape
        Of the arrays to call it with, as fn takes them; 2 to 5 axes.
    channel_axis
        Where its channels are: -1 for (N, H, W, C) and (batch, tokens, features).
    framework
        "numpy", "torch", "jax" or "cupy"; None finds out.
    seed
        Of the random inputs. The same seed gives the same calls.

    Returns
    -------
    Probe
        What was found, and in `undetermined` what could not be.

    Raises
    ------
    TypeError, ValueError
        If fn cannot be called, raises on `shape`, or returns something else than an array of that shape.

    Notes
    -----
    fn is called about 30 times, with copies. What it keeps (parameters, running statistics, mode, gradients, hooks) and
    the random state are as they were afterwards, also when it raises. Its class is never looked at. A scale or shift
    before the normalization that is the same throughout each set leaves no trace in the output, so no probe can see it.

    Examples
    --------
    >>> import normviz as nv
    >>> found = nv.probe(lambda x: nv.normalize(x, "group", num_groups=2, eps=1e-3))
    >>> found.method, found.num_groups, found.block, found.eps
    ('group', 2, (1, 4, 6, 6), 0.001)
    """
    check_callable(fn)
    shape = check_shape(shape, "shape")
    order = canonical(np.empty(shape, np.int8), channel_axis, "shape").shape
    with untouched(fn) as found:
        return Experiments(fn, found, order, channel_axis, framework, seed).report()
