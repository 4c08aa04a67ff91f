// The bits that lie beside a tile: masks, flags, the places that won.
#pragma once

#include <cstdint>
#include <vector>

#include "buffer/memories.h"
#include "wagesim/program/command.h"

namespace wagesim::rtl {

/// `count` values of `bits` bits, the first from bit `first * bits` of the bytes.
void unpack(const std::uint8_t* from, std::int64_t first, std::int64_t count, int bits,
            std::uint8_t* to);

/// One value an element, in n, h, w, c order.
std::vector<std::uint8_t> read_plane(Memories& memories, const BitPlane& plane, const Box& box);
void write_plane(Memories& memories, const BitPlane& plane, const Box& box,
                 const std::vector<std::uint8_t>& values);

}  // namespace wagesim::rtl
