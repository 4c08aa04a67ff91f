// Rounding and overflow by definition, on real values: value -> round(value * 2^frac) * 2^-frac.
#pragma once

#include <boost/multiprecision/cpp_int.hpp>
#include <cmath>
#include <initializer_list>
#include <string>
#include <vector>

#include "golden/tensor.h"
#include "wagesim/format/format.h"

namespace wagesim::golden {

using BigInteger = boost::multiprecision::number<boost::multiprecision::cpp_int_backend<>,
                                                 boost::multiprecision::et_off>;

// Where float64 is exact (docs/datapath.md, the golden model's own exactness).
inline constexpr double integer_limit = 9007199254740992.0;   // 2^53: sums and products
inline constexpr double quotient_limit = 4503599627370496.0;  // 2^52: numerators of rint(a / b)
inline constexpr double root_limit = 281474976710656.0;       // 2^48: v of rint(sqrt(v))

template <class Real>
Real power_of_two(int exponent) {
    return std::ldexp(Real{1}, exponent);
}

/// Smallest and largest code.
struct CodeRange {
    double low, high;
};
CodeRange code_range(int bits, bool is_signed, Overflow overflow);

/// A code brought into a range, and whether it lay outside.
template <class Number>
struct Fitted {
    Number code;
    bool outside = false;
};
/// Codes below 2^53 - 2^bits only.
template <class Real>
inline Fitted<Real> fit(Real code, CodeRange range, Overflow overflow) {
    const Real low = static_cast<Real>(range.low);
    const Real high = static_cast<Real>(range.high);
    if (code >= low && code <= high) return {code, false};
    if (overflow != Overflow::wrap) return {code < low ? low : high, true};
    const Real span = static_cast<Real>(range.high - range.low + 1);
    return {code - span * std::floor((code - low) / span), true};
}
/// The same at any width.
Fitted<BigInteger> fit(const BigInteger& code, int bits, bool is_signed, Overflow overflow);

/// The exact quotient rounded once, and whether it lay on a tie. The denominator is positive.
struct Quotient {
    BigInteger code;
    bool tie = false;
};
Quotient divide(const BigInteger& numerator, const BigInteger& denominator, Rounding rounding);

/// Half-way between two integers.
template <class Real>
inline bool is_tie(Real x) {
    return std::abs(x - std::trunc(x)) == Real{0.5};
}

/// One number rounded to an integer by `rounding`, not stochastic.
template <class Real>
inline Real round_to_integer(Real x, Rounding rounding) {
    switch (rounding) {
        case Rounding::half_up: {
            const Real floor = std::floor(x);
            return x - floor >= Real{0.5} ? floor + 1 : floor;
        }
        case Rounding::half_away:
            return std::round(x);
        case Rounding::floor:
            return std::floor(x);
        case Rounding::toward_zero:
            return std::trunc(x);
        default:
            return std::nearbyint(x);  // half_even, in the default floating-point environment
    }
}

/// Rounds and fits the real numbers in `tensor.values` to `rule`, counting what happens; sets the
/// tensor's format. The values are the exact real numbers, or certified to round like them.
template <class Real>
void quantize(Tensor& tensor, const Quantizer& rule);

/// A tensor of exact codes at `frac`; fills `exact` where a code reaches 2^53.
Tensor from_codes(const Shape& shape, const std::vector<BigInteger>& codes, int frac, int bits,
                  bool is_signed);

/// Largest absolute value; 0 of none.
double largest(const std::vector<double>& values);
/// The same in codes of the tensor's frac.
double largest_code(const Tensor& tensor);

/// The tensor's values are not proven exact; the first reason is kept.
void uncertify(Tensor& tensor, const std::string& why);
/// A tensor computed from an uncertified one is not certified either.
void inherit(Tensor& tensor, std::initializer_list<const Tensor*> operands);

}  // namespace wagesim::golden
