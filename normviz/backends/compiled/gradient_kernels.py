"""The loops of the gradient over rows: the sums over a set, then the gradient of its cells while they are in the cache.

With x' = x - k, where k is the first cell of the set or its given mean, one pass takes the sums of x', x'^2, w g and
w g x'. Statistics and gradient follow from these: dx = a g - b (x - mean) - c, with a = rstd * w for every cell, and b
and c for every set. The sums are taken in float64, in an order that does not depend on the number of threads.

The gradients of weight and bias are added up part by part, `of_weight[part]` and `of_bias[part]`.
"""

import numpy as np

from normviz.backends.compiled.kernels import FAST, HUGE, MAX_RATIO, divide
from normviz.backends.compiled.machine_code import compiled, part_of_loop
from normviz.backends.compiled.numbers import load, store, work

BLOCK = 1 << 15
"""Cells of small sets that are worked on together, so that they are in the cache for what follows."""

LENGTH, X, GRAD, Y, WEIGHT, SET = range(6)
"""Columns of a nest of loops: its lengths, and the steps of each operand."""
SUM, SOLVE, WRITE = 1, 2, 4
"""Tasks, to be added: take the sums, make coefficients of them, write the gradient."""


@part_of_loop(forceinline=True, error_model="numpy")
def locate(index, loops):
    """Return the offset of each operand's cell at the index of a nest of loops."""
    x = grad = y = weight = of_set = 0
    for i in range(len(loops) - 1, -1, -1):
        rest = divide(index, loops[i, LENGTH]) if i > 0 else 0
        here = index - rest * loops[i, LENGTH]
        x += here * loops[i, X]
        grad += here * loops[i, GRAD]
        y += here * loops[i, Y]
        weight += here * loops[i, WEIGHT]
        of_set += here * loops[i, SET]
        index = rest
    return x, grad, y, weight, of_set


@part_of_loop()
def ordinary(value):
    """Return whether a coefficient is far from the ends of float32, or 0."""
    return value == 0 or 1 / HUGE < abs(value) < HUGE


@part_of_loop()
def moderate(value):
    """Return whether a factor is far from the ends, so that its product with another such factor is so as well."""
    return value == 0 or 2.0**-50 < abs(value) < 2.0**50


@part_of_loop()
def all_moderate(values):
    """Return whether all factors are."""
    extreme = 0
    for value in values:
        extreme += not moderate(value)
    return extreme == 0


@part_of_loop(error_model="numpy")
def solve(sums, k, count, options, var):
    """Return mean and rstd of a set, mean - k, and the coefficients b and c.

    Where statistics are given, `k` and `var` are those.
    """
    total, squares, of_g, of_product = sums
    own, centered, fixed, divisor, eps = options
    mu = 0.0
    if own:
        if centered:
            mu = total / count
            squares -= total * mu
        var = (0.0 if squares < 0 else squares) / divisor
    rstd = 1 / np.sqrt(var + eps)
    share = rstd / divisor
    b = 0.0 if fixed else (of_product - mu * of_g) * share * rstd * rstd
    c = of_g * share if centered and not fixed else 0.0
    return k + mu, rstd, mu, b, c


@part_of_loop(error_model="numpy")
def cancelled(total, squares, count):
    """Return whether the mean is so large beside the deviations that sums relative to it are needed."""
    return total * total > MAX_RATIO * (squares * count - total * total)


# Rows are not slices of x: numba counts who uses a slice, with instructions that take longer than a short row.


@part_of_loop(forceinline=True, fastmath=FAST)
def row_sums(x, p, g, q, n, k):
    """Return the sums of x - k, of its square, of g, and of g (x - k)."""
    total = squares = of_g = of_product = 0.0
    p, q = np.uint64(p), np.uint64(q)
    for j in range(np.uint64(n)):
        d, e = np.float64(load(x, p + j)) - k, np.float64(load(g, q + j))
        total += d
        squares += d * d
        of_g += e
        of_product += e * d
    return total, squares, of_g, of_product


@part_of_loop(forceinline=True, fastmath=FAST)
def weighted_row_sums(x, p, g, q, w, v, n, k):
    """Return the same sums with w g in the place of g."""
    total = squares = of_g = of_product = 0.0
    p, q, v = np.uint64(p), np.uint64(q), np.uint64(v)
    for j in range(np.uint64(n)):
        d, e = np.float64(load(x, p + j)) - k, np.float64(load(g, q + j)) * w[v + j]
        total += d
        squares += d * d
        of_g += e
        of_product += e * d
    return total, squares, of_g, of_product


@part_of_loop(forceinline=True, fastmath={"contract"})
def write_row(x, p, g, q, y, t, n, a, mean, b, c):
    """Write a g - b (x - mean) - c."""
    p, q, t = np.uint64(p), np.uint64(q), np.uint64(t)
    for j in range(np.uint64(n)):
        store(y, t + j, a * load(g, q + j) - ((load(x, p + j) - mean) * b + c))


@part_of_loop(forceinline=True, fastmath={"contract"})
def write_weighted_row(x, p, g, q, y, t, w, v, n, rstd, mean, b, c):
    """Write the same with a weight for each cell."""
    p, q, t, v = np.uint64(p), np.uint64(q), np.uint64(t), np.uint64(v)
    for j in range(np.uint64(n)):
        store(y, t + j, rstd * work(y, w[v + j]) * load(g, q + j) - ((load(x, p + j) - mean) * b + c))


@part_of_loop(forceinline=True, fastmath={"contract"})
def write_exact_row(x, p, g, q, y, t, w, v, n, step, rstd, mean, b, c):
    """Write the same in float64, for numbers near the ends of float32."""
    for j in range(n):
        a = rstd * w[v + j * step]
        store(y, t + j, a * load(g, q + j) - ((np.float64(load(x, p + j)) - mean) * b + c))


@part_of_loop(forceinline=True)
def row_at(i, first, top, rows, sets, loops, starts, mean, rstd):
    """Return where row i of some sets begins in x, the gradient and the weight, and its set's mean and rstd."""
    s = divide(i, rows) if rows > 1 else i
    o, q, _, p, of_set = locate(first + s, sets)
    a, b, _, c, _ = locate(top + i - s * rows, loops)
    of_set += starts[SET]
    x, grad, weight = np.uint64(o + a + starts[X]), np.uint64(q + b + starts[GRAD]), np.uint64(p + c + starts[WEIGHT])
    return x, grad, weight, mean[of_set], rstd[of_set]


@part_of_loop(fastmath=FAST)
def parameters_of_rows(x, g, length, sets, loops, starts, first, last, top, end, mean, rstd, of_weight, of_bias):
    """Add what the rows of some sets have to do with a weight and a bias for each of their cells."""
    rows = end - top
    count = (last - first) * rows
    i = 0
    while i < count:
        o, q, p, m, r = row_at(i, first, top, rows, sets, loops, starts, mean, rstd)
        together = i + 3 < count
        if together:
            o1, q1, p1, m1, r1 = row_at(i + 1, first, top, rows, sets, loops, starts, mean, rstd)
            o2, q2, p2, m2, r2 = row_at(i + 2, first, top, rows, sets, loops, starts, mean, rstd)
            o3, q3, p3, m3, r3 = row_at(i + 3, first, top, rows, sets, loops, starts, mean, rstd)
            together = p == p1 == p2 == p3
        if together:
            for j in range(np.uint64(length)):
                e0, e1 = np.float64(load(g, q + j)), np.float64(load(g, q1 + j))
                e2, e3 = np.float64(load(g, q2 + j)), np.float64(load(g, q3 + j))
                d0, d1 = (np.float64(load(x, o + j)) - m) * r, (np.float64(load(x, o1 + j)) - m1) * r1
                d2, d3 = (np.float64(load(x, o2 + j)) - m2) * r2, (np.float64(load(x, o3 + j)) - m3) * r3
                of_bias[p + j] += (e0 + e1) + (e2 + e3)
                of_weight[p + j] += (e0 * d0 + e1 * d1) + (e2 * d2 + e3 * d3)
            i += 4
        else:
            for j in range(np.uint64(length)):
                e0 = np.float64(load(g, q + j))
                of_bias[p + j] += e0
                of_weight[p + j] += e0 * ((np.float64(load(x, o + j)) - m) * r)
            i += 1


@compiled(error_model="numpy")
def gradient_over_rows(arrays, how, options, at, task):
    """Do tasks on the rows of some sets. `at`: part, its first and last set, and first and last row of each."""
    x, g, y, w, mean, rstd, sums, of_weight, of_bias = arrays
    nests, numbers, starts = how
    own, centered = options[0], options[1]
    length, step, outer = numbers[0], numbers[1], numbers[2]
    sets, loops = nests[:outer], nests[outer:]
    part, first, last, top, end = at[0], at[1], at[2], at[3], at[4]
    rows = sums.shape[1]
    count = rows * length
    divided = task != SUM + SOLVE + WRITE
    plain = step == 0 or all_moderate(w)
    several = max(1 if step == 0 else 4, BLOCK // count)
    if not divided:
        sums = np.empty((min(several, last - first), rows, 4))
    for begin in range(first, last, several):
        stop = min(begin + several, last)
        skipped = 0 if divided else begin
        # Three loops, because solving takes long for one set, but not for several at a time.
        for s in range(begin, stop):
            at_x, at_g, _, at_w, i = locate(s, sets)
            at_x, at_g, at_w, i = at_x + starts[X], at_g + starts[GRAD], at_w + starts[WEIGHT], i + starts[SET]
            f = s - skipped
            k = mean[i] if not own else np.float64(load(x, at_x)) if centered else 0.0
            summing, again, a, e = task & SUM != 0, False, top, end
            while True:
                if summing:
                    for r in range(a, e):
                        o, q, _, p, _ = locate(r, loops)
                        o, q, p = o + at_x, q + at_g, p + at_w
                        if step == 0:
                            found = row_sums(x, o, g, q, length, k)
                        else:
                            found = weighted_row_sums(x, o, g, q, w, p, length, k)
                        sums[f, r, 0], sums[f, r, 1], sums[f, r, 2], sums[f, r, 3] = found
                if task & SOLVE == 0 or not own or not centered or again:
                    break
                total = squares = 0.0
                for r in range(rows):
                    total += sums[f, r, 0]
                    squares += sums[f, r, 1]
                if not cancelled(total, squares, count):
                    break
                k += total / count
                summing, again, a, e = True, True, 0, rows
            if task & SOLVE != 0:
                mean[i] = k
        for s in range(begin, stop if task & SOLVE != 0 else begin):
            _, _, _, at_w, i = locate(s, sets)
            at_w, i, f = at_w + starts[WEIGHT], i + starts[SET], s - skipped
            total = squares = of_g = of_product = 0.0
            for r in range(rows):
                scale = w[at_w + locate(r, loops)[3]] if step == 0 else 1.0
                total += sums[f, r, 0]
                squares += sums[f, r, 1]
                of_g += scale * sums[f, r, 2]
                of_product += scale * sums[f, r, 3]
            found = solve((total, squares, of_g, of_product), mean[i], count, options, rstd[i])
            mean[i], rstd[i], mu, b, c = found
            if step == 0:
                for r in range(rows):
                    p = at_w + locate(r, loops)[3]
                    of_bias[part, p] += sums[f, r, 2]
                    of_weight[part, p] += (sums[f, r, 3] - mu * sums[f, r, 2]) * rstd[i]
            sums[f, 0, 0], sums[f, 0, 1] = b, c
        for s in range(begin, stop if task & WRITE != 0 else begin):
            at_x, at_g, at_y, at_w, i = locate(s, sets)
            at_x, at_g, at_y = at_x + starts[X], at_g + starts[GRAD], at_y + starts[Y]
            at_w, i, f = at_w + starts[WEIGHT], i + starts[SET], s - skipped
            m, r_, b, c = mean[i], rstd[i], sums[f, 0, 0], sums[f, 0, 1]
            rounded = work(y, m)
            shift = c + b * (rounded - m)
            fine = ordinary(m) and moderate(r_) and ordinary(b) and ordinary(shift)
            for r in range(top, end):
                o, q, t, p, _ = locate(r, loops)
                o, q, t, p = o + at_x, q + at_g, t + at_y, p + at_w
                if not fine or (not plain if step != 0 else not ordinary(r_ * w[p])):
                    write_exact_row(x, o, g, q, y, t, w, p, length, step, r_, m, b, c)
                elif step != 0:
                    write_weighted_row(x, o, g, q, y, t, w, p, length, work(y, r_), rounded, work(y, b), work(y, shift))
                else:
                    write_row(x, o, g, q, y, t, length, work(y, r_ * w[p]), rounded, work(y, b), work(y, shift))
        if task & WRITE != 0 and step != 0:
            parameters_of_rows(
                x, g, length, sets, loops, starts, begin, stop, top, end, mean, rstd, of_weight[part], of_bias[part]
            )
