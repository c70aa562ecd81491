"""The explorer's words, symbols and shapes: true for every cell, and written for students."""

import ast
import html.parser
import itertools
import math
from pathlib import Path

import numpy as np
import pytest

from normviz.core.methods import METHODS
from normviz.core.pooling import pooling
from normviz.explorer import texts, validation
from normviz.explorer.axis_names import axis_names, length_names
from normviz.explorer.scene import ROW


class Balanced(html.parser.HTMLParser):
    def __init__(self):
        super().__init__()
        self.open, self.seen, self.text = [], set(), ""

    def handle_starttag(self, tag, attrs):
        assert not attrs
        self.open.append(tag)
        self.seen.add(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def plain(markup):
    parser = Balanced()
    parser.feed(markup)
    parser.close()
    assert not parser.open
    assert parser.seen <= {"i", "sub"}
    return parser.text


@pytest.mark.parametrize("shape", [(6, 8), (2, 6, 5), (2, 8, 3, 4), (2, 4, 2, 3, 2)])
@pytest.mark.parametrize("name", METHODS)
def test_the_symbol_says_which_cells_are_pooled(name, shape):
    """Read the formula as Python, and ask it of every pair of cells."""
    G = 2 if METHODS[name].has_groups else None
    said = texts.words(METHODS[name], shape)
    formula = (
        plain(said["symbol"])
        .replace("⌊", "math.floor(")
        .replace("⌋", ")")
        .replace(" = ", " == ")
        .replace(", ", " and ")
    )
    condition = compile(formula, "<symbol>", "eval")
    letters = axis_names(shape, METHODS[name].axes)
    labels = pooling(name, shape, G).labels()
    cells = list(np.ndindex(shape))
    for j in cells[:: max(1, len(cells) // 40)]:
        for i in cells:
            names = dict(zip(letters, i, strict=True)) | {f"{a}j": v for a, v in zip(letters, j, strict=True)}
            same = eval(condition, {"math": math, "N": shape[0], "C": shape[1], "G": G}, names)
            assert same == (labels[i] == labels[j]), (formula, i, j)


@pytest.mark.parametrize("name", METHODS)
def test_the_symbolic_shape_of_the_statistics(name):
    for shape in [(6, 8), (2, 6, 5), (2, 8, 3, 4), (2, 4, 2, 3, 5)]:
        G = 2 if METHODS[name].has_groups else None
        lengths = dict(zip(length_names(shape, METHODS[name].axes), shape, strict=True)) | {"G": G}
        said = texts.words(METHODS[name], shape)["statistics"]
        assert eval(said, lengths) == pooling(name, shape, G).statistics_shape


def test_words_are_sentences_for_students():
    sentences = {name: texts.words(row) for name, row in METHODS.items()}
    assert all(set(said) == {"words", "symbol", "statistics", "caution"} for said in sentences.values())
    for said in sentences.values():
        for text in (plain(said["words"]), plain(said["caution"])):
            assert text[0].isupper()
            assert text.endswith(".")
            assert len(text) < 260
    assert sentences["group"]["words"] == (
        "The cells of C/G neighboring channels, in one sample and at all positions, share one mean and one variance."
    )
    assert all(0 < len(row.place) < 45 for row in METHODS.values())
    assert "no mean is subtracted" in sentences["rms"]["words"]
    assert "one squared norm, and no mean is subtracted" in sentences["weight_norm"]["words"]
    assert "in a slice of N/G samples" in sentences["ghost"]["words"]
    assert "position" not in texts.words(METHODS["positional"], (3, 8))["words"]  # (N, C) has none.


def test_the_texts_are_no_part_of_a_scene():
    """A page fills them by itself: for the shape and the rank that it shows, which may change in the page."""
    for row in validation.subject(np.zeros((2, 8, 3, 4))).scene["methods"]:
        assert set(row) == {*ROW, "short"}


def misplaced_docstrings(source: str) -> list[int]:
    """Lines of strings that document nothing, because they follow neither an attribute nor the start of a scope."""
    lines = []
    for scope in ast.walk(ast.parse(source)):
        body = getattr(scope, "body", None)
        for before, node in itertools.pairwise(body if isinstance(body, list) else []):
            text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
            if text and not isinstance(before, (ast.Assign, ast.AnnAssign, ast.AugAssign)):
                lines.append(node.lineno)
    return lines


def test_every_attribute_docstring_follows_its_attribute():
    assert misplaced_docstrings('A = 1\n"""Of A."""\n"""Of whom?"""\nB = 2') == [3]
    package = Path(texts.__file__).parents[1]
    found = {path.name: misplaced_docstrings(path.read_text("utf-8")) for path in package.rglob("*.py")}
    assert {name: lines for name, lines in found.items() if lines} == {}
