"""normviz audit: by click's runner, as a function, and once as a process."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from normviz import cli

MODELS = """
import torch
from torch import nn

def good():
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.GroupNorm(2, 8))

def bad():
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.GroupNorm(8, 8))

def doubles():
    return good().double()

def tokens():
    return nn.Sequential(nn.Embedding(10, 16), nn.LayerNorm(16))

def raises():
    raise RuntimeError("no\\nway")

def gives_none():
    return None

def leaves():
    raise SystemExit(0)

class Shelf:
    @property
    def model(self):
        raise RuntimeError("empty")

shelf = Shelf()

class Net(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8))

model = good()
number = 3
"""


@pytest.fixture
def models(folder, monkeypatch):
    """A module of models in the working directory, forgotten afterwards."""
    (folder / "shelf").mkdir()
    (folder / "shelf" / "models.py").write_text(MODELS)
    yield "shelf.models"
    for name in ("shelf.models", "shelf"):
        sys.modules.pop(name, None)


def invoke(*words):
    return CliRunner().invoke(cli.cli, ["audit", *" ".join(words).split()])


def test_a_good_model(models):
    before = list(sys.path)
    state = torch.get_rng_state()
    result = invoke(f"{models}:good --shape 2 3 8 8")
    assert result.exit_code == 0, result.output
    assert "Group Norm, G = 2  2×8×6×6  1×4×6×6" in result.output
    assert "1 normalization layer, 0 warnings." in result.output
    assert sys.path == before
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("address", ["model", "Net", "doubles"])
def test_a_model_a_class_and_another_dtype(models, address):
    assert invoke(f"--shape 2 3 8 8 {models}:{address}").exit_code == 0


def test_warnings_make_exit_code_1(models):
    result = invoke(f"{models}:bad --shape 2 3 8 8")
    assert result.exit_code == 1
    assert "! accidental-instance at 1: Group Norm with G = C = 8" in result.output
    assert cli.main(["audit", f"{models}:bad", "--shape", "2", "3", "8", "8"]) == 1


def test_and_ignored_ones_do_not(models):
    assert invoke(f"{models}:bad --shape 2 3 8 8 --ignore accidental-instance").exit_code == 0
    assert invoke(f"{models}:bad --ignore accidental-instance --ignore small-set --shape 2 3 8 8").exit_code == 0
    assert invoke(f"{models}:bad --shape 2 3 8 8 --ignore small-set").exit_code == 1
    assert cli.main(["audit", f"{models}:good", "--shape", "2", "3", "8", "8"]) == 0


def test_codes_that_are_opted_in_and_the_training_batch(models):
    assert invoke(f"{models}:Net --shape 2 3 8 8").exit_code == 0
    result = invoke(f"{models}:Net --shape 2 3 8 8 --also train-mode --also bias-before-norm")
    assert result.exit_code == 1
    assert "2 warnings" in result.output
    assert invoke(f"{models}:Net --shape 2 3 8 8 --training-batch 2").exit_code == 1


def test_json(models):
    result = invoke(f"{models}:bad --shape 2 3 8 8 --json")
    assert result.exit_code == 1
    found = json.loads(result.output)
    assert [layer["name"] for layer in found["layers"]] == ["1"]
    assert [(w["code"], w["layer"]) for w in found["warnings"]] == [("accidental-instance", "1")]
    assert found["unseen"] == {}


def test_a_page(models, folder):
    result = invoke(f"{models}:bad --shape 2 3 8 8 --html audit.html --json")
    assert result.exit_code == 1
    assert json.loads(result.output)["warnings"]
    written = (folder / "audit.html").read_text("utf-8")
    assert "<code>accidental-instance</code>" in written
    result = invoke(f"{models}:bad --shape 2 3 8 8 --html nowhere/audit.html")
    assert result.exit_code == 2
    assert "nowhere" in result.output


def test_an_example_from_a_file(models, folder):
    np.save("x.npy", np.random.default_rng(0).normal(size=(2, 3, 9, 9)))
    np.save("tokens.npy", np.arange(6).reshape(2, 3))
    assert "2×8×7×7" in invoke(f"{models}:good --example x.npy").output
    assert "2×3×16" in invoke(f"{models}:tokens --example tokens.npy").output


BAD = {
    "nothing": ("", "Missing argument"),
    "no shape": ("{}:good", "audit takes one MODULE:FACTORY, and either --shape with sizes or --example with a file"),
    "no sizes": ("{}:good --shape", "either --shape with sizes"),
    "a size that is none": ("{}:good --shape 2 x", "audit takes one MODULE:FACTORY"),
    "an empty axis": ("{}:good --shape 2 0", "--shape takes whole numbers > 0"),
    "shape and example": ("{}:good --shape 2 3 --example x.npy", "either --shape with sizes or --example"),
    "no such file": ("{}:good --example none.npy", "none.npy: No such file"),
    "no factory": ("{} --shape 2 3", "'shelf.models' does not name a factory; give package.module:factory"),
    "no such module": ("shelf.none:good --shape 2 3", "module 'shelf.none' cannot be imported: ModuleNotFoundError"),
    "no such name": ("{}:none --shape 2 3", "shelf.models has no 'none'"),
    "a number": ("{}:number --shape 2 3", "shelf.models:number is of type int; it must be a model"),
    "a factory that raises": ("{}:raises --shape 2 3", "shelf.models:raises raised RuntimeError: no"),
    "a factory that ends the process": ("{}:leaves --shape 2 3", "shelf.models:leaves raised SystemExit: 0"),
    "a property that raises": ("{}:shelf.model --shape 2 3", "shelf.models:shelf.model raised RuntimeError: empty"),
    "no model": ("{}:gives_none --shape 2 3", "shelf.models:gives_none returned NoneType, not a torch.nn.Module"),
    "a shape it cannot take": ("{}:good --shape 2 4 8 8", "the model raised RuntimeError in 0, on an input of shape"),
    "unknown code": ("{}:good --shape 2 3 8 8 --ignore smal-set", "did you mean 'small-set'?"),
    "unknown opt-in": ("{}:good --shape 2 3 8 8 --also none", "also: unknown code 'none'"),
    "training batch": ("{}:good --shape 2 3 8 8 --training-batch 0", "training_batch=0 is not a number of samples"),
    "unknown option": ("{}:good --shapes 2 3", "No such option"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_usage_is_exit_code_2_and_one_line(models, name, capsys):
    words, message = BAD[name]
    assert invoke(words.format(models)).exit_code == 2
    assert cli.main(["audit", *words.format(models).split()]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("normviz: ")
    assert err.count("\n") == 1
    assert message in err


def test_without_torch(models, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    result = invoke(f"{models}:good --shape 2 3 8 8")
    assert result.exit_code == 2
    assert "audit needs PyTorch; install it with: python -m pip install" in result.output


def test_the_help_shows_how():
    result = invoke("--help")
    assert "normviz audit package.module:factory --shape 2 3 224 224" in result.output
    assert "exit code is 0 without warnings, 1 with warnings, and 2" in " ".join(result.output.split())


def test_as_a_process(models, folder):
    command = [sys.executable, "-m", "normviz", "audit", f"{models}:bad", "--shape", "2", "3", "8", "8", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)
    assert (done.returncode, done.stderr) == (1, "")
    assert json.loads(done.stdout)["warnings"][0]["code"] == "accidental-instance"
