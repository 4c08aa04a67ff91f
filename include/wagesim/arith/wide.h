// Bit-level helpers on the widest registers: length, magnitude, low-bit masks.
#pragma once

#include <cassert>
#include <cstdint>
#include <type_traits>

#include "wagesim/tensor/tensor.h"

namespace wagesim::arith {

/// Magnitudes and bit patterns of `Wide`.
__extension__ typedef unsigned __int128 UnsignedWide;

/// Integer types that the overloads on std::int64_t take without losing a bit. Without this, a
/// call with an `int` would be ambiguous between the 64-bit and the 128-bit overload.
template <class T>
using EnableIfNarrow =
    std::enable_if_t<std::is_integral_v<T> && !std::is_same_v<T, std::int64_t> &&
                     (sizeof(T) < sizeof(std::int64_t) ||
                      (sizeof(T) == sizeof(std::int64_t) && std::is_signed_v<T>))>;

constexpr UnsignedWide magnitude(Wide x) {
    // Negated as a bit pattern: the most negative code has a magnitude too.
    return x < 0 ? ~static_cast<UnsignedWide>(x) + 1 : static_cast<UnsignedWide>(x);
}

/// Position of the leading one plus one; 0 for 0.
constexpr int bit_length(UnsignedWide v) {
    const auto high = static_cast<std::uint64_t>(v >> 64);
    const auto low = static_cast<std::uint64_t>(v);
    if (high != 0) return 128 - __builtin_clzll(high);
    return low != 0 ? 64 - __builtin_clzll(low) : 0;
}

/// x * 2^n where it fits `Wide`, n >= 0. `fits` is false where it does not; `value` then has the
/// low 128 bits.
struct LeftShifted {
    Wide value;
    bool fits;
};
constexpr LeftShifted shift_left(Wide x, int n) {
    assert(n >= 0);
    if (n > 127) return {0, x == 0};
    const Wide value = static_cast<Wide>(static_cast<UnsignedWide>(x) << n);
    return {value, (value >> n) == x};
}

}  // namespace wagesim::arith
