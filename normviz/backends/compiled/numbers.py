"""The cells of an array as compiled loops read and write them, with float16 and bfloat16 as float32.

numba has no arithmetic for halves, so arrays of them come in as views of their bits: int16 is float16, uint16 is
bfloat16. float16 has a sign, 5 bits of exponent and 10 of fraction; bfloat16 is the upper half of a float32.
"""

from typing import Any, cast

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic, overload

_instructions = cast("Any", intrinsic)  # its type says that the decorated functions take two arguments
_SHORT, _INT, _FLOAT = ir.IntType(16), ir.IntType(32), ir.FloatType()
_MAGNITUDE, _INFINITY = 0x7FFFFFFF, 0x7F800000


def _int(value: int) -> ir.Constant:
    return ir.Constant(_INT, value)


# These are written as LLVM's instructions, because numba computes integers in 64 bits, which halves the speed.


def _converts_halves(context: Any) -> bool:
    """Return whether the processor has instructions for this; without them LLVM would call functions."""
    return "+f16c" in context.codegen().magic_tuple()[2].split(",")


@_instructions
def _from_float16(_context: Any, _bits: Any) -> Any:
    def code(context: Any, b: Any, _signature: Any, arguments: Any) -> Any:
        if _converts_halves(context):
            return b.fpext(b.bitcast(arguments[0], ir.HalfType()), _FLOAT)
        bits = b.sext(arguments[0], _INT)
        moved = b.and_(b.shl(bits, _int(13)), _int(0x8FFFE000 - (1 << 32)))  # the value times 2^-112
        special = b.icmp_signed(">=", b.and_(bits, _int(0x7FFF)), _int(0x7C00))  # an infinity or NaN
        value = b.fmul(b.bitcast(moved, _FLOAT), ir.Constant(_FLOAT, 2.0**112))
        return b.select(special, b.bitcast(b.or_(moved, _int(_INFINITY)), _FLOAT), value)

    return types.float32(types.int16), code


@_instructions
def _to_float16(_context: Any, _value: Any) -> Any:
    def code(context: Any, b: Any, _signature: Any, arguments: Any) -> Any:
        if _converts_halves(context):
            return b.bitcast(b.fptrunc(arguments[0], ir.HalfType()), _SHORT)
        bits = b.bitcast(arguments[0], _INT)
        size = b.and_(bits, _int(_MAGNITUDE))
        odd = b.and_(b.lshr(size, _int(13)), _int(1))
        moved = b.add(b.add(size, _int(0xFFF - (112 << 23))), odd)
        # Below 2^-14, where float16 has steps of 2^-24: so has float32 from 0.5 on.
        added = b.fadd(b.bitcast(size, _FLOAT), ir.Constant(_FLOAT, 0.5))
        subnormal = b.sub(b.bitcast(added, _INT), _int(0x3F000000))
        result = b.select(b.icmp_unsigned("<", size, _int(0x38800000)), subnormal, b.lshr(moved, _int(13)))
        result = b.select(b.icmp_unsigned(">", result, _int(0x7C00)), _int(0x7C00), result)
        result = b.select(b.icmp_unsigned(">", size, _int(_INFINITY)), _int(0x7E00), result)
        return b.trunc(b.or_(result, b.and_(b.lshr(bits, _int(16)), _int(0x8000))), _SHORT)

    return types.int16(types.float32), code


@_instructions
def _from_bfloat16(_context: Any, _bits: Any) -> Any:
    def code(_context: Any, b: Any, _signature: Any, arguments: Any) -> Any:
        return b.bitcast(b.shl(b.zext(arguments[0], _INT), _int(16)), _FLOAT)

    return types.float32(types.uint16), code


@_instructions
def _to_bfloat16(_context: Any, _value: Any) -> Any:
    def code(_context: Any, b: Any, _signature: Any, arguments: Any) -> Any:
        bits = b.bitcast(arguments[0], _INT)
        odd = b.and_(b.lshr(bits, _int(16)), _int(1))
        result = b.lshr(b.add(b.add(bits, _int(0x7FFF)), odd), _int(16))
        nan = b.icmp_unsigned(">", b.and_(bits, _int(_MAGNITUDE)), _int(_INFINITY))
        return b.trunc(b.select(nan, _int(0x7FC0), result), _SHORT)

    return types.uint16(types.float32), code


def load(row, j):
    """Return cell j of a row: float64 for float64, else float32."""
    raise NotImplementedError("compiled loops only")


def store(row, j, value):
    """Write a number to cell j of a row, rounded to nearest, ties to even."""
    raise NotImplementedError("compiled loops only")


def work(row, value):
    """Return a number in the type that `load` returns for the row."""
    raise NotImplementedError("compiled loops only")


def is_double(row):
    """Return whether the row is float64."""
    raise NotImplementedError("compiled loops only")


def empty(row, shape):
    """Return an array of `shape` of the type that `load` returns for the row."""
    raise NotImplementedError("compiled loops only")


@overload(load, inline="always")
def _load(row, j):
    if row.dtype == types.int16:
        return lambda row, j: _from_float16(row[j])
    if row.dtype == types.uint16:
        return lambda row, j: _from_bfloat16(row[j])
    return lambda row, j: row[j]


@overload(store, inline="always")
def _store(row, j, value):
    def to_float16(row, j, value):
        row[j] = _to_float16(np.float32(value))

    def to_bfloat16(row, j, value):
        row[j] = _to_bfloat16(np.float32(value))

    def to_float(row, j, value):
        row[j] = value

    return {types.int16: to_float16, types.uint16: to_bfloat16}.get(row.dtype, to_float)


@overload(work, inline="always")
def _work(row, value):
    if row.dtype == types.float64:
        return lambda row, value: np.float64(value)
    return lambda row, value: np.float32(value)


@overload(is_double)
def _is_double(row):
    if row.dtype == types.float64:
        return lambda row: True
    return lambda row: False


@overload(empty)
def _empty(row, shape):
    if row.dtype == types.float64:
        return lambda row, shape: np.empty(shape, np.float64)
    return lambda row, shape: np.empty(shape, np.float32)
