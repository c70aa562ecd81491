"""The loops of the gradient over columns; the sums and coefficients are those of `gradient_kernels`.

Several lines of x and of the gradient are read at a time. The sums of each column are in an array of their own, because
LLVM uses vector instructions only if it knows that nothing else is in that memory.
"""

import numpy as np

from normviz.backends.compiled.gradient_kernels import (
    FAST,
    GRAD,
    SET,
    SOLVE,
    SUM,
    WEIGHT,
    WRITE,
    X,
    Y,
    all_moderate,
    cancelled,
    locate,
    moderate,
    ordinary,
    solve,
)
from normviz.backends.compiled.machine_code import compiled, part_of_loop
from normviz.backends.compiled.numbers import empty, load, store, work


@part_of_loop(fastmath=FAST)
def column_sums(x, g, at_x, at_g, loops, first, last, k, sums):
    """Write the sums of `row_sums` down every column of some lines."""
    n = sums.shape[1]
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
def gradient_over_columns(arrays, how, options, at, task):
    """Do tasks on strips of columns.

    `at`: part, its first and last strip, and the first and last chunk of lines of each. A set consists of `each`
    neighbouring columns; of one where the weight changes from line to line, and then lines are not divided.
    """
    x, g, y, w, mean, rstd, sums, of_weight, of_bias = arrays
    nests, numbers, starts = how
    own, centered = options[0], options[1]
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
                m, r, mu, b, c = solve(of_set, k[i], each * lines, options, mean[s], rstd[s])
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
