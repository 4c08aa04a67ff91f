// Q (quantize.h) of many codes with one quantiser: no branch, nothing worked out twice.
#pragma once

#include <cassert>
#include <cstdint>
#include <type_traits>

#include "wagesim/arith/quantize.h"
#include "wagesim/arith/saturate.h"
#include "wagesim/format/format.h"

namespace wagesim::arith {

/// Codes and registers of no more bits leave room for a sum and a rounding in a `Lane` of 32 or 64.
template <class Lane>
inline constexpr int most_bits = 8 * static_cast<int>(sizeof(Lane)) - 3;

/// `Quantized` in a lane. `clipped`, 1 or 0, is as wide as the code, so that vectors hold both
/// alike.
template <class Lane>
struct QuantizedLane {
    Lane code, clipped;
};

/// fit() into one register that `holds()`.
template <class Lane>
class Fitter {
public:
    static constexpr bool holds(const Format& format) {
        return format.bits + (format.is_signed ? 0 : 1) <= width;
    }

    constexpr Fitter(const Format& format, Overflow overflow)
        : wraps_(overflow == Overflow::wrap ? ~Unsigned{0} : Unsigned{0}),
          used_(~Unsigned{0} >> (holds(format) ? width - format.bits : 0)),
          below_(format.is_signed ? (used_ >> 1) + 1 : 0),
          high_(static_cast<Lane>(max_code(format, overflow))),
          low_(static_cast<Lane>(min_code(format, overflow))) {}

    constexpr QuantizedLane<Lane> operator()(Lane code) const {
        const Lane least = code > low_ ? code : low_;
        const auto clamped = static_cast<Unsigned>(least < high_ ? least : high_);
        // The lowest code moved to 0, and back.
        const Unsigned wrapped = ((static_cast<Unsigned>(code) + below_) & used_) - below_;
        const auto fitted = static_cast<Lane>(clamped ^ ((clamped ^ wrapped) & wraps_));
        return {fitted, fitted != code ? 1 : 0};
    }

private:
    using Unsigned = std::make_unsigned_t<Lane>;
    static constexpr int width = 8 * static_cast<int>(sizeof(Lane));
    Unsigned wraps_;  // all bits or none
    Unsigned used_;   // the register's bits
    Unsigned below_;  // how far down its codes go
    Lane high_, low_;
};

/// requantize() of codes of at most `bits` bits, sign included.
template <class Lane>
class Requantizer {
public:
    constexpr Requantizer(int from_frac, const Quantizer& quantizer, int bits)
        : fitter_(quantizer.format, quantizer.overflow) {
        constexpr int most = most_bits<Lane>;
        const int n = from_frac - quantizer.format.frac;
        if (n > 0)
            set_rounding(n < most ? n : most, quantizer.rounding);
        else if (n > -most)
            unit_ = Lane{1} << -n;
        fits_ = n <= most && bits - (n < 0 ? n : 0) <= most && quantizer.format.bits <= most &&
                quantizer.rounding != Rounding::stochastic;
    }

    /// False: a lane might not hold what is on the way; requantize() must do it.
    constexpr bool fits() const { return fits_; }

    constexpr QuantizedLane<Lane> operator()(Lane code) const { return fitter_(round(code)); }
    /// Before it is fitted.
    constexpr Lane round(Lane code) const {
        assert(fits_);
        constexpr int sign = 8 * static_cast<int>(sizeof(Lane)) - 1;
        const Lane x = code * unit_;
        return (x + added_ + ((x >> right_) & odd_) + ((x >> sign) & negative_)) >> right_;
    }

private:
    /// A shift rounds down; what is added before it makes the difference: a half, less one where a
    /// tie must go down.
    constexpr void set_rounding(int n, Rounding rounding) {
        right_ = n;
        const Lane half = Lane{1} << (n - 1);
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

    Fitter<Lane> fitter_;
    bool fits_ = false;
    int right_ = 0;
    Lane unit_ = 1, added_ = 0, odd_ = 0, negative_ = 0;
};

}  // namespace wagesim::arith
