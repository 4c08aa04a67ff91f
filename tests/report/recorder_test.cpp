// Counters per pass and unit, from hand-made retired commands.
#include "report/recorder.h"

#include <gtest/gtest.h>

#include <vector>

namespace wagesim::report {
namespace {

class Nobody : public Probe {
public:
    void on_tap(const Tap&) override {}
    void on_retired(const Retired&) override {}
};

class RecorderTest : public ::testing::Test {
protected:
    /// A command of `unit`, of which nothing but the unit is looked at.
    void add(Unit unit) {
        Command command;
        command.unit = unit;
        command.operands = Clear{};
        program.commands.push_back(command);
    }
    void add_fence() {
        program.commands.emplace_back();
        program.commands.back().operands = Fence{};
    }
    static Retired retired(std::int64_t command, std::int64_t issued, std::int64_t started,
                           std::int64_t busy, std::int64_t latency) {
        Retired done;
        done.command = command;
        done.issued = issued;
        done.started = started;
        done.busy = busy;
        done.finished = started + busy + latency;
        return done;
    }
    static std::int64_t& stall(Retired& done, StallCause cause) {
        return done.stalls[static_cast<std::size_t>(cause)];
    }
    static std::int64_t stall(const PassStats& pass, Unit unit, StallCause cause) {
        return pass.of(unit).stalls[static_cast<std::size_t>(cause)];
    }

    /// One batch of one pass: `macs` in the array by the given cycle, `read` and `written` bytes of
    /// Dram.
    PassStats whole_pass(std::int64_t cycles, std::int64_t macs, std::int64_t read,
                         std::int64_t written) {
        add(Unit::array);
        add(Unit::dma_read);
        add(Unit::dma_write);
        add_fence();
        recorder.begin_batch(program);
        Retired gemm = retired(0, 0, 0, 10, 5);
        gemm.macs = macs;
        gemm.padding_slots = 6;
        Retired load = retired(1, 0, 0, 10, 0), store = retired(2, 0, 0, 10, 0);
        load.bytes_read[static_cast<std::size_t>(Space::dram)] = read;
        load.bytes_written[static_cast<std::size_t>(Space::weights)] = read;
        store.bytes_read[static_cast<std::size_t>(Space::activations)] = written;
        store.bytes_written[static_cast<std::size_t>(Space::dram)] = written;
        for (const Retired& done : {gemm, load, store, retired(3, cycles, cycles, 0, 0)})
            recorder.on_retired(done);
        recorder.end_batch();
        return recorder.passes().front();
    }

    /// 32 MACs and 2 Dram bytes a cycle.
    static MachineConfig small() {
        MachineConfig machine;
        machine.array_rows = 4;
        machine.array_columns = 8;
        machine.dram_bytes_per_cycle = 2;
        return machine;
    }

    const MachineConfig machine = small();
    const Network network;
    Nobody nobody;
    Program program;
    Recorder recorder{network, machine, nobody};
};

TEST_F(RecorderTest, EveryCycleOfAUnitIsBusyWaitingOrIdle) {
    for (const Unit unit : {Unit::array, Unit::array, Unit::vector}) add(unit);
    add_fence();
    recorder.begin_batch(program);
    Retired first = retired(0, 2, 10, 20, 31);
    stall(first, StallCause::control) = 2;
    stall(first, StallCause::weights) = 8;
    Retired second = retired(1, 4, 35, 20, 31);
    stall(second, StallCause::accumulator) = 5;
    Retired third = retired(2, 40, 40, 7, 4);
    stall(third, StallCause::control) = 40;
    for (const Retired& done : {third, first, second, retired(3, 90, 90, 0, 0)})
        recorder.on_retired(done);
    recorder.end_batch();

    ASSERT_EQ(recorder.passes().size(), 1U);
    const PassStats& pass = recorder.passes().front();
    EXPECT_EQ(pass.cycles, 90);
    EXPECT_EQ(pass.of(Unit::array).busy, 40);  // without the wavefronts
    EXPECT_EQ(pass.of(Unit::array).stalled(), 15);
    EXPECT_EQ(pass.idle(Unit::array), 90 - 55);  // from cycle 55 on
    EXPECT_EQ(pass.of(Unit::vector).busy, 7);
    EXPECT_EQ(stall(pass, Unit::vector, StallCause::control), 40);
    EXPECT_EQ(pass.idle(Unit::vector), 90 - 47);
    EXPECT_EQ(pass.idle(Unit::drain), 90);
}

TEST_F(RecorderTest, AWaitSinceThePassBeforeCountsFromTheFenceOn) {
    add(Unit::array);
    add_fence();
    add(Unit::array);
    add_fence();
    for (std::int64_t begin : {0, 200}) {  // two batches, each of two passes
        recorder.begin_batch(program);
        recorder.on_retired(retired(0, begin, begin, 60, 31));
        recorder.on_retired(retired(1, begin + 100, begin + 100, 0, 0));
        Retired second = retired(2, begin + 110, begin + 115, 20, 31);
        stall(second, StallCause::control) = 50;  // since 60
        stall(second, StallCause::weights) = 5;
        recorder.on_retired(second);
        recorder.on_retired(retired(3, begin + 200, begin + 200, 0, 0));
        recorder.end_batch();
    }
    ASSERT_EQ(recorder.passes().size(), 2U);
    const PassStats &first = recorder.passes()[0], &second = recorder.passes()[1];
    EXPECT_EQ(first.cycles, 200);
    EXPECT_EQ(first.idle(Unit::array), 2 * 40);
    EXPECT_EQ(second.cycles, 200);
    EXPECT_EQ(stall(second, Unit::array, StallCause::control), 2 * 10);
    EXPECT_EQ(stall(second, Unit::array, StallCause::weights), 2 * 5);
    EXPECT_EQ(second.idle(Unit::array), 2 * 65);
    EXPECT_EQ(recorder.total().cycles, 400);
    EXPECT_EQ(recorder.total().idle(Unit::array), 2 * 105);
}

TEST_F(RecorderTest, BytesAddUpByMemoryAndWay) {
    const PassStats pass = whole_pass(100, 1000, 80, 20);
    EXPECT_EQ(pass.bytes_read(Space::dram), 80);
    EXPECT_EQ(pass.bytes_written(Space::dram), 20);
    EXPECT_EQ(pass.bytes_written(Space::weights), 80);
    EXPECT_EQ(pass.bytes_read(Space::activations), 20);
    EXPECT_EQ(pass.bytes_read(Space::weights), 0);
    EXPECT_EQ(pass.macs, 1000);
    EXPECT_EQ(pass.pe_slots, 1006);
}

TEST_F(RecorderTest, RooflineIsFlatWhereTheDramFeedsEveryPe) {
    const auto roofline = recorder.roofline(whole_pass(100, 1280, 50, 14));
    ASSERT_TRUE(roofline);
    EXPECT_DOUBLE_EQ(roofline->macs_per_byte, 20);
    EXPECT_DOUBLE_EQ(roofline->attainable, 32);  // not 20 * 2
    EXPECT_DOUBLE_EQ(roofline->share, 12.8 / 32);
    EXPECT_FALSE(roofline->memory_bound);
}

TEST_F(RecorderTest, RooflineFallsWhereTheDramDoesNot) {
    const auto roofline = recorder.roofline(whole_pass(100, 1280, 100, 28));
    ASSERT_TRUE(roofline);
    EXPECT_DOUBLE_EQ(roofline->macs_per_byte, 10);
    EXPECT_DOUBLE_EQ(roofline->attainable, 20);  // 10 * 2
    EXPECT_DOUBLE_EQ(roofline->share, 12.8 / 20);
    EXPECT_TRUE(roofline->memory_bound);
}

TEST_F(RecorderTest, RooflinesRidgeIsBoundByCompute) {
    const auto roofline = recorder.roofline(whole_pass(100, 1280, 80, 0));
    ASSERT_TRUE(roofline);
    EXPECT_DOUBLE_EQ(roofline->attainable, 32);  // 16 * 2 just as well
    EXPECT_FALSE(roofline->memory_bound);
}

TEST_F(RecorderTest, RooflineIsNothingWithoutMacs) {
    EXPECT_FALSE(recorder.roofline(whole_pass(100, 0, 80, 20)));
}

}  // namespace
}  // namespace wagesim::report
