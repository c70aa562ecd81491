"""The loops over rows, compiled by numba: statistics of a set, then its output while the set is in the cache.

Sums are taken in float64 of deviations from the first cell of the piece, so an offset costs no digit, a constant has a
variance of exactly 0, and no square of a float32 overflows. A set that is larger than a piece is merged from its
pieces in their order.
"""

import numpy as np
from numba import njit, types
from numba.extending import overload

from normviz.backends.compiled.layout import CELLS
from normviz.backends.compiled.machine_code import compiled

FAST = {"reassoc", "contract", "nsz", "arcp"}
"""Sums may be taken in any order; NaN and infinities stay what they are."""

HUGE = 2.0**100
"""Larger float32 numbers may overflow when a mean is subtracted, or have a subnormal inverse with few digits."""
MAX_RATIO = 1e3
"""Largest square of the mean over the variance at which float64 squares have 13 digits left for the variance."""

LENGTH, X, Y, WEIGHT, BIAS, SET = range(6)
"""Columns of the loops in a plan's table."""
HEAD, READS, WRITES, START, INNER, LOOPS = range(6)
"""Rows of the table: how many loops of each kind, sets, cells, statistic; cuts; first cells; innermost steps; loops."""
OWN, GIVEN, MOMENTS, MOMENTS_OF_PIECES, GIVEN_TO_PIECES = range(5)
"""Tasks: normalize by x's own statistics, or by given ones; return mean and M2; or one of these on single pieces."""
BY_PIECE = MOMENTS_OF_PIECES


@njit(nogil=True)
def locate(index, loops, operand):
    """Return the offset of an operand's cell at the index of a nest of loops."""
    offset = 0
    for a in range(len(loops) - 1, 0, -1):
        rest = index // loops[a, LENGTH]
        offset += (index - rest * loops[a, LENGTH]) * loops[a, operand]
        index = rest
    if len(loops) > 0:
        offset += index * loops[0, operand]
    return offset


@njit(nogil=True, fastmath=FAST)
def row_sums(row, first):
    """Return the sums of the deviations from `first` and of their squares."""
    total = squares = 0.0
    for j in range(len(row)):
        d = np.float64(row[j]) - first
        total += d
        squares += d * d
    return total, squares


@njit(nogil=True, error_model="numpy")
def piece_sums(x, start, first, piece, loops, cuts):
    """Return the count and the sums of one piece of a set."""
    length, parts, count, each = cuts[0], cuts[1], cuts[2], cuts[3]
    total = squares = 0.0
    cells = 0
    for i in range(piece * each, min((piece + 1) * each, count)):
        row = i // parts
        done = (i - row * parts) * CELLS
        at = start + locate(row, loops, X) + done
        n = min(CELLS, length - done)
        t, s = row_sums(x[at : at + n], first)
        total += t
        squares += s
        cells += n
    return cells, total, squares


@njit(nogil=True, error_model="numpy")
def piece_moments(x, start, piece, loops, cuts):
    """Return count, mean and M2 of one piece of a set."""
    i = piece * cuts[3]
    row = i // cuts[1]
    first = np.float64(x[start + locate(row, loops, X) + (i - row * cuts[1]) * CELLS])
    if not np.isfinite(first):
        first = 0.0
    n, total, squares = piece_sums(x, start, first, piece, loops, cuts)
    mean = total / n
    m2 = squares - total * mean
    centre = first + mean
    if x.itemsize == 8 and not total * mean <= MAX_RATIO * m2:
        if not np.isfinite(centre):  # a cell is infinite or NaN, or the sum of finite ones is beyond float64
            centre = mean_of_shares(x, start, n, piece, loops, cuts)
        if np.isfinite(centre):
            n, total, squares = piece_sums(x, start, centre, piece, loops, cuts)
            m2 = squares - total * (total / n) if squares < np.inf else np.inf
            centre += total / n if squares < np.inf else 0.0
    return n, centre, 0.0 if m2 < 0 else m2


@njit(nogil=True, error_model="numpy")
def mean_of_shares(x, start, n, piece, loops, cuts):
    """Return the mean of a piece as the sum of its cells, each divided by their number, which never overflows."""
    mean = 0.0
    for i in range(piece * cuts[3], min((piece + 1) * cuts[3], cuts[2])):
        row = i // cuts[1]
        done = (i - row * cuts[1]) * CELLS
        at = start + locate(row, loops, X) + done
        for j in range(min(CELLS, cuts[0] - done)):
            mean += x[at + j] / n
    return mean


@njit(nogil=True, error_model="numpy")
def merge(count, mean, m2, more, other, other_m2):
    """Merge the moments of two parts of a set, as `core.moments.merge_two` does."""
    total = count + more
    share = more / total
    delta = other - mean
    merged = mean + delta * share
    if not np.isfinite(merged):
        merged = mean * (1 - share) + other * share
    return total, merged, m2 + other_m2 + delta * (count * share) * delta


@compiled(error_model="numpy")
def merged(parts, statistics, table):
    """Merge the moments of the pieces of every set in their order, as `set_moments` does.

    `parts` are count, mean and M2 of every piece, of shape (3, sets * pieces).
    """
    pieces, sets = table[READS, 4], table[LOOPS : LOOPS + table[HEAD, 0]]
    for s in range(table[HEAD, 3]):
        count, mean, m2 = parts[0, s * pieces], parts[1, s * pieces], parts[2, s * pieces]
        for u in range(s * pieces + 1, (s + 1) * pieces):
            count, mean, m2 = merge(count, mean, m2, parts[0, u], parts[1, u], parts[2, u])
        at = table[START, SET] + locate(s, sets, SET)
        statistics[0, at], statistics[1, at] = mean, m2


@njit(nogil=True, error_model="numpy")
def set_moments(x, start, loops, cuts):
    """Return mean and M2 of a set, merged from its pieces."""
    count, mean, m2 = piece_moments(x, start, 0, loops, cuts)
    for piece in range(1, cuts[4]):
        count, mean, m2 = merge(count, mean, m2, *piece_moments(x, start, piece, loops, cuts))
    return mean, m2


def work(x, value):
    """Return a number in the type that the output of x is computed in: float64 for float64, else float32."""
    return np.float64(value) if x.itemsize == 8 else np.float32(value)


@overload(work)
def _work(x, value):
    if x.dtype == types.float64:
        return lambda x, value: np.float64(value)
    return lambda x, value: np.float32(value)


@njit(nogil=True, fastmath={"contract"})
def row_scaled(row, y, mean, scale, shift):
    """Write (row - mean) * scale + shift."""
    for j in range(len(row)):
        y[j] = (row[j] - mean) * scale + shift


@njit(nogil=True, fastmath={"contract"})
def row_affine(row, y, mean, scale, shift, weight, w_step, bias, b_step):
    """Write ((row - mean) * scale + shift) * weight + bias with a weight or a bias of its own for each cell."""
    if w_step == 0:
        scale, shift = work(row, scale * weight[0]), work(row, shift * weight[0])
        for j in range(len(row)):
            y[j] = (row[j] - mean) * scale + (shift + work(row, bias[j]))
    elif b_step == 0:
        b = work(row, bias[0])
        for j in range(len(row)):
            y[j] = ((row[j] - mean) * scale + shift) * work(row, weight[j]) + b
    else:
        for j in range(len(row)):
            y[j] = ((row[j] - mean) * scale + shift) * work(row, weight[j]) + work(row, bias[j])


@njit(nogil=True)
def row_exact(row, y, mean, rstd, weight, w_step, bias, b_step):
    """Write the output cell by cell in float64, for numbers near the ends of float32."""
    for j in range(len(row)):
        y[j] = (np.float64(row[j]) - mean) * rstd * weight[j * w_step] + bias[j * b_step]


@njit(nogil=True, error_model="numpy")
def write_piece(x, y, weight, bias, starts, mean, rstd, piece, table, loops):
    """Write the output of one piece of a set."""
    cuts, w_step, b_step = table[WRITES], table[INNER, WEIGHT], table[INNER, BIAS]
    length, parts, count, each = cuts[0], cuts[1], cuts[2], cuts[3]
    rounded = work(x, mean)
    rest = np.float64(rounded) - mean
    extreme = abs(mean) > HUGE or rstd > HUGE or rstd < 1 / HUGE
    for i in range(piece * each, min((piece + 1) * each, count)):
        row = i // parts
        done = (i - row * parts) * CELLS
        n = min(CELLS, length - done)
        at_x = starts[X] + locate(row, loops, X) + done
        at_y = starts[Y] + locate(row, loops, Y) + done
        w = weight[starts[WEIGHT] + locate(row, loops, WEIGHT) + done * w_step :]
        b = bias[starts[BIAS] + locate(row, loops, BIAS) + done * b_step :]
        source, target = x[at_x : at_x + n], y[at_y : at_y + n]
        if extreme:
            row_exact(source, target, mean, rstd, w, w_step, b, b_step)
        elif w_step == 0 and b_step == 0:
            scale = rstd * w[0]
            row_scaled(source, target, rounded, work(x, scale), work(x, rest * scale + b[0]))
        else:
            row_affine(source, target, rounded, work(x, rstd), work(x, rest * rstd), w, w_step, b, b_step)


@compiled(error_model="numpy")
def over_rows(x, y, weight, bias, statistics, table, eps, task, start, end):
    """Do a task on the sets from `start` to `end`, or on the pieces where the task is on single pieces.

    `statistics` are mean and variance, given or to be written (M2 then), of shape (2, sets); or for single pieces
    count, mean and M2, of shape (3, sets * pieces).
    """
    head = table[HEAD]
    sets = table[LOOPS : LOOPS + head[0]]
    reads = table[LOOPS + head[0] : LOOPS + head[0] + head[1]]
    writes = table[LOOPS + head[0] + head[1] :]
    pieces = 1 if task < BY_PIECE else table[READS, 4] if task == MOMENTS_OF_PIECES else table[WRITES, 4]
    starts = np.empty(6, np.int64)
    for u in range(start, end):
        s = u // pieces
        for operand in range(X, SET + 1):
            starts[operand] = table[START, operand] + locate(s, sets, operand)
        at = starts[SET]
        if task == MOMENTS_OF_PIECES:
            moments = piece_moments(x, starts[X], u - s * pieces, reads, table[READS])
            statistics[0, u], statistics[1, u], statistics[2, u] = moments
            continue
        if task in (OWN, MOMENTS):
            mean, m2 = set_moments(x, starts[X], reads, table[READS])
            if task == MOMENTS:
                statistics[0, at], statistics[1, at] = mean, m2
                continue
            var = m2 / head[4]
            if head[5] > 0:
                var = np.inf if np.isinf(mean) else var + mean * mean
                mean = 0.0
            if head[5] > 1:
                var *= head[4]
        else:
            mean, var = statistics[0, at], statistics[1, at]
        rstd = 1 / np.sqrt(var + eps)
        if task == GIVEN_TO_PIECES:
            write_piece(x, y, weight, bias, starts, mean, rstd, u - s * pieces, table, writes)
        else:
            for piece in range(table[WRITES, 4]):
                write_piece(x, y, weight, bias, starts, mean, rstd, piece, table, writes)
