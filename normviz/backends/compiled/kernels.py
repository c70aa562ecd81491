"""The loops over rows, compiled by numba: the statistics of a set, then its output while it is in the cache.

Sums are taken in float64 of deviations from the first cell of the set, so an offset costs no digit, a constant has a
variance of exactly 0, and no square of a float32 overflows. A set that is larger than a piece is merged from its
pieces in their order. So the digits of a set depend neither on other sets nor on the number of threads.
"""

import numpy as np

from normviz.backends.compiled.machine_code import compiled, part_of_loop
from normviz.backends.compiled.numbers import is_double, load, store, work

FAST = {"reassoc", "contract", "nsz", "arcp"}
"""Sums may be taken in any order; NaN and infinities stay what they are."""

HUGE = 2.0**100
"""Larger float32 numbers may overflow when a mean is subtracted, or have a subnormal inverse with few digits."""
MAX_RATIO = 1e3
"""Largest square of the mean over the variance at which float64 squares have 13 digits left for the variance."""

LENGTH, X, Y, WEIGHT, SET, INNER = range(6)
"""Columns of a plan's table: the length of a loop, and the steps of each operand."""
HEAD, READS, WRITES, START, COLUMNS, LOOPS = range(6)
"""Rows of a plan's table, see `layout.Plan`."""
READ, WRITE, PIECES = 1, 2, 4
"""Tasks, to be added: take the statistics, write the output, and each for single pieces of sets."""


@part_of_loop(forceinline=True, error_model="numpy")
def divide(a, b):
    """Return a // b of integers that are not negative, which is faster for unsigned ones."""
    return np.int64(np.uint64(a) // np.uint64(b))


@part_of_loop(forceinline=True, error_model="numpy")
def locate(index, loops):
    """Return the offset of each operand's cell at the index of a nest of loops, and the innermost loop's length left.

    The offsets are those of x, y, the parameters and the statistics. While the innermost loop lasts, the caller adds
    its `steps`, because a division takes as long as a dozen cells.
    """
    x, y, w, s, left = 0, 0, 0, 0, 1
    for a in range(len(loops) - 1, -1, -1):
        rest = divide(index, loops[a, LENGTH]) if a > 0 else 0
        i = index - rest * loops[a, LENGTH]
        if a == len(loops) - 1:
            left = loops[a, LENGTH] - i
        x += i * loops[a, X]
        y += i * loops[a, Y]
        w += i * loops[a, WEIGHT]
        s += i * loops[a, SET]
        index = rest
    return x, y, w, s, left


@part_of_loop(forceinline=True)
def steps(loops):
    """Return the steps of each operand in the innermost of the loops."""
    if len(loops) == 0:
        return 0, 0, 0, 0
    a = len(loops) - 1
    return loops[a, X], loops[a, Y], loops[a, WEIGHT], loops[a, SET]


@part_of_loop(forceinline=True)
def cuts_of(numbers):
    """Return a row of the table as numbers that the compiler may keep in registers."""
    return numbers[0], numbers[1], numbers[2], numbers[3], numbers[4], numbers[5]


@part_of_loop(forceinline=True, error_model="numpy")
def part_of_row(i, cuts):
    """Return the row of a part, the cells before it in the row, and its cells."""
    if cuts[1] == 1:
        return i, 0, cuts[0]
    row = divide(i, cuts[1])
    done = (i - row * cuts[1]) * cuts[5]
    return row, done, min(cuts[5], cuts[0] - done)


@part_of_loop(forceinline=True, error_model="numpy")
def merge(count, mean, m2, more, other, other_m2):
    """Merge the moments of two parts of a set, as `core.moments.merge_two` does."""
    if count == 0:
        return more, other, other_m2
    total = count + more
    share = more / total
    delta = other - mean
    merged = mean + delta * share
    if not np.isfinite(merged):
        merged = mean * (1 - share) + other * share
    return total, merged, m2 + other_m2 + delta * (count * share) * delta


@part_of_loop(forceinline=True, error_model="numpy")
def variance(mean, m2, size, statistic):
    """Return mean and variance, or 0 and the mean square or squared norm, as `core.moments.mean_and_var` does."""
    var = m2 / size
    if statistic == 0:
        return mean, var
    var = np.inf if np.isinf(mean) else var + mean * mean
    return 0.0, var * size if statistic == 2 else var


@part_of_loop(forceinline=True)
def extreme(mean, rstd):
    """Return whether float32 may lose digits, so that the output is to be computed in float64."""
    return abs(mean) > HUGE or rstd > HUGE or rstd < 1 / HUGE


@part_of_loop(forceinline=True, fastmath=FAST)
def row_sums(x, at, n, first, share):
    """Return the sums of x * share - first and of its square."""
    total = squares = 0.0
    at = np.uint64(at)
    for j in range(np.uint64(n)):
        d = np.float64(load(x, at + j)) * share - first
        total += d
        squares += d * d
    return total, squares


@part_of_loop(forceinline=True, error_model="numpy")
def piece_of_rows(x, start, piece, loops, step_of_rows, cuts):
    """Return count, mean and M2 of one piece of a set."""
    begin, end = piece * cuts[3], min((piece + 1) * cuts[3], cuts[2])
    row, done, n = part_of_row(begin, cuts)
    first, share, step = np.float64(load(x, start + locate(row, loops)[0] + done)), 1.0, 0
    if not np.isfinite(first):
        first = 0.0
    while True:
        total = squares = 0.0
        count, i = 0, begin
        while i < end:
            row, done, n = part_of_row(i, cuts)
            offset, _, _, _, rows = locate(row, loops)
            at, rows = start + offset + done, min(rows, end - i) if cuts[1] == 1 else 1
            for _ in range(rows):
                t, s = row_sums(x, at, n, first, share)
                total += t
                squares += s
                at += step_of_rows
            count += n * rows
            i += rows
        mean = total / count
        m2 = squares - total * mean
        if not is_double(x) or step == 2 or (step == 0 and total * mean <= MAX_RATIO * m2):
            break
        centre = first + mean if step == 0 else total
        if np.isfinite(centre):  # relative to the mean
            first, share, step = centre, 1.0, 2
        elif step == 0:  # a cell is not finite, or the sum of finite ones is beyond float64, which their shares are not
            first, share, step = 0.0, 1 / count, 1
        else:
            return count, centre, np.nan
    if step == 2 and squares == np.inf:
        return count, first, squares
    return count, first + mean, 0.0 if m2 < 0 else m2


@part_of_loop(forceinline=True, fastmath={"contract"})
def write_row(x, p, y, q, n, mean, scale, shift, in_place):
    """Write (x - mean) * scale + shift."""
    p, q, n = np.uint64(p), np.uint64(q), np.uint64(n)
    if in_place:  # said twice, because the compiler knows only here that no cell is written before it is read
        for j in range(n):
            store(y, q + j, (load(y, q + j) - mean) * scale + shift)
    else:
        for j in range(n):
            store(y, q + j, (load(x, p + j) - mean) * scale + shift)


@part_of_loop(forceinline=True, fastmath={"contract"})
def write_weighted_row(x, p, y, q, n, mean, scale, shift, weight, bias, w, in_place):
    """Write ((x - mean) * scale + shift) * weight + bias."""
    p, q, n, w = np.uint64(p), np.uint64(q), np.uint64(n), np.uint64(w)
    if in_place:
        for j in range(n):
            store(y, q + j, ((load(y, q + j) - mean) * scale + shift) * weight[w + j] + bias[w + j])
    else:
        for j in range(n):
            store(y, q + j, ((load(x, p + j) - mean) * scale + shift) * weight[w + j] + bias[w + j])


@compiled(error_model="numpy")
def over_rows(x, y, weight, bias, statistics, table, eps, task, start, end):
    """Do a task on the sets from `start` to `end`, or on so many pieces of sets.

    `statistics` are mean and variance, given, or mean and M2, to be written, of shape (2, sets); or for single pieces
    count, mean and M2, of shape (3, sets * pieces).
    """
    a = LOOPS + table[HEAD, 0]
    b = a + table[HEAD, 1]
    sets, reads, writes = table[LOOPS:a], table[a:b], table[b:]
    read_cuts, cuts, in_place = cuts_of(table[READS]), cuts_of(table[WRITES]), x.ctypes.data == y.ctypes.data
    size, statistic, w_step = table[HEAD, 4], table[HEAD, 5], table[START, INNER]
    parts = read_cuts[4] if task & READ else cuts[4]
    pieces = parts if task & PIECES else 1
    set_x, set_y, set_w, set_step = steps(sets)
    row_x, row_y, row_w, _ = steps(writes)
    step_of_rows = steps(reads)[0]
    u = start
    while u < end:
        s = divide(u, pieces) if pieces > 1 else u
        only = u - s * pieces
        at_x, at_y, at_w, at_set, neighbours = locate(s, sets)
        at_x, at_y, at_w = at_x + table[START, X], at_y + table[START, Y], at_w + table[START, WEIGHT]
        at_set += table[START, SET]
        neighbours = min(neighbours, end - u) if pieces == 1 else 1
        for _ in range(neighbours):
            if task & READ:
                count, mean, m2 = 0, 0.0, 0.0
                for piece in range(only, only + 1 if task & PIECES else parts):
                    n, other, other_m2 = piece_of_rows(x, at_x, piece, reads, step_of_rows, read_cuts)
                    count, mean, m2 = merge(count, mean, m2, n, other, other_m2)
                if task & PIECES:
                    statistics[0, u], statistics[1, u], statistics[2, u] = count, mean, m2
                elif task == READ:
                    statistics[0, at_set], statistics[1, at_set] = mean, m2
                mean, var = variance(mean, m2, size, statistic)
            else:
                mean, var = statistics[0, at_set], statistics[1, at_set]
            if task & WRITE:
                rstd = 1 / np.sqrt(var + eps)
                rounded = work(x, mean)
                rest = np.float64(rounded) - mean  # goes into the term that is added
                special = not is_double(x) and extreme(mean, rstd)
                scale, shift = work(x, rstd), work(x, rest * rstd)
                i, stop = only * cuts[3], min((only + 1) * cuts[3], cuts[2]) if task & PIECES else cuts[2]
                while i < stop:
                    row, done, n = part_of_row(i, cuts)
                    p, q, w, _, rows = locate(row, writes)
                    p, q, w = p + at_x + done, q + at_y + done, w + at_w + done * w_step
                    rows = min(rows, stop - i) if cuts[1] == 1 else 1
                    for _ in range(rows):
                        if special:
                            for j in range(n):
                                v = w + j * w_step
                                store(y, q + j, (np.float64(load(x, p + j)) - mean) * (rstd * weight[v]) + bias[v])
                        elif w_step == 0:
                            a = rstd * weight[w]
                            b = rest * a + bias[w]
                            write_row(x, p, y, q, n, rounded, work(x, a), work(x, b), in_place)
                        else:
                            write_weighted_row(x, p, y, q, n, rounded, scale, shift, weight, bias, w, in_place)
                        p += row_x
                        q += row_y
                        w += row_w
                    i += rows
            at_x += set_x
            at_y += set_y
            at_w += set_w
            at_set += set_step
            u += 1


@compiled(error_model="numpy")
def merged(parts, statistics, table):
    """Merge the moments of the pieces of every set in their order; `parts` are those of single pieces."""
    pieces, sets = table[READS, 4], table[LOOPS : LOOPS + table[HEAD, 0]]
    for s in range(table[HEAD, 3]):
        count, mean, m2 = parts[0, s * pieces], parts[1, s * pieces], parts[2, s * pieces]
        for u in range(s * pieces + 1, (s + 1) * pieces):
            count, mean, m2 = merge(count, mean, m2, parts[0, u], parts[1, u], parts[2, u])
        at = table[START, SET] + locate(s, sets)[3]
        statistics[0, at], statistics[1, at] = mean, m2
