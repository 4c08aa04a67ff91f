// Quotients with a 16-bit mantissa against exact rationals.
#include "wagesim/arith/reciprocal.h"

#include <gtest/gtest.h>

#include <cstdint>

#include "exact.h"

namespace wagesim::arith {
namespace {

using test::Integer;
using test::Rational;
using test::scaled;

struct Expected {
    Integer mantissa;
    int exponent;
};

/// Scales the quotient into [2^15, 2^16) by halving and doubling, then rounds.
Expected nearest16_by_definition(const Rational& quotient) {
    int exponent = 0;
    Rational mantissa = quotient;
    while (mantissa >= 65536) {
        mantissa /= 2;
        ++exponent;
    }
    while (mantissa < 32768) {
        mantissa *= 2;
        --exponent;
    }
    const Integer rounded = test::round_by_definition(mantissa, Rounding::half_even);
    if (rounded == 65536) return {32768, exponent + 1};
    return {rounded, exponent};
}

TEST(Mantissa16, IsTheNearestForEverySmallQuotient) {
    for (int n = 1; n <= 160; ++n)
        for (int d = 1; d <= 160; ++d) {
            const Expected expected = nearest16_by_definition(Rational(n, d));
            const Mantissa16 got = nearest16(n, d);
            ASSERT_EQ(Integer(got.mantissa), expected.mantissa) << n << " / " << d;
            ASSERT_EQ(got.exponent, expected.exponent) << n << " / " << d;
        }
}

TEST(Mantissa16, TakesReciprocalsOfEveryStandardDeviation) {
    // 1 / (sigma + eps), sigma's codes of 18 bits: the value stays within half a code of the truth.
    for (std::int64_t d = 1; d <= (1 << 18); ++d) {
        const Mantissa16 got = nearest16(Wide{1} << 15, d);
        ASSERT_GE(got.mantissa, 32768U) << d;
        ASSERT_LT(got.mantissa, 65536U) << d;
        ASSERT_LE(got.exponent, 0) << d;
        // |2^15 - d m 2^e| <= d 2^e / 2, all times 2^-e.
        const std::int64_t target = std::int64_t{1} << (15 - got.exponent);
        const std::int64_t error = target - d * std::int64_t{got.mantissa};
        ASSERT_LE(2 * (error < 0 ? -error : error), d) << d;
    }
}

TEST(Mantissa16, RoundsTiesToEven) {
    EXPECT_EQ(nearest16(65537, 2).mantissa, 32768U);
    EXPECT_EQ(nearest16(65539, 2).mantissa, 32770U);
    EXPECT_EQ(nearest16(65539, 2).exponent, 0);
    EXPECT_EQ(nearest16(65541, 2).mantissa, 32770U);
}

TEST(Mantissa16, RenormalisesWhatRoundsToSeventeenBits) {
    // 65535.5 is a tie between 65535 and the even 65536.
    EXPECT_EQ(nearest16(131071, 2).mantissa, 32768U);
    EXPECT_EQ(nearest16(131071, 2).exponent, 1);
    EXPECT_EQ(nearest16(131069, 2).mantissa, 65534U);
    EXPECT_EQ(nearest16(131069, 2).exponent, 0);
    EXPECT_EQ(nearest16((Wide{1} << 60) - 1, Wide{1} << 30).mantissa, 32768U);
    EXPECT_EQ(nearest16((Wide{1} << 60) - 1, Wide{1} << 30).exponent, 15);
}

TEST(Mantissa16, IsExactForPowersOfTwo) {
    for (int n = 0; n < 110; n += 7)
        for (int d = 0; d < 110; d += 7) {
            const Mantissa16 got = nearest16(Wide{1} << n, Wide{1} << d);
            EXPECT_EQ(got.mantissa, 32768U);
            EXPECT_EQ(got.exponent, n - d - 15);
        }
}

TEST(Mantissa16, OfZeroIsZero) {
    EXPECT_EQ(nearest16(0, 12345).mantissa, 0U);
    EXPECT_EQ(nearest16(0, 12345).exponent, 0);
}

TEST(Mantissa16, IsTheNearestForRandomQuotientsOfEveryLength) {
    constexpr std::uint64_t seed = 0x5EED0050;
    test::RandomCodes codes(seed);
    for (int i = 0; i < 4000; ++i) {
        const Wide n = static_cast<Wide>(magnitude(codes(109))) + 1;
        const Wide d = static_cast<Wide>(magnitude(codes(109))) + 1;
        const Expected expected = nearest16_by_definition(Rational(test::exact(n), test::exact(d)));
        const Mantissa16 got = nearest16(n, d);
        ASSERT_EQ(Integer(got.mantissa), expected.mantissa)
            << test::text(n) << " / " << test::text(d) << ", seed " << seed;
        ASSERT_EQ(got.exponent, expected.exponent)
            << test::text(n) << " / " << test::text(d) << ", seed " << seed;
    }
}

}  // namespace
}  // namespace wagesim::arith
