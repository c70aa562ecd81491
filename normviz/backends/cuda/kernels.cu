// The GPU's part of normviz: its arithmetic, moments of rows and of columns, and their merge. affine.cu and gradient.cu
// follow.
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
