// Operands as the array takes them, on the host's vector registers.
#pragma once

#include <cstdint>

namespace wagesim::rtl {

/// `count` one-byte codes of each of `pixels` pixels, `stride` apart, to operands: the next pixel's
/// `length` behind.
void widen_codes(const std::uint8_t* from, std::int64_t stride, std::int64_t pixels,
                 std::int32_t count, std::int16_t* operands, std::int64_t length);

/// Shifts those operands by `flag_shift` whose bit is set: a pixel's first bit is bit 0 of its
/// first byte.
void shift_by_bits(const std::uint8_t* bits, std::int64_t stride, std::int64_t pixels,
                   std::int32_t count, std::int16_t* operands, std::int64_t length);

}  // namespace wagesim::rtl
