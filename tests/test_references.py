"""Every paper that a text cites is on the page of references, once, and what the table of all methods says is so."""

import importlib.util
import json
import re
from pathlib import Path

import pytest

import normviz as nv
from normviz.core.methods import METHODS
from normviz.core.references import REFERENCES

ROOT = Path(__file__).parents[1]
AUTHORS = r"\b([A-Z][a-z]+)(?:,? [A-Z][a-z]+)*(?:,? (?:et al\.|(?:&|and) [A-Z][a-z]+))?"
CITED = re.compile(rf"{AUTHORS},? \(?((?:19|20)\d\d)\b")
TEXTS = sorted(
    path
    for pattern in ("notebooks/*.ipynb", "docs/**/*.md", "normviz/labs/*.py", "normviz/relatives/*.py",
                    "normviz/classroom/solutions/*.md", "normviz/method_chooser/content.toml", "README.md")
    for path in ROOT.glob(pattern)
)  # fmt: skip


def cited(text: str) -> set[tuple[str, str]]:
    """First author and year of every citation; a date such as "March 2019" is none."""
    months = "January February March April May June July August September October November December".split()
    return {found.groups() for found in CITED.finditer(text) if found[1] not in months}


def text_of(path: Path) -> str:
    """The text, each paragraph in one line."""
    text = path.read_text("utf-8")
    if path.suffix == ".ipynb":
        text = "; ".join("".join(cell["source"]) for cell in json.loads(text)["cells"])
    return re.sub(r"(?<!\n)\n(?!\n)", " ", text)


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_paper_that_is_cited_is_on_the_page(path):
    text = text_of(path)
    known = {one.key: one for one in REFERENCES}
    assert cited(text) <= set(known)
    # A number at arXiv, where a text gives one, is that of the paper before it.
    for found in re.finditer(rf"{AUTHORS} (\d{{4}})[^;\n]{{0,60}}?arXiv (\d{{4}}\.\d{{5}})", text):
        assert known[found[1], found[2]].where == found[3]


def test_a_citation_is_found():
    text = "as Ba et al. (2016), Wu & He (2018, Table 2) and Hoffer, Hubara & Soudry 2017 say; since March 2019"
    assert cited(text) == {("Ba", "2016"), ("Wu", "2018"), ("Hoffer", "2017")}
    assert sum(bool(cited(text_of(path))) for path in TEXTS) > 10


def test_each_reference_stands_once_by_year():
    for values in (one.key for one in REFERENCES), (one.link for one in REFERENCES):
        every = list(values)
        assert len(set(every)) == len(every)
    assert [one.name[-4:] for one in REFERENCES] == sorted(one.name[-4:] for one in REFERENCES)


@pytest.fixture(scope="module")
def conf():
    pytest.importorskip("sphinx", reason="sphinx not installed: pip install sphinx")
    spec = importlib.util.spec_from_file_location("conf", ROOT / "docs/conf.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def rows(text):
    head, _, *body = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.split("\n")]
    return [dict(zip(head, row, strict=True)) for row in body]


def test_the_page_names_every_reference_and_what_it_is_cited_for(conf):
    found = {row["Reference"]: row for row in rows(conf.references())}
    assert list(found) == [one.name for one in REFERENCES]
    assert all(row["Cited for"] for row in found.values())
    assert found["Wu & He 2018"]["Cited for"].startswith("Group Norm; numbers in")
    assert "(https://arxiv.org/abs/1803.08494)" in found["Wu & He 2018"]["Title"]


def test_the_table_of_methods_says_what_is_so(conf):
    """Coupling is tried; what a layer holds and learns is asked of PyTorch's."""
    torch = pytest.importorskip("torch", reason="torch not installed: pip install torch")
    table = {row["Method"]: row for row in rows(conf.methods())}
    assert list(table) == [row.label for row in METHODS.values()]
    x = nv.samples.activations()
    other = x.copy()
    other[1] *= 3
    for row in METHODS.values():
        assert row.place
        if row.axes == "activations":
            G = {"num_groups": 2} if row.has_groups else {}
            moved = not (nv.normalize(x, row.name, **G)[0] == nv.normalize(other, row.name, **G)[0]).all()
            assert (table[row.label]["Couples samples"] != "no") == moved
            assert (table[row.label]["At inference"] != "the same") == moved
    layers = {
        "batch": torch.nn.BatchNorm2d(8),
        "layer": torch.nn.LayerNorm([8, 4, 4]),
        "instance": torch.nn.InstanceNorm2d(8),
        "group": torch.nn.GroupNorm(2, 8),
        "rms": torch.nn.RMSNorm(8),
    }
    for name, layer in layers.items():
        row = table[METHODS[name].label]
        held = [key for key, _ in layer.named_buffers() if key.startswith("running")]
        assert (row["At inference"] == "buffers: running μ, σ²") == bool(held)
        learned = [key for key, _ in layer.named_parameters()]
        assert [key for key, letter in (("weight", "γ"), ("bias", "β")) if letter in row["Learned"]] == learned
    assert {row["Method"] for row in table.values() if row["Folds"] == "yes"} == {
        "Batch Norm",
        "Ghost Batch Norm",
    }
