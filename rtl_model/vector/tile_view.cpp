// Reads and writes the tiles that commands name, byte by byte through the buffers.
#include "vector/tile_view.h"

#include <algorithm>
#include <string>
#include <utility>

#include "vector/codes.h"

namespace wagesim::rtl {
namespace {

struct Tile {
    std::vector<std::int64_t> codes;
    Clips clips;
};

/// Calls f(address, elements) for every contiguous run of a tile, in n, h, w, c order: the
/// channels of a pixel, or whole rows and images where they follow each other without a gap.
template <class Function>
void for_each_run(const TileView& view, const Box& box, Function f) {
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

/// y of a tile: the low 32 bits of its sums. A sum that left its accumulator, or that y does not
/// hold, counts as clipped.
Tile read_accumulators(const Machinery& machinery, const TileView& view, const Box& box) {
    Accumulators& accumulators = machinery.memories.accumulators;
    const bool wrapping = machinery.config.accumulator_overflow == Overflow::wrap;
    Tile tile;
    tile.codes.resize(static_cast<std::size_t>(box.size()));
    const std::int64_t pixels = box.pixels();
    for (std::int64_t c0 = 0; c0 < box.c; c0 += view.channels_per_row) {
        const std::int64_t columns = std::min<std::int64_t>(view.channels_per_row, box.c - c0);
        const std::int64_t first_row = view.address + c0 / view.channels_per_row * pixels;
        for (std::int64_t p = 0; p < pixels; ++p) {
            const std::int64_t* const sums = accumulators.read_row(first_row + p, columns);
            const std::uint8_t* const overflowed = accumulators.overflowed_row(first_row + p);
            std::int64_t* const y = tile.codes.data() + p * box.c + c0;
            for (std::int64_t column = 0; column < columns; ++column) {
                y[column] = static_cast<std::int32_t>(sums[column]);
                const bool marked = overflowed[column] != 0;
                tile.clips.wraps += (marked && wrapping) || y[column] != sums[column] ? 1 : 0;
                tile.clips.saturations += marked && !wrapping ? 1 : 0;
            }
        }
    }
    return tile;
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

std::int64_t rows_per_pixel(const TileView& view, const Box& box) {
    if (view.channels_per_row < 1)
        throw MachineError("accumulators: a tile of " + std::to_string(view.channels_per_row) +
                           " channels per row");
    return (box.c + view.channels_per_row - 1) / view.channels_per_row;
}

std::vector<std::int64_t> read_tile(Memories& memories, const TileView& view, const Box& box) {
    std::vector<std::int64_t> codes(static_cast<std::size_t>(box.size()));
    Buffer& buffer = buffer_of(memories, view.space);
    std::int64_t* out = codes.data();
    for_each_run(view, box, [&](std::int64_t address, std::int64_t elements) {
        decode(buffer.read(address, elements * view.bytes), elements, view.bytes, view.is_signed,
               out);
        out += elements;
    });
    return codes;
}

void write_tile(Memories& memories, const TileView& view, const Box& box,
                const std::vector<std::int64_t>& codes) {
    Buffer& buffer = buffer_of(memories, view.space);
    const std::int64_t* from = codes.data();
    for_each_run(view, box, [&](std::int64_t address, std::int64_t elements) {
        encode(from, elements, view.bytes, view.is_signed,
               buffer.write(address, elements * view.bytes), buffer);
        from += elements;
    });
}

std::vector<std::int64_t> read_source(const Machinery& machinery, const TileView& view,
                                      const Box& box, const Moment& moment) {
    if (view.space != Space::accumulators) return read_tile(machinery.memories, view, box);
    Tile tile = read_accumulators(machinery, view, box);
    show(machinery, moment, view.qp, box, Format{32, view.frac, true, 0}, tile.codes.data(),
         tile.clips);
    return std::move(tile.codes);
}

}  // namespace wagesim::rtl
