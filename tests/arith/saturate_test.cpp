// Saturation and wrapping against the range, or the residue, that defines them.
#include "wagesim/arith/saturate.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <limits>

#include "exact.h"

namespace wagesim::arith {
namespace {

using test::exact;
using test::Integer;
using test::overflows;
using test::text;

TEST(Saturate, KeepsTheRangeSymmetricUnlessFullIsAsked) {
    const Format s8{8, 7, true, 0};
    EXPECT_EQ(fit(128, s8, Overflow::saturate).value, 127);
    EXPECT_EQ(fit(-127, s8, Overflow::saturate).value, -127);
    EXPECT_FALSE(fit(-127, s8, Overflow::saturate).clipped);
    EXPECT_EQ(fit(-128, s8, Overflow::saturate).value, -127);
    EXPECT_TRUE(fit(-128, s8, Overflow::saturate).clipped);
    EXPECT_EQ(fit(-128, s8, Overflow::full).value, -128);
    EXPECT_FALSE(fit(-128, s8, Overflow::full).clipped);
    EXPECT_EQ(fit(-129, s8, Overflow::full).value, -128);
    EXPECT_EQ(fit(-129, s8, Overflow::wrap).value, 127);
    const Format u8{8, 8, false, 0};
    EXPECT_EQ(fit(256, u8, Overflow::saturate).value, 255);
    EXPECT_EQ(fit(-1, u8, Overflow::saturate).value, 0);
    EXPECT_EQ(fit(-1, u8, Overflow::wrap).value, 255);
}

/// The same residue or bound, in 64-bit arithmetic: fast enough for every code.
std::int64_t expected_fit(std::int64_t x, int bits, bool is_signed, Overflow overflow) {
    const auto modulus = test::power_of_two<std::int64_t>(bits);
    const std::int64_t high = is_signed ? modulus / 2 - 1 : modulus - 1;
    const std::int64_t low = !is_signed                       ? 0
                             : overflow == Overflow::saturate ? 1 - modulus / 2
                                                              : -modulus / 2;
    if (overflow != Overflow::wrap) return x < low ? low : (x > high ? high : x);
    const std::int64_t residue = (x % modulus + modulus) % modulus;
    return residue > high ? residue - modulus : residue;
}

TEST(Saturate, FitsEverySixteenBitCodeIntoEveryNarrowerWidth) {
    std::int64_t clipped = 0;
    std::int64_t checks = 0;
    for (int bits = 1; bits <= 16; ++bits)
        for (const bool is_signed : {false, true})
            for (const Overflow overflow : overflows) {
                const Format format{bits, 0, is_signed, 0};
                for (std::int64_t x = -32768; x <= 65535; ++x) {
                    const std::int64_t expected = expected_fit(x, bits, is_signed, overflow);
                    const Clipped<std::int64_t> got = fit(x, format, overflow);
                    ASSERT_EQ(got.value, expected)
                        << x << " into " << bits << " bits, "
                        << (is_signed ? "signed " : "unsigned ") << to_string(overflow);
                    ASSERT_EQ(got.clipped, expected != x) << x << " into " << bits;
                    const Clipped<Wide> wide = fit(Wide{x}, format, overflow);
                    ASSERT_TRUE(wide.value == expected && wide.clipped == (expected != x))
                        << x << " into " << bits << " bits, wide " << to_string(overflow);
                    if (overflow == Overflow::wrap) {
                        ASSERT_EQ(wrap(x, bits, is_signed), expected) << x << " into " << bits;
                        ASSERT_EQ(wrap(Wide{x}, bits, is_signed), expected) << x;
                    }
                    clipped += got.clipped ? 1 : 0;
                    ++checks;
                }
            }
    EXPECT_EQ(checks, 16 * 2 * 3 * 98304);
    EXPECT_GT(clipped, checks / 4);
    EXPECT_LT(clipped, checks);
}

TEST(Saturate, FitsTheEdgesOfWideRegisters) {
    for (int bits = 1; bits <= 127; ++bits)
        for (const bool is_signed : {false, true}) {
            if (!is_signed && bits > 126) continue;
            for (const Overflow overflow : overflows) {
                const Format format{bits, 0, is_signed, 0};
                ASSERT_EQ(exact(max_code(format, overflow)), test::highest(bits, is_signed));
                ASSERT_EQ(exact(min_code(format, overflow)),
                          test::lowest(bits, is_signed, overflow));
                const Wide quarter = bits > 1 ? Wide{1} << (bits - 2) : 1;
                for (const Wide centre : {Wide{0}, 2 * quarter, -2 * quarter, 4 * (quarter / 2)})
                    for (const int beside : {-2, -1, 0, 1, 2}) {
                        if (bits > 126 && (centre > quarter || centre < 0)) continue;
                        const Wide x = centre + beside;
                        const Integer expected =
                            test::fit_by_definition(exact(x), bits, is_signed, overflow);
                        const Clipped<Wide> got = fit(x, format, overflow);
                        ASSERT_EQ(exact(got.value), expected)
                            << text(x) << " into " << bits << ' ' << to_string(overflow);
                        ASSERT_EQ(got.clipped, expected != exact(x)) << text(x);
                        const bool code_fits = x == static_cast<std::int64_t>(x);
                        const bool result_fits =
                            expected <= std::numeric_limits<std::int64_t>::max();
                        if (!code_fits || !result_fits) continue;
                        const auto narrow = fit(static_cast<std::int64_t>(x), format, overflow);
                        ASSERT_EQ(Integer(narrow.value), expected)
                            << text(x) << " into " << bits << ' ' << to_string(overflow);
                        ASSERT_EQ(narrow.clipped, got.clipped) << text(x);
                    }
            }
        }
}

TEST(Saturate, FitsTheExtremesOfSixtyFourBits) {
    const auto lowest = std::numeric_limits<std::int64_t>::min();
    const auto highest = std::numeric_limits<std::int64_t>::max();
    const Format s64{64, 0, true, 0};
    EXPECT_EQ(fit(lowest, s64, Overflow::saturate).value, -highest);
    EXPECT_TRUE(fit(lowest, s64, Overflow::saturate).clipped);
    EXPECT_EQ(fit(lowest, s64, Overflow::full).value, lowest);
    EXPECT_FALSE(fit(lowest, s64, Overflow::full).clipped);
    EXPECT_TRUE(fit(Wide{highest} + 1, s64, Overflow::wrap).value == lowest);
    EXPECT_EQ(wrap(Wide{highest} + 1, 64, true), lowest);
    EXPECT_EQ(wrap(lowest, 63, false), 0);
    EXPECT_EQ(fit(highest, Format{62, 0, true, 0}, Overflow::saturate).value, highest / 4);
    EXPECT_EQ(fit(lowest, Format{62, 0, false, 0}, Overflow::saturate).value, 0);
}

TEST(Wrap, AddsLikeAnAccumulatorOfItsWidth) {
    constexpr std::uint64_t seed = 0x5EED0010;
    test::RandomCodes codes(seed);
    std::int64_t sum = 0;
    Integer exact_sum = 0;
    for (int i = 0; i < 20000; ++i) {
        const auto addend = static_cast<std::int64_t>(codes(40));
        sum = wrap(sum + addend, 40, true);
        exact_sum += addend;
        ASSERT_EQ(Integer(sum), test::fit_by_definition(exact_sum, 40, true, Overflow::wrap))
            << "addition " << i << ", seed " << seed;
    }
}

TEST(Wrap, KeepsTheLowBitsOfAnyWideCode) {
    constexpr std::uint64_t seed = 0x5EED0011;
    test::RandomCodes codes(seed);
    for (int i = 0; i < 5000; ++i) {
        const Wide x = codes(126);
        const int bits = 1 + static_cast<int>(codes.below(126));
        for (const bool is_signed : {false, true}) {
            const Integer expected =
                test::fit_by_definition(exact(x), bits, is_signed, Overflow::wrap);
            ASSERT_EQ(exact(wrap_wide(x, bits, is_signed)), expected)
                << text(x) << ", " << bits << " bits, seed " << seed;
            if (bits < 64) {
                ASSERT_EQ(Integer(wrap(x, bits, is_signed)), expected)
                    << text(x) << ", " << bits << " bits, seed " << seed;
            }
        }
    }
}

}  // namespace
}  // namespace wagesim::arith
