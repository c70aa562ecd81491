"""The kit for a lecturer: what `normviz kit` writes. Its pages in a browser are in tests/browser/test_kit.py."""

import io
import json
import re
import sys
import xml.etree.ElementTree as ET

import numpy as np
import pytest

import normviz as nv
from normviz import cli, kit
from tests.pages import Reader


@pytest.fixture(scope="module")
def written() -> dict[str, str | bytes]:
    return dict(kit.contents())


QUESTION = "<figure>(<svg(?:(?!<figure>).)*)<figcaption>[A-D]<"


def text_of(page: str) -> str:
    return re.sub(r"\s+", " ", re.sub("<[^>]*>", " ", page))


def test_the_index_names_every_file_and_no_other(written):
    links = {attributes["href"] for attributes in Reader(written["index.html"]).find("a")}
    assert links | {"index.html"} == set(written)


def test_no_page_of_the_kit_asks_for_anything(written):
    for name, page in written.items():
        if name.endswith(".html"):
            reader = Reader(page)
            assert not reader.find("link"), name
            assert all(each["src"].startswith("data:") for each in reader.find("img")), name
            policy = reader.find("meta")
            assert any("default-src 'none'" in each.get("content", "") for each in policy), name
            assert not re.search(r"(?:src|href)=\"https?:", page), name


def test_the_lecture_has_slides_with_titles_and_notes(written):
    slides = written["lecture.html"].split('<section class="slide"')[1:]
    assert 12 <= len(slides) <= 16
    for slide in slides:
        assert len(re.findall("<h2>", slide)) == slide.count('<div class="notes">') == 1
        # So that the title stands on one line of a screen 1024 pixels wide.
        assert len(text_of(re.findall("<h2>(.*)</h2>", slide)[0])) <= 40
    assert f"of {len(slides)} slides" in written["index.html"]
    assert "$" not in text_of(written["lecture.html"].partition('<script type="application/json"')[0])
    # Slides are named by their numbers in the notes and in the plans.
    assert "Batch Norm loses 11 points" in slides[10]
    plans = written["lesson_plans.md"]
    numbers = [int(n) for n in re.findall(r"slides? (\d+)", plans) + re.findall(r"slides \d+ (?:to|and) (\d+)", plans)]
    assert max(numbers) == len(slides)


def test_the_plans_name_exercises_that_there_are(written):
    plans, found = written["lesson_plans.md"], set()
    for chapter, number in re.findall(r"[Cc]hapter (\d+b?)[^|.]*?Exercises? (\d)", plans):
        found.add((chapter, number))
    for number, chapter in re.findall(r"Exercise (\d) of chapter (\d+b?)", plans):
        found.add((chapter, number))
    assert len(found) > 4
    for chapter, number in found:
        (path,) = cli.shipped_notebooks().glob(f"{chapter.zfill(3 if 'b' in chapter else 2)}_*.ipynb")
        assert f"### Exercise {number}" in path.read_text("utf-8"), (chapter, number)


def test_the_explorers_of_the_lecture_share_one_script_and_one_tensor(written):
    page = written["lecture.html"]
    shown = json.loads(re.findall('id="normviz-data">(.*?)</script>', page, re.DOTALL)[0])
    assert [state["method"] for state in (each["state"] for each in shown)] == "group batch group group batch".split()
    assert [each["scene"] if isinstance(each["scene"], int) else "own" for each in shown] == ["own", "own", 0, 0, 0]
    assert page.count("<script") == 2
    assert len(page) < 400_000


def test_the_numbers_of_the_lecture_are_those_of_the_package():
    said = dict(kit.numbers())
    x = np.array(
        [
            [[[2, 3]], [[5, 7]], [[11, 13]], [[17, 19]]],
            [[[0, 1]], [[1, 2]], [[3, 5]], [[8, 13]]],
            [[[1, 2]], [[3, 4]], [[5, 6]], [[7, 8]]],
        ],
        float,
    )
    sets = {"Batch Norm": x[:, 0], "Layer Norm": x[0], "Instance Norm": x[0, 0], "Group Norm, G = 2": x[0, :2]}
    lines = re.findall("<tr><td>(.*?)</td></tr>", said["table_worked"])
    for line, (name, cells) in zip(lines, sets.items(), strict=True):
        values = cells.ravel()
        hat = (2 - values.mean()) / np.sqrt(values.var() + 1e-5)
        numbers = (f"{v:.3f}".replace("-", "−") for v in (values.mean(), values.var(), hat))
        assert line.split("</td><td>") == [name, ", ".join(f"{v:g}" for v in values), *numbers]
    blocks = re.findall("<tr><td>(.*?)</td><td>(.*?)</td><td>(.*?)</td><td>(.*?)</td></tr>", said["table_methods"])
    assert blocks == [
        ("Batch Norm", "(N, 1, H, W)", "(C,)", "yes"),
        ("Layer Norm", "(1, C, H, W)", "(N,)", "no"),
        ("Instance Norm", "(1, 1, H, W)", "(N, C)", "no"),
        ("Group Norm", "(1, C/G, H, W)", "(N, G)", "no"),
    ]
    for number in "23.6 23.7 24.8 27.3 34.7 24.1 24.2 24.0".split():
        assert f"<td>{number}</td>" in said["table_published"]
    assert "Wu &amp; He 2018" in said["table_published"]
    assert said["table_published"].count("<polyline") == 2
    assert all(f">{name} %<" in said["table_published"] for name in ("Batch Norm: 34.7", "Group Norm: 24.1"))
    assert said["picture_drift"].count("<polyline") == 3
    ends = re.findall(r'font-weight="\d+"[^>]*>([^<]*)<', said["picture_drift"] + said["table_published"])
    assert ends == ["× 1,048,576", "× 1, normalized", "almost 0", "Batch Norm: 34.7 %", "Group Norm: 24.1 %"]
    assert max(map(len, ends)) <= 18, "a longer one would be cut at the edge"
    assert (said["loss"], said["ahead"], said["doubled"]) == ("11", "0.5", "1,048,576")


def test_each_picture_of_the_quiz_is_another_method(written):
    answers = [value for name, value in kit.numbers() if name.startswith("quiz_")]
    assert sorted(answers) == ["Batch Norm", "Group Norm, G = 4", "Instance Norm", "Layer Norm"]
    drawn = re.findall(QUESTION, written["lecture.html"], re.DOTALL)
    assert len({re.sub("<title>.*?</desc>", "", each) for each in drawn}) == 4


def test_a_picture_of_the_quiz_does_not_say_its_name(written):
    """Not for a mouse, which sees the title of a picture."""
    for each in re.findall(QUESTION, written["lecture.html"], re.DOTALL):
        assert "Norm" not in each


def test_figures_are_pictures_alone_as_svg_and_png(written):
    names = {name[:-4] for name in written if name.startswith("figures/")}
    assert {name for name in names if "lab-" in name} == {f"figures/lab-{name}" for name in nv.labs.__all__}
    image = pytest.importorskip("PIL.Image", reason="needs Pillow (the extra gif)")
    pytest.importorskip("resvg_py", reason="needs resvg-py (the extra gif)")
    for name in names:
        drawn = ET.fromstring(written[f"{name}.svg"])
        cubes = "lab-" not in name
        assert cubes <= (not drawn.findall("{http://www.w3.org/2000/svg}rect"))
        with image.open(io.BytesIO(written[f"{name}.png"])) as png:
            assert png.width == kit.PNG
            assert abs(png.height / png.width - float(drawn.get("height")) / float(drawn.get("width"))) < 0.01
            assert np.asarray(png)[0, 0, 3] == (0 if cubes else 255), "the ground of cubes is transparent"


def test_the_heights_for_an_lms_are_those_of_the_frame(written):
    rows = re.findall(r"<tr><td>(\d+|any width)(?: px)?</td><td>(\d+) px</td></tr>", written["index.html"])
    assert [(int(width) if width.isdigit() else 0, int(height)) for width, height in rows] == list(kit.frames())
    assert f'height="{rows[-1][1]}"' in text_of(written["index.html"]).replace("&quot;", '"')


def test_the_kit_cites_as_the_citation_file_says(written):
    assert written["CITATION.cff"] == (cli.Path(nv.__file__).parents[1] / "CITATION.cff").read_text("utf-8")
    year = re.findall(r"date-released: (\d+)", written["CITATION.cff"])[0]
    cited = f"normviz contributors ({year}). normviz: which cells of a tensor share a mean and a variance. "
    assert f"{cited}Version {nv.__version__}. Software." in written["index.html"]


def test_the_documents_tell_the_weight_of_a_page():
    """To a tenth."""
    text = (cli.Path(nv.__file__).parents[1] / "docs" / "teach" / "your_course.md").read_text("utf-8")
    one, more = map(int, re.findall(r"about (\d+) kB for one explorer and (\d+) kB for each further one", text)[0])
    shown = [nv.show(method="batch"), nv.show(method="group", num_groups=4)]
    first, both = (len(nv.to_html(shown[:count]).encode()) / 1000 for count in (1, 2))
    assert first == pytest.approx(one, rel=0.1)
    assert both - first == pytest.approx(more, rel=0.1)


# ---- the command -----------------------------------------------------------------------------------------------------


def test_the_command_writes_the_kit_and_keeps_what_is_there(folder, capsys, monkeypatch, written):
    """Without resvg-py, so without PNG files, which a sentence says."""
    monkeypatch.setitem(sys.modules, "resvg_py", None)
    (folder / "kit").mkdir()
    (folder / "kit" / "lesson_plans.md").write_text("my own plan", encoding="utf-8")
    assert cli.main(["kit", "kit"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("Written to kit: index.html, lecture.html")
    assert said[1:] == [
        "Kept as they are in kit: lesson_plans.md",
        "To write all files again, also your own changes: normviz kit --replace kit",
        'The figures are SVG files only. For PNG files too: pip install "normviz[gif]"',
        f"Open {cli.Path('kit') / 'index.html'} first.",
    ]
    assert (folder / "kit" / "lesson_plans.md").read_text("utf-8") == "my own plan"
    names = {path.relative_to(folder / "kit").as_posix() for path in (folder / "kit").rglob("*") if path.is_file()}
    assert names == {name for name in written if not name.endswith(".png")}
    assert (folder / "kit" / "lecture.html").read_text("utf-8") == written["lecture.html"]
    assert ".png" not in (folder / "kit" / "index.html").read_text("utf-8")
    (folder / "kit" / "index.html").write_text("of an older version", encoding="utf-8")
    assert cli.main(["kit", "--replace", "kit"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("Written to kit: index.html")
    assert "Kept" not in said
    for name in ("index.html", "lesson_plans.md"):
        assert (folder / "kit" / name).read_text("utf-8") == ({**written, "index.html": kit.index(["svg"])})[name]


def test_a_folder_that_cannot_be_made_is_one_sentence(folder, capsys):
    (folder / "file").write_text("")
    assert cli.main(["kit", "file"]) == 2
    assert capsys.readouterr().err == "normviz: Invalid value for 'DIR': Directory 'file' is a file.\n"
