// Enough of CUDA to run kernels.cu on a CPU, for its arithmetic and its indices, not for its speed.
//
// A thread is a fiber. All fibers of a block advance in turn, so that giving way is a barrier; a lane that comes to a
// shuffle while another lane of its warp does not is an error, as it is (undefined) on a GPU.
#pragma once
#include <ucontext.h>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>
#include <memory>
#include <vector>

#define __global__
#define __device__
#define __launch_bounds__(...)

struct Dim { unsigned x = 1; };
inline Dim threadIdx, blockIdx, blockDim, gridDim;

typedef _Float16 __half;
inline float __half2float(__half v) { return (float)v; }
inline __half __float2half_rn(float v) { return (__half)v; }
struct __nv_bfloat16 { uint16_t bits; };
inline float __bfloat162float(__nv_bfloat16 v) {
    const uint32_t u = uint32_t(v.bits) << 16;
    float f;
    memcpy(&f, &u, 4);
    return f;
}
inline __nv_bfloat16 __float2bfloat16_rn(float f) {
    uint32_t u;
    memcpy(&u, &f, 4);
    if ((u & 0x7fffffffu) > 0x7f800000u) return {0x7fff};
    return {uint16_t((u + 0x7fffu + ((u >> 16) & 1)) >> 16)};
}
inline float __fmaf_ieee_rn(float a, float b, float c) { return std::fma(a, b, c); }
inline unsigned __float_as_uint(float f) {
    uint32_t u;
    memcpy(&u, &f, 4);
    return u;
}
inline unsigned long long __umul64hi(unsigned long long a, unsigned long long b) {
    return (unsigned long long)(((unsigned __int128)a * b) >> 64);
}

namespace emulation {
inline const size_t STACK = 1 << 16;
inline ucontext_t scheduler;
inline std::vector<ucontext_t> fiber;
inline std::vector<std::unique_ptr<char[]>> stack;
inline std::vector<char> done;
inline std::vector<double> slot;                    // what each thread offers to a shuffle
inline std::vector<long> shuffles;                  // how many each thread has made
inline const std::function<void()> *body;
inline bool diverged;

inline void give_way() {
    const unsigned t = threadIdx.x;
    swapcontext(&fiber[t], &scheduler);
    threadIdx.x = t;
}
inline void entry() {
    const unsigned t = threadIdx.x;
    (*body)();
    done[t] = 1;
    swapcontext(&fiber[t], &scheduler);
}
inline void fibers(unsigned block) {
    fiber.resize(block), done.assign(block, 0), slot.assign(block, 0), shuffles.assign(block, 0);
    while (stack.size() < block) stack.emplace_back(new char[STACK]);
    for (unsigned t = 0; t < block; ++t) {
        getcontext(&fiber[t]);
        fiber[t].uc_stack.ss_sp = stack[t].get();
        fiber[t].uc_stack.ss_size = STACK;
        fiber[t].uc_link = nullptr;
        makecontext(&fiber[t], entry, 0);
    }
    for (bool live = true; live;) {
        live = false;
        for (unsigned t = 0; t < block; ++t) {
            if (done[t]) continue;
            threadIdx.x = t;
            swapcontext(&scheduler, &fiber[t]);
            live |= !done[t];
        }
    }
}
// Runs blocks `first` to `last` of a grid; kernels that never shuffle need no fibers. Returns 1 if warps diverged.
inline int launch(unsigned grid, unsigned block, unsigned first, unsigned last, bool warps, const std::function<void()> &f) {
    body = &f, gridDim.x = grid, blockDim.x = block, diverged = false;
    for (blockIdx.x = first; blockIdx.x < last; ++blockIdx.x) {
        if (warps) fibers(block);
        else
            for (threadIdx.x = 0; threadIdx.x < block; ++threadIdx.x) f();
    }
    return diverged;
}
}  // namespace emulation

template <typename A> A __shfl_xor_sync(unsigned, A value, int other) {
    using namespace emulation;
    const unsigned t = threadIdx.x, warp = t & ~31u;
    slot[t] = (double)value;
    ++shuffles[t];
    give_way();
    for (unsigned w = warp; w < warp + 32; ++w)
        if (shuffles[w] != shuffles[t] || done[w]) diverged = true;
    const A result = (A)slot[t ^ other];
    give_way();
    return result;
}
