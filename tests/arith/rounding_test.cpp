// Right shifts and divisions against the definition of every rounding.
#include "wagesim/arith/rounding.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <limits>
#include <set>
#include <vector>

#include "exact.h"

namespace wagesim::arith {
namespace {

using test::deterministic_roundings;
using test::exact;
using test::Integer;
using test::power_of_two;
using test::Rational;
using test::round_by_definition;
using test::text;

struct Tie {
    int doubled;  // x in halves
    int half_even, half_up, half_away, floor, toward_zero;
};

TEST(ShiftRight, SendsTiesWhereTheNameOfTheRoundingSays) {
    const Tie ties[] = {{-7, -4, -3, -4, -4, -3}, {-5, -2, -2, -3, -3, -2},
                        {-3, -2, -1, -2, -2, -1}, {-1, 0, 0, -1, -1, 0},
                        {1, 0, 1, 1, 0, 0},       {3, 2, 2, 2, 1, 1},
                        {5, 2, 3, 3, 2, 2},       {7, 4, 4, 4, 3, 3}};
    for (const Tie& tie : ties) {
        EXPECT_EQ(shift_right(tie.doubled, 1, Rounding::half_even), tie.half_even) << tie.doubled;
        EXPECT_EQ(shift_right(tie.doubled, 1, Rounding::half_up), tie.half_up) << tie.doubled;
        EXPECT_EQ(shift_right(tie.doubled, 1, Rounding::half_away), tie.half_away) << tie.doubled;
        EXPECT_EQ(shift_right(tie.doubled, 1, Rounding::floor), tie.floor) << tie.doubled;
        EXPECT_EQ(shift_right(tie.doubled, 1, Rounding::toward_zero), tie.toward_zero)
            << tie.doubled;
    }
}

TEST(ShiftRight, RoundsEveryEightBitCodeToTheRationalDefinition) {
    int checks = 0;
    for (const Rounding rounding : deterministic_roundings)
        for (int n = -17; n <= 17; ++n)
            for (int x = -128; x <= 255; ++x) {
                const Integer expected =
                    round_by_definition(test::scaled(Rational(x), -n), rounding);
                ASSERT_EQ(Integer(shift_right(std::int64_t{x}, n, rounding)), expected)
                    << x << " >> " << n << ' ' << to_string(rounding);
                ASSERT_EQ(exact(shift_right(Wide{x}, n, rounding)), expected)
                    << x << " >> " << n << ' ' << to_string(rounding);
                ++checks;
            }
    EXPECT_EQ(checks, 5 * 35 * 384);
}

TEST(ShiftRight, RoundsEverySixteenBitCodeToTheDefinition) {
    for (const Rounding rounding : deterministic_roundings)
        for (int n = 0; n <= 17; ++n) {
            const auto divisor = power_of_two<std::int64_t>(n);
            for (std::int64_t x = -32768; x <= 65535; ++x) {
                const std::int64_t expected = round_by_definition(x, divisor, rounding);
                ASSERT_EQ(shift_right(x, n, rounding), expected)
                    << x << " >> " << n << ' ' << to_string(rounding);
                ASSERT_TRUE(shift_right(Wide{x}, n, rounding) == expected)
                    << x << " >> " << n << ' ' << to_string(rounding);
            }
        }
}

TEST(ShiftRight, MultipliesExactlyForNegativeDistances) {
    for (int n = 0; n <= 17; ++n) {
        const auto factor = power_of_two<std::int64_t>(n);
        for (std::int64_t x = -32768; x <= 65535; ++x)
            for (const Rounding rounding : deterministic_roundings) {
                ASSERT_EQ(shift_right(x, -n, rounding), x * factor) << x << " << " << n;
                ASSERT_TRUE(shift_right(Wide{x}, -n, rounding) == x * factor) << x << " << " << n;
            }
    }
    EXPECT_EQ(shift_right(std::int64_t{-1}, -63, Rounding::floor),
              std::numeric_limits<std::int64_t>::min());
    EXPECT_EQ(shift_right(std::int64_t{0}, -1000, Rounding::half_even), 0);
    EXPECT_EQ(exact(shift_right(Wide{-3}, -120, Rounding::floor)), -3 * power_of_two<Integer>(120));
}

/// Zero, ties, and what lies just beside them, for every distance.
TEST(ShiftRight, RoundsTheNeighboursOfTiesInTheWidestRegister) {
    int ties = 0;
    for (int n = 1; n <= 126; ++n) {
        const Integer divisor = power_of_two<Integer>(n);
        const Wide unit = Wide{1} << n;
        for (const int whole : {-4, -3, -2, -1, 0, 1, 2, 3})
            for (const int beside : {-1, 0, 1}) {
                if (n > 123 && (whole < -1 || whole > 0)) continue;  // must fit 128 bits
                const Wide x = whole * unit + unit / 2 + beside;
                if (beside == 0) ++ties;
                for (const Rounding rounding : deterministic_roundings) {
                    const Integer expected = round_by_definition(exact(x), divisor, rounding);
                    ASSERT_EQ(exact(shift_right(x, n, rounding)), expected)
                        << text(x) << " >> " << n << ' ' << to_string(rounding);
                    if (x == static_cast<std::int64_t>(x)) {
                        ASSERT_EQ(Integer(shift_right(static_cast<std::int64_t>(x), n, rounding)),
                                  expected)
                            << text(x) << " >> " << n << ' ' << to_string(rounding);
                    }
                }
            }
    }
    EXPECT_GT(ties, 900);
}

TEST(ShiftRight, TakesDistancesBeyondTheRegister) {
    std::set<Integer> results;
    const auto wide_min = static_cast<Wide>(UnsignedWide{1} << 127);
    for (const int n : {60, 61, 62, 63, 64, 65, 66, 100, 124, 125, 126, 127, 128, 129, 130, 1000})
        for (const Rounding rounding : deterministic_roundings) {
            const Integer divisor = power_of_two<Integer>(n);
            for (const Wide edge : {Wide{0}, Wide{1} << 61, Wide{1} << 62, -(Wide{1} << 62),
                                    -(Wide{1} << 63), (Wide{1} << 63) - 1, Wide{1} << 124,
                                    Wide{1} << 125, Wide{1} << 126, -(Wide{1} << 126), wide_min})
                for (const int beside : {-1, 0, 1}) {
                    if (edge == wide_min && beside < 0) continue;
                    const Wide x = edge + beside;
                    const Integer expected = round_by_definition(exact(x), divisor, rounding);
                    results.insert(expected);
                    ASSERT_EQ(exact(shift_right(x, n, rounding)), expected)
                        << text(x) << " >> " << n << ' ' << to_string(rounding);
                    if (x != static_cast<std::int64_t>(x)) continue;
                    ASSERT_EQ(Integer(shift_right(static_cast<std::int64_t>(x), n, rounding)),
                              expected)
                        << text(x) << " >> " << n << ' ' << to_string(rounding);
                }
        }
    EXPECT_GT(results.size(), 10U);
}

TEST(ShiftRight, RoundsRandomCodesOfEveryLength) {
    constexpr std::uint64_t seed = 0x5EED0001;
    test::RandomCodes codes(seed);
    for (int i = 0; i < 20000; ++i) {
        const Wide x = codes(126);
        const int n = static_cast<int>(codes.below(128));
        for (const Rounding rounding : deterministic_roundings)
            ASSERT_EQ(exact(shift_right(x, n, rounding)),
                      round_by_definition(exact(x), power_of_two<Integer>(n), rounding))
                << text(x) << " >> " << n << ' ' << to_string(rounding) << ", seed " << seed;
    }
}

/// The fraction F of |x| in units of 2^-16: exactly that many of the 2^16 draws must round away.
std::int64_t draws_that_round_away(std::int64_t size, std::int64_t divisor) {
    return size % divisor * 65536 / divisor;  // truncated where F is longer than 16 bits
}

TEST(StochasticShift, RoundsAwayForExactlyItsFractionOfAllDraws) {
    for (const int n : {1, 3, 8})
        for (int x = -40; x <= 40; ++x) {
            const int divisor = 1 << n;
            const int toward_zero = x / divisor;  // C++ truncates
            std::int64_t away = 0;
            for (std::uint32_t draw = 0; draw < 65536; ++draw) {
                const auto result = static_cast<int>(shift_right_stochastic(x, n, draw));
                if (result != toward_zero) {
                    ASSERT_EQ(result, toward_zero + (x < 0 ? -1 : 1)) << x << ", draw " << draw;
                    ++away;
                }
            }
            // The mean over all draws is x / 2^n itself: 16 bits hold these fractions exactly.
            EXPECT_EQ(away * divisor, (x < 0 ? -x : x) % divisor * 65536) << x << " >> " << n;
        }
}

TEST(StochasticShift, TurnsAtTheDrawThatEqualsTheFractionForEverySixteenBitCode) {
    std::int64_t turns = 0;
    for (int n = 1; n <= 34; ++n) {
        const auto divisor = power_of_two<std::int64_t>(n);
        for (std::int64_t x = -65535; x <= 65535; x += (n < 18 ? 1 : 7)) {
            const std::int64_t away = draws_that_round_away(x < 0 ? -x : x, divisor);
            const std::int64_t kept = x / divisor;
            const std::int64_t grown = kept + (x < 0 ? -1 : 1);
            ASSERT_TRUE(shift_right_stochastic(x, n, static_cast<std::uint32_t>(away)) == kept)
                << x << " >> " << n << ": an equal draw must not round up";
            ASSERT_TRUE(shift_right_stochastic(x, n, 65535) == kept) << x << " >> " << n;
            if (away == 0) continue;
            ++turns;
            ASSERT_TRUE(shift_right_stochastic(x, n, static_cast<std::uint32_t>(away - 1)) == grown)
                << x << " >> " << n;
            ASSERT_TRUE(shift_right_stochastic(x, n, 0) == grown) << x << " >> " << n;
        }
    }
    EXPECT_GT(turns, 1000000);
}

TEST(StochasticShift, TruncatesFractionsLongerThanSixteenBits) {
    // F = 2^-16 - 2^-40: all its leading 16 bits are 0, so no draw is below them.
    EXPECT_TRUE(shift_right_stochastic((Wide{1} << 24) - 1, 40, 0) == 0);
    EXPECT_TRUE(shift_right_stochastic(Wide{1} << 24, 40, 0) == 1);
    EXPECT_TRUE(shift_right_stochastic(-(Wide{1} << 24), 40, 0) == -1);
    // F = 1 - 2^-100: the leading bits are all ones.
    EXPECT_TRUE(shift_right_stochastic((Wide{1} << 100) - 1, 100, 65534) == 1);
    EXPECT_TRUE(shift_right_stochastic((Wide{1} << 100) - 1, 100, 65535) == 0);
}

TEST(StochasticShift, TakesDistancesBeyondTheRegister) {
    // 2^126 / 2^141 = 2^-15 is 2 in units of the draw.
    EXPECT_TRUE(shift_right_stochastic(Wide{1} << 126, 141, 1) == 1);
    EXPECT_TRUE(shift_right_stochastic(Wide{1} << 126, 141, 2) == 0);
    EXPECT_TRUE(shift_right_stochastic(Wide{1} << 126, 143, 0) == 0);
    EXPECT_TRUE(shift_right_stochastic(Wide{1} << 126, 1000, 0) == 0);
    EXPECT_TRUE(shift_right_stochastic(-5, -3, 0) == -40);
}

TEST(Divide, RoundsEveryEightBitQuotientToTheDefinition) {
    std::int64_t ties = 0;
    for (const Rounding rounding : deterministic_roundings)
        for (std::int64_t a = -256; a <= 256; ++a)
            for (std::int64_t b = 1; b <= 256; ++b) {
                if (2 * a % b == 0 && a % b != 0) ++ties;
                ASSERT_TRUE(divide(a, b, rounding) == round_by_definition(a, b, rounding))
                    << a << " / " << b << ' ' << to_string(rounding);
                // The same quotient from operands of more than 64 bits.
                if (b % 16 != 3 && b != 2) continue;
                const Wide common = (Wide{1} << 80) + 7;
                ASSERT_TRUE(divide(a * common, b * common, rounding) ==
                            round_by_definition(a, b, rounding))
                    << a << " / " << b << ' ' << to_string(rounding) << " with a common factor";
            }
    EXPECT_GT(ties, 5000);
}

TEST(Divide, RoundsRandomQuotientsOfEveryLength) {
    constexpr std::uint64_t seed = 0x5EED0002;
    test::RandomCodes codes(seed);
    for (int i = 0; i < 20000; ++i) {
        const Wide a = codes(126);
        const Wide other = codes(120);
        const Wide b = other == 0 ? 1 : (other < 0 ? -other : other);
        for (const Rounding rounding : deterministic_roundings)
            ASSERT_EQ(exact(divide(a, b, rounding)),
                      round_by_definition(exact(a), exact(b), rounding))
                << text(a) << " / " << text(b) << ' ' << to_string(rounding) << ", seed " << seed;
    }
}

TEST(Divide, TellsTiesFromTheirNeighboursAtEveryLength) {
    constexpr std::uint64_t seed = 0x5EED0003;
    test::RandomCodes codes(seed);
    for (int length = 2; length <= 110; ++length)
        for (int i = 0; i < 20; ++i) {
            const Wide half =
                (Wide{1} << (length - 2)) + static_cast<Wide>(magnitude(codes(length)) >> 2);
            const Wide b = 2 * half;
            const Wide whole = codes(12);
            for (const int beside : {-1, 0, 1}) {
                const Wide a = whole * b + half + beside;
                for (const Rounding rounding : deterministic_roundings)
                    ASSERT_EQ(exact(divide(a, b, rounding)),
                              round_by_definition(exact(a), exact(b), rounding))
                        << text(a) << " / " << text(b) << ' ' << to_string(rounding) << ", seed "
                        << seed;
            }
        }
}

TEST(Divide, TakesTheLargestOperands) {
    const auto wide_max = static_cast<Wide>(~UnsignedWide{0} >> 1);
    const auto low64 = Wide{std::numeric_limits<std::int64_t>::min()};
    for (const Wide a : {wide_max, -wide_max, -wide_max - 1, low64, low64 - 1, Wide{0}, Wide{1}})
        for (const Wide b : {Wide{1}, Wide{2}, Wide{3}, -low64 - 1, -low64, wide_max - 1, wide_max})
            for (const Rounding rounding : deterministic_roundings)
                ASSERT_EQ(exact(divide(a, b, rounding)),
                          round_by_definition(exact(a), exact(b), rounding))
                    << text(a) << " / " << text(b) << ' ' << to_string(rounding);
}

TEST(Divide, AgreesWithTheShiftForPowersOfTwo) {
    constexpr std::uint64_t seed = 0x5EED0004;
    test::RandomCodes codes(seed);
    for (int i = 0; i < 5000; ++i) {
        const Wide x = codes(100);
        const int n = static_cast<int>(codes.below(100));
        for (const Rounding rounding : deterministic_roundings)
            ASSERT_TRUE(divide(x, Wide{1} << n, rounding) == shift_right(x, n, rounding))
                << text(x) << ", " << n << ' ' << to_string(rounding) << ", seed " << seed;
    }
}

}  // namespace
}  // namespace wagesim::arith
