// How tensors are walked: rows of contiguous elements, cut into blocks that one thread
// follows through all of time while their state stays in the first-level cache.

#pragma once

#include "kernels.hpp"
#include "parallel.hpp"
#include "simd.hpp"

namespace framecast::FRAMECAST_SET {

constexpr int64_t block_elements = 4096;
constexpr int64_t smallest_block = 512;

FRAMECAST_INLINE int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }
FRAMECAST_INLINE int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }
FRAMECAST_INLINE int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }
FRAMECAST_INLINE int64_t round_up(int64_t a, int64_t b) { return divide_up(a, b) * b; }

// A tensor as [batch, time, row, column], columns contiguous.
template <class Stored>
struct Stream {
    Stored* data;
    int64_t batch, time, row;
    Stored* at(int64_t b, int64_t t, int64_t r, int64_t c) const {
        return data + b * batch + t * time + r * row + c;
    }
};

// Rows and columns of a tensor that is one of `parts` side by side along the channels.
// Contiguous tensors are one row a frame; in channels-last each pixel is a row, unless
// there is one part only, which leaves no gap between the pixels.
struct Grid {
    int64_t rows, columns;

    static Grid of(const Shape& shape, int parts) {
        if (shape.channels_last && parts > 1) return {shape.space, shape.channels};
        return {1, shape.channels * shape.space};
    }

    template <class Stored>
    Stream<Stored> stream(Stored* data, const Shape& shape, int parts, int part) const {
        const int64_t frame = parts * rows * columns;
        return {data + part * columns, frame * shape.time, frame, parts * columns};
    }

    template <class Stored>
    Stream<Stored> state(Stored* data) const {
        return {data, rows * columns, 0, columns};
    }
};

struct Block {
    int64_t batch, first_row, rows, first_column, columns;
};

struct Blocks {
    Grid grid;
    int64_t rows, columns, row_blocks, column_blocks, count;

    // Small enough for the cache and for several blocks a thread, large enough to stream.
    static Blocks of(const Grid& grid, int64_t batch, int threads) {
        const int64_t total = batch * grid.rows * grid.columns;
        const int64_t target =
            smaller(block_elements, larger(smallest_block, total / (4 * threads)));
        Blocks blocks{grid, 0, 0, 0, 0, 0};
        if (total == 0) return blocks;
        const int64_t even = divide_up(grid.columns, divide_up(grid.columns, target));
        blocks.columns = round_up(even, 64);
        blocks.rows = larger(1, target / blocks.columns);
        blocks.row_blocks = divide_up(grid.rows, blocks.rows);
        blocks.column_blocks = divide_up(grid.columns, blocks.columns);
        blocks.count = batch * blocks.row_blocks * blocks.column_blocks;
        return blocks;
    }

    Block block(int64_t index) const {
        const int64_t column = index % column_blocks * columns;
        const int64_t row = index / column_blocks % row_blocks * rows;
        return {index / column_blocks / row_blocks, row, smaller(rows, grid.rows - row), column,
                smaller(columns, grid.columns - column)};
    }

    int64_t index(const Block& block) const {
        const int64_t row = block.batch * row_blocks + block.first_row / rows;
        return row * column_blocks + block.first_column / columns;
    }
};

// Calls body(block) for each block; `parts` weighs the work of one element.
template <class Body>
void run(const Blocks& blocks, const Shape& shape, int parts, int threads, Body& body) {
    struct Context {
        const Blocks& blocks;
        Body& body;
    } context{blocks, body};
    const auto task = [](void* pointer, int64_t index) {
        Context& c = *static_cast<Context*>(pointer);
        c.body(c.blocks.block(index));
    };
    const int64_t work = parts * shape.batch * shape.time * shape.channels * shape.space;
    parallel_for(blocks.count, work, threads, task, &context);
}

// Where the vectors of a row lie. The last one ends with the row and overlaps the one before
// it, so that no lane is outside: the lanes in both are computed twice, from states of their
// own, to the same result. Rows shorter than a vector go element by element (whole = false).
template <class Stored, bool whole_>
struct Row {
    static constexpr bool whole = whole_;
    static constexpr int64_t width = lanes<Stored>;
    int64_t columns;

    int64_t vectors() const { return divide_up(columns, width); }
    int64_t start(int64_t vector) const {
        return whole ? smaller(vector * width, columns - width) : 0;
    }
    FRAMECAST_INLINE Vec<Accumulator<Stored>> read(const Row& row, const Stored* from) {
        if constexpr (whole) return load(from);
        return load_some(from, row.columns);
    }
    FRAMECAST_INLINE void write(const Row& row, Stored* to, Vec<Accumulator<Stored>> value) {
        if constexpr (whole) return store(to, value);
        store_some(to, value, row.columns);
    }
};

}  // namespace framecast::FRAMECAST_SET
