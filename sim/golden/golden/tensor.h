// A tensor of real values at a quantisation point, with what the golden model knows about it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "wagesim/tensor/tensor.h"

namespace wagesim::golden {

/// Values in N, C, H, W order (weights O, I, kh, kw; per channel (1, C, 1, 1)): exact multiples of
/// 2^-frac.
struct Tensor {
    Shape shape;
    std::vector<double> values;
    /// The format the golden model derived for itself. `inv` and `fold_a` have one exponent per
    /// channel: there `frac` is the finest channel's and `bits` counts the mantissa (and sign).
    int frac = 0;
    int bits = 0;
    bool is_signed = true;
    /// Elements whose exact value lay on a rounding tie; empty: none.
    std::vector<bool> ties;
    std::int64_t saturations = 0;  ///< elements clipped at this point
    std::int64_t wraps = 0;        ///< elements wrapped at this point
    /// y and z: outputs that differ from those of an infinitely wide accumulator.
    std::int64_t differs_from_wide = 0;
    /// False where float64 is not proven exact on the data at hand, or an operand was not
    /// certified; then the values must not be compared. Always true in float32, which is there to
    /// be measured against the hardware and not to be right.
    bool certified = true;
    std::string why_not;
    /// Every element's code (values times 2^frac) in decimal, where one of them reaches 2^53; then
    /// `values` are the nearest doubles. Otherwise empty.
    std::vector<std::string> exact;
};

}  // namespace wagesim::golden
