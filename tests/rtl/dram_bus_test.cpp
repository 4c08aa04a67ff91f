// When bursts cross the Dram's bus: tables worked out by hand from docs/cycles.md, Dram.
#include "dma/dram_bus.h"

#include <gtest/gtest.h>

#include <ostream>
#include <tuple>
#include <vector>

#include "dma/transfer.h"

namespace wagesim::rtl {
namespace {

struct Case {
    const char* what;
    int burst_bytes, bytes_per_cycle, outstanding, latency;
    DramSide side;
    std::int64_t bursts, busy;
};
void PrintTo(const Case& c, std::ostream* out) { *out << c.what; }

MachineConfig config_of(const Case& c) {
    MachineConfig config;
    config.dram_burst_bytes = c.burst_bytes;
    config.dram_bytes_per_cycle = c.bytes_per_cycle;
    config.dram_outstanding = c.outstanding;
    config.dram_latency_cycles = c.latency;
    return config;
}

class DramBusTable : public ::testing::TestWithParam<Case> {};

TEST_P(DramBusTable, IsBusyAsLongAsTheFormulaSays) {
    const Case& c = GetParam();
    for (const std::int64_t start : {std::int64_t{0}, std::int64_t{1000}}) {
        DramBus bus(config_of(c), 0);
        bus.begin(c.side, start, c.bursts);
        EXPECT_EQ(bus.finish(c.side) - start, c.busy) << "start " << start;
    }
}

INSTANTIATE_TEST_SUITE_P(
    ByHand, DramBusTable,
    ::testing::Values(
        // b = 64 / 16 = 4. One read: requested at 0, on the bus 100..104.
        Case{"one_read", 64, 16, 64, 100, DramSide::read, 1, 104},
        // Then one every 4 cycles: 104 + 15 * 4.
        Case{"sixteen_reads", 64, 16, 64, 100, DramSide::read, 16, 164},
        // Burst 64 waits for done(0) = 104, is there at 204, long before the bus: 100 + 128 * 4.
        Case{"more_reads_than_outstanding", 64, 16, 64, 100, DramSide::read, 128, 612},
        // One in flight: every burst pays 100 + 4.
        Case{"one_outstanding", 64, 16, 1, 100, DramSide::read, 3, 312},
        // Two: t = 100, 104; q(2) = 104, t(2) = 204; q(3) = 108, t(3) = 208, done 212.
        Case{"two_outstanding", 64, 16, 2, 100, DramSide::read, 4, 212},
        // b = 64: t(0) = 100, t(1) = 164, done 228.
        Case{"one_byte_a_cycle", 64, 1, 64, 100, DramSide::read, 2, 228},
        // b = ceil(64 / 24) = 3: 100 + 2 * 3.
        Case{"uneven_bandwidth", 64, 24, 64, 100, DramSide::read, 2, 106},
        // b = 1: a request a cycle is a burst a cycle.
        Case{"wide_bus", 64, 128, 64, 100, DramSide::read, 5, 105},
        // b = 1, two in flight: t = 100, 101; q(2) = 101: 201; q(3) = 102: 202, done 203.
        Case{"wide_bus_two_outstanding", 64, 128, 2, 100, DramSide::read, 4, 203},
        Case{"no_latency", 64, 16, 64, 0, DramSide::read, 3, 12},
        Case{"short_bursts", 32, 16, 64, 10, DramSide::read, 3, 16},
        Case{"no_bursts", 64, 16, 64, 100, DramSide::read, 0, 0},
        Case{"one_write", 64, 16, 64, 100, DramSide::write, 1, 4},
        Case{"ten_writes", 64, 16, 64, 100, DramSide::write, 10, 40},
        Case{"slow_writes", 64, 1, 64, 100, DramSide::write, 3, 192},
        Case{"wide_writes", 64, 64, 64, 100, DramSide::write, 7, 7}));

TEST(DramBusTest, StartsEachCommandAnew) {
    DramBus bus(MachineConfig{}, 0);
    bus.begin(DramSide::read, 0, 3);
    ASSERT_EQ(bus.finish(DramSide::read), 112);
    bus.begin(DramSide::read, 112, 1);
    EXPECT_EQ(bus.finish(DramSide::read), 112 + 104);
    EXPECT_EQ(bus.finish(DramSide::write), 0);
}

TEST(DramBusTest, TakesTurnsWhenBothWantTheBus) {
    // Reads are there from cycle 100 on, writes begin at 100. Read first (nobody was last), then
    // alternating: reads at 100 + 8 i, writes at 104 + 8 i, i = 0..9.
    DramBus bus(MachineConfig{}, 0);
    std::vector<std::tuple<bool, std::int64_t>> grants;
    bus.show_grants([&](DramSide side, std::int64_t first, std::int64_t end) {
        grants.emplace_back(side == DramSide::read, first);
        EXPECT_EQ(end, first + 4);
    });
    bus.begin(DramSide::read, 0, 10);
    EXPECT_EQ(bus.finish(DramSide::read), 140);
    bus.begin(DramSide::write, 100, 10);
    EXPECT_EQ(bus.finish(DramSide::read), 176);
    EXPECT_EQ(bus.finish(DramSide::write), 180);
    bus.settle(200);
    ASSERT_EQ(grants.size(), 20U);
    for (int i = 0; i < 20; ++i)
        EXPECT_EQ(grants[static_cast<std::size_t>(i)], std::make_tuple(i % 2 == 0, 100 + 4 * i));
}

TEST(DramBusTest, WritesFillTheReadsLatency) {
    // 25 writes from 0 on end at 100, when the first read burst arrives.
    DramBus bus(MachineConfig{}, 0);
    bus.begin(DramSide::read, 0, 10);
    bus.begin(DramSide::write, 0, 25);
    EXPECT_EQ(bus.finish(DramSide::write), 100);
    EXPECT_EQ(bus.finish(DramSide::read), 140);
}

TEST(DramBusTest, DoesNotInterruptABurst) {
    // The write comes in cycle 101: the read burst 100..104 stays, then it is the write's turn.
    DramBus bus(MachineConfig{}, 0);
    bus.begin(DramSide::read, 0, 2);
    bus.begin(DramSide::write, 101, 1);
    EXPECT_EQ(bus.finish(DramSide::write), 108);
    EXPECT_EQ(bus.finish(DramSide::read), 112);
}

TEST(DramBusTest, ContentionLiesBetweenOverlapAndSum) {
    // The second command moves over the first.
    int slower = 0;
    for (std::int64_t offset = 0; offset < 300; offset += 7) {
        DramBus alone(MachineConfig{}, 0), both(MachineConfig{}, 0);
        alone.begin(DramSide::read, 0, 40);
        const std::int64_t read_alone = alone.finish(DramSide::read);
        const std::int64_t write_alone = 30 * 4;
        both.begin(DramSide::read, 0, 40);
        both.begin(DramSide::write, offset, 30);
        const std::int64_t end =
            std::max(both.finish(DramSide::read), both.finish(DramSide::write));
        EXPECT_GE(end, std::max(read_alone, offset + write_alone));
        EXPECT_LE(end, std::max(read_alone, offset) + write_alone);
        slower += both.finish(DramSide::read) > read_alone ? 1 : 0;
    }
    EXPECT_GT(slower, 5);
}

TEST(DramBusTest, RandomStallsOnlyDelayAndRepeat) {
    std::int64_t longer = 0;
    for (std::uint32_t seed = 1; seed <= 20; ++seed) {
        DramBus first(MachineConfig{}, seed), second(MachineConfig{}, seed);
        first.begin(DramSide::write, 0, 50);
        second.begin(DramSide::write, 0, 50);
        EXPECT_EQ(first.finish(DramSide::write), second.finish(DramSide::write));
        EXPECT_GE(first.finish(DramSide::write), 200);
        longer += first.finish(DramSide::write) > 200 ? 1 : 0;
    }
    EXPECT_GT(longer, 0);
}

TEST(TransferTest, CostsTheAlignedBlocksEachRunTouches) {
    Transfer transfer;
    transfer.run_bytes = 2;
    transfer.dram_address = 63;  // bytes 63 and 64: two blocks
    EXPECT_EQ(burst_count(transfer, 64), 2);
    transfer.run_bytes = 64;
    transfer.dram_address = 128;
    EXPECT_EQ(burst_count(transfer, 64), 1);
    EXPECT_EQ(burst_count(transfer, 32), 2);
    transfer.run_bytes = 16;  // four runs in one block are not merged
    transfer.counts = {1, 2, 2};
    transfer.dram_strides = {0, 32, 16};
    EXPECT_EQ(burst_count(transfer, 64), 4);
    transfer.run_bytes = 0;
    EXPECT_EQ(burst_count(transfer, 64), 0);
}

TEST(TransferTest, WalksThreeLoopsTheLastInnermost) {
    Transfer transfer;
    transfer.dram_address = 1000;
    transfer.buffer_address = 10;
    transfer.run_bytes = 1;
    transfer.counts = {2, 2, 2};
    transfer.dram_strides = {100, 10, 1};
    transfer.buffer_strides = {4, 2, 1};
    std::vector<rtl::Run> runs;
    for_each_run(transfer, [&](const rtl::Run& run) { runs.push_back(run); });
    ASSERT_EQ(runs.size(), 8U);
    const std::vector<std::int64_t> dram{1000, 1001, 1010, 1011, 1100, 1101, 1110, 1111};
    for (std::size_t i = 0; i < 8; ++i) {
        EXPECT_EQ(runs[i].dram_address, dram[i]);
        EXPECT_EQ(runs[i].buffer_address, 10 + static_cast<std::int64_t>(i));
    }
}

TEST(TransferTest, RefusesTwoRunsThatWriteOneByte) {
    Transfer transfer;
    transfer.run_bytes = 16;
    transfer.counts = {1, 1, 3};
    transfer.dram_strides = {0, 0, 8};
    transfer.buffer_strides = {0, 0, 16};
    EXPECT_NO_THROW(require_separate_runs(transfer, false));  // a LOAD may read a byte twice
    EXPECT_THROW(require_separate_runs(transfer, true), MachineError);
    transfer.dram_strides = {0, 0, -16};
    transfer.buffer_strides = {0, 0, 15};
    EXPECT_NO_THROW(require_separate_runs(transfer, true));
    EXPECT_THROW(require_separate_runs(transfer, false), MachineError);
}

}  // namespace
}  // namespace wagesim::rtl
