// The kernels of one instruction set, as a table of functions.

#pragma once

#include <cstdint>

namespace framecast {

enum Type { float32 = 0, float64 = 1, bfloat16 = 2 };
enum Scan { linear = 0, min_gru = 1, min_lstm = 2, min_exp_lstm = 3 };

// A sequence of grids [batch, time, channels, space]; with channels_last the storage is
// [batch, time, space, channels].
struct Shape {
    int64_t batch, time, channels, space;
    bool channels_last;
};

// The inputs of a scan: a and b of the linear one; or gates, their parts side by side along
// the channels of one tensor, and b null. Gradients have the form of what they belong to.
struct ScanForward {
    Scan scan;
    Type type;
    Shape shape;
    const void *a, *b, *h0;
    void* h;
    int threads;
};

struct ScanBackward {
    Scan scan;
    Type type;
    Shape shape;
    const void *grad, *a, *h0, *h;
    void *grad_a, *grad_b, *grad_h0;
    int threads;
};

struct Kernels {
    const char* name;
    void (*scan_forward)(const ScanForward&);
    void (*scan_backward)(const ScanBackward&);
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
