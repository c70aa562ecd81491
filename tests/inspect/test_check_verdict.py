"""The text, the picture and the exception of a verdict."""

import html
import inspect
import re

import numpy as np
import pytest

import normviz as nv
from normviz.inspect.check import check, gradients, known_bugs, localize, precision, running_stats
from tests.inspect import faulty

SHAPE = (3, 8, 5, 4)

MESSAGES = {
    "wrong-axes": (
        faulty.wrong_axes,
        "batch",
        None,
        "fn takes mean and variance over axes (2, 3), so its sets are boxes of 1 × 1 × 5 × 4, those of Instance Norm. "
        "At cell (0, 3, 0, 3) the right value is -0.028372, and fn gave -1.9877; 480 of 480 cells are wrong, by up to "
        "1.96.",
    ),
    "interleaved-groups": (
        faulty.interleaved,
        "group",
        2,
        "fn groups channels that are 2 apart: group 0 is channels 0, 2, 4, 6.",
    ),
    "affine-per-group": (
        faulty.affine_per_group,
        "group",
        2,
        "fn takes one weight and bias for each group: number g of the C for group g.",
    ),
    "affine-before": (
        faulty.affine_before,
        "layer",
        None,
        "fn applies weight and bias to the input, before it is normalized.",
    ),
    "affine-swapped": (faulty.affine_swapped, "batch", None, "fn multiplies by the bias and adds the weight."),
    "unbiased-variance": (
        faulty.unbiased,
        "batch",
        None,
        "fn divides the sum of squares by |S| - 1 = 59, not by |S| = 60.",
    ),
    "eps-outside": (
        faulty.eps_outside,
        "batch",
        None,
        "fn adds eps = 1e-05 to the square root, not to the variance under it.",
    ),
    "eps-missing": (
        faulty.eps_missing,
        "layer",
        None,
        "fn does not add eps = 1e-05 to the variance.",
    ),
    "eps-value": (faulty.eps_value, "batch", None, "fn adds 0.001 instead of eps = 1e-05."),
    "variance-not-std": (
        faulty.divided_by_variance,
        "batch",
        None,
        "fn divides by the variance itself, not by its square root.",
    ),
    "not-centered": (
        faulty.not_centered,
        "batch",
        None,
        "fn divides by the standard deviation, but subtracts no mean.",
    ),
    "cancellation": (
        faulty.cancellation,
        "batch",
        None,
        "fn loses the variance where the mean is large: on 2.68435e+08 - 1 and 2.68435e+08 + 1, whose variance is 1, "
        "480 of 480 cells are wrong, and none on 7 and 9.",
    ),
    "float16-accumulation": (
        faulty.float16_mean,
        "batch",
        None,
        "fn computes its statistics in float16: they are right to three digits, and numbers beyond 65504, its maximum, "
        "give NaN or infinity in 480 of 480 cells.",
    ),
    "changes-input": (
        faulty.changes_input,
        "batch",
        None,
        "fn writes its result into its input array, so the caller's x is overwritten.",
    ),
    "wrong-dtype": (faulty.always_float32, "batch", None, "fn returns float32 for float64."),
    "wrong-shape": (
        faulty.flattened,
        "batch",
        None,
        "fn returns shape (3, 160) for an input of shape (3, 8, 5, 4).",
    ),
    "channels-last": (
        faulty.channels_last,
        "batch",
        None,
        "fn takes the last axis for the channels, which are on axis 1.",
    ),
    "nan-on-constant": (
        faulty.nan_on_constant,
        "batch",
        None,
        "fn gives NaN or infinity for 240 cells of an input with constant sets, where x_hat is 0.",
    ),
    "raises": (
        lambda x: x.no_such_thing,
        "batch",
        None,
        "fn raised AttributeError on a float64 numpy input of shape (3, 8, 5, 4): "
        "'numpy.ndarray' object has no attribute 'no_such_thing'.",
    ),
    "no-array": (
        lambda x: (3.0, None),
        "batch",
        None,
        "fn returned a tuple of 2, not an array; it should return its output alone.",
    ),
    "random": (
        lambda x: x + np.random.random(x.shape),  # noqa: NPY002
        "batch",
        None,
        "fn gives a different output when it is called again with the same input.",
    ),
    "stateful": (
        lambda x, calls=[]: calls.append(1) or x * len(calls),
        "batch",
        None,
        "fn gives a different output for the same input after an earlier call.",
    ),
    "sets": (
        lambda x: nv.normalize(x, "per_head_rms", num_groups=2),
        "rms",
        None,
        "fn pools other cells: probe measures 120 sets of 4 cells each, in boxes of 1 × 4 × 1 × 1, but the method "
        "pools 60 sets of 8 cells each, in boxes of 1 × 8 × 1 × 1.",
    ),
    "wrong-groups": (
        lambda x: nv.normalize(x, "group", num_groups=4),
        "group",
        2,
        "fn makes 4 groups of 2 channels, not 2 groups of 4, as if num_groups = 2 were the number of "
        "channels in a group.",
    ),
    "reshape-not-transpose": (
        lambda x: nv.normalize(x.reshape(3, 5, 4, 8), "positional", channel_axis=-1).reshape(x.shape),
        "positional",
        None,
        "fn reshapes where a transpose is needed: x of shape (N, C, H, W) is read as (N, H, W, C) = (3, 5, 4, 8) "
        "without moving the channels.",
    ),
}


@pytest.mark.parametrize("code", MESSAGES)
def test_messages(code):
    fn, method, groups, said = MESSAGES[code]
    verdict = nv.check(fn, method, groups)
    assert verdict.codes == (code,)
    message = verdict.findings[0].message
    assert message.startswith(said), message
    number = r"-?[\d.]+(e[-+]\d+)?|nan"
    rest = message.removeprefix(said)
    where = rf" At cell \(.*\) the right value is ({number}), and fn gave ({number}); \d+ of \d+ cells are wrong.*\."
    assert re.fullmatch(where, rest) or rest == "", rest


def test_every_code_has_a_hint_and_every_hint_a_code():
    """A code stands in its module twice: with its hint, and where it is found."""
    modules = (check, gradients, localize, precision, running_stats)
    text = "".join(inspect.getsource(module) for module in modules)
    named = {code for code, _ in known_bugs.KNOWN_BUGS} | {"eps-value"}
    assert named | {code for code in check.HINTS if text.count(f'"{code}"') > 1} == {*check.HINTS}
    found = re.findall(r'(?:Mismatch|\.add|stage|_of_channel)\(\s*"([a-z0-9-]+)"', text)
    assert {*found} <= {*check.HINTS}
    assert len(found) > 20
    assert all(hint.rstrip()[-1] in ".?" for hint in check.HINTS.values())


def test_print():
    assert str(nv.check(faulty.eps_value, "batch")).splitlines() == [
        "Failed: this is not Batch Norm with eps = 1e-05. 1 finding:",
        "  1. eps-value: fn adds 0.001 instead of eps = 1e-05. At cell (1, 7, 1, 0) the right value is "
        "-2.1008, and fn gave -0.29033; 480 of 480 cells are wrong, by up to 1.81.",
        "     Hint: Compare your eps with the one that was requested; frameworks have different defaults.",
        "Not checked: gradient (NumPy has no autograd; give backward=).",
        "(11 calls with float64 of shape (3, 8, 5, 4), numpy.)",
    ]
    passed = nv.check(faulty.right, "batch")
    assert str(passed).startswith("Passed: this is Batch Norm with eps = 1e-05.\n")
    assert repr(passed) == "<Verdict on Batch Norm: passed, 11 calls>"
    group = nv.check(faulty.interleaved, "group", 2)
    assert repr(group) == "<Verdict on Group Norm with G = 2: interleaved-groups, 11 calls>"
    assert str(group).startswith("Failed: this is not Group Norm with G = 2 and eps = 1e-05. 1 finding:")
    assert passed.findings == ()


def test_what_check_handed_in_is_said():
    """Only what the caller did not give: a weight given to check is no news, and fn(x) takes nothing else."""
    ones = np.ones(8)

    class Layer:
        def __init__(self):
            self.gamma, self.running_mean, self.running_var = np.ones(8), np.zeros(8), np.ones(8)

        def __call__(self, x):
            return nv.normalize(x, "batch", weight=self.gamma)

    def takes_all(x, weight, num_groups, eps):
        return nv.normalize(x, "group", num_groups=num_groups, weight=weight, eps=eps)

    owned = "check put random numbers into fn's own weight, running_mean, running_var, and then the old ones back."
    passed = "check passed a random weight of shape (8,), and num_groups = 2 and eps = 1e-05."
    for fn, method, groups, more, notes in (
        (faulty.unbiased, "batch", None, {}, ()),
        (faulty.right, "batch", None, {}, ("check passed a random weight and bias of shape (8,).",)),
        (faulty.right, "batch", None, {"weight": ones, "bias": ones}, ()),
        (takes_all, "group", 2, {}, (passed,)),
        (Layer(), "batch", None, {}, (owned,)),
    ):
        verdict = nv.check(fn, method, groups, **more)
        assert verdict.notes == notes
        assert str(verdict).splitlines()[-1 - len(notes) : -1] == [*notes]
        assert all(note in html.unescape(verdict._repr_html_()) for note in notes)


def test_a_message_gives_no_eps_that_another_one_denies():
    """Where the eps is another one too, only `eps-value` says which."""
    for fn, where in (
        (lambda d, root: d / (root + 1e-3), "square root, not to the variance under it."),
        (lambda d, root: d / root + 1e-3, "quotient, not to the variance that it divides by."),
    ):
        verdict = nv.check(lambda x, fn=fn: fn(x - x.mean(1, keepdims=True), x.std(1, keepdims=True)), "positional")
        assert {*verdict.codes} == {"eps-value", verdict.findings[0].code}
        assert verdict.findings[0].message.startswith(f"fn adds eps to the {where}")
        assert "fn adds 0.001 instead of eps = 1e-05." in verdict.findings[1].message


def test_raise_if_failed():
    assert nv.check(faulty.right, "batch").raise_if_failed() is None
    verdict = nv.check(faulty.unbiased, "batch")
    with pytest.raises(AssertionError) as caught:
        verdict.raise_if_failed()
    assert str(caught.value) == str(verdict)

    def broken(x):
        raise ZeroDivisionError("oh")

    with pytest.raises(AssertionError, match="fn raised ZeroDivisionError") as caught:
        nv.check(broken, "batch").raise_if_failed()
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_in_a_notebook():
    def unbiased(x, weight, bias):
        """Raises with HTML in its message."""
        raise ValueError("<script>alert(1)</script>")

    verdict = nv.check(faulty.wrong_axes, "batch")
    page = verdict._repr_html_()
    assert page.startswith("<p><b>Failed: this is not Batch Norm with eps = 1e-05. 1 finding:</b></p><ol><li>")
    assert "<iframe" in page
    assert "&lt;script&gt;" in nv.check(unbiased, "batch")._repr_html_()
    assert "<iframe" not in nv.check(faulty.right, "batch")._repr_html_()
    assert verdict.x.shape == verdict.wrong.shape == SHAPE


def test_where_most_cells_are_wrong_the_sets_of_fn_stand_beside_the_right_ones():
    """Crosses on every cell would say nothing; nor do sets that are right."""
    interleaved = nv.check(faulty.interleaved, "group", 2)
    labels = np.arange(SHAPE[0])[:, None] * 2 + np.arange(SHAPE[1]) % 2  # channel c is in group c % 2
    assert 2 * interleaved.wrong.sum() > interleaved.wrong.size
    first = {(a, b) for a, b in zip(interleaved.sets[..., 0, 0].ravel(), labels.ravel(), strict=True)}
    assert len(first) == len(np.unique(labels)) == len(np.unique(interleaved.sets))
    page = html.unescape(interleaved._repr_html_())
    assert (
        "so none has a cross. The first picture has the sets of Group Norm with G = 2, the second the sets of fn."
        in page
    )
    assert "Given sets" in page

    unbiased = nv.check(faulty.unbiased, "batch", shape=(2, 3, 2, 2))
    assert 2 * unbiased.wrong.sum() > unbiased.wrong.size
    assert unbiased.sets is None
    plain = nv.show(unbiased.x, "batch", index=unbiased.findings[0].cell, title="Check: unbiased-variance").fragment()
    assert unbiased._repr_html_().endswith(f"so none has a cross.</p>{plain}")

    few = nv.check(lambda x: nv.normalize(x, "batch") + 1e-2 * (np.indices(x.shape).sum(0) == 0), "batch")
    assert 2 * few.wrong.sum() <= few.wrong.size
    crossed = nv.show(few.x, "batch", index=(0, 0, 0, 0), marks=few.wrong, title="Check: sets").fragment()
    assert few._repr_html_().endswith(f"numpy.)</p>{crossed}")


def test_explore():
    verdict = nv.check(faulty.wrong_axes, "batch")
    explorer = verdict.explore()
    assert explorer.method == "batch"
    assert tuple(explorer.index) == verdict.findings[0].cell
    last = nv.check(lambda x: nv.normalize(x, "batch", channel_axis=-1) * x[0, 0, 0, 0], "batch", channel_axis=-1)
    n, h, w, c = last.findings[0].cell
    assert tuple(last.explore().index) == (n, c, h, w)
    assert last.x.shape == last.shape
    with pytest.raises(ValueError, match=r"^there is no input to explore: fn gave no output that could be compared$"):
        nv.check(lambda x: None, "batch").explore()
