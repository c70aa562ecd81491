"""The loops of the gradient: the sums over a set, then the gradient of its cells while they are in the cache.

With x' = x - k, where k is the first cell of the set or its given mean, one pass takes the sums of x', x'^2, w g and
w g x'. Statistics and gradient follow from these: dx = a g - b (x - mean) - c, with a = rstd * w for every cell, and b
and c for every set. The sums are taken in float64, in an order that does not depend on the number of threads.

A *unit* is a set where the loops are rows, and a strip of neighbouring columns where they are columns. The gradients of
weight and bias are added up part by part, `of_weight[part]` and `of_bias[part]`.
"""

import numpy as np

from normviz.backends.compiled.machine_code import compiled, part_of_loop
from normviz.backends.compiled.numbers import empty, load, store, work

FAST = {"reassoc", "contract", "nsz", "arcp"}
"""Sums may be taken in any order; NaN and infinities stay what they are."""
MAX_RATIO = 1e3
"""Largest square of the mean over the variance at which float64 squares have 13 digits left for the variance."""
HUGE = 2.0**100
"""Between its inverse and this, no product of two float32 numbers and a deviation loses digits."""

LENGTH, X, GRAD, Y, WEIGHT, SET = range(6)
"""Columns of a nest of loops: its lengths, and the steps of each operand."""
SUM, SOLVE, WRITE = 1, 2, 4
"""Tasks, to be added: take the sums, make coefficients of them, write the gradient."""


@part_of_loop()
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
def solve(sums, k, count, divisor, eps, own, centered, fixed, mean, rstd):
    """Return mean and rstd of a set, mean - k, and the coefficients b and c."""
    total, squares, of_g, of_product = sums
    mu = 0.0
    if own:
        if centered:
            mu = total / count
            squares -= total * mu
        mean = k + mu
        rstd = 1 / np.sqrt((0.0 if squares < 0 else squares) / divisor + eps)
    b = 0.0 if fixed else (of_product - mu * of_g) * rstd / divisor * rstd * rstd
    c = rstd * of_g / divisor if centered and not fixed else 0.0
    return mean, rstd, mu, b, c


@part_of_loop(error_model="numpy")
def cancelled(total, squares, count):
    """Return whether the mean is so large beside the deviations that sums relative to it are needed."""
    return total * (total / count) > MAX_RATIO * (squares - total * (total / count))


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


@part_of_loop(fastmath={"contract"})
def add_to_parameters(x, g, mean, rstd, of_weight, of_bias):
    """Add what a row has to do with a weight and a bias for each of its cells."""
    for j in range(len(x)):
        e = np.float64(load(g, j))
        of_bias[j] += e
        of_weight[j] += e * ((np.float64(load(x, j)) - mean) * rstd)


@compiled(error_model="numpy")
def gradient_over_rows(
    x,
    g,
    y,
    w,
    mean,
    rstd,
    nests,
    numbers,
    starts,
    eps,
    divisor,
    own,
    centered,
    fixed,
    sums,
    of_weight,
    of_bias,
    at,
    task,
):
    """Do tasks on the rows of some sets. `at`: part, its first and last set, and first and last row of each."""
    length, step, outer = numbers[0], numbers[1], numbers[2]
    sets, loops = nests[:outer], nests[outer:]
    part, first, last, top, end = at[0], at[1], at[2], at[3], at[4]
    rows = sums.shape[1]
    count = rows * length
    divided = task != SUM + SOLVE + WRITE
    plain = step == 0 or all_moderate(w)
    for s in range(first, last):
        at_x, at_g, at_y, at_w, i = locate(s, sets)
        at_x, at_g, at_y, at_w, i = (
            at_x + starts[X],
            at_g + starts[GRAD],
            at_y + starts[Y],
            at_w + starts[WEIGHT],
            i + starts[SET],
        )
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
            found = solve(
                (total, squares, of_g, of_product), k, count, divisor, eps, own, centered, fixed, mean[i], rstd[i]
            )
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
                add_to_parameters(rx, rg, m, r_, of_weight[part, p : p + length], of_bias[part, p : p + length])
                if fine and plain:
                    write_weighted_row(rx, rg, ry, rw, work(y, r_), rounded, work(y, b), work(y, shift))
                else:
                    write_exact_row(rx, rg, ry, rw, 1, r_, m, b, c)
            elif fine and ordinary(r_ * w[p]):
                write_row(rx, rg, ry, work(y, r_ * w[p]), rounded, work(y, b), work(y, shift))
            else:
                write_exact_row(rx, rg, ry, w[p : p + 1], 0, r_, m, b, c)


@part_of_loop(fastmath=FAST)
def column_sums(x, g, at_x, at_g, loops, first, last, k, sums):
    """Write the sums of `row_sums` down every column of some lines."""
    n = sums.shape[1]
    # Memory of its own, so that LLVM knows that nothing else is in it.
    total, squares, of_g, of_product, origin = np.empty(n), np.empty(n), np.empty(n), np.empty(n), np.empty(n)
    for j in range(n):
        total[j] = squares[j] = of_g[j] = of_product[j] = 0.0
        origin[j] = k[j]
    even = first + (last - first) // 4 * 4
    for line in range(first, even, 4):  # four at a time, because the sums of a column are in memory
        o, q, _, _, _ = locate(line, loops)
        x0, g0 = x[o + at_x : o + at_x + n], g[q + at_g : q + at_g + n]
        o, q, _, _, _ = locate(line + 1, loops)
        x1, g1 = x[o + at_x : o + at_x + n], g[q + at_g : q + at_g + n]
        o, q, _, _, _ = locate(line + 2, loops)
        x2, g2 = x[o + at_x : o + at_x + n], g[q + at_g : q + at_g + n]
        o, q, _, _, _ = locate(line + 3, loops)
        x3, g3 = x[o + at_x : o + at_x + n], g[q + at_g : q + at_g + n]
        for j in range(n):
            d0, d1 = np.float64(load(x0, j)) - origin[j], np.float64(load(x1, j)) - origin[j]
            d2, d3 = np.float64(load(x2, j)) - origin[j], np.float64(load(x3, j)) - origin[j]
            e0, e1 = np.float64(load(g0, j)), np.float64(load(g1, j))
            e2, e3 = np.float64(load(g2, j)), np.float64(load(g3, j))
            total[j] += (d0 + d1) + (d2 + d3)
            squares[j] += (d0 * d0 + d1 * d1) + (d2 * d2 + d3 * d3)
            of_g[j] += (e0 + e1) + (e2 + e3)
            of_product[j] += (d0 * e0 + d1 * e1) + (d2 * e2 + d3 * e3)
    for line in range(even, last):
        o, q, _, _, _ = locate(line, loops)
        x0, g0 = x[o + at_x : o + at_x + n], g[q + at_g : q + at_g + n]
        for j in range(n):
            d0, e0 = np.float64(load(x0, j)) - origin[j], np.float64(load(g0, j))
            total[j] += d0
            squares[j] += d0 * d0
            of_g[j] += e0
            of_product[j] += d0 * e0
    for j in range(n):
        sums[0, j], sums[1, j], sums[2, j], sums[3, j] = total[j], squares[j], of_g[j], of_product[j]


@part_of_loop(fastmath={"contract"})
def write_columns(x, g, y, w, at_x, at_g, at_y, at_w, loops, first, last, step, plain, exact):
    """Write a g - b (x - mean) - c for some lines, with rstd, mean, b, c for every column."""
    n = exact.shape[1]
    rstd, mean, b, shift = empty(y, n), empty(y, n), empty(y, n), empty(y, n)
    for j in range(n):
        rstd[j], mean[j], b[j] = exact[0, j], exact[1, j], exact[2, j]
        shift[j] = exact[3, j] + exact[2, j] * (np.float64(mean[j]) - exact[1, j])
    for line in range(first, last):
        o, q, t, p, _ = locate(line, loops)
        rx, rg, ry = x[o + at_x : o + at_x + n], g[q + at_g : q + at_g + n], y[t + at_y : t + at_y + n]
        if step == 0:
            scale = work(y, w[p + at_w])
            for j in range(n):
                store(ry, j, rstd[j] * scale * load(rg, j) - ((load(rx, j) - mean[j]) * b[j] + shift[j]))
        else:
            rw = w[p + at_w : p + at_w + n]
            for j in range(n):
                a = rstd[j] * work(y, rw[j])
                store(ry, j, a * load(rg, j) - ((load(rx, j) - mean[j]) * b[j] + shift[j]))
    for j in range(n):
        if plain and moderate(exact[0, j]) and ordinary(exact[1, j]) and ordinary(exact[2, j]) and ordinary(shift[j]):
            continue
        for line in range(first, last):
            o, q, t, p, _ = locate(line, loops)
            a = exact[0, j] * w[p + at_w + j * step]
            d = np.float64(load(x, o + at_x + j)) - exact[1, j]
            store(y, t + at_y + j, a * load(g, q + at_g + j) - (d * exact[2, j] + exact[3, j]))


@part_of_loop(fastmath=FAST)
def line_sums(x, g, w, at_x, at_g, at_w, loops, lines, step, k, sums):
    """Write the sums of `weighted_row_sums` down every column."""
    n = sums.shape[1]
    total, squares, of_g, of_product, origin = np.empty(n), np.empty(n), np.empty(n), np.empty(n), np.empty(n)
    for j in range(n):
        total[j] = squares[j] = of_g[j] = of_product[j] = 0.0
        origin[j] = k[j]
    for line in range(lines):
        o, q, _, p, _ = locate(line, loops)
        rx, rg = x[o + at_x : o + at_x + n], g[q + at_g : q + at_g + n]
        if step == 0:
            scale = w[p + at_w]
            for j in range(n):
                d, e = np.float64(load(rx, j)) - origin[j], np.float64(load(rg, j)) * scale
                total[j] += d
                squares[j] += d * d
                of_g[j] += e
                of_product[j] += e * d
        else:
            rw = w[p + at_w : p + at_w + n]
            for j in range(n):
                d, e = np.float64(load(rx, j)) - origin[j], np.float64(load(rg, j)) * rw[j]
                total[j] += d
                squares[j] += d * d
                of_g[j] += e
                of_product[j] += e * d
    for j in range(n):
        sums[0, j], sums[1, j], sums[2, j], sums[3, j] = total[j], squares[j], of_g[j], of_product[j]


@part_of_loop(fastmath=FAST)
def parameters_of_lines(x, g, at_x, at_g, at_w, loops, lines, step, exact, of_weight, of_bias):
    """Add what each line has to do with the weight and the bias of its cells."""
    n = exact.shape[1]
    rstd, mean = np.empty(n), np.empty(n)
    for j in range(n):
        rstd[j], mean[j] = exact[0, j], exact[1, j]
    for line in range(lines):
        o, q, _, p, _ = locate(line, loops)
        rx, rg = x[o + at_x : o + at_x + n], g[q + at_g : q + at_g + n]
        p += at_w
        if step == 0:
            weight = bias = 0.0
            for j in range(n):
                e = np.float64(load(rg, j))
                bias += e
                weight += e * ((np.float64(load(rx, j)) - mean[j]) * rstd[j])
            of_bias[p] += bias
            of_weight[p] += weight
        else:
            rw, rb = of_weight[p : p + n], of_bias[p : p + n]
            for j in range(n):
                e = np.float64(load(rg, j))
                rb[j] += e
                rw[j] += e * ((np.float64(load(rx, j)) - mean[j]) * rstd[j])


@compiled(error_model="numpy")
def gradient_over_columns(
    x,
    g,
    y,
    w,
    mean,
    rstd,
    nests,
    numbers,
    starts,
    eps,
    divisor,
    own,
    centered,
    fixed,
    sums,
    of_weight,
    of_bias,
    at,
    task,
):
    """Do tasks on strips of columns.

    `at`: part, its first and last strip, and the first and last chunk of lines of each. A set consists of `each`
    neighbouring columns; of one where the weight changes from line to line, and then lines are not divided.
    """
    each, step, outer, wide, strip, lines, chunk, step_of_set, weighted = numbers
    outers, loops = nests[:outer], nests[outer:]
    part, first, last, top, end = at
    chunks, strips = -(-lines // chunk), -(-wide // strip)
    divided = task != SUM + SOLVE + WRITE
    plain = all_moderate(w)
    k = np.empty(strip)
    for u in range(first, last):
        o = u // strips
        j0 = (u - o * strips) * strip
        n = min(strip, wide - j0)
        at_x, at_g, at_y, at_w, at_set = locate(o, outers)
        at_x, at_g, at_y = at_x + starts[X] + j0, at_g + starts[GRAD] + j0, at_y + starts[Y] + j0
        at_w, at_set = at_w + starts[WEIGHT] + j0 * step, at_set + starts[SET] + j0 // each * step_of_set
        found = sums[u if divided else part, :, :, :n]
        exact = found[chunks]
        for j in range(n):
            i = j // each
            if own:
                k[j] = np.float64(load(x, at_x + i * each)) if centered else 0.0
            else:
                k[j] = mean[at_set + i * step_of_set]
        summing, again, a, e = task & SUM != 0, False, top, end
        while True:
            if summing and weighted:
                line_sums(x, g, w, at_x, at_g, at_w, loops, lines, step, k, found[0])
            elif summing:
                for i in range(a, e):
                    column_sums(x, g, at_x, at_g, loops, i * chunk, min((i + 1) * chunk, lines), k, found[i])
            if task & SOLVE == 0:
                break
            for j in range(n):
                for v in range(4):
                    exact[v, j] = found[0, v, j]
                    for i in range(1, chunks):
                        exact[v, j] += found[i, v, j]
            if not own or not centered or again:
                break
            for i in range(0, n, each):
                total = squares = 0.0
                for j in range(i, i + each):
                    total += exact[0, j]
                    squares += exact[1, j]
                if cancelled(total, squares, each * lines):
                    again = True
                    for j in range(i, i + each):
                        k[j] += total / (each * lines)
            if not again:
                break
            summing, a, e = True, 0, chunks
        if task & SOLVE != 0:
            for i in range(0, n, each):
                total = squares = of_g = of_product = 0.0
                for j in range(i, i + each):
                    scale = 1.0 if weighted else w[at_w + j * step]
                    total += exact[0, j]
                    squares += exact[1, j]
                    of_g += scale * exact[2, j]
                    of_product += scale * exact[3, j]
                s = at_set + i // each * step_of_set
                of_set = (total, squares, of_g, of_product)
                m, r, mu, b, c = solve(of_set, k[i], each * lines, divisor, eps, own, centered, fixed, mean[s], rstd[s])
                mean[s], rstd[s] = m, r
                for j in range(i, i + each):
                    if not weighted:
                        of_bias[part, at_w + j * step] += exact[2, j]
                        of_weight[part, at_w + j * step] += (exact[3, j] - mu * exact[2, j]) * r
                    exact[0, j], exact[1, j], exact[2, j], exact[3, j] = r, m, b, c
        if task & WRITE != 0:
            if weighted:
                parameters_of_lines(x, g, at_x, at_g, at_w, loops, lines, step, exact, of_weight[part], of_bias[part])
            stop = min(end * chunk, lines)
            write_columns(x, g, y, w, at_x, at_g, at_y, at_w, loops, top * chunk, stop, step, plain, exact)
