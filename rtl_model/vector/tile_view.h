// Reads and writes the tiles that commands name, byte by byte through the buffers.
#pragma once

#include <cstdint>
#include <vector>

#include "buffer/memories.h"
#include "vector/tap.h"
#include "wagesim/program/command.h"

namespace wagesim::rtl {

/// The buffer of a space. Throws MachineError for Dram and the accumulators, which are none.
Buffer& buffer_of(Memories& memories, Space space);

/// The codes of a tile in a buffer, in n, h, w, c order.
std::vector<std::int64_t> read_tile(Memories& memories, const TileView& view, const Box& box);

/// Throws MachineError if a code does not fit the view's bytes.
void write_tile(Memories& memories, const TileView& view, const Box& box,
                const std::vector<std::int64_t>& codes);

/// The codes of a source tile, which may lie in the accumulators: then they are y, the low 32
/// bits of the sums, and this completes y and shows it.
std::vector<std::int64_t> read_source(const Machinery& machinery, const TileView& view,
                                      const Box& box, const Moment& moment);

/// Accumulator rows that hold one pixel's channels.
std::int64_t rows_per_pixel(const TileView& view, const Box& box);

}  // namespace wagesim::rtl
