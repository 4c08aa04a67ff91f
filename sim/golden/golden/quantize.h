// Rounding and overflow by definition, on real values: value -> round(value / unit) * unit, the
// unit being 2^(exponent - frac).
#pragma once

#include <cmath>
#include <cstdint>
#include <functional>

#include "golden/tensor.h"
#include "golden/wide.h"
#include "wagesim/format/format.h"

namespace wagesim::golden {

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
            return std::rint(x);  // half_even, in the default floating-point environment
    }
}

/// Writes the exact real numbers of elements [first, first + count), or numbers certified to round
/// like them; called for a tensor's elements in ascending runs (tensor.h).
template <class Real>
using Formula = std::function<void(std::size_t first, std::size_t count, Real* x)>;

/// Rounds and fits the tensor's values (by default what it has: `values` or `exact`) to `rule`,
/// counting what happens; sets the tensor's format.
template <class Real>
void quantize(Tensor& tensor, const Quantizer& rule, const Formula<Real>& x = {});
/// The same into a range narrower than the register's, saturating; counts underflows too.
template <class Real>
void quantize_into(Tensor& tensor, const Quantizer& rule, CodeRange range,
                   const Formula<Real>& x = {});

/// x brought to the quantiser's format.
template <class Real>
Tensor quantized(const Shape& shape, const Formula<Real>& x, const Quantizer& rule) {
    Tensor tensor;
    tensor.shape = shape;
    quantize<Real>(tensor, rule, x);
    return tensor;
}
template <class Real>
Tensor quantized(const Shape& shape, Values values, const Quantizer& rule) {
    Tensor tensor;
    tensor.shape = shape;
    tensor.values = std::move(values);
    quantize<Real>(tensor, rule);
    return tensor;
}

/// Numbers of the shape that are codes in the range, of the unit 2^unit_log2: nothing rounds.
template <class Real>
Values on_grid(const Shape& shape, const Formula<Real>& x, CodeRange range, int unit_log2);

}  // namespace wagesim::golden
