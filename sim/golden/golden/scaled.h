// The quantisers that scale by R = 2^s, s = round(log2 of the largest value): SQ, FQ, CQ.
#pragma once

#include <cstdint>
#include <vector>

#include "golden/tensor.h"
#include "wagesim/format/format.h"

namespace wagesim::golden {

/// s, kept in [-128, 127]; -128 of a tensor that is all zero.
template <class Real>
int scale_log2(const Tensor& tensor);

/// SQ: codes of the rule's frac (k = frac + 1) with exponent s, clipped to +-(1 - 2^-frac), or to
/// +-1 where the register has a bit more.
template <class Real>
Tensor shift_quantize(const Tensor& in, Quantizer rule);

/// FQ of 8 bits as the operand of 15: code << 7 where the flag is set. The rule's rounding counts.
template <class Real>
Tensor flag_quantize(const Tensor& in, Quantizer rule);

/// CQ of frac + 1 bits; stochastic (or by the rule's rounding), one draw of 16 bits an element.
template <class Real>
Tensor constant_quantize(const Tensor& in, const Quantizer& rule, int dr_log2,
                         const std::vector<std::uint16_t>& draws);

}  // namespace wagesim::golden
