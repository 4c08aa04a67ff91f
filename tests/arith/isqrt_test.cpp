// Integer square roots: every small number, and the numbers where the root turns.
#include "wagesim/arith/isqrt.h"

#include <gtest/gtest.h>

#include <cstdint>

#include "exact.h"

namespace wagesim::arith {
namespace {

using test::Integer;

TEST(IntegerSquareRoot, FloorsEveryNumberBelowTwoToTheTwenty) {
    std::uint64_t root = 0;
    for (std::uint64_t v = 0; v <= (1U << 20); ++v) {
        if ((root + 1) * (root + 1) == v) ++root;
        ASSERT_EQ(isqrt_floor(v), root) << v;
    }
    EXPECT_EQ(root, 1024U);
}

TEST(IntegerSquareRoot, RoundsEveryNumberBelowTwoToTheTwentyToTheNearest) {
    // root is nearest while v < (root + 1/2)^2, that is 4 v < (2 root + 1)^2.
    std::uint64_t root = 0;
    for (std::uint64_t v = 0; v <= (1U << 20); ++v) {
        if (4 * v >= (2 * root + 1) * (2 * root + 1)) ++root;
        ASSERT_EQ(isqrt_rounded(v), root) << v;
    }
    EXPECT_EQ(root, 1024U);
}

void expect_turns_around(std::uint64_t root) {
    // All the numbers between which the two roots change.
    const UnsignedWide r = root;
    ASSERT_EQ(isqrt_floor(r * r), root);
    ASSERT_EQ(isqrt_rounded(r * r), root);
    ASSERT_EQ(isqrt_floor(r * r + r), root);
    ASSERT_EQ(isqrt_rounded(r * r + r), root) << "just below the half";
    ASSERT_EQ(isqrt_rounded(r * r + r + 1), root + 1) << "just above the half";
    ASSERT_EQ(isqrt_floor(r * r + 2 * r), root) << "the last below the next square";
    ASSERT_EQ(isqrt_rounded(r * r + 2 * r), root + (root != 0 ? 1 : 0));
    ASSERT_EQ(isqrt_floor(r * r + 2 * r + 1), root + 1);
}

TEST(IntegerSquareRoot, TurnsAtTheHalfForEveryRootOfThirtySixBits) {
    for (std::uint64_t root = 0; root <= (1U << 18); ++root) {
        expect_turns_around(root);
        if (HasFatalFailure()) FAIL() << "root " << root;
    }
}

TEST(IntegerSquareRoot, TurnsAtTheHalfForRootsOfUpToSixtyFourBits) {
    constexpr std::uint64_t seed = 0x5EED0020;
    test::RandomCodes codes(seed);
    for (int bits = 18; bits <= 63; ++bits) {
        const std::uint64_t corner = std::uint64_t{1} << bits;
        for (const std::uint64_t root : {corner - 1, corner, corner + 1}) {
            expect_turns_around(root);
            if (HasFatalFailure()) FAIL() << "root " << root;
        }
        for (int i = 0; i < 500; ++i) {
            const std::uint64_t root = codes.below(corner);
            expect_turns_around(root);
            if (HasFatalFailure()) FAIL() << "root " << root << ", seed " << seed;
        }
    }
    expect_turns_around(~std::uint64_t{0} - 1);
}

TEST(IntegerSquareRoot, AgreesWithUnboundedIntegers) {
    constexpr std::uint64_t seed = 0x5EED0021;
    test::RandomCodes codes(seed);
    for (int i = 0; i < 20000; ++i) {
        const UnsignedWide v = magnitude(codes(126));
        const Integer exact_v = test::exact(static_cast<Wide>(v));
        ASSERT_EQ(Integer(isqrt_floor(v)), boost::multiprecision::sqrt(exact_v))
            << exact_v << ", seed " << seed;
        // round(sqrt v) = floor(floor(sqrt(4 v)) / 2 + 1/2)
        const Integer doubled = boost::multiprecision::sqrt(Integer(4 * exact_v));
        ASSERT_EQ(Integer(isqrt_rounded(v)), (doubled + 1) / 2) << exact_v << ", seed " << seed;
    }
}

TEST(IntegerSquareRoot, LeavesTheRemainder) {
    for (std::uint64_t v = 0; v <= 70000; ++v) {
        const RootAndRemainder r = square_root(v);
        ASSERT_TRUE(UnsignedWide{r.root} * r.root + r.remainder == v) << v;
        ASSERT_TRUE(r.remainder <= 2 * UnsignedWide{r.root}) << v;
    }
}

}  // namespace
}  // namespace wagesim::arith
