// Rounding and overflow: every rule against integer arithmetic, over whole ranges.
#include "golden/quantize.h"

#include <algorithm>
#include <set>

#include "golden_case.h"

namespace wagesim::golden {
namespace {

/// code / 2^shift rounded, by shifts, masks and comparisons.
std::int64_t shift_right(std::int64_t code, int shift, Rounding rounding) {
    const std::int64_t unit = std::int64_t{1} << shift;
    const std::int64_t rest = code & (unit - 1);
    const std::int64_t floor = (code - rest) / unit;
    const std::int64_t half = unit / 2;
    switch (rounding) {
        case Rounding::half_even:
            return floor + (rest > half || (rest == half && (floor & 1) != 0));
        case Rounding::half_up:
            return floor + (rest >= half);
        case Rounding::half_away:
            return floor + (rest > half || (rest == half && code > 0));
        case Rounding::floor:
            return floor;
        case Rounding::toward_zero:
            return floor + (rest != 0 && code < 0);
        case Rounding::stochastic:
            break;
    }
    return 0;
}

constexpr Rounding roundings[]{Rounding::half_even, Rounding::half_up, Rounding::half_away,
                               Rounding::floor, Rounding::toward_zero};

TEST(Quantize, EveryRoundingOfEverySixteenBitCodeEqualsTheShift) {
    constexpr int from = 7, to = 3;
    std::map<Rounding, std::int64_t> checksum;
    for (const Rounding rounding : roundings) {
        Tensor wide, narrow;
        std::vector<double> values;
        for (std::int64_t code = -32768; code < 32768; ++code)
            values.push_back(std::ldexp(static_cast<double>(code), -from));
        narrow.values = wide.values = std::move(values);
        quantize<double>(wide, {{32, to, true, 0}, rounding, Overflow::saturate});
        quantize<float>(narrow, {{32, to, true, 0}, rounding, Overflow::saturate});
        std::int64_t ties = 0;
        for (std::int64_t code = -32768; code < 32768; ++code) {
            const std::size_t i = static_cast<std::size_t>(code + 32768);
            const std::int64_t expected = shift_right(code, from - to, rounding);
            ASSERT_EQ(wide.values[i], std::ldexp(static_cast<double>(expected), -to))
                << to_string(rounding) << " of " << code;
            ASSERT_EQ(narrow.values[i], wide.values[i]) << to_string(rounding) << " of " << code;
            ASSERT_EQ(wide.ties[i], (code & 15) == 8) << code;
            ties += wide.ties[i];
            checksum[rounding] += (code % 31) * expected;
        }
        EXPECT_EQ(ties, 4096);
        EXPECT_EQ(wide.saturations + wide.wraps, 0);
    }
    std::set<std::int64_t> distinct;
    for (const auto& [rounding, sum] : checksum) distinct.insert(sum);
    EXPECT_EQ(distinct.size(), 5U) << "the roundings must differ somewhere";
}

TEST(Quantize, EveryOverflowRuleOfEveryTwelveBitCodeEqualsTheRegister) {
    for (const bool is_signed : {true, false})
        for (const Overflow overflow : {Overflow::saturate, Overflow::full, Overflow::wrap}) {
            Tensor tensor;
            std::vector<double> values;
            for (std::int64_t code = -2048; code < 2048; ++code)
                values.push_back(static_cast<double>(code));
            tensor.values = std::move(values);
            quantize<double>(tensor, {{8, 0, is_signed, 0}, Rounding::half_even, overflow});
            std::int64_t outside = 0;
            for (std::int64_t code = -2048; code < 2048; ++code) {
                std::int64_t expected = code;
                if (overflow == Overflow::wrap)
                    expected = is_signed ? static_cast<std::int8_t>(code)
                                         : static_cast<std::int64_t>(code & 0xFF);
                else if (is_signed)
                    expected = std::min<std::int64_t>(
                        127,
                        std::max<std::int64_t>(overflow == Overflow::full ? -128 : -127, code));
                else
                    expected = std::min<std::int64_t>(255, std::max<std::int64_t>(0, code));
                ASSERT_EQ(tensor.values[static_cast<std::size_t>(code + 2048)],
                          static_cast<double>(expected))
                    << to_string(overflow) << " " << is_signed << " of " << code;
                outside += expected != code;
            }
            EXPECT_EQ(overflow == Overflow::wrap ? tensor.wraps : tensor.saturations, outside);
            EXPECT_EQ(overflow == Overflow::wrap ? tensor.saturations : tensor.wraps, 0);
            EXPECT_TRUE(tensor.ties.empty());
        }
}

TEST(Quantize, ZeroHasNoSign) {
    Tensor tensor;
    tensor.values = {-0.25, -0.0};
    quantize<double>(tensor, {});
    EXPECT_FALSE(std::signbit(tensor.values[1]));
    tensor.values = {-0.001};
    quantize<double>(tensor, {});
    EXPECT_EQ(tensor.values[0], 0.0);
    EXPECT_FALSE(std::signbit(tensor.values[0]));
}

TEST(Quantize, JustBelowAHalfIsNotATie) {
    for (const Rounding rounding : roundings) {
        Tensor tensor;
        tensor.values = {std::nextafter(0.5, 0.0), -std::nextafter(0.5, 0.0)};
        quantize<double>(tensor, {{8, 0, true, 0}, rounding, Overflow::saturate});
        EXPECT_TRUE(tensor.ties.empty()) << to_string(rounding);
        EXPECT_EQ(tensor.values[0], 0.0) << to_string(rounding);
        EXPECT_EQ(tensor.values[1], rounding == Rounding::floor ? -1.0 : 0.0);
    }
}

TEST(Quantize, WideQuotientsEqualShortOnesAndRoundLikeThem) {
    for (std::int64_t a = -300; a <= 300; ++a)
        for (std::int64_t b = 1; b <= 24; ++b)
            for (const Rounding rounding : roundings) {
                Tensor tensor;
                tensor.values = {static_cast<double>(a) / static_cast<double>(b)};
                quantize<double>(tensor, {{32, 0, true, 0}, rounding, Overflow::saturate});
                const Quotient<BigInteger> quotient = divide(
                    BigInteger(BigInteger(a) << 100), BigInteger(BigInteger(b) << 100), rounding);
                ASSERT_EQ(quotient.code.convert_to<double>(), tensor.values[0])
                    << a << " / " << b << " " << to_string(rounding);
                ASSERT_EQ(quotient.tie, 2 * std::abs(a) % b == 0 && 2 * a / b % 2 != 0);
            }
}

TEST(Quantize, WideRegistersFitLikeShortOnes) {
    for (const bool is_signed : {true, false})
        for (const Overflow overflow : {Overflow::saturate, Overflow::full, Overflow::wrap})
            for (std::int64_t code = -700; code <= 700; ++code) {
                const Fitted<double> narrow =
                    fit(static_cast<double>(code), code_range(8, is_signed, overflow), overflow);
                const Fitted<BigInteger> wide = fit(BigInteger(code), 8, is_signed, overflow);
                ASSERT_EQ(wide.code.convert_to<double>(), narrow.code) << code;
                ASSERT_EQ(wide.outside, narrow.outside) << code;
            }
    const BigInteger top = (BigInteger(1) << 80) - 1;
    EXPECT_EQ(fit(top, 80, false, Overflow::saturate).code, top);
    EXPECT_EQ(fit(BigInteger(top + 5), 80, false, Overflow::saturate).code, top);
    EXPECT_EQ(fit(BigInteger(top + 5), 80, false, Overflow::wrap).code, 4);
}

TEST(Quantize, CodesBeyondDoublesAreKeptAsIntegers) {
    const Tensor small =
        from_codes({1, 2, 1, 1}, {BigInteger(3), BigInteger(-5)}, {48, 2, true, 0});
    EXPECT_TRUE(small.exact.empty());
    EXPECT_EQ(small.values.reals(), (std::vector<double>{0.75, -1.25}));
    const BigInteger large = (BigInteger(1) << 53) + 1;
    const Tensor wide = from_codes({1, 2, 1, 1}, {BigInteger(3), large}, {80, 0, false, 0});
    EXPECT_TRUE((wide.exact == std::vector<Wide>{3, 9007199254740993}));
}

}  // namespace
}  // namespace wagesim::golden
