// The constant quantiser CQ of weight gradients: scaled by the tensor's R, which is then dropped.
#pragma once

#include <cassert>
#include <cstdint>

#include "wagesim/arith/quantize.h"
#include "wagesim/arith/rounding.h"
#include "wagesim/arith/saturate.h"
#include "wagesim/arith/wide.h"
#include "wagesim/format/format.h"

namespace wagesim::arith {

/// CQ: dr * x / R rounded, clipped to +-(dr - 1), for x = code * 2^(exponent - frac), R = 2^s and
/// dr = 2^dr_log2. `draw` (16 bits) decides where `rounding` is stochastic, and is drawn, though
/// unused, where it is not. What the code means (frac kGC - 1) is the caller's.
constexpr Quantized quantize_constant(Wide code, int frac, int exponent, int s, int dr_log2,
                                      Rounding rounding, std::uint32_t draw) {
    assert(dr_log2 >= 0 && dr_log2 < 63);
    const int n = frac - exponent + s - dr_log2;
    const Format range{dr_log2 + 1, 0, true, 0};
    if (rounding != Rounding::stochastic || n <= 0) {
        // A left shift drops nothing: there is nothing to round.
        const Rounding exact_or_given = n <= 0 ? Rounding::floor : rounding;
        return requantize(code, n, Quantizer{range, exact_or_given, Overflow::saturate});
    }
    const Clipped<Wide> fitted =
        fit(shift_right_stochastic(code, n, draw), range, Overflow::saturate);
    return {static_cast<std::int64_t>(fitted.value), fitted.clipped};
}

}  // namespace wagesim::arith
