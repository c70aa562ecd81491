"""Every published number, one by one, typed again from the sources."""

import json
import re

import pytest

import normviz as nv

WU_HE = "Wu & He 2018, Group Normalization, arXiv 1803.08494"

# key: (source, ticks, {series: values})
PRINTED = {
    "batch size": (
        f"{WU_HE}, Table 2",
        "32 16 8 4 2",
        {"Batch Norm": (23.6, 23.7, 24.8, 27.3, 34.7), "Group Norm": (24.1, 24.2, 24.0, 24.2, 24.1)},
    ),
    "G": (f"{WU_HE}, Table 3", "64 32 16 8 4 2 1", {"Group Norm": (24.6, 24.1, 24.6, 24.4, 24.6, 24.7, 25.3)}),
    "channels": (f"{WU_HE}, Table 3", "64 32 16 8 4 2 1", {"Group Norm": (24.4, 24.5, 24.2, 24.3, 24.8, 25.6, 28.4)}),
    "four": (f"{WU_HE}, Table 1", "Batch Layer Instance Group", {"32 images per GPU": (23.6, 25.3, 28.4, 24.1)}),
    "ResNet-101": (
        f"{WU_HE}, in its text",
        "32 2",
        {"Batch Norm": (22.0, 31.9), "Group Norm": (22.4, 23.0)},
    ),
    "Batch Renorm": (
        f"{WU_HE}, Batch Renorm in its text, the others in Table 2",
        "Batch, Batch Renorm, Group",
        {"4 images per GPU": (27.3, 26.3, 24.2)},
    ),
    "COCO box": (
        f"{WU_HE}, Tables 4, 5 and 6",
        "R50-C4 (4), R50-FPN (5), R50 (6), R101 (6)",
        {
            "BN*, frozen": (37.7, 38.6, 38.6, 40.9),
            "GN, head only": (None, 39.5, None, None),
            "GN": (38.8, 40.0, 40.3, 41.8),
            "GN, long training": (None, None, 40.8, 42.3),
        },
    ),
    "COCO mask": (
        f"{WU_HE}, Tables 4, 5 and 6",
        "R50-C4 (4), R50-FPN (5), R50 (6), R101 (6)",
        {
            "BN*, frozen": (32.8, 34.2, 34.5, 36.4),
            "GN, head only": (None, 34.4, None, None),
            "GN": (33.6, 34.8, 35.7, 36.8),
            "GN, long training": (None, None, 36.1, 37.2),
        },
    ),
    "Switchable Norm": (
        "Luo et al. 2018, Switchable Normalization, arXiv 1806.10779",
        "(8, 32); (8, 16); (8, 8); (8, 4); (8, 2)",
        {
            "Batch Norm": (76.4, 76.3, 75.2, 72.7, 65.3),
            "Group Norm": (75.9, 75.8, 76.0, 75.8, 75.9),
            "Switchable Norm": (76.9, 76.7, 76.7, 75.9, 75.6),
        },
    ),
    "Weight Standardization": (
        "the authors’ repository of Qiao et al. 2019, Weight Standardization, arXiv 1903.10520",
        "ResNet-50 ResNet-101",
        {"top-1": (23.72, 22.10), "top-5": (6.99, 6.07)},
    ),
    "FRN": (
        "Singh & Krishnan 2020, Filter Response Norm, arXiv 1911.09737, and FRN-on-common-ImageNet-baseline",
        "paper, ResNetV2-50; independent reproduction",
        {"Batch Norm": (23.8, 23.6), "FRN + TLU": (22.8, 24.0)},
    ),
}


@pytest.fixture(scope="module")
def figure():
    return nv.labs.published.figure()


def ticks(text):
    return tuple(text.split("; " if ";" in text else ", " if "," in text else " "))


def test_these_are_all_the_tables():
    assert [table.key for table in nv.labs.published.measure().tables] == list(PRINTED)


@pytest.mark.parametrize("key", PRINTED)
def test_the_numbers_and_where_they_are_from(key):
    table, (source, axis, series) = nv.labs.published.measure()[key], PRINTED[key]
    assert (table.source, table.ticks) == (source, ticks(axis))
    assert {one.name: one.values for one in table.series} == series


@pytest.mark.parametrize("key", PRINTED)
def test_the_chart_shows_them(figure, key):
    at = list(PRINTED).index(key)
    changes, layout, indices = figure.layout.updatemenus[0].buttons[at].args
    shown = [figure.data[k] for k, seen in zip(indices, changes["visible"], strict=True) if seen]
    shown = [trace for trace in shown if trace.mode != "text"]  # the names at the ends of lines
    assert {trace.name: tuple(trace.y) for trace in shown} == PRINTED[key][2]
    assert tuple(x.replace("<br>", " ") for x in shown[0].x) == ticks(PRINTED[key][1])
    # Each number is also written on the chart, with the decimals of its source.
    written = json.dumps([trace.text for trace in shown])
    decimals = 2 if key == "Weight Standardization" else 1
    for values in PRINTED[key][2].values():
        assert all(f"{value:.{decimals}f}" in written for value in values if value is not None)
    assert layout["annotations[0].text"].replace("<br>", " ").startswith(f"Source: {PRINTED[key][0]}")


def test_what_a_secondary_copy_says_is_hollow_and_said(figure):
    for table, step in zip(nv.labs.published.measure().tables, figure.layout.updatemenus[0].buttons, strict=True):
        assert ("secondary copy" in step.args[1]["annotations[0].text"].replace("<br>", " ")) == (
            table.key == "channels"
        )
    assert nv.labs.published.measure()["channels"].series[0].checked == (False,) * 5 + (True,) * 2
    hollow = [sum("open" in symbol for symbol in trace.marker.symbol) for trace in figure.data if trace.name]
    assert sorted(hollow)[-2:] == [0, 5]
    assert figure.layout.annotations[0].text == figure.layout.updatemenus[0].buttons[0].args[1]["annotations[0].text"]


def test_what_the_words_beside_the_numbers_say_is_in_them(figure):
    tables = nv.labs.published.measure()
    frozen, _, gn, long = tables["COCO box"].series
    gains = [round(g - b, 1) for g, b in zip(gn.values, frozen.values, strict=True)]
    assert gains == [1.1, 1.4, 1.7, 0.9]
    assert round(long.values[2] - frozen.values[2], 1) == 2.2
    _, group, switchable = tables["Switchable Norm"].series
    behind = [g > s for g, s in zip(group.values, switchable.values, strict=True)]
    assert behind == [False, False, False, False, True]
    assert tables["Switchable Norm"].note == "at (8, 2) Group Norm is ahead of Switchable"
    batch, frn = tables["FRN"].series
    assert [f < b for f, b in zip(frn.values, batch.values, strict=True)] == [True, False]
    assert tables["FRN"].note == "the two disagree"
    # Batch and Group Norm beside Batch Renorm are those of Table 2 at 4 images.
    at = tables["batch size"].ticks.index("4")
    assert [one.values[at] for one in tables["batch size"].series] == [27.3, 24.2]
    assert f"a menu of {len(PRINTED)} tables" in figure.layout.meta["alt"]


@pytest.mark.parametrize("key", PRINTED)
def test_the_numbers_of_a_finding_are_in_its_table(key):
    """Or they are differences of two of them."""
    table = nv.labs.published.measure()[key]
    values = [v for series in PRINTED[key][2].values() for v in series if v is not None]
    known = {f"{v:.{table.decimals}f}" for v in values} | {f"{a - b:.1f}" for a in values for b in values}
    named = re.findall(r"(?<![-\w])\d+\.\d+", table.finding)
    assert named or key == "none"
    assert [number for number in named if number not in known] == []


def test_a_finding_is_true():
    """What they say of the best, the worst and the gains."""
    tables = nv.labs.published.measure()
    batch, group = (series.values for series in tables["batch size"].series)
    assert (round(batch[-1] - batch[0], 1), group[-1] - group[0]) == (11.1, 0)
    [numbers] = tables["G"].series
    assert (min(numbers.values), max(numbers.values)) == (numbers.values[1], numbers.values[-1]) == (24.1, 25.3)
    assert max(tables["channels"].series[0].values) == tables["channels"].series[0].values[-1] == 28.4
    four = tables["four"].series[0].values
    assert (min(four), round(four[3] - four[0], 1)) == (four[0], 0.5)
    (_, batch), (_, group) = (series.values for series in tables["ResNet-101"].series)
    assert round(batch - group, 1) == 8.9
    batch, renorm, group = tables["Batch Renorm"].series[0].values
    assert (round(batch - renorm, 1), round(batch - group, 1)) == (1.0, 3.1)
    for key, usual, long in (("COCO box", (0.9, 1.7), 2.2), ("COCO mask", (0.4, 1.2), 1.6)):
        frozen, _, gn, longer = (series.values for series in tables[key].series)
        gains, most = ([round(g - b, 1) for g, b in zip(of, frozen, strict=True) if g] for of in (gn, longer))
        assert (min(gains), max(gains), max(most)) == (*usual, long)
    accuracy = list(zip(*(series.values for series in tables["Switchable Norm"].series), strict=True))
    assert [values.index(max(values)) for values in accuracy] == [2, 2, 2, 2, 1]
    assert round(accuracy[-1][1] - accuracy[-1][2], 1) == 0.3
    paper, again = zip(*(series.values for series in tables["FRN"].series), strict=True)
    assert (round(paper[0] - paper[1], 1), round(again[1] - again[0], 1)) == (1.0, 0.4)


def test_an_unknown_table_is_told_which_there_are():
    with pytest.raises(KeyError, match=r"unknown table 'ImageNet' \(known: batch size, G"):
        nv.labs.published.measure()["ImageNet"]
