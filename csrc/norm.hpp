// Layer norm of x + update, in frames that store the channels of a pixel side by side: over
// the grid of each channel, with a scale and shift for each pixel; or over a whole frame,
// with a scale and shift for each channel.
//
// Sums run in float over a block of pixels and in double over the blocks, in an order that
// does not depend on the number of threads. Variances are sums of squared distances from the
// mean of their own block, merged by Chan's formula: nothing cancels.

#pragma once

#include <cstdlib>

#include "blocks.hpp"

namespace framecast::FRAMECAST_SET {

// What both passes share: how the frames are cut, and where the inputs lie.
template <class Stored>
struct NormInputs {
    using Scalar = Accumulator<Stored>;
    int64_t frames, pixels, channels;
    bool whole;  // over the whole frame
    const Stored *x, *update;
    const Scalar* weight;
    int64_t rows = smaller(256, larger(16, block_elements / larger(1, channels)));
    int64_t blocks = divide_up(pixels, rows);

    NormInputs(const Shape& shape, bool whole_, const void* x_, const void* update_,
               const void* weight_)
        : frames(shape.batch), pixels(shape.space), channels(shape.channels), whole(whole_),
          x(static_cast<const Stored*>(x_)), update(static_cast<const Stored*>(update_)),
          weight(static_cast<const Scalar*>(weight_)) {}

    int64_t statistics() const { return whole ? 1 : channels; }  // of each frame
    int64_t counted() const { return whole ? pixels * channels : pixels; }
    int64_t first_row(int64_t block) const { return block * rows; }
    int64_t end_row(int64_t block) const { return smaller(pixels, (block + 1) * rows); }
    int64_t at(int64_t frame, int64_t row) const { return (frame * pixels + row) * channels; }

    template <class Row>
    FRAMECAST_INLINE Vec<Scalar> sum(const NormInputs& in, const Row& row, int64_t place) {
        const Vec<Scalar> value = Row::read(row, in.x + place);
        return in.update ? value + Row::read(row, in.update + place) : value;
    }
};

// Numbers of the accumulating type in the same columns as a row of the tensors.
template <class Row, class Scalar>
FRAMECAST_INLINE Vec<Scalar> get(const Row& row, const Scalar* from) {
    if constexpr (Row::whole) return load(from);
    return load_some(from, row.columns);
}
template <class Row, class Scalar>
FRAMECAST_INLINE void put(const Row& row, Scalar* to, Vec<Scalar> value) {
    if constexpr (Row::whole) return store(to, value);
    store_some(to, value, row.columns);
}

// Calls body.on<vectors>(row, first_vector) for strips that cover a row, of four vectors or
// fewer: their sums stay in registers.
template <class Row, class Body>
FRAMECAST_INLINE void strips(const Row& row, Body&& body) {
    for (int64_t v = 0; v < row.vectors(); v += 4) {
        switch (smaller(4, row.vectors() - v)) {
            case 1: body.template on<1>(row, v); break;
            case 2: body.template on<2>(row, v); break;
            case 3: body.template on<3>(row, v); break;
            default: body.template on<4>(row, v);
        }
    }
}

// Runs the stages of a pass over every frame: each block, the frame as a whole, each block.
// Frames are shared among threads; the blocks of a frame only where frames are too few.
template <class Pass>
void run_stages(Pass& pass, int64_t frames, int64_t blocks, int64_t elements, int threads) {
    struct Context {
        Pass& pass;
        int64_t blocks;
    } context{pass, blocks};
    if (frames >= threads || frames * elements < 2 * block_elements) {
        const auto frame = [](void* pointer, int64_t n) {
            Context& c = *static_cast<Context*>(pointer);
            for (int64_t b = 0; b < c.blocks; ++b) c.pass.gather(n, b);
            c.pass.settle(n);
            for (int64_t b = 0; b < c.blocks; ++b) c.pass.apply(n, b);
        };
        return parallel_for(frames, frames * elements, threads, frame, &context);
    }
    const auto gather = [](void* pointer, int64_t item) {
        Context& c = *static_cast<Context*>(pointer);
        c.pass.gather(item / c.blocks, item % c.blocks);
    };
    const auto apply = [](void* pointer, int64_t item) {
        Context& c = *static_cast<Context*>(pointer);
        c.pass.apply(item / c.blocks, item % c.blocks);
    };
    parallel_for(frames * blocks, frames * elements, threads, gather, &context);
    for (int64_t n = 0; n < frames; ++n) pass.settle(n);
    parallel_for(frames * blocks, frames * elements, threads, apply, &context);
}

// --- forward ----------------------------------------------------------------------------

template <class Stored, class Row>
struct NormForward {
    using Scalar = Accumulator<Stored>;
    using V = Vec<Scalar>;
    NormInputs<Stored> in;
    double epsilon;
    const Scalar* bias;
    Stored* y;
    Scalar *mean, *scale;  // [frames, statistics]; scale is 1/√(variance + epsilon)
    Scalar* moments;       // [frames, blocks, 2, channels]: means and squared distances
    Row row{in.channels};

    Scalar* moments_of(int64_t n, int64_t b) const {
        return moments + (n * in.blocks + b) * 2 * in.channels;
    }

    void gather(int64_t n, int64_t b) { strips(row, Gather{*this, n, b}); }

    struct Gather {
        NormForward& pass;
        int64_t n, b;

        template <int vectors>
        void on(const Row& row, int64_t first) {
            const NormInputs<Stored>& in = pass.in;
            V total[vectors] = {}, rest[vectors] = {}, squares[vectors] = {};
            const int64_t begin = in.first_row(b), end = in.end_row(b);
            for (int64_t r = begin; r < end; ++r)
                for (int i = 0; i < vectors; ++i)
                    total[i] += in.sum(in, row, in.at(n, r) + row.start(first + i));
            for (int i = 0; i < vectors; ++i) total[i] = total[i] / Scalar(end - begin);
            for (int64_t r = begin; r < end; ++r)
                for (int i = 0; i < vectors; ++i) {
                    const V d = in.sum(in, row, in.at(n, r) + row.start(first + i)) - total[i];
                    rest[i] += d;
                    squares[i] += d * d;
                }
            Scalar* const to = pass.moments_of(n, b);
            for (int i = 0; i < vectors; ++i) {
                // What the mean of large numbers lost to rounding.
                squares[i] -= rest[i] * rest[i] / Scalar(end - begin);
                total[i] += rest[i] / Scalar(end - begin);
                put(row, to + row.start(first + i), total[i]);
                put(row, to + in.channels + row.start(first + i), squares[i]);
            }
        }
    };

    void settle(int64_t n) {
        if (in.whole) return settle(n, 0, 0, in.channels);
        for (int64_t c = 0; c < in.channels; ++c) settle(n, c, c, c + 1);
    }

    // One statistic of a frame, from the moments of some of its columns.
    void settle(int64_t n, int64_t statistic, int64_t first, int64_t end) {
        double total = 0, squares = 0;
        for (int64_t b = 0; b < in.blocks; ++b) {
            const double rows = double(in.end_row(b) - in.first_row(b));
            for (int64_t c = first; c < end; ++c) total += rows * double(moments_of(n, b)[c]);
        }
        const double centre = total / double(in.counted());
        for (int64_t b = 0; b < in.blocks; ++b) {
            const double rows = double(in.end_row(b) - in.first_row(b));
            const Scalar* const here = moments_of(n, b);
            for (int64_t c = first; c < end; ++c) {
                const double apart = double(here[c]) - centre;
                squares += double(here[in.channels + c]) + rows * apart * apart;
            }
        }
        mean[n * in.statistics() + statistic] = Scalar(centre);
        scale[n * in.statistics() + statistic] =
            Scalar(1 / __builtin_sqrt(squares / double(in.counted()) + epsilon));
    }

    void apply(int64_t n, int64_t b) { strips(row, Apply{*this, n, b}); }

    struct Apply {
        NormForward& pass;
        int64_t n, b;

        template <int vectors>
        void on(const Row& row, int64_t first) {
            const NormInputs<Stored>& in = pass.in;
            V m[vectors], s[vectors], w[vectors], shift[vectors];
            for (int i = 0; i < vectors; ++i) {
                const int64_t c = row.start(first + i), statistic = n * in.channels + c;
                m[i] = in.whole ? pass.mean[n] + V{} : get(row, pass.mean + statistic);
                s[i] = in.whole ? pass.scale[n] + V{} : get(row, pass.scale + statistic);
                w[i] = in.whole ? get(row, in.weight + c) : V{};
                shift[i] = in.whole ? get(row, pass.bias + c) : V{};
            }
            for (int64_t r = in.first_row(b); r < in.end_row(b); ++r)
                for (int i = 0; i < vectors; ++i) {
                    const int64_t place = in.at(n, r) + row.start(first + i);
                    const V unit = (in.sum(in, row, place) - m[i]) * s[i];
                    const V value = in.whole ? unit * w[i] + shift[i]
                                             : unit * in.weight[r] + pass.bias[r];
                    Row::write(row, pass.y + place, value);
                }
        }
    };
};

// --- backward ---------------------------------------------------------------------------

// With u = (x + update − mean)·scale and g the gradient of u, the gradient of x + update is
// scale·(g − mean(g) − u·mean(g·u)).
template <class Stored, class Row>
struct NormBackward {
    using Scalar = Accumulator<Stored>;
    using V = Vec<Scalar>;
    NormInputs<Stored> in;
    const Stored* grad;
    const Scalar *mean, *scale;
    Stored* grad_x;
    Scalar* columns;  // [frames, blocks, 2, channels]: sums over pixels of grad and grad·u,
                      // grad times its pixel's weight where weights belong to pixels
    Scalar* pixels;   // [frames, 2, pixels]: sums over channels of grad and grad·u, not `whole`
    Scalar* means;    // [frames, 2, statistics]: mean(g) and mean(g·u)
    Row row{in.channels};

    Scalar* columns_of(int64_t n, int64_t b) const {
        return columns + (n * in.blocks + b) * 2 * in.channels;
    }

    // Of the lanes of a vector, those that the vector before it does not hold.
    static V fresh(const Row& row, int64_t vector) {
        V lanes_kept = V{} + 1;
        const int64_t twice = Row::whole ? vector * Row::width - row.start(vector) : 0;
        for (int64_t i = 0; i < twice; ++i) lanes_kept[i] = 0;
        return lanes_kept;
    }

    static Scalar across(V x) {
        Scalar total = 0;
        for (int i = 0; i < Row::width; ++i) total += x[i];
        return total;
    }

    void gather(int64_t n, int64_t b) {
        if (!in.whole)
            for (int64_t r = in.first_row(b); r < in.end_row(b); ++r)
                pixels[2 * n * in.pixels + r] = pixels[(2 * n + 1) * in.pixels + r] = 0;
        strips(row, Gather{*this, n, b});
    }

    template <int vectors>
    void statistics(const Row& row, int64_t n, int64_t first, V* m, V* s) const {
        for (int i = 0; i < vectors; ++i) {
            const int64_t c = n * in.channels + row.start(first + i);
            m[i] = in.whole ? mean[n] + V{} : get(row, mean + c);
            s[i] = in.whole ? scale[n] + V{} : get(row, scale + c);
        }
    }

    struct Gather {
        NormBackward& pass;
        int64_t n, b;

        template <int vectors>
        void on(const Row& row, int64_t first) {
            const NormInputs<Stored>& in = pass.in;
            V m[vectors], s[vectors], sum[vectors] = {}, product[vectors] = {};
            pass.template statistics<vectors>(row, n, first, m, s);
            const V last = fresh(row, first + vectors - 1);
            for (int64_t r = in.first_row(b); r < in.end_row(b); ++r) {
                V of_pixel = {}, of_pixel_product = {};
                const Scalar w = in.whole ? Scalar(1) : in.weight[r];
                for (int i = 0; i < vectors; ++i) {
                    const int64_t place = in.at(n, r) + row.start(first + i);
                    const V u = (in.sum(in, row, place) - m[i]) * s[i];
                    const V g = Row::read(row, pass.grad + place);
                    sum[i] += g * w;
                    product[i] += g * u * w;
                    const V once = i == vectors - 1 ? g * last : g;
                    of_pixel += once;
                    of_pixel_product += once * u;
                }
                if (!in.whole) {
                    pass.pixels[2 * n * in.pixels + r] += across(of_pixel);
                    pass.pixels[(2 * n + 1) * in.pixels + r] += across(of_pixel_product);
                }
            }
            Scalar* const to = pass.columns_of(n, b);
            for (int i = 0; i < vectors; ++i) {
                put(row, to + row.start(first + i), sum[i]);
                put(row, to + in.channels + row.start(first + i), product[i]);
            }
        }
    };

    void settle(int64_t n) {
        if (in.whole) return settle(n, 0, 0, in.channels);
        for (int64_t c = 0; c < in.channels; ++c) settle(n, c, c, c + 1);
    }

    void settle(int64_t n, int64_t statistic, int64_t first, int64_t end) {
        double sum = 0, product = 0;
        for (int64_t b = 0; b < in.blocks; ++b)
            for (int64_t c = first; c < end; ++c) {
                const double w = in.whole ? double(in.weight[c]) : 1;
                sum += w * double(columns_of(n, b)[c]);
                product += w * double(columns_of(n, b)[in.channels + c]);
            }
        Scalar* const to = means + 2 * n * in.statistics() + statistic;
        to[0] = Scalar(sum / double(in.counted()));
        to[in.statistics()] = Scalar(product / double(in.counted()));
    }

    void apply(int64_t n, int64_t b) { strips(row, Apply{*this, n, b}); }

    struct Apply {
        NormBackward& pass;
        int64_t n, b;

        template <int vectors>
        void on(const Row& row, int64_t first) {
            const NormInputs<Stored>& in = pass.in;
            V m[vectors], s[vectors], w[vectors], sum[vectors], product[vectors];
            pass.template statistics<vectors>(row, n, first, m, s);
            const Scalar* const from = pass.means + 2 * n * in.statistics();
            for (int i = 0; i < vectors; ++i) {
                const int64_t c = row.start(first + i);
                w[i] = in.whole ? get(row, in.weight + c) : V{};
                sum[i] = in.whole ? from[0] + V{} : get(row, from + c);
                product[i] = in.whole ? from[1] + V{} : get(row, from + in.channels + c);
            }
            for (int64_t r = in.first_row(b); r < in.end_row(b); ++r)
                for (int i = 0; i < vectors; ++i) {
                    const int64_t place = in.at(n, r) + row.start(first + i);
                    const V u = (in.sum(in, row, place) - m[i]) * s[i];
                    const V g = Row::read(row, pass.grad + place);
                    const V inner = in.whole ? g * w[i] : g * in.weight[r];
                    Row::write(row, pass.grad_x + place,
                               s[i] * (inner - sum[i] - u * product[i]));
                }
        }
    };

    // The gradients of weight and bias, from the sums of all frames.
    void total(Scalar* grad_weight, Scalar* grad_bias) const {
        const int64_t size = in.whole ? in.channels : in.pixels;
        const int64_t parts = in.whole ? in.frames * in.blocks : in.frames;
        const Scalar* const from = in.whole ? columns : pixels;
        for (int64_t i = 0; i < size; ++i) {
            double bias = 0, weight = 0;
            for (int64_t p = 0; p < parts; ++p) {
                bias += double(from[2 * p * size + i]);
                weight += double(from[(2 * p + 1) * size + i]);
            }
            grad_bias[i] = Scalar(bias);
            grad_weight[i] = Scalar(weight);
        }
    }
};

// --- calls ------------------------------------------------------------------------------

template <class Stored, class Row>
void norm_forward_of(const NormForwardCall& call) {
    using Scalar = Accumulator<Stored>;
    const NormInputs<Stored> in(call.shape, call.whole, call.x, call.update, call.weight);
    const int64_t size = 2 * in.frames * in.blocks * in.channels;
    Scalar* const moments = static_cast<Scalar*>(malloc(size * sizeof(Scalar)));
    NormForward<Stored, Row> pass{in, call.epsilon, static_cast<const Scalar*>(call.bias),
                                  static_cast<Stored*>(call.y), static_cast<Scalar*>(call.mean),
                                  static_cast<Scalar*>(call.scale), moments};
    run_stages(pass, in.frames, in.blocks, in.pixels * in.channels, call.threads);
    free(moments);
}

template <class Stored, class Row>
void norm_backward_of(const NormBackwardCall& call) {
    using Scalar = Accumulator<Stored>;
    const NormInputs<Stored> in(call.shape, call.whole, call.x, call.update, call.weight);
    const int64_t columns = 2 * in.frames * in.blocks * in.channels;
    const int64_t pixels = in.whole ? 0 : 2 * in.frames * in.pixels;
    const int64_t size = columns + pixels + 2 * in.frames * in.statistics();
    Scalar* const sums = static_cast<Scalar*>(malloc(size * sizeof(Scalar)));
    NormBackward<Stored, Row> pass{
        in, static_cast<const Stored*>(call.grad), static_cast<const Scalar*>(call.mean),
        static_cast<const Scalar*>(call.scale), static_cast<Stored*>(call.grad_x), sums,
        sums + columns, sums + columns + pixels};
    run_stages(pass, in.frames, in.blocks, in.pixels * in.channels, call.threads);
    pass.total(static_cast<Scalar*>(call.grad_weight), static_cast<Scalar*>(call.grad_bias));
    free(sums);
}

template <class Stored>
void norm_forward(const NormForwardCall& call) {
    if (call.shape.channels >= lanes<Stored>) return norm_forward_of<Stored, Row<Stored, true>>(call);
    norm_forward_of<Stored, Row<Stored, false>>(call);
}

template <class Stored>
void norm_backward(const NormBackwardCall& call) {
    if (call.shape.channels >= lanes<Stored>)
        return norm_backward_of<Stored, Row<Stored, true>>(call);
    norm_backward_of<Stored, Row<Stored, false>>(call);
}

}  // namespace framecast::FRAMECAST_SET
