// The pointwise half of an LSTM step: i, f, o through σ, g through tanh,
// c' = f ⊙ c + i ⊙ g, h' = o ⊙ tanh(c'). Gates are [i, f, o, g] along the channels.

#pragma once

#include "blocks.hpp"

namespace framecast::FRAMECAST_SET {

template <class Scalar>
struct LstmCell {
    using V = Vec<Scalar>;
    Balance<Scalar> i, f, o;
    Curve<Scalar> g, tanh_c;
    V next_c;

    FRAMECAST_INLINE LstmCell of(const V* gates, V c) {
        LstmCell cell;
        cell.i = logistic<Scalar>(gates[0]);
        cell.f = logistic<Scalar>(gates[1]);
        cell.o = logistic<Scalar>(gates[2]);
        cell.g = hyperbolic_tangent<Scalar>(gates[3]);
        cell.next_c = cell.f.keep * c + cell.i.keep * cell.g.value;
        cell.tanh_c = hyperbolic_tangent<Scalar>(cell.next_c);
        return cell;
    }
};

template <class Stored>
struct CellForward {
    using Scalar = Accumulator<Stored>;
    Stream<const Stored> gates[4], c;
    Stream<Stored> h, next_c;

    void operator()(const Block& block) {
        if (block.columns >= lanes<Stored>) return run<Row<Stored, true>>(block);
        run<Row<Stored, false>>(block);
    }

    template <class Row>
    void run(const Block& block) {
        const Row row{block.columns};
        for (int64_t r = block.first_row; r < block.first_row + block.rows; ++r)
            for (int64_t v = 0; v < row.vectors(); ++v) {
                const int64_t at = block.first_column + row.start(v);
                Vec<Scalar> in[4];
                for (int p = 0; p < 4; ++p)
                    in[p] = Row::read(row, gates[p].at(block.batch, 0, r, at));
                const auto cell = LstmCell<Scalar>::of(
                    in, Row::read(row, c.at(block.batch, 0, r, at)));
                Row::write(row, h.at(block.batch, 0, r, at), cell.o.keep * cell.tanh_c.value);
                Row::write(row, next_c.at(block.batch, 0, r, at), cell.next_c);
            }
    }
};

template <class Stored>
struct CellBackward {
    using Scalar = Accumulator<Stored>;
    using V = Vec<Scalar>;
    Stream<const Stored> grad_h, grad_next_c, gates[4], c;
    Stream<Stored> grad_gates[4], grad_c;

    void operator()(const Block& block) {
        if (block.columns >= lanes<Stored>) return run<Row<Stored, true>>(block);
        run<Row<Stored, false>>(block);
    }

    template <class Row>
    void run(const Block& block) {
        const Row row{block.columns};
        for (int64_t r = block.first_row; r < block.first_row + block.rows; ++r)
            for (int64_t v = 0; v < row.vectors(); ++v)
                go_back(row, block.batch, r, block.first_column + row.start(v));
    }

    template <class Row>
    void go_back(const Row& row, int64_t batch, int64_t r, int64_t at) {
        V in[4], grads[4];
        for (int p = 0; p < 4; ++p) in[p] = Row::read(row, gates[p].at(batch, 0, r, at));
        const V before = Row::read(row, c.at(batch, 0, r, at));
        const V to_h = Row::read(row, grad_h.at(batch, 0, r, at));
        const auto cell = LstmCell<Scalar>::of(in, before);
        const V to_c = Row::read(row, grad_next_c.at(batch, 0, r, at)) +
                       to_h * cell.o.keep * cell.tanh_c.slope;
        grads[0] = to_c * cell.g.value * cell.i.keep * cell.i.renew;
        grads[1] = to_c * before * cell.f.keep * cell.f.renew;
        grads[2] = to_h * cell.tanh_c.value * cell.o.keep * cell.o.renew;
        grads[3] = to_c * cell.i.keep * cell.g.slope;
        for (int p = 0; p < 4; ++p) Row::write(row, grad_gates[p].at(batch, 0, r, at), grads[p]);
        Row::write(row, grad_c.at(batch, 0, r, at), to_c * cell.f.keep);
    }
};

template <class Stored>
void cell_forward(const CellForwardCall& call) {
    const Grid grid = Grid::of(call.shape, 4);
    CellForward<Stored> body;
    for (int p = 0; p < 4; ++p)
        body.gates[p] = grid.stream(static_cast<const Stored*>(call.gates), call.shape, 4, p);
    body.c = grid.state(static_cast<const Stored*>(call.c));
    body.h = grid.state(static_cast<Stored*>(call.h));
    body.next_c = grid.state(static_cast<Stored*>(call.next_c));
    run(Blocks::of(grid, call.shape.batch, call.threads), call.shape, 4, call.threads, body);
}

template <class Stored>
void cell_backward(const CellBackwardCall& call) {
    const Grid grid = Grid::of(call.shape, 4);
    CellBackward<Stored> body;
    for (int p = 0; p < 4; ++p) {
        body.gates[p] = grid.stream(static_cast<const Stored*>(call.gates), call.shape, 4, p);
        body.grad_gates[p] = grid.stream(static_cast<Stored*>(call.grad_gates), call.shape, 4, p);
    }
    body.c = grid.state(static_cast<const Stored*>(call.c));
    body.grad_h = grid.state(static_cast<const Stored*>(call.grad_h));
    body.grad_next_c = grid.state(static_cast<const Stored*>(call.grad_next_c));
    body.grad_c = grid.state(static_cast<Stored*>(call.grad_c));
    run(Blocks::of(grid, call.shape.batch, call.threads), call.shape, 4, call.threads, body);
}

}  // namespace framecast::FRAMECAST_SET
