// Closed formulas against the numbers that SCALE-Sim ships or prints, and against the schedule of
// hand-built programs (docs/cycles.md).
#include "timing/cycles.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <ostream>
#include <string>
#include <vector>

#include "check/cycle_recurrence.h"
#include "wagesim/error.h"
#include "wagesim/program/command.h"

namespace wagesim::timing {
namespace {

ArrayConfig square(int size) {
    ArrayConfig array;
    array.rows = array.columns = size;
    return array;
}

// ---- SCALE-Sim ---------------------------------------------------------------------------------

/// The reports that SCALE-Sim ships for its own tests (32x32): cycles are the shipped
/// Total - Stall + 1, the index of the last cycle counted from 0.
struct Shipped {
    const char* name;
    Workload workload;
    Dataflow dataflow;
    std::int64_t folds, per_fold, cycles;
    double mapping_efficiency, compute_util;
};
void PrintTo(const Shipped& s, std::ostream* out) { *out << s.name; }

const Workload alexnet_conv1{"conv1", 3025, 96, 363, 1}, gemm{"gemm", 256, 128, 256, 1};

class ShippedReport : public testing::TestWithParam<Shipped> {};

TEST_P(ShippedReport, IsReproduced) {
    const Shipped& shipped = GetParam();
    const LayerCycles layer =
        layer_cycles(shipped.workload, square(32), shipped.dataflow, Convention::scalesim);
    EXPECT_EQ(layer.folds, shipped.folds);
    EXPECT_EQ(layer.per_fold, shipped.per_fold);
    EXPECT_EQ(layer.compute_cycles, shipped.cycles);
    EXPECT_EQ(layer.reported_total, shipped.cycles - 1);
    EXPECT_NEAR(layer.mapping_efficiency, shipped.mapping_efficiency, 5e-6);
    EXPECT_NEAR(layer.compute_util, shipped.compute_util, 5e-6);
}

INSTANTIATE_TEST_SUITE_P(
    Of, ShippedReport,
    testing::Values(Shipped{"AlexNetConv1Ws", alexnet_conv1, Dataflow::ws, 36, 3119, 112284,
                            94.53125, 90.78001},
                    Shipped{"GemmOs", gemm, Dataflow::os, 32, 318, 10176, 100, 80.50314},
                    Shipped{"GemmWs", gemm, Dataflow::ws, 32, 350, 11200, 100, 67.19160},
                    Shipped{"GemmIs", gemm, Dataflow::is, 64, 222, 14208, 100, 50.59289}),
    [](const auto& test) { return std::string(test.param.name); });

/// ResNet-18 as SCALE-Sim's topology of that name has it: unpadded, 21 layers.
const char* const resnet18 =
    "Layer name,IFMAP Height,IFMAP Width,Filter Height,Filter Width,Channels,Num Filter,Strides,\n"
    "Conv1,224,224,7,7,3,64,2,\n"
    "Conv2_1a,56,56,3,3,64,64,1,\n"
    "Conv2_1b,56,56,3,3,64,64,1,\n"
    "Conv2_2a,56,56,3,3,64,64,1,\n"
    "Conv2_2b,56,56,3,3,64,64,1,\n"
    "Conv3_1a,56,56,3,3,64,128,2,\n"
    "Conv3_1b,28,28,3,3,128,128,1,\n"
    "Conv3_s,56,56,1,1,64,128,2,\n"
    "Conv3_2a,28,28,3,3,128,128,1,\n"
    "Conv3_2b,28,28,3,3,128,128,1,\n"
    "Conv4_1a,28,28,3,3,128,256,2,\n"
    "Conv4_1b,14,14,3,3,256,256,1,\n"
    "Conv4_s,28,28,1,1,128,256,2,\n"
    "Conv4_2a,14,14,3,3,256,256,1,\n"
    "Conv4_2b,14,14,3,3,256,256,1,\n"
    "Conv5_1a,14,14,3,3,256,512,2,\n"
    "Conv5_1b,7,7,3,3,512,512,1,\n"
    "Conv5_s,14,14,1,1,256,512,2,\n"
    "Conv5_2a,7,7,3,3,512,512,1,\n"
    "Conv5_2b,7,7,3,3,512,512,1,\n"
    "FC,1,1,1,1,512,1000,1,\n";

TEST(Resnet18, HasSCALESimsCyclesLayerByLayer) {
    const auto layers = parse_scalesim_topology(resnet18, "resnet18.csv");
    std::map<std::string, std::vector<std::int64_t>> cycles;
    for (const Dataflow dataflow : {Dataflow::os, Dataflow::ws, Dataflow::is})
        for (const Workload& layer : layers)
            cycles[layer.name].push_back(
                layer_cycles(layer, square(32), dataflow, Convention::scalesim).compute_cycles);
    using Numbers = std::vector<std::int64_t>;  // os, ws, is
    EXPECT_EQ(cycles.at("Conv1"), (Numbers{158422, 121940, 299410}));
    EXPECT_EQ(cycles.at("Conv2_1a"), (Numbers{117392, 108360, 261648}));
    EXPECT_EQ(cycles.at("Conv4_1b"), (Numbers{94640, 137088, 126000}));
    EXPECT_EQ(cycles.at("Conv5_2b"), (Numbers{74720, 274176, 87264}));
    EXPECT_EQ(cycles.at("FC"), (Numbers{18368, 48640, 17504}));
}

TEST(Resnet18, HasSCALESimsCyclesInTotal) {
    const auto layers = parse_scalesim_topology(resnet18, "resnet18.csv");
    ASSERT_EQ(layers.size(), 21u);
    struct Row {
        int size;
        std::int64_t os, os_paper, ws, is;
    };
    for (const Row& row :
         {Row{16, 6359622, 6506742, 7885584, 8539260}, Row{32, 1718374, 1793574, 2519836, 2839018},
          Row{128, 262391, 296567, 417649, 595564}, Row{256, 157960, 191752, 223202, 332944}}) {
        SCOPED_TRACE(row.size);
        const auto total = [&](Dataflow dataflow, Convention convention) {
            return network_cycles(layers, square(row.size), dataflow, convention);
        };
        EXPECT_EQ(total(Dataflow::os, Convention::scalesim).compute_cycles, row.os);
        EXPECT_EQ(total(Dataflow::os, Convention::scalesim_paper).compute_cycles, row.os_paper);
        EXPECT_EQ(total(Dataflow::ws, Convention::scalesim).compute_cycles, row.ws);
        EXPECT_EQ(total(Dataflow::is, Convention::scalesim).compute_cycles, row.is);
        EXPECT_EQ(total(Dataflow::os, Convention::scalesim).macs, 1471181568);
        EXPECT_EQ(total(Dataflow::os, Convention::scalesim).reported_total, row.os - 21);
        EXPECT_EQ(total(Dataflow::os, Convention::scalesim_paper).reported_total, row.os_paper);
    }
}

TEST(ScaleSim, PrintsNineForTheTenCyclesOfOneOutputStationaryTile) {
    const Workload tile{"tile", 4, 4, 4, 1};
    const auto layer = layer_cycles(tile, square(4), Dataflow::os, Convention::scalesim);
    EXPECT_EQ(layer.compute_cycles, 10);
    EXPECT_EQ(layer.reported_total, 9);
    EXPECT_NEAR(layer.overall_util, 100.0 * 64 / 144, 1e-9);  // of the 9 it prints
}

TEST(ScaleSim, PaperAndCodeDifferForOutputStationaryOnly) {
    const Workload product{"stonne", 5, 2, 2, 1};
    EXPECT_EQ(layer_cycles(product, square(4), Dataflow::os, Convention::scalesim).compute_cycles,
              16);
    EXPECT_EQ(
        layer_cycles(product, square(4), Dataflow::os, Convention::scalesim_paper).compute_cycles,
        24);
    for (const Dataflow dataflow : {Dataflow::ws, Dataflow::is})
        EXPECT_EQ(
            layer_cycles(gemm, square(32), dataflow, Convention::scalesim_paper).compute_cycles,
            layer_cycles(gemm, square(32), dataflow, Convention::scalesim).compute_cycles);
}

TEST(ScaleSim, KeepsRowsAndColumnsOfTheArrayApart) {
    ArrayConfig array;
    array.rows = 8;
    array.columns = 2;
    const Workload product{"p", 20, 6, 10, 1};
    // os: ceil(20 / 8) * ceil(6 / 2) = 9 folds of 8 + 2 + 10 - 2 = 18.
    const auto os = layer_cycles(product, array, Dataflow::os, Convention::scalesim);
    EXPECT_EQ(os.folds, 9);
    EXPECT_EQ(os.compute_cycles, 162);
    // ws: ceil(10 / 8) * ceil(6 / 2) = 6 folds of 16 + 2 + 20 - 2 = 36.
    const auto ws = layer_cycles(product, array, Dataflow::ws, Convention::scalesim);
    EXPECT_EQ(ws.folds, 6);
    EXPECT_EQ(ws.compute_cycles, 216);
    EXPECT_NEAR(ws.mapping_efficiency, 62.5, 1e-9);  // 10 of 16 rows, all columns
    // is: ceil(10 / 8) * ceil(20 / 2) = 20 folds of 16 + 2 + 6 - 2 = 22.
    EXPECT_EQ(layer_cycles(product, array, Dataflow::is, Convention::scalesim).compute_cycles, 440);
}

TEST(ScaleSim, RunsGroupsAsLayersOfTheirOwn) {
    Workload groups = gemm;
    groups.repeats = 3;
    const auto one = layer_cycles(gemm, square(32), Dataflow::ws, Convention::scalesim);
    const auto three = layer_cycles(groups, square(32), Dataflow::ws, Convention::scalesim);
    EXPECT_EQ(three.compute_cycles, 33600);
    EXPECT_EQ(three.reported_total, 33597);
    EXPECT_NEAR(three.overall_util, one.overall_util, 1e-9);
    EXPECT_NEAR(three.mapping_efficiency, 100, 1e-9);
    EXPECT_NEAR(three.compute_util, 67.19160, 5e-6);
}

TEST(ComputeReport, HasSCALESimsColumnsAndClosingCommas) {
    const Workload tile{"tile", 4, 4, 4, 1};
    const auto network =
        network_cycles({tile, tile}, square(4), Dataflow::os, Convention::scalesim);
    EXPECT_EQ(compute_report(network),
              "LayerID, Total Cycles (incl. prefetch), Total Cycles, Stall Cycles, Overall Util %, "
              "Mapping Efficiency %, Compute Util %,\n"
              "0, 9, 9, 0, 44.44444444444444, 100.0, 40.0,\n"
              "1, 9, 9, 0, 44.44444444444444, 100.0, 40.0,\n");
}

// ---- wagesim -----------------------------------------------------------------------------------

/// One WLOAD and one GEMM per tile, k tiles innermost, two tokens between them as in
/// docs/cycles.md; `workload.repeats` times over.
Program program_of(const Workload& workload, const ArrayConfig& array) {
    Program program;
    program.tokens.resize(2);
    program.tokens[0].initial = 1;  // the shadow registers are free
    for (std::int64_t repeat = 0; repeat < workload.repeats; ++repeat)
        for (std::int64_t n = 0; n < workload.n; n += array.columns)
            for (std::int64_t k = 0; k < workload.k; k += array.rows) {
                const auto rows =
                    static_cast<std::int32_t>(std::min<std::int64_t>(array.rows, workload.k - k));
                WeightLoad weights;
                weights.rows = rows;
                Command load;
                load.unit = Unit::weight_loader;
                load.operands = weights;
                load.waits.push_back(0);
                load.gives.push_back(1);
                program.commands.push_back(load);
                Gemm stream;
                stream.k = rows;
                stream.bytes = array.operand_bytes;
                stream.gives_at_swap.push_back(0);
                Command product;
                product.unit = Unit::array;
                product.box.w = static_cast<int>(workload.m);
                product.operands = stream;
                product.waits.push_back(1);
                program.commands.push_back(product);
            }
    return program;
}

std::int64_t scheduled(const Workload& workload, const ArrayConfig& array) {
    MachineConfig machine;
    machine.array_rows = array.rows;
    machine.array_columns = array.columns;
    machine.bank_bytes_per_cycle = array.bank_bytes_per_cycle;
    return check::predict_cycles(program_of(workload, array), machine).cycles;
}

std::int64_t by_formula(const Workload& workload, const ArrayConfig& array) {
    return layer_cycles(workload, array, Dataflow::ws, Convention::wagesim).compute_cycles;
}

TEST(Wagesim, TakesOneLoadTheStreamAndTheWavefrontForOneTile) {
    // 16 to load, 100 rows, 31 of wavefront.
    EXPECT_EQ(by_formula({"one", 100, 16, 16, 1}, square(16)), 147);
}

TEST(Wagesim, HidesLoadsBehindLongStreamsAndWaitsForThemAfterShortOnes) {
    // Swap 31 and load 16: the next GEMM starts 47 after the one before, or M if that is more.
    EXPECT_EQ(by_formula({"long", 100, 16, 48, 1}, square(16)), 16 + 3 * 100 + 31);
    EXPECT_EQ(by_formula({"equal", 47, 16, 48, 1}, square(16)), 16 + 3 * 47 + 31);
    EXPECT_EQ(by_formula({"short", 10, 16, 48, 1}, square(16)), 16 + 2 * 47 + 10 + 31);
}

TEST(Wagesim, StreamsAsFastAsTheBankPortAllows) {
    ArrayConfig array = square(32);  // 32 operands of a byte through 16 bytes: 2 cycles a row
    EXPECT_EQ(by_formula({"port", 1000, 32, 64, 1}, array), 32 + 2 * 2000 + 63);
    array.operand_bytes = 2;
    EXPECT_EQ(by_formula({"port", 1000, 32, 64, 1}, array), 32 + 2 * 4000 + 63);
    // The last k tile has 8 operands: 16 bytes, one cycle a row.
    EXPECT_EQ(by_formula({"port", 1000, 32, 40, 1}, array), 32 + 4000 + 1000 + 63);
}

TEST(Wagesim, CountsSlotsOfTheArray) {
    const auto layer =
        layer_cycles({"half", 100, 8, 16, 1}, square(16), Dataflow::ws, Convention::wagesim);
    EXPECT_EQ(layer.reported_total, 147);
    EXPECT_NEAR(layer.mapping_efficiency, 50, 1e-9);
    EXPECT_NEAR(layer.compute_util, 50, 1e-9);
    EXPECT_NEAR(layer.overall_util, 50.0 * 100 / 147, 1e-9);
}

TEST(Wagesim, FormulaIsTheScheduleOfItsCommands) {
    int checked = 0, waiting = 0;
    for (const int rows : {2, 4, 16, 24})
        for (const int columns : {1, 3, 16})
            for (const std::int64_t m : {1, 7, 33, 46, 47, 48, 200})
                for (const std::int64_t n : {1, 16, 40})
                    for (const std::int64_t k : {1, 15, 16, 17, 50})
                        for (const std::int64_t repeats : {1, 3})
                            for (const int operand_bytes : {1, 2}) {
                                ArrayConfig array;
                                array.rows = rows;
                                array.columns = columns;
                                array.operand_bytes = operand_bytes;
                                const Workload w{"w", m, n, k, repeats};
                                const auto cycles = by_formula(w, array);
                                ASSERT_EQ(cycles, scheduled(w, array))
                                    << rows << "x" << columns << ", m " << m << " n " << n << " k "
                                    << k << " x" << repeats << ", bytes " << operand_bytes;
                                ++checked;
                                waiting += m < 2 * rows + columns - 1;
                            }
    EXPECT_EQ(checked, 5040);
    EXPECT_GT(waiting, 1000);
    EXPECT_GT(checked - waiting, 1000);
}

/// One command of `dataflow: os` cycle by cycle: each swap starts a stream, travels R + C - 1
/// cycles, and only behind it may the R rows of next_acc shift; the next swap waits for both
/// (docs/array.md).
std::int64_t stepped_column(const Workload& w, const ArrayConfig& array) {
    std::int64_t cycle = array.rows;  // the first sums come in
    for (std::int64_t pixel = 0; pixel < w.m + array.rows; pixel += array.rows) {
        std::int64_t steps = 0, cycles_of_step = 0;  // none behind the last swap
        if (pixel < w.m) {
            steps = w.k;
            for (std::int64_t bytes =
                     std::min<std::int64_t>(array.rows, w.m - pixel) * array.operand_bytes;
                 bytes > 0; bytes -= array.bank_bytes_per_cycle)
                ++cycles_of_step;
        }
        std::int64_t stream = steps * cycles_of_step;
        int travelling = array.rows + array.columns - 1, shifting = array.rows;
        for (; stream > 0 || shifting > 0; ++cycle) {
            if (stream > 0) --stream;
            if (travelling > 0)
                --travelling;
            else
                --shifting;
        }
        if (pixel >= w.m) break;
    }
    return cycle;
}

std::int64_t os_by_formula(const Workload& workload, const ArrayConfig& array) {
    return layer_cycles(workload, array, Dataflow::os, Convention::wagesim).compute_cycles;
}

TEST(WagesimOs, TakesTheFirstSumsTheStreamAndTheLastSumsForOneFold) {
    // 16 rows shift in, 100 steps, 47 until the last sum is out.
    EXPECT_EQ(os_by_formula({"one", 16, 16, 100, 1}, square(16)), 163);
}

TEST(WagesimOs, HidesTheShiftsOfAFoldBehindALongReduction) {
    EXPECT_EQ(os_by_formula({"long", 48, 16, 100, 1}, square(16)), 16 + 3 * 100 + 47);
    EXPECT_EQ(os_by_formula({"equal", 48, 16, 47, 1}, square(16)), 16 + 3 * 47 + 47);
    EXPECT_EQ(os_by_formula({"short", 48, 16, 9, 1}, square(16)), 16 + 3 * 47 + 47);
}

TEST(WagesimOs, StreamsAsFastAsTheBankPortAllows) {
    ArrayConfig array = square(32);  // 32 pixels of a byte through 16 bytes: 2 cycles a step
    EXPECT_EQ(os_by_formula({"port", 64, 32, 500, 1}, array), 32 + 2 * 1000 + 95);
    array.operand_bytes = 2;
    EXPECT_EQ(os_by_formula({"port", 64, 32, 500, 1}, array), 32 + 2 * 2000 + 95);
    // The last fold has 8 pixels: 16 bytes, one cycle a step.
    EXPECT_EQ(os_by_formula({"port", 40, 32, 500, 1}, array), 32 + 2000 + 500 + 95);
}

TEST(WagesimOs, RunsColumnTilesAndGroupsOneAfterTheOther) {
    const auto layer =
        layer_cycles({"columns", 16, 33, 100, 2}, square(16), Dataflow::os, Convention::wagesim);
    EXPECT_EQ(layer.compute_cycles, 2 * 3 * 163);
    EXPECT_EQ(layer.folds, 6);
    EXPECT_NEAR(layer.mapping_efficiency, 100.0 * 33 / 48, 1e-9);
    EXPECT_NEAR(layer.overall_util, 100.0 * (33.0 / 48) * (100.0 / 163), 1e-9);
}

TEST(WagesimOs, FormulaIsTheStepByStepCount) {
    int checked = 0, waiting = 0;
    for (const int rows : {1, 2, 4, 16, 24})
        for (const int columns : {1, 3, 16})
            for (const std::int64_t m : {1, 7, 16, 33, 48, 200})
                for (const std::int64_t k : {1, 15, 46, 47, 48, 300})
                    for (const int operand_bytes : {1, 2}) {
                        ArrayConfig array;
                        array.rows = rows;
                        array.columns = columns;
                        array.operand_bytes = operand_bytes;
                        const Workload w{"w", m, columns, k, 1};
                        ASSERT_EQ(os_by_formula(w, array), stepped_column(w, array))
                            << rows << "x" << columns << ", m " << m << " k " << k << ", bytes "
                            << operand_bytes;
                        ++checked;
                        waiting += k < 2 * rows + columns - 1;
                    }
    EXPECT_EQ(checked, 1080);
    EXPECT_GT(waiting, 100);
    EXPECT_GT(checked - waiting, 100);
}

std::int64_t is_by_formula(const Workload& workload, const ArrayConfig& array) {
    return layer_cycles(workload, array, Dataflow::is, Convention::wagesim).compute_cycles;
}

TEST(WagesimIs, StreamsChannelsThroughTilesOfOperands) {
    // 16 to load, 100 channels, 31 of wavefront; three k tiles; two pixel tiles.
    EXPECT_EQ(is_by_formula({"one", 16, 100, 16, 1}, square(16)), 16 + 100 + 31);
    EXPECT_EQ(is_by_formula({"k", 16, 100, 48, 1}, square(16)), 16 + 3 * 100 + 31);
    EXPECT_EQ(is_by_formula({"m", 17, 100, 16, 1}, square(16)), 16 + 2 * 100 + 31);
    EXPECT_EQ(is_by_formula({"short", 17, 10, 16, 1}, square(16)), 16 + 47 + 10 + 31);
}

TEST(WagesimIs, WeightsAreBytesWhateverTheOperands) {
    ArrayConfig array = square(32);
    EXPECT_EQ(is_by_formula({"port", 32, 1000, 64, 1}, array), 32 + 2 * 2000 + 63);
    array.operand_bytes = 2;
    EXPECT_EQ(is_by_formula({"port", 32, 1000, 64, 1}, array), 32 + 2 * 2000 + 63);
}

TEST(WagesimIs, FormulaIsTheScheduleWithOperandsAndWeightsExchanged) {
    for (const int rows : {2, 16})
        for (const int columns : {3, 16})
            for (const std::int64_t m : {1, 33, 47, 200})
                for (const std::int64_t n : {1, 40, 47, 100})
                    for (const std::int64_t k : {1, 15, 50}) {
                        ArrayConfig array;
                        array.rows = rows;
                        array.columns = columns;
                        ASSERT_EQ(is_by_formula({"w", m, n, k, 3}, array),
                                  scheduled({"w", n, m, k, 3}, array))
                            << rows << "x" << columns << ", m " << m << " n " << n << " k " << k;
                    }
}

TEST(WagesimIs, CountsPixelsInThePes) {
    const auto layer =
        layer_cycles({"half", 8, 100, 16, 1}, square(16), Dataflow::is, Convention::wagesim);
    EXPECT_NEAR(layer.mapping_efficiency, 50, 1e-9);
    EXPECT_NEAR(layer.compute_util, 50, 1e-9);
    EXPECT_NEAR(layer.overall_util, 50.0 * 100 / 147, 1e-9);
}

TEST(Cycles, RefusesWhatItCannotCount) {
    ArrayConfig none = square(16);
    none.rows = 0;
    EXPECT_THROW(layer_cycles(gemm, none, Dataflow::ws, Convention::scalesim), InputError);
    // The MACs fit 64 bits, the cycles do not.
    const Workload huge{"huge", 1'000'000'000, 1'000'000'000, 9, 1};
    ArrayConfig tiny = square(1);
    EXPECT_THROW(layer_cycles(huge, tiny, Dataflow::os, Convention::scalesim_paper), InputError);
    tiny.operand_bytes = 100;  // 7 cycles of the port
    for (const Dataflow dataflow : {Dataflow::ws, Dataflow::os})
        EXPECT_THROW(layer_cycles(huge, tiny, dataflow, Convention::wagesim), InputError);
    EXPECT_THROW(parse_dataflow("row", "--dataflow"), InputError);
    EXPECT_THROW(parse_convention("scale", "--cycle-convention"), InputError);
}

}  // namespace
}  // namespace wagesim::timing
