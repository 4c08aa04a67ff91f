// The scale R, the shift quantiser SQ and the flag quantiser FQ against their formulas on values.
#include "wagesim/arith/block_scale.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>

#include "exact.h"

namespace wagesim::arith {
namespace {

using test::deterministic_roundings;
using test::Integer;
using test::Rational;
using test::scaled;

/// floor(sqrt(2) * 2^63), so that no number has log2 in the middle of two integers.
constexpr std::uint64_t root_of_two = 0xB504F333F9DE6484;

TEST(Scale, IsTheRoundedLogarithmForEveryTwentyBitMaximum) {
    for (std::int64_t m = 1; m < (1 << 20); ++m)
        ASSERT_EQ(scale_exponent(m, 0, 0), std::llround(std::log2(static_cast<double>(m)))) << m;
}

TEST(Scale, TurnsAtTheSquareRootOfTwoInEveryOctave) {
    for (int p = 0; p < 64; ++p) {
        const std::uint64_t last_below = root_of_two >> (63 - p);
        EXPECT_EQ(scale_exponent(last_below, 0, 0), p) << last_below;
        EXPECT_EQ(scale_exponent(Wide{last_below} + 1, 0, 0), p + 1) << last_below + 1;
        EXPECT_EQ(scale_exponent(Wide{1} << p, 0, 0), p) << "the octave's first, " << p;
        if (p > 1) {
            EXPECT_EQ(scale_exponent((Wide{1} << p) - 1, 0, 0), p) << "the last before " << p;
        }
    }
    EXPECT_EQ(scale_exponent((Wide{1} << 64) - 1, 0, 0), 64);
}

TEST(Scale, HasNoTie) {
    // log2 m = p + 1/2 would need m^2 = 2^(2p+1): an odd power of two that is a square.
    for (int p = 0; p < 48; ++p) {
        const Integer odd_power = test::power_of_two<Integer>(2 * p + 1);
        const Integer root = boost::multiprecision::sqrt(odd_power);
        EXPECT_NE(Integer(root * root), odd_power) << p;
    }
}

TEST(Scale, CountsFractionBitsAndTheExponentOfTheTensor) {
    for (const int frac : {0, 7, 24})
        for (const int exponent : {-20, 0, 13})
            for (const int m : {1, 2, 3, 5, 6, 90, 91, 127}) {
                const double value = std::ldexp(m, exponent - frac);
                EXPECT_EQ(scale_exponent(m, frac, exponent), std::llround(std::log2(value))) << m;
            }
}

TEST(Scale, SaturatesItsEightBitRegister) {
    EXPECT_EQ(scale_exponent(1, 0, 126), 126);
    EXPECT_EQ(scale_exponent(1, 0, 127), 127);
    EXPECT_EQ(scale_exponent(1, 0, 128), 127);
    EXPECT_EQ(scale_exponent(Wide{1} << 63, 0, 127), 127);
    EXPECT_EQ(scale_exponent(1, 24, -103), -127);
    EXPECT_EQ(scale_exponent(1, 24, -104), -128);
    EXPECT_EQ(scale_exponent(1, 24, -105), -128);
    EXPECT_EQ(scale_exponent(1, 24, -128), -128);
}

TEST(Scale, OfAnAllZeroTensorIsTheSmallest) {
    EXPECT_EQ(scale_exponent(0, 0, 0), -128);
    EXPECT_EQ(scale_exponent(0, 24, 100), -128);
}

Quantizer of_width(int k, Rounding rounding) {
    return Quantizer{Format{k, k - 1, true, 0}, rounding, Overflow::saturate};
}

TEST(ShiftQuantizer, IsTheFormulaOnValues) {
    std::int64_t clipped = 0;
    for (const Rounding rounding : deterministic_roundings)
        for (const int k : {2, 4, 8})
            for (const int frac : {0, 7})
                for (const int exponent : {-3, 0, 5})
                    for (int relative = -9; relative <= 9; relative += 2)
                        for (int code = -65; code <= 65; ++code) {
                            const int s = 4 - frac + exponent + relative;
                            const Rational x = scaled(Rational(code), exponent - frac);
                            const Rational r = scaled(Rational(1), s);
                            const Rational d = scaled(Rational(1), 1 - k);
                            const Integer whole =
                                test::round_by_definition(Rational(x / r / d), rounding);
                            const Integer limit = test::power_of_two<Integer>(k - 1) - 1;
                            const Integer kept = test::clip(whole, limit);
                            const Quantized got = quantize_shift(std::int64_t{code}, frac, exponent,
                                                                 s, of_width(k, rounding));
                            ASSERT_EQ(Rational(got.code) * d * r, Rational(kept) * d * r)
                                << code << ", s = " << s << ", k = " << k;
                            ASSERT_EQ(got.clipped, whole != kept) << code << ", s = " << s;
                            const Quantized wide = quantize_shift(Wide{code}, frac, exponent, s,
                                                                  of_width(k, rounding));
                            ASSERT_EQ(wide.code, got.code) << code << ", s = " << s;
                            clipped += got.clipped ? 1 : 0;
                        }
    EXPECT_GT(clipped, 1000);
}

TEST(ShiftQuantizer, UsesTheLimitedExponentOfTensorsOutOfItsReach) {
    const Quantizer q = of_width(8, Rounding::half_even);
    // Values near 2^140: the exponent stops at 127, the codes saturate.
    EXPECT_EQ(quantize_shift(std::int64_t{3}, 0, 139, 127, q).code, 127);
    EXPECT_EQ(quantize_shift(std::int64_t{-3}, 0, 139, 127, q).code, -127);
    EXPECT_TRUE(quantize_shift(std::int64_t{-3}, 0, 139, 127, q).clipped);
    // Values near 2^-130 at the exponent -128: 2^-130 / 2^-128 * 2^7 = 32.
    EXPECT_EQ(quantize_shift(std::int64_t{1}, 24, -106, -128, q).code, 32);
    // Values near 2^-140: below half a code.
    EXPECT_EQ(quantize_shift(std::int64_t{3}, 24, -118, -128, q).code, 0);
}

TEST(ShiftQuantizer, LeavesAnAllZeroTensorZero) {
    const Quantizer q = of_width(8, Rounding::half_even);
    for (const int exponent : {-128, 0, 127}) {
        EXPECT_EQ(quantize_shift(std::int64_t{0}, 24, exponent, -128, q).code, 0) << exponent;
        EXPECT_FALSE(quantize_shift(std::int64_t{0}, 24, exponent, -128, q).clipped) << exponent;
        const Flagged flagged = quantize_flag(0, 24, exponent, -128, q);
        EXPECT_EQ(flagged.code, 0) << exponent;
        EXPECT_FALSE(flagged.flag || flagged.clipped) << exponent;
    }
}

struct FlagResult {
    Rational value;
    bool flag;
    bool clipped;
};

/// FQ as the formula says it, and whether the result needs the flag because it is +-Sc.
FlagResult flag_by_definition(const Rational& x, const Rational& r, int k, Rounding rounding) {
    const Rational d = scaled(Rational(1), 1 - k);
    const Rational sc = r * d;
    if (test::absolute(x) >= sc) {
        const Integer whole = test::round_by_definition(Rational(x / sc), rounding);
        const Integer kept = test::clip(whole, test::power_of_two<Integer>(k - 1) - 1);
        return {Rational(sc * Rational(kept)), true, whole != kept};
    }
    const Integer parts = test::round_by_definition(Rational(x / sc / d), rounding);
    const Rational value = sc * Rational(parts) * d;
    return {value, test::absolute(value) == sc, false};
}

TEST(FlagQuantizer, IsTheFormulaOnValues) {
    std::int64_t flagged = 0;
    std::int64_t clipped = 0;
    std::int64_t recoded = 0;
    std::int64_t checks = 0;
    for (const Rounding rounding : deterministic_roundings)
        for (const int k : {2, 3, 4})
            for (const int frac : {0, 9})
                for (const int exponent : {-4, 6})
                    for (int relative = 0; relative <= 10; ++relative)
                        for (int code = -200; code <= 200; ++code) {
                            const int s = relative - frac + exponent;
                            const Rational x = scaled(Rational(code), exponent - frac);
                            const Rational r = scaled(Rational(1), s);
                            const FlagResult expected = flag_by_definition(x, r, k, rounding);
                            const Flagged got =
                                quantize_flag(code, frac, exponent, s, of_width(k, rounding));
                            const std::int64_t operand = flag_operand(got.code, got.flag, k);
                            // The operand has frac 2(k-1) and the tensor's exponent s.
                            ASSERT_EQ(scaled(Rational(operand), s - 2 * (k - 1)), expected.value)
                                << code << ", s = " << s << ", k = " << k << ' '
                                << to_string(rounding);
                            ASSERT_EQ(got.flag, expected.flag) << code << ", s = " << s;
                            ASSERT_EQ(got.clipped, expected.clipped) << code << ", s = " << s;
                            ASSERT_LT(std::abs(got.code), 1 << (k - 1)) << code << ", s = " << s;
                            ++checks;
                            flagged += got.flag ? 1 : 0;
                            clipped += got.clipped ? 1 : 0;
                            const Rational sc = scaled(r, 1 - k);
                            recoded += got.flag && test::absolute(x) < sc ? 1 : 0;
                        }
    EXPECT_GT(flagged, checks / 10);
    EXPECT_LT(flagged, checks * 9 / 10);
    EXPECT_GT(clipped, 1000);
    EXPECT_GT(recoded, 1000);
}

TEST(FlagQuantizer, DecidesTheFlagBeforeItRounds) {
    const Quantizer q = of_width(8, Rounding::half_even);
    // s = 16: Sc = 2^9, its 128th part is 4.
    const Flagged at = quantize_flag(512, 0, 0, 16, q);
    EXPECT_TRUE(at.flag) << "|x| = Sc is large";
    EXPECT_EQ(at.code, 1);
    const Flagged below = quantize_flag(509, 0, 0, 16, q);
    EXPECT_FALSE(below.flag);
    EXPECT_EQ(below.code, 127);
    // 127.5 parts: the tie goes to 128, which 8 bits do not hold.
    for (const int sign : {1, -1}) {
        const Flagged corner = quantize_flag(sign * 510, 0, 0, 16, q);
        EXPECT_TRUE(corner.flag) << sign;
        EXPECT_EQ(corner.code, sign);
        EXPECT_FALSE(corner.clipped) << sign;
        EXPECT_EQ(flag_operand(corner.code, corner.flag, 8), sign * 128);
    }
}

TEST(FlagQuantizer, ClipsTheLargestOfATensorAboveItsScale) {
    const Quantizer q = of_width(8, Rounding::half_even);
    // The largest code 1448 is just below sqrt(2) * 2^10: s = 10, Sc = 8, 181 units of it.
    ASSERT_EQ(scale_exponent(1448, 0, 0), 10);
    const Flagged top = quantize_flag(-1448, 0, 0, 10, q);
    EXPECT_TRUE(top.flag && top.clipped);
    EXPECT_EQ(top.code, -127);
    EXPECT_EQ(flag_operand(top.code, top.flag, 8), -127 * 128);
}

TEST(FlagQuantizer, TakesScalesFarFromItsCodes) {
    const Quantizer q = of_width(8, Rounding::half_even);
    EXPECT_EQ(quantize_flag(1, 24, -100, 127, q).code, 0);
    EXPECT_FALSE(quantize_flag(1, 24, -100, 127, q).flag);
    const Flagged huge = quantize_flag(-1, 0, 127, -128, q);
    EXPECT_EQ(huge.code, -127);
    EXPECT_TRUE(huge.flag && huge.clipped);
}

}  // namespace
}  // namespace wagesim::arith
