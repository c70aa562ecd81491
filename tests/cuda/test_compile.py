"""The kernels through CUDA's own compiler, to machine code for every generation of GPU; that needs no GPU."""

import importlib.util
import os
import re
from pathlib import Path

import pytest

from normviz.backends.cuda.kernels import HEADERS, OPTIONS, SOURCE, instances

# Turing (T4), Ampere (A100), Hopper (H100, H200), Blackwell in servers (B200) and in desktops.
ARCHITECTURES = (75, 80, 90, 100, 120)


@pytest.fixture(scope="module")
def nvrtc():
    try:
        from cupy.cuda import nvrtc

        nvrtc.getVersion()
    except Exception as error:
        pytest.skip(f"the CUDA source was not compiled by NVRTC: {type(error).__name__}: {error}")
    if include() is None:
        pytest.skip("the CUDA source was not compiled by NVRTC: cuda_fp16.h is nowhere to be found")
    return nvrtc


def include():
    """The folder of CUDA's headers: of the wheels that cupy-cuda1Xx[ctk] brings, or of a toolkit."""
    folders = [Path(os.environ.get("CUDA_PATH", "/usr/local/cuda"))]
    for name in ("nvidia.cu13", "nvidia.cuda_runtime"):
        try:
            spec = importlib.util.find_spec(name)
        except ModuleNotFoundError:
            continue
        folders += map(Path, spec.submodule_search_locations if spec else ())
    return next((f / "include" for f in folders if (f / "include" / "cuda_fp16.h").exists()), None)


def compiled(nvrtc, source, architecture, names=None, quick=True, ptx=False, log=None):
    """The machine code, hardly optimized if `quick`; AssertionError with the compiler's words where there is none.

    It is compiled as by CuPy, which adds -ftz=true after the options it is given. What ptxas says is added to `log`.
    """
    names = names or [name for names in instances().values() for name in names]
    fast = ("--Ofast-compile=max",) if quick and nvrtc.getVersion() >= (13, 0) else ()
    options = (*OPTIONS, *fast, "-ftz=true", *([] if log is None else ["--ptxas-options=-v"]))
    program = nvrtc.createProgram(HEADERS + source, "kernels.cu", (), ())
    try:
        for name in names:
            nvrtc.addNameExpression(program, name)
        try:
            nvrtc.compileProgram(
                program, (f"-arch={'compute' if ptx else 'sm'}_{architecture}", *options, f"-I{include()}")
            )
        except nvrtc.NVRTCError as error:
            raise AssertionError(nvrtc.getProgramLog(program) or error) from None
        if log is not None:
            log.append(nvrtc.getProgramLog(program))
        assert all(nvrtc.getLoweredName(program, name) for name in names)
        return nvrtc.getPTX(program) if ptx else nvrtc.getCUBIN(program)
    finally:
        nvrtc.destroyProgram(program)


# What a generation lacks is an error whether the code is optimized or not, which takes much longer.
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_kernel_compiles(nvrtc, architecture):
    if architecture not in nvrtc.getSupportedArchs():
        pytest.skip(f"this NVRTC, {nvrtc.getVersion()}, does not know sm_{architecture}")
    code = compiled(nvrtc, SOURCE, architecture)
    assert code.startswith(b"\x7fELF")
    kernels = (b"moments", b"column_moments", b"merge", b"table", b"affine", b"affine_grid")
    for kernel in (*kernels, b"row_slopes", b"column_slopes", b"slopes"):
        assert kernel in code


def test_the_largest_kernels_keep_everything_in_registers(nvrtc):
    """Spilled registers cost bandwidth; these kernels keep 4 or 8 loads of 16 bytes, or the parameters of 8 columns."""
    names = ["moments<__nv_bfloat16,float,4>", "moments<float,float,4>", "affine_grid<__nv_bfloat16,8,4,0>"]
    log = []
    compiled(nvrtc, SOURCE, 90, [*names, "slopes<__nv_bfloat16,8,2,0>"], quick=False, log=log)
    spilled = [int(n) for n in re.findall(r"(\d+) bytes spill stores", log[0])]
    assert len(spilled) >= 4
    assert sum(spilled) == 0


def flushing(ptx):
    """The instructions that take subnormal floats for 0. A comparison may: none of its limits is near 0."""
    text = ptx.decode() if isinstance(ptx, bytes) else ptx
    return sorted({word for word in text.split() if ".ftz" in word and not word.startswith("setp.")})


@pytest.mark.parametrize("architecture", [75, 90])  # without instructions for bfloat16, and with all of them
def test_no_instruction_takes_subnormals_for_zero(nvrtc, architecture):
    assert flushing(compiled(nvrtc, SOURCE, architecture, ptx=True)) == []


def test_an_instruction_that_takes_subnormals_for_zero_is_caught(nvrtc):
    for right, wrong in (
        ("return __fmaf_ieee_rn(a, b, c);", "return a * b + c;"),
        ('asm("cvt.f64.f32 %0, %1;" : "=d"(d) : "f"(v));', "d = v;"),
        ('asm("cvt.rn.f32.f64 %0, %1;" : "=f"(f) : "d"(v));', "f = v;"),
    ):
        assert SOURCE.count(right) == 1
        names = instances()["float"] + instances()[""]
        assert flushing(compiled(nvrtc, SOURCE.replace(right, wrong), 80, names, ptx=True))


BROKEN = {
    "a missing semicolon": ("m2 = plus(m2, squares);", "m2 = plus(m2, squares)"),
    "a wrong type": ("const i64 count = rows * splits, teams", "const Sums count = rows * splits, teams"),
    "a function that is not there": ("__umul64hi((u64)e", "__umul65hi((u64)e"),
    "a conversion that float16 lacks": ("return __half2float(v)", "return __half2double(v)"),
    "an argument too few": ("sums.join(team);", "sums.join();"),
    "a kernel that has another name": ("\nmerge(const double", "\nmerged(const double"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_kernel_is_caught(nvrtc, name):
    old, new = BROKEN[name]
    source = SOURCE
    assert source.count(old) == 1
    with pytest.raises(AssertionError, match="error"):
        compiled(nvrtc, source.replace(old, new), 90)


@pytest.mark.parametrize("name", ["moment<float,float,4>", "moments<float16,float,4>", "affine<float,4>"])
def test_a_wrong_instance_is_caught(nvrtc, name):
    with pytest.raises(AssertionError, match="error"):
        compiled(nvrtc, SOURCE, 90, [name])
