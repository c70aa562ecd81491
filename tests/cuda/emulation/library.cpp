// kernels.cu as a library of C functions: one a kernel and type, with the template's numbers as arguments.
#include "cuda.h"
#include KERNELS

#define RUN(WARPS, CALL) return emulation::launch(grid, block, first, last, WARPS, [&] { CALL; })
#define GRID unsigned grid, unsigned block, unsigned first, unsigned last

#define MOMENTS(NAME, T, A, HALF)                                                                                       \
    extern "C" int moments_##NAME##_##A(int, const T *x, double *atoms, i64 rows, i64 L, i64 splits, i64 step, int team, \
                                        int width, GRID) {                                                             \
        RUN(true, (moments<T, A, 4>(x, atoms, rows, L, splits, step, team, width)));                                   \
    }                                                                                                                  \
    extern "C" int column_moments_##NAME##_##A(int W, const T *x, double *atoms, i64 outer, i64 K, i64 B, i64 splits,    \
                                               i64 step, int width, GRID) {                                            \
        RUN(false, (W == 1 ? column_moments<T, A, 1, 8>(x, atoms, outer, K, B, splits, step, width)                     \
                           : column_moments<T, A, HALF, 8>(x, atoms, outer, K, B, splits, step, width)));               \
    }

#define AFFINE(NAME, T, WIDE)                                                                                           \
    typedef Parameters<Work<T>::type> P_##NAME;                                                                        \
    extern "C" int affine_##NAME##_(int W, const T *x, const P_##NAME *rows, T *y, i64 size, i64 L, u64 reciprocal,      \
                                    GRID) {                                                                            \
        RUN(false, (W == 1 ? affine<T, 1, 4>(x, rows, y, size, L, reciprocal)                                           \
                           : affine<T, WIDE, 4>(x, rows, y, size, L, reciprocal)));                                     \
    }                                                                                                                  \
    extern "C" int affine_grid_##NAME##_(int W, const T *x, const P_##NAME *rows, const P_##NAME *columns, T *y,         \
                                         i64 size, i64 B, u64 reciprocal, i64 K, u64 reciprocal_k, GRID) {              \
        RUN(false, (W == 1 ? affine_grid<T, 1, 2>(x, rows, columns, y, size, B, reciprocal, K, reciprocal_k)            \
                           : affine_grid<T, WIDE, 2>(x, rows, columns, y, size, B, reciprocal, K, reciprocal_k)));      \
    }

MOMENTS(float, float, float, 2)
MOMENTS(float, float, double, 2)
MOMENTS(__half, __half, float, 4)
MOMENTS(__half, __half, double, 4)
MOMENTS(__nv_bfloat16, __nv_bfloat16, float, 4)
MOMENTS(__nv_bfloat16, __nv_bfloat16, double, 4)
MOMENTS(double, double, double, 1)
AFFINE(float, float, 4)
AFFINE(double, double, 2)
AFFINE(__half, __half, 8)
AFFINE(__nv_bfloat16, __nv_bfloat16, 8)

extern "C" int merge__(int, const double *atoms, double *out, i64 I, i64 K, i64 J, i64 P, int team, int width,
                      double count, int width_out, GRID) {
    RUN(true, merge(atoms, out, I, K, J, P, team, width, count, width_out));
}
extern "C" i64 quotient_(i64 e, i64 L, u64 reciprocal) { return quotient(e, L, reciprocal); }
