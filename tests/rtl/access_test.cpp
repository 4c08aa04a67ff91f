// Which bytes a command touches: worked out by hand from the operands' definition.
#include "control/access.h"

#include <gtest/gtest.h>

namespace wagesim::rtl {
namespace {

void expect_access(const Access& access, Space space, bool is_write, std::int64_t first,
                   std::int64_t end, std::int64_t bytes) {
    EXPECT_EQ(access.space, space);
    EXPECT_EQ(access.is_write, is_write);
    EXPECT_EQ(access.first, first);
    EXPECT_EQ(access.end, end);
    EXPECT_EQ(access.bytes, bytes);
}

std::vector<Access> accesses_of(const Command& command, const MachineConfig& config) {
    std::vector<Access> accesses(3);  // what was there goes
    find_accesses(command, config, accesses);
    return accesses;
}

TEST(AccessTest, AGemmsInputEndsAtTheImagesEdge) {
    // 3x3, padding 1, over output rows 2..3 of a 4x5 image of 8 channels: input rows 1..3 (row 4
    // is padding). The tile in the buffer begins with image row 1 at address 1000.
    Command command;
    command.unit = Unit::array;
    command.box.h0 = 2;
    command.box.h = 2;
    command.box.w = 5;
    Gemm gemm;
    gemm.address = 1000;
    gemm.h0 = 1;
    gemm.stride_w = 8;
    gemm.stride_h = 40;
    gemm.image_h = 4;
    gemm.image_w = 5;
    gemm.kernel_h = gemm.kernel_w = 3;
    gemm.padding_h = gemm.padding_w = 1;
    gemm.channels = 8;
    gemm.k0 = 16;
    gemm.k = 16;
    gemm.columns = 10;
    gemm.accumulator_row = 100;
    gemm.bias_address = 64;
    command.box.c = 10;
    command.operands = gemm;
    const MachineConfig config;
    const auto accesses = accesses_of(command, config);
    ASSERT_EQ(accesses.size(), 3U);
    expect_access(accesses[0], Space::activations, false, 1000, 1120, 10 * 16);
    expect_access(accesses[1], Space::accumulators, true, 100 * 80, 110 * 80, 10 * 10 * 5);
    expect_access(accesses[2], Space::parameters, false, 64, 104, 40);
    const PeSlots slots = slots_of(command, config);
    EXPECT_EQ(slots.macs, 10 * 16 * 10);
    EXPECT_EQ(slots.padding, 10 * 256 - 1600);

    gemm.accumulate = true;  // the old sums are read, and no bias
    command.operands = gemm;
    const auto accumulating = accesses_of(command, config);
    ASSERT_EQ(accumulating.size(), 3U);
    expect_access(accumulating[1], Space::accumulators, false, 8000, 8800, 500);
    expect_access(accumulating[2], Space::accumulators, true, 8000, 8800, 500);
}

TEST(AccessTest, AnOutputStationaryGemmReadsItsWeightsForEveryFold) {
    // 35 pixels: folds of 16, 16 and 3, each 20 steps over 16 x 16 PEs.
    Command command;
    command.unit = Unit::array;
    command.box.w = 35;
    command.box.c = 10;
    Gemm gemm;
    gemm.stride_w = gemm.channels = gemm.k = 20;
    gemm.image_h = 1;
    gemm.image_w = 35;
    gemm.columns = 10;
    gemm.weights.address = 300;
    gemm.weights.column_stride = 50;
    command.operands = gemm;
    MachineConfig config;
    config.dataflow = Dataflow::os;
    const auto accesses = accesses_of(command, config);
    ASSERT_EQ(accesses.size(), 3U);
    expect_access(accesses[0], Space::activations, false, 0, 700, 35 * 20);
    expect_access(accesses[1], Space::weights, false, 300, 300 + 9 * 50 + 20, 3 * 20 * 10);
    expect_access(accesses[2], Space::accumulators, true, 0, 35 * 80, 35 * 10 * 5);
    const PeSlots slots = slots_of(command, config);
    EXPECT_EQ(slots.macs, 35 * 20 * 10);
    EXPECT_EQ(slots.padding, 3 * 20 * 256 - 7000);
}

TEST(AccessTest, ADrainMovesSumsAndStatistics) {
    Command command;
    command.unit = Unit::drain;
    command.box.w = 3;
    command.box.c = 20;
    Drain drain;
    drain.source.space = Space::accumulators;
    drain.source.address = 2;
    drain.source.channels_per_row = 16;  // two rows a pixel
    drain.destination.address = 4000;
    drain.destination.bytes = 4;
    drain.destination.stride_w = 100;
    drain.statistics_address = 32;
    command.operands = drain;
    const auto accesses = accesses_of(command, MachineConfig{});
    ASSERT_EQ(accesses.size(), 4U);
    expect_access(accesses[0], Space::accumulators, false, 160, 160 + 6 * 80, 300);
    expect_access(accesses[1], Space::activations, true, 4000, 4280, 240);
    expect_access(accesses[2], Space::parameters, false, 32, 352, 320);
    expect_access(accesses[3], Space::parameters, true, 32, 352, 320);
}

TEST(AccessTest, APoolReadsEveryWindow) {
    // 2x2, stride 2, from image rows 0..3 and columns 0..3, 4 channels.
    Command command;
    command.unit = Unit::vector;
    command.box.h = command.box.w = 2;
    command.box.c = 4;
    Pool pool;
    pool.source.address = 500;
    pool.source.stride_w = 4;
    pool.source.stride_h = 16;
    pool.destination.address = 9000;
    pool.destination.stride_w = 4;
    pool.destination.stride_h = 8;
    pool.kernel_h = pool.kernel_w = pool.stride_y = pool.stride_x = 2;
    pool.image_h = pool.image_w = 4;
    command.operands = pool;
    const auto accesses = accesses_of(command, MachineConfig{});
    ASSERT_EQ(accesses.size(), 2U);
    expect_access(accesses[0], Space::activations, false, 500, 564, 64);
    expect_access(accesses[1], Space::activations, true, 9000, 9016, 16);
}

TEST(AccessTest, ATransferSpansItsRunsOnBothSides) {
    Command command;
    command.unit = Unit::dma_write;
    Transfer transfer;
    transfer.buffer = Space::weights;
    transfer.dram_address = 100;
    transfer.buffer_address = 50;
    transfer.run_bytes = 4;
    transfer.counts = {1, 2, 3};
    transfer.dram_strides = {0, 1000, 10};
    transfer.buffer_strides = {0, 12, -4};
    command.operands = transfer;
    const auto accesses = accesses_of(command, MachineConfig{});
    ASSERT_EQ(accesses.size(), 2U);
    expect_access(accesses[0], Space::dram, true, 100, 1124, 24);
    expect_access(accesses[1], Space::weights, false, 42, 66, 24);
}

TEST(AccessTest, WloadReadsItsColumns) {
    Command command;
    command.unit = Unit::weight_loader;
    command.operands = WeightLoad{{64, 1, 100}, 9, 3};
    const auto accesses = accesses_of(command, MachineConfig{});
    ASSERT_EQ(accesses.size(), 1U);
    expect_access(accesses[0], Space::weights, false, 64, 64 + 209, 27);
}

}  // namespace
}  // namespace wagesim::rtl
