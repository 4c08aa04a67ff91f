// Busy and latency of the compute units' commands, worked out by hand from docs/cycles.md.
#include "compute_fixture.h"

namespace wagesim::rtl {
namespace {

class CyclesTest : public ComputeTest {
protected:
    static constexpr std::int64_t bank = 32 * 1024;

    void SetUp() override {
        build();
        put_bytes(memories->activations, config.activation_buffer_bytes);
        put_bytes(memories->parameters, config.parameter_bytes);
    }
    /// All rows of the accumulators hold zeros.
    TileView accumulator_view(std::int32_t channels_per_row) {
        for (std::int64_t row = 0; row < 1000; ++row)
            memories->accumulators.start(row, config.array_columns, nullptr);
        TileView view;
        view.space = Space::accumulators;
        view.channels_per_row = channels_per_row;
        return view;
    }
    static void expect(const Work& work, std::int64_t busy, std::int64_t latency) {
        EXPECT_EQ(work.busy, busy);
        EXPECT_EQ(work.latency, latency);
        EXPECT_EQ(work.swap, -1);
    }
};

// The box of most rows: 2 * 3 * 5 = 30 pixels of 20 channels. 16 lanes: 2 beats a pixel.
const Box box = box_of(2, 3, 5, 20);

TEST_F(CyclesTest, Drain) {
    Drain operation;
    operation.destination = view_of(box, 0, 4, 0);
    // 4 * 30 * 20 bytes through 16 a cycle = 150.
    operation.source = accumulator_view(16);  // 2 rows a pixel: 60
    expect(drain(box, operation), 150, 1);
    operation.source = accumulator_view(3);  // 7 rows a pixel: 210
    expect(drain(box, operation), 210, 1);
}

TEST_F(CyclesTest, Normalize) {
    NormalizeCmd operation;
    operation.xhat = {Format{7, 5, true, 0}, Rounding::half_even, Overflow::saturate};
    operation.sigma.format = {18, 15, false, 0};
    operation.destination = view_of(box, 3 * bank, 1, 0);
    operation.source = view_of(box, 0, 4, 0);  // port 150, beats 60
    expect(vector(box, operation), 150, 4 + 7 + 2);
    operation.destination.address = 2400;  // the same bank: (2400 + 600) / 16 = 187.5
    expect(vector(box, operation), 188, 13);
    operation.destination.address = 3 * bank;
    operation.source = accumulator_view(16);  // beats 60, port 600 / 16 = 37.5
    expect(vector(box, operation), 60, 13);
    operation.source = accumulator_view(4);  // 5 rows a pixel, one beat each
    expect(vector(box, operation), 150, 13);
    config.divider = DividerKind::iterative;  // 150 * ceil(7 / 2)
    expect(vector(box, operation), 600, 13);
    operation.inverse = true;
    expect(vector(box, operation), 150, 6);
}

TEST_F(CyclesTest, RowsOfTheAccumulatorsAreReadWhole) {
    config.vector_lanes = 8;
    Act operation;
    operation.source = accumulator_view(16);
    operation.destination = view_of(box, 0, 1, 0);
    // 30 pixels * 2 rows * 2 beats, though the second row has 4 channels.
    expect(vector(box, operation), 120, 4);
}

TEST_F(CyclesTest, ActAddAndGather) {
    Act act;
    act.source = view_of(box, 0, 1, 0);
    act.destination = view_of(box, bank, 1, 0);
    expect(vector(box, act), 60, 4);  // port 38
    config.vector_depth_cycles = 9;
    act.destination.address = 700;  // port (600 + 600) / 16 = 75
    expect(vector(box, act), 75, 9);

    Add add;
    add.stream.format = {16, 0, true, 0};
    add.a = view_of(box, 0, 2, 0);            // 75
    add.b = view_of(box, bank, 4, 0);         // 150
    add.destination = view_of(box, 0, 2, 0);  // with a: 150
    expect(vector(box, add), 150, 9);
    add.destination = view_of(box, bank, 2, 0);
    expect(vector(box, add), 225, 9);
    add.b = accumulator_view(2);  // 10 rows a pixel
    expect(vector(box, add), 300, 9);

    Gather gather;
    gather.source = view_of(box, 0, 4, 0);
    expect(vector(box, gather), 150, 9);
    gather.source = accumulator_view(16);
    expect(vector(box, gather), 60, 9);
}

TEST_F(CyclesTest, Pool) {
    Pool operation;
    operation.kernel_h = 2;
    operation.kernel_w = 3;
    operation.image_h = 4;
    operation.image_w = 7;
    operation.quantizer.format.frac = 0;
    const Box source = box_of(2, 4, 7, 20);
    operation.source = view_of(source, 0, 1, 0);
    operation.destination = view_of(box, bank, 1, 0);
    // 6 * 30 * 2 beats; port 6 * 600 / 16 = 225.
    expect(vector(box, operation), 360, 4);
    config.vector_lanes = 64;  // 6 * 30
    expect(vector(box, operation), 225, 4);
    operation.destination.address = 2048;  // (3600 + 600) / 16 = 262.5
    expect(vector(box, operation), 263, 4);
}

TEST_F(CyclesTest, ClearAndStatistics) {
    expect(vector(box, Clear{0, 321}), 21, 1);
    BnStat statistics;
    statistics.sigma.format.frac = 3;
    statistics.var.format = {12, 6, false, 0};
    statistics.mu.format.frac = 3;
    statistics.run_mu.format = statistics.run_sigma.format = Format{28, 20, true, 0};
    statistics.mu_address = statistics.sigma_address = 4096;
    expect(vector(box, statistics), 2 * 20 * 96 + 18, 1);
    BnCoef coefficients;
    coefficients.sigma.format = {32, 15, false, 0};
    coefficients.out_address = 8192;
    expect(vector(box, coefficients), 20 * 96, 1);
}

TEST_F(CyclesTest, Quantize) {
    QuantizeCmd operation;
    operation.destination_address = bank;
    operation.count = 100;
    expect(update(operation), 19, 1);  // 3 bytes each: 18.75
    operation.destination_address = 1000;
    expect(update(operation), 25, 1);  // 3 + 1
    config.update_lanes = 3;
    expect(update(operation), 34, 1);
}

}  // namespace
}  // namespace wagesim::rtl
