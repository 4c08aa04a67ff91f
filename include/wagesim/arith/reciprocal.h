// A quotient as a 16-bit mantissa and an exponent: what multiplies instead of a division.
#pragma once

#include <cassert>
#include <cstdint>

#include "wagesim/arith/rounding.h"
#include "wagesim/arith/wide.h"
#include "wagesim/format/format.h"

namespace wagesim::arith {

/// mantissa * 2^exponent, mantissa in [2^15, 2^16); zero is {0, 0}.
struct Mantissa16 {
    std::uint32_t mantissa;
    int exponent;
};

/// numerator / denominator (>= 0, > 0; each below 2^110) with a mantissa rounded once, to nearest,
/// ties to even. A mantissa that rounds to 2^16 is renormalised. Signs are the caller's.
constexpr Mantissa16 nearest16(Wide numerator, Wide denominator) {
    assert(numerator >= 0 && (numerator >> 110) == 0);
    assert(denominator > 0 && (denominator >> 110) == 0);
    if (numerator == 0) return {0, 0};
    // Aligned leading ones leave a quotient in (1/2, 2); below 1 it needs one more place.
    const int n_length = bit_length(static_cast<UnsignedWide>(numerator));
    const int d_length = bit_length(static_cast<UnsignedWide>(denominator));
    const int gap = n_length - d_length;
    const Wide n_aligned = gap < 0 ? numerator << -gap : numerator;
    const Wide d_aligned = gap > 0 ? denominator << gap : denominator;
    const bool below_one = n_aligned < d_aligned;
    const int places = below_one ? 16 : 15;
    const Wide rounded = divide(n_aligned << places, d_aligned, Rounding::half_even);
    const bool carried = rounded == Wide{1} << 16;
    return {carried ? 1U << 15 : static_cast<std::uint32_t>(rounded), gap - places + int{carried}};
}

}  // namespace wagesim::arith
