"""The command ``normviz``, called as a function, and as a process where that is necessary."""

import contextlib
import io
import json
import os
import re
import subprocess
import sys
import types
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import normviz as nv
from normviz import cli
from normviz.classroom.instructor import versions


@pytest.fixture
def opened(monkeypatch):
    """The addresses that were to be opened in a browser."""
    addresses = []
    monkeypatch.setattr(cli.webbrowser, "open", lambda address: addresses.append(address) or True)
    return addresses


@pytest.mark.parametrize("command", ["demo", "playground"])
def test_the_playground_is_written_and_opened(folder, opened, capsys, command):
    assert cli.main([command]) == 0
    page = (folder / "normviz.html").read_text(encoding="utf-8")
    assert page == nv.show(editable=True).to_html()
    assert opened == [(folder / "normviz.html").as_uri()]
    assert re.fullmatch(r"Wrote normviz\.html \(\d+ kB\)\n", capsys.readouterr().out)


def test_demo_opens_no_browser_with_no_open(folder, opened):
    assert cli.main(["demo", "--no-open", "--output", "lecture.html"]) == 0
    assert opened == []
    assert [path.name for path in folder.iterdir()] == ["lecture.html"]


def test_demo_says_where_the_page_is_when_no_browser_starts(folder, monkeypatch, capsys):
    monkeypatch.setattr(cli.webbrowser, "open", lambda address: False)
    assert cli.main(["demo"]) == 0
    assert f"No browser could be started; open {folder / 'normviz.html'} in one." in capsys.readouterr().out


@pytest.fixture
def exported(folder, monkeypatch):
    """Record the exports as (x, the explorer's options, the output's name) instead of writing pages."""
    made = []

    def explorer(x, **options):
        return types.SimpleNamespace(x=x, options=options, to_svg=lambda path: write([one], path))

    def write(explorers, path):
        (explorer_,) = explorers
        made.append((explorer_.x, explorer_.options, path.name))
        path.write_text("a page")

    one = types.SimpleNamespace(x=None, options="svg")
    monkeypatch.setattr(nv, "Explorer", explorer)
    monkeypatch.setattr(nv, "to_html", write)
    return made


def test_export_hands_a_file_and_the_choice_to_the_explorer(exported, folder):
    x = np.arange(48.0).reshape(2, 2, 2, 6)
    np.save(folder / "x.npy", x)
    assert cli.main("export x.npy --method group --num-groups 3 --channel-axis -1 -o x.html".split()) == 0
    ((given_x, options, name),) = exported
    np.testing.assert_array_equal(given_x, x)
    assert options == {"method": "group", "num_groups": 3, "channel_axis": -1}
    assert name == "x.html"


def test_export_takes_one_array_of_an_archive(exported, folder):
    x = np.arange(8.0).reshape(2, 4)
    np.savez(folder / "x.npz", one=x, other=-x)
    assert cli.main("export x.npz --key other -m batch".split()) == 0
    ((given_x, _, _),) = exported
    np.testing.assert_array_equal(given_x, -x)


@pytest.mark.parametrize("shape", [(3, 4), (2, 4, 6), (4, 16, 12, 12), (2, 4, 3, 3, 3)])
def test_export_takes_random_numbers_of_any_rank(exported, shape):
    for _ in range(2):
        assert cli.main(["export", "--shape", *map(str, shape), "--method", "batch"]) == 0
    (first, options, name), (second, _, _) = exported
    assert first.shape == shape
    np.testing.assert_array_equal(first, second)
    assert options == {"method": "batch", "num_groups": None, "channel_axis": 1}
    assert name == "normviz.html"


def test_export_as_a_still_picture(exported):
    assert cli.main("export --shape 2 4 -o still.svg".split()) == 0
    assert exported == [(None, "svg", "still.svg")]


def test_export_writes_a_page_that_shows_the_choice(folder):
    assert cli.main("export --shape 2 6 3 3 -m group -g 3 -o x.html".split()) == 0
    assert cli.main("export --shape 2 6 3 3 -m layer -o x.svg".split()) == 0
    assert (folder / "x.html").read_text(encoding="utf-8").lower().startswith("<!doctype html>")
    assert "<svg" in (folder / "x.svg").read_text(encoding="utf-8")


def test_export_for_myst_writes_three_files_and_says_what_to_write(folder, capsys):
    """Again into the same folder, another export takes their place."""
    for method in ("batch", "layer"):
        assert cli.main(["export", "--shape", "2", "6", "3", "3", "-m", method, "--anywidget", "lesson"]) == 0
        said = capsys.readouterr().out
    assert sorted(path.name for path in folder.rglob("*")) == ["explorer.css", "explorer.mjs", "lesson", "model.json"]
    model = (folder / "lesson" / "model.json").read_text("utf-8")
    assert json.loads(model)["method"] == "layer"
    assert said.endswith(f"```{{anywidget}} lesson/explorer.mjs\n:css: lesson/explorer.css\n{model}```\n")


BAD = {
    "no FILE": ("export", "Missing argument 'FILE | --shape N C [D] [H] [W]'."),
    "no such file": ("export none.npy", "none.npy: No such file or directory"),
    "a folder": ("export dir", "dir: Is a directory"),
    "two files": ("export ok.npy ok.npy", "export takes one FILE, not 2; for random numbers add --shape"),
    "text": ("export text.npy", "text.npy does not begin as a .npy file does; np.save writes such files"),
    "empty": ("export empty.npy", "empty.npy is empty; write or download it anew"),
    "cut short": ("export cut.npy", "cut.npy holds 56 of the 64 bytes of float64 (2, 4) that its header announces; "),
    "pickled": ("export objects.npy", "objects.npy holds Python objects, a pickle, which can run code when read; "),
    "several arrays": ("export many.npz", "many.npz holds 2 arrays; choose one by key=, of 'a', 'b'"),
    "no such array": ("export many.npz --key c", "many.npz holds no array 'c'; it has 'a', 'b'"),
    "a key of no file": ("export --shape 2 4 --key a", "--key names an array of a file, and --shape takes none"),
    "complex": ("export complex.npy", "x has dtype complex128; use float16, "),
    "records": ("export records.npy", "x has dtype [('a', '<f8')]; use float16, "),
    "one axis": ("export --shape 4", "x has rank 1, shape (4,); it needs 2 to 5 axes"),
    "six axes": ("export --shape 1 2 1 1 1 1", "x has rank 6, shape (1, 2, 1, 1, 1, 1); it needs 2 to 5 axes"),
    "an empty axis": ("export --shape 4 0 2", "as in --shape 4 16 12 12; '0' is not one"),
    "no number": ("export --shape 4 x", "--shape takes whole numbers > 0, as in --shape 4 16 12 12; 'x' is not one"),
    "too much": ("export --shape 100000 100000 1000 1000", "Unable to allocate"),
    "G not a divisor": ("export --shape 2 6 3 3 -g 4", "num_groups=4 does not divide C=6; these do: 1, 2, 3, 6"),
    "G no number": ("export --shape 2 6 -g two", "'--num-groups': 'two' is not a valid integer."),
    "G with batch": ("export --shape 2 6 3 3 -m batch -g 3", "num_groups=3 means nothing to method 'batch'"),
    "unknown method": ("export --shape 2 6 3 3 -m grup", "unknown method 'grup'; did you mean 'group'?"),
    "no such axis": ("export --shape 2 6 3 3 -c 7", "channel_axis=7 is not an axis of x, rank 4; use -4 to 3"),
    "no such option": ("export --shape 2 6 --metod group", "No such option '--metod'"),
    "no such command": ("exprot", "No such command 'exprot'"),
    "no such folder": ("export --shape 2 6 -o none/x.html", "there is no folder none to write x.html into"),
    "output a folder": ("demo --no-open -o dir", "dir is a folder; give the name of a file in it"),
    "no folder for a picture": ("export --shape 2 6 -o none/x.svg", "there is no folder none to write x.svg into"),
    "a page and a folder": ("export ok.npy --anywidget w -o x.html", "leave one of the two out"),
    "no folder for a folder": ("export ok.npy --anywidget none/w", "there is no folder none to write w into"),
    "a file for a folder": ("export ok.npy --anywidget ok.npy", "Directory 'ok.npy' is a file."),
    "a folder for a file": ("export ok.npy --anywidget dir", "explorer.css is a folder"),
    "G for a folder": ("export --shape 2 6 3 3 -g 4 --anywidget w", "num_groups=4 does not divide C=6"),
    "output a file's child": ("demo --no-open -o ok.npy/x.html", "there is no folder ok.npy to write x.html into"),
}


@pytest.mark.parametrize(("line", "words"), BAD.values(), ids=BAD.keys())
def test_bad_input_is_one_clear_line_and_exit_code_2(line, words, folder, capsys):
    (folder / "dir" / "explorer.css").mkdir(parents=True)
    (folder / "text.npy").write_text("1 2 3\n")
    (folder / "empty.npy").touch()
    np.save(folder / "ok.npy", np.zeros((2, 4)))
    (folder / "cut.npy").write_bytes((folder / "ok.npy").read_bytes()[:-8])
    np.save(folder / "objects.npy", np.array([[{}, {}]], dtype=object), allow_pickle=True)
    np.savez(folder / "many.npz", a=np.zeros((2, 4)), b=np.zeros((2, 4)))
    np.save(folder / "complex.npy", np.zeros((2, 4), complex))
    np.save(folder / "records.npy", np.zeros((2, 4), [("a", float)]))
    before = sorted(folder.rglob("*"))

    assert cli.main(line.split()) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert re.fullmatch(r"normviz: \S.*\n", said.err), said.err
    assert words in said.err
    assert sorted(folder.rglob("*")) == before


NO_FOLDER = "The name is empty; give the name of a folder."
NO_FILE = "The name is empty; give the name of a file."


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (["kit", ""], NO_FOLDER),
        (["instructor", ""], NO_FOLDER),
        (["lite", ""], NO_FOLDER),
        (["lite", "site", "--offline", ""], NO_FOLDER),
        (["export", "--shape", "2", "4", "--anywidget", ""], NO_FOLDER),
        (["export", "--shape", "2", "4", "-o", ""], NO_FILE),
        (["export", ""], NO_FILE),
        (["playground", "--no-open", "-o", ""], NO_FILE),
        (["audit", "no_such:thing", "--example", ""], NO_FILE),
        (["audit", "no_such:thing", "--shape", "2", "4", "--html", ""], NO_FILE),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value),
)
def test_an_empty_name_is_not_the_current_folder(line, words, folder, capsys):
    """As a shell gives it for a variable that is not set: normviz kit "$FOLDER"."""
    assert cli.main(line) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert re.fullmatch(rf"normviz: .*{re.escape(words)}\n", said.err), said.err
    assert not list(folder.iterdir())


@given(st.data())
def test_a_damaged_file_is_refused_or_read_as_an_array(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("damaged") / "x.npy"
    np.save(path, np.arange(6.0).reshape(2, 3))
    whole = path.read_bytes()
    if data.draw(st.booleans(), label="cut"):
        path.write_bytes(whole[: data.draw(st.integers(0, len(whole) - 1), label="length")])
        with pytest.raises(ValueError):
            cli.load(path)
        return
    damaged = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 3))):
        damaged[data.draw(st.integers(0, 127), label="place")] = data.draw(st.integers(0, 255), label="byte")
    path.write_bytes(damaged)
    with contextlib.suppress(cli.BAD_INPUT):
        assert isinstance(cli.load(path), np.ndarray)


@pytest.mark.skipif(not Path("/dev/full").is_char_device(), reason="this system has no /dev/full, which is always full")
def test_a_full_disk_is_one_line_too(folder, capsys):
    assert cli.main(["export", "--shape", "2", "4", "-o", "/dev/full"]) == 2
    assert capsys.readouterr().err == "normviz: /dev/full: No space left on device\n"
    assert Path("/dev/full").is_char_device()


LIMITED = """
import resource, sys
from normviz import cli
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), resource.RLIM_INFINITY))
sys.exit(cli.main(sys.argv[2:]))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit on the size of a file")
@pytest.mark.parametrize(
    "line", ["demo --no-open", "export --shape 2 4 -o normviz.html", "instructor", "lab --version"]
)
def test_a_full_disk_leaves_no_incomplete_file(line, folder, tmp_path_factory):
    """A limit on file sizes makes a write fail halfway, like a full disk."""
    # The files are copied before JupyterLab starts, which takes seconds; a stand-in does as well.
    stand_in = tmp_path_factory.mktemp("stand_in") / "jupyterlab" / "labapp.py"
    stand_in.parent.mkdir()
    stand_in.write_text("class LabApp:\n    launch_instance = print\n")
    path = os.pathsep.join([str(stand_in.parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])])
    told = {"env": os.environ | {"PYTHONPATH": path}, "capture_output": True, "text": True}
    name, *_ = line.split()
    target = {"instructor": Path("normviz-instructor"), "lab": Path("normviz-notebooks")}.get(name, Path())
    sizes = [path.stat().st_size for path in cli.shipped_notebooks().glob("*.ipynb")]
    limit = min(sizes) + 1000 if target.name else 10_000
    done = subprocess.run([sys.executable, "-c", LIMITED, str(limit), *line.split()], **told)
    assert done.returncode == 2
    assert re.fullmatch(rf"normviz: {target / ''}\S+\.(html|ipynb): File too large\n", done.stderr), done.stderr
    written = {path.name: path.read_bytes() for path in target.iterdir()}
    assert not [name for name in written if not name.endswith(".ipynb")]

    # Without the limit, the rest is written, and the complete files of the first run are kept.
    subprocess.run([sys.executable, "-m", "normviz", *line.split()], **told, check=True)
    if target.name:
        expected = dict(versions(cli.shipped_notebooks()))
        if name == "lab":
            expected = {path.name: path.read_text("utf-8") for path in cli.shipped_notebooks().glob("*.ipynb")}
        assert {name: (target / name).read_text("utf-8") for name in expected} == expected
        assert written.items() <= {path.name: path.read_bytes() for path in target.iterdir()}.items()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
@pytest.mark.parametrize("order", ["C", "F"])
def test_export_reads_a_pipe(exported, folder, order):
    os.mkfifo(folder / "pipe")
    x = np.arange(48.0).reshape(2, 2, 2, 6, order=order)
    file = io.BytesIO()
    np.save(file, x)
    with ThreadPoolExecutor(1) as pool:
        written = pool.submit((folder / "pipe").write_bytes, file.getvalue())
        assert cli.main(["export", "pipe"]) == 0
        assert written.result() == len(file.getvalue())
    ((given_x, _, _),) = exported
    np.testing.assert_array_equal(given_x, x)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
@pytest.mark.parametrize("begin", [b"", b"\x93NUMPY\x01\x00"])
def test_a_pipe_without_an_end_is_refused_by_its_first_bytes(folder, capsys, begin):
    os.mkfifo(folder / "pipe")

    def write_until_closed():
        with contextlib.suppress(BrokenPipeError), (folder / "pipe").open("wb", buffering=0) as pipe:
            pipe.write(begin)
            while True:
                pipe.write(b"no array ")

    with ThreadPoolExecutor(1) as pool:
        pool.submit(write_until_closed)
        assert cli.main(["export", "pipe"]) == 2
    said = "pipe (does not begin as a .npy file does|has a corrupt header).*"
    assert re.fullmatch(rf"normviz: {said}\n", capsys.readouterr().err)


@pytest.mark.skipif(not Path("/dev/stdin").exists(), reason="this system has no /dev/stdin")
def test_export_reads_what_another_command_writes(folder):
    file = io.BytesIO()
    np.save(file, np.zeros((2, 4, 3, 3)))
    command = [sys.executable, "-m", "normviz", "export", "/dev/stdin"]
    for data, code in ((file.getvalue(), 0), (file.getvalue()[:-8], 2), (b"", 2)):
        done = subprocess.run(command, input=data, capture_output=True)
        assert done.returncode == code
        assert (folder / "normviz.html").exists() == (code == 0)
        if code:
            assert re.fullmatch(rb"normviz: /dev/stdin (holds 568 of the 576 bytes|is empty).*\n", done.stderr)
        (folder / "normviz.html").unlink(missing_ok=True)


@pytest.mark.skipif(not Path("/dev/stdout").exists(), reason="this system has no /dev/stdout")
def test_a_page_written_to_a_pipe_has_no_message_after_it(folder):
    command = [sys.executable, "-m", "normviz", "export", "--shape", "1", "2", "-o", "/dev/stdout"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("<!doctype html>")
    assert done.stdout.endswith("</html>\n")


def test_a_link_stays_a_link(folder):
    (folder / "link.html").symlink_to("page.html")
    assert cli.main(["export", "--shape", "2", "4", "-o", "link.html"]) == 0
    assert (folder / "link.html").is_symlink()
    assert (folder / "page.html").is_file()


def test_a_message_of_several_lines_becomes_one():
    assert cli.one_line(ValueError("no\n  such\tthing\n")) == "no such thing"
    assert cli.one_line(MemoryError()) == "MemoryError"


def test_a_bug_keeps_its_traceback(monkeypatch):
    monkeypatch.setattr(cli, "load", lambda path, key: {}["fault"])
    with pytest.raises(KeyError):
        cli.main(["export", "x.npy"])


@pytest.mark.parametrize("program", [[Path(sys.executable).with_name("normviz")], [sys.executable, "-m", "normviz"]])
def test_version(program):
    done = subprocess.run([*program, "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == f"normviz {nv.__version__}\n"


def test_bad_input_of_the_process_itself(folder):
    done = subprocess.run([sys.executable, "-m", "normviz", "export", "none.npy"], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", "normviz: none.npy: No such file or directory\n")


def test_without_a_command_it_lists_its_commands(capsys):
    assert cli.main([]) == 0
    said = capsys.readouterr().out
    assert all(f"  {name} " in said for name in ("demo", "export", "lab", "playground"))


def test_studio_names_what_takes_its_place(capsys):
    assert cli.main(["studio"]) == 2
    said = "the studio is gone; `normviz playground` takes its place, or nv.Explorer(editable=True) in a notebook"
    assert capsys.readouterr().err == f"normviz: {said}\n"
    assert "studio" not in cli.cli.get_help(cli.click.Context(cli.cli))


def test_devices(capsys):
    assert cli.main(["devices"]) == 0
    assert capsys.readouterr().out == "".join(f"{name}: {said}\n" for name, said in nv.devices().items())


@pytest.mark.parametrize("problem", [None, "numba is not installed"])
def test_devices_warms_up(monkeypatch, capsys, problem):
    monkeypatch.setattr("normviz.backends.dispatch.compiled_problem", lambda: problem)
    monkeypatch.setattr(nv, "devices", lambda warm_up: {"compiled": f"warm_up={warm_up}"})
    assert cli.main(["devices", "--warm-up"]) == 0
    told = r"Compiling .*\.\nThis took \d+ s\.\ncompiled: warm_up=True\n"
    assert re.fullmatch("compiled: warm_up=False\n" if problem else told, capsys.readouterr().out)
