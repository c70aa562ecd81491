"""float16 to float32 and back by the bits: NumPy's own casts are slower.

A half is sign, 5 bits of exponent, 10 of fraction; a single has 8 and 23. Moved to the single's places, a half's bits
are its value times 2^-112, the difference of the two exponents' offsets, also where it is subnormal.
"""

import numpy as np

_MAGNITUDE, _INFINITY, _SIGN = np.int16(0x7FFF), np.int16(0x7C00), np.int16(-0x8000)
_SINGLE_MAGNITUDE, _SINGLE_INFINITY = np.int32(0x7FFFFFFF), np.int32(0x7F800000)
_MOVED = np.int32(0x8FFFE000 - (1 << 32))
_UP, _DOWN = np.float32(2.0**112), np.float32(2.0**-112)


def widen(half: np.ndarray, out: np.ndarray) -> None:
    """Write the values of a float16 array to a float32 array of its shape, exactly."""
    bits = half.view(np.int16)
    if np.bitwise_and(bits, _MAGNITUDE).max() >= _INFINITY:  # infinities and NaN: the exponent's top means more
        np.copyto(out, half)
        return
    moved = np.left_shift(bits, 13, out=out.view(np.int32), dtype=np.int32)
    np.bitwise_and(moved, _MOVED, out=moved)
    np.multiply(out, _UP, out=out)


def narrow(single: np.ndarray, out: np.ndarray) -> None:
    """Write the values of a float32 array, which is used up, to a float16 array of its shape, rounded to nearest.

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
    np.add(odd, 0xFFF, out=odd)  # half of what is cut off, a little less where the last digit kept is even
    np.add(bits, odd, out=bits)
    np.right_shift(bits, 13, out=bits)
    np.minimum(bits, np.int32(_INFINITY), out=bits)
    result = out.view(np.int16)
    np.bitwise_or(bits, sign, out=result, casting="unsafe")
    if nan is not None:
        out[nan] = np.nan
