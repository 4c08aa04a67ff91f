// The direct quantiser, the weight quantiser and rounded quotients, on the values they stand for.
#include "wagesim/arith/quantize.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <limits>

#include "exact.h"

namespace wagesim::arith {
namespace {

using test::deterministic_roundings;
using test::exact;
using test::Integer;
using test::overflows;
using test::Rational;
using test::text;

TEST(DirectQuantizer, RoundsTheValueThenFitsTheCodeForEveryTenBitCode) {
    std::int64_t clipped = 0;
    std::int64_t checks = 0;
    for (const Rounding rounding : deterministic_roundings)
        for (const Overflow overflow : overflows)
            for (const bool is_signed : {false, true})
                for (const int frac : {0, 3, 5, 8})
                    for (int code = -512; code < 512; code += (frac == 5 ? 1 : 3)) {
                        constexpr int from_frac = 5;
                        const Quantizer q{Format{4, frac, is_signed, 0}, rounding, overflow};
                        // The value in units of the target's last place, an exact rational.
                        const Rational in_units =
                            test::scaled(test::scaled(Rational(code), -from_frac), frac);
                        const Integer rounded = test::round_by_definition(in_units, rounding);
                        const Integer expected =
                            test::fit_by_definition(rounded, 4, is_signed, overflow);
                        const Quantized got = requantize(code, from_frac, q);
                        ASSERT_EQ(Integer(got.code), expected)
                            << code << " to frac " << frac << ' ' << to_string(rounding) << ' '
                            << to_string(overflow);
                        ASSERT_EQ(got.clipped, rounded != expected) << code;
                        const Quantized wide = requantize(Wide{code}, from_frac, q);
                        ASSERT_EQ(wide.code, got.code) << code;
                        ASSERT_EQ(wide.clipped, got.clipped) << code;
                        clipped += got.clipped ? 1 : 0;
                        ++checks;
                    }
    EXPECT_GT(clipped, checks / 10);
    EXPECT_LT(clipped, checks * 9 / 10);
}

TEST(DirectQuantizer, CountsAClipOnlyWhereTheRoundedCodeDoesNotFit) {
    const Quantizer to_s8{Format{8, 5, true, 0}, Rounding::half_even, Overflow::saturate};
    // 127.5 rounds to 128, one above the top; 127.49 to 127, which fits though it was rounded.
    EXPECT_EQ(requantize(255, 6, to_s8).code, 127);
    EXPECT_TRUE(requantize(255, 6, to_s8).clipped);
    EXPECT_EQ(requantize(16318, 12, to_s8).code, 127);
    EXPECT_FALSE(requantize(16318, 12, to_s8).clipped);
    EXPECT_EQ(requantize(-16319, 12, to_s8).code, -127);
    EXPECT_FALSE(requantize(-16319, 12, to_s8).clipped);
    EXPECT_EQ(requantize(-16321, 12, to_s8).code, -127);
    EXPECT_TRUE(requantize(-16321, 12, to_s8).clipped);
}

TEST(DirectQuantizer, SaturatesLeftShiftsThatLeaveEveryRegister) {
    const Quantizer to_40{Format{40, 30, true, 0}, Rounding::half_even, Overflow::saturate};
    const std::int64_t top = 549755813887;
    for (const int frac : {30 - 20, 30 - 62, 30 - 64, 30 - 100, 30 - 126, 30 - 127, 30 - 1000}) {
        EXPECT_EQ(requantize(std::int64_t{1} << 40, frac, to_40).code, top) << frac;
        EXPECT_TRUE(requantize(std::int64_t{1} << 40, frac, to_40).clipped) << frac;
        EXPECT_EQ(requantize(-(std::int64_t{1} << 40), frac, to_40).code, -top) << frac;
        EXPECT_EQ(requantize(Wide{-1} * (std::int64_t{1} << 40), frac, to_40).code, -top) << frac;
        EXPECT_EQ(requantize(0, frac, to_40).code, 0) << frac;
        EXPECT_FALSE(requantize(0, frac, to_40).clipped) << frac;
    }
    const Quantizer wrapping{Format{40, 30, true, 0}, Rounding::half_even, Overflow::wrap};
    for (const int n : {38, 39, 40, 100, 127, 128, 1000}) {
        const Integer expected =
            test::fit_by_definition(3 * test::power_of_two<Integer>(n), 40, true, Overflow::wrap);
        EXPECT_EQ(Integer(requantize(3, 30 - n, wrapping).code), expected) << n;
        EXPECT_TRUE(requantize(3, 30 - n, wrapping).clipped) << n;
    }
}

TEST(DirectQuantizer, GivesTheSameFromBothRegisterWidths) {
    constexpr std::uint64_t seed = 0x5EED0030;
    test::RandomCodes codes(seed);
    for (int i = 0; i < 20000; ++i) {
        const Wide code = codes(63);
        const int from_frac = static_cast<int>(codes.below(80)) - 8;
        const int bits = 1 + static_cast<int>(codes.below(62));
        const Rounding rounding = deterministic_roundings[codes.below(5)];
        const Overflow overflow = overflows[codes.below(3)];
        const Quantizer q{Format{bits, 9, codes.below(2) == 0, 0}, rounding, overflow};
        const Integer rounded =
            test::round_by_definition(test::scaled(Rational(exact(code)), 9 - from_frac), rounding);
        const Integer expected =
            test::fit_by_definition(rounded, bits, q.format.is_signed, overflow);
        const Quantized wide = requantize(code, from_frac, q);
        const Quantized narrow = requantize(static_cast<std::int64_t>(code), from_frac, q);
        ASSERT_EQ(Integer(wide.code), expected) << text(code) << ", seed " << seed;
        ASSERT_EQ(Integer(narrow.code), expected) << text(code) << ", seed " << seed;
        ASSERT_EQ(wide.clipped, expected != rounded) << text(code) << ", seed " << seed;
        ASSERT_EQ(narrow.clipped, expected != rounded) << text(code) << ", seed " << seed;
    }
}

TEST(DirectQuantizer, DividesThenFits) {
    std::int64_t clipped = 0;
    for (const Rounding rounding : deterministic_roundings)
        for (const Overflow overflow : overflows)
            for (int a = -300; a <= 300; ++a)
                for (int b = 1; b <= 24; ++b) {
                    const Quantizer q{Format{5, 0, true, 0}, rounding, overflow};
                    const Integer rounded = test::round_by_definition(Rational(a, b), rounding);
                    const Integer expected = test::fit_by_definition(rounded, 5, true, overflow);
                    const Quantized got = divide_to(a, b, q);
                    ASSERT_EQ(Integer(got.code), expected) << a << " / " << b;
                    ASSERT_EQ(got.clipped, expected != rounded) << a << " / " << b;
                    clipped += got.clipped ? 1 : 0;
                }
    EXPECT_GT(clipped, 1000);
}

TEST(WeightQuantizer, RoundsAndClipsTheValueForEveryTwelveBitCode) {
    constexpr int from_frac = 10;  // values from -2 to 2: the clip is at one
    for (const Rounding rounding : deterministic_roundings)
        for (int k = 2; k <= 12; ++k) {
            const Rational d = test::scaled(Rational(1), 1 - k);
            for (int code = -2048; code < 2048; ++code) {
                const Rational x = test::scaled(Rational(code), -from_frac);
                Rational value = Rational(test::round_by_definition(Rational(x / d), rounding)) * d;
                const bool out = value > 1 - d || value < d - 1;
                if (value > 1 - d) value = 1 - d;
                if (value < d - 1) value = d - 1;
                const Quantized got = quantize_weight(code, from_frac, k, rounding);
                ASSERT_EQ(Rational(got.code) * d, value) << code << ", k = " << k;
                ASSERT_EQ(got.clipped, out) << code << ", k = " << k;
            }
        }
}

TEST(WeightQuantizer, NeverGivesTheCodeOfMinusOne) {
    EXPECT_EQ(quantize_weight(-(Wide{1} << 23), 23, 8).code, -127);
    EXPECT_TRUE(quantize_weight(-(Wide{1} << 23), 23, 8).clipped);
    EXPECT_EQ(quantize_weight((Wide{1} << 23) - 1, 23, 8).code, 127);
    EXPECT_EQ(quantize_weight(3 << 15, 23, 8).code, 2) << "1.5 codes: the tie goes to even";
    EXPECT_EQ(quantize_weight(5 << 15, 23, 8).code, 2) << "2.5 codes: the tie goes to even";
}

}  // namespace
}  // namespace wagesim::arith
