// A batch norm's division, channel by channel: by sigma + eps, or the product with its inverse.
#pragma once

#include <cstdint>
#include <vector>

#include "vector/tap.h"
#include "wagesim/arith/divider.h"
#include "wagesim/arith/requantizer.h"

namespace wagesim::rtl {

/// Numerators of `frac` fraction bits over (sigma + eps), eps one code of sigma; or times inv
/// (codes at frac sigma.bits); rounded once to `result`.
class ChannelQuotient {
public:
    struct Divisors {
        std::int64_t address = 0;  ///< in `parameters`: of sigma (4-byte codes) or inv (8-byte)
        bool inverse = false;
        Format sigma;
    };
    /// `bits`: of the widest numerator, sign included.
    ChannelQuotient(Buffer& parameters, const Divisors& divisors, std::int64_t channels, int frac,
                    int bits, const Quantizer& result);

    /// Calls use(zero, quotient): quotient(channel, numerator) for numerators of the type of zero,
    /// in 64 bits where they hold all that is on the way.
    template <class Use>
    auto with(Use use) const {
        if (is_narrow_ && inverse_)
            return use(std::int64_t{0}, [codes = codes_.data(), requantize = requantize_](
                                            std::size_t channel, std::int64_t numerator) {
                return requantize(numerator * codes[channel]);
            });
        if (is_narrow_)
            return use(std::int64_t{0}, [dividers = dividers_.data(), unit = unit_, fit = fit_](
                                            std::size_t channel, std::int64_t numerator) {
                return fit(dividers[channel].nearest_even(numerator * unit));
            });
        return use(Wide{0}, [this](std::size_t channel, Wide numerator) {
            return wide(channel, numerator);
        });
    }

private:
    arith::Quantized wide(std::size_t channel, Wide numerator) const;

    bool inverse_, is_narrow_ = false;
    int product_frac_;  // inverse
    Quantizer result_;
    std::vector<std::int64_t> codes_;  // sigma + 1, or inv
    Wide numerator_unit_ = 1, divisor_unit_ = 1;

    std::int64_t unit_ = 1;  // where it is narrow
    std::vector<arith::Divider> dividers_;
    arith::Fitter fit_;
    arith::Requantizer requantize_;
};

}  // namespace wagesim::rtl
