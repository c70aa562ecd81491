"""Bad input of audit gives one sentence."""

import pytest
import torch
from torch import nn

import normviz as nv
from tests.inspect.audit_models import spread

# ---- bad input ----

BAD = {
    "no module": (
        lambda: nv.audit(abs, torch.zeros(1)),
        TypeError,
        "model is of type builtin_function_or_method, not a",
    ),
    "a class": (
        lambda: nv.audit(nn.ReLU, torch.zeros(1)),
        TypeError,
        "model is the class ReLU itself; make a model of",
    ),
    "unknown code": (
        lambda: nv.audit(nn.ReLU(), torch.zeros(1), ignore="small-sets"),
        ValueError,
        "ignore: unknown code 'small-sets'; did you mean 'small-set'?",
    ),
    "unknown opt-in": (
        lambda: nv.audit(nn.ReLU(), torch.zeros(1), also=["dead"]),
        ValueError,
        "also: unknown code 'dead'",
    ),
    "no number of samples": (
        lambda: nv.audit(nn.ReLU(), torch.zeros(1), training_batch=0),
        ValueError,
        "training_batch=0 is not a number of samples; give a whole number from 1 on",
    ),
    "too many samples": (
        lambda: nv.audit(nn.ReLU(), torch.zeros(1), training_batch=10**400),
        ValueError,
        r"training_batch=10+\.\.\.0+ is not a number of samples; give a whole number from 1 on, at most 268,435,456$",
    ),
    "misspelt": (
        lambda: nv.audit(nn.ReLU(), torch.zeros(1), batch=2),
        TypeError,
        r"audit\(\): unknown keyword 'batch'",
    ),
    "another shape": (
        lambda: nv.audit(nn.Sequential(nn.ReLU(), nn.Conv2d(3, 8, 3)), torch.zeros(1, 4, 6, 6)),
        ValueError,
        r"the model raised RuntimeError in 1, on an input of shape \(1, 4, 6, 6\), when given an example of shape "
        r"\(1, 4, 6, 6\) float32: Given groups=1, .*; give an example that it takes$",
    ),
    "another device": (
        lambda: nv.audit(nn.Sequential(nn.Linear(3, 3)), torch.zeros(1, 3, 3, device="meta").requires_grad_()),
        ValueError,
        r".*; the example is on meta, the model on cpu: move it with \.to\('cpu'\)$",
    ),
    "no tensor": (
        lambda: nv.audit(nn.Sequential(nn.Linear(3, 3)), "text"),
        ValueError,
        "the model raised TypeError in 0, when given an example of type str: ",
    ),
    "arguments missing": (
        lambda: nv.audit(nn.MultiheadAttention(4, 2), torch.zeros(1, 2, 4)),
        ValueError,
        "the model raised TypeError.* when given an example of shape",
    ),
}


ITERATORS = {
    "an iterator": (lambda x: iter([x]), "list_iterator"),
    "a generator": (lambda x: (t for t in [x]), "generator"),
    "in a tuple": (lambda x: (x, iter([x])), "list_iterator"),
    "in a dict": (lambda x: {"input": zip([x], strict=True)}, "zip"),
}


@pytest.mark.parametrize("name", ITERATORS)
@pytest.mark.parametrize("of", [nv.audit, lambda model, example: nv.compare(model, model, example)])
def test_an_iterator_is_refused_by_name(of, name):
    make, kind = ITERATORS[name]
    example = make(torch.zeros(1, 3))
    message = rf"^the example is or holds an iterator, of type {kind}, which can be read only once; give its values in"
    with pytest.raises(TypeError, match=message):
        of(nn.Sequential(nn.LayerNorm(3)), example)


@pytest.mark.parametrize("name", BAD)
def test_bad_input(name):
    call, kind, message = BAD[name]
    with pytest.raises(kind, match=f"^{message}"):
        call()


def test_what_the_model_raised_is_the_cause():
    def forward(x):
        raise ZeroDivisionError("no\nway")

    model = nn.Module()
    model.forward = forward
    with pytest.raises(ValueError, match=r"^the model raised ZeroDivisionError, when .*: no; give") as caught:
        nv.audit(model, torch.zeros(2, 3, dtype=torch.float64))
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_what_the_model_catches_itself_is_no_trouble():
    class Careful(nn.Module):
        def __init__(self):
            super().__init__()
            self.bad, self.norm = nn.Conv2d(5, 5, 3), nn.GroupNorm(2, 8)

        def forward(self, x):
            try:
                x = self.bad(x)
            except RuntimeError:
                x = self.norm(x)
            return x

    (layer,) = nv.audit(nn.Sequential(Careful()), spread(2, 8, 6, 6)).layers
    assert layer.name == "0.norm"
