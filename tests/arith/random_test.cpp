// Random streams against constants computed elsewhere and against plain bit vectors.
#include "wagesim/arith/random.h"

#include <gtest/gtest.h>

#include <bitset>
#include <cstdint>
#include <set>
#include <vector>

namespace wagesim::arith {
namespace {

TEST(Mix, GivesTheSeedsComputedInPython) {
    constexpr std::uint32_t ones = 0xFFFFFFFF;
    EXPECT_EQ(mix(0, 0, 0, 0), 0x37DD7702U);
    EXPECT_EQ(mix(1, 0, 0, 0), 0x1E10CF35U);
    EXPECT_EQ(mix(0, 1, 0, 0), 0xF22862C3U);
    EXPECT_EQ(mix(0, 0, 1, 0), 0xC09C6008U);
    EXPECT_EQ(mix(0, 0, 0, 1), 0x52081DE9U);
    EXPECT_EQ(mix(2020, 7, 35, 15), 0x051ECE48U);
    EXPECT_EQ(mix(ones, ones, ones, ones), 0x839CDE85U);
}

TEST(Mix, TurnsZeroIntoOne) {
    // The one stream word that brings (1, 2, 3, .) to zero.
    EXPECT_EQ(mix(1, 2, 3, 0xC4A3786F), 1U);
    EXPECT_NE(mix(1, 2, 3, 0xC4A3786E), 1U);
}

/// The same mixing in 64-bit arithmetic, reduced modulo 2^32 by division.
std::uint32_t plain_mix(const std::vector<std::uint64_t>& words) {
    constexpr std::uint64_t modulus = std::uint64_t{1} << 32;
    std::uint64_t h = 0x9E3779B9;
    for (const std::uint64_t word : words) {
        h ^= word;
        h ^= h / 65536;
        h = h * 0x85EBCA6B % modulus;
        h ^= h / 8192;
        h = h * 0xC2B2AE35 % modulus;
        h ^= h / 65536;
    }
    return static_cast<std::uint32_t>(h == 0 ? 1 : h);
}

TEST(Mix, AgreesWithPlainArithmetic) {
    for (std::uint32_t seed : {0U, 1U, 77U, 0x80000000U})
        for (std::uint32_t step = 0; step < 20; ++step)
            for (std::uint32_t op = 0; op < 64; op += 3)
                for (std::uint32_t stream = 0; stream < 16; ++stream)
                    ASSERT_EQ(mix(seed, step, op, stream), plain_mix({seed, step, op, stream}));
}

using Bits = std::bitset<32>;

Bits plain_xorshift(Bits x) {
    Bits y = x;
    for (std::size_t i = 13; i < 32; ++i) y[i] = x[i] != x[i - 13];
    x = y;
    for (std::size_t i = 0; i + 17 < 32; ++i) y[i] = x[i] != x[i + 17];
    x = y;
    for (std::size_t i = 5; i < 32; ++i) y[i] = x[i] != x[i - 5];
    return y;
}

Bits plain_lfsr(const Bits& x) {
    Bits y;
    for (std::size_t i = 0; i < 31; ++i) y[i] = x[i + 1];
    y[31] = x[0];
    for (const std::size_t tap : {0U, 1U, 21U}) y[tap] = y[tap] != x[0];
    return y;
}

TEST(XorShift, GivesMarsagliasFirstNumber) {
    XorShift32 source(2463534242U);  // the paper's own seed
    EXPECT_EQ(source.next(), 723471715U);
    EXPECT_EQ(source.next(), 0x94DACB7AU);
    EXPECT_EQ(source.next(), 0x7B0859A0U);
}

TEST(XorShift, DrawsTheUpperHalfOfEveryState) {
    XorShift32 source(1);
    for (const std::uint32_t expected : {0x4U, 0x408U, 0x9DCCU, 0x1255U, 0x8EF9U, 0x2C6FU})
        EXPECT_EQ(source.draw16(), expected);
}

TEST(XorShift, AgreesWithPlainBitVectors) {
    for (const std::uint32_t seed : {1U, 0x80000000U, 0xDEADBEEFU, mix(1, 2, 3, 4)}) {
        XorShift32 source(seed);
        Bits state(seed);
        for (int i = 0; i < 2000; ++i) {
            state = plain_xorshift(state);
            ASSERT_EQ(source.next(), state.to_ulong()) << "seed " << seed << ", step " << i;
        }
    }
}

TEST(GaloisLfsr, StepsOneBitAtATime) {
    GaloisLfsr32 source(1);
    for (const std::uint32_t expected :
         {0x80200003U, 0xC0300002U, 0x60180001U, 0xB02C0003U, 0xD8360002U})
        EXPECT_EQ(source.step(), expected);
}

TEST(GaloisLfsr, DrawsTheUpperHalfAfterSixteenSteps) {
    GaloisLfsr32 source(1);
    for (const std::uint32_t expected : {0xB6F6U, 0x8A0FU, 0x9E5U, 0x90BDU, 0xB914U, 0x44C3U})
        EXPECT_EQ(source.draw16(), expected);
    GaloisLfsr32 other(0xDEADBEEF);
    for (const std::uint32_t expected : {0xE4C0U, 0x96DCU, 0xA8C7U, 0x39E7U})
        EXPECT_EQ(other.draw16(), expected);
}

TEST(GaloisLfsr, AgreesWithPlainBitVectors) {
    GaloisLfsr32 source(0xDEADBEEF);
    Bits state(0xDEADBEEF);
    for (int i = 0; i < 2000; ++i) {
        for (int step = 0; step < 16; ++step) state = plain_lfsr(state);
        ASSERT_EQ(source.draw16(), state.to_ulong() / 65536) << "draw " << i;
    }
}

struct Draw {
    std::uint64_t element;
    std::uint32_t xorshift, lfsr;
};
constexpr Draw draws[] = {{0, 0x6078, 0x44B3},   {1, 0xCBC2, 0x4B98},   {15, 0xE1A2, 0x2F30},
                          {16, 0x7D3B, 0x9035},  {17, 0xF5F8, 0xBFAA},  {47, 0x6BAF, 0x62D3},
                          {160, 0x8A8B, 0xDBB2}, {1000, 0xA255, 0x7BD3}};

TEST(RandomStreams, GivesEveryElementItsDrawComputedInPython) {
    RandomStreams<XorShift32> xorshift(5, 9, 16);
    RandomStreams<GaloisLfsr32> lfsr(5, 9, 16);
    for (const Draw& draw : draws) {
        EXPECT_EQ(xorshift.draw16(draw.element), draw.xorshift) << draw.element;
        EXPECT_EQ(lfsr.draw16(draw.element), draw.lfsr) << draw.element;
    }
}

TEST(RandomStreams, GivesTheSameInAnyOrder) {
    RandomStreams<> rising(3, 1, 4);
    std::vector<std::uint32_t> expected;
    for (std::uint64_t i = 0; i < 800; ++i) expected.push_back(rising.draw16(i));
    RandomStreams<> falling(3, 1, 4);
    for (std::uint64_t i = 800; i-- > 0;) ASSERT_EQ(falling.draw16(i), expected[i]) << i;
    RandomStreams<> jumping(3, 1, 4);
    for (std::uint64_t i = 0; i < 800; ++i) {
        const std::uint64_t element = i * 297 % 800;
        ASSERT_EQ(jumping.draw16(element), expected[element]) << element;
        ASSERT_EQ(jumping.draw16(element), expected[element]) << element << " again";
    }
    EXPECT_GT(std::set<std::uint32_t>(expected.begin(), expected.end()).size(), 700U);
}

TEST(RandomStreams, HasSixteenStreamsWhateverTheNumberOfLanes) {
    RandomStreams<> streams(8, 0, 32);
    for (std::uint32_t lane = 0; lane < 16; ++lane) {
        XorShift32 source(mix(8, 0, 32, lane));
        for (std::uint64_t row = 0; row < 20; ++row)
            ASSERT_EQ(streams.draw16(row * 16 + lane), source.draw16()) << lane << ", " << row;
    }
}

}  // namespace
}  // namespace wagesim::arith
