// The bits that lie beside a tile: masks, flags, the places that won.
#include "vector/bit_plane.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <string>

#include "control/extent.h"
#include "vector/tile_view.h"

namespace wagesim::rtl {
namespace {

/// The eight bits of a byte, a byte each.
using Spread = std::array<std::uint8_t, 8>;
constexpr std::array<Spread, 256> spread_bytes() {
    std::array<Spread, 256> table{};
    for (unsigned byte = 0; byte < 256; ++byte)
        for (unsigned bit = 0; bit < 8; ++bit)
            table[byte][bit] = static_cast<std::uint8_t>((byte >> bit) & 1U);
    return table;
}
constexpr std::array<Spread, 256> spread = spread_bytes();

/// Bits of so many values of 0 or 1, low ones first; whole bytes, then the rest.
void pack_bits(const std::uint8_t* from, std::int64_t count, std::uint8_t* to) {
    for (; count > 0; count -= 8, from += 8) {
        std::uint64_t eight = 0;
        std::memcpy(&eight, from, static_cast<std::size_t>(std::min<std::int64_t>(count, 8)));
        // Value i times 2^(56 - 7 i) is bit 56 + i.
        *to++ = static_cast<std::uint8_t>((eight * 0x0102040810204080U) >> 56);
    }
}

void require_bits(const BitPlane& plane) {
    if (plane.bits < 1 || plane.bits > 8)
        throw MachineError("a plane of " + std::to_string(plane.bits) + " bits; 1 to 8 exist");
}

template <class Function>
void for_each_pixel(const BitPlane& plane, const Box& box, Function f) {
    for (std::int64_t n = 0; n < box.n; ++n)
        for (std::int64_t h = 0; h < box.h; ++h)
            for (std::int64_t w = 0; w < box.w; ++w)
                f(plane.address + n * plane.stride_n + h * plane.stride_h + w * plane.stride_w);
}

}  // namespace

void unpack(const std::uint8_t* from, std::int64_t first, std::int64_t count, int bits,
            std::uint8_t* to) {
    if (bits == 1 && first % 8 == 0) {
        from += first / 8;
        for (; count >= 8; count -= 8, to += 8) std::memcpy(to, spread[*from++].data(), 8);
        if (count > 0) std::memcpy(to, spread[*from].data(), static_cast<std::size_t>(count));
        return;
    }
    for (std::int64_t i = 0; i < count; ++i) {
        const std::int64_t place = (first + i) * bits, left = 8 - place % 8;  // in its first byte
        unsigned value = unsigned{from[place / 8]} >> (8 - left);
        if (left < bits) value |= unsigned{from[place / 8 + 1]} << left;
        to[i] = static_cast<std::uint8_t>(value & ((1U << bits) - 1));
    }
}

std::vector<std::uint8_t> read_plane(Memories& memories, const BitPlane& plane, const Box& box) {
    require_bits(plane);
    Buffer& buffer = buffer_of(memories, plane.space);
    std::vector<std::uint8_t> values(static_cast<std::size_t>(box.size()));
    std::uint8_t* to = values.data();
    const std::int64_t first = plane.first * plane.bits / 8;
    const std::int64_t end = ((plane.first + box.c) * plane.bits + 7) / 8;
    for_each_pixel(plane, box, [&](std::int64_t address) {
        const std::uint8_t* const bytes = buffer.read(address + first, end - first);
        unpack(bytes - first, plane.first, box.c, plane.bits, to);
        to += box.c;
    });
    return values;
}

void write_plane(Memories& memories, const BitPlane& plane, const Box& box,
                 const std::vector<std::uint8_t>& values) {
    require_bits(plane);
    if (plane.first != 0)
        throw MachineError("a plane is written by whole bytes, not from element " +
                           std::to_string(plane.first) + " on");
    Buffer& buffer = buffer_of(memories, plane.space);
    const std::uint8_t* from = values.data();
    const std::int64_t bytes = (std::int64_t{box.c} * plane.bits + 7) / 8;
    for_each_pixel(plane, box, [&](std::int64_t address) {
        std::uint8_t* to = buffer.write(address, bytes);
        if (plane.bits == 1) {
            pack_bits(from, box.c, to);
            from += box.c;
            return;
        }
        unsigned pending = 0;
        int filled = 0;
        for (std::int64_t i = 0; i < box.c; ++i) {
            pending |= unsigned{*from++} << filled;
            filled += plane.bits;
            if (filled < 8) continue;
            *to++ = static_cast<std::uint8_t>(pending);
            pending >>= 8;
            filled -= 8;
        }
        if (filled > 0) *to = static_cast<std::uint8_t>(pending);
    });
}

}  // namespace wagesim::rtl
