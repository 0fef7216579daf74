// Norm of x + update and activation, in frames that store the channels of a pixel side by side:
// over the grid of each channel, with a scale and shift for each pixel; or over groups of
// channels and the grid, with a scale and shift for each channel.
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
    int64_t groups;  // 0: over the grid of each channel
    Activation activation;
    const Stored *x, *update;
    const Scalar *weight, *bias;
    int64_t rows = smaller(256, larger(16, block_elements / larger(1, channels)));
    int64_t blocks = divide_up(pixels, rows);

    template <class Call>
    explicit NormInputs(const Call& call)
        : frames(call.shape.batch), pixels(call.shape.space), channels(call.shape.channels),
          groups(call.groups), activation(call.activation), x(static_cast<const Stored*>(call.x)),
          update(static_cast<const Stored*>(call.update)),
          weight(static_cast<const Scalar*>(call.weight)),
          bias(static_cast<const Scalar*>(call.bias)) {}

    int64_t statistics() const { return groups ? groups : channels; }  // of each frame
    int64_t together() const { return channels / statistics(); }       // channels of a statistic
    int64_t counted() const { return pixels * together(); }
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

// The statistics of the channels from `column` on; past the last channel, its own again.
template <class Stored, class Row, class Scalar = Accumulator<Stored>>
FRAMECAST_INLINE Vec<Scalar> spread(const NormInputs<Stored>& in, const Row& row,
                                    const Scalar* statistics, int64_t column) {
    const int64_t together = in.together(), last = in.statistics() - 1;
    if (last == 0) return statistics[0] + Vec<Scalar>{};
    if (together == 1) return get(row, statistics + column);
    Scalar value[Row::width];
    int64_t group = column / together, end = (group + 1) * together;
    for (int64_t i = 0; i < Row::width; ++i) {
        if (column + i == end && group < last) ++group, end += together;
        value[i] = statistics[group];
    }
    return load(value);
}

template <class Scalar>
FRAMECAST_INLINE Curve<Scalar> activate(Activation activation, Vec<Scalar> z) {
    if (activation == Activation::gelu) return gelu<Scalar>(z);
    if (activation == Activation::elu) return elu<Scalar>(z);
    return {z, Vec<Scalar>{} + 1};
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
        for (int64_t s = 0; s < in.statistics(); ++s)
            settle(n, s, s * in.together(), (s + 1) * in.together());
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
                const int64_t c = row.start(first + i);
                m[i] = spread(in, row, pass.mean + n * in.statistics(), c);
                s[i] = spread(in, row, pass.scale + n * in.statistics(), c);
                w[i] = in.groups ? get(row, in.weight + c) : V{};
                shift[i] = in.groups ? get(row, in.bias + c) : V{};
            }
            for (int64_t r = in.first_row(b); r < in.end_row(b); ++r)
                for (int i = 0; i < vectors; ++i) {
                    const int64_t place = in.at(n, r) + row.start(first + i);
                    const V unit = (in.sum(in, row, place) - m[i]) * s[i];
                    const V z = in.groups ? unit * w[i] + shift[i]
                                          : unit * in.weight[r] + in.bias[r];
                    Row::write(row, pass.y + place, activate<Scalar>(in.activation, z).value);
                }
        }
    };
};

// --- backward ---------------------------------------------------------------------------

// With u = (x + update − mean)·scale and g the gradient of u, the gradient of x + update is
// scale·(g − mean(g) − u·mean(g·u)). What the activation makes of gradients is computed in both
// stages again: that takes less time than a frame of memory more.
template <class Stored, class Row>
struct NormBackward {
    using Scalar = Accumulator<Stored>;
    using V = Vec<Scalar>;
    NormInputs<Stored> in;
    const Stored* grad;
    const Scalar *mean, *scale;
    Stored* grad_x;
    Scalar* columns;  // [frames, blocks, 2, channels]: sums over pixels of the gradient before
                      // the activation and of it times u, times its pixel's weight if any
    Scalar* pixels;   // [frames, 2, pixels]: the same sums over channels, where groups are 0
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
        if (!in.groups)
            for (int64_t r = in.first_row(b); r < in.end_row(b); ++r)
                pixels[2 * n * in.pixels + r] = pixels[(2 * n + 1) * in.pixels + r] = 0;
        strips(row, Gather{*this, n, b});
    }

    // Of a frame's columns: mean, scale, and weight and bias where channels have them.
    template <int vectors>
    struct Columns {
        V mean[vectors], scale[vectors], weight[vectors], bias[vectors];

        Columns(const NormBackward& pass, const Row& row, int64_t n, int64_t first) {
            const NormInputs<Stored>& in = pass.in;
            for (int i = 0; i < vectors; ++i) {
                const int64_t c = row.start(first + i);
                mean[i] = spread(in, row, pass.mean + n * in.statistics(), c);
                scale[i] = spread(in, row, pass.scale + n * in.statistics(), c);
                weight[i] = in.groups ? get(row, in.weight + c) : V{};
                bias[i] = in.groups ? get(row, in.bias + c) : V{};
            }
        }
    };

    // u, the weight that it meets, and the gradient before the activation.
    struct At {
        V u, weight, gradient;

        template <int vectors>
        FRAMECAST_INLINE At of(const NormBackward& pass, const Row& row,
                               const Columns<vectors>& columns, int i, int64_t place, int64_t r) {
            const NormInputs<Stored>& in = pass.in;
            const V u = (in.sum(in, row, place) - columns.mean[i]) * columns.scale[i];
            const V weight = in.groups ? columns.weight[i] : in.weight[r] + V{};
            const V g = Row::read(row, pass.grad + place);
            if (in.activation == Activation::none) return {u, weight, g};
            const V bias = in.groups ? columns.bias[i] : in.bias[r] + V{};
            return {u, weight, g * activate<Scalar>(in.activation, u * weight + bias).slope};
        }
    };

    struct Gather {
        NormBackward& pass;
        int64_t n, b;

        template <int vectors>
        void on(const Row& row, int64_t first) {
            const NormInputs<Stored>& in = pass.in;
            V sum[vectors] = {}, product[vectors] = {};
            const Columns<vectors> columns(pass, row, n, first);
            const V last = fresh(row, first + vectors - 1);
            for (int64_t r = in.first_row(b); r < in.end_row(b); ++r) {
                V of_pixel = {}, of_pixel_product = {};
                const Scalar w = in.groups ? Scalar(1) : in.weight[r];
                for (int i = 0; i < vectors; ++i) {
                    const int64_t place = in.at(n, r) + row.start(first + i);
                    const At at = At::template of<vectors>(pass, row, columns, i, place, r);
                    sum[i] += at.gradient * w;
                    product[i] += at.gradient * at.u * w;
                    const V once = i == vectors - 1 ? at.gradient * last : at.gradient;
                    of_pixel += once;
                    of_pixel_product += once * at.u;
                }
                if (!in.groups) {
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
        for (int64_t s = 0; s < in.statistics(); ++s)
            settle(n, s, s * in.together(), (s + 1) * in.together());
    }

    void settle(int64_t n, int64_t statistic, int64_t first, int64_t end) {
        double sum = 0, product = 0;
        for (int64_t b = 0; b < in.blocks; ++b)
            for (int64_t c = first; c < end; ++c) {
                const double w = in.groups ? double(in.weight[c]) : 1;
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
            V sum[vectors], product[vectors];
            const Columns<vectors> columns(pass, row, n, first);
            const Scalar* const from = pass.means + 2 * n * in.statistics();
            for (int i = 0; i < vectors; ++i) {
                const int64_t c = row.start(first + i);
                sum[i] = spread(in, row, from, c);
                product[i] = spread(in, row, from + in.statistics(), c);
            }
            for (int64_t r = in.first_row(b); r < in.end_row(b); ++r)
                for (int i = 0; i < vectors; ++i) {
                    const int64_t place = in.at(n, r) + row.start(first + i);
                    const At at = At::template of<vectors>(pass, row, columns, i, place, r);
                    const V inner = at.gradient * at.weight;
                    Row::write(row, pass.grad_x + place,
                               columns.scale[i] * (inner - sum[i] - at.u * product[i]));
                }
        }
    };

    // The gradients of weight and bias, from the sums of all frames.
    void total(Scalar* grad_weight, Scalar* grad_bias) const {
        const int64_t size = in.groups ? in.channels : in.pixels;
        const int64_t parts = in.groups ? in.frames * in.blocks : in.frames;
        const Scalar* const from = in.groups ? columns : pixels;
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
void norm_of(const NormForwardCall& call) {
    using Scalar = Accumulator<Stored>;
    const NormInputs<Stored> in(call);
    const int64_t size = 2 * in.frames * in.blocks * in.channels;
    Scalar* const moments = static_cast<Scalar*>(malloc(size * sizeof(Scalar)));
    NormForward<Stored, Row> pass{
        in, call.epsilon, static_cast<Stored*>(call.y), static_cast<Scalar*>(call.mean),
        static_cast<Scalar*>(call.scale), moments};
    run_stages(pass, in.frames, in.blocks, in.pixels * in.channels, call.threads);
    free(moments);
}

template <class Stored, class Row>
void norm_of(const NormBackwardCall& call) {
    using Scalar = Accumulator<Stored>;
    const NormInputs<Stored> in(call);
    const int64_t columns = 2 * in.frames * in.blocks * in.channels;
    const int64_t pixels = in.groups ? 0 : 2 * in.frames * in.pixels;
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

template <class Stored, class Call>
void norm(const Call& call) {
    if (call.shape.channels >= lanes<Stored>) return norm_of<Stored, Row<Stored, true>>(call);
    norm_of<Stored, Row<Stored, false>>(call);
}

}  // namespace framecast::FRAMECAST_SET
