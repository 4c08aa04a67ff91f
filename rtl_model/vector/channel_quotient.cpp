// A batch norm's division, channel by channel: by sigma + eps, or the product with its inverse.
#include "vector/channel_quotient.h"

#include <algorithm>

#include "vector/codes.h"
#include "wagesim/arith/quantize.h"
#include "wagesim/arith/wide.h"

namespace wagesim::rtl {
namespace {

std::vector<std::int64_t> read_divisors(Buffer& parameters,
                                        const ChannelQuotient::Divisors& divisors,
                                        std::int64_t channels) {
    if (divisors.inverse) return read_codes(parameters, divisors.address, channels, 8, true);
    std::vector<std::int64_t> codes =
        read_codes(parameters, divisors.address, channels, 4, divisors.sigma.is_signed);
    for (std::int64_t& code : codes)
        if (code++ < 0) throw MachineError("a division by a negative sigma");
    return codes;
}

int length_of_longest(const std::vector<std::int64_t>& codes) {
    arith::UnsignedWide all = 0;
    for (const std::int64_t code : codes) all |= arith::magnitude(code);
    return arith::bit_length(all);
}

}  // namespace

ChannelQuotient::ChannelQuotient(Buffer& parameters, const Divisors& divisors,
                                 std::int64_t channels, int frac, int bits, const Quantizer& result)
    : inverse_(divisors.inverse),
      product_frac_(frac + divisors.sigma.bits),
      result_(result),
      codes_(read_divisors(parameters, divisors, channels)),
      fit_(result.format, result.overflow),
      requantize_(product_frac_, result, bits + length_of_longest(codes_)) {
    if (inverse_) {
        is_narrow_ = requantize_.fits();
        return;
    }
    // The quotient of the codes has frac - sigma.frac fraction bits.
    const int up = result.format.frac - (frac - divisors.sigma.frac);
    numerator_unit_ = Wide{1} << std::max(up, 0);
    divisor_unit_ = Wide{1} << std::max(-up, 0);
    is_narrow_ = bits + std::max(up, 0) <= arith::most_narrow_bits &&
                 length_of_longest(codes_) + std::max(-up, 0) <= arith::most_narrow_bits &&
                 result.format.bits <= arith::most_narrow_bits &&
                 result.rounding == Rounding::half_even;
    if (!is_narrow_) return;
    unit_ = static_cast<std::int64_t>(numerator_unit_);
    for (const std::int64_t code : codes_)
        dividers_.emplace_back(code * static_cast<std::int64_t>(divisor_unit_));
}

arith::Quantized ChannelQuotient::wide(std::size_t channel, Wide numerator) const {
    if (inverse_) return arith::requantize(numerator * codes_[channel], product_frac_, result_);
    return arith::divide_to(numerator * numerator_unit_, codes_[channel] * divisor_unit_, result_);
}

}  // namespace wagesim::rtl
