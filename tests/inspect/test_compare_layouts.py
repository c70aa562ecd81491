"""Two models that lay the same numbers out in different ways: what agrees is the same, what differs is named."""

import copy

import pytest
import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

import normviz as nv
from tests.inspect import audit_models as zoo


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)
    torch.set_num_threads(1)


class Net(nn.Module):
    """A model whose forward is a function; one seed gives the parts of equal shape the same random numbers."""

    def __init__(self, forward, **parts):
        super().__init__()
        self.of_x = forward
        for name, part in parts.items():
            self.add_module(name, part)
        for name, t in self.state_dict().items():
            g = torch.Generator().manual_seed(t.numel() + 1000 * ("bias" in name))
            if t.ndim:
                t.copy_(torch.randn(t.shape, generator=g) * 0.3 + (t.ndim == 1 and ("weight" in name or "var" in name)))
                if "var" in name:
                    t.abs_()

    def forward(self, x):
        return self.of_x(self, x)


def maps(norm):
    """Norm on (N, C, H, W)."""
    return Net(lambda m, x: m.norm(m.conv(x)).relu(), conv=nn.Conv2d(3, 8, 1), norm=norm)


def tokens(norm):
    """Norm on (N, H * W, C)."""

    def forward(m, x):
        y = m.conv(x)
        return m.norm(y.flatten(2).mT).mT.reshape(y.shape).relu()

    return Net(forward, conv=nn.Conv2d(3, 8, 1), norm=norm)


def sequence_first(norm):
    """Norm on (T, N, C), as in Megatron; C = 8."""
    return Net(
        lambda m, x: m.norm(m.conv(x).flatten(2).permute(2, 0, 1)).permute(1, 2, 0), conv=nn.Conv2d(3, 8, 1), norm=norm
    )


def batch_first(norm):
    return Net(lambda m, x: m.norm(m.conv(x).flatten(2).mT).mT, conv=nn.Conv2d(3, 8, 1), norm=norm)


def heads(norm, *, whole=False, late=False):
    """The norm of queries (N, T, 16): of all heads together or of each, before or after they are transposed."""

    def forward(m, x):
        q = m.q(x.flatten(2).mT[..., :3])
        if whole:
            return m.q_norm(q).unflatten(-1, (4, 4)).transpose(1, 2)
        q = q.unflatten(-1, (4, 4))
        return m.q_norm(q.transpose(1, 2)) if late else m.q_norm(q).transpose(1, 2)

    return Net(forward, q=nn.Linear(3, 16), q_norm=norm)


def halves(norm, *, together):
    """One call on both halves of a batch, or a call on each of them."""

    def forward(m, x):
        y = m.conv(x)
        return m.norm(y) if together else torch.cat([m.norm(part) for part in y.chunk(2)])

    return Net(forward, conv=nn.Conv2d(3, 8, 1), norm=norm)


def windows(norm):
    """Norm on (windows, 2 * 2, C), as in Swin."""

    def forward(m, x):
        y = m.conv(x)
        n, c, h, w = y.shape
        y = y.reshape(n, c, h // 2, 2, w // 2, 2).permute(0, 2, 4, 3, 5, 1).reshape(-1, 4, c)
        y = m.norm(y).reshape(n, h // 2, w // 2, 2, 2, c).permute(0, 5, 1, 3, 2, 4)
        return y.reshape(n, c, h, w).relu()

    return Net(forward, conv=nn.Conv2d(3, 8, 1), norm=norm)


X = torch.randn(4, 3, 6, 6, generator=torch.Generator().manual_seed(3))
LN = lambda eps=1e-5: nn.LayerNorm(8, eps=eps)  # noqa: E731
LN2D = lambda eps=1e-5: zoo.LayerNorm2d(8, eps=eps)  # noqa: E731

# what is the same, though layouts, calls or the place of a norm differ
SAME = {
    "tokens, maps": (tokens(LN()), maps(LN2D())),
    "maps, tokens": (maps(LN2D()), tokens(LN())),
    "tokens, windows": (tokens(LN()), windows(LN())),
    "time first": (batch_first(LN()), sequence_first(LN())),
    "RMS before and after a transpose": (heads(nn.RMSNorm(4)), heads(nn.RMSNorm(4), late=True)),
    "one group, whole sample": (
        maps(nn.GroupNorm(1, 8, affine=False)),
        maps(nn.LayerNorm([8, 6, 6], elementwise_affine=False)),
    ),
    "a norm on halves": (halves(LN2D(), together=True), halves(LN2D(), together=False)),
    "a fixed norm on halves": (
        halves(nn.BatchNorm2d(8), together=False).eval(),
        halves(nn.BatchNorm2d(8), together=True).eval(),
    ),
    "an Identity more": (maps(LN2D()), maps(nn.Sequential(nn.Identity(), LN2D()))),
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
@pytest.mark.parametrize("name", SAME)
def test_what_agrees_is_the_same_in_any_layout(name, dtype):
    a, b = (copy.deepcopy(m).to(dtype) for m in SAME[name])
    if name == "an Identity more":
        b.norm[1].load_state_dict(a.norm.state_dict())
    found = nv.compare(a, b, X.to(dtype))
    assert found.same
    assert (found.first, found.between) == (None, None)
    assert len(found.pairs) == 1
    assert not found.pairs[0].differences
    assert " part" not in str(found)
    assert str(found).startswith("The two models agree at 1 pair of normalization layers and in their output")


POOLS = {
    "Layer Norm of positions, of samples": (
        tokens(LN()),
        maps(nn.GroupNorm(1, 8)),
        "norm pools 8 cells in a, 288 in b.",
    ),
    "the other way round": (maps(nn.GroupNorm(1, 8)), tokens(LN()), "norm pools 288 cells in a, 8 in b."),
    "Instance Norm": (tokens(LN()), maps(nn.InstanceNorm2d(8, affine=True)), "norm pools 8 cells in a, 36 in b."),
    "windows": (windows(LN()), maps(nn.GroupNorm(2, 8)), "norm pools 8 cells in a, 144 in b."),
    "all heads, each head": (
        heads(nn.RMSNorm(16), whole=True),
        heads(nn.RMSNorm(4)),
        "q_norm pools 16 cells in a, 4 in b.",
    ),
    "all heads, each head, transposed": (
        heads(nn.RMSNorm(16), whole=True),
        heads(nn.RMSNorm(4), late=True),
        "q_norm pools 16 cells in a, 4 in b.",
    ),
    "both halves, each half": (
        halves(nn.BatchNorm2d(8), together=True),
        halves(nn.BatchNorm2d(8), together=False),
        "norm pools 144 cells in a, 72 in b (a calls it once, b 2 times).",
    ),
    "as many cells, but others": (
        tokens(LN()),
        Net(lambda m, x: m.norm(m.conv(x)).relu(), conv=nn.Conv2d(3, 8, 1), norm=nn.LayerNorm(8)),
        "norm pools 8 cells in both, but not the same ones: "
        "boxes of 1 × 1 × 8 in a and boxes of 1 × 8 × 1 in b, as cut out of a's input of 4 × 64 × 8.",
    ),
    "others along an axis of equal length": (
        maps(LN2D()),
        Net(lambda m, x: m.norm(m.conv(x)).relu(), conv=nn.Conv2d(3, 8, 1), norm=nn.LayerNorm(8)),
        "boxes of 1 × 1 × 1 × 8 in a and boxes of 1 × 1 × 8 × 1 in b, as cut out of a's input of 4 × 8 × 8 × 8.",
    ),
    "others, as the port keeps its maps channels last": (
        maps(nn.GroupNorm(2, 8)),
        Net(
            lambda m, x: m.norm(m.conv(x).permute(0, 2, 3, 1)).permute(0, 3, 1, 2),
            conv=nn.Conv2d(3, 8, 1),
            norm=nn.GroupNorm(2, 8),
        ),
        "boxes of 1 × 4 × 8 × 8 in a and boxes of 1 × 8 × 4 × 8 in b, as cut out of a's input of 4 × 8 × 8 × 8.",
    ),
}


@pytest.mark.parametrize("name", POOLS)
def test_a_norm_that_pools_other_cells_is_the_cause(name):
    a, b, words = POOLS[name]
    x = torch.randn(4, 3, 8, 8) if "others" in name else X
    found = nv.compare(copy.deepcopy(a), copy.deepcopy(b), x)
    assert not found.same
    assert found.between is None
    assert not found.first.input_parts
    assert found.first.output_parts
    assert words in str(found)
    assert "no normalization layer of both" not in str(found)
    assert [d.what for d in found.first.differences if d.what == "input_shape"] == []


def test_a_shared_norm_deep_in_a_model_is_called_once_or_twice():
    def siamese(together):
        net = nn.Sequential(nn.Conv2d(3, 8, 1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 1), nn.BatchNorm2d(8))
        return Net(lambda m, x: m.net(x) if together else torch.cat([m.net(p) for p in x.chunk(2)]), net=net)

    found = nv.compare(siamese(True), siamese(False), X)
    assert (found.first.name, found.first.b.calls, found.only_a, found.only_b) == ("net.1", 2, [], [])
    assert "net.1 pools 144 cells in a, 72 in b (a calls it once, b 2 times)." in str(found)
    assert nv.compare(siamese(True).eval(), siamese(False).eval(), X).same


def test_two_norms_that_a_port_has_merged():
    def queries_and_keys(merged):
        def forward(m, x):
            q, k = (part.unflatten(-1, (4, 4)) for part in (m.q(x), m.k(x)))
            if merged:
                q, k = m.qk_norm(torch.cat([q, k], 2)).chunk(2, 2)
            else:
                q, k = m.q_norm(q), m.k_norm(k)
            return (q * k).sum(-1)

        norms = {"qk_norm": nn.RMSNorm(4)} if merged else {"q_norm": nn.RMSNorm(4), "k_norm": nn.RMSNorm(4)}
        return Net(forward, q=nn.Linear(16, 16), k=nn.Linear(16, 16), **norms)

    a, b, x = queries_and_keys(False), queries_and_keys(True), torch.randn(2, 10, 16)
    a.k.weight.data += 1
    b.k.weight.data += 1
    for first, second in ((a, b), (b, a)):
        found = nv.compare(first, second, x)
        assert found.same
        assert (len(found.pairs), found.only_a, found.only_b) == (1, [], [])
    b.qk_norm.eps = 0.5
    found = nv.compare(a, b, x)
    assert [d.what for d in found.first.differences] == ["eps"]


def branches(order, names, **norms):
    """Two norms side by side; `order` is that of the calls."""

    def forward(m, x):
        y = {k: getattr(m, names[k])((m.c if k == "p" else m.d)(x)) for k in order}
        return y["p"] - 2 * y["q"]

    parts = {"p": norms.get("p", nn.GroupNorm(2, 8)), "q": norms.get("q", nn.GroupNorm(2, 8))}
    convs = {"c": nn.Conv2d(3, 8, 1), "d": nn.Conv2d(3, 8, 1, bias=False)}
    net = Net(forward, **convs, **{names[k]: parts[k] for k in order})
    net.d.weight.data *= -1.7
    return net


@pytest.mark.parametrize("names", [{"p": "n1", "q": "n2"}, {"p": "second", "q": "first"}], ids=["same names", "others"])
def test_norms_in_another_order(names):
    a, b = branches("pq", {"p": "n1", "q": "n2"}), branches("qp", names)
    found = nv.compare(a, b, X)
    assert found.same
    assert {(p.a.name, p.b.name) for p in found.pairs} == {("n1", names["p"]), ("n2", names["q"])}
    b.get_submodule(names["p"]).eps = 0.1
    found = nv.compare(a, b, X)
    assert (found.first.a.name, [d.what for d in found.first.differences]) == ("n1", ["eps"])


def folded(bias=0.0):
    a = Net(lambda m, x: m.net(x), net=nn.Sequential(nn.Conv2d(3, 8, 1), nn.BatchNorm2d(8), nn.ReLU()))
    b = copy.deepcopy(a).eval().net
    b = nn.Sequential(fuse_conv_bn_eval(b[0], b[1]), nn.ReLU())
    b[0].bias.data += bias
    return a.net, b


def test_a_batch_norm_that_was_folded():
    a, b = folded()
    found = nv.compare(copy.deepcopy(a).eval(), b, X)
    assert found.same
    assert [use.name for use in found.only_a] == ["1"]
    assert "Only in a: 1 (BatchNorm2d, input 4×8×6×6)." in str(found)
    assert "train mode" not in str(found)
    for left, right, m in ((a, b, "a"), (b, a, "b")):
        found = nv.compare(left, right, X)
        assert not found.same
        assert f"Layer 1, only in {m}, is in train mode" in str(found)
    assert "train mode" not in str(nv.compare(copy.deepcopy(a).eval(), folded(1.0)[1], X))
    found = nv.compare(copy.deepcopy(a).eval(), nn.Sequential(b[0], nn.Identity(), b[1]), X)
    assert (found.same, found.pairs) == (True, [])


@pytest.mark.parametrize("swapped", [False, True])
def test_the_first_of_two_batch_norms_was_folded(swapped):
    def conv():
        return nn.Conv2d(8, 8, 3, padding=1)

    net = nn.Sequential(conv(), nn.BatchNorm2d(8), nn.ReLU(), conv(), nn.BatchNorm2d(8), nn.ReLU())
    a = Net(lambda m, x: m.net(x), net=net).eval().net
    b = nn.Sequential(fuse_conv_bn_eval(a[0], a[1]), *a[2:])
    x = torch.randn(4, 8, 6, 6)
    assert nv.compare(*((b, a) if swapped else (a, b)), x).same
    a[1].train()
    found = nv.compare(*((b, a) if swapped else (a, b)), x)
    m = "b" if swapped else "a"
    assert f"Layer 1, only in {m}, is in train mode" in str(found)
    assert [(getattr(p, m).name, p.input_parts) for p in found.pairs] == [("4", True)]


def test_a_layer_called_more_often_is_not_only_in_one():
    def repeated(calls):
        def forward(m, x):
            for _ in range(calls):
                x = x + m.norm(m.fc(x))
            return x

        return Net(forward, fc=nn.Linear(16, 16), norm=nn.LayerNorm(16))

    x = torch.randn(2, 9, 16)
    assert nv.compare(repeated(3), repeated(3), x).same
    found = nv.compare(repeated(3), repeated(4), x)
    assert not found.same
    assert "b calls norm 4 times, the other model 3 times." in str(found)
    assert "Only in" not in str(found)
    slow = repeated(3)
    slow.norm.eps = 0.1
    found = nv.compare(repeated(3), slow, x)
    assert (found.first, [d.what for d in found.first.differences]) == (found.pairs[0], ["eps"])


class Spoiled(nn.Module):
    def forward(self, x):
        return torch.where(x == x.max(), torch.nan, x)


def test_nan_is_no_other_shape():
    norm, x = nn.GroupNorm(2, 8), torch.randn(2, 8, 5, 5)
    for a, b in (
        (nn.Sequential(nn.Identity(), norm), nn.Sequential(Spoiled(), norm)),
        (norm, nn.Sequential(norm, Spoiled())),
    ):
        found = nv.compare(a, b, x)
        assert not found.same
        assert "shape" not in str(found)
        assert "One output has NaN or infinite numbers where the other has none." in str(found)
    assert nv.compare(b, b, x).same


CONSTANT = {
    "zeros": torch.zeros(3, 3, 6, 6),
    "the same samples": torch.randn(1, 3, 6, 6).repeat(3, 1, 1, 1),
    "constant columns": torch.randn(3, 3, 1, 6).repeat(1, 1, 6, 1),
    "one position": torch.randn(3, 3, 1, 1),
    "half zeros": torch.randn(3, 3, 6, 6).relu(),
}


@pytest.mark.parametrize("name", CONSTANT)
def test_equal_values_do_not_mislead(name):
    a, b, c = tokens(LN()), maps(LN2D()), maps(nn.GroupNorm(1, 8))
    x = CONSTANT[name]
    assert nv.compare(a, b, x).same
    found = nv.compare(a, c, x)
    if name == "one position":  # there both pool the same
        assert found.same
    else:
        assert "norm pools 8 cells in a, 288 in b." in str(found)


def test_cells_that_cannot_be_matched_are_no_cause():
    """In half precision many cells have one value, and no order of the axes makes one input the other."""
    order = torch.randperm(8 * 36, generator=torch.Generator().manual_seed(1))
    back = order.argsort()

    def shuffled(m, x):
        return m.norm(m.conv(x).flatten(1)[:, order]).flatten(1)[:, back].relu()

    def plain(m, x):
        return m.norm(m.conv(x).flatten(1)).flatten(1).relu()

    a, b = (
        Net(f, conv=nn.Conv2d(3, 8, 1), norm=nn.LayerNorm(288, elementwise_affine=False)) for f in (plain, shuffled)
    )
    for dtype in (torch.float32, torch.bfloat16):
        found = nv.compare(a.to(dtype), b.to(dtype), torch.randn(64, 3, 6, 6).to(dtype))
        assert found.same
        assert " part" not in str(found)
    assert "norm could not be compared: which of its inputs is which could not be told." in str(found)


def test_what_one_model_has_folded_into_its_next_layer():
    a = Net(lambda m, x: m.net(x), net=nn.Sequential(nn.Linear(16, 16), nn.LayerNorm(16), nn.Linear(16, 4))).net
    b = copy.deepcopy(a)
    b[1] = nn.LayerNorm(16, elementwise_affine=False)
    b[2].weight.data = a[2].weight.data * a[1].weight.data
    b[2].bias.data = a[2].bias.data + a[2].weight.data @ a[1].bias.data
    x = torch.randn(2, 9, 16)
    found = nv.compare(a, b, x)
    assert found.same
    assert str(found).startswith("The outputs of the two models agree, on this example.")
    assert "Also: 1: weight: 16 in a and none in b" in str(found)
    b[0].weight.data -= b[0].weight.data.mean(0)
    b[0].bias.data -= b[0].bias.data.mean()
    b[1] = nn.RMSNorm(16, eps=1e-5, elementwise_affine=False)
    assert nv.compare(a, b, x).same


def test_later_layers_in_another_layout_are_not_set_differently():
    def deep(layout, eps=1e-5):
        norms = [(LN2D if layout == "maps" else LN)(eps if i == 0 else 1e-5) for i in range(3)]

        def forward(m, x):
            y = m.conv(x)
            for name in "pqr":
                norm = getattr(m, name)
                y = (
                    y + norm(y)
                    if layout == "maps"
                    else y + norm(y.flatten(2).permute(2, 0, 1)).permute(1, 2, 0).reshape(y.shape)
                )
            return y

        return Net(forward, conv=nn.Conv2d(3, 8, 1), **dict(zip("pqr", norms, strict=True)))

    assert nv.compare(deep("maps"), deep("tokens"), X).same
    found = nv.compare(deep("maps"), deep("tokens", 0.5), X)
    assert (found.first.name, [d.what for d in found.first.differences]) == ("p", ["eps"])
    assert "Also" not in str(found)


def test_a_long_list_of_layers_of_one_model_is_cut():
    def chain(norm):
        return nn.Sequential(*(nn.Sequential(nn.Conv2d(3, 3, 1), norm()) for _ in range(11)))

    a, b = chain(lambda: nn.BatchNorm2d(3)), chain(nn.Identity)
    text = str(nv.compare(a, b, X))
    assert text.count("is in train mode") == 8
    assert "So are 3 more." in text
    assert text.count("Only in a: ") == 9
    assert "Only in a: 3 more layers; see .only_a." in text


class Transforms(nn.Module):
    """No normalization, in spite of its name."""

    def __init__(self, by):
        super().__init__()
        self.by = by

    def forward(self, x):
        return torch.tanh(self.by * x)


def test_a_module_that_is_only_called_a_norm():
    def net(by=1.0):
        return Net(
            lambda m, x: m.norm(m.normalize(m.conv(x))), conv=nn.Conv2d(3, 8, 1), normalize=Transforms(by), norm=LN2D()
        )

    assert [p.name for p in nv.compare(net(), net(), X).pairs] == ["norm"]
    found = nv.compare(net(), net(1.5), X)
    assert (found.first.name, found.first.a.kind, found.between) == ("normalize", "unknown", None)
    assert "no sets of its input explain its output" in str(found)


def test_running_statistics_that_are_not_finite_are_said_to_be_so():
    a, b = maps(nn.BatchNorm2d(8)).eval(), maps(nn.BatchNorm2d(8)).eval()
    b.norm.running_var[0] = float("nan")
    assert "norm: running_var holds NaN or infinity in b." in str(nv.compare(a, b, X))


def test_of_several_outputs_the_first_is_compared_and_this_is_said():
    a, b = (Net(lambda m, x, k=k: (m.norm(x), k * x), norm=nn.GroupNorm(1, 3)) for k in (1, 2))
    assert "Of several tensors that a model returns, the first is its output here." in str(nv.compare(a, b, X))
