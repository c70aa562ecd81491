// kernels.cu as a library of C functions, one a kernel, which take what cuLaunchKernel takes: pointers to the arguments.
#include "cuda.h"
#include KERNELS
#include <utility>

template <typename... P, size_t... I>
int run(bool warps, void (*kernel)(P...), void **arguments, const unsigned *grid, std::index_sequence<I...>) {
    return emulation::launch(grid[0], grid[1], grid[2], grid[3], warps, [&] { kernel(*(P *)arguments[I]...); });
}
template <typename... P> int run(bool warps, void (*kernel)(P...), void **arguments, const unsigned *grid) {
    return run(warps, kernel, arguments, grid, std::index_sequence_for<P...>());
}
// Kernels that shuffle run as `warps`. The kernel's name has commas, so it comes last.
#define KERNEL(WARPS, SYMBOL, ...)                                                  \
    extern "C" int SYMBOL(void **arguments, const unsigned *grid) {                 \
        return run(WARPS, __VA_ARGS__, arguments, grid);                            \
    }
#include "instances.h"

extern "C" i64 quotient_(i64 e, i64 L, u64 reciprocal) { return quotient(e, L, reciprocal); }
