"""The course's page of terms: a word has one meaning, and no text uses another name for it."""

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
TERMS = ROOT / "docs" / "course" / "terms.md"
TEXTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), *sorted((ROOT / "notebooks").glob("*.ipynb"))]
TEXTS += sorted((ROOT / "normviz" / "classroom").rglob("*.md")) + sorted((ROOT / "normviz" / "labs").glob("*.py"))
TEXTS += [ROOT / "normviz" / name for name in ("explorer/sentences.json", "method_chooser/content.toml")]
TEXTS.remove(TERMS)
MORE = {
    r"\bin use\b(?! with| by| at)": "at inference",
    r"\bsamples? \*?[abc]\*?\b(?! )": "sample 0, 1, 2",
    r"(?-i:\*m\*)": "momentum",
}
"""Words that have a second meaning, with the right ones."""


def rows():
    """The table of words: each line as its cells."""
    words = TERMS.read_text("utf-8").split("## Letters")[0]
    return [[cell.strip() for cell in line.strip("| ").split(" |")] for line in words.splitlines() if line[:2] == "| "][
        1:
    ]


def names():
    """The other names on the page, each with its term."""
    return {name: row[0] for row in rows() if len(row) == 3 for name in row[2].split(", ") if name}


def written(path):
    """What a file says: of a notebook, its cells."""
    text = path.read_text("utf-8")
    if path.suffix != ".ipynb":
        return text
    return "\n\n".join("".join(cell["source"]) for cell in json.loads(text)["cells"])


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_text_uses_the_terms_of_the_course(path):
    text = " ".join(written(path).split())
    for name, term in names().items():
        found = re.search(rf".{{0,30}}\b{name}.{{0,20}}", text, flags=re.I)
        assert not found, f"{found[0]!r}: the term is {term!r}"
    for pattern, term in MORE.items():
        found = re.search(rf".{{0,30}}{pattern}.{{0,20}}", text, flags=re.I)
        assert not found, f"{found[0]!r}: the term is {term!r}"


def test_the_page_names_each_term_once():
    terms = [term for row in rows() for term in row[0].split(", ")]
    assert len(terms) == len(set(terms)) > 20
    assert {"mini-batch", "feature map"} <= set(names())
    assert all(len(row) >= 2 and row[1].endswith(".") for row in rows())
