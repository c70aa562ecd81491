"""float16 to float32 and back by integer operations on the bits, which is faster than NumPy's own casts.

float16 ("half") has a sign, 5 bits of exponent and 10 of fraction; float32 ("single") has 8 and 23. The bits of a half,
moved to the places of a single, are its value times 2^-112, because the offsets of the exponents differ by 112. This
holds for subnormal numbers too.
"""

import numpy as np

_MAGNITUDE, _INFINITY, _SIGN = np.int16(0x7FFF), np.int16(0x7C00), np.int16(-0x8000)
_SINGLE_MAGNITUDE, _SINGLE_INFINITY = np.int32(0x7FFFFFFF), np.int32(0x7F800000)
_MOVED = np.int32(0x8FFFE000 - (1 << 32))
_UP, _DOWN = np.float32(2.0**112), np.float32(2.0**-112)


def widen(half: np.ndarray, out: np.ndarray) -> None:
    """Write the values of a float16 array to a float32 array of its shape, exactly."""
    bits = half.view(np.int16)
    if np.bitwise_and(bits, _MAGNITUDE).max() >= _INFINITY:  # infinities and NaN have the largest exponent
        np.copyto(out, half)
        return
    moved = np.left_shift(bits, 13, out=out.view(np.int32), dtype=np.int32)
    np.bitwise_and(moved, _MOVED, out=moved)
    np.multiply(out, _UP, out=out)


def narrow(single: np.ndarray, out: np.ndarray) -> None:
    """Write the values of a float32 array to a float16 array of its shape, rounded to nearest; `single` is overwritten.

    Ties go to even; below 6e-5, where halves are subnormal, a tie may go either way.
    """
    np.multiply(single, _DOWN, out=single)
    bits = single.view(np.int32)
    sign = np.right_shift(bits, 16).astype(np.int16)
    np.bitwise_and(sign, _SIGN, out=sign)
    np.bitwise_and(bits, _SINGLE_MAGNITUDE, out=bits)
    nan = bits > _SINGLE_INFINITY if bits.max(initial=0) > _SINGLE_INFINITY else None
    odd = np.right_shift(bits, 13)
    np.bitwise_and(odd, 1, out=odd)
    np.add(odd, 0xFFF, out=odd)  # half a unit in the last place that is kept, a little less where its bit is 0
    np.add(bits, odd, out=bits)
    np.right_shift(bits, 13, out=bits)
    np.minimum(bits, np.int32(_INFINITY), out=bits)
    result = out.view(np.int16)
    np.bitwise_or(bits, sign, out=result, casting="unsafe")
    if nan is not None:
        out[nan] = np.nan
