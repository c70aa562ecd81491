"""Every decimal number of a text is a published one with its source beside it, or it is computed where it stands."""

import re
from pathlib import Path

import nbformat
import pytest

import normviz as nv
from tests.course import NOTEBOOKS
from tests.published import OTHERS, WU_HE, prose, published, without_source

ROOT = Path(__file__).parent.parent
KIT = [ROOT / "normviz/kit/lecture.html", ROOT / "normviz/kit/lesson_plans.md"]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), *KIT]
OWN = {  # numbers of a page that were chosen, or that the named test or command gives
    "README.md": "1.6 3.11",  # millions of cells, 32 * 256 * 14 * 14; the version of Python
    # eps, momentum, the root of 1/2, and tests/labs/test_misconceptions.py
    "docs/look/misconceptions.md": "0.00001 0.000001 0.001 0.01 0.99 0.7 3.9",
    "docs/speed.md": "1.5 4.7",  # make bench-docs
    "docs/teach/your_course.md": "4.7",  # megabytes of plotly.js
    "normviz/kit/lecture.html": "0.00001",  # eps
}
EXAMPLE = "0.00001 1.5 0.917 9.625 35.734 2.5 0.25 4.25 3.6875 0.522 1.567 1.276 1.108 1.172 0.651"
EXERCISES = {  # numbers that a student computes by hand, or that a report on a bug has
    "00_tour": "1.6",
    "01_pooling_sets": EXAMPLE,
    "02_group_norm": "0.25 0.5 2.5 3.5 4.25 14.75 0.625 3.6875",
    "10_real_bugs": "1.34 2.37 0.00002 0.3",
}


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_number_on_a_page_has_its_source(path):
    own = set(OWN.get(str(path.relative_to(ROOT)), "").split())
    for paragraph in prose(path.read_text("utf-8")):
        assert not without_source(paragraph) - own, paragraph


@pytest.mark.parametrize("path", sorted((ROOT / "normviz" / "kit").glob("*.[hm]*")), ids=lambda path: path.name)
def test_a_number_of_the_kit_has_its_source(path):
    """A slide, or a paragraph of the lesson plans."""
    text = re.sub(r"<!--.*?-->|<svg.*?</svg>|<style.*?</style>", "", path.read_text("utf-8"), flags=re.S)
    for part in re.split(r"(?=<section)|\n\n", text):
        assert not without_source(part) - set(EXAMPLE.split()), part


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_number_in_a_notebook_is_published_or_computed_in_it(path, course):
    """The number stands in the code of a cell, or a cell prints it."""
    cells = nbformat.read(path, as_version=4).cells
    given = "\n".join(cell.source for cell in cells if cell.cell_type == "code")
    for cell in course.run(path).first.cells:
        for out in cell.get("outputs", ()):
            given += "\n" + out.get("text", "") + out.get("data", {}).get("text/plain", "")
    own = set(re.findall(r"\d+\.\d+", given)) | set(EXERCISES.get(path.stem, "").split())
    for cell in cells:
        if cell.cell_type == "markdown":
            assert not without_source(cell.source) - own, cell.source


def test_the_list_is_that_of_the_lab():
    """Each number of the lab's tables is in the list, under the source that the table names."""
    for table in nv.labs.published.measure().tables:
        named = published(f"{table.source} {table.note}")
        values = [value for series in table.series for value in series.values if value is not None]
        assert {f"{value:.{table.decimals}f}" for value in values} <= named, table.key


def test_a_number_without_its_source_is_found():
    assert without_source("Batch Norm had 23.9 % error (Wu & He 2018, Table 2).") == {"23.9"}
    assert without_source("Batch Norm had 23.6 % error.") == {"23.6"}
    assert without_source("Batch Norm had 23.7 % error (Wu & He 2018, Table 3).") == {"23.7"}
    assert not without_source("37.7 and 41.8 box AP (Wu & He 2018, Tables 4 to 6), and 76.4 % (Luo et al. 2018)")
    assert without_source("1.4 (Wu & He 2018, Table 5), 1.7 and 23.6") == {"1.7", "23.6"}
    assert without_source(prose("| 23.6 |\n\nText.")[0]) == {"23.6"}
    assert not without_source(prose("Wu & He (2018, Table 1):\n\n| 23.6 |")[1])
    assert len(WU_HE) + len(OTHERS) == 12
