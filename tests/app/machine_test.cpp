// Whatever the machine's sizes and timings: the same bits, other cycles, and cycles that the
// independent recurrence predicts.
#include <gtest/gtest.h>

#include <numeric>
#include <set>

#include "experiment.h"

namespace wagesim::test {
namespace {

std::string machine(const std::string& settings) { return R"({"machine": {)" + settings + "}}"; }

/// A burst brings everything at once: reads and writes hardly meet.
std::string fast_dram(const std::string& more = "") {
    return machine(R"("dram_bytes_per_cycle": 4096, "dram_burst_bytes": 4096)" + more);
}

std::int64_t stalls(const Outcome& outcome, Unit unit) {
    const auto& causes = outcome.stalls[static_cast<std::size_t>(unit)];
    return std::accumulate(causes.begin(), causes.end(), std::int64_t{0});
}

std::int64_t stalls(const Outcome& outcome, StallCause cause) {
    std::int64_t sum = 0;
    for (const auto& unit : outcome.stalls) sum += unit[static_cast<std::size_t>(cause)];
    return sum;
}

TEST(AnyMachine, GivesTheSameBitsInOtherCycles) {
    Experiment experiment;
    experiment.network = network_file("convnet");
    experiment.batches = {2};
    experiment.pixels = test_images(2);
    experiment.keep_codes = true;
    const Outcome usual = run(experiment);
    ASSERT_TRUE(usual.clean) << usual.story();

    const std::vector<std::pair<std::string, std::string>> machines{
        {"slow Dram", R"("dram_bytes_per_cycle": 1)"},
        {"latency 7", R"("dram_latency_cycles": 7)"},
        {"one burst in flight", R"("dram_outstanding": 1)"},
        {"array 4 x 4", R"("array_rows": 4, "array_columns": 4)"},
        {"array 5 x 32", R"("array_rows": 5, "array_columns": 32)"},
        {"output-stationary", R"("dataflow": "os")"},
        {"output-stationary, 32 x 5", R"("dataflow": "os", "array_rows": 32, "array_columns": 5)"},
        {"8 lanes", R"("vector_lanes": 8)"},
        {"queues of one", R"("queue_depth": 1)"},
        {"slow issue", R"("issue_cycles": 40)"},
        {"narrow banks", R"("bank_bytes_per_cycle": 2)"},
        {"small buffers", R"("activation_buffer_bytes": 16384, "accumulator_bytes": 8192)"},
    };
    std::set<std::int64_t> cycles{usual.cycles};
    for (const auto& [name, settings] : machines) {
        experiment.datapath = machine(settings);
        const Outcome other = run(experiment);
        EXPECT_TRUE(other.clean) << name << ": " << other.story();
        EXPECT_EQ(other.tensors, usual.tensors) << name;
        EXPECT_TRUE(cycles.insert(other.cycles).second)
            << name << ": " << other.cycles << " cycles, as another machine";
        EXPECT_NE(other.stalls, usual.stalls) << name;
        if (name == "slow Dram") {
            EXPECT_GT(other.cycles, usual.cycles);
            EXPECT_GT(stalls(other, Unit::array), stalls(usual, Unit::array));
        }
        if (name == "latency 7") {
            EXPECT_LT(other.cycles, usual.cycles);
        }
        if (name == "slow issue") {
            EXPECT_GT(stalls(other, StallCause::control), stalls(usual, StallCause::control));
        }
    }
    experiment.datapath = "{}";
    for (const std::uint32_t seed : {1U, 2U, 3U}) {
        experiment.stall_seed = seed;
        const Outcome other = run(experiment);
        EXPECT_TRUE(other.clean) << "stall seed " << seed << ": " << other.story();
        EXPECT_EQ(other.tensors, usual.tensors) << "stall seed " << seed;
        EXPECT_TRUE(cycles.insert(other.cycles).second) << "stall seed " << seed;
        EXPECT_GT(stalls(other, StallCause::backpressure), 0);
    }
    EXPECT_EQ(stalls(usual, StallCause::backpressure), 0);
}

struct Timed {
    const char* name;
    const char* network;
    std::string datapath;
    /// Of two batches, those at least in which reads and writes never meet on the Dram's bus: there
    /// the prediction is exact.
    int exact;
};

void PrintTo(const Timed& timed, std::ostream* out) { *out << timed.name; }

class Cycles : public ::testing::TestWithParam<Timed> {};

TEST_P(Cycles, AreThoseOfTheRecurrence) {
    const Timed& timed = GetParam();
    for (const auto batch_norm : {compile::BatchNorm::running, compile::BatchNorm::batch}) {
        Experiment experiment;
        experiment.network = network_file(timed.network);
        experiment.datapath = timed.datapath;
        experiment.batch_norm = batch_norm;
        experiment.batches = {1, 1};
        experiment.pixels = test_images(2);
        const Outcome outcome = run(experiment);
        int exact = 0;
        for (const BatchOutcome& batch : outcome.batches) {
            EXPECT_GE(batch.cycles, batch.predicted);
            EXPECT_LE(batch.cycles, batch.serial);
            EXPECT_LT(batch.predicted, batch.serial);
            EXPECT_GT(batch.busy_equal, 10);
            EXPECT_EQ(batch.busy_other, 0);
            if (batch.overlap > 0) continue;
            EXPECT_EQ(batch.cycles, batch.predicted);
            ++exact;
        }
        EXPECT_GE(exact, timed.exact);
    }
}

INSTANTIATE_TEST_SUITE_P(
    Machines, Cycles,
    ::testing::Values(
        Timed{"convnet", "convnet", "{}", 1}, Timed{"mlp", "mlp", "{}", 1},
        Timed{"resnet8", "resnet8", "{}", 1}, Timed{"zoo", "zoo", "{}", 0},
        Timed{"mlp_slow_dram", "mlp", machine(R"("dram_bytes_per_cycle": 1)"), 1},
        Timed{"convnet_4x4", "convnet", machine(R"("array_rows": 4, "array_columns": 4)"), 1},
        Timed{"zoo_queue_1", "zoo", machine(R"("queue_depth": 1)"), 0},
        Timed{"convnet_fast_dram", "convnet", fast_dram(), 2},
        Timed{"resnet8_fast_dram", "resnet8", fast_dram(), 2},
        Timed{"mlp_fast_dram", "mlp", fast_dram(), 2},
        Timed{"zoo_fast_dram", "zoo", fast_dram(), 2},
        Timed{"convnet_os", "convnet", machine(R"("dataflow": "os")"), 1},
        Timed{"zoo_os_fast_dram", "zoo", fast_dram(R"(, "dataflow": "os")"), 2},
        Timed{"resnet8_os_8x4_fast_dram", "resnet8",
              fast_dram(R"(, "dataflow": "os", "array_rows": 8, "array_columns": 4)"), 2}),
    [](const auto& test) { return std::string(test.param.name); });

}  // namespace
}  // namespace wagesim::test
