"""One row for each lab: what the tests of all labs need to know of it."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

RNG = np.random.default_rng(0)
X = RNG.normal(size=(4, 6, 3, 3))
SMALL = X[:2]
WIDE = RNG.normal(size=(4, 3, 6, 6))
"""For folding, whose convolution shrinks the maps."""
KINDS = ("empty", "constant", "NaN", "one channel", "N larger than the data")
"""The kinds of bad input that every lab is tested with."""


@dataclass(frozen=True)
class Lab:
    """How a lab is tested.

    Attributes
    ----------
    steps
        The number of steps of its slider, or of entries of its menu, with `quick`.
    bad_input
        By KINDS: the bad x, or keyword arguments, and the error message; None instead of a message where a figure is
        drawn; or a sentence why the lab cannot be given such input.
    quick
        Keyword arguments that make the lab quick.
    untitled_axes
        Axes without a title, whose tick labels are words.
    characters
        Limit of the figure's JSON.
    """

    steps: int
    bad_input: dict[str, Any]
    quick: dict[str, Any] = field(default_factory=dict)
    untitled_axes: int = 0
    characters: int = 200_000


def on_tensor(x):
    """Return the bad input of a lab that takes a tensor."""
    shape = (0, *x.shape[1:])
    constant = x * (np.arange(x.shape[1]) != 2).reshape(1, -1, 1, 1)
    not_a_number = np.where(np.arange(x.size).reshape(x.shape) == 5, np.nan, x)
    return {
        "empty": (x[:0], f"x has an empty axis, shape {shape}; every axis needs at least one cell"),
        "constant": (constant, "channel 2 of x is constant, 0; pass values that vary"),
        "NaN": (not_a_number, f"x holds 1 of {x.size} values that are NaN or infinite; replace them first"),
        "one channel": (x[:, :1], None),
    }


NO_BATCH = "it draws no batch: all of x is one"
NO_DATA = "the numbers are the papers'; figure takes a width alone"
LABS = {
    "batch_size": Lab(
        steps=16,
        quick={"draws": 20},
        bad_input=on_tensor(X)
        | {
            "N larger than the data": (
                {"x": X, "batch_sizes": [2, 8]},
                "batch size=8 must be from 1 to 4, the number of samples in x",
            )
        },
    ),
    "coupling": Lab(steps=6, untitled_axes=1, bad_input=on_tensor(X) | {"N larger than the data": NO_BATCH}),
    "folding": Lab(steps=8, untitled_axes=1, bad_input=on_tensor(WIDE) | {"N larger than the data": NO_BATCH}),
    "gradients": Lab(
        steps=6,
        untitled_axes=1,
        bad_input=on_tensor(SMALL)
        | {
            "one channel": (SMALL[:, :1], "x has C=1 channels; this lab needs at least 2"),
            "N larger than the data": NO_BATCH,
        },
    ),
    "memory": Lab(
        steps=5,
        untitled_axes=1,
        bad_input={
            "empty": ((0, 4, 3, 3), "x has an empty axis, shape (0, 4, 3, 3); every axis needs at least one cell"),
            "constant": "it takes a shape and no values",
            "NaN": ((2, 4, np.nan, 3), "shape must be 2 to 5 whole numbers, (N, C, *spatial), not (2, 4, nan, 3)"),
            "one channel": ((2, 1, 3, 3), None),
            "N larger than the data": (
                (64, 4, 3, 3),
                "shape (64, 4, 3, 3) has 2304 cells; a strip can show 400, so make the axes shorter",
            ),
        },
    ),
    "numerics": Lab(
        steps=3,
        quick={"offsets": [0, 1e3]},
        bad_input=on_tensor(X)
        | {
            "constant": (X * 0, "channel 0 of x is constant; pass values that vary"),
            "N larger than the data": (
                {"x": X, "count": 99},
                "count=99 must be from 2 to 36, the cells of a channel of x",
            ),
        },
    ),
    "published": Lab(steps=11, bad_input=dict.fromkeys(KINDS, NO_DATA)),
    "relatives": Lab(steps=5, untitled_axes=2, bad_input=on_tensor(X) | {"N larger than the data": NO_BATCH}),
    "spectrum": Lab(
        steps=5,
        quick={"shuffles": 2},
        bad_input=on_tensor(X)
        | {
            "one channel": (X[:, :1], "x has C=1 channels; this lab needs at least 2"),
            "N larger than the data": NO_BATCH,
        },
    ),
    "style": Lab(
        steps=5,
        untitled_axes=1,
        characters=600_000,
        bad_input={
            "empty": ({"styles": []}, "styles is empty; pass at least one, such as (1, 2)"),
            "constant": "it takes the number of a photograph, and none of the eight is constant",
            "NaN": ({"alphas": [np.nan]}, "alpha=nan is not between 0 (x as it is) and 1 (the style whole)"),
            "one channel": "photographs have three colours",
            "N larger than the data": ({"content": 9}, "content=9 must be from 0 to 7"),
        },
    ),
    "train_eval": Lab(
        steps=5,
        quick={"steps": 6, "depth": 2},
        bad_input=on_tensor(X)
        | {
            "N larger than the data": (
                {"x": X, "batch_sizes": [5]},
                "batch size=5 must be from 1 to 4, the number of samples in x",
            )
        },
    ),
    "training": Lab(
        steps=3,
        bad_input={
            "empty": (
                {"batch_sizes": [], "learning_rates": []},
                "nothing to train: give at least one batch size or learning rate",
            ),
            "constant": "it learns from scikit-learn's digits and takes no other data",
            "NaN": ({"learning_rates": [np.nan]}, "learning rate=nan must be finite"),
            "one channel": "the digits have one channel, and their net four layers of more",
            "N larger than the data": (
                {"batch_sizes": [5000]},
                "batch size=5000 must be from 2 to 2594, two views of each training image",
            ),
        },
    ),
}
