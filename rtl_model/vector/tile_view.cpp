// Reads and writes the tiles that commands name, byte by byte through the buffers.
#include "vector/tile_view.h"

#include <algorithm>
#include <string>

#include "control/extent.h"
#include "vector/codes.h"
#include "vector/vectorized.h"
#include "wagesim/arith/requantizer.h"

namespace wagesim::rtl {
namespace {

/// Calls f(address, elements) for every contiguous run of a tile whose channels lie side by side,
/// in n, h, w, c order: the channels of a pixel, or whole rows and images where they follow each
/// other without a gap.
template <class Function>
void for_each_run_of_pixels(const TileView& view, const Box& box, Function f) {
    std::int64_t elements = box.c;
    std::int64_t w = box.w, h = box.h, n = box.n;
    const auto merge = [&](std::int64_t& count, std::int64_t stride) {
        if (count != 1 && stride != elements * view.bytes) return false;
        elements *= count;
        count = 1;
        return true;
    };
    if (merge(w, view.stride_w) && merge(h, view.stride_h)) merge(n, view.stride_n);
    for (std::int64_t in = 0; in < n; ++in)
        for (std::int64_t ih = 0; ih < h; ++ih)
            for (std::int64_t iw = 0; iw < w; ++iw)
                f(view.address + in * view.stride_n + ih * view.stride_h + iw * view.stride_w,
                  elements);
}

/// The same where they are flattened: every element is a run.
template <class Function>
void for_each_element(const TileView& view, const Box& box, Function f) {
    for (std::int64_t in = 0; in < box.n; ++in)
        for (std::int64_t ih = 0; ih < box.h; ++ih)
            for (std::int64_t iw = 0; iw < box.w; ++iw) {
                const std::int64_t pixel =
                    view.address + in * view.stride_n + ih * view.stride_h + iw * view.stride_w;
                for (std::int64_t c = 0; c < box.c; ++c) {
                    const std::int64_t row = (box.c0 + c) / view.flat_w;
                    f(pixel + row / view.flat_h * view.bytes + row % view.flat_h * view.stride_h +
                          (box.c0 + c) % view.flat_w * view.stride_w,
                      1);
                }
            }
}

template <class Function>
void for_each_run(const TileView& view, const Box& box, Function f) {
    if (view.flat_w == 0)
        for_each_run_of_pixels(view, box, f);
    else
        for_each_element(view, box, f);
}

/// Calls f(row, columns, first element, distance of elements) for every accumulator row of a tile.
template <class Function>
void for_each_row(const TileView& view, const Box& box, Function f) {
    if (view.turned) {
        const std::int64_t rows = accumulator_rows_of(view, box);
        for (std::int64_t row = 0; row < rows; ++row) f(view.address + row, box.n, row, rows);
        return;
    }
    const std::int64_t pixels = box.pixels();
    for (std::int64_t c0 = 0; c0 < box.c; c0 += view.channels_per_row)
        for (std::int64_t p = 0; p < pixels; ++p)
            f(view.address + c0 / view.channels_per_row * pixels + p,
              std::min<std::int64_t>(view.channels_per_row, box.c - c0), p * box.c + c0, 1);
}

/// The low bits of a tile's sums. A sum that left its accumulator, or that they do not hold, counts
/// as clipped.
Codes read_accumulators(const Machinery& machinery, const TileView& view, const Box& box,
                        Counts& counts) {
    if (view.bits < 1 || view.bits > 64)
        throw MachineError("accumulators: a tile of " + std::to_string(view.bits) + " bits");
    Accumulators& accumulators = machinery.memories.accumulators;
    const bool wrapping = machinery.config.accumulator_overflow == Overflow::wrap;
    const std::uint64_t kept_bits = ~std::uint64_t{0} >> (64 - view.bits);
    const std::uint64_t half = std::uint64_t{1} << (view.bits - 1);
    Codes codes = machinery.pool.take(box.size());
    std::int64_t lost_or_marked = 0, lost = 0, marked = 0;
    const auto take_row = [&](std::int64_t row, std::int64_t columns, std::int64_t* kept,
                              std::int64_t distance) {
        const std::int64_t* const sums = accumulators.read_row(row, columns);
        const std::uint8_t* const overflowed = accumulators.overflowed_row(row);
        std::int64_t row_lost_or_marked = 0, row_lost = 0, row_marked = 0;
        for (std::int64_t column = 0; column < columns; ++column) {
            // The lowest code moved to 0, and back.
            const std::uint64_t moved =
                (static_cast<std::uint64_t>(sums[column]) + half) & kept_bits;
            const auto code = static_cast<std::int64_t>(moved - half);
            kept[column * distance] = code;
            const std::int64_t is_lost = code != sums[column] ? 1 : 0;
            row_lost += is_lost;
            row_marked += overflowed[column];
            row_lost_or_marked += is_lost | overflowed[column];
        }
        lost += row_lost;
        marked += row_marked;
        lost_or_marked += row_lost_or_marked;
    };
    vectorized([&] {
        for_each_row(
            view, box,
            [&](std::int64_t row, std::int64_t columns, std::int64_t first, std::int64_t distance) {
                if (distance == 1)  // known, a loop takes many at once
                    take_row(row, columns, codes.data() + first, 1);
                else
                    take_row(row, columns, codes.data() + first, distance);
            });
    });
    counts.wraps = wrapping ? lost_or_marked : lost;
    counts.saturations = wrapping ? 0 : marked;
    return codes;
}

}  // namespace

Buffer& buffer_of(Memories& memories, Space space) {
    switch (space) {
        case Space::weights:
            return memories.weights;
        case Space::activations:
            return memories.activations;
        case Space::parameters:
            return memories.parameters;
        case Space::dram:
        case Space::accumulators:
            break;
    }
    throw MachineError("no port to " + std::string(to_string(space)) + " here");
}

std::int64_t rows_of(const TileView& view, const Box& box) {
    if (view.channels_per_row < 1 && !view.turned)
        throw MachineError("accumulators: a tile of " + std::to_string(view.channels_per_row) +
                           " channels per row");
    return accumulator_rows_of(view, box);
}

int width_of(const TileView& view, const Codes& codes) {
    if (width_of(view) <= arith::most_bits<std::int32_t>) return width_of(view);
    return width_of(codes);
}

Codes read_tile(const Machinery& machinery, const TileView& view, const Box& box) {
    Codes codes = machinery.pool.take(box.size());
    Buffer& buffer = buffer_of(machinery.memories, view.space);
    std::int64_t* out = codes.data();
    for_each_run(view, box, [&](std::int64_t address, std::int64_t elements) {
        decode(buffer.read(address, elements * view.bytes), elements, view.bytes, view.is_signed,
               out);
        out += elements;
    });
    return codes;
}

void write_tile(const Machinery& machinery, const TileView& view, const Box& box,
                const Codes& codes) {
    Buffer& buffer = buffer_of(machinery.memories, view.space);
    const std::int64_t* from = codes.data();
    for_each_run(view, box, [&](std::int64_t address, std::int64_t elements) {
        encode(from, elements, view.bytes, view.is_signed,
               buffer.write(address, elements * view.bytes), buffer);
        from += elements;
    });
}

Codes read_source(const Machinery& machinery, const TileView& view, const Box& box,
                  const Moment& moment, int exponent) {
    if (view.space != Space::accumulators) return read_tile(machinery, view, box);
    Counts counts;
    Codes codes = read_accumulators(machinery, view, box, counts);
    show(machinery, moment, view.qp, box, Format{view.bits, view.frac, true, exponent},
         codes.data(), counts);
    return codes;
}

}  // namespace wagesim::rtl
