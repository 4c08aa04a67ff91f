// The constant quantiser CQ against its formula on values, draw by draw.
#include "wagesim/arith/constant_quantize.h"

#include <gtest/gtest.h>

#include <cstdint>

#include "exact.h"
#include "wagesim/arith/block_scale.h"

namespace wagesim::arith {
namespace {

using test::deterministic_roundings;
using test::Integer;
using test::Rational;
using test::scaled;

/// SR by definition: |x| = I + F, F truncated to 16 bits, against r = draw / 2^16.
Integer stochastic_by_definition(const Rational& x, std::uint32_t draw) {
    const Rational size = test::absolute(x);
    const Integer whole = test::round_by_definition(size, Rounding::floor);
    const Rational fraction = size - Rational(whole);
    const Integer leading = test::round_by_definition(scaled(fraction, 16), Rounding::floor);
    const Integer result = whole + (leading > Integer(draw) ? 1 : 0);
    return x < 0 ? Integer(-result) : result;
}

TEST(ConstantQuantizer, IsTheFormulaOnValuesForEveryRounding) {
    std::int64_t clipped = 0;
    for (const Rounding rounding : deterministic_roundings)
        for (const int dr_log2 : {1, 3, 5, 7})
            for (const int exponent : {-6, 0, 3})
                for (int relative = -3; relative <= 9; relative += 2)
                    for (int code = -130; code <= 130; ++code) {
                        const int frac = 5;
                        const int s = relative - frac + exponent;
                        const Rational x = scaled(Rational(code), exponent - frac);
                        const Rational in_dr = scaled(x, dr_log2 - s);
                        const Integer whole = test::round_by_definition(in_dr, rounding);
                        const Integer limit = test::power_of_two<Integer>(dr_log2) - 1;
                        const Integer expected = test::clip(whole, limit);
                        const Quantized got =
                            quantize_constant(code, frac, exponent, s, dr_log2, rounding, 12345);
                        ASSERT_EQ(Integer(got.code), expected)
                            << code << ", s = " << s << ", dr = 2^" << dr_log2;
                        ASSERT_EQ(got.clipped, whole != expected) << code << ", s = " << s;
                        clipped += got.clipped ? 1 : 0;
                    }
    EXPECT_GT(clipped, 1000);
}

TEST(ConstantQuantizer, RoundsStochasticallyByTheFormulaOnValues) {
    constexpr std::uint64_t seed = 0x5EED0040;
    test::RandomCodes codes(seed);
    std::int64_t away = 0;
    std::int64_t clipped = 0;
    for (int i = 0; i < 60000; ++i) {
        const Wide code = codes(40);
        const int frac = static_cast<int>(codes.below(30));
        const int exponent = static_cast<int>(codes.below(20)) - 10;
        const int s = static_cast<int>(codes.below(50)) - 15 - frac + exponent;
        const int dr_log2 = 1 + static_cast<int>(codes.below(8));
        const auto draw = static_cast<std::uint32_t>(codes.below(65536));
        const Rational in_dr = scaled(Rational(test::exact(code)), exponent - frac - s + dr_log2);
        const Integer whole = stochastic_by_definition(in_dr, draw);
        const Integer expected = test::clip(whole, test::power_of_two<Integer>(dr_log2) - 1);
        const Quantized got =
            quantize_constant(code, frac, exponent, s, dr_log2, Rounding::stochastic, draw);
        ASSERT_EQ(Integer(got.code), expected)
            << test::text(code) << ", s = " << s << ", draw " << draw << ", seed " << seed;
        ASSERT_EQ(got.clipped, whole != expected) << test::text(code) << ", seed " << seed;
        clipped += got.clipped ? 1 : 0;
        away += test::absolute(Rational(whole)) > test::absolute(in_dr) ? 1 : 0;
    }
    EXPECT_GT(away, 1000);
    EXPECT_GT(clipped, 1000);
}

template <class Lane>
void expect_the_formula_in_a_lane(std::uint64_t seed) {
    constexpr int most = most_bits<Lane>;
    test::RandomCodes codes(seed);
    std::int64_t clipped = 0, away = 0;
    for (int i = 0; i < 40000; ++i) {
        const Wide end = (Wide{1} << (most - 1)) - 1;
        const Wide code = i % 3 == 0 ? (i % 2 == 0 ? end : -end - 1) : codes(most - 1);
        const int n = 1 + static_cast<int>(codes.below(2 * most));
        const int dr_log2 = static_cast<int>(codes.below(i % 2 == 0 ? 9 : most));
        const auto draw = static_cast<std::uint32_t>(codes.below(65536));
        const StochasticQuantizer<Lane> narrow(n, dr_log2, most);
        ASSERT_TRUE(narrow.fits()) << n << ", dr = 2^" << dr_log2;
        const Rational in_dr = scaled(Rational(test::exact(code)), -n);
        const Integer whole = stochastic_by_definition(in_dr, draw);
        const Integer expected = test::clip(whole, test::power_of_two<Integer>(dr_log2) - 1);
        const auto got = narrow(static_cast<Lane>(code), draw);
        ASSERT_EQ(Integer(got.code), expected)
            << test::text(code) << " by " << n << ", draw " << draw << ", seed " << seed;
        ASSERT_EQ(got.clipped, whole != expected ? 1 : 0) << test::text(code) << ", seed " << seed;
        clipped += got.clipped;
        away += test::absolute(Rational(whole)) > test::absolute(in_dr) ? 1 : 0;
    }
    EXPECT_GT(away, 1000);
    EXPECT_GT(clipped, 1000);
    EXPECT_FALSE(StochasticQuantizer<Lane>(1, 7, most + 1).fits());
    EXPECT_FALSE(StochasticQuantizer<Lane>(1, most, most).fits());
    EXPECT_FALSE(StochasticQuantizer<Lane>(0, 7, most).fits()) << "a left shift is not rounded";
}

TEST(ConstantQuantizer, RoundsStochasticallyInALaneOfThirtyTwoBits) {
    expect_the_formula_in_a_lane<std::int32_t>(0x5EED0041);
}

TEST(ConstantQuantizer, RoundsStochasticallyInALaneOfSixtyFourBits) {
    expect_the_formula_in_a_lane<std::int64_t>(0x5EED0042);
}

TEST(ConstantQuantizer, ComparesTheFractionWithEveryDraw) {
    // dr / R = 2^-n, so F = (code mod 2^n) / 2^n: shorter than, equal to, longer than 16 bits.
    struct Case {
        std::int64_t code;
        int n;
        std::uint32_t leading;  // the 16 bits compared
    };
    const Case cases[] = {
        {5 * 2 + 1, 1, 0x8000},                           // F = 1/2, fifteen zeros appended
        {3 * 16 + 5, 4, 0x5000},                          // F = 5/16
        {2 * 65536 + 0x1234, 16, 0x1234},                 // exactly 16 bits
        {(std::int64_t{9} << 20) + 0x1234F, 20, 0x1234},  // four bits cut off
        {(std::int64_t{9} << 20) + 0xF, 20, 0},           // only bits that are cut off
        {(std::int64_t{1} << 40) - 1, 30, 0xFFFF},        // never above the largest draw
    };
    constexpr int dr_log2 = 12;
    for (const Case& c : cases)
        for (const int sign : {1, -1}) {
            const std::int64_t whole = c.code / test::power_of_two<std::int64_t>(c.n);
            for (std::uint32_t draw = 0; draw < 65536; ++draw) {
                const Quantized got = quantize_constant(sign * c.code, 0, 0, c.n + dr_log2, dr_log2,
                                                        Rounding::stochastic, draw);
                const std::int64_t expected = sign * (whole + (draw < c.leading ? 1 : 0));
                ASSERT_EQ(got.code, expected) << c.code << ", n = " << c.n << ", draw " << draw;
                ASSERT_FALSE(got.clipped);
            }
        }
}

TEST(ConstantQuantizer, ClipsAtOneBelowDr) {
    // x = R: dr itself, one above the largest code.
    for (int dr_log2 = 1; dr_log2 <= 7; ++dr_log2)
        for (const Rounding rounding : {Rounding::half_even, Rounding::stochastic}) {
            const int top = (1 << dr_log2) - 1;
            const Quantized at = quantize_constant(1 << 20, 20, 0, 0, dr_log2, rounding, 0);
            EXPECT_EQ(at.code, top);
            EXPECT_TRUE(at.clipped);
            const Quantized below =
                quantize_constant(-(top << 20), 20, 0, dr_log2, dr_log2, rounding, 0);
            EXPECT_EQ(below.code, -top);
            EXPECT_FALSE(below.clipped);
        }
    EXPECT_EQ(quantize_constant(5, 0, 0, 1, 0, Rounding::half_even, 0).code, 0) << "dr = 1";
}

TEST(ConstantQuantizer, SaturatesAndVanishesFarFromTheScale) {
    for (const Rounding rounding : {Rounding::half_even, Rounding::stochastic}) {
        EXPECT_EQ(quantize_constant(-1, 0, 127, -128, 7, rounding, 0).code, -127);
        EXPECT_TRUE(quantize_constant(-1, 0, 127, -128, 7, rounding, 0).clipped);
        EXPECT_EQ(quantize_constant(1, 40, -127, 127, 7, rounding, 0).code, 0);
    }
}

TEST(ConstantQuantizer, LeavesAnAllZeroTensorZero) {
    const int s = scale_exponent(0, 14, 3);
    for (std::uint32_t draw : {0U, 1U, 65535U}) {
        const Quantized zero = quantize_constant(0, 14, 3, s, 7, Rounding::stochastic, draw);
        EXPECT_EQ(zero.code, 0);
        EXPECT_FALSE(zero.clipped);
    }
}

}  // namespace
}  // namespace wagesim::arith
