// The scale R of a tensor and the two quantisers that keep it: SQ (shift) and FQ (flag).
#pragma once

#include <cassert>
#include <cstdint>

#include "wagesim/arith/quantize.h"
#include "wagesim/arith/rounding.h"
#include "wagesim/arith/saturate.h"
#include "wagesim/arith/wide.h"
#include "wagesim/format/format.h"

namespace wagesim::arith {

/// Limits of the 8-bit register of a tensor's exponent.
inline constexpr int min_exponent = -128;
inline constexpr int max_exponent = 127;

/// s = log2 R = round(log2 max|x|) for max|x| = max_abs * 2^(exponent - frac), max_abs < 2^64,
/// saturated to the exponent's register. All-zero tensor: -128.
constexpr int scale_exponent(Wide max_abs, int frac, int exponent) {
    assert(max_abs >= 0 && (max_abs >> 64) == 0);
    if (max_abs == 0) return min_exponent;
    const auto m = static_cast<UnsignedWide>(max_abs);
    const int p = bit_length(m) - 1;
    // log2 m is nearer to p + 1 where m > sqrt(2) * 2^p. Equality is impossible.
    const bool up = m * m > UnsignedWide{1} << (2 * p + 1);
    const int s = p + int{up} - frac + exponent;
    return s < min_exponent ? min_exponent : (s > max_exponent ? max_exponent : s);
}

/// SQ: the code of x / R, x = code * 2^(exponent - frac), R = 2^s; the result has the exponent s.
/// `quantizer.format` is {k bits, frac k - 1}.
template <class Code>
constexpr Quantized quantize_shift(Code code, int frac, int exponent, int s,
                                   const Quantizer& quantizer) {
    return requantize(code, frac - exponent + s, quantizer);
}

/// A code of FQ. Its value is code * Sc if flagged, else code * Sc * 2^(1-k); Sc = 2^(s+1-k).
struct Flagged {
    std::int64_t code;
    bool flag;
    bool clipped;
};

/// FQ: `quantizer.format` is {k bits, frac k - 1}. The flag says |x| >= Sc and is decided before
/// rounding; a small |x| that rounds up to Sc becomes flagged +-1, the same value, because
/// 2^(k-1) does not fit k bits.
constexpr Flagged quantize_flag(Wide code, int frac, int exponent, int s,
                                const Quantizer& quantizer) {
    const int step = quantizer.format.frac;        // log2 of the ratio of the two units
    const int large = frac - exponent + s - step;  // log2 Sc in units of the input's code
    const bool flag = bit_length(magnitude(code)) > (large > 0 ? large : 0);
    if (flag) {
        const Quantized q = quantize_shift(code, frac, exponent, s, quantizer);
        return {q.code, true, q.clipped};
    }
    const Wide small = shift_right(code, large - step, quantizer.rounding);
    if (magnitude(small) >> step != 0) return {small < 0 ? -1 : 1, true, false};
    return {static_cast<std::int64_t>(small), false, false};
}

/// What a flagged code is in a multiplier: a (2k-1)-bit signed operand of frac 2(k-1).
constexpr std::int64_t flag_operand(std::int64_t code, bool flag, int k) {
    return flag ? code * (std::int64_t{1} << (k - 1)) : code;
}

}  // namespace wagesim::arith
