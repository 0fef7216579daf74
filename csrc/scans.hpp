// Scans over time, h_t = rule(inputs_t, h_{t−1}), forward and backward, fused: the gates are
// computed from their pre-activations where they are used, in both directions, and nothing
// but inputs and outputs is kept.

#pragma once

#include "blocks.hpp"

namespace framecast::FRAMECAST_SET {

// --- rules ------------------------------------------------------------------------------
// step: the next state. step_back: from the gradient that reaches the new state, the
// gradients of the inputs, and (returned) that of the state before.

template <class Scalar>
struct Linear {
    using V = Vec<Scalar>;
    static constexpr int parts = 2;
    static constexpr bool apart = true;  // a and b are tensors of their own

    FRAMECAST_INLINE V step(const V* in, V h) { return in[0] * h + in[1]; }
    FRAMECAST_INLINE V step_back(const V* in, V before, V grad, V* grad_in) {
        grad_in[0] = grad * before;
        grad_in[1] = grad;
        return in[0] * grad;
    }
};

// h' = keep ⊙ h + renew ⊙ g(u), keep = σ(d), renew = σ(−d): the scans differ in d only.
template <class Scalar, class Gate>
struct Gated {
    using V = Vec<Scalar>;
    static constexpr int parts = Gate::parts;
    static constexpr bool apart = false;

    FRAMECAST_INLINE V step(const V* in, V h) {
        const Balance<Scalar> balance = Gate::balance(in);
        return balance.keep * h + balance.renew * candidate<Scalar>(in[parts - 1]).value;
    }
    FRAMECAST_INLINE V step_back(const V* in, V before, V grad, V* grad_in) {
        const Balance<Scalar> balance = Gate::balance(in);
        const Curve<Scalar> g = candidate<Scalar>(in[parts - 1]);
        grad_in[parts - 1] = grad * balance.renew * g.slope;
        Gate::spread(grad * (before - g.value) * balance.keep * balance.renew, in, grad_in);
        return balance.keep * grad;
    }
};

template <class Scalar>
struct GruGate {  // [k, u]: d = −k
    using V = Vec<Scalar>;
    static constexpr int parts = 2;
    FRAMECAST_INLINE Balance<Scalar> balance(const V* in) { return logistic<Scalar>(-in[0]); }
    FRAMECAST_INLINE void spread(V grad_d, const V*, V* grad_in) { grad_in[0] = -grad_d; }
};

template <class Scalar>
struct LstmGate {  // [f, i, u]: d = log σ(f) − log σ(i)
    using V = Vec<Scalar>;
    static constexpr int parts = 3;
    FRAMECAST_INLINE Balance<Scalar> balance(const V* in) { return share<Scalar>(in[0], in[1]); }
    FRAMECAST_INLINE void spread(V grad_d, const V* in, V* grad_in) {
        grad_in[0] = grad_d * logistic<Scalar>(in[0]).renew;
        grad_in[1] = -grad_d * logistic<Scalar>(in[1]).renew;
    }
};

template <class Scalar>
struct ExpLstmGate {  // [f, i, u]: d = f − i
    using V = Vec<Scalar>;
    static constexpr int parts = 3;
    FRAMECAST_INLINE Balance<Scalar> balance(const V* in) {
        return logistic<Scalar>(in[0] - in[1]);
    }
    FRAMECAST_INLINE void spread(V grad_d, const V*, V* grad_in) {
        grad_in[0] = grad_d;
        grad_in[1] = -grad_d;
    }
};

// --- forward ----------------------------------------------------------------------------

template <class Rule, class Stored>
struct Forward {
    using Scalar = Accumulator<Stored>;
    Stream<const Stored> in[Rule::parts], h0;
    Stream<Stored> h;
    int64_t time;

    void operator()(const Block& block) {
        if (block.columns >= lanes<Stored>) return run<Row<Stored, true>>(block);
        run<Row<Stored, false>>(block);
    }

    template <class Row>
    void run(const Block& block) {
        alignas(64) Vec<Scalar> state[block_elements / lanes<Stored>];
        const Row row{block.columns};
        for (int64_t r = 0, slot = 0; r < block.rows; ++r)
            for (int64_t v = 0; v < row.vectors(); ++v, ++slot)
                state[slot] = Row::read(row, h0.at(block.batch, 0, block.first_row + r,
                                                   block.first_column + row.start(v)));
        for (int64_t t = 0; t < time; ++t)
            for (int64_t r = 0, slot = 0; r < block.rows; ++r, slot += row.vectors())
                advance(row, block, t, block.first_row + r, state + slot);
    }

    template <class Row>
    void advance_vector(const Row& row, const Stored* const* from, Stored* to, int64_t start,
                        Vec<Scalar>& state) {
        Vec<Scalar> inputs[Rule::parts];
#pragma GCC unroll 4
        for (int p = 0; p < Rule::parts; ++p) {
            inputs[p] = Row::read(row, from[p] + start);
            prefetch(from[p] + start + in[p].time);
        }
        prefetch_to_write(to + start + h.time);
        state = Rule::step(inputs, state);
        Row::write(row, to + start, state);
    }

    template <class Row>
    void advance(const Row& row, const Block& block, int64_t t, int64_t r, Vec<Scalar>* state) {
        const Stored* from[Rule::parts];
        for (int p = 0; p < Rule::parts; ++p)
            from[p] = in[p].at(block.batch, t, r, block.first_column);
        Stored* to = h.at(block.batch, t, r, block.first_column);
        for (int64_t v = 0; v < row.vectors(); ++v)
            advance_vector(row, from, to, row.start(v), state[v]);
    }
};

// --- backward ---------------------------------------------------------------------------

template <class Rule, class Stored>
struct Backward {
    using Scalar = Accumulator<Stored>;
    Stream<const Stored> grad, in[Rule::parts], h0, h;
    Stream<Stored> grad_in[Rule::parts], grad_h0;
    int64_t time;

    void operator()(const Block& block) {
        if (block.columns >= lanes<Stored>) return run<Row<Stored, true>>(block);
        run<Row<Stored, false>>(block);
    }

    template <class Row>
    void run(const Block& block) {
        alignas(64) Vec<Scalar> later[block_elements / lanes<Stored>];  // gradient from t+1 on
        const Row row{block.columns};
        for (int64_t slot = 0; slot < block.rows * row.vectors(); ++slot) later[slot] = Vec<Scalar>{};
        for (int64_t t = time - 1; t >= 0; --t)
            for (int64_t r = 0, slot = 0; r < block.rows; ++r, slot += row.vectors())
                go_back(row, block, t, block.first_row + r, later + slot);
        for (int64_t r = 0, slot = 0; r < block.rows; ++r)
            for (int64_t v = 0; v < row.vectors(); ++v, ++slot)
                Row::write(row, grad_h0.at(block.batch, 0, block.first_row + r,
                                           block.first_column + row.start(v)),
                           later[slot]);
    }

    template <class Row>
    void go_back(const Row& row, const Block& block, int64_t t, int64_t r, Vec<Scalar>* later) {
        const Stored* from[Rule::parts];
        Stored* to[Rule::parts];
        for (int p = 0; p < Rule::parts; ++p) {
            from[p] = in[p].at(block.batch, t, r, block.first_column);
            to[p] = grad_in[p].at(block.batch, t, r, block.first_column);
        }
        const Stored* here = grad.at(block.batch, t, r, block.first_column);
        const Stored* before = t ? h.at(block.batch, t - 1, r, block.first_column)
                                 : h0.at(block.batch, 0, r, block.first_column);
        for (int64_t v = 0; v < row.vectors(); ++v) {
            const int64_t start = row.start(v);
            Vec<Scalar> inputs[Rule::parts], gradients[Rule::parts];
#pragma GCC unroll 4
            for (int p = 0; p < Rule::parts; ++p) {
                inputs[p] = Row::read(row, from[p] + start);
                prefetch(from[p] + start - in[p].time);
                prefetch_to_write(to[p] + start - in[p].time);
            }
            prefetch(here + start - grad.time);
            prefetch(before + start - h.time);
            const Vec<Scalar> total = Row::read(row, here + start) + later[v];
            later[v] = Rule::step_back(inputs, Row::read(row, before + start), total, gradients);
#pragma GCC unroll 4
            for (int p = 0; p < Rule::parts; ++p) Row::write(row, to[p] + start, gradients[p]);
        }
    }
};

// --- calls ------------------------------------------------------------------------------

template <class Rule, class Stored>
struct Layout {
    static constexpr int together = Rule::apart ? 1 : Rule::parts;  // parts in one tensor
    const Shape& shape;
    Grid grid = Grid::of(shape, together);

    template <class Pointer>
    void inputs(Stream<Pointer>* streams, Pointer* a, Pointer* b) const {
        for (int p = 0; p < Rule::parts; ++p)
            streams[p] = Rule::apart ? sequence(p == 0 ? a : b)
                                     : grid.stream(a, shape, together, p);
    }
    template <class Pointer>
    Stream<Pointer> sequence(Pointer* data) const {
        return grid.stream(data, shape, 1, 0);
    }
};

template <class Rule, class Stored>
void forward(const ScanForwardCall& call) {
    const Layout<Rule, Stored> layout{call.shape};
    Forward<Rule, Stored> body;
    layout.inputs(body.in, static_cast<const Stored*>(call.a), static_cast<const Stored*>(call.b));
    body.h0 = layout.grid.state(static_cast<const Stored*>(call.h0));
    body.h = layout.sequence(static_cast<Stored*>(call.h));
    body.time = call.shape.time;
    const Blocks blocks = Blocks::of(layout.grid, call.shape.batch, call.threads);
    run(blocks, call.shape, Rule::parts, call.threads, body);
}

template <class Rule, class Stored>
void backward(const ScanBackwardCall& call) {
    const Layout<Rule, Stored> layout{call.shape};
    Backward<Rule, Stored> body;
    // The gradient of b needs a and h only, so b itself is not asked for: of a linear scan
    // a stands in for it, and is read without being used.
    layout.inputs(body.in, static_cast<const Stored*>(call.a), static_cast<const Stored*>(call.a));
    layout.inputs(body.grad_in, static_cast<Stored*>(call.grad_a),
                  static_cast<Stored*>(call.grad_b));
    body.grad = layout.sequence(static_cast<const Stored*>(call.grad));
    body.h0 = layout.grid.state(static_cast<const Stored*>(call.h0));
    body.h = layout.sequence(static_cast<const Stored*>(call.h));
    body.grad_h0 = layout.grid.state(static_cast<Stored*>(call.grad_h0));
    body.time = call.shape.time;
    const Blocks blocks = Blocks::of(layout.grid, call.shape.batch, call.threads);
    run(blocks, call.shape, Rule::parts, call.threads, body);
}

}  // namespace framecast::FRAMECAST_SET
