"""The loops over rows and columns, compiled by numba: statistics of a set, then its output while it is in the cache.

Sums are taken in float64 of deviations from the first cell of the set, so an offset costs no digit, a constant has a
variance of exactly 0, and no square of a float32 overflows. A set that is larger than a piece is merged from its
pieces in their order. So the digits of a set depend neither on other sets nor on the number of threads.
"""

import numpy as np

from normviz.backends.compiled.machine_code import compiled, part_of_loop
from normviz.backends.compiled.numbers import empty, is_double, load, store, work

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
def locate(index, loops, operand):
    """Return the offset of an operand's cell at the index of a nest of loops."""
    offset = 0
    for a in range(len(loops) - 1, 0, -1):
        rest = divide(index, loops[a, LENGTH])
        offset += (index - rest * loops[a, LENGTH]) * loops[a, operand]
        index = rest
    if len(loops) > 0:
        offset += index * loops[0, operand]
    return offset


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


@part_of_loop(forceinline=True, error_model="numpy")
def rows_in_step(i, end, row, loops, cuts):
    """Return how many rows from `row` on, of those up to part `end`, lie one step of the innermost loop apart."""
    if cuts[1] > 1 or len(loops) == 0:
        return 1
    inner = loops[len(loops) - 1, LENGTH]
    return min(end - i, inner - (row - divide(row, inner) * inner if len(loops) > 1 else row))


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
def piece_of_rows(x, start, piece, loops, cuts):
    """Return count, mean and M2 of one piece of a set."""
    begin, end = piece * cuts[3], min((piece + 1) * cuts[3], cuts[2])
    step_of_rows = loops[len(loops) - 1, X] if len(loops) > 0 else 0
    row, done, n = part_of_row(begin, cuts)
    first, share, step = np.float64(load(x, start + locate(row, loops, X) + done)), 1.0, 0
    if not np.isfinite(first):
        first = 0.0
    while True:
        total = squares = 0.0
        count, i = 0, begin
        while i < end:
            row, done, n = part_of_row(i, cuts)
            at, rows = start + locate(row, loops, X) + done, rows_in_step(i, end, row, loops, cuts)
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
    cuts, in_place = table[WRITES], x.ctypes.data == y.ctypes.data
    pieces = 1 if task < PIECES else table[READS, 4] if task & READ else cuts[4]
    w_step, last = table[START, INNER], len(writes) - 1
    x_step = y_step = row_step = 0
    if last >= 0:
        x_step, y_step, row_step = writes[last, X], writes[last, Y], writes[last, WEIGHT]
    for u in range(start, end):
        s = divide(u, pieces)
        first = u - s * pieces
        at_x, at_set = table[START, X] + locate(s, sets, X), table[START, SET] + locate(s, sets, SET)
        if task & READ:
            count, mean, m2 = 0, 0.0, 0.0
            for piece in range(first, first + 1 if task & PIECES else table[READS, 4]):
                count, mean, m2 = merge(count, mean, m2, *piece_of_rows(x, at_x, piece, reads, table[READS]))
            if task & PIECES:
                statistics[0, u], statistics[1, u], statistics[2, u] = count, mean, m2
            elif task == READ:
                statistics[0, at_set], statistics[1, at_set] = mean, m2
            mean, var = variance(mean, m2, table[HEAD, 4], table[HEAD, 5])
        else:
            mean, var = statistics[0, at_set], statistics[1, at_set]
        if task & WRITE == 0:
            continue
        rstd = 1 / np.sqrt(var + eps)
        rounded = work(x, mean)
        rest = np.float64(rounded) - mean  # goes into the term that is added
        at_y = table[START, Y] + locate(s, sets, Y)
        at_w = table[START, WEIGHT] + locate(s, sets, WEIGHT)
        special = not is_double(x) and extreme(mean, rstd)
        scale, shift = work(x, rstd), work(x, rest * rstd)
        i, stop = first * cuts[3], min((first + 1) * cuts[3], cuts[2]) if task & PIECES else cuts[2]
        while i < stop:
            row, done, n = part_of_row(i, cuts)
            p, q = at_x + locate(row, writes, X) + done, at_y + locate(row, writes, Y) + done
            w = at_w + locate(row, writes, WEIGHT) + done * w_step
            rows = rows_in_step(i, stop, row, writes, cuts)
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
                p += x_step
                q += y_step
                w += row_step
            i += rows


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
        at = start + locate(row, loops, X) + done
        for c in range(min(n, width)):
            if c // each % sets == j:
                mean += load(x, at + c) / count
    return mean


@part_of_loop(forceinline=True, error_model="numpy")
def piece_of_columns(x, start, width, sets, each, piece, loops, cuts, sums, found, lines):
    """Write mean and M2 of one piece of every set of a strip to found[1] and found[2], and return the count."""
    begin, end = piece * cuts[3], min((piece + 1) * cuts[3], cuts[2])
    first, total, squares = sums[0], sums[1], sums[2]
    row, done, n = part_of_row(begin, cuts)
    at = start + locate(row, loops, X) + done
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
            n = min(n, width)
            a = start + locate(row, loops, X) + done
            if i + 4 <= end and (cuts[1] == 1 or done + 4 * n <= cuts[0]):
                for line in range(4):
                    copy_line(x, a, n, lines, line * n)
                    a = a + n if cuts[1] > 1 else start + locate(row + line + 1, loops, X)
                add_lines(lines, n, first, total, squares)
                i += 4
                cells += 4 * n
            else:
                add_line(x, a, n, first, total, squares)
                i += 1
                cells += n
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
    """Do the same on the strips from `start` to `end`, or on so many pieces of strips.

    A strip is so many neighbouring columns. Where sets are few, its lines hold several lines of x side by side.
    """
    a = LOOPS + table[HEAD, 0]
    b = a + table[HEAD, 1]
    outers, of_sets, reads, writes = table[LOOPS : a - 1], table[a - 1], table[a:b], table[b:]
    cuts, in_place = table[WRITES], x.ctypes.data == y.ctypes.data
    wide, each, strip, strips = table[COLUMNS, 0], table[COLUMNS, 1], table[COLUMNS, 2], table[COLUMNS, 3]
    pieces = 1 if task < PIECES else table[READS, 4] if task & READ else cuts[4]
    w_step = table[START, INNER]
    by_line = table[COLUMNS, 4] != 0
    across = max(table[READS, 5], cuts[5], strip)
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
        at_x = table[START, X] + locate(o, outers, X) + j0
        at_set = table[START, SET] + locate(o, outers, SET) + divide(j0, each) * of_sets[SET]
        if task & READ:
            columns = width if strips > 1 else table[READS, 5]
            count = 0
            for piece in range(only, only + 1 if task & PIECES else table[READS, 4]):
                more = piece_of_columns(x, at_x, columns, sets, each, piece, reads, table[READS], sums, found, lines)
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
        at_y = table[START, Y] + locate(o, outers, Y) + j0
        at_w = table[START, WEIGHT] + locate(o, outers, WEIGHT) + divide(j0, each) * of_sets[WEIGHT]
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
        for i in range(only * cuts[3], min((only + 1) * cuts[3], cuts[2]) if task & PIECES else cuts[2]):
            row, done, n = part_of_row(i, cuts)
            n = min(n, columns)
            p, q = at_x + locate(row, writes, X) + done, at_y + locate(row, writes, Y) + done
            w = at_w + locate(row, writes, WEIGHT)
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


@compiled(error_model="numpy")
def merged(parts, statistics, table):
    """Merge the moments of the pieces of every set in their order; `parts` are those of single pieces."""
    pieces, sets = table[READS, 4], table[LOOPS : LOOPS + table[HEAD, 0]]
    for s in range(table[HEAD, 3]):
        count, mean, m2 = parts[0, s * pieces], parts[1, s * pieces], parts[2, s * pieces]
        for u in range(s * pieces + 1, (s + 1) * pieces):
            count, mean, m2 = merge(count, mean, m2, parts[0, u], parts[1, u], parts[2, u])
        at = table[START, SET] + locate(s, sets, SET)
        statistics[0, at], statistics[1, at] = mean, m2
