"""Bad input of audit gives one sentence."""

from functools import partial

import pytest
import torch
from torch import nn

import normviz as nv
from tests.core.cases import each_message, refuses
from tests.inspect.audit_models import spread

net, image = nn.Sequential(nn.Linear(3, 3)), torch.zeros(1, 4, 6, 6)
relu = partial(nv.audit, nn.ReLU(), torch.zeros(1))
meta = torch.zeros(1, 3, 3, device="meta").requires_grad_()
MESSAGES = [
    (partial(nv.audit, abs, image), TypeError, "model is of type builtin_function_or_method, ... there is nv.probe"),
    (partial(nv.audit, nn.ReLU, image), TypeError, "model is the class ReLU itself; make a model of it first, and ..."),
    (partial(relu, ignore="small-sets"), ValueError, "ignore: unknown ... 'small-sets'; did you mean 'small-set'? ..."),
    (partial(relu, also=["dead"]), ValueError, "also: unknown code 'dead' (known: one-value-per-set, ..."),
    (partial(relu, training_batch=0), ValueError, "training_batch=0 ... give a whole number ... 1 on, ... 268,435,456"),
    (partial(relu, training_batch=10**400), ValueError, "training_batch=100 ... 00 ... 1 on, ... 268,435,456"),
    (partial(relu, batch=2), TypeError, "audit(): unknown keyword 'batch' (known: model, example, training_batch, ..."),
    (
        partial(nv.audit, nn.Sequential(nn.ReLU(), nn.Conv2d(3, 8, 3)), image),
        ValueError,
        "the model raised RuntimeError in 1, on an input of shape (1, 4, 6, 6), when given an example of shape "
        "(1, 4, 6, 6) float32: Given groups=1, ...; give an example that it takes",
    ),
    (partial(nv.audit, net, meta), ValueError, "the model raised ... meta, the model on cpu: move it with .to('cpu')"),
    (
        partial(nv.audit, net, "text"),
        ValueError,
        "the model raised TypeError in 0, when given an example of type str: ...; give an example that it takes",
    ),
    (
        partial(nv.audit, nn.MultiheadAttention(4, 2), torch.zeros(1, 2, 4)),
        ValueError,
        "the model raised TypeError, when given an example of shape (1, 2, 4) float32: ...; give an example ...",
    ),
]


@each_message(MESSAGES)
def test_message(wrong, error, parts):
    refuses(wrong, error, parts)


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
