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


@part_of_loop(forceinline=True)
def line_at(line, loops, at_x, at_g):
    """Return where a line begins in x and in the gradient."""
    x, grad, _, _, _ = locate(line, loops)
    return np.uint64(x + at_x), np.uint64(grad + at_g)


@part_of_loop(fastmath=FAST)
def column_sums(x, g, at_x, at_g, loops, first, last, k, sums):
    """Write the sums of `row_sums` down every column of some lines."""
    n = np.uint64(sums.shape[1])
    total, squares, of_g, of_product, origin = np.zeros(n), np.zeros(n), np.zeros(n), np.zeros(n), np.empty(n)
    for j in range(n):
        origin[j] = k[j]
    even = first + (last - first) // 4 * 4
    for line in range(first, even, 4):  # four at a time, because the sums of a column are in memory
        o, q = line_at(line, loops, at_x, at_g)
        o1, q1 = line_at(line + 1, loops, at_x, at_g)
        o2, q2 = line_at(line + 2, loops, at_x, at_g)
        o3, q3 = line_at(line + 3, loops, at_x, at_g)
        for j in range(n):
            d0, d1 = np.float64(load(x, o + j)) - origin[j], np.float64(load(x, o1 + j)) - origin[j]
            d2, d3 = np.float64(load(x, o2 + j)) - origin[j], np.float64(load(x, o3 + j)) - origin[j]
            e0, e1 = np.float64(load(g, q + j)), np.float64(load(g, q1 + j))
            e2, e3 = np.float64(load(g, q2 + j)), np.float64(load(g, q3 + j))
            total[j] += (d0 + d1) + (d2 + d3)
            squares[j] += (d0 * d0 + d1 * d1) + (d2 * d2 + d3 * d3)
            of_g[j] += (e0 + e1) + (e2 + e3)
            of_product[j] += (d0 * e0 + d1 * e1) + (d2 * e2 + d3 * e3)
    for line in range(even, last):
        o, q = line_at(line, loops, at_x, at_g)
        for j in range(n):
            d0, e0 = np.float64(load(x, o + j)) - origin[j], np.float64(load(g, q + j))
            total[j] += d0
            squares[j] += d0 * d0
            of_g[j] += e0
            of_product[j] += d0 * e0
    for j in range(n):
        sums[0, j], sums[1, j], sums[2, j], sums[3, j] = total[j], squares[j], of_g[j], of_product[j]


@part_of_loop(fastmath={"contract"})
def write_columns(x, g, y, w, at_x, at_g, at_y, at_w, loops, first, last, step, weighted, plain, exact):
    """Write a g - b (x - mean) - c for some lines.

    `exact` are a, mean, b and c of every column, or rstd in the place of a where the weight differs between lines.
    """
    n = np.uint64(exact.shape[1])
    rstd, mean, b, shift = empty(y, n), empty(y, n), empty(y, n), empty(y, n)
    for j in range(n):
        rstd[j], mean[j], b[j] = exact[0, j], exact[1, j], exact[2, j]
        shift[j] = exact[3, j] + exact[2, j] * (np.float64(mean[j]) - exact[1, j])
    for line in range(first, last):
        o, q, t, p, _ = locate(line, loops)
        o, q, t, p = np.uint64(o + at_x), np.uint64(q + at_g), np.uint64(t + at_y), np.uint64(p + at_w)
        if step == 0 or not weighted:
            scale = work(y, w[p] if weighted else 1.0)
            for j in range(n):
                store(y, t + j, rstd[j] * scale * load(g, q + j) - ((load(x, o + j) - mean[j]) * b[j] + shift[j]))
        else:
            for j in range(n):
                a = rstd[j] * work(y, w[p + j])
                store(y, t + j, a * load(g, q + j) - ((load(x, o + j) - mean[j]) * b[j] + shift[j]))
    for j in range(exact.shape[1]):
        if plain and moderate(exact[0, j]) and ordinary(exact[1, j]) and ordinary(exact[2, j]) and ordinary(shift[j]):
            continue
        for line in range(first, last):
            o, q, t, p, _ = locate(line, loops)
            a = exact[0, j] * (w[p + at_w + j * step] if weighted else 1.0)
            d = np.float64(load(x, o + at_x + j)) - exact[1, j]
            store(y, t + at_y + j, a * load(g, q + at_g + j) - (d * exact[2, j] + exact[3, j]))


@part_of_loop(fastmath=FAST)
def line_sums(x, g, w, at_x, at_g, at_w, loops, lines, step, k, sums):
    """Write the sums of `weighted_row_sums` down every column."""
    n = np.uint64(sums.shape[1])
    total, squares, of_g, of_product, origin = np.zeros(n), np.zeros(n), np.zeros(n), np.zeros(n), np.empty(n)
    for j in range(n):
        origin[j] = k[j]
    for line in range(lines):
        o, q = line_at(line, loops, at_x, at_g)
        p = np.uint64(locate(line, loops)[3] + at_w)
        if step == 0:
            scale = w[p]
            for j in range(n):
                d, e = np.float64(load(x, o + j)) - origin[j], np.float64(load(g, q + j)) * scale
                total[j] += d
                squares[j] += d * d
                of_g[j] += e
                of_product[j] += e * d
        else:
            for j in range(n):
                d, e = np.float64(load(x, o + j)) - origin[j], np.float64(load(g, q + j)) * w[p + j]
                total[j] += d
                squares[j] += d * d
                of_g[j] += e
                of_product[j] += e * d
    for j in range(n):
        sums[0, j], sums[1, j], sums[2, j], sums[3, j] = total[j], squares[j], of_g[j], of_product[j]


@part_of_loop(fastmath=FAST)
def parameters_of_lines(x, g, at_x, at_g, at_w, loops, lines, step, exact, of_weight, of_bias):
    """Add what each line has to do with the weight and the bias of its cells."""
    n = np.uint64(exact.shape[1])
    rstd, mean = np.empty(n), np.empty(n)
    for j in range(n):
        rstd[j], mean[j] = exact[0, j], exact[1, j]
    for line in range(lines):
        o, q = line_at(line, loops, at_x, at_g)
        p = np.uint64(locate(line, loops)[3] + at_w)
        if step == 0:
            weight = bias = 0.0
            for j in range(n):
                e = np.float64(load(g, q + j))
                bias += e
                weight += e * ((np.float64(load(x, o + j)) - mean[j]) * rstd[j])
            of_bias[p] += bias
            of_weight[p] += weight
        else:
            for j in range(n):
                e = np.float64(load(g, q + j))
                of_bias[p + j] += e
                of_weight[p + j] += e * ((np.float64(load(x, o + j)) - mean[j]) * rstd[j])


@compiled(error_model="numpy")
def gradient_over_columns(arrays, how, options, at, task):
    """Do tasks on strips of columns.

    `at`: part, its first and last strip, and the first and last chunk of lines of each. A set consists of `each`
    neighbouring columns; of one where the weight changes from line to line, and then lines are not divided. Of short
    lines, `beside` are taken as one: their columns have sums of their own.
    """
    x, g, y, w, mean, rstd, sums, of_weight, of_bias = arrays
    nests, numbers, starts = how
    own, centered = options[0], options[1]
    each, step, outer, wide, strip, lines, chunk, step_of_set, weighted, beside = numbers
    outers, loops = nests[:outer], nests[outer:]
    part, first, last, top, end = at
    chunks, strips = -(-lines // chunk), -(-wide // strip)
    divided = task != SUM + SOLVE + WRITE
    plain = all_moderate(w)
    k = np.empty(strip * beside)
    for u in range(first, last):
        o = u // strips
        j0 = (u - o * strips) * strip
        n = min(strip, wide - j0)
        at_x, at_g, at_y, at_w, at_set = locate(o, outers)
        at_x, at_g, at_y = at_x + starts[X] + j0, at_g + starts[GRAD] + j0, at_y + starts[Y] + j0
        at_w, at_set = at_w + starts[WEIGHT] + j0 * step, at_set + starts[SET] + j0 // each * step_of_set
        across, size = n * beside, each * lines * beside
        found = sums[u if divided else part, :, :, :across]
        exact = found[chunks]
        for i in range(0, n, each):
            origin = 0.0
            if not own:
                origin = mean[at_set + i // each * step_of_set]
            elif centered:
                origin = np.float64(load(x, at_x + i))
            for line in range(i, across, n):
                k[line : line + each] = origin
        summing, again, a, e = task & SUM != 0, False, top, end
        while True:
            if summing and weighted:
                line_sums(x, g, w, at_x, at_g, at_w, loops, lines, step, k, found[0])
            elif summing:
                for i in range(a, e):
                    column_sums(x, g, at_x, at_g, loops, i * chunk, min((i + 1) * chunk, lines), k, found[i])
            if task & SOLVE == 0:
                break
            for v in range(4):
                for j in range(n):
                    exact[v, j] = 0.0
                    for i in range(chunks):
                        for line in range(beside):
                            exact[v, j] += found[i, v, line * n + j]
            if not own or not centered or again:
                break
            for i in range(0, n, each):
                total = squares = 0.0
                for j in range(i, i + each):
                    total += exact[0, j]
                    squares += exact[1, j]
                if cancelled(total, squares, size):
                    again = True
                    for line in range(i, across, n):
                        k[line : line + each] += total / size
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
                m, r, mu, b, c = solve(of_set, k[i], size, options, rstd[s])
                mean[s], rstd[s] = m, r
                for j in range(i, i + each):
                    if not weighted:
                        of_bias[part, at_w + j * step] += exact[2, j]
                        of_weight[part, at_w + j * step] += (exact[3, j] - mu * exact[2, j]) * r
                    factor = r if weighted else r * w[at_w + j * step]
                    for other in range(j, across, n):
                        exact[0, other], exact[1, other], exact[2, other], exact[3, other] = factor, m, b, c
        if task & WRITE != 0:
            if weighted:
                parameters_of_lines(x, g, at_x, at_g, at_w, loops, lines, step, exact, of_weight[part], of_bias[part])
            stop = min(end * chunk, lines)
            write_columns(x, g, y, w, at_x, at_g, at_y, at_w, loops, top * chunk, stop, step, weighted, plain, exact)
