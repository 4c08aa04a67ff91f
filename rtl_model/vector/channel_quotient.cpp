// A batch norm's division, channel by channel: by sigma + eps, or the product with its inverse.
#include "vector/channel_quotient.h"

#include <algorithm>

#include "vector/channel_rows.h"
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

template <class Code>
int length_of_longest(const std::vector<Code>& codes) {
    arith::UnsignedWide all = 0;
    for (const Code code : codes) all |= arith::magnitude(code);
    return arith::bit_length(all);
}

}  // namespace

ChannelQuotient::ChannelQuotient(Buffer& parameters, const Divisors& divisors,
                                 const std::vector<Wide>& largest, int frac,
                                 const Quantizer& result)
    : inverse_(divisors.inverse),
      product_frac_(frac + divisors.sigma.bits),
      result_(result),
      codes_(read_divisors(parameters, divisors, static_cast<std::int64_t>(largest.size()))),
      fit_(result.format, result.overflow),
      requantize_(product_frac_, result,
                  length_of_longest(largest) + 1 + length_of_longest(codes_)),
      short_fit_(result.format, result.overflow) {
    const int bits = length_of_longest(largest) + 1;
    const int divisor_bits = length_of_longest(codes_);
    if (inverse_) {
        is_narrow_ = requantize_.fits();
        codes_ = along_row<std::int64_t>(codes_);
        return;
    }
    // The quotient of the codes has frac - sigma.frac fraction bits.
    const int up = result.format.frac - (frac - divisors.sigma.frac);
    up_ = std::max(up, 0);
    numerator_unit_ = Wide{1} << up_;
    divisor_unit_ = Wide{1} << std::max(-up, 0);
    if (is_short(largest)) {
        prepare_short();
        return;
    }
    codes_ = along_row<std::int64_t>(codes_);
    constexpr int most = arith::most_bits<std::int64_t>;
    is_narrow_ = bits + up_ <= most && divisor_bits + std::max(-up, 0) <= most &&
                 result.format.bits <= most && result.rounding == Rounding::half_even;
    if (!is_narrow_) return;
    unit_ = static_cast<std::int64_t>(numerator_unit_);
    for (const std::int64_t code : codes_)
        dividers_.emplace_back(code * static_cast<std::int64_t>(divisor_unit_));
}

bool ChannelQuotient::is_short(const std::vector<Wide>& largest) const {
    if (result_.rounding != Rounding::half_even ||
        !arith::Fitter<std::int32_t>::holds(result_.format))
        return false;
    for (std::size_t c = 0; c < codes_.size(); ++c)
        if (!arith::ShortDivider::fits(largest[c], codes_[c] * divisor_unit_, up_)) return false;
    return true;
}

void ChannelQuotient::prepare_short() {
    is_short_ = true;
    for (const std::int64_t code : codes_) {
        const arith::ShortDivider divider(code * static_cast<std::int64_t>(divisor_unit_), up_);
        short_divisors_.push_back(divider.divisor);
        reciprocals_.push_back(divider.reciprocal);
        raised_.push_back(divider.raised);
    }
    for (auto* row : {&short_divisors_, &reciprocals_, &raised_})
        *row = along_row<std::uint32_t>(*row);
}

arith::Quantized ChannelQuotient::wide(std::size_t place, Wide numerator) const {
    if (inverse_) return arith::requantize(numerator * codes_[place], product_frac_, result_);
    return arith::divide_to(numerator * numerator_unit_, codes_[place] * divisor_unit_, result_);
}

}  // namespace wagesim::rtl
