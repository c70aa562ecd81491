"""Audit and compare on models with invented attributes, very long names, and outputs of any kind."""

import html.parser
import json

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import normviz as nv
from normviz.inspect.audit.rules import RULES, rule
from tests.inspect.audit_models import HandBatchNorm, spread
from tests.inspect.test_audit_untouched import Busy, everything

X = spread(2, 8, 6, 6)
LONG = "x" * 1_000_000


def audit(model, example=X, **options):
    return nv.audit(model, example, **options)


def compare(model, example=X):
    return nv.compare(model, model, example)


def explore(model, example=X):
    found = nv.audit(model, example)
    return found.explore(found.layers[0].name)


each_way = pytest.mark.parametrize("look", [audit, compare, explore])


class Counting(nn.Module):
    """A norm that counts its calls, as a hidden change of the model."""

    def __init__(self):
        super().__init__()
        self.norm, self.calls = nn.BatchNorm2d(8), 0

    def forward(self, x):
        self.calls += 1
        return self.norm(x)

    def state(self):
        return self.calls, self.norm.running_mean.tolist(), self.norm.num_batches_tracked.item()


class Inventive(Counting):
    """It invents every attribute that it is asked for."""

    invented = nn.Identity()

    def __getattr__(self, name):
        try:
            return super().__getattr__(name)
        except AttributeError:
            return self.invented


# ---- attributes ----


@each_way
@pytest.mark.parametrize(
    "invented", [nn.Identity(), torch.ones(3), "text", None], ids=["module", "tensor", "str", "None"]
)
def test_a_model_that_invents_attributes_is_left_as_it_was(look, invented):
    model = Inventive()
    Inventive.invented = invented
    before = model.state()
    look(model)
    assert model.state() == before


@each_way
def test_no_attribute_is_asked_for_that_the_model_does_not_have(look):
    asked = []

    class Listening(nn.Module):
        def __getattr__(self, name):
            try:
                return super().__getattr__(name)
            except AttributeError:
                asked.append(name)
                raise

    class ByClass(Listening, nn.BatchNorm2d):
        pass

    class ByOutput(Listening, HandBatchNorm):
        pass

    class Inside(Listening, Counting):
        pass

    models = Inside(), nn.Sequential(ByClass(8), nn.ReLU(), ByOutput(8), nn.ReLU(), Inside())
    asked.clear()  # torch asks while a layer is made
    for model in models:
        look(model)
    assert asked == []


@each_way
def test_a_submodule_with_the_name_that_torch_compile_uses_is_one_like_any_other(look):
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self._orig_mod, self.calls = nn.BatchNorm2d(8), 0

        def forward(self, x):
            self.calls += 1
            return self._orig_mod(x)

    model = Model()
    look(model)
    assert model.calls == 0
    assert [layer.name for layer in nv.audit(model, X).layers] == ["_orig_mod"]


def test_properties_are_not_called():
    class Norm(HandBatchNorm):
        @property
        def eps(self):
            raise RuntimeError("called")

        num_groups = momentum = eps

    (layer,) = nv.audit(nn.Sequential(Norm(8)), X).layers
    assert (layer.kind, layer.eps) == ("batch", None)


def test_attributes_of_other_types_than_torchs_are_no_obstacle():
    norm = HandBatchNorm(8)
    norm.momentum, norm.eps, norm.num_groups = torch.ones(3), "small", [4]
    norm.register_buffer("num_batches_tracked", torch.zeros(3, dtype=torch.int64))
    (layer,) = nv.audit(nn.Sequential(norm), X).layers
    assert (layer.kind, layer.frozen) == ("batch", False)
    assert nv.compare(norm, norm, X).same


def test_a_parametrized_weight_is_read():
    class Doubled(nn.Module):
        def forward(self, weight):
            return 2 * weight

    norm = nn.GroupNorm(2, 8)
    nn.utils.parametrize.register_parametrization(norm, "weight", Doubled())
    assert nv.audit(nn.Sequential(norm), X).layers[0].known_by == "class"
    (difference,) = nv.compare(nn.Sequential(norm), nn.Sequential(nn.GroupNorm(2, 8)), X).first.differences
    assert (difference.what, difference.a.tolist()) == ("weight", [2.0] * 8)


# ---- inputs and outputs ----


def nested(value, depth=3000):
    for _ in range(depth):
        value = {"a": value}
    return value


def endless():
    rows = []
    rows.append(rows)
    return rows


class Uncooperative(dict):
    def values(self):
        raise RuntimeError("no values")


class Returns(nn.Module):
    def __init__(self, make):
        super().__init__()
        self.norm, self.make = nn.GroupNorm(2, 8), make

    def forward(self, x):
        return self.make(self.norm(x))


OUTPUTS = {
    "3000 dicts": nested,
    "a list in itself": lambda y: endless(),
    "a dict without values()": lambda y: Uncooperative(y=y),
    "10^18 broadcast cells": lambda y: y[:1, :1, :1, 0].expand(10**6, 10**6, 10**6),
    "text": lambda y: "text",
    "nothing": lambda y: None,
}


@pytest.mark.parametrize("name", OUTPUTS)
def test_outputs_of_every_kind(name):
    model = Returns(OUTPUTS[name])
    assert [layer.name for layer in nv.audit(model, X).layers] == ["norm"]
    assert nv.compare(model, model, X).same


def test_broadcast_outputs_are_compared():
    one, two = (Returns(lambda y, by=by: (y[:1, :1, :1, 0] + by).expand(10**6, 10**6, 10**6)) for by in (1.0, 2.0))
    found = nv.compare(one, two, X)
    assert found.between == ("norm", "(output)")
    y = one.norm(X)[0, 0, 0, 0].item()
    assert found.output_difference == pytest.approx(1 / max(abs(y + 1), abs(y + 2)), rel=1e-5)


@pytest.mark.parametrize("example", [(nested(X),), {"x": nested(X)}, (endless(),)], ids=["tuple", "dict", "endless"])
def test_inputs_of_any_depth(example):
    class Unpacks(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm = nn.GroupNorm(2, 8)

        def forward(self, x):
            return self.norm(X)

    assert [layer.name for layer in nv.audit(Unpacks(), example).layers] == ["norm"]
    assert nv.compare(Unpacks(), Unpacks(), example).same


@pytest.mark.parametrize("look", [audit, compare])
def test_an_error_without_a_text_is_told_all_the_same(look):
    class Mute(Exception):
        def __str__(self):
            raise RuntimeError("no text")

    def forward(x):
        raise Mute

    model = nn.Module()
    model.forward = forward
    with pytest.raises(ValueError, match=r"^(the model|model_a) raised Mute, when .*: no message; give an example"):
        look(model)


@pytest.mark.parametrize("look", [audit, compare])
def test_weights_on_the_meta_device(look):
    """A model that does not use them can be run; one that uses them raises, and the message names both devices."""
    unused = nn.Sequential(HandBatchNorm(8))
    unused[0].register_parameter("spare", nn.Parameter(torch.zeros(8, device="meta")))
    found = look(unused)
    assert len(found.layers if look is audit else found.pairs) == 1
    for model in (nn.BatchNorm2d(8), nn.GroupNorm(2, 8)):
        with pytest.raises(ValueError, match=r"on cpu, the model on meta: move it with \.to\('meta'\)$"):
            look(nn.Sequential(model).to("meta"))


def test_a_long_error_and_many_tensors_give_a_short_message():
    model = nn.Module()
    model.forward = lambda *xs: exec(f"raise RuntimeError({LONG!r})")
    with pytest.raises(ValueError, match=r"examples of shapes .* and 992 more") as caught:
        nv.audit(model, tuple(torch.zeros(2, 3) for _ in range(1000)))
    assert len(str(caught.value)) < 1000


def test_a_lazy_model_that_cannot_be_copied():
    class Single(nn.Sequential):
        def __deepcopy__(self, memo):
            raise RuntimeError("one is enough")

    model = Single(nn.LazyConv2d(8, 3), nn.GroupNorm(2, 8))
    with pytest.raises(
        ValueError, match=r"^the model has lazy layers and cannot be copied, .*: one is enough; call it"
    ):
        nv.audit(model, X)
    with pytest.raises(ValueError, match=r"^model_a has lazy layers and cannot be copied, .*; call it once on"):
        nv.compare(model, model, X)


BAD_CALLS = {
    "groups of another type": lambda x: F.group_norm(x, "2"),
    "no groups": lambda x: F.group_norm(x, 0),
    "groups below 0": lambda x: F.group_norm(x, -2),
    "running statistics of another type": lambda x: F.batch_norm(x, "a", "b"),
    "no arguments": lambda x: F.layer_norm(x),
}


@pytest.mark.parametrize("name", BAD_CALLS)
def test_a_call_that_torch_refuses_is_refused_in_its_words(name):
    model = nn.Module()
    model.forward = BAD_CALLS[name]
    with pytest.raises(Exception) as expected:
        model.forward(X)
    with pytest.raises(ValueError, match=f"^the model raised {expected.typename}, when given") as caught:
        nv.audit(model, X)
    assert str(expected.value).splitlines()[0][:100] in str(caught.value)


def test_arguments_that_torch_takes_as_tensors_are_plain_numbers_in_the_result():
    model = nn.Module()
    model.forward = lambda x: F.layer_norm(F.group_norm(x, 2), (6,), eps=torch.tensor(1e-3)).relu()
    found = nv.audit(model, X)
    assert json.loads(json.dumps(found.to_dict()))["layers"][1]["eps"] == pytest.approx(1e-3)


class Stubborn(Busy):
    """Busy, with a buffer that changes its size in every call."""

    def __init__(self):
        super().__init__()
        self.register_buffer("rows", torch.zeros(0))

    def forward(self, x):
        self.rows.resize_(len(self.rows) + 1)
        return super().forward(x)


@pytest.mark.parametrize("fail", [False, True], ids=["returns", "raises"])
@pytest.mark.parametrize("look", [audit, compare])
def test_a_part_that_is_hard_to_restore_does_not_keep_the_others_from_it(look, fail):
    model, x = Stubborn(), torch.randn(2, 3, 12, 12)
    model.fail = fail
    before = everything(model, x)
    if fail:
        with pytest.raises(ValueError, match="raised RuntimeError"):
            look(model, x)
    else:
        look(model, x)
    after = everything(model, x)
    assert {key for key in before if before[key] != after[key]} == set()


# ---- names ----


def named(name, make=lambda: nn.GroupNorm(8, 8)):
    """A model whose norms have these names and classes."""
    of_class = name.encode(errors="replace").decode()  # Python takes no surrogates there
    cls = type(of_class, (nn.GroupNorm,), {})
    model = nn.Sequential(nn.Sequential(make()), cls(8, 8))
    model[0].add_module(name, nn.GroupNorm(8, 8))
    model[0].add_module("unused", nn.Identity())
    model.add_module(name, cls(8, 8))
    never = type(f"{of_class}Norm", (nn.GroupNorm,), {})
    model[0].forward = lambda x: model[0][0](x)
    model[0].never = never(8, 8)
    return model


def test_a_name_of_a_million_characters_gives_short_texts():
    model = named(LONG)
    found = nv.audit(model, X, also="back-to-back")
    assert [layer.name for layer in found.layers] == ["0.0", "1", LONG]
    assert {w.layer for w in found.warnings} == {"0.0", "1", LONG}
    assert len(str(found)) < 10_000
    assert len(found._repr_html_()) < 20_000
    assert found[LONG].block == (1, 1, 6, 6)
    assert found.explore(LONG).x.shape == X.shape
    for unknown in (LONG + "y", "y" + LONG):
        with pytest.raises(ValueError, match=r"^unknown layer") as caught:
            found.explore(unknown)
        assert len(str(caught.value)) < 2000
    with pytest.raises(ValueError, match=r"^use=5: 'x+…x+' is used 1 times") as caught:
        found.explore(LONG, use=5)
    assert len(str(caught.value)) < 1000
    with pytest.raises(ValueError, match=r"^ignore: unknown code 'x+") as caught:
        nv.audit(model, X, ignore=LONG)
    assert len(str(caught.value)) < 1000


def test_a_name_of_a_million_characters_in_a_comparison():
    a, b = named(LONG), named(LONG, lambda: nn.GroupNorm(2, 8))
    for found in (nv.compare(a, b, X), nv.compare(b, nn.Sequential(*[*b][:2]), X), nv.compare(a, a, X)):
        assert len(str(found)) < 10_000
        assert len(repr(found)) < 1000
        assert len(found._repr_html_()) < 20_000
    with pytest.raises(ValueError, match=r"^names: unknown layer of model_a 'x+") as caught:
        nv.compare(a, b, X, names={LONG + "y": "1"})
    assert len(str(caught.value)) < 2000


def test_names_are_printed_on_one_line_in_printable_characters():
    name = "\x1b[2Jtwo\nlines\u202e\ud800 é"
    model = named(name)
    found = nv.audit(model, X, also="back-to-back")
    for text in (str(found), found._repr_html_(), str(nv.compare(model, nn.Sequential(*[*model][:2]), X))):
        assert "\\x1b[2Jtwo\\nlines\\u202e" in text
        assert " é" in text
        assert all(line.isprintable() for line in text.split("\n"))
        text.encode()
    assert len(str(found).split("\n")) == 1 + len(found.layers) + 2 + len(found.warnings) + len(found.unseen)


class Elements(html.parser.HTMLParser):
    """Collects the elements of a page, and its text."""

    def __init__(self, page):
        super().__init__()
        self.names, self.attributes, self.text = set(), set(), ""
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.names.add(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data):
        self.text += data


HOSTILE = [
    "<img src=x onerror=alert(1)>",
    '"><script>alert(1)</script>',
    "</style><b onclick=alert(1)>&lt;",
    "'\" autofocus",
]


@pytest.mark.parametrize("name", HOSTILE)
def test_names_in_html_are_text(name):
    a, b = named(name), named(name, lambda: nn.GroupNorm(2, 8))
    shorter = nn.Sequential(*[*b][:2])
    plain = nv.audit(named("plain"), X, also="back-to-back")._repr_html_()
    page = Elements(nv.audit(a, X, also="back-to-back")._repr_html_())
    assert (page.names, page.attributes) == (Elements(plain).names, Elements(plain).attributes)
    assert f"0.{name} is not called" not in page.text
    assert f"{name}Norm is not called in this run" in page.text
    for found in (nv.compare(a, b, X), nv.compare(b, shorter, X), nv.compare(a, a, X)):
        page = Elements(found._repr_html_())
        assert page.names <= {"div", "style", "p", "b", "ul", "li", "table", "thead", "tbody", "tr", "th", "td"}
        assert page.attributes <= {"class", "scope", "tabindex", "role", "aria-label"}
        assert name in page.text


# ---- bad input of compare, and a new rule ----


def test_arguments_of_other_types():
    model = nn.Sequential(nn.GroupNorm(2, 8))
    for codes in (3, None):
        with pytest.raises(TypeError, match=r"^also is of type (int|NoneType); give a code, or several in a list$"):
            nv.audit(model, X, also=codes)
    for codes in ([3], [["small-set"]]):
        with pytest.raises(ValueError, match=r"^ignore: unknown code (3|\['small-set'\]) "):
            nv.audit(model, X, ignore=codes)
    found = nv.audit(model, X)
    with pytest.raises(ValueError, match=r"^unknown layer \['0'\] \(known: 0\)$"):
        found.explore(["0"])
    with pytest.raises(KeyError, match="unknown layer"):
        found[["0"]]
    with pytest.raises(TypeError, match=r"^use must be a whole number, not 'first'"):
        found.explore("0", use="first")


def test_names_and_tolerance_of_other_types():
    with pytest.raises(TypeError, match=r"^names is of type str; give a dict of a name in model_a -> one in model_b$"):
        nv.compare(nn.GroupNorm(2, 8), nn.GroupNorm(2, 8), X, names="norm")
    with pytest.raises(ValueError, match=r"^names: unknown layer of model_b \['norm'\]"):
        nv.compare(nn.GroupNorm(2, 8), nn.GroupNorm(2, 8), X, names={"(model)": ["norm"]})
    with pytest.raises(ValueError, match=r"^tolerance='tight' is not a relative difference; give a number from 0"):
        nv.compare(nn.GroupNorm(2, 8), nn.GroupNorm(2, 8), X, tolerance="tight")


def test_one_function_adds_a_warning(monkeypatch):
    model = nn.Sequential(nn.GroupNorm(2, 8, eps=1e-2), nn.ReLU(), nn.GroupNorm(2, 8))
    monkeypatch.setitem(RULES, "large-eps", None)  # so that the rule goes with the test

    @rule("large-eps", default=False)
    def large_eps(layer, training_batch):
        if layer.norm.eps > 1e-3:
            yield f"eps is {layer.norm.eps}", "use a smaller eps", {"eps": layer.norm.eps}

    assert nv.audit(model, X).warnings == []
    (warning,) = nv.audit(model, X, also="large-eps").warnings
    assert str(warning) == "large-eps at 0: eps is 0.01; use a smaller eps"
    assert nv.audit(model, X, also="large-eps", ignore="large-eps").warnings == []
    with pytest.raises(ValueError, match=r"^also: unknown code 'large-ep'; did you mean 'large-eps'\?"):
        nv.audit(model, X, also="large-ep")
    np.testing.assert_equal(warning.numbers, {"eps": 0.01})
