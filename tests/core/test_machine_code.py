"""Compiled loops on disk: read again by the next process, and never worse than a compilation where that fails."""

import os
import subprocess
import sys
import zipfile
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from importlib.util import cache_from_source
from pathlib import Path
from textwrap import dedent
from types import SimpleNamespace

import numpy as np
import pytest

import normviz as nv
from normviz.backends.compiled import readiness
from normviz.backends.dispatch import compiled_problem

if problem := compiled_problem():
    pytest.skip(problem, allow_module_level=True)

from normviz.backends.compiled import machine_code

X = np.arange(3.0)


@pytest.fixture
def kept(tmp_path, monkeypatch):
    """An empty folder for machine code."""
    use(monkeypatch, tmp_path)
    yield tmp_path
    machine_code.writable_folder.cache_clear()


def use(monkeypatch, *folders):
    monkeypatch.setattr(machine_code, "folders", lambda: iter(folders))
    machine_code.writable_folder.cache_clear()


def started():
    """A loop as a new process has it, and how often it was compiled here."""

    def total(x):
        found = 0.0
        for value in x:
            found += value
        return found

    loop, compilations = machine_code.compiled()(total), []
    really = loop._compiler.compile
    loop._compiler.compile = lambda *types: compilations.append(types) or really(*types)
    return loop, compilations


def compilations():
    """How often a new process has to compile the loop, which must give the right sum."""
    loop, found = started()
    assert loop(X) == 3
    return len(found)


def test_the_next_process_reads_what_one_has_compiled(kept):
    assert [compilations(), compilations(), machine_code.kept()] == [1, 0, 1]


def test_another_type_is_another_file(kept):
    loop, found = started()
    assert loop(X) == loop(X.astype("f4")) == 3
    assert [len(found), machine_code.kept(), compilations()] == [2, 2, 0]


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(path.read_bytes()[:-100]),
        lambda path: path.write_bytes(path.read_bytes()[:2000] + b"?" + path.read_bytes()[2001:]),
        lambda path: path.unlink(),
    ],
    ids=["empty", "truncated", "one byte", "removed"],
)
def test_a_damaged_file_is_written_again(kept, damage):
    compilations()
    (path,) = kept.iterdir()
    before = path.read_bytes()
    damage(path)
    assert compilations() == 1
    assert [file.name for file in kept.iterdir()] == [path.name]
    assert len(path.read_bytes()) == len(before)
    assert compilations() == 0


def test_a_file_that_this_numba_cannot_read(kept):
    loop, _ = started()
    loop(X)
    name, key = loop._cache._entry(loop.signatures[0])
    (kept / name).write_bytes(sha256(key + b"?").digest() + b"?")
    assert [compilations(), compilations()] == [1, 0]


def test_each_processor_has_its_own(kept, monkeypatch):
    compilations()
    with monkeypatch.context() as patch:
        patch.setattr(machine_code, "_processor", lambda: ("x86_64-unknown-linux-gnu", "generic", "+sse2"))
        assert machine_code.kept() == 0
        assert [compilations(), machine_code.kept()] == [1, 1]
    assert [compilations(), len(list(kept.iterdir()))] == [0, 2]


def test_code_of_other_sources_is_not_used(kept, monkeypatch):
    compilations()
    monkeypatch.setattr(machine_code, "_build", lambda: "another")
    assert [compilations(), len(list(kept.iterdir()))] == [1, 2]
    monkeypatch.setattr(machine_code, "_beside_bytecode", lambda: kept)
    monkeypatch.setattr(machine_code, "_build", lambda: "third")
    assert [compilations(), len(list(kept.iterdir()))] == [1, 1]


def test_the_sources_of_all_loops_count(monkeypatch):
    def build():
        machine_code._build.cache_clear()
        return machine_code._build()

    before = build()
    assert build() == before
    spec = machine_code.find_spec("normviz.backends.compiled.readiness")
    get_source = type(spec.loader).get_source
    monkeypatch.setattr(type(spec.loader), "get_source", lambda self, name: get_source(self, name) + "# changed")
    assert build() != before
    monkeypatch.undo()
    build()


def test_where_nothing_can_be_written(kept, monkeypatch):
    (kept / "a file").write_bytes(b"")
    use(monkeypatch, kept / "a file" / "below")
    assert [compilations(), compilations(), machine_code.kept()] == [1, 1, 0]
    said = "no compiled loops on disk, new ones are lost, because no folder can be written to"
    assert said in nv.devices()["compiled"].split("; ")


def test_a_folder_that_can_only_be_read_is_read(kept, monkeypatch):
    compilations()
    with monkeypatch.context() as patch:
        patch.setattr(machine_code, "writable_folder", lambda: None)
        assert compilations() == 0


def test_the_folders(monkeypatch, tmp_path):
    monkeypatch.setattr(machine_code.numba.config, "CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(
        machine_code, "AppDirs", lambda *_, **__: SimpleNamespace(user_cache_dir=str(tmp_path / "home"))
    )
    beside = Path(cache_from_source(machine_code.__file__)).parent
    assert list(machine_code.folders()) == [tmp_path / "normviz", beside, tmp_path / "home"]
    monkeypatch.setattr(machine_code.numba.config, "CACHE_DIR", "")
    monkeypatch.setattr(machine_code, "AppDirs", lambda *_, **__: SimpleNamespace(user_cache_dir="~/.cache/normviz"))
    assert list(machine_code.folders()) == [beside]


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="files have no owner here")
def test_a_folder_of_another_user_is_left_alone(monkeypatch, tmp_path):
    monkeypatch.setattr(machine_code.numba.config, "CACHE_DIR", str(tmp_path))
    folder, really = tmp_path / "normviz", Path.stat
    assert next(machine_code.folders()) == folder  # does not exist yet
    folder.mkdir()
    assert next(machine_code.folders()) == folder
    another = 1 + max(os.getuid(), really(Path(machine_code.numba.__path__[0])).st_uid)
    owner = SimpleNamespace(st_uid=another)
    monkeypatch.setattr(Path, "stat", lambda path, **how: owner if path == folder else really(path, **how))
    assert folder not in machine_code.folders()


def test_a_full_disk(kept, monkeypatch):
    def full(path, data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(machine_code.atomic_write, "write", full)
    assert [compilations(), compilations()] == [1, 1]


def test_the_first_calls_on_many_threads(kept):
    loop, found = started()
    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(loop, [X] * 50)) == {3.0}
    assert len(found) == 1


def test_a_loop_without_source_text(kept):
    names = {}
    exec(compile("def total(x):\n    return x[0] + x[2]", "<frozen loops>", "exec"), names)
    assert machine_code.compiled()(names["total"])(X) == 2


def test_a_loop_that_cannot_be_compiled(kept, monkeypatch):
    monkeypatch.setattr(readiness, "failure", None)

    def total(x):
        return x.no_such_thing

    with pytest.raises(machine_code.CannotCompile, match=r"^numba \S+ cannot compile here \(TypingError: .*\)$"):
        machine_code.compiled()(total)(X)
    assert nv.devices()["compiled"] == readiness.failure


def test_a_numba_without_the_parts_that_the_files_need():
    code = """
    import sys
    import numba
    sys.modules["numba.misc.appdirs"] = None
    import numpy as np, normviz as nv
    from normviz.backends.compiled import machine_code

    @machine_code.compiled()
    def loop(x):
        return x[0] + x[2]

    print(loop(np.arange(3.0)), machine_code.kept(), nv.devices()["compiled"])
    """
    said = python(code)
    assert said.startswith("2.0 0 numba ")
    assert (
        "no compiled loops on disk, new ones are lost, because they cannot be kept with this version of numba" in said
    )


def test_ctrl_c_during_a_compilation_is_no_failure_of_numba(kept):
    def interrupted(*types):
        raise KeyboardInterrupt

    loop, _ = started()
    really, loop._compiler.compile = loop._compiler.compile, interrupted
    with pytest.raises(KeyboardInterrupt):
        loop(X)
    loop._compiler.compile = really
    assert (readiness.failure, loop(X)) == (None, 3)


def python(code, *arguments):
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", dedent(code), *map(str, arguments)]
    return subprocess.check_output(command, text=True)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_fork_while_another_thread_compiles_and_two_processes_that_compile_the_same(tmp_path):
    code = """
    import os, sys, threading, time
    import numpy as np
    from pathlib import Path
    from normviz.backends.compiled import machine_code
    machine_code.folders = lambda: iter([Path(sys.argv[1])])

    @machine_code.compiled()
    def first(x):
        return x[0] + x[2]

    @machine_code.compiled()
    def second(x):
        return x[1] + x[2]

    compiling, really = threading.Event(), first._compiler.compile
    first._compiler.compile = lambda *types: (compiling.set(), time.sleep(0.3), really(*types))[2]
    thread = threading.Thread(target=first, args=(np.arange(3.0),))
    thread.start()
    compiling.wait()
    child = os.fork()
    found = [first(np.arange(3.0)), second(np.arange(3.0))]
    if child == 0:
        os._exit(int(found == [2.0, 3.0]))
    thread.join()
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), found)
    """
    assert python(code, tmp_path) == "1 [2.0, 3.0]\n"
    assert sorted(path.name.partition("-")[0] for path in tmp_path.iterdir()) == ["first", "second"]


def test_a_package_in_a_zip_file(tmp_path):
    package = Path(nv.__file__).parent
    archive = tmp_path / "normviz.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for path in [*package.rglob("*.py"), *package.rglob("*.cu")]:
            file.write(path, path.relative_to(package.parent))
    code = """
    import sys
    sys.path.insert(0, sys.argv[1])
    import numpy as np, normviz as nv
    from normviz.backends.compiled import machine_code
    assert nv.__file__.startswith(sys.argv[1])
    print(machine_code._build(), nv.moments(np.ones((2, 3, 4)), backend="compiled").backend)
    """
    assert python(code, archive) == f"{machine_code._build()} compiled\n"
