// The kernels of one instruction set, as a table of functions.

#pragma once

#include <cstdint>

namespace framecast {

enum Type { float32 = 0, float64 = 1, bfloat16 = 2 };
enum Scan { linear = 0, min_gru = 1, min_lstm = 2, min_exp_lstm = 3 };
enum class Activation { none = 0, gelu = 1, elu = 2 };

// A sequence of grids [batch, time, channels, space]; with channels_last the storage is
// [batch, time, space, channels].
struct Shape {
    int64_t batch, time, channels, space;
    bool channels_last;
};

// The inputs of a scan: a and b of the linear one; or gates, their parts side by side along
// the channels of one tensor, and b null. Gradients have the form of what they belong to.
struct ScanForwardCall {
    Scan scan;
    Type type;
    Shape shape;
    const void *a, *b, *h0;
    void* h;
    int threads;
};

struct ScanBackwardCall {
    Scan scan;
    Type type;
    Shape shape;
    const void *grad, *a, *h0, *h;
    void *grad_a, *grad_b, *grad_h0;
    int threads;
};

// b and x are [batch, time, 2·channels, space] = [Re, Im]; λ and its gradient, [channels] each or
// [batch, time, channels] with lam_by_frame, are float32, or float64 where b is.
struct ComplexForwardCall {
    Type type;
    Shape shape;
    bool lam_by_frame;
    const void *lam_re, *lam_im, *b, *x0;
    void* x;
    int threads;
};

struct ComplexBackwardCall {
    Type type;
    Shape shape;
    bool lam_by_frame;
    const void *grad, *lam_re, *lam_im, *x0, *x;
    void *grad_lam_re, *grad_lam_im, *grad_b, *grad_x0;
    int threads;
};

// One step of an LSTM; gates are [batch, 4·channels, space] and the shape's time is 1.
struct CellForwardCall {
    Type type;
    Shape shape;
    const void *gates, *c;
    void *h, *next_c;
    int threads;
};

struct CellBackwardCall {
    Type type;
    Shape shape;
    const void *grad_h, *grad_next_c, *gates, *c;
    void *grad_gates, *grad_c;
    int threads;
};

// Norm of x + update (or of x, update null) and activation, frames [batch, channels, space] stored
// channels-last: over `groups` of channels and the grid, weight and bias of `channels` elements; or,
// groups 0, over the grid of each channel, of `space` elements. mean and scale =
// 1/√(variance + epsilon) are [batch, groups], or [batch, channels]. They, weight and bias are
// float32, or float64 where x is.
struct NormForwardCall {
    Type type;
    Shape shape;
    int64_t groups;
    Activation activation;
    double epsilon;
    const void *x, *update, *weight, *bias;
    void *y, *mean, *scale;
    int threads;
};

struct NormBackwardCall {
    Type type;
    Shape shape;
    int64_t groups;
    Activation activation;
    const void *grad, *x, *update, *weight, *bias, *mean, *scale;
    void *grad_x, *grad_weight, *grad_bias;
    int threads;
};

// Frames [frames, height, width, channels] and the same with `reach` cells more on each side,
// continued periodically; the way back goes from the larger to the smaller.
struct WrapCall {
    Type type;
    int64_t frames, channels, height, width, reach_y, reach_x;
    const void* from;
    void* to;
    int threads;
};
struct WrapForwardCall : WrapCall {};
struct WrapBackwardCall : WrapCall {};

struct Kernels {
    const char* name;
    void (*scan_forward)(const ScanForwardCall&);
    void (*scan_backward)(const ScanBackwardCall&);
    void (*complex_forward)(const ComplexForwardCall&);
    void (*complex_backward)(const ComplexBackwardCall&);
    void (*cell_forward)(const CellForwardCall&);
    void (*cell_backward)(const CellBackwardCall&);
    void (*norm_forward)(const NormForwardCall&);
    void (*norm_backward)(const NormBackwardCall&);
    void (*wrap_forward)(const WrapForwardCall&);
    void (*wrap_backward)(const WrapBackwardCall&);
};

namespace baseline {
extern const Kernels kernels;
}
namespace avx2 {
extern const Kernels kernels;
}
namespace avx512 {
extern const Kernels kernels;
}

}  // namespace framecast
