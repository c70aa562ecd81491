"""The kernels by themselves: every type, sizes that fit nowhere, and numbers that mean harm."""

import mmap
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from normviz.backends.cuda.kernels import SOURCE, Kernels, reciprocal
from tests.core import stand_in
from tests.cuda import checks, emulate
from tests.cuda.checks import TYPES, agree, normal, on_device, plain
from tests.cuda.conftest import launched
from tests.cuda.mirror import MirroredModule

every_type = pytest.mark.parametrize("dtype", TYPES)


@every_type
@pytest.mark.parametrize(("rows", "L"), [(1, 1), (37, 1), (70, 7), (13, 49), (5, 203), (2, 4099), (1, 20011)])
def test_rows(kernels, dtype, rows, L):
    checks.check_rows(kernels, dtype, rows, L)


@every_type
@pytest.mark.parametrize(
    ("outer", "K", "B"), [(1, 1, 1), (2, 9, 3), (1, 203, 5), (3, 64, 8), (2, 17, 32), (1, 5003, 2)]
)
def test_columns(kernels, dtype, outer, K, B):
    checks.check_columns(kernels, dtype, outer, K, B)


@pytest.mark.parametrize(
    ("outer", "K", "inner"), [(1, 1, 1), (3, 7, 1), (1, 3000, 2), (40, 33, 3), (1, 3, 200), (2, 1, 5)]
)
def test_merge(kernels, outer, K, inner):
    checks.check_merge(kernels, outer, K, inner, 5)


@every_type
@pytest.mark.parametrize(("rows", "L"), [(1, 1), (1, 1001), (33, 1), (9, 7), (5, 203), (4, 64)])
@pytest.mark.parametrize("skip", [0, 1], ids=["aligned", "unaligned"])
def test_affine(kernels, dtype, rows, L, skip):
    checks.check_affine(kernels, dtype, rows, L, skip)


@every_type
@pytest.mark.parametrize(("outer", "K", "B"), [(1, 1, 1), (1, 6, 8), (3, 5, 7), (2, 1, 16), (2, 96, 3), (1, 1, 40)])
@pytest.mark.parametrize("hold", range(3), ids=["columns", "rows, then columns", "columns, then rows"])
def test_affine_grid(kernels, dtype, outer, K, B, hold):
    checks.check_affine_grid(kernels, dtype, outer, K, B, hold)


@pytest.mark.parametrize("case", checks.TABLES)
def test_tables(kernels, case):
    checks.check_table(kernels, *case)


@every_type
@pytest.mark.parametrize("case", checks.GRADIENTS)
def test_gradients(kernels, dtype, case):
    checks.check_gradient(kernels, dtype, *case)


@every_type
def test_gradients_with_constant_statistics(kernels, dtype):
    checks.check_gradient(kernels, dtype, "batch", (3, 4, 7, 5), None, 1, fixed=True)


@every_type
@pytest.mark.parametrize("skip", [1, 2, 3])
def test_rows_and_columns_that_start_anywhere(module, dtype, skip):
    kernels = launched(module)
    values = normal(6 * 150 + skip, dtype)[skip:]
    agree(kernels.rows(on_device(values), 6, 150), values.reshape(6, 150), 1)
    agree(kernels.columns(on_device(values), 1, 150, 6), values.reshape(1, 150, 6), 1)


def test_affine_may_overwrite_its_input(module):
    x = normal((5, 203), "float32")
    y = x.copy()
    _, made = checks.table("float32", 5, 1)
    for target in (x, y):
        launched(module).affine(on_device(y), on_device(target), made)
    np.testing.assert_array_equal(x, y)


SOME = np.random.default_rng(0)
HOSTILE = {
    "N(0,1)": (SOME.normal(0, 1, (3, 2003)), "float32", 1.5e-7),
    "ReLU'd": (SOME.normal(0, 1, (3, 2003)).clip(0), "float32", 1.5e-7),
    "7x7": (SOME.normal(0, 1, (300, 49)), "float32", 1.5e-7),
    "7x7 float16": (SOME.normal(0, 1, (300, 49)), "float16", 1.5e-7),
    "7x7 bfloat16": (SOME.normal(0, 1, (300, 49)), "bfloat16", 1.5e-7),
    "sets of 8": (SOME.normal(0, 1, (900, 8)), "float32", 1.5e-7),
    "1e4 +- 1e-2": (SOME.normal(1e4, 1e-2, (3, 2003)), "float32", 1.5e-7),
    "1e8 +- 1e-2": (SOME.normal(1e8, 1e-2, (3, 49)), "float64", 1e-12),
    "float16 at +-30000": (SOME.choice([-3e4, 3e4], (3, 2003)), "float16", 1.5e-7),
    "float16 subnormal": (SOME.integers(-900, 900, (3, 2003)) * 2.0**-24, "float16", 1.5e-7),
    "1e20": (SOME.uniform(-1e20, 1e20, (3, 2003)), "float32", 1.5e-7),
    "3e38": (SOME.uniform(-3e38, 3e38, (3, 2003)), "float32", 1.5e-7),
    "1e-30": (SOME.uniform(-1e-30, 1e-30, (3, 2003)), "float32", 1.5e-7),
    "float32 subnormal": (SOME.integers(-900, 900, (3, 2003)) * 2.0**-149, "float32", 1.5e-7),
    "bfloat16 1e20": (SOME.uniform(-1e20, 1e20, (3, 2003)), "bfloat16", 1.5e-7),
    "bfloat16 1e-30": (SOME.uniform(-1e-30, 1e-30, (3, 2003)), "bfloat16", 1.5e-7),
    "one outlier, first": (np.hstack([np.full((3, 1), 1e4), SOME.choice([0.1, 0.3], (3, 2003))]), "float32", 1e-6),
    "one outlier, float64": (np.hstack([np.full((3, 1), 1e8), SOME.normal(0, 1, (3, 9000))]), "float64", 1e-12),
    "one outlier, 49": (np.hstack([np.full((3, 1), 1e3), SOME.choice([0.1, 0.3], (3, 48))]), "float16", 1e-6),
    "a ramp": (np.linspace(-1, 5, 6009).reshape(3, 2003), "float32", 1.5e-7),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_numbers(module, name):
    values, dtype, rtol = HOSTILE[name]
    x = values.astype(TYPES[dtype])
    rows, L = x.shape
    agree(launched(module).rows(on_device(x), rows, L), x, 1, rtol)
    columns = np.ascontiguousarray(x.T)
    agree(launched(module).columns(on_device(columns), 1, L, rows), columns[None], 1, rtol)


@every_type
@pytest.mark.parametrize("value", [0.1, 1 / 3, -3e4, 0.0, 6e-8, 1e30, 3e38])
def test_a_constant_has_an_m2_of_exactly_zero(kernels, dtype, value):
    with np.errstate(over="ignore"):
        x = np.full((3, 5003), value).astype(TYPES[dtype])
    if not np.isfinite(x.astype(float)).all():
        return  # float16 ends at 65504
    columns = np.ascontiguousarray(x.T)
    for atoms in (kernels.rows(on_device(x), 3, 5003), kernels.columns(on_device(columns), 1, 5003, 3)):
        assert (plain(atoms)[:, 1] == 0).all()
        assert (plain(atoms)[:, 0] == float(x[0, 0])).all()
        merged = plain(kernels.merge(atoms, 1, 3, 1, 5003))
        np.testing.assert_array_equal(merged, [[float(x[0, 0]), 0]])


@every_type
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("at", [0, 700, 1002])
def test_what_is_not_finite_stays_in_its_row(kernels, dtype, bad, at):
    x = normal((8, 1003), dtype)
    x[7] = 5
    y = x.copy()
    y[3, at] = bad
    for read in (
        lambda a: kernels.rows(on_device(a), 8, 1003),
        lambda a: kernels.columns(on_device(a.T.copy()), 1, 1003, 8),
    ):
        clean, found = plain(read(x)), plain(read(y))
        assert not np.isfinite(found[3]).any()
        np.testing.assert_array_equal(np.delete(found, 3, 0), np.delete(clean, 3, 0))
        assert found[7, 1] == 0


def reserved(size):
    """Zeros of float16 in addresses alone: the system gives memory to a page of them when it is touched."""
    if sys.platform != "linux":
        return np.zeros(size, np.float16)
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | getattr(mmap, "MAP_NORESERVE", 0x4000)
    return np.frombuffer(mmap.mmap(-1, 2 * size, flags=flags), np.float16)


def test_more_than_2_to_the_31_cells(module):
    """Only the last blocks run, on memory that is never touched elsewhere, and so never there."""
    size = 2**31 + 40_000
    x = on_device(reserved(size))
    kernels = launched(module, 1 << 30)
    splits, step, _ = kernels.plan_rows(1, size, x.dtype)
    tail = normal(size - (splits - 1) * step, "float16")
    x[-len(tail) :] = on_device(tail)
    launch = []
    kernels._run = lambda name, threads, *arguments: launch.append((name, threads, arguments))
    kernels.merge = lambda atoms, *_: atoms
    atoms = kernels.rows(x, 1, size)
    ((name, threads, arguments),) = launch
    del kernels._run
    module.blocks = lambda grid: (grid - 1, grid)
    try:
        kernels._run(name, threads, *arguments)
        agree(plain(atoms)[-1:, 1:], tail[None], 1)
        y, rows = on_device(reserved(size)), checks.table("float16", 2, 1)[1]
        module.blocks = lambda grid: (0, 1)  # which writes the end
        kernels.affine(x, y, rows)
        _, less, scale, shift = plain(rows)[4:]
        checks.close(plain(y)[-100:], scale * (tail[-100:].astype(float) + less) + shift)
    finally:
        module.blocks = None


def test_division_by_reciprocals(emulation):
    cases = [
        (e, L)
        for L in (2, 3, 7, 49, 12_544, 2**31 - 1, 2**40 + 1)
        for q in (0, 1, 5, 2**20)
        for e in (q * L, q * L + L - 1)
    ]
    for e, L in [*cases, (2**62, 3), (2**62 - 1, 2**31 + 11)]:
        arguments = (
            emulate.ctypes.c_int64(e),
            emulate.ctypes.c_int64(L),
            emulate.ctypes.c_uint64(int(reciprocal(L, 9))),
        )
        emulation.library.quotient_.restype = emulate.ctypes.c_int64
        assert emulation.library.quotient_(*arguments) == e // L


@pytest.mark.parametrize("dtype", TYPES)
def test_plans_cover_every_value_once(dtype):
    for threads in (64, 2048, 1 << 18):
        plan = Kernels(None, None, threads)
        for count in (1, 2, 1000, 10**7):
            for L in (1, 2, 49, 1000, 12_544, 10**6, 10**9):
                splits, step, team = plan.plan_rows(count, L, np.dtype(TYPES[dtype]))
                assert (splits - 1) * step < L <= splits * step
                assert team in (1, 2, 4, 8, 16, 32)
                splits, step = plan.plan_columns(count, L, np.dtype(TYPES[dtype]))
                assert (splits - 1) * step < L <= splits * step


# A fault for each right piece of the source: WRONG is true where that fault is switched on.
FAULTS = {
    "the weight of a merge": ("? bn / total", "? (WRONG ? n : bn) / total"),
    "the M2 between atoms": ("m2 += bm2 + d * (d * (n * w));", "m2 += WRONG ? bm2 : bm2 + d * (d * (n * w));"),
    "a centre taken for the mean": ("scale, centred);", "scale, WRONG ? less : centred);"),
    "the first values of a row": ("before = j == 0 ? skew : 0", "before = j == 0 && !WRONG ? skew : 0"),
    "where a row ends": ("+ len, vecs", "+ len - WRONG, vecs"),
    "a row's neighbour": ("q * L > e ? q - 1 : q", "WRONG ? q + 1 : q * L > e ? q - 1 : q"),
    "the sum of a team": (
        "for (int o = team >> 1; o; o >>= 1) {\n            s +=",
        "for (int o = team >> (1 + WRONG); o; o >>= 1) {\n            s +=",
    ),
    "the rest of a column": ("len - k < U ? int(len - k) : U", "len - k < U && !WRONG ? int(len - k) : U"),
    "the last values of affine": ("if (blockIdx.x == 0 && vecs * W", "if (blockIdx.x == WRONG && vecs * W"),
    "a table for every K rows": ("c = table * period", "c = (WRONG ? 0 : table) * period"),
    "columns that repeat": (
        "% period;\n            if (HOLD == 1) scaled",
        "% (WRONG ? 1 : period);\n            if (HOLD == 1) scaled",
    ),
    "the rows of a thread": (
        "k -= lanes * U) {\n            Vec<T, W> v[U];",
        "k -= lanes * (U + WRONG)) {\n            Vec<T, W> v[U];",
    ),
    "weight and bias after the statistics": ("if (HOLD) d =", "if (HOLD && !WRONG) d ="),
    "the range of float32, above": ("factor = 0x1p-24;", "factor = WRONG ? 1.0 : 0x1p-24;"),
    "the range of float32, below": ("factor = 0x1p64;", "factor = WRONG ? 1.0 : 0x1p64;"),
    "a tile of equal values": ("if (!different) break;", "if (!different || WRONG) break;"),
    "a slope's weight, by columns": ("if (HOLD == 1) of *=", "if (HOLD == 1 && !WRONG) of *="),
    "a slope's weight, by rows": ("HOLD == 2 ? wide(weights", "HOLD == 2 && !WRONG ? wide(weights"),
    "a slope's set, by columns": ("if (HOLD == 2) set = sets[c];", "if (HOLD == 2) set = sets[WRONG ? 0 : c];"),
    "a slope's set, by rows": ("if (HOLD == 1) set[0] =", "if (HOLD == 1 && !(WRONG && k + u)) set[0] ="),
    "sums of a row's pieces": ("sums[2 * piece + 1] = total.q;", "sums[2 * piece + 1] = WRONG ? total.s : total.q;"),
    "where a column's piece ends": ("stop = lo + step < K ?", "stop = lo + step < K && !WRONG ?"),
    "a row of slopes": ("lo + step < B ? step", "lo + step < B && !WRONG ? step"),
    "the rows of slopes of a thread": (
        "k -= lanes * U) {\n            Vec<T, W> v[U], d[U];",
        "k -= lanes * (U + WRONG)) {\n            Vec<T, W> v[U], d[U];",
    ),
    "the mean of a slope": ("d[u].v[w]), less.plain)", "d[u].v[w]), WRONG ? A(0) : less.plain)"),
    "what rounding takes from it": (", less.rest);", ", WRONG ? A(0) : less.rest);"),
    "the mean with x_hat": ("less.with_x_hat, of)", "WRONG ? A(0) : less.with_x_hat, of)"),
    "the factor of a slope": ("one.scale), one.factor)", "one.scale), WRONG ? A(1) : one.factor)"),
    "the set of an entry": ("i / table.cells[axis] * table", "i / table.cells[axis] / (1 + WRONG) * table"),
    "the type of a parameter": ("if (type == 0)", "if (type == 0 || (WRONG && type == 1))"),
    "the mean square": ("var += mean * mean;", "var += WRONG ? mean : mean * mean;"),
    "the sum of squares": ("if (kind == 2)", "if (kind == 2 + WRONG)"),
    "what rounding takes from a mean": ("(-mean - wide(less)) * scale", "(-mean - wide(less)) * (WRONG ? 0 : scale)"),
    "more than a row holds": ("end = skew", "end = (WRONG ? W : 0) + skew"),
    "lanes that part before a shuffle": ("sums.join(team);", "if (!WRONG || piece < count) sums.join(team);"),
}
NUMBERS = {name: number for number, name in enumerate(FAULTS, 1)}
# These read memory of others, or end elsewhere than in wrong numbers.
APART = ("more than a row holds", "lanes that part before a shuffle")


@pytest.fixture(scope="module")
def faulty(emulation):
    """Build all faults at once, each to be switched on by its number."""
    source = SOURCE
    for name, (right, wrong) in FAULTS.items():
        assert source.count(right) == 1, name
        source = source.replace(right, wrong.replace("WRONG", f"(fault == {NUMBERS[name]})"))
    return emulate.build(f'extern "C" {{ int fault = 0; }}\n{source}')


@pytest.fixture
def switch(faulty):
    """Switch one fault on by its name, for this test."""
    fault = emulate.ctypes.c_int.in_dll(faulty.library, "fault")
    yield lambda name: setattr(fault, "value", NUMBERS[name])
    fault.value = 0


@pytest.fixture(scope="module")
def judged(faulty):
    """By number, what the checks say of each fault; "killed" where it ended the process."""
    said, left = {}, [str(NUMBERS[name]) for name in FAULTS if name not in APART]
    while left:
        command = [sys.executable, "-m", "tests.cuda.faults", faulty.library._name, *left]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        said |= dict(line.split() for line in done.stdout.splitlines())
        left = left[len(done.stdout.splitlines()) :]
        if left:
            assert done.returncode < 0, done.stderr
            said[left.pop(0)] = "killed"
    return said


@pytest.mark.parametrize("name", [name for name in FAULTS if name not in APART])
def test_a_wrong_kernel_is_caught(judged, name):
    assert judged[str(NUMBERS[name])] in ("caught", "killed")


def test_lanes_that_part_before_a_shuffle_are_caught(faulty, switch):
    switch("lanes that part before a shuffle")
    with pytest.raises(emulate.Diverged):
        checks.check_rows(launched(faulty), "float32", 3, 20)


def test_the_right_kernel_passes(module, faulty):
    for right in (module, faulty):
        checks.check_all(launched(right))


def test_kernels_elsewhere_see_the_arrays_through_a_mirror(emulation):
    """As on a GPU, with the emulation in its place."""
    mirrored = MirroredModule(SimpleNamespace(xp=stand_in.module(), module=lambda key: emulation))
    checks.check_all(launched(mirrored))
    assert len(mirrored.launched) > 10


def edges(built, fault=0):
    command = [sys.executable, "-m", "tests.cuda.edges", built.library._name, str(fault)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_nothing_is_read_or_written_outside_the_array(faulty):
    done = edges(faulty)
    assert done.returncode == 0, done.stderr
    assert edges(faulty, NUMBERS["more than a row holds"]).returncode < 0  # killed, as it read on
