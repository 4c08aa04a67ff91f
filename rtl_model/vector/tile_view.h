// Reads and writes the tiles that commands name, byte by byte through the buffers.
#pragma once

#include <cstdint>

#include "buffer/memories.h"
#include "vector/tap.h"
#include "wagesim/program/command.h"

namespace wagesim::rtl {

/// The buffer of a space. Throws MachineError for Dram and the accumulators, which are none.
Buffer& buffer_of(Memories& memories, Space space);

/// The codes of a tile in a buffer, in n, h, w, c order.
Codes read_tile(const Machinery& machinery, const TileView& view, const Box& box);

/// Throws MachineError if a code does not fit the view's bytes.
void write_tile(const Machinery& machinery, const TileView& view, const Box& box,
                const Codes& codes);

/// The codes of a source tile, which may lie in the accumulators: then they are the low bits of
/// the sums (y, dx, gW), and this completes that point and shows it, with the given exponent.
Codes read_source(const Machinery& machinery, const TileView& view, const Box& box,
                  const Moment& moment, int exponent = 0);

/// Accumulator rows that hold a tile.
std::int64_t rows_of(const TileView& view, const Box& box);

/// Bits of a tile's codes, sign included.
inline int width_of(const TileView& view) {
    if (view.space == Space::accumulators) return view.bits;
    return 8 * view.bytes + (view.is_signed ? 0 : 1);
}
/// The same of codes at hand, where the view tells too little: those of 4 bytes and more are rarely
/// that wide.
int width_of(const TileView& view, const Codes& codes);

}  // namespace wagesim::rtl
