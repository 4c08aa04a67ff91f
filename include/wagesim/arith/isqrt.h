// Integer square roots, one result bit per step.
#pragma once

#include <cassert>
#include <cstdint>

#include "wagesim/arith/wide.h"

namespace wagesim::arith {

/// A root and what is left: v = root^2 + remainder, remainder <= 2 * root.
struct RootAndRemainder {
    std::uint64_t root;
    UnsignedWide remainder;
};

/// The digit-by-digit square root: each step brings down two bits of v and tries to subtract
/// 4 * root + 1.
constexpr RootAndRemainder square_root(UnsignedWide v) {
    UnsignedWide root = 0;
    UnsignedWide remainder = 0;
    for (int shift = (bit_length(v) - 1) & ~1; shift >= 0; shift -= 2) {
        remainder = (remainder << 2) | ((v >> shift) & 3);
        const UnsignedWide trial = (root << 2) | 1;
        root <<= 1;
        if (remainder >= trial) {
            remainder -= trial;
            root |= 1;
        }
    }
    return {static_cast<std::uint64_t>(root), remainder};
}

/// The largest r with r * r <= v.
constexpr std::uint64_t isqrt_floor(UnsignedWide v) { return square_root(v).root; }

/// The integer nearest to the square root of v. There are no ties: (r + 1/2)^2 is no integer, so
/// the root rounds up exactly where v >= r * r + r + 1. The result must fit 64 bits:
/// v <= (2^64 - 1) * 2^64.
constexpr std::uint64_t isqrt_rounded(UnsignedWide v) {
    const RootAndRemainder r = square_root(v);
    const bool up = r.remainder > r.root;
    assert(!(up && r.root == ~std::uint64_t{0}));
    return r.root + std::uint64_t{up};
}

}  // namespace wagesim::arith
