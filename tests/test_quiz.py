"""The quiz in Python: the hidden sets, the drawn questions, the content of the page, and the messages."""

import copy
import json
import pickle

import numpy as np
import pytest

import normviz as nv
from normviz.classroom.quiz import OFFERED
from tests.pages import Reader, inside

X = np.zeros((2, 6, 3, 4))


def data_of(quiz) -> dict:
    return json.loads(Reader(quiz.to_html()).scripts[0])


@pytest.mark.parametrize("method", OFFERED)
def test_the_labels_are_the_sets_of_the_method(method):
    G = 3 if method == "group" else None
    quiz = nv.quiz(X, method=method, num_groups=G)
    (labels,) = quiz.labels
    assert quiz.answers == ((method, G),)
    # An experiment: changing one cell changes the outputs of the cells with the same label.
    x = np.random.default_rng(0).normal(size=X.shape)
    poked = x.copy()
    poked[1, 2, 0, 3] += 1.0
    answered = nv.normalize(poked, method, num_groups=G) != nv.normalize(x, method, num_groups=G)
    np.testing.assert_array_equal(labels == labels[1, 2, 0, 3], answered)


def test_a_seed_draws_the_same_questions_and_none_twice():
    first, again = nv.quiz(X, questions=5, seed=3), nv.quiz(X, questions=5, seed=3)
    assert first.answers == again.answers
    assert first.to_html() == again.to_html()
    assert {name for name, _ in first.answers} == set(OFFERED)
    assert len({nv.quiz(X, seed=seed).answers for seed in range(20)}) > 10
    # G = 1 and G = C give the sets of other methods.
    drawn = {nv.quiz(X, method="group", seed=seed).answers[0][1] for seed in range(20)}
    assert drawn == {2, 3}


def test_a_layer_is_measured():
    interleaved = lambda x: _interleaved(x, 2)  # noqa: E731
    quiz = nv.quiz(X, layer=[interleaved, lambda x: nv.normalize(x, "layer")])
    first, second = quiz.labels
    assert quiz.answers == (None, None)
    assert len(np.unique(first)) == 4
    assert first[0, 0, 0, 0] == first[0, 2, 0, 0] != first[0, 1, 0, 0]
    assert len(np.unique(second)) == 2
    assert data_of(quiz)["none"] is True
    assert data_of(nv.quiz(X, seed=0))["none"] is False


def _interleaved(x, G):
    groups = x.reshape(x.shape[0], -1, G, *x.shape[2:])
    mean, var = groups.mean((1, 3, 4), keepdims=True), groups.var((1, 3, 4), keepdims=True)
    return ((groups - mean) / np.sqrt(var + 1e-5)).reshape(x.shape)


def test_channels_last():
    quiz = nv.quiz(np.zeros((2, 3, 4, 6)), method="instance", channel_axis=-1)
    np.testing.assert_array_equal(quiz.labels[0], nv.pooling("instance", (2, 6, 3, 4)).labels())
    measured = nv.quiz(
        np.zeros((2, 3, 4, 6)), layer=lambda x: nv.normalize(x, "instance", channel_axis=-1), channel_axis=-1
    )
    same = {(a, b) for a, b in zip(measured.labels[0].flat, quiz.labels[0].flat, strict=True)}
    assert len(same) == 12


def test_the_page_holds_no_answer_and_is_small():
    quiz = nv.quiz(method=["group", "batch"], num_groups=4)
    data = data_of(quiz)
    assert set(data["questions"][0]) == {"labels"}
    assert [row["name"] for row in data["methods"]] == [name for name in nv.METHODS if name in OFFERED]
    bundle = quiz._repr_mimebundle_()
    assert set(bundle) == {"text/html", "image/svg+xml"}
    assert "Group Norm" not in bundle["image/svg+xml"]
    assert "Group Norm" not in bundle["text/html"]
    assert "startQuiz" in inside(bundle["text/html"])
    assert len(quiz.to_html()) < 120_000
    assert len(bundle["text/html"]) < 120_000
    assert quiz.to_svg() == bundle["image/svg+xml"]


def test_an_unusual_hidden_method_is_offered_as_an_answer():
    names = [row["name"] for row in data_of(nv.quiz(X, method="rms"))["methods"]]
    assert "rms" in names
    assert set(OFFERED) < set(names)


@pytest.mark.parametrize("shape", [(4, 6), (2, 6, 5), (2, 4, 2, 3, 3), (1, 1, 1, 1)])
def test_every_rank(shape):
    quiz = nv.quiz(np.zeros(shape), seed=0)
    assert all(labels.shape == shape for labels in quiz.labels)
    assert "svg" in quiz.to_svg()


def test_files(tmp_path):
    quiz = nv.quiz(seed=0)
    assert quiz.to_html(tmp_path / "quiz.html") is None
    assert (tmp_path / "quiz.html").read_text(encoding="utf-8") == quiz.to_html()
    assert repr(quiz) == "Quiz(shape=(3, 8, 5, 5), questions=3, pokes=3)"


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, lambda quiz: pickle.loads(pickle.dumps(quiz))])
def test_it_can_be_copied_and_pickled(duplicate):
    for quiz in (nv.quiz(X, seed=0), nv.quiz(X, layer=lambda x: nv.normalize(x, "layer"))):
        again = duplicate(quiz)
        assert repr(again) == repr(quiz)
        assert again.answers == quiz.answers
        assert again.to_html() == quiz.to_html()


def test_a_page_of_explorers_has_no_place_for_it(tmp_path):
    with pytest.raises(TypeError, match=r"^to_html\(\) takes [^;]+, not Quiz; its own to_html\(\) makes a page of it$"):
        nv.to_html(nv.quiz(X, seed=0), tmp_path / "page.html")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("keywords", "error", "words"),
    [
        ({"method": "grup"}, ValueError, "unknown method 'grup'; did you mean 'group'?"),
        ({"method": []}, ValueError, "method= is empty; these are known: batch, layer"),
        ({"method": "weight_norm"}, ValueError, "a quiz is about layers on activations, not method 'weight_norm'"),
        ({"method": "group", "num_groups": 4}, ValueError, "num_groups=4 does not divide C=6; these do: 1, 2, 3, 6"),
        ({"method": "batch", "num_groups": 2}, ValueError, "num_groups=2 is for methods with groups, not for batch"),
        ({"num_groups": 2}, ValueError, "num_groups=2 needs method='group'"),
        ({"method": "batch", "questions": 2}, TypeError, "questions= counts what is drawn"),
        ({"layer": abs, "method": "batch"}, TypeError, "give layer= alone"),
        ({"layer": 3}, TypeError, "layer must be a callable (or a list of them), not int"),
        ({"layer": []}, ValueError, "layer= is empty"),
        ({"pokes": 0}, ValueError, "pokes=0 is out of range; give 1 to 50"),
        ({"pokes": 1.5}, TypeError, "pokes must be a whole number, not 1.5"),
        ({"questions": True}, TypeError, "questions must be a whole number, not True"),
        ({"x": np.zeros((4, 64, 32, 32))}, ValueError, "has 262144 cells; a quiz takes at most 16384"),
        ({"seed": "a"}, TypeError, "seed must be a whole number, not 'a'; None draws new questions each time"),
        ({"seed": -1}, ValueError, "seed=-1 is negative; give a whole number from 0 on, or None"),
        ({"method": 5}, TypeError, "method must be a method or a list of methods, such as ['batch'], not 5"),
        ({"method": b"batch"}, TypeError, "method must be a method or a list of methods, such as ['batch'], not b'"),
        ({"method": [["batch"]]}, TypeError, "method must be a name such as 'batch', not list"),
        ({"method": "group", "num_groups": 0}, ValueError, "num_groups=0 does not divide C=6; these do: 1, 2, 3, 6"),
        ({"metod": "batch"}, TypeError, "quiz(): unknown keyword 'metod'; did you mean 'method'?"),
    ],
)
def test_messages_are_one_sentence(keywords, error, words):
    with pytest.raises(error) as caught:
        nv.quiz(**({"x": X} | keywords))
    text = str(caught.value)
    assert words in text
    assert "\n" not in text
    assert not text.endswith(".")
