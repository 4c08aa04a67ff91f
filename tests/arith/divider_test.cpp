// A channel's divider against remainders: every small quotient.
#include "wagesim/arith/divider.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>

#include "exact.h"

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

TEST(ShortDivider, RoundsTheRaisedNumeratorsQuotientOnce) {
    for (std::int64_t divisor = 1; divisor <= 64; ++divisor)
        for (const int up : {0, 1, 3}) {
            const ShortDivider divider(divisor, up);
            for (std::int32_t numerator = -300; numerator <= 300; ++numerator)
                ASSERT_EQ(divider.nearest_even(numerator),
                          nearest(std::int64_t{numerator} * (1 << up), divisor))
                    << numerator << " * 2^" << up << " / " << divisor;
        }
}

/// The largest numerator for which fits() holds, found bit by bit.
std::int64_t largest_numerator(std::int64_t divisor, int up) {
    std::int64_t largest = 0;
    for (int bit = 31; bit >= 0; --bit)
        if (ShortDivider::fits(largest + (Wide{1} << bit), divisor, up))
            largest += std::int64_t{1} << bit;
    return largest;
}

TEST(ShortDivider, IsExactUpToTheLargestNumeratorsThatFit) {
    constexpr std::uint64_t seed = 0x5EED0060;
    test::RandomCodes random(seed);
    std::int64_t full = 0;
    for (int round = 0; round < 3000; ++round) {
        const int up = static_cast<int>(random.below(32));
        const auto divisor = std::max<std::int64_t>(
            1, static_cast<std::int64_t>(arith::magnitude(random(30))) >> (round % 2));
        if (!ShortDivider::fits(0, divisor, up)) continue;
        const ShortDivider divider(divisor, up);
        const std::int64_t largest = largest_numerator(divisor, up);
        full += largest == (std::int64_t{1} << 31) - 1 ? 1 : 0;
        for (std::int64_t below = 0; below < 40 && below <= largest; ++below)
            for (const std::int64_t sign : {-1, 1}) {
                const std::int64_t numerator =
                    sign * (below % 2 == 0 ? largest - below : largest >> (below / 2));
                const test::Integer expected = test::round_by_definition(
                    test::scaled(test::Rational(numerator), up) / divisor, Rounding::half_even);
                ASSERT_EQ(test::Integer(divider.nearest_even(static_cast<std::int32_t>(numerator))),
                          expected)
                    << numerator << " * 2^" << up << " / " << divisor << ", seed " << seed;
            }
    }
    EXPECT_GT(full, 100);
    EXPECT_LT(full, 2900);
}

TEST(ShortDivider, DoesNotFitWhereTheQuotientOrTheRemainderMightLeaveItsBits) {
    constexpr Wide end = Wide{1} << 31;
    EXPECT_TRUE(ShortDivider::fits(end - 2, 1, 0));
    EXPECT_FALSE(ShortDivider::fits(end - 1, 1, 0));
    EXPECT_TRUE(ShortDivider::fits(end - 1, 2, 0));
    EXPECT_FALSE(ShortDivider::fits(end, 2, 0));
    EXPECT_TRUE(ShortDivider::fits(1, (1 << 30) - 1, 31));
    EXPECT_FALSE(ShortDivider::fits(1, 1 << 30, 31));
    EXPECT_FALSE(ShortDivider::fits(1, (1 << 30) - 1, 32));
}

}  // namespace
}  // namespace wagesim::arith
