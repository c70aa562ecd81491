"""The chooser in Python: the graph of questions, the file of its content, its output, and its messages."""

import copy
import inspect
import itertools
import math
import pickle
import re
import xml.etree.ElementTree as ET

import pytest

import normviz as nv
from normviz.method_chooser import chooser, diagram
from normviz.method_chooser.content import ADVICE, FIRST, QUESTIONS, load, paths, reachable
from tests.pages import HOSTILE, Reader, data_of, inside

PATHS = list(paths(FIRST, QUESTIONS))
GROUP = {"data": "maps", "erase": "no", "pretrained": "no", "samples": "few", "freedom": "nothing"}

# ---- the graph -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("answers", PATHS, ids=["/".join(each.values()) for each in PATHS])
def test_every_path_ends_in_an_advice(answers):
    chosen = nv.chooser(**answers)
    assert chosen.answers == answers
    assert chosen.advice in ADVICE.values()
    assert chosen.question is None
    # Without the last answer, the question of that answer is open.
    *before, last = answers
    earlier = nv.chooser(**{key: answers[key] for key in before})
    assert earlier.question is QUESTIONS[last]
    assert earlier.advice is None


def test_every_advice_and_every_question_is_reached():
    assert {nv.chooser(**answers).advice.key for answers in PATHS} == set(ADVICE)
    assert {key for answers in PATHS for key in answers} == set(QUESTIONS)
    assert list(reachable(FIRST, QUESTIONS)) == list(ADVICE)
    # No key names both a question and an advice.
    assert not set(QUESTIONS) & set(ADVICE)
    assert [len(QUESTIONS), len(ADVICE), len(PATHS)] == [10, 15, 33]


def test_the_whole_family_is_there():
    known = {drawn.method for row in ADVICE.values() for drawn in row.drawn}
    # A norm for each head stands within attention, beside the layer norm that the guide chooses.
    assert known == {name for name, row in nv.METHODS.items() if not row.shared}
    assert {"conditional_instance", "adain", "switchable", "synchronized_batch", "frozen_batch"} < set(ADVICE)


def test_the_first_question_is_about_the_data_and_the_next_is_what_matters_for_them():
    assert nv.chooser().question.key == "data"
    after = {data: nv.chooser(data=data) for data in ("maps", "tokens", "vector", "steps", "weights")}
    assert {data: (one.question or one.advice).key for data, one in after.items()} == {
        "maps": "erase",
        "tokens": "centring",
        "vector": "vectors",
        "steps": "layer",
        "weights": "weight_norm",
    }
    assert nv.chooser(data="maps", erase="yes", style="image").advice.key == "adain"
    assert nv.chooser(data="maps", erase="partly").advice.key == "frn"
    assert nv.chooser(data="tokens", centring="no").advice.key == "rms"
    assert nv.chooser(**GROUP).advice.key == "group"


@pytest.mark.parametrize("question", ["vectors", "tuning", "samples"])
def test_every_number_of_samples_has_an_answer(question):
    """No gap and no overlap; more GPUs, or a number that changes, is a further answer beside the ranges."""
    ranges = []
    for option in QUESTIONS[question].options:
        if option.key not in ("devices", "changes"):
            found = re.match(r"(?:More than )?(\d+)(?: to (\d+))?", option.label)
            first, last = int(found[1]), found[2]
            more = "more" in option.label.lower()
            first += option.label.startswith("More than")
            ranges.append((first, int(last) if last else math.inf if more else first))
    ranges.sort()
    assert ranges[0][0] == 1
    assert ranges[-1][1] == math.inf
    assert all(end + 1 == start for (_, end), (start, _) in itertools.pairwise(ranges))
    assert "disagree (8, 16, 32)" in QUESTIONS[question].note


def test_one_number_of_groups_is_advised_with_its_source():
    texts = [text for row in ADVICE.values() for text in (row.code, row.watch, row.consider)]
    assert {number for text in texts for number in re.findall(r"(?:GroupNorm\(|G = )(\d\d+)", text)} == {"32"}
    assert "G = 32, which had the smallest error, 24.1 % (Wu & He 2018, Table 3)" in ADVICE["group"].watch


def test_weights_that_stay_with_batch_norm_keep_every_kind_of_it():
    """The number of samples decides which; layers that the weights were not trained with are ruled out."""
    before = {"data": "maps", "erase": "no", "pretrained": "keep"}
    ends = {"many": "batch", "devices": "synchronized_batch", "few": "frozen_batch"}
    assert {key: nv.chooser(**before, tuning=key).advice.key for key in ends} == ends
    keep = next(row for row in chooser.tables()["questions"] if row["key"] == "pretrained")["options"][0]
    assert sorted(keep["drops"]) == ["ghost_batch", "group", "switchable", "weight_standardization"]


@pytest.mark.parametrize("row", ADVICE.values(), ids=ADVICE)
def test_an_advice_draws_sets_of_more_than_one_cell(row):
    assert row.method is None or row.method in [one.method for one in row.drawn]
    assert row.num_groups == {"group": 4, "ghost": 2}.get(row.method)
    for one in row.drawn:
        pool = nv.pooling(one.method, one.shape, one.num_groups)
        assert pool.count > 1
        assert pool.size > 1
    for sentence in (row.why, row.watch, row.consider):
        assert sentence.endswith(".")
    assert row.evidence


def test_every_advice_is_either_ruled_out_or_reached():
    """On every path, the list "why not the others" names each other advice once."""
    rows = {row["key"]: row for row in chooser.tables()["questions"]}
    for answers in PATHS:
        dropped = [
            key
            for question, answer in answers.items()
            for option in rows[question]["options"]
            if option["key"] == answer
            for key in option["drops"]
        ]
        assert sorted([*dropped, nv.chooser(**answers).advice.key]) == sorted(ADVICE)


def test_keywords_are_the_questions_and_the_docstring_names_every_answer():
    assert list(inspect.signature(nv.chooser).parameters) == list(QUESTIONS)
    sections = re.split(r"\n    (\w+)\n        ", inspect.getdoc(nv.chooser).replace("\n", "\n    "))
    told = dict(zip(sections[1::2], sections[2::2], strict=True))
    for key, row in QUESTIONS.items():
        assert re.findall(r'"(\w+)"', told[key]) == [option.key for option in row.options], key


# ---- the file of its content -----------------------------------------------------------------------------------------

CONTENT = """
[[questions]]
key = "centre"
text = \"\"\"Subtract the
  mean?\"\"\"
short = "Mean?"
note = "Two ways."
options = [
    { key = "yes", label = "Yes", hint = "Both.", to = "layer", against = "It keeps the mean." },
    { key = "no", label = "No", hint = "Scale.", to = "rms", against = "It subtracts the mean." },
]
[tables.one]
text = "Error"
source = "Somebody 2020"
rows = [["G", "1", "2"], ["error", "3.5", "4.5"]]
[[advice]]
key = "layer"
label = "Layer Norm"
method = "layer"
why = "W."
watch = "W."
consider = "C."
code = "a = 1\\nb = 2"
drawn = [{ method = "layer", shape = [4, 8] }]
tables = ["one"]
[[advice]]
key = "rms"
label = "RMS Norm"
why = "W."
watch = "W."
consider = "C."
code = "c"
drawn = [{ method = "rms" }]
evidence = [{ text = "Fact.", source = "Other 2021" }]
"""


def test_the_file_becomes_questions_and_advice():
    questions, advice = load(CONTENT)
    assert questions["centre"].text == "Subtract the mean?"
    assert [option.to for option in questions["centre"].options] == ["layer", "rms"]
    assert advice["layer"].code == "a = 1\nb = 2"
    assert advice["layer"].drawn[0].shape == (4, 8)
    assert [str(each) for row in advice.values() for each in row.evidence] == [
        "Error: G 1, 2; error 3.5, 4.5 (Somebody 2020)",
        "Fact. (Other 2021)",
    ]
    assert (advice["layer"].method, advice["rms"].method) == ("layer", None)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (
            'to = "rms"',
            'to = "rmsnorm"',
            "option 'no' of question 'centre' leads to 'rmsnorm', which is not the key of",
        ),
        ('to = "rms"', 'to = "centre"', "option 'no' of question 'centre' leads to 'centre', which is not the key"),
        ('to = "rms"', 'to = "layer"', "no option leads to 'rms'; name it in an option's `to`, or take it out"),
        ('key = "rms"', 'key = "layer"', "leads to 'rms', which is not the key of a later question or of an advice"),
        ('key = "rms"\nlabel', 'key = "centre"\nlabel', "leads to 'rms', which is not the key of a later question"),
        ('note = "Two ways."\n', "", "question 'centre': missing 1 required positional argument: 'note'"),
        ('note = "Two', 'notes = "Two', "question 'centre': got an unexpected keyword argument 'notes'"),
        ('hint = "Both."', "hint = 3", "option 'yes': hint must be text, not 3"),
        ('method = "rms"', 'method = "rns"', "unknown method 'rns'; did you mean 'rms'?"),
        ('method = "layer"\n', 'method = "layr"\n', "unknown method 'layr'; did you mean 'layer'?"),
        ('["one"]', '["on"]', "advice 'layer': unknown table 'on'; did you mean 'one'? (known: one)"),
        ('"3.5", "4.5"', '"3.5"', "table 'one' needs a row of column heads and further rows of the same"),
        (
            ', ["error", "3.5", "4.5"]',
            "",
            "table 'one' needs a row of column heads and further rows of the same length",
        ),
        ("options = [", "options = []\nrest = [", "question 'centre': got an unexpected keyword argument 'rest'"),
    ],
)
def test_a_fault_in_the_file_is_named(old, new, words):
    assert CONTENT.count(old) == 1
    with pytest.raises(ValueError) as caught:
        load(CONTENT.replace(old, new))
    assert words in str(caught.value)


def test_a_key_stands_once_and_a_question_has_options():
    with pytest.raises(
        ValueError, match=r"^the key 'rms' is given twice; every question and every advice needs its own"
    ):
        load(CONTENT + CONTENT[CONTENT.index('[[advice]]\nkey = "rms"') :])
    with pytest.raises(ValueError, match=r"^question 'centre' needs at least two options$"):
        load(re.sub(r"options = \[.*?\n\]", "options = []", CONTENT, flags=re.DOTALL))


# ---- its output ------------------------------------------------------------------------------------------------------


def test_the_bundle_has_no_widget_and_no_address():
    chosen = nv.chooser(**GROUP)
    bundle = chosen._repr_mimebundle_()
    assert set(bundle) == {"text/html", "image/svg+xml"}
    assert [tag for tag, _ in Reader(bundle["text/html"]).tags] == ["div", "div", "figure", "img", "iframe"]
    assert Reader(bundle["text/html"]).find("img")[0]["alt"] == diagram.description()
    assert " at 0x" not in repr(chosen) + "".join(bundle.values())
    assert bundle == nv.chooser(**GROUP)._repr_mimebundle_()
    assert bundle["image/svg+xml"] == chosen.to_svg()
    assert data_of(inside(bundle["text/html"]))["answers"] == GROUP
    assert repr(chosen) == (
        "Chooser(data='maps', erase='no', pretrained='no', samples='few', freedom='nothing', advice='group')"
    )
    assert repr(nv.chooser()) == "Chooser(question='data')"


def test_the_page_is_small_and_makes_no_request():
    chosen = nv.chooser()
    text, bundle = chosen.to_html(), chosen._repr_mimebundle_()["text/html"]
    assert len(inside(bundle).encode()) < 116_000
    assert len(bundle) < 97_000
    assert len(text.encode()) < 150_000
    assert "default-src 'none'" in text
    assert "<noscript><p>This decision guide is interactive where JavaScript runs.</p></noscript>" in text
    addresses = set(re.findall(r"(?:https?:)?//[a-z0-9-]+\.[a-z.]+[^\s\"'`)]*", text, re.IGNORECASE))
    assert addresses <= {"http://www.w3.org/2000/svg"}
    assert not re.search(r"fetch\(|XMLHttpRequest|import\(|@import|sendBeacon", text)
    for _, attributes in Reader(text).tags:
        assert not {"src", "href", "action", "srcset"} & set(attributes)


def test_any_text_is_text(monkeypatch):
    from dataclasses import replace

    monkeypatch.setitem(QUESTIONS, "data", replace(QUESTIONS["data"], text=HOSTILE, short=HOSTILE))
    monkeypatch.setitem(ADVICE, "frn", replace(ADVICE["frn"], label=HOSTILE, code=HOSTILE))
    chosen = nv.chooser()
    reader = Reader(chosen.to_html())
    assert len(reader.scripts) == 2
    assert data_of(chosen.to_html())["questions"][0]["text"] == HOSTILE
    assert "alert(1)" not in reader.scripts[1]
    ET.fromstring(chosen.to_svg())
    assert [tag for tag, _ in Reader(chosen._repr_mimebundle_()["text/html"]).tags] == [
        "div",
        "div",
        "figure",
        "img",
        "iframe",
    ]


def test_the_picture_has_every_question_every_answer_and_every_advice():
    root = ET.fromstring(nv.chooser(**GROUP).to_svg())
    ns = "{http://www.w3.org/2000/svg}"
    words = [text.text for text in root.iter(f"{ns}text")]
    for row in QUESTIONS.values():
        assert row.short in words
        for option in row.options:
            chosen = GROUP.get(row.key) == option.key
            assert words.count(f"✓ {option.label}" if chosen else option.label) >= 1
    said = " ".join(words)
    for row in ADVICE.values():
        assert row.label in said
    # The path is marked without color, too: five answers and the advice.
    assert said.count("✓") == 6
    assert "✓ Group Norm" in words
    assert nv.chooser().to_svg().count("✓") == 0
    # There is a line for each answer; those of the chosen ones are thick.
    lines = [path for path in root.iter(f"{ns}path") if path.get("fill") == "none"]
    assert len(lines) == sum(len(row.options) for row in QUESTIONS.values())
    assert [path.get("stroke-width") for path in lines].count("2.6") == 5
    assert not list(root.iter(f"{ns}script"))


def test_the_boxes_of_the_picture_lie_inside_it_and_do_not_overlap():
    boxes = list(diagram.places().values())
    ends = [diagram.Place(x, y - diagram.LEAF / 2, width, diagram.LEAF)
            for (x, width) in [diagram.COLUMNS["leaf"]] for y in diagram.leaves().values()]  # fmt: skip
    every = boxes + ends
    for k, a in enumerate(every):
        assert 0 < a.x < a.x + a.width < diagram.WIDTH
        assert diagram.TOP - 1 < a.y < a.y + a.height < diagram.HEIGHT - 8
        for b in every[:k]:
            apart = a.x + a.width < b.x or b.x + b.width < a.x or a.y + a.height < b.y or b.y + b.height < a.y
            assert apart, (a, b)


def test_files(tmp_path):
    chosen = nv.chooser(data="maps")
    assert chosen.to_html(tmp_path / "guide.html") is None
    assert chosen.to_svg(tmp_path / "guide.svg") is None
    assert (tmp_path / "guide.html").read_text(encoding="utf-8") == chosen.to_html()
    assert (tmp_path / "guide.svg").read_text(encoding="utf-8") == chosen.to_svg()


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, lambda chosen: pickle.loads(pickle.dumps(chosen))])
@pytest.mark.parametrize("answers", [{}, {"data": "maps"}, GROUP])
def test_it_can_be_copied_and_pickled(duplicate, answers):
    chosen = nv.chooser(**answers)
    again = duplicate(chosen)
    assert repr(again) == repr(chosen)
    assert again.to_html() == chosen.to_html()
    with pytest.raises(TypeError, match="does not support item assignment"):
        again.answers["data"] = "tokens"
    assert duplicate(chosen.question) == chosen.question
    assert duplicate(chosen.advice) == chosen.advice


def test_a_page_of_explorers_has_no_place_for_it(tmp_path):
    with pytest.raises(
        TypeError, match=r"^to_html\(\) takes [^;]+, not Chooser; its own to_html\(\) makes a page of it$"
    ):
        nv.to_html([nv.show(), nv.chooser()], tmp_path / "page.html")
    assert not list(tmp_path.iterdir())


# ---- messages --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answers", "error", "words"),
    [
        ({"erace": "no"}, TypeError, "chooser(): unknown keyword 'erace'; did you mean 'erase'? (known: data, erase, "
         "style, centring, vectors, pretrained, tuning, samples, inference, freedom)"),
        ({"erase": "no", "positions": "maps"}, TypeError, "chooser(): the keyword 'positions' is now 'data'"),
        ({"data": "map"}, ValueError, "unknown answer to data 'map'; did you mean 'maps'? (known: maps, tokens, "
         "vector, steps, weights)"),
        ({"data": "none"}, ValueError, "unknown answer to data 'none' (known: maps, tokens, vector, steps, weights)"),
        ({"data": False}, TypeError, "data must be a name such as 'maps', not bool"),
        ({"samples": 4}, TypeError, "samples must be a name such as 'one', not int"),
        ({"erase": "no"}, ValueError, "erase='no' answers a question that is not asked: data comes first; give "
         "data='maps' or 'tokens' or 'vector' or 'steps' or 'weights', or leave erase out"),
        ({"data": "maps", "erase": "no", "samples": "few"}, ValueError, "samples='few' answers a question that is "
         "not asked after data='maps', erase='no': pretrained comes first; give pretrained='keep' or 'swap' or "
         "'no', or leave samples out"),
        ({"data": "maps", "erase": "no", "pretrained": "keep", "samples": "few"}, ValueError, "samples='few' "
         "answers a question that is not asked after data='maps', erase='no', pretrained='keep'; leave samples "
         "out"),
        ({"data": "maps", "erase": "no", "style": "none"}, ValueError, "style='none' answers a question that is not "
         "asked after data='maps', erase='no'; leave style out"),
        ({"data": "steps", "samples": "few"}, ValueError, "samples='few' answers a question that is not asked after "
         "data='steps', which leads to Layer Norm; leave samples out"),
    ],
)  # fmt: skip
def test_messages_are_one_sentence(answers, error, words):
    with pytest.raises(error) as caught:
        nv.chooser(**answers)
    assert str(caught.value) == words
