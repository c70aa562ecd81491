"""The CPU's passes: whatever the shape, type, strides, block sizes and number of threads, the recipe's result."""

import tracemalloc
from itertools import product

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import normviz as nv
from benchmarks.cpu.accuracy import oracle
from normviz.backends import threads
from normviz.backends.cpu import affine, half, moments, strides
from tests.core.cases import configurations, two_groups, values

LIMITS = {"f2": 2e-3, "f4": 3e-6, "f8": 1e-11}
DTYPES = ["f2", "f4", "f8", ">f4", "i2", "?"]
OF_ROWS = ("batch", "layer", "instance", "group", "positional")


@st.composite
def laid_out(draw):
    """A tensor in one of the ways that an array of its shape can lie in memory."""
    shape = tuple(draw(st.lists(st.integers(1, 9), min_size=2, max_size=4)))
    shape = (*shape[:1], draw(st.sampled_from([1, 2, 6, 8])), *shape[2:])
    order = draw(st.permutations(range(len(shape))))
    steps = [draw(st.sampled_from([1, 1, 1, 2, -1])) for _ in shape]
    whole = values(
        [shape[a] * abs(steps[a]) for a in order], seed=draw(st.integers(0, 9)), loc=draw(st.sampled_from([0, 5, 1000]))
    )
    x = whole.astype(draw(st.sampled_from(DTYPES))).transpose(np.argsort(order))
    x = x[tuple(slice(None, None, step) for step in steps)]
    return np.broadcast_to(x[:1], x.shape) if draw(st.integers(0, 9)) == 0 else x


@given(laid_out(), st.integers(1, 3), st.sampled_from([5, 64, 1 << 18]), st.sampled_from([1, 1024]))
@example(np.array([[999.8679, 999.8709]]), 1, 64, 1)
def test_any_layout_block_and_number_of_threads(x, count, cells, short):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NORMVIZ_NUM_THREADS", str(count))
        patch.setattr(threads, "WORTH", 1)
        patch.setattr(moments, "CELLS", cells)
        patch.setattr(affine, "CELLS", cells)
        patch.setattr(moments, "SHORT", short)
        patch.setattr(moments, "STRIP", max(cells // 4, 1))
        patch.setattr(affine, "STRIP", max(cells // 4, 2))
        limit = LIMITS.get(x.dtype.str[1:], 1e-11)
        for method, num_groups in configurations(x.shape):
            if method not in OF_ROWS:
                continue
            var, y = oracle(np.ascontiguousarray(x), method, num_groups)
            found = nv.statistics(x, method, num_groups=num_groups)
            scale = 1e-7 * float(abs(x.astype("f8")).max()) ** 2 if limit > 1e-10 else 0
            np.testing.assert_allclose(
                found.var.ravel(), var.ravel(), rtol=1e-6 if limit > 1e-10 else 1e-10, atol=min(scale * 1e-3, 1e-8)
            )
            got = nv.normalize(x, method, num_groups=num_groups)
            # A mean is rounded to half a unit in its last place, which the division by the deviation makes larger.
            rounding = 0.5 * np.spacing(abs(x.astype("f8")).max()) / np.sqrt(var.min() + 1e-5)
            np.testing.assert_allclose(got, y, rtol=limit, atol=limit + rounding)


@given(laid_out(), st.data())
def test_what_can_be_reshaped_without_a_copy(x, data):
    """As NumPy does it, into any shape that is found by merging axes, splitting them, and axes of length 1."""
    shape, left = [], x.size
    while left > 1:
        shape.append(data.draw(st.sampled_from([n for n in range(1, left + 1) if left % n == 0])))
        left //= shape[-1]
    assert strides.viewable(x, tuple(shape)) == np.may_share_memory(x, x.reshape(shape))


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("shape", [(2, 3, 400, 3), (1, 2, 1500, 1), (2, 3, 5, 130), (40, 6, 9, 1)])
def test_sets_that_are_read_in_parts(shape, last, monkeypatch):
    monkeypatch.setattr(threads, "WORTH", 1)
    x = values(shape, dtype=np.float32)
    x = np.moveaxis(np.moveaxis(x, 1, -1).copy(), -1, 1) if last else x
    for method in OF_ROWS[:3]:
        var, _ = oracle(x, method, None)
        for cells, count in ((7, "5"), (100, "1"), (100, "2"), (1 << 18, "1"), (1 << 18, "5")):
            monkeypatch.setattr(moments, "CELLS", cells)
            monkeypatch.setenv("NORMVIZ_NUM_THREADS", count)
            np.testing.assert_allclose(nv.statistics(x, method).var.ravel(), var.ravel(), rtol=5e-7)


def test_a_sample_s_digits_do_not_depend_on_the_others():
    calm = values((6, 4, 40, 40), dtype=np.float32, loc=0)
    wild = calm.copy()
    wild[1::2] += 1e4  # these sets are shifted, their neighbours in the block are not
    for axis in (1, -1):
        a, b = (np.moveaxis(x, 1, axis).copy() for x in (calm, wild))
        for method in ("layer", "instance", "positional"):
            first, second = (nv.normalize(x, method, channel_axis=axis)[::2] for x in (a, b))
            np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("method", ["batch", "group", "positional"])
@pytest.mark.parametrize(
    "view", [lambda x: x[:, 1:4], lambda x: x[1:, ::2], lambda x: x[:, :, 1:-1, 2:-2], lambda x: x]
)
def test_slices_are_read_where_they_are(view, method):
    whole = values((4, 6, 30, 31), dtype=np.float32)
    part = view(whole)
    options = {"num_groups": 1 if method == "group" else None}
    np.testing.assert_allclose(
        nv.normalize(part, method, **options), nv.normalize(part.copy(), method, **options), atol=1e-6
    )
    block = nv.pooling(method, part.shape, options["num_groups"]).block
    found = strides.reading(part.shape, part.strides, part.itemsize, block)
    assert found is None or np.shares_memory(found.view(part), whole)


@np.errstate(invalid="ignore")
def test_half_precision_by_its_bits():
    every = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
    finite = every[np.isfinite(every)]
    for halves in (every, finite):
        single = np.empty(halves.shape, np.float32)
        half.widen(halves, single)
        np.testing.assert_array_equal(single, halves.astype(np.float32))
        back = np.empty_like(halves)
        half.narrow(single, back)
        np.testing.assert_array_equal(back, halves)


@np.errstate(over="ignore", invalid="ignore")
def test_half_precision_is_rounded_to_nearest():
    rng = np.random.default_rng(0)
    singles = np.concatenate(
        [rng.normal(0, 3, 50_000), rng.uniform(65_000, 66_000, 2000), [1e30, -np.inf, np.nan, -0.0]]
    )
    ties = (rng.integers(2048, 4096, 1000) + 0.5) / 1024  # half way between two halves
    singles = np.concatenate([singles, ties, -ties]).astype(np.float32)
    found = np.empty(singles.shape, np.float16)
    half.narrow(singles.copy(), found)
    expected = singles.astype(np.float16)
    np.testing.assert_array_equal(found.view(np.int16)[~np.isnan(singles)], expected.view(np.int16)[~np.isnan(singles)])
    assert np.isnan(found[np.isnan(singles)]).all()


def peak(job) -> int:
    job()
    tracemalloc.start()
    job()
    result = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return result


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8"])
@pytest.mark.parametrize("axis", [1, -1])
def test_what_a_sweep_allocates_does_not_grow_with_the_tensor(dtype, axis, monkeypatch):
    monkeypatch.setenv("NORMVIZ_NUM_THREADS", "1")
    sizes = {}
    for side in (64, 128, 256):
        x = np.moveaxis(np.moveaxis(values((4, 16, side, side), loc=3), 1, axis).astype(dtype), axis, 1)
        sizes[side] = peak(lambda x=x: nv.sweep(np.moveaxis(x, 1, axis), channel_axis=axis))
        out = np.empty_like(x)
        assert peak(lambda x=x, out=out: nv.normalize(x, "group", num_groups=4, out=out)) < 3 << 20
    assert sizes[256] < 4 << 20
    assert sizes[256] < sizes[128] + (1 << 18)


def test_the_number_of_threads(monkeypatch):
    monkeypatch.delenv("NORMVIZ_NUM_THREADS", raising=False)
    assert threads.number() == min(threads.available(), threads.MOST)
    monkeypatch.setenv("NORMVIZ_NUM_THREADS", "3")
    assert (threads.worthwhile(threads.WORTH), threads.worthwhile(threads.WORTH - 1)) == (3, 1)
    with threads.at_most(2):
        assert threads.number() == 2
    assert threads.number() == 3
    for wrong in ("0", "-1", "two", "1.5"):
        monkeypatch.setenv("NORMVIZ_NUM_THREADS", wrong)
        with pytest.raises(ValueError) as caught:
            nv.moments(np.zeros((2, 4, 512, 512)))
        assert str(caught.value) == (
            f"NORMVIZ_NUM_THREADS={wrong!r} is no number of threads; set it to 1 or more, or not at all"
        )


def test_threads_do_their_share_and_pass_errors_on():
    seen = []

    def task(part):
        seen.append(part)
        if part == 1:
            raise RuntimeError("part 1")
        return np.float32(1e38) * np.float32(10 + part)  # which overflows, and warns where nobody asked it not to

    with np.errstate(all="ignore"):
        assert threads.run(task, [0, 2, 3]) == [np.inf] * 3
        with pytest.raises(RuntimeError, match="part 1"):
            threads.run(task, [0, 1, 2])
    assert sorted(seen) == [0, 0, 1, 2, 2, 3]


def of_all(x, method, axis, **options):
    """What is computed of x, as arrays whose first axis counts the samples."""
    weight = np.linspace(0.5, 2, x.shape[axis])
    options |= {"channel_axis": axis, "backend": "numpy"}
    found, of = nv.statistics(x, method, **options), {"weight": weight, **options}
    y, gradient = nv.normalize(x, method, bias=weight, **of), nv.gradient(x, x[..., ::-1], method, **of)
    moments = nv.moments(x, channel_axis=axis, backend="numpy")
    return found.mean, found.var, y, gradient.input, moments.mean, moments.m2


AROUND = [(3, 4, n) for n in (1, 15, 16, 65, 129, 1023, 1030)]
SMALL = {(moments, "CELLS"): 512, (moments, "STRIP"): 64, (affine, "CELLS"): 256, (affine, "STRIP"): 64}


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8"])
@pytest.mark.parametrize(("shapes", "limits"), [(AROUND, SMALL), ([(2, 4, 70_001), (2, 70_000, 2)], {})])
def test_more_samples_and_more_threads_change_no_digit(shapes, limits, dtype, monkeypatch):
    """On both sides of each limit at which something is computed in another way; small limits are passed as well."""
    monkeypatch.setattr(threads, "WORTH", 1)
    for (module, name), limit in limits.items():
        monkeypatch.setattr(module, name, limit)
    for shape, axis in product(shapes, (1, -1)):
        x = np.moveaxis(values(shape, loc=3), 1, axis).astype(dtype, order="C")
        for method in ("layer", "instance", "group", "positional") if limits else ("layer", "positional"):
            options = {"num_groups": 1 if x.shape[axis] % 2 else two_groups(method)} if method == "group" else {}
            monkeypatch.setenv("NORMVIZ_NUM_THREADS", "1")
            few = of_all(x[:1], method, axis, **options)
            for count in ("1", "3"):
                monkeypatch.setenv("NORMVIZ_NUM_THREADS", count)
                for one, many in zip(few, of_all(x, method, axis, **options), strict=True):
                    np.testing.assert_array_equal(one, many[:1])


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_more_threads_change_no_digit_of_batch_norm(dtype, monkeypatch):
    monkeypatch.setattr(threads, "WORTH", 1)
    monkeypatch.setattr(moments, "CELLS", 512)
    monkeypatch.setattr(moments, "STRIP", 64)
    for shape in ((50, 3, 40), (1, 1, 9000), (700, 9), (300, 200), (9000, 1)):
        for axis in (1, -1):
            x, found = values(shape, dtype=dtype), []
            for count in ("1", "2", "8"):
                monkeypatch.setenv("NORMVIZ_NUM_THREADS", count)
                options = {"channel_axis": axis, "backend": "numpy"}
                gradient = nv.gradient(x, x[::-1], "batch", **options)
                var = nv.statistics(x, "batch", **options).var
                found.append([var, gradient.input, gradient.weight, gradient.bias])
            for other in found[1:]:
                for one, same in zip(found[0], other, strict=True):
                    np.testing.assert_array_equal(one, same)


@given(
    st.tuples(st.integers(1, 3), st.sampled_from([1, 2, 4]), st.integers(1, 6), st.integers(1, 6)),
    st.permutations([1, 2, 3]),
    st.sampled_from(DTYPES[:-1]),
    st.sampled_from([(1, 0), (1, 1000), (0, 0.1), (1, [np.nan, 0]), (1, [0, np.inf]), (1e-30, 0), (1e33, 0)]),
    st.sampled_from(["layer", "instance", "group", "positional", "per_head", "frn"]),
    st.integers(0, 9),
)
def test_few_cells_have_the_digits_that_they_have_among_many(shape, order, dtype, change, method, seed):
    """A small array is not divided among blocks and threads, and keeps no memory; more samples change all three."""
    order = (0, *order)
    many = values([(40, *shape[1:])[axis] for axis in order], seed=seed, loc=3).transpose(np.argsort(order))
    with np.errstate(all="ignore"):
        many[0] = many[0] * change[0] + np.resize(change[1], shape[-1])
        many = many.astype(dtype)
    few = many[: shape[0]].copy("K")
    options = {"num_groups": two_groups(method) if shape[1] > 1 else 1} if method in ("group", "per_head") else {}
    alone = of_all(few, method, 1, **options)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(moments, "CELLS", 256)
        patch.setattr(affine, "CELLS", 256)
        patch.setattr(threads, "WORTH", 1)
        patch.setenv("NORMVIZ_NUM_THREADS", "3")
        together = of_all(many, method, 1, **options)
    for i in (0, 1, 2, 4, 5):  # all but the gradient
        np.testing.assert_array_equal(alone[i], together[i][: shape[0]])
