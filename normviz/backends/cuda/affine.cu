// Tables of parameters, and y = (x - mean) * scale + shift by them. It comes after kernels.cu.

// ---- tables of parameters ----------------------------------------------------------------------------------------

// What a table holds: statistics, (x * factor + less) * scale + shift, or the affine map of weight and bias, or both in the
// first form. `less` is -mean * factor; `factor` is 1 except where float32 would leave its range, and a power of two, so it
// changes no digit.
template <typename A> struct alignas(16) Centred {
    A factor, less, scale, shift;
    __device__ A operator()(A x) const { return fused(fused(x, factor, less), scale, shift); }
};
template <typename A> struct alignas(2 * sizeof(A)) Scaled {
    A weight, bias;
    __device__ A operator()(A x) const { return fused(x, weight, bias); }
};

// A table over the axes of x in the order of memory: n entries along an axis (1 where it does not change), a set for every
// `cells` of them, and the steps from one set, one weight and one bias to the next.
struct Table { i64 size, statistics, affine, n[5], cells[5], sets[5], weight[5], bias[5]; };
struct Tables { Table rows, columns; };

struct Parameter {                                  // an array of any floating type, or none
    const void *at;
    int type;
    __device__ double operator()(i64 i, double otherwise) const {
        if (!at) return otherwise;
        if (type == 0) return wide(up(((const __half *)at)[i]));
        if (type == 1) return wide(up(((const __nv_bfloat16 *)at)[i]));
        if (type == 2) return wide(((const float *)at)[i]);
        return ((const double *)at)[i];
    }
};

// `mean` and `spread` of a set are mean and M2 of `count` cells each, of which `kind` takes: 0 mean and variance, 1 no mean
// and the mean square, 2 no mean and the sum of squares. Or they are, 3, mean and 1 / std.
template <typename A>
__device__ inline void entry(const Table &table, i64 e, A *out, const double *means, const double *spreads, int kind,
                             double count, double eps, Parameter weight, Parameter bias) {
    i64 rest = e, set = 0, at_weight = 0, at_bias = 0;
#pragma unroll
    for (int axis = 4; axis >= 0; --axis) {
        const i64 i = table.n[axis] == 1 ? 0 : rest % table.n[axis];
        rest /= table.n[axis];
        set += i / table.cells[axis] * table.sets[axis];
        at_weight += i * table.weight[axis];
        at_bias += i * table.bias[axis];
    }
    const double w = table.affine ? weight(at_weight, 1.0) : 1.0, b = table.affine ? bias(at_bias, 0.0) : 0.0;
    if (!table.statistics) {
        ((Scaled<A> *)out)[e] = {as<A>(w), as<A>(b)};
        return;
    }
    double mean = means[set], rstd = spreads[set];
    if (kind < 3) {
        double var = rstd / count;
        if (kind) {
            var += mean * mean;
            if (kind == 2) var *= count;
            mean = 0.0;
        }
        rstd = 1.0 / sqrt(var + eps);
    }
    double factor = 1.0;
    if (sizeof(A) == 4) {
        // A difference from a larger mean may overflow, and larger and smaller inverses are infinite or have few digits.
        // (A set that varies so little has a small mean, or is constant and becomes 0 with any factor.)
        if (fabs(mean) > 0x1p100 || rstd < 0x1p-100) factor = 0x1p-24;
        else if (rstd > 0x1p100 && fabs(mean) < 1.0) factor = 0x1p64;
        mean *= factor;
        rstd /= factor;
        if (rstd > 0x1p100) rstd = 0x1p100;
    }
    const A less = as<A>(-mean);
    const double scale = rstd * w;                  // what rounding takes from the mean goes into the shift
    ((Centred<A> *)out)[e] = {as<A>(factor), less, as<A>(scale), as<A>((-mean - wide(less)) * scale + b)};
}

template <typename A>
__global__ void __launch_bounds__(256)
table(Tables tables, A *rows, A *columns, const double *means, const double *spreads, int kind, double count, double eps,
      const void *weight, int weight_type, const void *bias, int bias_type) {
    const i64 first = tables.rows.size, size = first + tables.columns.size, threads = (i64)gridDim.x * blockDim.x;
    const Parameter w = {weight, weight_type}, b = {bias, bias_type};
    for (i64 t = (i64)blockIdx.x * blockDim.x + threadIdx.x; t < size; t += threads)
        if (t < first) entry<A>(tables.rows, t, rows, means, spreads, kind, count, eps, w, b);
        else entry<A>(tables.columns, t - first, columns, means, spreads, kind, count, eps, w, b);
}

// ---- affine ------------------------------------------------------------------------------------------------------

// e / L by a reciprocal rounded up, floor(2^64 / L) + 1, and one correction; 0 stands for L = 1 and for a single row.
__device__ inline i64 quotient(i64 e, i64 L, u64 reciprocal) {
    if (reciprocal == 0) return L == 1 ? e : 0;
    const i64 q = (i64)__umul64hi((u64)e, reciprocal);
    return q * L > e ? q - 1 : q;
}

// y = (x - mean) * scale + shift with one entry of `rows` for every L values. Centred first: folded into scale * x + shift
// it would lose four digits at |mean| / std = 1e5. It runs from the last value to the first, because what `moments` read
// last is still in the L2 cache. y may be x.
template <typename T, int W, int U>
__global__ void __launch_bounds__(256)
affine(const T *x, const Centred<typename Work<T>::type> *__restrict__ rows, T *y, i64 size, i64 L, u64 reciprocal) {
    typedef Centred<typename Work<T>::type> P;
    const i64 vecs = size / W, tile = (i64)blockDim.x * U, lead = (vecs + tile - 1) / tile * tile;
    for (i64 t = (i64)blockIdx.x * tile; t < lead; t += (i64)gridDim.x * tile) {
        Vec<T, W> v[U];
#pragma unroll
        for (int u = 0; u < U; ++u) {
            const i64 j = lead - 1 - t - threadIdx.x - (i64)u * blockDim.x;
            if (j < vecs) v[u] = ((const Vec<T, W> *)x)[j];
        }
#pragma unroll
        for (int u = 0; u < U; ++u) {
            const i64 j = lead - 1 - t - threadIdx.x - (i64)u * blockDim.x, e = j * W;
            if (j >= vecs) continue;
            const i64 r = quotient(e, L, reciprocal);
            const P whole = rows[r];
            const bool one = e + W <= (r + 1) * L;  // else the vector spans rows
#pragma unroll
            for (int w = 0; w < W; ++w) {
                const P p = one ? whole : rows[quotient(e + w, L, reciprocal)];
                down(p(up(v[u].v[w])), v[u].v[w]);
            }
            ((Vec<T, W> *)y)[j] = v[u];
        }
    }
    if (blockIdx.x == 0 && vecs * W + threadIdx.x < size) {     // fewer than W values remain
        const i64 e = vecs * W + threadIdx.x;
        const P p = rows[quotient(e, L, reciprocal)];
        down(p(up(x[e])), y[e]);
    }
}

// Where an entry changes from column to column: x as (tables, K, B), a table of `period` columns for every K rows, repeated
// along B. HOLD tells what the columns hold: 0 everything, 1 weight and bias, after the rows' statistics, 2 statistics,
// before the rows' weight and bias. A thread keeps W adjacent columns and walks down the rows, from the last one as above,
// `lanes` threads side by side. W divides B.
template <typename T, int W, int U, int HOLD>
__global__ void __launch_bounds__(256)
affine_grid(const T *x, const typename Work<T>::type *__restrict__ rows,
            const typename Work<T>::type *__restrict__ columns, T *y, i64 tables, i64 K, i64 B, i64 period, i64 lanes) {
    typedef typename Work<T>::type A;
    const i64 vecs = B / W, count = tables * lanes * vecs, threads = (i64)gridDim.x * blockDim.x;
    for (i64 t = (i64)blockIdx.x * blockDim.x + threadIdx.x; t < count; t += threads) {
        const i64 piece = t / vecs, column = (t - piece * vecs) * W, back = piece / lanes, lane = piece - back * lanes,
                  table = tables - 1 - back;
        const T *from = x + table * K * B + column;
        T *into = y + table * K * B + column;
        Centred<A> centred[HOLD == 1 ? 1 : W];
        Scaled<A> scaled[HOLD == 1 ? W : 1];
#pragma unroll
        for (int w = 0; w < W; ++w) {
            const i64 c = table * period + (column + w) % period;
            if (HOLD == 1) scaled[w] = ((const Scaled<A> *)columns)[c];
            else centred[w] = ((const Centred<A> *)columns)[c];
        }
        for (i64 k = K - 1 - lane; k >= 0; k -= lanes * U) {
            Vec<T, W> v[U];
#pragma unroll
            for (int u = 0; u < U; ++u)
                if (k - u * lanes >= 0) v[u] = *(const Vec<T, W> *)(from + (k - u * lanes) * B);
#pragma unroll
            for (int u = 0; u < U; ++u) {
                const i64 row = k - u * lanes;
                if (row < 0) continue;
                if (HOLD == 1) centred[0] = ((const Centred<A> *)rows)[table * K + row];
                if (HOLD == 2) scaled[0] = ((const Scaled<A> *)rows)[table * K + row];
#pragma unroll
                for (int w = 0; w < W; ++w) {
                    A d = centred[HOLD == 1 ? 0 : w](up(v[u].v[w]));
                    if (HOLD) d = scaled[HOLD == 1 ? w : 0](d);
                    down(d, v[u].v[w]);
                }
                *(Vec<T, W> *)(into + row * B) = v[u];
            }
        }
    }
}
