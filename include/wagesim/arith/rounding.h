// Right shifts and divisions rounded once, as an adder behind a shifter or a divider does it.
#pragma once

#include <cassert>
#include <cstdint>

#include "wagesim/arith/wide.h"
#include "wagesim/format/format.h"

namespace wagesim::arith {

/// The carry into a floored quotient. `guard`: the discarded fraction is at least one half;
/// `sticky`: it is neither 0 nor exactly one half. A tie is guard and not sticky.
constexpr bool rounds_up(Rounding rounding, bool negative, bool odd, bool guard, bool sticky) {
    switch (rounding) {
        case Rounding::half_even:
            return guard && (sticky || odd);
        case Rounding::half_up:
            return guard;
        case Rounding::half_away:
            return guard && (sticky || !negative);
        case Rounding::floor:
            return false;
        case Rounding::toward_zero:
            return negative && (guard || sticky);
        case Rounding::stochastic:
            break;
    }
    assert(false && "stochastic rounding needs a draw: shift_right_stochastic");
    return false;
}

namespace detail {

template <class Signed, class Unsigned>
constexpr Signed shift_right(Signed x, int n, Rounding rounding) {
    constexpr int width = static_cast<int>(sizeof(Signed)) * 8;
    constexpr int longest = width - 2;
    if (n <= 0) {
        if (x == 0) return 0;
        assert(-n < width);
        const auto shifted = static_cast<Signed>(static_cast<Unsigned>(x) << -n);
        assert((shifted >> -n) == x);
        return shifted;
    }
    if (n > longest) {
        // A first step keeps what is shifted out in the lowest bit: far below the guard bit, it
        // is only ever part of `sticky`.
        const int excess = n - longest < width - 1 ? n - longest : width - 1;
        const Unsigned lost = static_cast<Unsigned>(x) & ((Unsigned{1} << excess) - 1);
        x = (x >> excess) | Signed{lost != 0};
        n = longest;
    }
    const Signed floored = x >> n;
    const bool guard = ((x >> (n - 1)) & 1) != 0;
    const bool sticky = (x & ((Signed{1} << (n - 1)) - 1)) != 0;
    const bool odd = (floored & 1) != 0;
    return floored + Signed{rounds_up(rounding, x < 0, odd, guard, sticky)};
}

}  // namespace detail

/// x / 2^n, the exact quotient rounded once; any n > 0. For n <= 0 the exact x * 2^-n, which must
/// fit.
constexpr Wide shift_right(Wide x, int n, Rounding rounding) {
    return detail::shift_right<Wide, UnsignedWide>(x, n, rounding);
}
constexpr std::int64_t shift_right(std::int64_t x, int n, Rounding rounding) {
    return detail::shift_right<std::int64_t, std::uint64_t>(x, n, rounding);
}
template <class T, class = EnableIfNarrow<T>>
constexpr std::int64_t shift_right(T x, int n, Rounding rounding) {
    return shift_right(std::int64_t{x}, n, rounding);
}

/// Bits of a random draw for stochastic rounding.
inline constexpr int draw_bits = 16;

/// x / 2^n rounded stochastically on sign and magnitude: of the dropped fraction of |x| the top 16
/// bits (zeros appended if it has fewer) are compared with a 16-bit draw, and strictly greater
/// rounds away from zero. Exact for n <= 0, where the result must fit.
constexpr Wide shift_right_stochastic(Wide x, int n, std::uint32_t draw) {
    assert(draw < (1U << draw_bits));
    if (n <= 0) return shift_right(x, n, Rounding::floor);
    const UnsignedWide size = magnitude(x);
    const UnsignedWide whole = n < 128 ? size >> n : 0;
    UnsignedWide fraction = 0;
    if (n <= draw_bits) {
        fraction = (size & ((UnsignedWide{1} << n) - 1)) << (draw_bits - n);
    } else if (n - draw_bits < 128) {
        fraction = (size >> (n - draw_bits)) & ((1U << draw_bits) - 1);
    }
    const UnsignedWide rounded = whole + UnsignedWide{fraction > draw};
    return x < 0 ? -static_cast<Wide>(rounded) : static_cast<Wide>(rounded);
}

/// a / b for b > 0, the exact quotient rounded once from the divider's remainder.
constexpr Wide divide(Wide a, Wide b, Rounding rounding) {
    assert(b > 0);
    Wide quotient = 0;
    Wide remainder = 0;
    if (a == static_cast<std::int64_t>(a) && b == static_cast<std::int64_t>(b)) {
        // The same division on the host's own divider, several times faster. b > 0: no overflow.
        const auto a64 = static_cast<std::int64_t>(a);
        const auto b64 = static_cast<std::int64_t>(b);
        quotient = a64 / b64;
        remainder = a64 % b64;
    } else {
        quotient = a / b;
        remainder = a % b;
    }
    if (remainder < 0) {  // C++ truncates
        quotient -= 1;
        remainder += b;
    }
    const Wide rest = b - remainder;  // 2 * remainder would need a bit more
    const bool guard = remainder >= rest;
    const bool sticky = remainder != 0 && remainder != rest;
    const bool odd = (quotient & 1) != 0;
    return quotient + Wide{rounds_up(rounding, a < 0, odd, guard, sticky)};
}

}  // namespace wagesim::arith
