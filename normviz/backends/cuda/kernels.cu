// The GPU's part of normviz: moments of rows and of columns, their merge, and y = (x - mean) * scale + shift.
//
// An atom is (mean, M2) where all counts are equal (width 2), else (count, mean, M2) (width 3); always double.
// Nothing here crosses a warp, so there is no shared memory and no barrier. Every index is 64 bits wide.
// Included before this file: cuda_fp16.h and cuda_bf16.h.

typedef long long i64;
typedef unsigned long long u64;

// What the output is computed in. (Moments are told, as A, what to take a tile in; tiles are added up in double.)
template <typename T> struct Work { typedef float type; };
template <> struct Work<double> { typedef double type; };

// ---- arithmetic --------------------------------------------------------------------------------------------------

// CuPy compiles with -ftz=true, and after our own options, so a float's +, -, *, / and conversions take subnormals for 0.
// These do not, at the same speed. Floats are calculated with and converted by them alone (tests/cuda/test_compile.py).
__device__ inline float fused(float a, float b, float c) { return __fmaf_ieee_rn(a, b, c); }
__device__ inline double fused(double a, double b, double c) { return fma(a, b, c); }
__device__ inline float plus(float a, float b) { return fused(a, 1.0f, b); }
__device__ inline double plus(double a, double b) { return a + b; }
__device__ inline float times(float a, float b) { return fused(a, b, -0.0f); }
__device__ inline double times(double a, double b) { return a * b; }
__device__ inline float minus(float a) { return fused(a, -1.0f, -0.0f); }
__device__ inline double minus(double a) { return -a; }
__device__ inline double wide(double v) { return v; }
#ifdef __CUDA_ARCH__
__device__ inline double wide(float v) {
    double d;
    asm("cvt.f64.f32 %0, %1;" : "=d"(d) : "f"(v));
    return d;
}
__device__ inline float narrow(double v) {
    float f;
    asm("cvt.rn.f32.f64 %0, %1;" : "=f"(f) : "d"(v));
    return f;
}
#else
inline double wide(float v) { return v; }
inline float narrow(double v) { return (float)v; }
#endif
__device__ inline void to(float v, float &a) { a = v; }
__device__ inline void to(float v, double &a) { a = wide(v); }
__device__ inline void to(double v, double &a) { a = v; }
__device__ inline void to(double v, float &a) { a = narrow(v); }
template <typename A, typename B> __device__ inline A as(B v) {
    A a;
    to(v, a);
    return a;
}

__device__ inline float up(float v) { return v; }
__device__ inline double up(double v) { return v; }
__device__ inline float up(__half v) { return __half2float(v); }
__device__ inline float up(__nv_bfloat16 v) { return __bfloat162float(v); }
__device__ inline void down(float v, float &o) { o = v; }
__device__ inline void down(double v, double &o) { o = v; }
__device__ inline void down(float v, __half &o) { o = __float2half_rn(v); }
__device__ inline void down(float v, __nv_bfloat16 &o) { o = __float2bfloat16_rn(v); }

__device__ inline unsigned apart(float a, float b) { return __float_as_uint(a) ^ __float_as_uint(b); }
__device__ inline unsigned apart(double a, double b) { return a != b; }

template <typename T, int W> struct alignas(W * sizeof(T)) Vec { T v[W]; };

// ---- moments -----------------------------------------------------------------------------------------------------

// Sums over a piece of a set, relative to `origin`, the piece's first value: a constant leaves exactly 0, and adding
// needs no division. Q - S^2 / n loses few digits, because the piece holds that value itself and is short (kernels.py).
struct Sums {
    double s, q;
    __device__ void add(double n, double mean, double m2) {
        s += n * mean;
        q += m2 + n * mean * mean;
    }
    __device__ void join(int team) {                // the sums of all lanes of a team, in all of them
        for (int o = team >> 1; o; o >>= 1) {
            s += __shfl_xor_sync(0xffffffffu, s, o);
            q += __shfl_xor_sync(0xffffffffu, q, o);
        }
    }
    __device__ void write(double *atom, int width, double n, double origin) const {
        const double mean = s / n, m2 = q - s * mean;
        if (width == 3) atom[-1] = n;
        atom[0] = origin + mean;
        atom[1] = m2 < 0.0 ? 0.0 : m2;              // rounding may go below 0; NaN stays
    }
};

// Adds a tile of M values, of which n are `held`, by two passes over registers: E[x^2] - E[x]^2 would lose every digit
// once |mean| >> std. The pivot is one of them, so neither a large mean nor an outlier elsewhere in the set costs digits.
template <typename A, int M, typename Get, typename Held>
__device__ inline void add_tile(Sums &sums, double origin, Get get, Held held, A pivot, int n) {
    A scale = A(1), centre, off, m2;
    double unscale = 1.0;
    const A share = as<A>(1.0 / n);
    while (true) {
        // By fours: shorter chains of rounded sums, and of instructions that wait for each other.
        A sum = A(0);
        off = m2 = A(0);
        const A start = times(pivot, scale), less = minus(start);
#pragma unroll
        for (int i = 0; i < M; i += 4) {
            A four = A(0);
#pragma unroll
            for (int k = i; k < i + 4; ++k)
                if (held(k)) four = plus(four, fused(as<A>(get(k)), scale, less));
            sum = plus(sum, four);
        }
        // Any centre near the mean will do, for what is off is found below; from this one, each value is rounded once.
        centre = fused(sum, share, start);
        const A centred = minus(centre);
#pragma unroll
        for (int i = 0; i < M; i += 4) {
            A four = A(0), squares = A(0);
#pragma unroll
            for (int k = i; k < i + 4; ++k)
                if (held(k)) {
                    const A d = fused(as<A>(get(k)), scale, centred);
                    four = plus(four, d);
                    squares = fused(d, d, squares);
                }
            off = plus(off, four);
            m2 = plus(m2, squares);
        }
        off = times(off, share);
        m2 = fused(times(off, A(-n)), off, m2);
        // Outside these limits a float's squares vanish or overflow (1e-30, 1e20): once more, by a power of two larger or
        // smaller, which is exact. (Values of 1 and more that differ at all differ by more.)
        const bool small = m2 < A(1e-30f) && pivot > A(-1) && pivot < A(1);
        if (sizeof(A) > 4 || scale != A(1) || (!small && m2 <= A(1e37f))) break;
        unsigned different = 0;                     // if none is: zeros after a ReLU, most often, and nothing to rescue
#pragma unroll
        for (int k = 0; k < M; ++k)
            if (held(k)) different |= apart(as<A>(get(k)), pivot);
        if (!different) break;
        scale = small ? A(0x1p100f) : A(0x1p-70f);
        unscale = small ? 0x1p-100 : 0x1p70;
    }
    const double mean = (wide(centre) * unscale - origin) + wide(off) * unscale;
    sums.add((double)n, mean, wide(m2) * unscale * unscale);
}

struct Every { __device__ bool operator()(int) const { return true; } };

// Rows of L adjacent values, each cut into `splits` pieces of `step` values, make one atom a piece. A team of 1 to 32
// lanes of one warp takes a piece: many short rows share a warp, few long ones are cut. A lane keeps U loads of 16
// bytes in flight. Without the bound on registers, float32 would keep fewer warps.
template <typename T, typename A, int U>
__global__ void __launch_bounds__(256, sizeof(T) + sizeof(A) == 8 ? 3 : 2)
moments(const T *__restrict__ x, double *__restrict__ atoms, i64 rows, i64 L, i64 splits, i64 step, int team, int width) {
    const int W = 16 / sizeof(T), lane = threadIdx.x & (team - 1);
    const i64 count = rows * splits, teams = (i64)gridDim.x * blockDim.x / team,
              turns = (count + teams - 1) / teams;  // the same for all lanes, because they shuffle
    i64 piece = ((i64)blockIdx.x * blockDim.x + threadIdx.x) / team;
    for (i64 turn = 0; turn < turns; ++turn, piece += teams) {
        Sums sums = {0.0, 0.0};
        double origin = 0.0;
        i64 len = 1;
        if (piece < count) {
            const i64 row = splits == 1 ? piece : piece / splits, lo = (piece - row * splits) * step;
            len = lo + step < L ? step : L - lo;
            // Vectors are aligned in memory, not in the row: `skew` values of the first one precede the piece.
            const T *base = x + row * L + lo;
            origin = wide(up(base[0]));
            const int skew = int((u64)base / sizeof(T) % W);
            base -= skew;
            const i64 end = skew + len, vecs = (end + W - 1) / W;
            for (i64 j = lane; j < vecs; j += (i64)team * U) {
                Vec<T, W> v[U];
                auto get = [&](int i) { return up(v[i / W].v[i % W]); };
                if ((j > 0 || skew == 0) && (j + (i64)team * (U - 1) + 1) * W <= end) {
#pragma unroll
                    for (int u = 0; u < U; ++u) v[u] = ((const Vec<T, W> *)base)[j + (i64)u * team];
                    add_tile<A, U * W>(sums, origin, get, Every(), as<A>(get(0)), U * W);
                } else {                            // a tile that overhangs the piece: mask it
                    const int stride = team * W, before = j == 0 ? skew : 0,
                              after = end - j * W < stride * U ? int(end - j * W) : stride * U;
                    auto held = [&](int i) { return i / W * stride + i % W < after && i >= before; };
                    int n = -before;
#pragma unroll
                    for (int u = 0; u < U; ++u) {
                        const T *p = base + (j * W + u * stride);
                        const int here = after - u * stride;
                        if (here <= 0) continue;
                        n += here < W ? here : W;
                        if (p >= x && p + W <= x + rows * L) v[u] = *(const Vec<T, W> *)p;
                        else
#pragma unroll
                            for (int w = 0; w < W; ++w)
                                if (held(u * W + w)) v[u].v[w] = p[w];
                    }
                    add_tile<A, U * W>(sums, origin, get, held, as<A>(up(base[j * W + before])), n);
                }
            }
        }
        sums.join(team);
        if (piece < count && lane == 0) sums.write(atoms + width * piece + width - 2, width, (double)len, origin);
    }
}

// x as (outer, K, B): one atom a column of K values that lie B apart, cut into `splits` pieces of `step` values. A
// thread takes W adjacent columns, U rows at a time; neighbouring threads read neighbouring memory. W divides B.
template <typename T, typename A, int W, int U>
__global__ void __launch_bounds__(256)
column_moments(const T *__restrict__ x, double *__restrict__ atoms, i64 outer, i64 K, i64 B, i64 splits, i64 step, int width) {
    const i64 vecs = B / W, count = outer * splits * vecs, threads = (i64)gridDim.x * blockDim.x;
    for (i64 t = (i64)blockIdx.x * blockDim.x + threadIdx.x; t < count; t += threads) {
        const i64 piece = t / vecs, column = (t - piece * vecs) * W, o = piece / splits, lo = (piece - o * splits) * step,
                  len = lo + step < K ? step : K - lo;
        const T *base = x + (o * K + lo) * B + column;
        const Vec<T, W> first = *(const Vec<T, W> *)base;
        Sums sums[W];
#pragma unroll
        for (int w = 0; w < W; ++w) sums[w].s = sums[w].q = 0.0;
        for (i64 k = 0; k < len; k += U) {
            const int n = len - k < U ? int(len - k) : U;
            Vec<T, W> v[U];
#pragma unroll
            for (int u = 0; u < U; ++u)
                if (u < n) v[u] = *(const Vec<T, W> *)(base + (k + u) * B);
#pragma unroll
            for (int w = 0; w < W; ++w) {
                auto get = [&](int u) { return up(v[u].v[w]); };
                const double origin = wide(up(first.v[w]));
                if (n == U) add_tile<A, U>(sums[w], origin, get, Every(), as<A>(get(0)), U);
                else add_tile<A, U>(sums[w], origin, get, [&](int u) { return u < n; }, as<A>(get(0)), n);
            }
        }
#pragma unroll
        for (int w = 0; w < W; ++w)
            sums[w].write(atoms + width * (piece * B + column + w) + width - 2, width, (double)len, wide(up(first.v[w])));
    }
}

// ---- merge -------------------------------------------------------------------------------------------------------

struct Atom {                                       // Chan, Golub & LeVeque 1983
    double n, mean, m2;
    __device__ void merge(double bn, double bmean, double bm2) {
        const double total = n + bn, w = total > 0.0 ? bn / total : 0.0, d = bmean - mean;
        mean += d * w;
        m2 += bm2 + d * (d * (n * w));              // in this order, 1e200 merged into nothing stays 0
        n = total;
    }
    __device__ void join(int team) {
        for (int o = team >> 1; o; o >>= 1) {
            const double bn = __shfl_xor_sync(0xffffffffu, n, o), bmean = __shfl_xor_sync(0xffffffffu, mean, o),
                         bm2 = __shfl_xor_sync(0xffffffffu, m2, o);
            merge(bn, bmean, bm2);
        }
    }
};

// atoms[i, k, j] merged over the p-th of P chunks of 0 <= k < K: out[i, j, p]. A team takes one output; the next team takes
// the next j, whose atoms lie beside. Atoms of width 2 all count `count`.
__global__ void __launch_bounds__(256)
merge(const double *__restrict__ atoms, double *__restrict__ out, i64 I, i64 K, i64 J, i64 P, int team, int width,
      double count, int width_out) {
    const int lane = threadIdx.x & (team - 1);
    const i64 outputs = I * J * P, chunk = (K + P - 1) / P, teams = (i64)gridDim.x * blockDim.x / team,
              turns = (outputs + teams - 1) / teams;
    i64 o = ((i64)blockIdx.x * blockDim.x + threadIdx.x) / team;
    for (i64 turn = 0; turn < turns; ++turn, o += teams) {
        Atom sum = {0.0, 0.0, 0.0};
        if (o < outputs) {
            const i64 j = o % J, p = o / J % P, i = o / J / P, stop = (p + 1) * chunk < K ? (p + 1) * chunk : K;
            for (i64 k = p * chunk + lane; k < stop; k += team) {
                const double *a = atoms + width * ((i * K + k) * J + j) + width - 2;
                sum.merge(width == 3 ? a[-1] : count, a[0], a[1]);
            }
        }
        sum.join(team);
        if (o < outputs && lane == 0) {
            const i64 j = o % J, p = o / J % P, i = o / J / P;
            double *a = out + width_out * ((i * J + j) * P + p) + width_out - 2;
            if (width_out == 3) a[-1] = sum.n;
            a[0] = sum.mean;
            a[1] = sum.m2;
        }
    }
}

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
