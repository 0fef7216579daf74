// Grids continued periodically beyond their edges, in frames that store the channels of a
// pixel side by side: copies of pixels on the way forward, sums of pixels on the way back.

#pragma once

#include "blocks.hpp"

namespace framecast::FRAMECAST_SET {

// The places of a padded axis that show cell `i` of an axis of `size` cells.
struct Copies {
    int64_t places[3];
    int count = 0;

    Copies(int64_t i, int64_t size, int64_t reach) {
        for (int64_t place = i + reach - size; place < size + 2 * reach; place += size)
            if (place >= 0) places[count++] = place;
    }
};

template <class Stored>
struct Wrap {
    const WrapCall& call;
    int64_t padded_width = call.width + 2 * call.reach_x;
    int64_t padded_height = call.height + 2 * call.reach_y;

    void operator()(int64_t item) const {
        const int64_t n = item / padded_height;
        const int64_t y = (item % padded_height + call.height - call.reach_y) % call.height;
        const int64_t pixel = call.channels, side = call.reach_x * pixel;
        const Stored* const from =
            static_cast<const Stored*>(call.from) + (n * call.height + y) * call.width * pixel;
        Stored* const to = static_cast<Stored*>(call.to) + item * padded_width * pixel;
        memcpy(to, from + call.width * pixel - side, side * sizeof(Stored));
        memcpy(to + side, from, call.width * pixel * sizeof(Stored));
        memcpy(to + side + call.width * pixel, from, side * sizeof(Stored));
    }
};

template <class Stored>
struct WrapBackward {
    using Scalar = Accumulator<Stored>;
    const WrapCall& call;
    int64_t padded_width = call.width + 2 * call.reach_x;
    int64_t padded_height = call.height + 2 * call.reach_y;

    void operator()(int64_t item) const {
        if (call.channels >= lanes<Stored>) return run<Row<Stored, true>>(item);
        run<Row<Stored, false>>(item);
    }

    template <class Row>
    void run(int64_t item) const {
        const Row row{call.channels};
        const int64_t n = item / call.height;
        const Copies rows(item % call.height, call.height, call.reach_y);
        const Stored* const frame = static_cast<const Stored*>(call.from) +
                                    n * padded_height * padded_width * call.channels;
        Stored* const to = static_cast<Stored*>(call.to) + item * call.width * call.channels;
        for (int64_t x = 0; x < call.width; ++x) {
            const Copies columns(x, call.width, call.reach_x);
            for (int64_t v = 0; v < row.vectors(); ++v) {
                Vec<Scalar> total = {};
                for (int i = 0; i < rows.count; ++i)
                    for (int j = 0; j < columns.count; ++j) {
                        const int64_t place = rows.places[i] * padded_width + columns.places[j];
                        total += Row::read(row, frame + place * call.channels + row.start(v));
                    }
                Row::write(row, to + x * call.channels + row.start(v), total);
            }
        }
    }
};

template <class Body>
void run_rows(const Body& body, const WrapCall& call, int64_t height) {
    const auto task = [](void* pointer, int64_t item) { (*static_cast<const Body*>(pointer))(item); };
    const int64_t items = call.frames * height;
    parallel_for(items, items * body.padded_width * call.channels, call.threads, task,
                 const_cast<Body*>(&body));
}

template <class Stored>
void wrap_forward(const WrapCall& call) {
    const Wrap<Stored> body{call};
    run_rows(body, call, body.padded_height);
}

template <class Stored>
void wrap_backward(const WrapCall& call) {
    run_rows(WrapBackward<Stored>{call}, call, call.height);
}

}  // namespace framecast::FRAMECAST_SET
