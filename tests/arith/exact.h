// The roundings as they are defined, on unbounded integers and rationals: no shifts, no masks.
#pragma once

#include <boost/multiprecision/cpp_int.hpp>
#include <cstdint>
#include <ostream>
#include <random>
#include <string>

#include "wagesim/arith/wide.h"
#include "wagesim/format/format.h"

namespace wagesim {

inline void PrintTo(Rounding rounding, std::ostream* out) { *out << to_string(rounding); }
inline void PrintTo(Overflow overflow, std::ostream* out) { *out << to_string(overflow); }

}  // namespace wagesim

namespace wagesim::test {

using Integer = boost::multiprecision::cpp_int;
using Rational = boost::multiprecision::cpp_rational;

inline constexpr Rounding deterministic_roundings[] = {Rounding::half_even, Rounding::half_up,
                                                       Rounding::half_away, Rounding::floor,
                                                       Rounding::toward_zero};
inline constexpr Overflow overflows[] = {Overflow::saturate, Overflow::full, Overflow::wrap};

/// 2^n by repeated doubling.
template <class Int>
Int power_of_two(int n) {
    Int result = 1;
    for (int i = 0; i < n; ++i) result *= 2;
    return result;
}

inline Rational scaled(const Rational& x, int exponent) {
    return exponent >= 0 ? Rational(x * power_of_two<Integer>(exponent))
                         : Rational(x / power_of_two<Integer>(-exponent));
}

inline Integer exact(Wide x) {
    const bool negative = x < 0;
    Integer result = 0;
    Integer place = 1;
    for (; x != 0; x /= 1000000000) {
        const auto digits = static_cast<std::int64_t>(x % 1000000000);
        result += place * (negative ? -digits : digits);
        place *= 1000000000;
    }
    return negative ? Integer(-result) : result;
}

/// numerator / denominator (> 0) rounded by definition: of the two neighbouring integers the
/// nearer one, or the one the rounding's name tells.
template <class Int>
Int round_by_definition(const Int& numerator, const Int& denominator, Rounding rounding) {
    Int below = numerator / denominator;
    if (below * denominator > numerator) below -= 1;
    if (below * denominator == numerator) return below;
    const Int above = below + 1;
    const Int to_below = numerator - below * denominator;
    const Int to_above = above * denominator - numerator;
    const bool below_is_smaller = numerator > 0;
    if (rounding == Rounding::floor) return below;
    if (rounding == Rounding::toward_zero) return below_is_smaller ? below : above;
    if (to_below < to_above) return below;
    if (to_above < to_below) return above;
    if (rounding == Rounding::half_up) return above;
    if (rounding == Rounding::half_away) return below_is_smaller ? above : below;
    return below % 2 == 0 ? below : above;
}

inline Integer round_by_definition(const Rational& x, Rounding rounding) {
    return round_by_definition<Integer>(boost::multiprecision::numerator(x),
                                        boost::multiprecision::denominator(x), rounding);
}

inline Rational absolute(const Rational& x) { return x < 0 ? Rational(-x) : x; }

inline Integer clip(const Integer& x, const Integer& limit) {
    return x > limit ? limit : (x < -limit ? Integer(-limit) : x);
}

/// The smallest and the largest value of a register, from its definition.
inline Integer lowest(int bits, bool is_signed, Overflow overflow) {
    if (!is_signed) return 0;
    const Integer half = power_of_two<Integer>(bits - 1);
    return overflow == Overflow::saturate ? Integer(1 - half) : Integer(-half);
}
inline Integer highest(int bits, bool is_signed) {
    return power_of_two<Integer>(is_signed ? bits - 1 : bits) - 1;
}

/// What a register holds after `x` was put in: clamped, or the only value of its range that is
/// congruent to x modulo 2^bits.
inline Integer fit_by_definition(const Integer& x, int bits, bool is_signed, Overflow overflow) {
    const Integer low = lowest(bits, is_signed, overflow);
    const Integer high = highest(bits, is_signed);
    if (overflow != Overflow::wrap) return x < low ? low : (x > high ? high : x);
    const Integer modulus = power_of_two<Integer>(bits);
    Integer residue = x % modulus;
    while (residue < low) residue += modulus;
    while (residue > high) residue -= modulus;
    return residue;
}

/// Seeded signed integers of up to `bits` bits, all lengths alike.
class RandomCodes {
public:
    explicit RandomCodes(std::uint64_t seed) : engine_(seed) {}

    Wide operator()(int bits) {
        const auto high = static_cast<arith::UnsignedWide>(engine_());
        const arith::UnsignedWide pattern = (high << 64) | engine_();
        const int length = 1 + static_cast<int>(engine_() % static_cast<std::uint64_t>(bits));
        const auto x = static_cast<Wide>(pattern >> (128 - length));
        return engine_() % 2 == 0 ? x : -x;
    }
    std::uint64_t below(std::uint64_t limit) { return engine_() % limit; }

private:
    std::mt19937_64 engine_;  // the same numbers everywhere; no <random> distribution
};

/// Decimal, for messages.
inline std::string text(Wide x) { return exact(x).str(); }

}  // namespace wagesim::test
