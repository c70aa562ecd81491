// kernels.cu as a library of C functions: one a kernel and type, with the template's numbers as arguments.
#include "cuda.h"
#include KERNELS

#define RUN(WARPS, CALL) return emulation::launch(grid, block, first, last, WARPS, [&] { CALL; })
#define GRID unsigned grid, unsigned block, unsigned first, unsigned last

#define TYPE(NAME, T, WIDE, HALF)                                                                                       \
    typedef Parameters<Work<T>::type> P_##NAME;                                                                        \
    extern "C" int moments_##NAME(int, const T *x, double *atoms, i64 rows, i64 L, i64 splits, i64 step, int team,       \
                                  int width, GRID) {                                                                   \
        RUN(true, (moments<T, 4>(x, atoms, rows, L, splits, step, team, width)));                                      \
    }                                                                                                                  \
    extern "C" int column_moments_##NAME(int W, const T *x, double *atoms, i64 outer, i64 K, i64 B, i64 splits,          \
                                         i64 step, int width, GRID) {                                                  \
        RUN(false, (W == 1 ? column_moments<T, 1, 8>(x, atoms, outer, K, B, splits, step, width)                        \
                           : column_moments<T, HALF, 8>(x, atoms, outer, K, B, splits, step, width)));                  \
    }                                                                                                                  \
    extern "C" int affine_##NAME(int W, const T *x, const P_##NAME *rows, T *y, i64 size, i64 L, u64 reciprocal, GRID) { \
        RUN(false, (W == 1 ? affine<T, 1, 4>(x, rows, y, size, L, reciprocal)                                           \
                           : affine<T, WIDE, 4>(x, rows, y, size, L, reciprocal)));                                     \
    }                                                                                                                  \
    extern "C" int affine_grid_##NAME(int W, const T *x, const P_##NAME *rows, const P_##NAME *columns, T *y, i64 size,  \
                                      i64 B, u64 reciprocal, i64 K, u64 reciprocal_k, GRID) {                           \
        RUN(false, (W == 1 ? affine_grid<T, 1, 2>(x, rows, columns, y, size, B, reciprocal, K, reciprocal_k)            \
                           : affine_grid<T, WIDE, 2>(x, rows, columns, y, size, B, reciprocal, K, reciprocal_k)));      \
    }

TYPE(float, float, 4, 2)
TYPE(double, double, 2, 1)
TYPE(__half, __half, 8, 4)
TYPE(__nv_bfloat16, __nv_bfloat16, 8, 4)

extern "C" int merge_(int, const double *atoms, double *out, i64 I, i64 K, i64 J, i64 P, int team, int width,
                      double count, int width_out, GRID) {
    RUN(true, merge(atoms, out, I, K, J, P, team, width, count, width_out));
}
extern "C" i64 quotient_(i64 e, i64 L, u64 reciprocal) { return quotient(e, L, reciprocal); }
