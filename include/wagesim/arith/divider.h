// Many divisions by one number.
#pragma once

#include <cassert>
#include <cstdint>

#include "wagesim/arith/wide.h"

namespace wagesim::arith {

/// Divides by multiplying with a truncated reciprocal; the remainder corrects the quotient, so that
/// it is exact.
class Divider {
public:
    static constexpr int most_bits = 62;  ///< of a divisor or a numerator's magnitude

    constexpr explicit Divider(std::int64_t divisor)
        : divisor_(static_cast<std::uint64_t>(divisor)), reciprocal_(~std::uint64_t{0} / divisor_) {
        assert(divisor > 0 && (divisor >> most_bits) == 0);
    }

    /// numerator / divisor to nearest, ties to even.
    constexpr std::int64_t nearest_even(std::int64_t numerator) const {
        const std::int64_t sign = numerator >> 63;
        const auto size = static_cast<std::uint64_t>((numerator ^ sign) - sign);
        assert((size >> most_bits) == 0);
        // Less than one below the quotient: size / divisor loses under a half by the reciprocal.
        std::uint64_t quotient =
            static_cast<std::uint64_t>((UnsignedWide{size} * reciprocal_) >> 64);
        std::uint64_t remainder = size - quotient * divisor_;
        const std::uint64_t missed = remainder >= divisor_ ? 1 : 0;
        quotient += missed;
        remainder -= missed * divisor_;
        quotient += 2 * remainder + (quotient & 1) > divisor_ ? 1 : 0;
        return (static_cast<std::int64_t>(quotient) ^ sign) - sign;
    }

private:
    std::uint64_t divisor_, reciprocal_;
};

/// The same in 32 bits, for numerator * 2^up / divisor: only the quotient must fit, and the
/// remainder, of which the low bits tell all.
struct ShortDivider {
    std::uint32_t divisor, reciprocal;
    std::uint32_t raised;  ///< places by which a numerator goes up before the product
    std::uint32_t up;

    /// Numerators of at most this magnitude; divisors below 2^30, up below 32.
    static constexpr bool fits(Wide numerator, Wide divisor, int up) {
        return divisor < Wide{1} << 30 && up < 32 && numerator < Wide{1} << 31 &&
               numerator << up < divisor * ((Wide{1} << 31) - 1);
    }

    constexpr ShortDivider(std::int64_t by, int to)
        : divisor(static_cast<std::uint32_t>(by)),
          reciprocal(0),
          raised(0),
          up(static_cast<std::uint32_t>(to)) {
        assert(by > 0 && fits(0, by, to));
        // The longest reciprocal of 32 bits. Of a quotient below 2^31 the raised numerator has 32,
        // too: numerator < 2^31 by / 2^to, and 2^(to + 1 - raised) >= by where it is raised.
        // (31 places are enough: of numerators of 2^31 / 1 only 0 fits.)
        while (raised < 31 && (std::uint64_t{1} << up >> raised) >= divisor) ++raised;
        reciprocal = static_cast<std::uint32_t>((std::uint64_t{1} << (32 + up - raised)) / divisor);
    }
    constexpr ShortDivider(std::uint32_t divisor_, std::uint32_t reciprocal_, std::uint32_t raised_,
                           std::uint32_t up_)
        : divisor(divisor_), reciprocal(reciprocal_), raised(raised_), up(up_) {}

    /// numerator * 2^up / divisor to nearest, ties to even.
    constexpr std::int32_t nearest_even(std::int32_t numerator) const {
        const std::int32_t sign = numerator >> 31;
        const auto size = static_cast<std::uint32_t>((numerator ^ sign) - sign);
        // Less than one below the quotient: the reciprocal lacks less than one, of 2^32 / (raised
        // numerator).
        auto quotient = static_cast<std::uint32_t>(
            (std::uint64_t{size << raised} * std::uint64_t{reciprocal}) >> 32);
        const auto by = static_cast<std::int32_t>(divisor);
        auto remainder = static_cast<std::int32_t>((size << up) - quotient * divisor);
        const bool missed = remainder >= by;
        quotient += missed ? 1 : 0;
        remainder -= missed ? by : 0;
        const auto odd = static_cast<std::int32_t>(quotient & 1);
        quotient += 2 * remainder + odd > by ? 1 : 0;
        return (static_cast<std::int32_t>(quotient) ^ sign) - sign;
    }
};

}  // namespace wagesim::arith
