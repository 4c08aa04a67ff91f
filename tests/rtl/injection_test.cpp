// A flipped bit: what it changes, and the story told about it.
#include <gtest/gtest.h>

#include "machine_fixture.h"

namespace wagesim::rtl {
namespace {

class InjectionTest : public testing::MachineTest {
protected:
    // LOAD 64 bytes (0..104), then the vector unit reads them at 104, and writes byte 0 at 114,
    // and reads it at 124.
    void run_with(const Injection& injection) {
        options.injection = injection;
        action = [this](Memories& memories, const Command&, std::int64_t index) {
            if (index == 1 || index == 3) seen = *memories.activations.read(0, 64);
            if (index == 2) *memories.activations.write(0, 1) = 1;
        };
        fake();
        host_fills(0, 64);
        const Token loaded = token("loaded", StallCause::dram);
        add_transfer(Unit::dma_read, Space::activations, 0, 0, 64, {}, {loaded});
        add(Unit::vector, 10, 0, {loaded});
        add(Unit::vector, 10, 0);
        add(Unit::vector, 10, 0);
        ASSERT_EQ(run_fake().cycles, 134);
    }
    std::string story() const { return machine_->fate()->story; }
    int seen = -1;
};

TEST_F(InjectionTest, BeforeTheLoadTheByteHoldsNoData) {
    run_with({Space::activations, 0, 0, 50});
    EXPECT_FALSE(machine_->fate()->hit);
    EXPECT_EQ(story(), "byte 0 of activations held no data in cycle 50");
}

TEST_F(InjectionTest, InDramBeforeTheLoadItIsReadByIt) {
    run_with({Space::dram, 1, 3, 0});
    EXPECT_TRUE(machine_->fate()->hit);
    EXPECT_EQ(story(), "byte 1 of dram was first read by command 0 LOAD in cycle 0");
}

TEST_F(InjectionTest, InTheBufferItIsReadFirstByTheNextCommand) {
    run_with({Space::activations, 5, 3, 110});
    EXPECT_TRUE(machine_->fate()->hit);
    EXPECT_EQ(story(), "byte 5 of activations was first read by command 3 CLEAR in cycle 124");
}

TEST_F(InjectionTest, OverwrittenBeforeAnyoneReadIt) {
    run_with({Space::activations, 0, 3, 110});
    EXPECT_TRUE(machine_->fate()->hit);
    EXPECT_EQ(story(),
              "byte 0 of activations was overwritten by command 2 CLEAR in cycle 114 before anyone "
              "read it");
    EXPECT_EQ(seen, 1);
}

TEST_F(InjectionTest, TheBitIsInvertedBeforeTheCyclesCommandsStart) {
    run_with({Space::activations, 0, 6, 124});
    EXPECT_EQ(seen, 1 ^ 64);
    EXPECT_EQ(story(), "byte 0 of activations was first read by command 3 CLEAR in cycle 124");
}

TEST_F(InjectionTest, NeverReadAgain) {
    run_with({Space::activations, 0, 3, 130});
    EXPECT_TRUE(machine_->fate()->hit);
    EXPECT_EQ(story(), "byte 0 of activations was never read again");
}

TEST_F(InjectionTest, ACycleAfterTheEndIsNotReachedAndCostsNoTime) {
    run_with({Space::activations, 0, 3, 1000000});
    EXPECT_FALSE(machine_->fate()->hit);
    EXPECT_EQ(story(), "cycle 1000000 was not reached: the program ended at cycle 134");
}

TEST_F(InjectionTest, TheHostMayBeTheFirstReader) {
    run_with({Space::dram, 63, 3, 100});
    EXPECT_EQ(story(), "byte 63 of dram was never read again");
    std::uint8_t byte = 0;
    machine_->read_dram(63, &byte, 1);
    EXPECT_EQ(byte, pattern(63) ^ 8);
    EXPECT_EQ(story(), "byte 63 of dram was first read by the host in cycle 134");
}

TEST_F(InjectionTest, ALaterRunReachesItAndNamesItsOwnCommand) {
    run_with({Space::dram, 2, 0, 200});
    EXPECT_FALSE(machine_->fate()->hit);
    program = Program{};
    add(Unit::vector, 100, 0);  // 134..234
    add_transfer(Unit::dma_read, Space::weights, 0, 0, 64);
    add_transfer(Unit::dma_read, Space::weights, 0, 64, 64);
    action = nullptr;
    run_fake();
    EXPECT_EQ(story(), "byte 2 of dram was first read by command 2 LOAD in cycle 240");
}

TEST_F(InjectionTest, AFenceMakesItForgotten) {
    options.injection = Injection{Space::parameters, 3, 0, 5};
    action = [](Memories& memories, const Command&, std::int64_t) {
        memories.parameters.write(0, 8);
    };
    add(Unit::vector, 10, 0);
    add_fence();
    run_fake();
    EXPECT_EQ(story(), "byte 3 of parameters was forgotten at a FENCE before anyone read it");
}

TEST_F(InjectionTest, AnAccumulatorsBitIsFollowedByItsElement) {
    // Element (1, 2) of 16 columns, byte 1, bit 2: place 10.
    options.injection = Injection{Space::accumulators, (1 * 16 + 2) * 5 + 1, 2, 5};
    std::int64_t value = 0;
    action = [&value](Memories& memories, const Command&, std::int64_t index) {
        if (index == 0) memories.accumulators.start(1, 16, nullptr);
        if (index == 1) memories.accumulators.value(1, 3);
        if (index == 2) value = memories.accumulators.value(1, 2);
        if (index == 3) memories.accumulators.read_row(1, 16);
    };
    for (int i = 0; i < 4; ++i) add(Unit::drain, 10, 0);
    run_fake();
    EXPECT_EQ(value, 1024);
    EXPECT_EQ(story(),
              "byte 91 of accumulators was first read by command 2 CLEAR in cycle 20, then by 1 "
              "more");
}

TEST_F(InjectionTest, WithoutAnInjectionThereIsNoFate) {
    run_fake();
    EXPECT_FALSE(machine_->fate().has_value());
}

}  // namespace
}  // namespace wagesim::rtl
