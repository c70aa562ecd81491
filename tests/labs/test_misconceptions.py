"""What the page of misconceptions computes is what the code computes."""

from pathlib import Path

import numpy as np

import normviz as nv

PAGE = (Path(__file__).parents[2] / "docs/look/misconceptions.md").read_text("utf-8")


def test_the_error_of_a_batch_mean_is_that_of_the_lab():
    noise = nv.labs.batch_size.measure()
    times = np.median(np.sqrt(noise.cells / noise.effective_mean))
    assert f"the error of a batch's mean is {times:.1f} times σ/√(N·H·W)" in PAGE


def test_the_gains_in_ap_and_in_error_are_those_of_the_tables():
    tables = {table.key: table for table in nv.labs.published.measure().tables}
    batch, group = (series.values[0] for series in tables["batch size"].series)
    assert f"it is half a point: {batch} % error against {group} % at 32 images per GPU" in PAGE
    frozen, _, short, long = (series.values for series in tables["COCO box"].series)
    gains = [b - a for a, b in zip(frozen, short, strict=True)]
    for gain, network in zip(
        [*gains, long[2] - frozen[2]], ["R50-C4", "R50-FPN", "R50,", "R101", "R50 with"], strict=True
    ):
        assert f"{gain:.1f} ({network}" in PAGE
