"""The loops of the gradient over rows: the sums over a set, then the gradient of its cells while they are in the cache.

With x' = x - k, where k is the first cell of the set or its given mean, one pass takes the sums of x', x'^2, w g and
w g x'. Statistics and gradient follow from these: dx = a g - b (x - mean) - c, with a = rstd * w for every cell, and b
and c for every set. The sums are taken in float64, in an order that does not depend on the number of threads.

The gradients of weight and bias are added up part by part, `of_weight[part]` and `of_bias[part]`.
"""

import numpy as np

from normviz.backends.compiled.machine_code import compiled, part_of_loop
from normviz.backends.compiled.numbers import load, store, work

FAST = {"reassoc", "contract", "nsz", "arcp"}
"""Sums may be taken in any order; NaN and infinities stay what they are."""
MAX_RATIO = 1e3
"""Largest square of the mean over the variance at which float64 squares have 13 digits left for the variance."""
HUGE = 2.0**100
"""Between its inverse and this, no product of two float32 numbers and a deviation loses digits."""

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
        rest = index // loops[i, LENGTH] if i > 0 else 0
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
def solve(sums, k, count, options, mean, rstd):
    """Return mean and rstd of a set, mean - k, and the coefficients b and c."""
    total, squares, of_g, of_product = sums
    own, centered, fixed, divisor, eps = options
    mu = 0.0
    if own:
        if centered:
            mu = total / count
            squares -= total * mu
        mean = k + mu
        rstd = 1 / np.sqrt((0.0 if squares < 0 else squares) / divisor + eps)
    share = rstd / divisor
    b = 0.0 if fixed else (of_product - mu * of_g) * share * rstd * rstd
    c = of_g * share if centered and not fixed else 0.0
    return mean, rstd, mu, b, c


@part_of_loop(error_model="numpy")
def cancelled(total, squares, count):
    """Return whether the mean is so large beside the deviations that sums relative to it are needed."""
    return total * total > MAX_RATIO * (squares * count - total * total)


@part_of_loop(fastmath=FAST)
def row_sums(x, g, k):
    """Return the sums of x - k, of its square, of g, and of g (x - k)."""
    total = squares = of_g = of_product = 0.0
    for j in range(len(x)):
        d, e = np.float64(load(x, j)) - k, np.float64(load(g, j))
        total += d
        squares += d * d
        of_g += e
        of_product += e * d
    return total, squares, of_g, of_product


@part_of_loop(fastmath=FAST)
def weighted_row_sums(x, g, w, k):
    """Return the same sums with w g in the place of g."""
    total = squares = of_g = of_product = 0.0
    for j in range(len(x)):
        d, e = np.float64(load(x, j)) - k, np.float64(load(g, j)) * w[j]
        total += d
        squares += d * d
        of_g += e
        of_product += e * d
    return total, squares, of_g, of_product


@part_of_loop(fastmath={"contract"})
def write_row(x, g, y, a, mean, b, c):
    """Write a g - b (x - mean) - c."""
    for j in range(len(x)):
        store(y, j, a * load(g, j) - ((load(x, j) - mean) * b + c))


@part_of_loop(fastmath={"contract"})
def write_weighted_row(x, g, y, w, rstd, mean, b, c):
    """Write the same with a weight for each cell."""
    for j in range(len(x)):
        store(y, j, rstd * work(y, w[j]) * load(g, j) - ((load(x, j) - mean) * b + c))


@part_of_loop(fastmath={"contract"})
def write_exact_row(x, g, y, w, step, rstd, mean, b, c):
    """Write the same in float64, for numbers near the ends of float32."""
    for j in range(len(x)):
        a = rstd * w[j * step]
        store(y, j, a * load(g, j) - ((np.float64(load(x, j)) - mean) * b + c))


@part_of_loop()
def row_at(i, first, top, rows, sets, loops, starts, mean, rstd):
    """Return where row i of some sets begins in x, the gradient and the weight, and its set's mean and rstd."""
    s = i // rows
    o, q, _, p, of_set = locate(first + s, sets)
    a, b, _, c, _ = locate(top + i - s * rows, loops)
    of_set += starts[SET]
    return o + a + starts[X], q + b + starts[GRAD], p + c + starts[WEIGHT], mean[of_set], rstd[of_set]


@part_of_loop(fastmath=FAST)
def parameters_of_rows(x, g, length, sets, loops, starts, first, last, top, end, mean, rstd, of_weight, of_bias):
    """Add what the rows of some sets have to do with a weight and a bias for each of their cells."""
    size, rows = len(of_weight), end - top
    count = (last - first) * rows
    # Memory of its own, so that LLVM knows that nothing else is in it.
    weight, bias = np.zeros(size), np.zeros(size)
    i = 0
    while i < count:
        o, q, p, m, r = row_at(i, first, top, rows, sets, loops, starts, mean, rstd)
        x0, g0 = x[o : o + length], g[q : q + length]
        rw, rb = weight[p : p + length], bias[p : p + length]
        together = i + 3 < count
        if together:
            o1, q1, p1, m1, r1 = row_at(i + 1, first, top, rows, sets, loops, starts, mean, rstd)
            o2, q2, p2, m2, r2 = row_at(i + 2, first, top, rows, sets, loops, starts, mean, rstd)
            o3, q3, p3, m3, r3 = row_at(i + 3, first, top, rows, sets, loops, starts, mean, rstd)
            together = p == p1 == p2 == p3
        if together:
            x1, x2, x3 = x[o1 : o1 + length], x[o2 : o2 + length], x[o3 : o3 + length]
            g1, g2, g3 = g[q1 : q1 + length], g[q2 : q2 + length], g[q3 : q3 + length]
            for j in range(length):
                e0, e1 = np.float64(load(g0, j)), np.float64(load(g1, j))
                e2, e3 = np.float64(load(g2, j)), np.float64(load(g3, j))
                d0, d1 = (np.float64(load(x0, j)) - m) * r, (np.float64(load(x1, j)) - m1) * r1
                d2, d3 = (np.float64(load(x2, j)) - m2) * r2, (np.float64(load(x3, j)) - m3) * r3
                rb[j] += (e0 + e1) + (e2 + e3)
                rw[j] += (e0 * d0 + e1 * d1) + (e2 * d2 + e3 * d3)
            i += 4
        else:
            for j in range(length):
                e0 = np.float64(load(g0, j))
                rb[j] += e0
                rw[j] += e0 * ((np.float64(load(x0, j)) - m) * r)
            i += 1
    for j in range(size):
        of_weight[j] += weight[j]
        of_bias[j] += bias[j]


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
    several = max(1, BLOCK // count)
    for begin in range(first, last, several):
        stop = min(begin + several, last)
        for s in range(begin, stop):
            at_x, at_g, at_y, at_w, i = locate(s, sets)
            at_x, at_g, at_y = at_x + starts[X], at_g + starts[GRAD], at_y + starts[Y]
            at_w, i = at_w + starts[WEIGHT], i + starts[SET]
            row = sums[s if divided else part]
            k = mean[i] if not own else np.float64(load(x, at_x)) if centered else 0.0
            b = c = 0.0
            summing, again, a, e = task & SUM != 0, False, top, end
            while True:
                if summing:
                    for r in range(a, e):
                        o, q, _, p, _ = locate(r, loops)
                        o, q, p = o + at_x, q + at_g, p + at_w
                        if step == 0:
                            found = row_sums(x[o : o + length], g[q : q + length], k)
                        else:
                            found = weighted_row_sums(x[o : o + length], g[q : q + length], w[p : p + length], k)
                        row[r, 0], row[r, 1], row[r, 2], row[r, 3] = found
                if task & SOLVE == 0:
                    break
                total = squares = of_g = of_product = 0.0
                for r in range(rows):
                    scale = w[at_w + locate(r, loops)[3]] if step == 0 else 1.0
                    total += row[r, 0]
                    squares += row[r, 1]
                    of_g += scale * row[r, 2]
                    of_product += scale * row[r, 3]
                if own and centered and not again and cancelled(total, squares, count):
                    k += total / count
                    summing, again, a, e = True, True, 0, rows
                    continue
                found = solve((total, squares, of_g, of_product), k, count, options, mean[i], rstd[i])
                mean[i], rstd[i], mu, b, c = found
                if step == 0:
                    for r in range(rows):
                        p = at_w + locate(r, loops)[3]
                        of_bias[part, p] += row[r, 2]
                        of_weight[part, p] += (row[r, 3] - mu * row[r, 2]) * rstd[i]
                if divided:
                    row[0, 0], row[0, 1] = b, c
                break
            if task & WRITE == 0:
                continue
            if divided:
                b, c = row[0, 0], row[0, 1]
            m, r_ = mean[i], rstd[i]
            rounded = work(y, m)
            shift = c + b * (rounded - m)
            fine = ordinary(m) and moderate(r_) and ordinary(b) and ordinary(shift)
            for r in range(top, end):
                o, q, t, p, _ = locate(r, loops)
                o, q, t, p = o + at_x, q + at_g, t + at_y, p + at_w
                rx, rg, ry = x[o : o + length], g[q : q + length], y[t : t + length]
                if step != 0:
                    rw = w[p : p + length]
                    if fine and plain:
                        write_weighted_row(rx, rg, ry, rw, work(y, r_), rounded, work(y, b), work(y, shift))
                    else:
                        write_exact_row(rx, rg, ry, rw, 1, r_, m, b, c)
                elif fine and ordinary(r_ * w[p]):
                    write_row(rx, rg, ry, work(y, r_ * w[p]), rounded, work(y, b), work(y, shift))
                else:
                    write_exact_row(rx, rg, ry, w[p : p + 1], 0, r_, m, b, c)
        if task & WRITE != 0 and step != 0:
            parameters_of_rows(
                x, g, length, sets, loops, starts, begin, stop, top, end, mean, rstd, of_weight[part], of_bias[part]
            )
