// A batch norm's division, channel by channel: by sigma + eps, or the product with its inverse.
#pragma once

#include <cstdint>
#include <vector>

#include "vector/tap.h"
#include "wagesim/arith/divider.h"
#include "wagesim/arith/requantizer.h"

namespace wagesim::rtl {

/// Numerators of `frac` fraction bits over (sigma + eps), eps one code of sigma; or times inv
/// (codes at frac sigma.bits); rounded once to `result`. Channels as along_row() has them.
class ChannelQuotient {
public:
    struct Divisors {
        std::int64_t address = 0;  ///< in `parameters`: of sigma (4-byte codes) or inv (8-byte)
        bool inverse = false;
        Format sigma;
    };
    /// `largest`: of each channel's numerators, in magnitude.
    ChannelQuotient(Buffer& parameters, const Divisors& divisors, const std::vector<Wide>& largest,
                    int frac, const Quantizer& result);

    /// Calls use(zero, quotient): quotient(place in a row, numerator) for numerators of the type of
    /// zero, in 32 or 64 bits where they hold all that is on the way.
    template <class Use>
    auto with(Use use) const {
        if (is_short_)
            return use(std::int32_t{0},
                       [divisors = short_divisors_.data(), reciprocals = reciprocals_.data(),
                        raised = raised_.data(), up = static_cast<std::uint32_t>(up_),
                        fit = short_fit_](std::size_t place, std::int32_t numerator) {
                           const arith::ShortDivider divider(divisors[place], reciprocals[place],
                                                             raised[place], up);
                           return fit(divider.nearest_even(numerator));
                       });
        if (is_narrow_ && inverse_)
            return use(std::int64_t{0}, [codes = codes_.data(), requantize = requantize_](
                                            std::size_t place, std::int64_t numerator) {
                return requantize(numerator * codes[place]);
            });
        if (is_narrow_)
            return use(std::int64_t{0}, [dividers = dividers_.data(), unit = unit_, fit = fit_](
                                            std::size_t place, std::int64_t numerator) {
                return fit(dividers[place].nearest_even(numerator * unit));
            });
        return use(Wide{0},
                   [this](std::size_t place, Wide numerator) { return wide(place, numerator); });
    }

private:
    bool is_short(const std::vector<Wide>& largest) const;
    void prepare_short();
    arith::Quantized wide(std::size_t place, Wide numerator) const;

    bool inverse_, is_narrow_ = false, is_short_ = false;
    int product_frac_;  // inverse
    Quantizer result_;
    std::vector<std::int64_t> codes_;  // sigma + 1, or inv
    int up_ = 0;                       // places of the numerators
    Wide numerator_unit_ = 1, divisor_unit_ = 1;

    std::int64_t unit_ = 1;  // where it is narrow
    std::vector<arith::Divider> dividers_;
    arith::Fitter<std::int64_t> fit_;
    arith::Requantizer<std::int64_t> requantize_;

    std::vector<std::uint32_t> short_divisors_, reciprocals_, raised_;  // where it is short
    arith::Fitter<std::int32_t> short_fit_;
};

}  // namespace wagesim::rtl
