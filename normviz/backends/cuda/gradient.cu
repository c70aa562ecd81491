// The gradient of y = x_hat * weight + bias by x: rstd * (weight * g - mean(weight * g) - x_hat * mean(weight * g * x_hat)).
// First sums of g and of g * x_hat over rows or columns, then the output. It comes after affine.cu.
//
// x and g are (outer, K, B). HOLD tells where the statistics change, and the weight: 0 from column to column, both, with a
// table of `period` columns for every K rows, repeated along B; 1 statistics from row to row, the weight from column to
// column; 2 the other way round; 3 both from row to row. W divides B.
//
// Sums are taken in double: weight * g - mean(weight * g) is nearly 0 in a set of few cells, and is divided by their std.
template <typename T> using Set = Centred<typename Work<T>::type>;
template <typename T> using Pair = Scaled<typename Work<T>::type>;
// Minus the two means of a set; `rest` is what rounding took from the first.
template <typename A> struct alignas(16) Means { A plain, rest, with_x_hat, unused; };

// The sums over B, of weight * g where the weight changes along it, of rows that are cut into `splits` pieces of `step`
// values, by teams of lanes as in `moments`.
template <typename T, int W, int U, int HOLD>
__global__ void __launch_bounds__(256)
row_slopes(const T *__restrict__ x, const T *__restrict__ g, const Set<T> *__restrict__ sets, const Pair<T> *__restrict__ weights,
           double *__restrict__ sums, i64 outer, i64 K, i64 B, i64 splits, i64 step, int team) {
    const int lane = threadIdx.x & (team - 1);
    const i64 count = outer * K * splits, teams = (i64)gridDim.x * blockDim.x / team, turns = (count + teams - 1) / teams;
    i64 piece = ((i64)blockIdx.x * blockDim.x + threadIdx.x) / team;
    for (i64 turn = 0; turn < turns; ++turn, piece += teams) {
        Sums total = {0.0, 0.0};
        if (piece < count) {
            const i64 row = piece / splits, lo = (piece - row * splits) * step, len = lo + step < B ? step : B - lo,
                      vecs = len / W, columns = row / K * B + lo;
            const Vec<T, W> *from = (const Vec<T, W> *)(x + row * B + lo), *slope = (const Vec<T, W> *)(g + row * B + lo);
            Set<T> set;
            if (HOLD != 2) set = sets[row];
            for (i64 j = lane; j < vecs; j += (i64)team * U) {
                Vec<T, W> v[U], d[U];
#pragma unroll
                for (int u = 0; u < U; ++u)
                    if (j + (i64)u * team < vecs) v[u] = from[j + (i64)u * team], d[u] = slope[j + (i64)u * team];
#pragma unroll
                for (int u = 0; u < U; ++u) {
                    if (j + (i64)u * team >= vecs) continue;
#pragma unroll
                    for (int w = 0; w < W; ++w) {
                        const i64 c = columns + (j + (i64)u * team) * W + w;
                        double of = wide(up(d[u].v[w]));
                        if (HOLD == 1) of *= wide(weights[c].weight);
                        if (HOLD == 2) set = sets[c];
                        total.s += of;
                        total.q += of * wide(set(up(v[u].v[w])));
                    }
                }
            }
        }
        total.join(team);
        if (piece < count && lane == 0) {
            sums[2 * piece] = total.s;
            sums[2 * piece + 1] = total.q;
        }
    }
}

// The sums over K, of columns cut likewise.
template <typename T, int W, int U, int HOLD>
__global__ void __launch_bounds__(256)
column_slopes(const T *__restrict__ x, const T *__restrict__ g, const Set<T> *__restrict__ sets,
              const Pair<T> *__restrict__ weights, double *__restrict__ sums, i64 outer, i64 K, i64 B, i64 period, i64 splits,
              i64 step) {
    const i64 vecs = B / W, count = outer * splits * vecs, threads = (i64)gridDim.x * blockDim.x;
    for (i64 t = (i64)blockIdx.x * blockDim.x + threadIdx.x; t < count; t += threads) {
        const i64 piece = t / vecs, column = (t - piece * vecs) * W, o = piece / splits, lo = (piece - o * splits) * step,
                  stop = lo + step < K ? lo + step : K;
        Set<T> set[HOLD == 1 ? 1 : W];
        if (HOLD != 1)
#pragma unroll
            for (int w = 0; w < W; ++w) set[w] = sets[o * period + (column + w) % period];
        Sums total[W];
#pragma unroll
        for (int w = 0; w < W; ++w) total[w].s = total[w].q = 0.0;
        for (i64 k = lo; k < stop; k += U) {
            Vec<T, W> v[U], d[U];
#pragma unroll
            for (int u = 0; u < U; ++u)
                if (k + u < stop) {
                    const i64 at = (o * K + k + u) * B + column;
                    v[u] = *(const Vec<T, W> *)(x + at), d[u] = *(const Vec<T, W> *)(g + at);
                }
#pragma unroll
            for (int u = 0; u < U; ++u) {
                if (k + u >= stop) continue;
                if (HOLD == 1) set[0] = sets[o * K + k + u];
                const double weight = HOLD == 2 ? wide(weights[o * K + k + u].weight) : 1.0;
#pragma unroll
                for (int w = 0; w < W; ++w) {
                    const double of = wide(up(d[u].v[w])) * weight;
                    total[w].s += of;
                    total[w].q += of * wide(set[HOLD == 1 ? 0 : w](up(v[u].v[w])));
                }
            }
        }
#pragma unroll
        for (int w = 0; w < W; ++w) {
            double *sum = sums + 2 * (piece * B + column + w);
            sum[0] = total[w].s;
            sum[1] = total[w].q;
        }
    }
}

// The output. `means` are laid out as `sets`. Threads walk as in `affine_grid`.
template <typename T, int W, int U, int HOLD>
__global__ void __launch_bounds__(256)
slopes(const T *__restrict__ x, const T *__restrict__ g, const Set<T> *__restrict__ sets,
       const Means<typename Work<T>::type> *__restrict__ means, const Pair<T> *__restrict__ weights, T *__restrict__ y, i64 outer, i64 K, i64 B, i64 period, i64 lanes) {
    typedef typename Work<T>::type A;
    const bool SETS = HOLD == 0 || HOLD == 2, WEIGHTS = HOLD < 2;   // what the columns hold
    const i64 vecs = B / W, count = outer * lanes * vecs, threads = (i64)gridDim.x * blockDim.x;
    for (i64 t = (i64)blockIdx.x * blockDim.x + threadIdx.x; t < count; t += threads) {
        const i64 piece = t / vecs, column = (t - piece * vecs) * W, back = piece / lanes, lane = piece - back * lanes,
                  o = outer - 1 - back;
        Set<T> set[SETS ? W : 1];
        Means<A> mean[SETS ? W : 1];
        A weight[WEIGHTS ? W : 1];
#pragma unroll
        for (int w = 0; w < W; ++w) {
            const i64 c = o * period + (column + w) % period;
            if (SETS) set[w] = sets[c], mean[w] = means[c];
            if (WEIGHTS) weight[w] = weights[c].weight;
        }
        for (i64 k = K - 1 - lane; k >= 0; k -= lanes * U) {
            Vec<T, W> v[U], d[U];
#pragma unroll
            for (int u = 0; u < U; ++u)
                if (k - u * lanes >= 0) {
                    const i64 at = (o * K + k - u * lanes) * B + column;
                    v[u] = *(const Vec<T, W> *)(x + at), d[u] = *(const Vec<T, W> *)(g + at);
                }
#pragma unroll
            for (int u = 0; u < U; ++u) {
                const i64 row = o * K + k - u * lanes;
                if (k - u * lanes < 0) continue;
                if (!SETS) set[0] = sets[row], mean[0] = means[row];
                if (!WEIGHTS) weight[0] = weights[row].weight;
#pragma unroll
                for (int w = 0; w < W; ++w) {
                    const Set<T> &one = set[SETS ? w : 0];
                    const Means<A> &less = mean[SETS ? w : 0];
                    const A of = plus(fused(weight[WEIGHTS ? w : 0], up(d[u].v[w]), less.plain), less.rest);
                    const A slope = fused(one(up(v[u].v[w])), less.with_x_hat, of);
                    down(times(times(slope, one.scale), one.factor), v[u].v[w]);
                }
                *(Vec<T, W> *)(y + row * B + column) = v[u];
            }
        }
    }
}
