// The door of the library: plain C functions that Python's ctypes calls with raw pointers.
//
// Sizes are in elements, tensors are dense: [B, T, C, S] in that order of storage, or
// [B, T, S, C] with channels_last. Types: 0 float32, 1 float64, 2 bfloat16. The caller
// answers for sizes and pointers.

#include <atomic>
#include <cstring>

#include "kernels.hpp"
#include "parallel.hpp"

#define FRAMECAST_API extern "C" __attribute__((visibility("default")))

namespace framecast {
namespace {

bool runs_here(const Kernels& kernels) {
#ifdef FRAMECAST_X86
    if (&kernels == &avx512::kernels)
        return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
               __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
               __builtin_cpu_supports("fma");
    if (&kernels == &avx2::kernels)
        return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#endif
    return &kernels == &baseline::kernels;
}

const Kernels* const best_first[] = {
#ifdef FRAMECAST_X86
    &avx512::kernels,
    &avx2::kernels,
#endif
    &baseline::kernels,
};

const Kernels* best() {
    for (const Kernels* kernels : best_first)
        if (runs_here(*kernels)) return kernels;
    return &baseline::kernels;
}

std::atomic<const Kernels*>& chosen() {
    static std::atomic<const Kernels*> kernels{best()};
    return kernels;
}

}  // namespace
}  // namespace framecast

using namespace framecast;

FRAMECAST_API int framecast_version() { return 4; }

FRAMECAST_API const char* framecast_instruction_set() { return chosen().load()->name; }

FRAMECAST_API const char* framecast_parallel_backend() { return parallel_backend(); }

// Takes the instruction set of that name ("baseline", "avx2", "avx512"); 0 where the library
// or the processor does not have it.
FRAMECAST_API int framecast_use_instruction_set(const char* name) {
    for (const Kernels* kernels : best_first)
        if (strcmp(kernels->name, name) == 0 && runs_here(*kernels)) {
            chosen() = kernels;
            return 1;
        }
    return 0;
}

// What every kernel is told of its tensors.
#define FRAMECAST_TENSORS                                                                        \
    int type, int channels_last, int threads, int64_t batch, int64_t time, int64_t channels,     \
        int64_t space
#define FRAMECAST_TYPE_AND_SHAPE \
    static_cast<Type>(type), { batch, time, channels, space, channels_last != 0 }

FRAMECAST_API void framecast_scan(FRAMECAST_TENSORS, int scan, const void* a, const void* b,
                                  const void* h0, void* h) {
    chosen().load()->scan_forward(
        {static_cast<Scan>(scan), FRAMECAST_TYPE_AND_SHAPE, a, b, h0, h, threads});
}

FRAMECAST_API void framecast_scan_backward(FRAMECAST_TENSORS, int scan, const void* grad,
                                           const void* a, const void* h0, const void* h,
                                           void* grad_a, void* grad_b, void* grad_h0) {
    chosen().load()->scan_backward({static_cast<Scan>(scan), FRAMECAST_TYPE_AND_SHAPE, grad, a,
                                    h0, h, grad_a, grad_b, grad_h0, threads});
}

FRAMECAST_API void framecast_complex_scan(FRAMECAST_TENSORS, int lam_by_frame,
                                          const void* lam_re, const void* lam_im, const void* b,
                                          const void* x0, void* x) {
    chosen().load()->complex_forward(
        {FRAMECAST_TYPE_AND_SHAPE, lam_by_frame != 0, lam_re, lam_im, b, x0, x, threads});
}

FRAMECAST_API void framecast_complex_scan_backward(FRAMECAST_TENSORS, int lam_by_frame,
                                                   const void* grad,
                                                   const void* lam_re, const void* lam_im,
                                                   const void* x0, const void* x,
                                                   void* grad_lam_re, void* grad_lam_im,
                                                   void* grad_b, void* grad_x0) {
    chosen().load()->complex_backward({FRAMECAST_TYPE_AND_SHAPE, lam_by_frame != 0, grad, lam_re,
                                       lam_im, x0, x, grad_lam_re, grad_lam_im, grad_b, grad_x0,
                                       threads});
}

FRAMECAST_API void framecast_lstm_cell(FRAMECAST_TENSORS, const void* gates, const void* c,
                                       void* h, void* next_c) {
    chosen().load()->cell_forward({FRAMECAST_TYPE_AND_SHAPE, gates, c, h, next_c, threads});
}

FRAMECAST_API void framecast_lstm_cell_backward(FRAMECAST_TENSORS, const void* grad_h,
                                                const void* grad_next_c, const void* gates,
                                                const void* c, void* grad_gates, void* grad_c) {
    chosen().load()->cell_backward({FRAMECAST_TYPE_AND_SHAPE, grad_h, grad_next_c, gates, c,
                                    grad_gates, grad_c, threads});
}

// The shape's time is 1.
FRAMECAST_API void framecast_norm(FRAMECAST_TENSORS, int64_t groups, int activation,
                                  double epsilon, const void* x, const void* update,
                                  const void* weight, const void* bias, void* y, void* mean,
                                  void* scale) {
    chosen().load()->norm_forward({FRAMECAST_TYPE_AND_SHAPE, groups,
                                   static_cast<Activation>(activation), epsilon, x, update,
                                   weight, bias, y, mean, scale, threads});
}

FRAMECAST_API void framecast_norm_backward(FRAMECAST_TENSORS, int64_t groups, int activation,
                                           const void* grad, const void* x, const void* update,
                                           const void* weight, const void* bias,
                                           const void* mean, const void* scale, void* grad_x,
                                           void* grad_weight, void* grad_bias) {
    chosen().load()->norm_backward({FRAMECAST_TYPE_AND_SHAPE, groups,
                                    static_cast<Activation>(activation), grad, x, update, weight,
                                    bias, mean, scale, grad_x, grad_weight, grad_bias, threads});
}

#define FRAMECAST_WRAP                                                                        \
    int type, int threads, int64_t frames, int64_t channels, int64_t height, int64_t width,   \
        int64_t reach_y, int64_t reach_x, const void *from, void *to
#define FRAMECAST_WRAP_CALL                                                                   \
    {{static_cast<Type>(type), frames, channels, height, width, reach_y, reach_x, from, to,   \
      threads}}

FRAMECAST_API void framecast_wrap(FRAMECAST_WRAP) {
    chosen().load()->wrap_forward(FRAMECAST_WRAP_CALL);
}

FRAMECAST_API void framecast_wrap_backward(FRAMECAST_WRAP) {
    chosen().load()->wrap_backward(FRAMECAST_WRAP_CALL);
}
