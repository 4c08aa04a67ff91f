// Q (quantize.h) of many codes with one quantiser: 64 bits, no branch, nothing worked out twice.
#pragma once

#include <cassert>
#include <cstdint>

#include "wagesim/arith/quantize.h"
#include "wagesim/arith/saturate.h"
#include "wagesim/format/format.h"

namespace wagesim::arith {

/// Codes and registers of no more bits leave room for a sum and a rounding in 64.
inline constexpr int most_narrow_bits = 61;

/// fit() into one register of at most `most_narrow_bits` bits.
class Fitter {
public:
    constexpr Fitter(const Format& format, Overflow overflow)
        : wraps_(overflow == Overflow::wrap),
          is_signed_(format.is_signed),
          unused_(64 - format.bits),
          high_(static_cast<std::int64_t>(max_code(format, overflow))),
          low_(static_cast<std::int64_t>(min_code(format, overflow))) {}

    constexpr Quantized operator()(std::int64_t code) const {
        assert(64 - unused_ <= most_narrow_bits);
        std::int64_t fitted = code > high_ ? high_ : code;
        fitted = fitted < low_ ? low_ : fitted;
        if (wraps_) {
            const auto raised = static_cast<std::uint64_t>(code) << unused_;
            fitted = is_signed_ ? static_cast<std::int64_t>(raised) >> unused_
                                : static_cast<std::int64_t>(raised >> unused_);
        }
        return {fitted, fitted != code};
    }

private:
    bool wraps_, is_signed_;
    int unused_;
    std::int64_t high_, low_;
};

/// requantize() of codes of at most `bits` bits, sign included.
class Requantizer {
public:
    constexpr Requantizer(int from_frac, const Quantizer& quantizer, int bits)
        : fitter_(quantizer.format, quantizer.overflow) {
        const int n = from_frac - quantizer.format.frac;
        if (n > 0)
            set_rounding(n < most_narrow_bits ? n : most_narrow_bits, quantizer.rounding);
        else if (n > -most_narrow_bits)
            unit_ = std::int64_t{1} << -n;
        fits_ = n <= most_narrow_bits && bits - (n < 0 ? n : 0) <= most_narrow_bits &&
                quantizer.format.bits <= most_narrow_bits &&
                quantizer.rounding != Rounding::stochastic;
    }

    /// False: 64 bits might not hold what is on the way; requantize() must do it.
    constexpr bool fits() const { return fits_; }

    constexpr Quantized operator()(std::int64_t code) const { return fitter_(round(code)); }
    /// Before it is fitted.
    constexpr std::int64_t round(std::int64_t code) const {
        assert(fits_);
        const std::int64_t x = code * unit_;
        return (x + added_ + ((x >> right_) & odd_) + ((x >> 63) & negative_)) >> right_;
    }

private:
    /// A shift rounds down; what is added before it makes the difference: a half, less one where a
    /// tie must go down.
    constexpr void set_rounding(int n, Rounding rounding) {
        right_ = n;
        const std::int64_t half = std::int64_t{1} << (n - 1);
        switch (rounding) {
            case Rounding::half_even:
                added_ = half - 1;
                odd_ = 1;
                break;
            case Rounding::half_up:
                added_ = half;
                break;
            case Rounding::half_away:
                added_ = half;
                negative_ = -1;
                break;
            case Rounding::toward_zero:
                negative_ = 2 * half - 1;
                break;
            case Rounding::floor:
            case Rounding::stochastic:
                break;
        }
    }

    Fitter fitter_;
    bool fits_ = false;
    int right_ = 0;
    std::int64_t unit_ = 1, added_ = 0, odd_ = 0, negative_ = 0;
};

}  // namespace wagesim::arith
