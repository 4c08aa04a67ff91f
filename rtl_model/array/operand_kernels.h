// Operands as the array takes them, on the host's vector registers.
#pragma once

#include <cstdint>

namespace wagesim::rtl {

/// `count` one-byte codes of each of `pixels` pixels, `stride` apart, to operands: the next pixel's
/// `length` behind.
void widen_codes(const std::uint8_t* from, std::int64_t stride, std::int64_t pixels,
                 std::int32_t count, std::int16_t* operands, std::int64_t length);

/// The same for columns that lie `stride` apart: code r of column c to [r * length + c].
void widen_turned(const std::uint8_t* from, std::int64_t stride, std::int32_t columns,
                  std::int32_t rows, std::int16_t* to, std::int64_t length);

/// Shifts those operands by `flag_shift` whose bit is set: a pixel's first one is bit `first`, low
/// bits of a byte before high ones.
void shift_by_bits(const std::uint8_t* bits, std::int64_t first, std::int64_t stride,
                   std::int64_t pixels, std::int32_t count, std::int16_t* operands,
                   std::int64_t length);

/// Pairs: even[i] and odd[i] to [2 i] and [2 i + 1].
void interleave(const std::int16_t* even, const std::int16_t* odd, std::int64_t count,
                std::int16_t* to);

}  // namespace wagesim::rtl
