// Rounding and overflow by definition, on real values: value -> round(value / unit) * unit, the
// unit being 2^(exponent - frac).
#pragma once

#include <cmath>
#include <cstdint>
#include <vector>

#include "golden/tensor.h"
#include "golden/wide.h"
#include "wagesim/format/format.h"

namespace wagesim::golden {

/// Smallest and largest code.
struct CodeRange {
    double low, high;
};
CodeRange code_range(int bits, bool is_signed, Overflow overflow);
inline CodeRange code_range(const Quantizer& rule) {
    return code_range(rule.format.bits, rule.format.is_signed, rule.overflow);
}

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

/// Rounds and fits the tensor's values to `rule`, counting what happens; sets the tensor's format.
/// The values (or `exact`) are the exact real numbers, or certified to round like them.
template <class Real>
void quantize(Tensor& tensor, const Quantizer& rule);
/// The same into a range narrower than the register's, saturating; counts underflows too.
template <class Real>
void quantize_into(Tensor& tensor, const Quantizer& rule, CodeRange range);

/// x brought to the quantiser's format.
template <class Real>
Tensor quantized(const Shape& shape, std::vector<double> values, const Quantizer& rule) {
    Tensor tensor;
    tensor.shape = shape;
    tensor.values = std::move(values);
    quantize<Real>(tensor, rule);
    return tensor;
}

/// The elements whose rounded value is no code of the rule's register.
template <class Real>
std::vector<std::size_t> misfits(const std::vector<double>& values, const Quantizer& rule);

}  // namespace wagesim::golden
