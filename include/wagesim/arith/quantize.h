// The direct quantiser Q and the weight quantiser QW on codes (docs/datapath.md, "The quantisers").
#pragma once

#include <cstdint>

#include "wagesim/arith/rounding.h"
#include "wagesim/arith/saturate.h"
#include "wagesim/arith/wide.h"
#include "wagesim/format/format.h"

namespace wagesim::arith {

/// `clipped`: the rounded code did not fit. Codes of up to 64 bits (unsigned 63).
struct Quantized {
    std::int64_t code;
    bool clipped;
};

/// Q: brings a code of `from_frac` fraction bits to the quantiser's, rounded once, then fits it.
/// Every shift distance is exact: a left shift that leaves the widest register saturates, or
/// wraps, like any other. Exponents are the caller's business: pass from_frac - exponent.
constexpr Quantized requantize(Wide code, int from_frac, const Quantizer& quantizer) {
    const int n = from_frac - quantizer.format.frac;
    Wide rounded = 0;
    bool overflowed = false;
    if (n < 0) {
        const LeftShifted shifted = shift_left(code, -n);
        rounded = shifted.value;
        overflowed = !shifted.fits;
        if (overflowed && quantizer.overflow != Overflow::wrap) {
            rounded = code < 0 ? min_code(quantizer.format, quantizer.overflow)
                               : max_code(quantizer.format, quantizer.overflow);
        }
    } else {
        rounded = shift_right(code, n, quantizer.rounding);
    }
    const Clipped<Wide> fitted = fit(rounded, quantizer.format, quantizer.overflow);
    return {static_cast<std::int64_t>(fitted.value), fitted.clipped || overflowed};
}
constexpr Quantized requantize(std::int64_t code, int from_frac, const Quantizer& quantizer) {
    const int n = from_frac - quantizer.format.frac;
    if (n < 0) return requantize(Wide{code}, from_frac, quantizer);
    const Clipped<std::int64_t> fitted =
        fit(shift_right(code, n, quantizer.rounding), quantizer.format, quantizer.overflow);
    return {fitted.value, fitted.clipped};
}
template <class T, class = EnableIfNarrow<T>>
constexpr Quantized requantize(T code, int from_frac, const Quantizer& quantizer) {
    return requantize(std::int64_t{code}, from_frac, quantizer);
}

/// numerator / denominator (> 0) in codes of the quantiser's format, rounded once, then fitted.
/// The caller has brought both to units whose quotient is the format's.
constexpr Quantized divide_to(Wide numerator, Wide denominator, const Quantizer& quantizer) {
    const Clipped<Wide> fitted = fit(divide(numerator, denominator, quantizer.rounding),
                                     quantizer.format, quantizer.overflow);
    return {static_cast<std::int64_t>(fitted.value), fitted.clipped};
}

/// QW: k bits, frac k - 1, clipped to +-(1 - 2^(1-k)).
constexpr Quantized quantize_weight(Wide code, int from_frac, int k,
                                    Rounding rounding = Rounding::half_even) {
    return requantize(code, from_frac,
                      Quantizer{Format{k, k - 1, true, 0}, rounding, Overflow::saturate});
}

}  // namespace wagesim::arith
