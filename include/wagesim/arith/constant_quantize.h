// The constant quantiser CQ of weight gradients: scaled by the tensor's R, which is then dropped.
#pragma once

#include <cassert>
#include <cstdint>
#include <type_traits>

#include "wagesim/arith/quantize.h"
#include "wagesim/arith/requantizer.h"
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

/// The same of codes of at most `bits` bits, in a lane of 32 or 64, rounded stochastically.
template <class Lane>
class StochasticQuantizer {
public:
    constexpr StochasticQuantizer(int n, int dr_log2, int bits)
        : fits_(n > 0 && bits <= most_bits<Lane> && dr_log2 < most_bits<Lane>),
          whole_(least(n, width - 1)),
          raised_(n < draw_bits && n > 0 ? draw_bits - n : 0),
          fraction_(n > draw_bits ? least(n - draw_bits, width - 1) : 0),
          limit_((Lane{1} << least(dr_log2, width - 2)) - 1) {}

    /// False: quantize_constant() must do it.
    constexpr bool fits() const { return fits_; }

    constexpr QuantizedLane<Lane> operator()(Lane code, std::uint32_t draw) const {
        using Size = std::make_unsigned_t<Lane>;
        const Lane sign = code >> (width - 1);
        const auto size = static_cast<Size>((code ^ sign) - sign);
        const Size fraction = ((size << raised_) >> fraction_) & ((Size{1} << draw_bits) - 1);
        const auto rounded =
            static_cast<Lane>((size >> whole_) + (fraction > static_cast<Size>(draw) ? 1 : 0));
        const Lane kept = rounded < limit_ ? rounded : limit_;
        return {(kept ^ sign) - sign, kept != rounded ? 1 : 0};
    }

private:
    static constexpr int width = 8 * static_cast<int>(sizeof(Lane));
    static constexpr int least(int a, int b) { return a < b ? a : b; }

    bool fits_;
    int whole_, raised_, fraction_;  // shifts
    Lane limit_;
};

}  // namespace wagesim::arith
