// The quantiser of many codes in lanes of 32 and 64 bits, at the borders of what a lane holds.
#include "wagesim/arith/requantizer.h"

#include <gtest/gtest.h>

#include <cstdint>

#include "exact.h"

namespace wagesim::arith {
namespace {

using test::Integer;
using test::Rational;

template <class Lane>
class LaneTest : public ::testing::Test {};
using Lanes = ::testing::Types<std::int32_t, std::int64_t>;
TYPED_TEST_SUITE(LaneTest, Lanes);

/// Those next to powers of two, from the widest of `bits` bits down to 0, of both signs.
template <class Check>
void for_each_corner(int bits, Check check) {
    for (int length = bits - 1; length >= 0; --length)
        for (const int beside : {-2, -1, 0, 1, 2})
            for (const int sign : {-1, 1}) {
                const Wide code = sign * ((Wide{1} << length) + beside);
                const Wide end = Wide{1} << (bits - 1);
                if (code >= -end && code < end) check(static_cast<std::int64_t>(code));
            }
}

TYPED_TEST(LaneTest, RoundsAndFitsTheValueOfEveryCornerOfItsWidestCodes) {
    constexpr int most = most_bits<TypeParam>;
    std::int64_t checks = 0, clips = 0;
    for (const Rounding rounding : test::deterministic_roundings)
        for (const Overflow overflow : test::overflows)
            for (const bool is_signed : {true, false})
                for (const int register_bits : {2, 8, most})
                    for (const int n : {-most + 2, -3, 0, 1, 2, 7, most - 1, most}) {
                        const Quantizer q{Format{register_bits, 9, is_signed, 0}, rounding,
                                          overflow};
                        const int bits = n < 0 ? most + n : most;
                        const Requantizer<TypeParam> narrow(9 + n, q, bits);
                        ASSERT_TRUE(narrow.fits()) << bits << " bits by " << n;
                        for_each_corner(bits, [&](std::int64_t code) {
                            const Integer rounded = test::round_by_definition(
                                test::scaled(Rational(code), -n), rounding);
                            const Integer expected = test::fit_by_definition(rounded, register_bits,
                                                                             is_signed, overflow);
                            const auto got = narrow(static_cast<TypeParam>(code));
                            ASSERT_EQ(Integer(got.code), expected)
                                << code << " by " << n << ' ' << to_string(rounding) << ' '
                                << to_string(overflow) << ' ' << register_bits;
                            ASSERT_EQ(got.clipped, expected != rounded ? 1 : 0) << code;
                            ++checks;
                            clips += got.clipped;
                        });
                    }
    EXPECT_GT(clips, checks / 10);
    EXPECT_LT(clips, checks * 9 / 10);
}

TYPED_TEST(LaneTest, DoesNotFitWhereALaneMightNotHoldWhatIsOnTheWay) {
    constexpr int most = most_bits<TypeParam>;
    const auto fits = [](int n, int register_bits, int bits,
                         Rounding rounding = Rounding::half_even) {
        const Quantizer q{Format{register_bits, 9, true, 0}, rounding, Overflow::saturate};
        return Requantizer<TypeParam>(9 + n, q, bits).fits();
    };
    EXPECT_TRUE(fits(most, most, most));
    EXPECT_FALSE(fits(most + 1, most, most));
    EXPECT_FALSE(fits(most, most + 1, most));
    EXPECT_FALSE(fits(most, most, most + 1));
    EXPECT_TRUE(fits(-1, most, most - 1));
    EXPECT_FALSE(fits(-1, most, most));
    EXPECT_FALSE(fits(3, 8, 8, Rounding::stochastic));
}

TYPED_TEST(LaneTest, FitsCodesIntoRegistersAsWideAsItself) {
    constexpr int width = 8 * static_cast<int>(sizeof(TypeParam));
    for (const Overflow overflow : test::overflows)
        for (const bool is_signed : {true, false})
            for (const int bits : {width - 2, width - 1, width}) {
                const Format format{bits, 0, is_signed, 0};
                ASSERT_EQ(Fitter<TypeParam>::holds(format), is_signed || bits < width);
                if (!Fitter<TypeParam>::holds(format)) continue;
                const Fitter<TypeParam> fit(format, overflow);
                for_each_corner(width, [&](std::int64_t code) {
                    const Integer expected =
                        test::fit_by_definition(Integer(code), bits, is_signed, overflow);
                    const auto got = fit(static_cast<TypeParam>(code));
                    ASSERT_EQ(Integer(got.code), expected) << code << " into " << bits;
                    ASSERT_EQ(got.clipped, expected != Integer(code) ? 1 : 0) << code;
                });
            }
}

}  // namespace
}  // namespace wagesim::arith
