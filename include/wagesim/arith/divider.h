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

}  // namespace wagesim::arith
