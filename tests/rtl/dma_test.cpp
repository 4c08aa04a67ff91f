// LOAD and STORE: the bytes, the cycles, and when the bytes are there.
#include <gtest/gtest.h>

#include "machine_fixture.h"

namespace wagesim::rtl {
namespace {

class DmaTest : public testing::MachineTest {};

TEST_F(DmaTest, ALoadAndAStoreMoveTheirBytesInTheirCycles) {
    fake();
    host_fills(0, 1024);
    const Token loaded = token("loaded", StallCause::dram);
    add_transfer(Unit::dma_read, Space::weights, 0, 100, 1024, {}, {loaded});
    add_transfer(Unit::dma_write, Space::weights, 4096, 100, 1024, {loaded});
    const Machine::Totals totals = run_fake();
    EXPECT_EQ(times(0), (Times{0, 0, 164}));    // 16 bursts: 100 + 16 * 4
    EXPECT_EQ(times(1), (Times{2, 164, 228}));  // 16 * 4, posted
    EXPECT_EQ(totals.cycles, 228);
    EXPECT_EQ(totals.dram_read_bytes, 1024);
    EXPECT_EQ(totals.dram_write_bytes, 1024);
    EXPECT_EQ(totals.dram_read_bursts, 16);
    EXPECT_EQ(totals.dram_write_bursts, 16);
    EXPECT_EQ(totals.bytes_written[static_cast<std::size_t>(Space::weights)], 1024);
    EXPECT_EQ(totals.busy[static_cast<std::size_t>(Unit::dma_read)], 164);
    EXPECT_EQ(recorder.by_command[0].busy, 164);
    const std::array<std::int64_t, space_count> dram{1024, 0}, weights{0, 1024};
    EXPECT_EQ(recorder.by_command[0].bytes_read, dram);
    EXPECT_EQ(recorder.by_command[0].bytes_written, weights);
    EXPECT_EQ(recorder.by_command[1].bytes_read, weights);
    EXPECT_EQ(recorder.by_command[1].bytes_written, dram);
    std::vector<std::uint8_t> out(1024);
    machine_->read_dram(4096, out.data(), 1024);
    for (std::int64_t i = 0; i < 1024; ++i)
        ASSERT_EQ(out[static_cast<std::size_t>(i)], pattern(i)) << i;
}

TEST_F(DmaTest, ATransposingLoadPutsEachRunInItsPlace) {
    fake();
    host_fills(0, 64);
    // 4 rows of 4 bytes, 16 apart in Dram; in the buffer packed, last row first.
    Command& load = add_transfer(Unit::dma_read, Space::activations, 0, 12, 4);
    auto& transfer = std::get<Transfer>(load.operands);
    transfer.counts = {1, 1, 4};
    transfer.dram_strides = {0, 0, 16};
    transfer.buffer_strides = {0, 0, -4};
    bool looked = false;
    action = [&](Memories& memories, const Command&, std::int64_t) {
        const std::uint8_t* bytes = memories.activations.read(0, 16);
        for (int row = 0; row < 4; ++row)
            for (int i = 0; i < 4; ++i) EXPECT_EQ(bytes[4 * row + i], pattern(16 * (3 - row) + i));
        looked = true;
    };
    const Token loaded = token("loaded", StallCause::dram);
    load.gives = {loaded};
    add(Unit::vector, 1, 0, {loaded});
    run_fake();
    EXPECT_TRUE(looked);
    EXPECT_EQ(times(0)[2], 116);  // four runs in one block are four bursts: 100 + 4 * 4
}

TEST_F(DmaTest, LoadedBytesAreThereWhenTheLoadIsDoneAndNotBefore) {
    fake();
    host_fills(0, 64);
    int held = 0, missing = 0;
    action = [&](Memories& memories, const Command&, std::int64_t) {
        (memories.parameters.holds(0, 64) ? held : missing)++;
    };
    const Token loaded = token("loaded", StallCause::dram);
    add_transfer(Unit::dma_read, Space::parameters, 0, 0, 64, {}, {loaded});
    add(Unit::array, 100, 0);
    add(Unit::array, 1, 0);  // starts at 102: the LOAD ends at 104
    add(Unit::vector, 1, 0, {loaded});
    run_fake();
    EXPECT_EQ(missing, 2);
    EXPECT_EQ(held, 1);
}

TEST_F(DmaTest, ALoadOfBytesNobodyWroteNamesTheAddress) {
    fake();
    host_fills(0, 100);
    add_transfer(Unit::dma_read, Space::weights, 64, 0, 64);
    const std::string error = error_of_run();
    EXPECT_NE(error.find("dram: read of byte 100 "), std::string::npos) << error;
}

TEST_F(DmaTest, AStoreOfBytesNobodyWroteNamesTheBufferAndTheAddress) {
    add_transfer(Unit::dma_write, Space::weights, 0, 300, 4);
    const std::string error = error_of_run();
    EXPECT_NE(error.find("weights: read of byte 300 "), std::string::npos) << error;
}

TEST_F(DmaTest, ALoadBeyondItsBufferIsRefused) {
    fake();
    host_fills(0, 64);
    add_transfer(Unit::dma_read, Space::parameters, 0, 16 * 1024 - 32, 64);
    EXPECT_NE(error_of_run().find("parameters: 64 bytes at address 16352"), std::string::npos);
}

TEST_F(DmaTest, ADmaDoesNotReachTheAccumulators) {
    fake();
    host_fills(0, 64);
    add_transfer(Unit::dma_read, Space::accumulators, 0, 0, 64);
    EXPECT_NE(error_of_run().find("accumulators"), std::string::npos);
}

TEST_F(DmaTest, TheHostCannotReadWhatNobodyWrote) {
    fake();
    std::uint8_t byte = 0;
    EXPECT_THROW(machine_->read_dram(5, &byte, 1), MachineError);
    EXPECT_THROW(machine_->write_dram(config.dram_bytes, &byte, 1), MachineError);
}

TEST_F(DmaTest, ContendingDmasShareTheBus) {
    fake();
    host_fills(0, 4096);
    // Fills the weights first, so that there is something to store; then both at once.
    const Token filled = token("filled", StallCause::dram);
    add_transfer(Unit::dma_read, Space::weights, 0, 0, 640, {}, {filled});
    add_transfer(Unit::dma_read, Space::weights, 1024, 1024, 1280);
    add_transfer(Unit::dma_write, Space::weights, 8192, 0, 640, {filled});
    const Machine::Totals totals = run_fake();
    // First LOAD: 10 bursts, 0..140. Second: 20 bursts, there from 240 on; STORE: 10 bursts,
    // 140..180, while the reads are under way. They do not meet.
    EXPECT_EQ(times(1), (Times{2, 140, 320}));
    EXPECT_EQ(times(2), (Times{4, 140, 180}));
    EXPECT_EQ(totals.cycles, 320);
}

TEST_F(DmaTest, ContendingDmasTakeTurns) {
    config.dram_latency_cycles = 0;
    fake();
    host_fills(0, 4096);
    const Token filled = token("filled", StallCause::dram);
    add_transfer(Unit::dma_read, Space::weights, 0, 0, 640, {}, {filled});
    add_transfer(Unit::dma_read, Space::weights, 1024, 1024, 1280);
    add_transfer(Unit::dma_write, Space::weights, 8192, 0, 640, {filled});
    run_fake();
    // 0..40; then from 40 on the write (the read was last) and the read in turns: the write's 10
    // bursts are at 40 + 8 i, the last ends at 116; the read's 20 bursts end at 40 + 30 * 4.
    EXPECT_EQ(times(2), (Times{4, 40, 116}));
    EXPECT_EQ(times(1), (Times{2, 40, 160}));
}

}  // namespace
}  // namespace wagesim::rtl
