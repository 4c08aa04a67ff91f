// A channel's divider against remainders: every small quotient.
#include "wagesim/arith/divider.h"

#include <gtest/gtest.h>

namespace wagesim::arith {
namespace {

/// The nearest integer, of two the even one, by searching from zero.
std::int64_t nearest(std::int64_t numerator, std::int64_t divisor) {
    const std::int64_t size = numerator < 0 ? -numerator : numerator;
    std::int64_t below = 0;
    while ((below + 1) * divisor <= size) ++below;
    const std::int64_t twice = 2 * (size - below * divisor);
    const bool up = twice > divisor || (twice == divisor && below % 2 == 1);
    const std::int64_t quotient = below + (up ? 1 : 0);
    return numerator < 0 ? -quotient : quotient;
}

TEST(Divider, RoundsToTheNearestOfTwoToTheEven) {
    for (std::int64_t divisor = 1; divisor <= 64; ++divisor) {
        const Divider divider(divisor);
        for (std::int64_t numerator = -300; numerator <= 300; ++numerator)
            ASSERT_EQ(divider.nearest_even(numerator), nearest(numerator, divisor))
                << numerator << " / " << divisor;
    }
}

}  // namespace
}  // namespace wagesim::arith
