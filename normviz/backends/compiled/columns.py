"""The loops over columns, compiled by numba: neighbouring cells belong to different sets."""

import numpy as np

from normviz.backends.compiled.kernels import (
    COLUMNS,
    HEAD,
    INNER,
    LOOPS,
    MAX_RATIO,
    PIECES,
    READ,
    READS,
    SET,
    START,
    WEIGHT,
    WRITE,
    WRITES,
    X,
    Y,
    cuts_of,
    divide,
    extreme,
    locate,
    merge,
    part_of_row,
    steps,
    variance,
)
from normviz.backends.compiled.machine_code import compiled, part_of_loop
from normviz.backends.compiled.numbers import empty, is_double, load, store, work


@part_of_loop(forceinline=True)
def copy_line(x, at, n, lines, to):
    """Copy a line, because processors fetch memory ahead for one line at a time, not for four side by side."""
    at, to = np.uint64(at), np.uint64(to)
    for j in range(np.uint64(n)):
        lines[to + j] = load(x, at + j)


@part_of_loop(forceinline=True, fastmath={"contract"})
def add_lines(lines, n, first, total, squares):
    """Add four lines to the sums down every column, relative to the first cells."""
    n = np.uint64(n)
    b, c, d = n, n + n, n + n + n
    for j in range(n):
        k = first[j]
        e, f = np.float64(lines[j]) - k, np.float64(lines[b + j]) - k
        g, h = np.float64(lines[c + j]) - k, np.float64(lines[d + j]) - k
        total[j] += (e + f) + (g + h)
        squares[j] += (e * e + f * f) + (g * g + h * h)


@part_of_loop(forceinline=True, fastmath={"contract"})
def add_line(x, a, n, first, total, squares):
    """Add one line to the sums down every column."""
    a = np.uint64(a)
    for j in range(np.uint64(n)):
        d = np.float64(load(x, a + j)) - first[j]
        total[j] += d
        squares[j] += d * d


@part_of_loop(forceinline=True, fastmath={"contract"})
def write_line(x, p, y, q, n, mean, scale, shift, weight, bias, in_place):
    """Write ((x - mean) * scale + shift) * weight + bias with a mean, scale and shift for each column."""
    p, q, n = np.uint64(p), np.uint64(q), np.uint64(n)
    if in_place:
        for j in range(n):
            store(y, q + j, ((load(y, q + j) - mean[j]) * scale[j] + shift[j]) * weight + bias)
    else:
        for j in range(n):
            store(y, q + j, ((load(x, p + j) - mean[j]) * scale[j] + shift[j]) * weight + bias)


@part_of_loop(forceinline=True, error_model="numpy")
def mean_of_shares(x, start, width, sets, each, j, begin, end, loops, cuts, count):
    """Return the mean of the columns of set j from shares of its cells, which never overflow."""
    mean = 0.0
    for i in range(begin, end):
        row, done, n = part_of_row(i, cuts)
        at = start + locate(row, loops)[0] + done
        for c in range(min(n, width)):
            if c // each % sets == j:
                mean += load(x, at + c) / count
    return mean


@part_of_loop(forceinline=True, error_model="numpy")
def piece_of_columns(x, start, width, sets, each, piece, loops, step_of_lines, cuts, sums, found, lines):
    """Write mean and M2 of one piece of every set of a strip to found[1] and found[2], and return the count."""
    begin, end = piece * cuts[3], min((piece + 1) * cuts[3], cuts[2])
    first, total, squares = sums[0], sums[1], sums[2]
    row, done, n = part_of_row(begin, cuts)
    at = start + locate(row, loops)[0] + done
    for j in range(sets):
        k = np.float64(load(x, at + j * each))
        found[0, j] = k if np.isfinite(k) else 0.0
        found[3, j] = 0.0
    for step in range(2):
        again = False
        c = 0
        while c < width:
            for j in range(sets):
                for _ in range(each):
                    first[c] = found[0, j]
                    total[c] = squares[c] = 0.0
                    c += 1
        cells, i = 0, begin
        while i < end:
            row, done, n = part_of_row(i, cuts)
            offset, _, _, _, left = locate(row, loops)
            n, a, step_of_line = min(n, width), start + offset + done, step_of_lines
            left = min(left, end - i)
            if cuts[1] > 1:  # lines that follow each other, of which the last may be shorter
                left, step_of_line = min(end - i, (cuts[0] - done) // n), n
            cells += n * left
            i += left
            while left >= 4:
                for line in range(4):
                    copy_line(x, a, n, lines, line * n)
                    a += step_of_line
                add_lines(lines, n, first, total, squares)
                left -= 4
            for _ in range(left):
                add_line(x, a, n, first, total, squares)
                a += step_of_line
        count = cells // sets
        for j in range(sets):
            if step == 1 and found[3, j] == 0:
                continue
            t = s = 0.0
            for a in range(j * each, width, sets * each):
                for c in range(a, a + each):
                    t += total[c]
                    s += squares[c]
            k, mean = found[0, j], t / count
            m2 = s - t * mean
            found[1, j], found[2, j] = k + mean, 0.0 if m2 < 0 else m2
            if is_double(x) and step == 1 and s == np.inf:
                found[1, j], found[2, j] = k, np.inf
            elif is_double(x) and step == 0 and not t * mean <= MAX_RATIO * m2:
                centre = k + mean
                if not np.isfinite(centre):
                    centre = mean_of_shares(x, start, width, sets, each, j, begin, end, loops, cuts, count)
                found[1, j], found[2, j] = centre, np.nan
                if np.isfinite(centre):
                    found[0, j], found[3, j], again = centre, 1.0, True
        if not again:
            break
    return count


@compiled(error_model="numpy")
def over_columns(x, y, weight, bias, statistics, table, eps, task, start, end):
    """Do the same as `over_rows` on the strips from `start` to `end`, or on so many pieces of strips.

    A strip is so many neighbouring columns. Where sets are few, its lines hold several lines of x side by side.
    """
    a = LOOPS + table[HEAD, 0]
    b = a + table[HEAD, 1]
    outers, of_sets, reads, writes = table[LOOPS : a - 1], table[a - 1], table[a:b], table[b:]
    read_cuts, cuts, in_place = cuts_of(table[READS]), cuts_of(table[WRITES]), x.ctypes.data == y.ctypes.data
    wide, each, strip, strips = table[COLUMNS, 0], table[COLUMNS, 1], table[COLUMNS, 2], table[COLUMNS, 3]
    parts = read_cuts[4] if task & READ else cuts[4]
    pieces, w_step = parts if task & PIECES else 1, table[START, INNER]
    by_line = table[COLUMNS, 4] != 0
    line_x, line_y, line_w, _ = steps(writes)
    step_of_lines = steps(reads)[0]
    across = max(read_cuts[5], cuts[5], strip)
    sums, found, moments = np.empty((3, across)), np.empty((4, wide // each)), np.empty((2, wide // each))
    lines = empty(x, 4 * across)
    means, scales, shifts = empty(x, across), empty(x, across), empty(x, across)
    special, values = np.empty(across, np.int64), np.empty(across)
    for u in range(start, end):
        unit = divide(u, pieces)
        only = u - unit * pieces
        o = divide(unit, strips)
        j0 = (unit - o * strips) * strip
        width = min(strip, wide - j0)
        sets = width // each
        at_x, at_y, at_w, at_set, _ = locate(o, outers)
        at_x, at_y = at_x + table[START, X] + j0, at_y + table[START, Y] + j0
        at_w += table[START, WEIGHT] + divide(j0, each) * of_sets[WEIGHT]
        at_set += table[START, SET] + divide(j0, each) * of_sets[SET]
        if task & READ:
            columns = width if strips > 1 else read_cuts[5]
            count = 0
            for piece in range(only, only + 1 if task & PIECES else parts):
                more = piece_of_columns(
                    x, at_x, columns, sets, each, piece, reads, step_of_lines, read_cuts, sums, found, lines
                )
                total = count
                for j in range(sets):
                    if piece == only:
                        total, moments[0, j], moments[1, j] = more, found[1, j], found[2, j]
                    else:
                        total, moments[0, j], moments[1, j] = merge(
                            count, moments[0, j], moments[1, j], more, found[1, j], found[2, j]
                        )
                count = total
            for j in range(sets):
                if task & PIECES:
                    v = (o * (wide // each) + divide(j0, each) + j) * pieces + only
                    statistics[0, v], statistics[1, v], statistics[2, v] = count, moments[0, j], moments[1, j]
                elif task == READ:
                    v = at_set + j * of_sets[SET]
                    statistics[0, v], statistics[1, v] = moments[0, j], moments[1, j]
                moments[0, j], moments[1, j] = variance(moments[0, j], moments[1, j], table[HEAD, 4], table[HEAD, 5])
        else:
            for j in range(sets):
                moments[0, j] = statistics[0, at_set + j * of_sets[SET]]
                moments[1, j] = statistics[1, at_set + j * of_sets[SET]]
        if task & WRITE == 0:
            continue
        columns = width if strips > 1 else cuts[5]
        specials = c = 0
        while c < columns:
            for j in range(sets):
                mean, rstd = moments[0, j], 1 / np.sqrt(moments[1, j] + eps)
                rounded = work(x, mean)
                rest = np.float64(rounded) - mean
                at = at_w + j * of_sets[WEIGHT]
                alone = (not is_double(x) and extreme(mean, rstd)) or table[COLUMNS, 4] == 2
                for e in range(each):
                    scale, shift = rstd, 0.0
                    if not by_line:
                        scale, shift = rstd * weight[at + e * w_step], np.float64(bias[at + e * w_step])
                    means[c], scales[c], shifts[c] = rounded, scale, rest * scale + shift
                    if alone:
                        special[specials] = c
                        specials += 1
                    c += 1
        i, stop = only * cuts[3], min((only + 1) * cuts[3], cuts[2]) if task & PIECES else cuts[2]
        while i < stop:
            row, done, n = part_of_row(i, cuts)
            p, q, w, _, left = locate(row, writes)
            n, p, q, w = min(n, columns), p + at_x + done, q + at_y + done, w + at_w
            left = min(left, stop - i) if cuts[1] == 1 else 1
            i += left
            for _ in range(left):
                for v in range(specials):
                    c = special[v]
                    if c < n:
                        j = c // each % sets
                        at = w + j * of_sets[WEIGHT] + c % each * w_step
                        scale = 1 / np.sqrt(moments[1, j] + eps) * weight[at]
                        values[v] = (np.float64(load(x, p + c)) - moments[0, j]) * scale + bias[at]
                a, b = (weight[w], bias[w]) if by_line else (work(x, 1.0), work(x, 0.0))
                write_line(x, p, y, q, n, means, scales, shifts, a, b, in_place)
                for v in range(specials):
                    if special[v] < n:
                        store(y, q + special[v], values[v])
                p += line_x
                q += line_y
                w += line_w
