"""The one run that needs a GPU: what it does without one, and its plumbing with steps that need none."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from benchmarks.gpu import check, compiling
from benchmarks.gpu.check import Step
from normviz.backends.cuda.kernels import instances
from tests import gpu
from tests.cuda import odd_shapes


def python(code):
    return ("{python}", "-c", code)


def outcomes(found):
    return {row["step"]: row["outcome"] for row in found}


def test_without_a_gpu_it_says_so_and_fails(monkeypatch, folder, capsys):
    monkeypatch.setattr(check, "present", lambda: False)
    with pytest.raises(SystemExit) as caught:
        check.main(["out"])
    assert caught.value.code == "gpu-check needs a CUDA GPU, and there is none here: nvidia-smi lists no device"
    assert not list(folder.iterdir())


def test_whether_there_is_a_gpu(monkeypatch, folder):
    """Nvidia-smi says so; without it, the driver."""
    program = folder / "nvidia-smi"
    program.write_text("#!/bin/sh\necho 'GPU 0: a fake (UUID: 1)'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/bin:/usr/bin")
    assert gpu.present.__wrapped__()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert not gpu.present.__wrapped__()
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    program.write_text("#!/bin/sh\necho 'No devices were found' >&2\nexit 6\n")
    assert not gpu.present.__wrapped__()


def test_steps_run_in_turn_and_are_written(folder, capsys):
    steps = [
        Step("first", 60, [python("print('one')"), python("open(r'{folder}/two', 'w')")], vital=True),
        Step("wrong", 60, [python("import sys; print('why'); sys.exit(3)"), python("print('never')")]),
        Step("missing", 60, [("no-such-program",)]),
        Step("absent", 60, [("no-such-program",)], needs="no-such-program"),
        Step("told", 60, [python("import os; print(os.environ['HERE'], len(os.environ['CUPY_CACHE_DIR']) > 3)")],
             environment={"HERE": "there"}),
    ]  # fmt: skip
    found = check.run(steps, folder / "out")
    assert outcomes(found) == {
        "first": "passed",
        "wrong": "failed: exit status 3",
        "missing": outcomes(found)["missing"],
        "absent": "left out: no-such-program is not installed",
        "told": "passed",
    }
    assert outcomes(found)["missing"].startswith("failed: ")
    assert json.loads((folder / "out/summary.json").read_text()) == found
    assert (folder / "out/two").exists()
    assert (folder / "out/wrong.txt").read_text() == "why\n"
    printed = capsys.readouterr().out
    assert "there True" in printed
    assert "never" not in printed


def test_a_failure_of_a_vital_step_is_the_end(folder):
    steps = [Step("smoke", 60, [python("1 / 0")], vital=True), Step("benchmark", 60, [python("")])]
    assert outcomes(check.run(steps, folder)) == {"smoke": "failed: exit status 1"}


def test_what_runs_too_long_is_ended_with_what_it_started(folder):
    wait = "import time; time.sleep(900)"
    child = f"import subprocess, sys; print(subprocess.Popen([sys.executable, '-c', '{wait}']).pid, flush=True); {wait}"
    found = check.run([Step("slow", 2, [python(child)]), Step("late", 60, [python(wait)])], folder, seconds=2)
    assert outcomes(found) == {"slow": "failed: out of time", "late": "failed: out of time"}
    number = (folder / "slow.txt").read_text().strip()
    if number and sys.platform == "linux":  # a slow machine may not have come so far
        state = Path("/proc", number, "stat")
        assert not state.exists() or state.read_text().rpartition(")")[2].split()[0] in "ZX"


def test_the_steps_fit_into_the_time(monkeypatch, folder, capsys):
    assert sum(step.seconds for step in check.STEPS) <= check.SECONDS
    assert [step.vital for step in check.STEPS[:2]] == [True, True]
    monkeypatch.setattr(check, "present", lambda: True)
    monkeypatch.setattr(check, "STEPS", [Step("a", 60, [python("")]), Step("b", 60, [python("1 / 0")])])
    check.main(["out", "--steps", "a"])
    assert "a " in capsys.readouterr().out
    with pytest.raises(SystemExit) as caught:
        check.main(["out"])
    assert caught.value.code == 1


def test_odd_shapes_run_without_a_pool(emulated_cupy, monkeypatch, capsys):
    allocators = []
    monkeypatch.setattr(emulated_cupy.cuda, "set_allocator", allocators.append, raising=False)
    monkeypatch.setattr(odd_shapes, "SHAPES", [(3, 7), (2, 3, 1)])
    odd_shapes.main()
    assert allocators == [None]
    assert capsys.readouterr().out == "24 arrays\n"


def test_what_is_printed_of_each_kernel(monkeypatch, capsys):
    kernel = SimpleNamespace(num_regs=40, local_size_bytes=0)
    module = SimpleNamespace(compile=lambda: None, get_function=lambda name: kernel)
    monkeypatch.setattr(compiling, "load", lambda name: SimpleNamespace(module=lambda key: module))
    compiling.main()
    printed = capsys.readouterr().out
    for names in instances().values():
        for name in names:
            assert f"    {name}: 40 registers, 0 bytes spilled\n" in printed


@pytest.mark.skipif(sys.platform != "linux", reason="the modules of the steps are on a GPU's machine, which runs Linux")
def test_every_program_of_the_steps_is_there():
    for step in check.STEPS:
        for command in step.commands:
            for place, word in enumerate(command):
                if word == "-m" and command[place + 1].startswith(("benchmarks", "tests")):
                    assert (check.ROOT / (command[place + 1].replace(".", "/") + ".py")).exists() or (
                        check.ROOT / command[place + 1].replace(".", "/") / "__main__.py"
                    ).exists()
                assert not word.startswith("tests/") or (check.ROOT / word).exists()
