// The complex diagonal scan x_t = λ ⊙ x_{t−1} + b_t with one λ per channel, for all of time or
// for each frame: real and imaginary parts are two parts side by side along the channels.
//
// The gradient of λ is a sum over space and, unless there is a λ for each frame, batch and time. Each block sums its own share in
// float, first within a frame and then over time; the shares are added in double, in an
// order that does not depend on the number of threads.

#pragma once

#include <cstdlib>

#include "blocks.hpp"

namespace framecast::FRAMECAST_SET {

// λ belongs to a row of pixels in contiguous memory, to a column in channels-last.
struct ComplexGrid {
    Grid grid;
    bool channels_last;

    static ComplexGrid of(const Shape& shape) {
        if (shape.channels_last) return {{shape.space, shape.channels}, true};
        return {{shape.channels, shape.space}, false};
    }

    template <class Stored>
    Stream<Stored> stream(Stored* data, int64_t time, int part) const {
        const int64_t half = grid.rows * grid.columns;
        if (channels_last)
            return {data + part * grid.columns, 2 * half * time, 2 * half, 2 * grid.columns};
        return {data + part * half, 2 * half * time, 2 * half, grid.columns};
    }
};

// λ as [channels], or [batch, time, channels] if there is one for each frame.
template <class Scalar>
struct Decay {
    const Scalar *re, *im;
    int64_t steps, channels;  // steps is 1 for all of time
    bool by_frame;

    template <class Call>
    static Decay of(const Call& call) {
        return {static_cast<const Scalar*>(call.lam_re), static_cast<const Scalar*>(call.lam_im),
                call.lam_by_frame ? call.shape.time : 1, call.shape.channels, call.lam_by_frame};
    }

    int64_t offset(int64_t batch, int64_t t) const {
        return by_frame ? (batch * steps + t) * channels : 0;
    }
};

// λ and what belongs to it, for the rows (contiguous) or vectors (channels-last) of a block.
template <class Stored>
struct PerChannel {
    using Scalar = Accumulator<Stored>;
    static constexpr int64_t most = block_elements / lanes<Stored>;

    template <class Row>
    static void fill(Vec<Scalar>* to, const Scalar* from, const Row& row, const Block& block,
                     bool channels_last) {
        if (channels_last)
            for (int64_t v = 0; v < row.vectors(); ++v) {
                const Scalar* here = from + block.first_column + row.start(v);
                to[v] = Row::whole ? load(here) : load_some(here, row.columns);
            }
        else
            for (int64_t r = 0; r < block.rows; ++r)
                to[r] = from[block.first_row + r] + Vec<Scalar>{};
    }

    template <class Row>
    static void fill(Vec<Scalar>* re, Vec<Scalar>* im, const Decay<Scalar>& lam, int64_t t,
                     const Row& row, const Block& block, bool channels_last) {
        const int64_t offset = lam.offset(block.batch, t);
        fill(re, lam.re + offset, row, block, channels_last);
        fill(im, lam.im + offset, row, block, channels_last);
    }
};
static_assert(block_elements / 64 <= PerChannel<float>::most, "a slot for each row of a block");

template <class Stored>
struct ComplexForward {
    using Scalar = Accumulator<Stored>;
    using V = Vec<Scalar>;
    static constexpr int64_t most = PerChannel<Stored>::most;
    Stream<const Stored> b[2], x0[2];
    Stream<Stored> x[2];
    Decay<Scalar> lam;
    int64_t time;
    bool channels_last;

    void operator()(const Block& block) {
        if (block.columns >= lanes<Stored>) return run<Row<Stored, true>>(block);
        run<Row<Stored, false>>(block);
    }

    template <class Row>
    void run(const Block& block) {
        alignas(64) V re[most], im[most], l_re[most], l_im[most];
        const Row row{block.columns};
        for (int64_t t = -1; t < time; ++t) {
            if (t == 0 || (t > 0 && lam.by_frame))
                PerChannel<Stored>::fill(l_re, l_im, lam, t, row, block, channels_last);
            for (int64_t r = 0, slot = 0; r < block.rows; ++r, slot += row.vectors()) {
                const bool by_row = !channels_last;
                if (t < 0)
                    start(row, block, r, re + slot, im + slot);
                else
                    advance(row, block, t, r, re + slot, im + slot, l_re + by_row * r,
                            l_im + by_row * r, !by_row);
            }
        }
    }

    template <class Row>
    void start(const Row& row, const Block& block, int64_t r, V* re, V* im) {
        const int64_t at = block.first_row + r;
        for (int64_t v = 0; v < row.vectors(); ++v) {
            const int64_t column = block.first_column + row.start(v);
            re[v] = Row::read(row, x0[0].at(block.batch, 0, at, column));
            im[v] = Row::read(row, x0[1].at(block.batch, 0, at, column));
        }
    }

    template <class Row>
    void advance(const Row& row, const Block& block, int64_t t, int64_t r, V* re, V* im,
                 const V* l_re, const V* l_im, int64_t stride) {
        const int64_t at = block.first_row + r, column = block.first_column;
        const Stored* const from_re = b[0].at(block.batch, t, at, column);
        const Stored* const from_im = b[1].at(block.batch, t, at, column);
        Stored* const to_re = x[0].at(block.batch, t, at, column);
        Stored* const to_im = x[1].at(block.batch, t, at, column);
        for (int64_t v = 0; v < row.vectors(); ++v) {
            const int64_t start = row.start(v);
            const V lr = l_re[v * stride], li = l_im[v * stride], r0 = re[v], i0 = im[v];
            prefetch(from_re + start + b[0].time);
            prefetch(from_im + start + b[1].time);
            prefetch_to_write(to_re + start + x[0].time);
            prefetch_to_write(to_im + start + x[1].time);
            re[v] = lr * r0 + (Row::read(row, from_re + start) - li * i0);
            im[v] = lr * i0 + (Row::read(row, from_im + start) + li * r0);
            Row::write(row, to_re + start, re[v]);
            Row::write(row, to_im + start, im[v]);
        }
    }
};

template <class Stored>
struct ComplexBackward {
    using Scalar = Accumulator<Stored>;
    using V = Vec<Scalar>;
    static constexpr int64_t most = PerChannel<Stored>::most;
    Stream<const Stored> grad[2], x0[2], x[2];
    Stream<Stored> grad_b[2], grad_x0[2];
    Decay<Scalar> lam;
    double* shares;  // [block, steps of λ, 2, the rows or columns of a block]
    const Blocks* blocks;
    int64_t time;
    bool channels_last;

    struct Sums {
        V within[2][most], total[2][most];
    };

    void operator()(const Block& block) {
        if (block.columns >= lanes<Stored>) return run<Row<Stored, true>>(block);
        run<Row<Stored, false>>(block);
    }

    template <class Row>
    void run(const Block& block) {
        alignas(64) V re[most], im[most], l_re[most], l_im[most];
        alignas(64) Sums sums;
        const Row row{block.columns};
        const int64_t slots = channels_last ? row.vectors() : block.rows;
        for (int64_t slot = 0; slot < block.rows * row.vectors(); ++slot)
            re[slot] = im[slot] = V{};
        for (int64_t k = 0; k < slots; ++k) sums.total[0][k] = sums.total[1][k] = V{};
        for (int64_t t = time - 1; t >= 0; --t) {
            if (t == time - 1 || lam.by_frame)
                PerChannel<Stored>::fill(l_re, l_im, lam, t, row, block, channels_last);
            for (int64_t k = 0; k < slots; ++k) sums.within[0][k] = sums.within[1][k] = V{};
            for (int64_t r = 0, slot = 0; r < block.rows; ++r, slot += row.vectors()) {
                const int64_t first = channels_last ? 0 : r;
                go_back(row, block, t, r, re + slot, im + slot, l_re + first, l_im + first,
                        sums.within[0] + first, sums.within[1] + first, channels_last);
            }
            for (int64_t k = 0; k < slots; ++k) {
                sums.total[0][k] += sums.within[0][k];
                sums.total[1][k] += sums.within[1][k];
            }
            if (t > 0 && !lam.by_frame) continue;
            hand_in(row, block, sums, slots, lam.by_frame ? t : 0);
            for (int64_t k = 0; k < slots; ++k) sums.total[0][k] = sums.total[1][k] = V{};
        }
        finish(row, block, re, im);
    }

    template <class Row>
    void go_back(const Row& row, const Block& block, int64_t t, int64_t r, V* re, V* im,
                 const V* l_re, const V* l_im, V* sum_re, V* sum_im, int64_t stride) {
        const int64_t at = block.first_row + r, column = block.first_column;
        const Stored *here[2], *before[2];
        Stored* to[2];
        for (int p = 0; p < 2; ++p) {
            here[p] = grad[p].at(block.batch, t, at, column);
            before[p] = t ? x[p].at(block.batch, t - 1, at, column)
                          : x0[p].at(block.batch, 0, at, column);
            to[p] = grad_b[p].at(block.batch, t, at, column);
        }
        for (int64_t v = 0; v < row.vectors(); ++v) {
            const int64_t start = row.start(v);
            const V lr = l_re[v * stride], li = l_im[v * stride];
            for (int p = 0; p < 2; ++p) {
                prefetch(here[p] + start - grad[p].time);
                prefetch(before[p] + start - x[p].time);
                prefetch_to_write(to[p] + start - grad_b[p].time);
            }
            const V g_re = Row::read(row, here[0] + start) + re[v];
            const V g_im = Row::read(row, here[1] + start) + im[v];
            const V b_re = Row::read(row, before[0] + start);
            const V b_im = Row::read(row, before[1] + start);
            const V once_re = once(row, v, g_re), once_im = once(row, v, g_im);
            sum_re[v * stride] += once_re * b_re + once_im * b_im;
            sum_im[v * stride] += once_im * b_re - once_re * b_im;
            re[v] = lr * g_re + li * g_im;
            im[v] = lr * g_im - li * g_re;
            Row::write(row, to[0] + start, g_re);
            Row::write(row, to[1] + start, g_im);
        }
    }

    // In a sum over a row, the lanes that the last vector shares with the one before are
    // counted there only; sums over rows keep every lane to itself.
    template <class Row>
    V once(const Row& row, int64_t v, V value) {
        if (!Row::whole || channels_last || v + 1 < row.vectors()) return value;
        const int64_t shared = row.vectors() * Row::width - row.columns;
        for (int64_t lane = 0; lane < shared; ++lane) value[lane] = 0;
        return value;
    }

    template <class Row>
    void finish(const Row& row, const Block& block, const V* re, const V* im) {
        for (int64_t r = 0, slot = 0; r < block.rows; ++r)
            for (int64_t v = 0; v < row.vectors(); ++v, ++slot) {
                const int64_t at = block.first_row + r;
                const int64_t column = block.first_column + row.start(v);
                Row::write(row, grad_x0[0].at(block.batch, 0, at, column), re[slot]);
                Row::write(row, grad_x0[1].at(block.batch, 0, at, column), im[slot]);
            }
    }

    template <class Row>
    void hand_in(const Row& row, const Block& block, const Sums& sums, int64_t slots,
                 int64_t step) {
        for (int p = 0; p < 2; ++p) {
            double* to = share(block, step, p);
            for (int64_t k = 0; k < slots; ++k) {
                const V sum = sums.total[p][k];
                if (channels_last) {
                    const int64_t count = smaller(Row::width, row.columns);
                    for (int64_t lane = 0; lane < count; ++lane)
                        to[row.start(k) + lane] = double(sum[lane]);
                } else {
                    to[k] = 0;
                    for (int64_t lane = 0; lane < Row::width; ++lane) to[k] += double(sum[lane]);
                }
            }
        }
    }

    int64_t share_size() const { return channels_last ? blocks->columns : blocks->rows; }
    double* share(const Block& block, int64_t step, int part) const {
        const int64_t index = (blocks->index(block) * lam.steps + step) * 2 + part;
        return shares + index * share_size();
    }

    void add_shares(Scalar* grad_lam_re, Scalar* grad_lam_im, int64_t batch) const {
        Scalar* const to[2] = {grad_lam_re, grad_lam_im};
        const int64_t size = (lam.by_frame ? batch * lam.steps : 1) * lam.channels;
        double* const sum = static_cast<double*>(calloc(2 * size, sizeof(double)));
        for (int64_t i = 0; i < blocks->count; ++i) {
            const Block block = blocks->block(i);
            const int64_t first = channels_last ? block.first_column : block.first_row;
            const int64_t count = channels_last ? block.columns : block.rows;
            for (int64_t t = 0; t < lam.steps; ++t)
                for (int p = 0; p < 2; ++p) {
                    double* const here = sum + p * size + lam.offset(block.batch, t) + first;
                    for (int64_t k = 0; k < count; ++k) here[k] += share(block, t, p)[k];
                }
        }
        for (int p = 0; p < 2; ++p)
            for (int64_t k = 0; k < size; ++k) to[p][k] = Scalar(sum[p * size + k]);
        free(sum);
    }
};

template <class Stored>
void complex_forward(const ComplexForwardCall& call) {
    using Scalar = Accumulator<Stored>;
    const ComplexGrid grid = ComplexGrid::of(call.shape);
    ComplexForward<Stored> body;
    for (int part = 0; part < 2; ++part) {
        body.b[part] = grid.stream(static_cast<const Stored*>(call.b), call.shape.time, part);
        body.x[part] = grid.stream(static_cast<Stored*>(call.x), call.shape.time, part);
        body.x0[part] = grid.stream(static_cast<const Stored*>(call.x0), 1, part);
    }
    body.lam = Decay<Scalar>::of(call);
    body.time = call.shape.time;
    body.channels_last = call.shape.channels_last;
    run(Blocks::of(grid.grid, call.shape.batch, call.threads), call.shape, 2, call.threads, body);
}

template <class Stored>
void complex_backward(const ComplexBackwardCall& call) {
    using Scalar = Accumulator<Stored>;
    const ComplexGrid grid = ComplexGrid::of(call.shape);
    ComplexBackward<Stored> body;
    for (int part = 0; part < 2; ++part) {
        body.grad[part] = grid.stream(static_cast<const Stored*>(call.grad), call.shape.time, part);
        body.x[part] = grid.stream(static_cast<const Stored*>(call.x), call.shape.time, part);
        body.grad_b[part] = grid.stream(static_cast<Stored*>(call.grad_b), call.shape.time, part);
        body.x0[part] = grid.stream(static_cast<const Stored*>(call.x0), 1, part);
        body.grad_x0[part] = grid.stream(static_cast<Stored*>(call.grad_x0), 1, part);
    }
    body.lam = Decay<Scalar>::of(call);
    body.time = call.shape.time;
    body.channels_last = call.shape.channels_last;
    // Blocks for any number of threads, so that the sums do not depend on it.
    const Blocks blocks = Blocks::of(grid.grid, call.shape.batch, 8);
    body.blocks = &blocks;
    body.shares = static_cast<double*>(
        malloc(2 * (blocks.count * body.lam.steps * body.share_size() + 1) * sizeof(double)));
    run(blocks, call.shape, 2, call.threads, body);
    body.add_shares(static_cast<Scalar*>(call.grad_lam_re), static_cast<Scalar*>(call.grad_lam_im),
                    call.shape.batch);
    free(body.shares);
}

}  // namespace framecast::FRAMECAST_SET
