// The independent cycle model against schedules worked out by hand on a very small machine.
#include "check/cycle_recurrence.h"

#include <gtest/gtest.h>

#include <stdexcept>
#include <utility>
#include <vector>

namespace wagesim::check {
namespace {

/// Small, odd numbers, so that no two terms of a formula look alike.
MachineConfig small_machine() {
    MachineConfig m;
    m.array_rows = 4;
    m.array_columns = 2;              // wavefront: 4 + 2 - 1 = 5 cycles
    m.activation_buffer_bytes = 400;  // four banks of 100 bytes: 0-99, 100-199, ...
    m.activation_banks = 4;
    m.bank_bytes_per_cycle = 4;
    m.dram_bytes_per_cycle = 4;
    m.dram_burst_bytes = 8;  // a burst holds the bus for 2 cycles
    m.dram_outstanding = 64;
    m.dram_latency_cycles = 10;
    m.vector_lanes = 3;
    m.vector_depth_cycles = 6;
    m.sqrt_cycles = 5;
    m.channel_divider_cycles = 7;
    m.update_lanes = 4;
    m.queue_depth = 8;
    m.issue_cycles = 1;
    return m;
}

Box box(int pixels, int channels) {
    Box b;
    b.w = pixels;
    b.c = channels;
    return b;
}

Command command(Unit unit, Command::Operands operands, Box b = {}) {
    Command c;
    c.unit = unit;
    c.box = b;
    c.operands = std::move(operands);
    return c;
}

Command waiting(Command c, Tokens tokens) {
    c.waits = std::move(tokens);
    return c;
}

Command giving(Command c, Tokens tokens) {
    c.gives = std::move(tokens);
    return c;
}

Command fence() { return command(Unit::dma_read, Fence{}); }

TileView activations(std::int64_t address, int bytes) {
    TileView view;
    view.address = address;
    view.bytes = bytes;
    return view;
}

TileView accumulators(int channels_per_row) {
    TileView view;
    view.space = Space::accumulators;
    view.channels_per_row = channels_per_row;
    view.bytes = 4;
    return view;
}

/// A GEMM of `pixels` busy cycles: k = 4 one-byte operands are one cycle of the port.
Command gemm(int pixels) {
    Gemm g;
    g.k = 4;
    return command(Unit::array, g, box(pixels, 2));
}

/// A CLEAR of `busy` cycles and latency 1.
Command clear(int busy) {
    Clear c;
    c.bytes = 4 * busy;
    return command(Unit::vector, c);
}

Transfer run(std::int64_t dram_address, std::int64_t bytes) {
    Transfer t;
    t.dram_address = dram_address;
    t.run_bytes = bytes;
    return t;
}

Command load(const Transfer& t) { return command(Unit::dma_read, t); }
Command store(const Transfer& t) { return command(Unit::dma_write, t); }

CycleResult predict(std::vector<Command> commands, const MachineConfig& machine = small_machine(),
                    std::vector<int> initial_tokens = {}) {
    Program program;
    program.commands = std::move(commands);
    for (const int initial : initial_tokens) {
        TokenInfo info;
        info.initial = initial;
        program.tokens.push_back(info);
    }
    return predict_cycles(program, machine);
}

void expect_duration(const Command& c, std::int64_t busy, std::int64_t latency,
                     const MachineConfig& machine = small_machine()) {
    const CycleResult result = predict({c}, machine);
    EXPECT_EQ(result.commands.at(0).busy, busy);
    EXPECT_EQ(result.commands.at(0).latency, latency);
    EXPECT_EQ(result.cycles, busy + latency);
}

// ---- one command -----------------------------------------------------------------------------

TEST(CommandDuration, OfAWeightLoadIsTheArraysRows) {
    WeightLoad w;
    w.rows = 2;  // the two rows beyond are zeros and take their cycle too
    expect_duration(command(Unit::weight_loader, w), 4, 0);
}

TEST(CommandDuration, OfAGemmIsOneCyclePerPixelAndTheWavefront) { expect_duration(gemm(7), 7, 5); }

TEST(CommandDuration, OfAGemmGrowsWhenAPixelsOperandsExceedTheBankPort) {
    Gemm g;
    g.k = 3;
    g.bytes = 3;  // 9 bytes through 4 a cycle: 3 cycles a pixel
    expect_duration(command(Unit::array, g, box(7, 2)), 21, 5);
}

TEST(CommandDuration, OfAnOutputStationaryGemmIsThatOfItsFoldsAndTheWayInAndOut) {
    MachineConfig os = small_machine();
    os.dataflow = Dataflow::os;  // 2 * 4 + 2 - 1 = 9 cycles from a swap until sums are out
    const auto expect_busy = [&](int pixels, int k, int bytes, std::int64_t busy) {
        Gemm g;
        g.k = k;
        g.bytes = bytes;
        expect_duration(command(Unit::array, g, box(pixels, 2)), busy, 0, os);
    };
    expect_busy(4, 30, 1, 4 + 30 + 9);
    expect_busy(7, 30, 1, 4 + 30 + 30 + 9);
    expect_busy(8, 3, 1, 4 + 9 + 9 + 9);     // a fold of three steps waits for the sums' way out
    expect_busy(8, 30, 2, 4 + 60 + 60 + 9);  // 8 bytes a step through 4 a cycle
    expect_busy(6, 30, 2, 4 + 60 + 30 + 9);  // the last fold has 2 pixels: 4 bytes
    expect_busy(7, 4, 2, 4 + 9 + 9 + 9);     // 8 steps of 2 cycles are no more than 9
    expect_busy(3, 5, 3, 4 + 15 + 9);        // 9 bytes: 3 cycles
}

TEST(CommandDuration, OfADrainIsTheRowsReadOrTheBytesWritten) {
    Drain d;
    d.destination = activations(0, 4);
    d.source = accumulators(2);
    // 3 pixels, 5 channels in rows of 2: 9 rows; 3 * 5 * 4 = 60 bytes: 15 cycles.
    expect_duration(command(Unit::drain, d, box(3, 5)), 15, 1);
    MachineConfig wide = small_machine();
    wide.bank_bytes_per_cycle = 16;  // ceil(60 / 16) = 4 < 9 rows
    expect_duration(command(Unit::drain, d, box(3, 5)), 9, 1, wide);
}

TEST(CommandDuration, OfAnActivationIsBeatsOfAllLanesWhereThePortKeepsUp) {
    Act a;
    a.source = activations(0, 1);
    a.destination = activations(100, 1);
    // 5 pixels, 4 channels on 3 lanes: 2 beats a pixel; port: 20 bytes a bank, 5 cycles.
    expect_duration(command(Unit::vector, a, box(5, 4)), 10, 6);
}

TEST(CommandDuration, OfAnActivationIsThePortsWhereABankHasMoreBytes) {
    Act a;
    a.source = activations(0, 4);
    a.destination = activations(99, 1);
    // One bank: 20 * 4 + 20 = 100 bytes, 25 cycles, more than 10 beats.
    expect_duration(command(Unit::vector, a, box(5, 4)), 25, 6);
    a.destination = activations(100, 1);  // the next bank: only the source's 80 bytes count
    expect_duration(command(Unit::vector, a, box(5, 4)), 20, 6);
}

TEST(CommandDuration, FromTheAccumulatorsCountsWholeRows) {
    Act a;
    a.source = accumulators(8);
    a.destination = activations(0, 1);
    // 5 pixels, 9 channels in rows of 8: 2 rows a pixel, 3 beats a row: 30. Port: 45 bytes, 12.
    expect_duration(command(Unit::vector, a, box(5, 9)), 30, 6);
}

TEST(CommandDuration, OfAGatherHasNoDestination) {
    Gather g;
    g.source = activations(300, 4);
    // 4 pixels of 3 channels: 4 beats; port: 48 bytes in the last bank, 12 cycles.
    expect_duration(command(Unit::vector, g, box(4, 3)), 12, 6);
}

TEST(CommandDuration, OfAnAddCountsBothSourcesInTheirBanks) {
    Add a;
    a.a = activations(0, 1);
    a.b = activations(100, 2);
    a.destination = activations(150, 4);
    // 4 pixels of 6 channels: 8 beats. Banks: 24 | 48 + 96 = 144: 36 cycles.
    expect_duration(command(Unit::vector, a, box(4, 6)), 36, 6);
    a.b = accumulators(6);
    a.destination = activations(200, 1);
    // Rows of 6 on 3 lanes: 2 beats, 8 in all; ports: 24 bytes each, 6.
    expect_duration(command(Unit::vector, a, box(4, 6)), 8, 6);
    a.b = accumulators(8);  // 3 beats, 12 in all, whichever source it is
    expect_duration(command(Unit::vector, a, box(4, 6)), 12, 6);
    std::swap(a.a, a.b);
    expect_duration(command(Unit::vector, a, box(4, 6)), 12, 6);
}

TEST(CommandDuration, OfANormalizeHasTheQuotientInItsLatency) {
    NormalizeCmd n;
    n.source = activations(0, 4);
    n.destination = activations(100, 1);
    n.xhat.format.bits = 9;
    // 5 pixels of 2 channels: 5 beats; port: 40 bytes, 10 cycles. Latency 6 + 9 + 2.
    const Command c = command(Unit::vector, n, box(5, 2));
    expect_duration(c, 10, 17);
    MachineConfig iterative = small_machine();
    iterative.divider = DividerKind::iterative;
    expect_duration(c, 25, 17, iterative);  // 5 * ceil(9 / 2)
    n.inverse = true;
    const Command reciprocal = command(Unit::vector, n, box(5, 2));
    expect_duration(reciprocal, 10, 8, iterative);
    expect_duration(reciprocal, 10, 8);
    iterative.bank_bytes_per_cycle = 100;
    expect_duration(reciprocal, 5, 8, iterative);  // the port out of the way: one cycle a beat
}

TEST(CommandDuration, OfAPoolReadsItsWindowForEveryOutputPixel) {
    Pool p;
    p.source = activations(0, 1);
    p.destination = activations(100, 1);
    p.kernel_h = 2;
    p.kernel_w = 3;
    // 4 output pixels of 4 channels: 6 * 4 * 2 beats; port: 6 * 16 = 96 bytes, 24.
    expect_duration(command(Unit::vector, p, box(4, 4)), 48, 6);
    p.source.bytes = 4;
    p.destination.address = 0;  // 384 + 16 = 400 bytes: 100 cycles
    expect_duration(command(Unit::vector, p, box(4, 4)), 100, 6);
}

TEST(CommandDuration, OfTheStatisticsCommandsIsThatOfTheirSerialUnits) {
    Clear c;
    c.bytes = 9;  // ceil(9 / 4)
    expect_duration(command(Unit::vector, c), 3, 1);
    expect_duration(command(Unit::vector, BnStat{}, box(1, 3)), 2 * 3 * 7 + 5, 1);
    expect_duration(command(Unit::vector, BnCoef{}, box(1, 3)), 21, 1);
}

TEST(CommandDuration, OfAQuantizeIsItsLanesOrItsBytes) {
    QuantizeCmd q;
    q.count = 17;
    q.source_address = 0;
    q.destination_address = 200;
    // ceil(17 / 4) = 5; 17 * 3 = 51 bytes: 13 cycles.
    expect_duration(command(Unit::update, q), 13, 1);
    q.destination_address = 60;  // 51 + 17 = 68 bytes in one bank: 17
    expect_duration(command(Unit::update, q), 17, 1);
    MachineConfig wide = small_machine();
    wide.bank_bytes_per_cycle = 100;
    expect_duration(command(Unit::update, q), 5, 1, wide);
}

TEST(CommandDuration, CountsThePixelsOfTheWholeBox) {
    Command c = gemm(1);
    c.box.n = 2;
    c.box.h = 3;
    c.box.w = 5;
    expect_duration(c, 30, 5);
}

// ---- one command of a training step ----------------------------------------------------------

BitPlane plane(std::int64_t address, int bits = 1) {
    BitPlane p;
    p.address = address;
    p.bits = bits;
    return p;
}

TEST(TrainingDuration, OfATurnedGemmStreamsItsColumnsInsteadOfPixels) {
    Gemm g;
    g.turned = true;
    g.m = 6;
    g.k = 4;
    g.bytes = 2;  // 8 bytes through 4 a cycle
    expect_duration(command(Unit::array, g, box(50, 2)), 12, 5);
    MachineConfig os = small_machine();
    os.dataflow = Dataflow::os;
    g.k = 30;  // 4 + 30 * 2 + 30 * 1 + 9: folds of 4 and 2 columns, 8 and 4 bytes a step
    expect_duration(command(Unit::array, g, box(50, 2)), 103, 0, os);
}

TEST(TrainingDuration, OfTheFlagsOfAGemmIsNothing) {
    Gemm g;
    g.k = 4;
    g.flags = plane(0);
    expect_duration(command(Unit::array, g, box(7, 2)), 7, 5);
}

TEST(TrainingDuration, OfADrainCountsItsBytesAndATurnedOneItsRows) {
    Drain d;
    d.source = accumulators(2);
    d.destination = activations(0, 5);
    expect_duration(command(Unit::drain, d, box(3, 5)), 19, 1);  // 75 bytes
    d.source.turned = true;
    Box gradient;  // 2 columns of 3 * 2 * 5 rows: 30 rows; 2 * 30 * 5 = 300 bytes
    gradient.n = 2;
    gradient.h = 3;
    gradient.w = 2;
    gradient.c = 5;
    expect_duration(command(Unit::drain, d, gradient), 75, 1);
    MachineConfig wide = small_machine();
    wide.bank_bytes_per_cycle = 100;
    expect_duration(command(Unit::drain, d, gradient), 30, 1, wide);
}

TEST(TrainingDuration, OfAnActivationCountsItsMaskInWholeBytesAPixel) {
    Act a;
    a.source = activations(0, 1);
    a.destination = activations(100, 1);
    a.mask = plane(150);
    // 5 pixels of 9 channels: 15 beats; the second bank 45 + 5 * 2 = 55 bytes: 14 cycles.
    expect_duration(command(Unit::vector, a, box(5, 9)), 15, 6);
    a.destination.bytes = 2;  // 90 + 10: 25
    expect_duration(command(Unit::vector, a, box(5, 9)), 25, 6);
}

TEST(TrainingDuration, OfAMaxPoolCountsThePlacesThatWon) {
    Pool p;
    p.source = activations(0, 1);
    p.destination = activations(100, 1);
    p.index = plane(10, 4);
    p.kernel_h = p.kernel_w = 2;
    // 4 pixels of 3 channels: 16 beats; first bank 48 + 4 * 2 = 56 bytes: 14 cycles.
    expect_duration(command(Unit::vector, p, box(4, 3)), 16, 6);
    MachineConfig narrow = small_machine();
    narrow.bank_bytes_per_cycle = 3;  // ceil(56 / 3)
    expect_duration(command(Unit::vector, p, box(4, 3)), 19, 6, narrow);
}

TEST(TrainingDuration, OfASoftmaxIsThreeWaysOverTheLogits) {
    Softmax s;
    s.source = activations(0, 4);
    s.destination = activations(100, 3);
    s.label_address = 50;
    // 2 images of 10 classes: 8 beats; the first bank 80 + 2 bytes: 21 cycles.
    expect_duration(command(Unit::vector, s, box(2, 10)), 24, 6 + 18);
    s.squares = true;
    expect_duration(command(Unit::vector, s, box(2, 10)), 21, 6);
}

TEST(TrainingDuration, OfAnExponentIsFourCycles) {
    expect_duration(command(Unit::vector, Exponent{}), 4, 1);
}

TEST(TrainingDuration, OfTheErrorQuantisersIsBeatsOrThePort) {
    ShiftQuantize shift;
    shift.source = activations(0, 5);
    shift.destination = activations(200, 1);
    shift.mask = plane(60);
    // 4 pixels of 3 channels: 4 beats; first bank 60 + 4 bytes: 16 cycles.
    expect_duration(command(Unit::vector, shift, box(4, 3)), 16, 6);
    FlagQuantize flag;
    flag.source = activations(0, 1);
    flag.destination = activations(200, 1);
    flag.flags = plane(220);
    // 4 pixels of 3 channels: 12 | 12 + 4 bytes: 4 cycles; 1 channel: 4 + 4 bytes.
    expect_duration(command(Unit::vector, flag, box(4, 3)), 4, 6);
    MachineConfig narrow = small_machine();
    narrow.bank_bytes_per_cycle = 1;
    expect_duration(command(Unit::vector, flag, box(4, 3)), 16, 6, narrow);
}

TEST(TrainingDuration, OfAPoolsErrorIsAWayForEachWindowThatAnElementLiesIn) {
    PoolBack back;
    back.kernel_h = 3;
    back.stride_y = 2;  // 2 windows high
    back.kernel_w = 3;
    back.stride_x = 1;  // 3 wide
    back.source = activations(0, 1);
    back.destination = activations(100, 2);
    back.index = plane(90, 4);
    // 4 pixels of 3 channels, 4 beats: 24; first bank 6 * 12 + 6 * 4 * 2 = 120 bytes: 30 cycles.
    expect_duration(command(Unit::vector, back, box(4, 3)), 30, 6);
    back.average = true;
    back.index = {};
    expect_duration(command(Unit::vector, back, box(4, 3)), 24, 6 + 42);
}

TEST(TrainingDuration, OfAReductionReadsErrorsAndXhatOrFlags) {
    Reduce r;
    r.source = activations(0, 2);
    r.flags = plane(30);
    // 4 pixels of 3 channels: 24 + 4 bytes: 7 cycles.
    expect_duration(command(Unit::vector, r, box(4, 3)), 7, 6);
    r.flags = {};
    r.with_xhat = true;
    r.xhat = activations(24, 1);
    expect_duration(command(Unit::vector, r, box(4, 3)), 9, 6);  // 24 + 12
}

TEST(TrainingDuration, OfABatchNormsGradientsIsTwoDivisionsAChannel) {
    BnBack back;
    expect_duration(command(Unit::vector, back, box(1, 3)), 2 * 3 * 7, 1);
    back.bias = true;
    expect_duration(command(Unit::vector, back, box(1, 3)), 3, 1);
}

TEST(TrainingDuration, OfABatchNormsErrorHasItsDivisionInItsLatency) {
    BnError e;
    e.source = activations(0, 1);
    e.xhat = activations(30, 2);
    e.destination = activations(200, 4);
    // 5 pixels of 2 channels: 5 beats; 10 + 20 | 40 bytes: 10 cycles.
    expect_duration(command(Unit::vector, e, box(5, 2)), 10, 6 + 34);
    MachineConfig iterative = small_machine();
    iterative.divider = DividerKind::iterative;
    expect_duration(command(Unit::vector, e, box(5, 2)), 80, 6 + 34, iterative);
    e.inverse = true;
    expect_duration(command(Unit::vector, e, box(5, 2)), 10, 6, iterative);
    e.destination.address = -1;  // not kept: 30 bytes
    expect_duration(command(Unit::vector, e, box(5, 2)), 8, 6);
}

TEST(TrainingDuration, OfAForkIsItsAdditions) {
    Fork f;
    f.operands.resize(3);
    for (Fork::Operand& operand : f.operands) operand.tile = activations(0, 1);
    f.destination = activations(100, 1);
    // 4 pixels of 4 channels: 8 beats, two additions; 3 * 16 bytes: 12 cycles.
    expect_duration(command(Unit::vector, f, box(4, 4)), 16, 6);
    f.destination.bytes = 8;  // 128 bytes
    expect_duration(command(Unit::vector, f, box(4, 4)), 32, 6);
}

TEST(TrainingDuration, OfAnUpdateReadsAndWritesItsState) {
    Update u;
    u.count = 9;
    u.gradient_address = 0;
    u.accumulator_address = 100;
    u.master_address = 200;
    u.quantized_address = 300;
    // 9 * 5 | 9 * 2 * 2 | 9 * 3 * 2 | 9 bytes: 54, 14 cycles; all in one bank 144, 36 cycles.
    expect_duration(command(Unit::update, u), 14, 1);
    u.accumulator_address = u.master_address = u.quantized_address = 0;
    expect_duration(command(Unit::update, u), 36, 1);
    MachineConfig wide = small_machine();
    wide.bank_bytes_per_cycle = 100;
    expect_duration(command(Unit::update, u), 3, 1, wide);  // ceil(9 / 4)
}

// ---- Dram ------------------------------------------------------------------------------------

TEST(DramBursts, AreTheAlignedBlocksThatARunTouches) {
    // Posted writes: n bursts hold the bus for 2 n cycles.
    expect_duration(store(run(8, 8)), 2, 0);
    expect_duration(store(run(7, 8)), 4, 0);   // bytes 7-14: blocks 0 and 1
    expect_duration(store(run(7, 10)), 6, 0);  // bytes 7-16: blocks 0, 1, 2
}

TEST(DramBursts, OfNeighbouringRunsAreNotMerged) {
    Transfer t = run(0, 4);
    t.counts = {1, 2, 3};
    t.dram_strides = {0, 100, 4};
    // Runs at 0, 4, 8 and 100, 104, 108, four bytes each. None crosses a block of 8 (100-103,
    // 104-107, 108-111): six bursts although only four blocks are touched.
    expect_duration(store(t), 12, 0);
    t.run_bytes = 5;
    // 0-4: 1; 4-8: 2; 8-12: 1; 100-104: 2; 104-108: 1; 108-112: 2; nine bursts.
    expect_duration(store(t), 18, 0);
}

TEST(DramBursts, OfAReadCrossTheBusAfterTheLatency) {
    // Burst 0 requested at 0, on the bus at 10; the others follow it: 10 + 2 * 5.
    expect_duration(load(run(0, 40)), 20, 0);
}

TEST(DramBursts, OfAReadWaitForAnOutstandingOne) {
    MachineConfig m = small_machine();
    m.dram_outstanding = 2;
    // i  q           t                  done
    // 0  0           10                 12
    // 1  1           max(11, 12) = 12   14
    // 2  max(2, 12)  max(22, 14) = 22   24
    // 3  max(3, 14)  max(24, 24) = 24   26
    // 4  24          34                 36
    expect_duration(load(run(0, 40)), 36, 0, m);
    m.dram_outstanding = 1;  // one at a time: 12 cycles each
    expect_duration(load(run(0, 40)), 60, 0, m);
}

TEST(DramBursts, OfOneCycleLeaveTheBusWhereARequestTakesLonger) {
    MachineConfig m = small_machine();
    m.dram_bytes_per_cycle = 3;  // ceil(8 / 3) = 3 cycles a burst
    expect_duration(load(run(0, 16)), 16, 0, m);
    m.dram_bytes_per_cycle = 16;  // 1 cycle: bursts at 10 and 11
    expect_duration(load(run(0, 16)), 12, 0, m);
}

TEST(DramBursts, OfAReadAreRequestedOneACycle) {
    MachineConfig m = small_machine();
    m.dram_bytes_per_cycle = 8;  // one cycle each
    m.dram_latency_cycles = 1;
    m.dram_outstanding = 3;
    // i: requested at i (burst i - 3 is done at i - 1), on the bus at i + 1, done at i + 2.
    expect_duration(load(run(0, 80)), 11, 0, m);
}

TEST(DramOverlap, CountsTheCyclesWithBothDirectionsOnTheBus) {
    // Read from 0: data at [10, 16). Write issued at 1: [1, 1 + 2 n).
    EXPECT_EQ(predict({load(run(0, 24)), store(run(0, 32))}).dram_overlap_cycles, 0);  // [1, 9)
    EXPECT_EQ(predict({load(run(0, 24)), store(run(0, 40))}).dram_overlap_cycles, 1);  // [1, 11)
    EXPECT_EQ(predict({load(run(0, 24)), store(run(0, 800))}).dram_overlap_cycles, 6);
    EXPECT_EQ(predict({load(run(0, 24)), load(run(0, 24))}).dram_overlap_cycles, 0);
    // Write [0, 12), data of the read issued at 1 [11, 17).
    EXPECT_EQ(predict({store(run(0, 48)), load(run(0, 24))}).dram_overlap_cycles, 1);
}

TEST(DramOverlap, LeavesOutTheGapsBetweenSlowReads) {
    MachineConfig m = small_machine();
    m.dram_outstanding = 1;
    // Reads at [10, 12), [22, 24), [34, 36); the write at [1, 31).
    EXPECT_EQ(predict({load(run(0, 24)), store(run(0, 120))}, m).dram_overlap_cycles, 4);
}

// ---- units, queues, issue --------------------------------------------------------------------

TEST(Schedule, OfAnEmptyProgramTakesNoTime) {
    EXPECT_EQ(predict({}).cycles, 0);
    EXPECT_EQ(predict({}).serial_cycles, 0);
}

TEST(Schedule, IssuesOneCommandEveryIssueCycles) {
    MachineConfig m = small_machine();
    m.issue_cycles = 3;
    const auto r = predict({gemm(1), clear(2), command(Unit::weight_loader, WeightLoad{})}, m);
    EXPECT_EQ(r.commands[0].start, 0);
    EXPECT_EQ(r.commands[1].start, 3);
    EXPECT_EQ(r.commands[2].start, 6);
    EXPECT_EQ(r.cycles, 10);  // WLOAD 6 + 4; GEMM 0 + 1 + 5; CLEAR 3 + 2 + 1
    EXPECT_EQ(r.serial_cycles, 3 * 3 + (1 + 5) + (2 + 1) + 4);
}

TEST(Schedule, LetsAUnitStartItsNextCommandBeforeTheLatencyIsOver) {
    const auto r = predict({gemm(10), gemm(3)});
    EXPECT_EQ(r.commands[1].issue, 1);
    EXPECT_EQ(r.commands[1].start, 10);
    EXPECT_EQ(r.commands[1].done(), 18);
    EXPECT_EQ(r.cycles, 18);
}

TEST(Schedule, EndsWithTheCommandThatIsDoneLast) {
    // The GEMM is done at 10 + 5, the CLEAR issued after it at 1 + 1 + 1.
    EXPECT_EQ(predict({gemm(10), clear(1)}).cycles, 15);
}

TEST(Schedule, IssuesIntoAFullQueueOnlyWhenACommandStarts) {
    MachineConfig m = small_machine();
    m.queue_depth = 2;
    const auto r = predict({gemm(10), gemm(10), gemm(10), gemm(10), clear(1)}, m);
    // 0 starts at 0 and leaves its entry; 1 and 2 fill the queue. 3 waits until 1 starts at 10,
    // and holds back the CLEAR of another unit.
    EXPECT_EQ(r.commands[0].issue, 0);
    EXPECT_EQ(r.commands[1].issue, 1);
    EXPECT_EQ(r.commands[2].issue, 2);
    EXPECT_EQ(r.commands[3].issue, 10);
    EXPECT_EQ(r.commands[4].issue, 11);
    EXPECT_EQ(r.commands[3].start, 30);
    EXPECT_EQ(r.cycles, 45);
}

TEST(Schedule, WithQueuesOfOneEntryKeepsOneCommandWaiting) {
    MachineConfig m = small_machine();
    m.queue_depth = 1;
    const auto r = predict({gemm(10), gemm(10), gemm(10)}, m);
    EXPECT_EQ(r.commands[1].issue, 1);   // 0 started at 0
    EXPECT_EQ(r.commands[2].issue, 10);  // 1 started at 10
}

// ---- fences ----------------------------------------------------------------------------------

TEST(Fences, AreIssuedWhenEveryResultIsVisible) {
    const auto r = predict({gemm(10), clear(1), fence(), clear(4)});
    EXPECT_EQ(r.commands[2].issue, 15);
    EXPECT_EQ(r.commands[3].issue, 16);
    EXPECT_EQ(r.cycles, 21);  // 16 + 4 + 1
    EXPECT_EQ(r.serial_cycles, 4 * 1 + (10 + 5) + (1 + 1) + (4 + 1));
}

TEST(Fences, CostTheirIssueCyclesWhenNothingRuns) {
    MachineConfig m = small_machine();
    m.issue_cycles = 9;
    EXPECT_EQ(predict({clear(1), fence(), clear(1)}, m).commands[2].issue, 18);
    EXPECT_EQ(predict({fence()}, m).cycles, 0);
    EXPECT_EQ(predict({clear(1), fence()}, m).cycles, 9);  // done at 2, the fence at 9
}

// ---- tokens ----------------------------------------------------------------------------------

TEST(Tokens, HoldACommandUntilTheOthersResultIsVisible) {
    const auto r = predict({giving(gemm(10), {0}), waiting(clear(1), {0})}, small_machine(), {0});
    EXPECT_EQ(r.commands[1].issue, 1);
    EXPECT_EQ(r.commands[1].start, 15);
}

TEST(Tokens, MeetTheKthWaitByTheKthGive) {
    const auto r = predict({giving(gemm(10), {0}), giving(gemm(10), {0}), waiting(clear(1), {0}),
                            waiting(clear(1), {0})},
                           small_machine(), {0});
    EXPECT_EQ(r.commands[2].start, 15);
    EXPECT_EQ(r.commands[3].start, 25);
}

TEST(Tokens, StartWithTheirInitialCount) {
    const auto r = predict({giving(gemm(10), {0}), waiting(clear(1), {0}), waiting(clear(1), {0}),
                            waiting(clear(1), {0})},
                           small_machine(), {2});
    EXPECT_EQ(r.commands[1].start, 1);
    EXPECT_EQ(r.commands[2].start, 2);
    EXPECT_EQ(r.commands[3].start, 15);
}

TEST(Tokens, OfSeveralUnitsAreAllNeeded) {
    // GEMM done at 3 + 5 = 8; WLOAD started at 1, done at 5.
    const auto r =
        predict({giving(gemm(3), {0}), giving(command(Unit::weight_loader, WeightLoad{}), {1}),
                 waiting(clear(1), {0, 1})},
                small_machine(), {0, 0});
    EXPECT_EQ(r.commands[2].start, 8);
}

TEST(Tokens, ThatStandTwiceInAListAreTakenTwice) {
    const auto r =
        predict({giving(gemm(10), {0}), giving(gemm(10), {0}), waiting(clear(1), {0, 0})},
                small_machine(), {0});
    EXPECT_EQ(r.commands[2].start, 25);
    const auto given_twice =
        predict({giving(gemm(10), {0, 0}), waiting(clear(1), {0, 0})}, small_machine(), {0});
    EXPECT_EQ(given_twice.commands[1].start, 15);
}

TEST(Tokens, MayComeFromALaterCommand) {
    const auto r = predict({waiting(clear(1), {0}), giving(gemm(10), {0})}, small_machine(), {0});
    EXPECT_EQ(r.commands[0].start, 16);  // the GEMM: issued at 1, done at 1 + 10 + 5
}

TEST(Tokens, CountInTheOrderOfTimeWhereAShortCommandOvertakes) {
    NormalizeCmd n;
    n.source = activations(0, 1);
    n.destination = activations(100, 1);
    n.xhat.format.bits = 32;
    // NORMALIZE: start 0, busy 1, latency 40, done 41. CLEAR: start 1, done 3.
    const auto r = predict({giving(command(Unit::vector, n), {0}), giving(clear(1), {0}),
                            waiting(gemm(1), {0}), waiting(gemm(1), {0})},
                           small_machine(), {0});
    EXPECT_EQ(r.commands[2].start, 3);
    EXPECT_EQ(r.commands[3].start, 41);
}

TEST(Tokens, GivenAtTheSwapComeBeforeTheGemmIsDone) {
    Gemm g;
    g.k = 4;
    g.gives_at_swap = {0};
    const auto r = predict({command(Unit::array, g, box(20, 2)),
                            waiting(command(Unit::weight_loader, WeightLoad{}), {0})},
                           small_machine(), {0});
    EXPECT_EQ(r.commands[1].start, 5);
    EXPECT_EQ(r.commands[0].done(), 25);
}

TEST(Tokens, OfDoubleBufferingLetLoadAndGemmOverlap) {
    // Loads of 3 bursts take 16 cycles, GEMMs are busy 30; two buffers (token 0), full ones in
    // token 1. LOAD 0: 0-16, LOAD 1: 16-32. GEMM 0 (issued at 3): 16-46, done 51.
    // LOAD 2 needs GEMM 0's buffer: 51-67. GEMM 1: 46-76, done 81. GEMM 2: 76-106, done 111.
    std::vector<Command> commands;
    for (int i = 0; i < 3; ++i) {
        commands.push_back(giving(waiting(load(run(0, 24)), {0}), {1}));
        commands.push_back(giving(waiting(gemm(30), {1}), {0}));
    }
    const auto r = predict(commands, small_machine(), {2, 0});
    EXPECT_EQ(r.commands[1].start, 16);
    EXPECT_EQ(r.commands[2].start, 16);
    EXPECT_EQ(r.commands[3].start, 46);
    EXPECT_EQ(r.commands[4].start, 51);
    EXPECT_EQ(r.commands[5].start, 76);
    EXPECT_EQ(r.cycles, 111);
    EXPECT_EQ(r.serial_cycles, 6 + 3 * 16 + 3 * 35);
}

// ---- programs that are wrong -----------------------------------------------------------------

TEST(CyclePrediction, RefusesAProgramThatCanNeverEnd) {
    EXPECT_THROW(predict({waiting(clear(1), {0})}, small_machine(), {0}), std::logic_error);
    EXPECT_THROW(predict({waiting(clear(1), {0}), fence()}, small_machine(), {0}),
                 std::logic_error);
    MachineConfig m = small_machine();
    m.queue_depth = 1;  // the second CLEAR never finds room, and the GEMM stands behind it
    const std::vector<Command> commands{waiting(clear(1), {0}), clear(1), giving(gemm(1), {0})};
    EXPECT_THROW(predict(commands, m, {0}), std::logic_error);
    EXPECT_EQ(predict(commands, small_machine(), {0}).cycles, 11);  // 2 + 1 + 5, then 1 + 1 + 1
}

TEST(CyclePrediction, RefusesACommandOnAForeignUnitAndAnUnknownToken) {
    EXPECT_THROW(predict({command(Unit::array, WeightLoad{})}), std::logic_error);
    EXPECT_THROW(predict({waiting(clear(1), {1})}, small_machine(), {0}), std::logic_error);
    Gemm g;
    g.gives_at_swap = {0};
    EXPECT_THROW(predict({command(Unit::array, g)}), std::logic_error);
}

}  // namespace
}  // namespace wagesim::check
