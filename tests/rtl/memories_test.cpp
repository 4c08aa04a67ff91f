// Buffers and accumulators: what they hold, what they refuse, what a partial sum becomes.
#include <gtest/gtest.h>

#include <array>
#include <cstring>
#include <vector>

#include "buffer/accumulators.h"
#include "buffer/buffer.h"

namespace wagesim::rtl {
namespace {

std::string message_of(const std::function<void()>& action) {
    try {
        action();
    } catch (const MachineError& error) {
        return error.what();
    }
    return "no MachineError";
}

TEST(BufferTest, GivesBackWhatWasWrittenAcrossWordBoundaries) {
    Buffer buffer("weights", 1000);
    for (std::int64_t i = 0; i < 300; ++i) *buffer.write(50 + i, 1) = static_cast<std::uint8_t>(i);
    const std::uint8_t* bytes = buffer.read(50, 300);
    for (std::int64_t i = 0; i < 300; ++i) ASSERT_EQ(bytes[i], i % 256);
}

TEST(BufferTest, KnowsEveryWrittenByteOfEveryRange) {
    // Against a plain list of flags, for all ranges around two 64-byte word boundaries.
    Buffer buffer("b", 200);
    std::vector<bool> written(200);
    for (const auto& [address, bytes] : {std::pair{3, 5}, {60, 8}, {70, 58}, {128, 64}, {199, 1}}) {
        std::memset(buffer.write(address, bytes), 7, static_cast<std::size_t>(bytes));
        for (int i = address; i < address + bytes; ++i) written[static_cast<std::size_t>(i)] = true;
    }
    int held = 0;
    for (int first = 0; first < 200; ++first) {
        bool all = true;
        for (int end = first + 1; end <= 200; ++end) {
            all = all && written[static_cast<std::size_t>(end - 1)];
            ASSERT_EQ(buffer.holds(first, end - first), all) << first << " to " << end;
            held += all ? 1 : 0;
        }
    }
    EXPECT_GT(held, 100);
}

TEST(BufferTest, NamesTheFirstUnwrittenByteOfARead) {
    Buffer buffer("activations", 4096);
    buffer.write(100, 28);
    const std::string message = message_of([&] { buffer.read(100, 64); });
    EXPECT_NE(message.find("activations"), std::string::npos) << message;
    EXPECT_NE(message.find("byte 128 "), std::string::npos) << message;
}

TEST(BufferTest, RefusesAccessesOutsideItsCapacity) {
    Buffer buffer("parameters", 100);
    buffer.write(0, 100);
    EXPECT_NO_THROW(buffer.read(0, 100));
    EXPECT_THROW(buffer.read(1, 100), MachineError);
    EXPECT_THROW(buffer.read(-1, 1), MachineError);
    EXPECT_THROW(buffer.write(99, 2), MachineError);
    EXPECT_THROW(buffer.write(INT64_MAX, 2), MachineError);
    EXPECT_NE(message_of([&] { buffer.write(99, 2); }).find("address 99"), std::string::npos);
}

TEST(BufferTest, ForgetsEverything) {
    Buffer buffer("weights", 100);
    buffer.write(10, 10);
    buffer.forget();
    EXPECT_THROW(buffer.read(10, 1), MachineError);
    buffer.write(11, 1);
    EXPECT_NO_THROW(buffer.read(11, 1));
    EXPECT_THROW(buffer.read(10, 2), MachineError);
}

TEST(BufferTest, FlipsABitOfDataOnly) {
    Buffer buffer("weights", 100);
    *buffer.write(10, 1) = 0x41;
    EXPECT_TRUE(buffer.flip(10, 7));
    EXPECT_EQ(*buffer.read(10, 1), 0xC1);
    EXPECT_FALSE(buffer.flip(11, 0));
    EXPECT_FALSE(buffer.flip(1000, 0));
}

TEST(AccumulatorsTest, StartFromABiasOrZeroAndAdd) {
    Accumulators sums(4, 3, 40, Overflow::wrap);
    const std::array<std::int64_t, 3> bias{10, -20, 30};
    const std::array<std::int32_t, 3> tile{1, 2, -3};
    sums.add_row(1, 3, tile.data(), true, bias.data());
    sums.add_row(1, 3, tile.data(), false, nullptr);
    EXPECT_EQ(sums.value(1, 0), 12);
    EXPECT_EQ(sums.value(1, 1), -16);
    EXPECT_EQ(sums.value(1, 2), 24);
    sums.add_row(1, 3, tile.data(), true, nullptr);
    EXPECT_EQ(sums.value(1, 2), -3);
    EXPECT_FALSE(sums.overflowed(1, 2));
}

TEST(AccumulatorsTest, WrapAtEachAdditionAndRememberIt) {
    Accumulators sums(1, 2, 8, Overflow::wrap);
    const std::array<std::int32_t, 2> up{100, 1}, down{-100, 1};
    sums.add_row(0, 2, up.data(), true, nullptr);
    sums.add_row(0, 2, up.data(), false, nullptr);
    EXPECT_EQ(sums.value(0, 0), 200 - 256);
    EXPECT_EQ(sums.value(0, 1), 2);
    sums.add_row(0, 2, down.data(), false, nullptr);  // back in range: exact again, still marked
    EXPECT_EQ(sums.value(0, 0), 100);
    EXPECT_TRUE(sums.overflowed(0, 0));
    EXPECT_FALSE(sums.overflowed(0, 1));
    sums.add_row(0, 2, up.data(), true, nullptr);
    EXPECT_FALSE(sums.overflowed(0, 0));
}

TEST(AccumulatorsTest, SaturateAtEachAddition) {
    const std::array<std::int64_t, 1> up{100}, down{-100};
    Accumulators full(1, 1, 8, Overflow::full);
    for (int i = 0; i < 2; ++i) full.add_row(0, 1, up.data(), i == 0, nullptr);
    EXPECT_EQ(full.value(0, 0), 127);
    for (int i = 0; i < 3; ++i) full.add_row(0, 1, down.data(), false, nullptr);
    EXPECT_EQ(full.value(0, 0), -128);
    Accumulators symmetric(1, 1, 8, Overflow::saturate);
    const std::array<std::int64_t, 1> edge{-128};
    symmetric.add_row(0, 1, edge.data(), true, nullptr);
    EXPECT_EQ(symmetric.value(0, 0), -127);
    EXPECT_TRUE(symmetric.overflowed(0, 0));
}

TEST(AccumulatorsTest, AgreeWithModuloArithmeticForEveryPairOfEightBitSums) {
    Accumulators sums(1, 1, 8, Overflow::wrap);
    int events = 0;
    for (std::int64_t a = -128; a < 128; ++a)
        for (std::int64_t b = -128; b < 128; ++b) {
            sums.add_row(0, 1, &a, true, nullptr);
            sums.add(0, 0, b);
            const std::int64_t expected = ((a + b + 128 + 256) % 256) - 128;
            ASSERT_EQ(sums.value(0, 0), expected) << a << " + " << b;
            ASSERT_EQ(sums.overflowed(0, 0), expected != a + b) << a << " + " << b;
            events += expected != a + b ? 1 : 0;
        }
    EXPECT_EQ(events, 128 * 128);  // half of the pairs of equal sign
}

TEST(AccumulatorsTest, KeepSumsThatAreSureToFitIn32Bits) {
    Accumulators sums(3, 2, 8, Overflow::wrap);
    const std::array<std::int64_t, 2> bias{6, -7};
    const auto add = [&](std::int32_t sum, bool start) {
        std::int32_t* const narrow =
            sums.narrow_rows(1, 2, 2, 60, start, start ? bias.data() : nullptr);
        if (narrow != nullptr)
            for (const std::int64_t i : {std::int64_t{0}, sums.narrow_distance()}) {
                narrow[i] += sum;
                narrow[i + 1] -= sum;
            }
        return narrow != nullptr;
    };
    EXPECT_TRUE(add(60, true));    // 67 at most
    EXPECT_TRUE(add(-60, false));  // 127 at most: 8 bits hold it
    for (std::int64_t row = 1; row < 3; ++row) {
        EXPECT_EQ(sums.value(row, 0), 6);
        EXPECT_EQ(sums.read_row(row, 2)[1], -7);
    }
    EXPECT_TRUE(add(60, false));  // it is 7: again 67 at most
    EXPECT_TRUE(add(1, false));
    EXPECT_FALSE(add(1, false));  // it is 68: 128 at most
    const std::array<std::int32_t, 2> more{61, 61};
    sums.add_row(2, 2, more.data(), false, nullptr);
    EXPECT_EQ(sums.value(2, 0), 128 - 256);
    EXPECT_TRUE(sums.overflowed(2, 0));
    EXPECT_EQ(sums.value(2, 1), -7);
    EXPECT_EQ(sums.value(1, 0), 67);
    EXPECT_TRUE(add(1, true));  // started again: nothing is known of what was
    EXPECT_EQ(sums.value(2, 0), 7);
    EXPECT_FALSE(sums.overflowed(2, 0));
}

TEST(AccumulatorsTest, DoNotKeepIn32BitsWhatABiasMayPushOut) {
    Accumulators sums(1, 1, 8, Overflow::full);
    const std::array<std::int64_t, 1> bias{-100};
    EXPECT_NE(sums.narrow_rows(0, 1, 1, 27, true, bias.data()), nullptr);
    EXPECT_EQ(sums.narrow_rows(0, 1, 1, 28, true, bias.data()), nullptr);
    Accumulators wide(1, 1, 40, Overflow::wrap);
    *wide.narrow_rows(0, 1, 1, INT32_MAX, true, nullptr) = -INT32_MAX;
    EXPECT_EQ(wide.narrow_rows(0, 1, 1, 1, false, nullptr), nullptr);
    EXPECT_EQ(wide.narrow_rows(0, 1, 1, std::int64_t{1} << 31, true, nullptr), nullptr);
}

TEST(AccumulatorsTest, KeepWideElementsBesideTheColumnsThatAreStarted) {
    Accumulators sums(1, 2, 40, Overflow::wrap);
    const std::array<std::int64_t, 2> large{1, std::int64_t{1} << 35};
    sums.add_row(0, 2, large.data(), true, nullptr);
    EXPECT_EQ(sums.narrow_rows(0, 1, 1, 1, true, nullptr), nullptr);
    EXPECT_NE(sums.narrow_rows(0, 1, 2, 1, true, nullptr), nullptr);
    EXPECT_EQ(sums.value(0, 1), 0);
}

TEST(AccumulatorsTest, AreReadAndAddedToWholeWhileABitIsWatched) {
    Accumulators sums(1, 2, 40, Overflow::wrap);
    *sums.narrow_rows(0, 1, 2, 5, true, nullptr) = 5;
    EXPECT_TRUE(sums.flip(4, 7));
    EXPECT_EQ(sums.value(0, 0), 5 - (std::int64_t{1} << 39));
    EXPECT_EQ(sums.value(0, 1), 0);
    const Actor actor;
    FlipWatch watch(actor, 0);
    sums.watch(&watch);
    EXPECT_EQ(sums.narrow_rows(0, 1, 2, 5, true, nullptr), nullptr);
}

TEST(AccumulatorsTest, RefuseWhatNobodyStarted) {
    Accumulators sums(2, 4, 40, Overflow::wrap);
    const std::array<std::int32_t, 4> tile{};
    sums.add_row(0, 2, tile.data(), true, nullptr);
    EXPECT_NO_THROW(sums.read_row(0, 2));
    EXPECT_THROW(sums.read_row(0, 3), MachineError);
    EXPECT_THROW(sums.value(1, 0), MachineError);
    EXPECT_THROW(sums.add_row(1, 2, tile.data(), false, nullptr), MachineError);
    EXPECT_THROW(sums.add_row(2, 2, tile.data(), true, nullptr), MachineError);
    EXPECT_THROW(sums.narrow_rows(1, 1, 2, 1, false, nullptr), MachineError);
    EXPECT_THROW(sums.narrow_rows(1, 2, 2, 1, true, nullptr), MachineError);
    sums.forget();
    EXPECT_THROW(sums.value(0, 0), MachineError);
    EXPECT_NE(message_of([&] { sums.value(1, 3); }).find("row 1"), std::string::npos);
}

TEST(AccumulatorsTest, FlipOneOfFortyBits) {
    Accumulators sums(2, 2, 40, Overflow::wrap);
    sums.start(1, 2, nullptr);
    const std::int64_t element = 1 * 2 + 1;
    EXPECT_TRUE(sums.flip(element * 5 + 4, 7));  // bit 39: the sign
    EXPECT_EQ(sums.value(1, 1), -(std::int64_t{1} << 39));
    EXPECT_FALSE(sums.flip(0, 0));  // row 0 holds nothing
}

TEST(AccumulatorsTest, HaveNoBitsBeyondTheirWidth) {
    Accumulators sums(1, 1, 32, Overflow::wrap);
    sums.start(0, 1, nullptr);
    EXPECT_TRUE(sums.flip(3, 7));
    EXPECT_EQ(sums.value(0, 0), INT32_MIN);
    EXPECT_FALSE(sums.flip(4, 0));
}

}  // namespace
}  // namespace wagesim::rtl
