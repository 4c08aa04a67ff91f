// Both fidelities run the same program: the same tensors, counters, stalls by cause and cycles.
#include <gtest/gtest.h>

#include <cstdlib>
#include <string>

#include "experiment.h"
#include "random_case.h"

namespace wagesim::test {
namespace {

/// Everything that a run shows, but what PEs did one by one.
void expect_equal(const Outcome& a, const Outcome& b, const std::string& what) {
    EXPECT_EQ(a.tensors, b.tensors) << what;
    EXPECT_EQ(a.cycles, b.cycles) << what;
    EXPECT_EQ(a.stalls, b.stalls) << what;
    EXPECT_EQ(a.saturations, b.saturations) << what;
    EXPECT_EQ(a.wraps, b.wraps) << what;
    EXPECT_EQ(a.findings, b.findings) << what;
    ASSERT_EQ(a.batches.size(), b.batches.size()) << what;
    for (std::size_t i = 0; i < a.batches.size(); ++i) {
        EXPECT_EQ(a.batches[i].cycles, b.batches[i].cycles) << what;
        EXPECT_EQ(a.batches[i].macs, b.batches[i].macs) << what;
        EXPECT_EQ(a.batches[i].padding_slots, b.batches[i].padding_slots) << what;
    }
}

/// Every product of an array layer was formed by a PE, in a step of its own.
void expect_products_in_pes(const Outcome& outcome, const std::string& what) {
    for (const BatchOutcome& batch : outcome.batches) {
        EXPECT_GT(batch.pe_operations, 0) << what;
        EXPECT_EQ(batch.pe_operations, batch.macs + batch.padding_slots) << what;
    }
}

Outcome at_registers(Experiment experiment, int quantum) {
    experiment.fidelity = rtl::Fidelity::register_accurate;
    experiment.quantum = quantum;
    return run(experiment);
}

/// WAGESIM_RANDOM_NETWORKS=N tries seeds 1 to N: for a soak.
std::uint64_t random_networks() {
    const char* count = std::getenv("WAGESIM_RANDOM_NETWORKS");
    return count == nullptr ? 24 : std::strtoull(count, nullptr, 10);
}

TEST(Fidelities, AgreeOnRandomNetworksAndMachines) {
    std::int64_t checked = 0;
    for (std::uint64_t seed = 1; seed <= random_networks(); ++seed) {
        const RandomCase random(seed);
        Experiment experiment = random.experiment(static_cast<std::uint32_t>(seed));
        experiment.keep_codes = true;
        experiment.stall_seed = seed % 3 == 0 ? static_cast<std::uint32_t>(seed) : 0;
        const Outcome tile = run(experiment);
        const std::string what = "seed " + std::to_string(seed) + "\n" + random.datapath.dump();
        const Outcome registers = at_registers(experiment, static_cast<int>(1 + seed * 37 % 150));
        ASSERT_TRUE(registers.clean) << what << registers.story();
        expect_equal(tile, registers, what);
        expect_products_in_pes(registers, what);
        checked += registers.checked;
        if (HasFailure()) return;
    }
    EXPECT_GT(checked, 10'000);
}

class Arrays : public ::testing::TestWithParam<std::string> {};

TEST_P(Arrays, GiveTheSameInBothFidelities) {
    Experiment experiment;
    experiment.network = network_file("zoo");
    experiment.datapath = "{\"machine\": {" + GetParam() + "}}";
    experiment.batches = {1, 2};
    experiment.pixels = test_images(3);
    experiment.keep_codes = true;
    for (const std::uint32_t stall_seed : {0U, 5U}) {
        experiment.stall_seed = stall_seed;
        const Outcome tile = run(experiment);
        const Outcome registers = at_registers(experiment, 64);
        EXPECT_TRUE(registers.clean) << registers.story();
        expect_equal(tile, registers, GetParam());
        expect_products_in_pes(registers, GetParam());
    }
}

std::string array(int rows, int columns, const char* dataflow) {
    return "\"array_rows\": " + std::to_string(rows) +
           ", \"array_columns\": " + std::to_string(columns) + ", \"dataflow\": \"" + dataflow +
           "\"";
}
INSTANTIATE_TEST_SUITE_P(Sizes, Arrays,
                         ::testing::Values(array(1, 1, "ws"), array(4, 4, "ws"), array(8, 16, "ws"),
                                           array(16, 16, "ws"), array(32, 8, "ws"),
                                           array(1, 1, "os"), array(4, 4, "os"), array(8, 16, "os"),
                                           array(16, 16, "os"), array(32, 8, "os")));

class Quanta : public ::testing::TestWithParam<const char*> {};

TEST_P(Quanta, AllGiveTheResultsOfOneCycle) {
    Experiment experiment;
    experiment.network = network_file("convnet");
    experiment.datapath = std::string(R"({"machine": {"bank_bytes_per_cycle": 8, "dataflow": ")") +
                          GetParam() + R"("}})";
    experiment.batches = {2};
    experiment.pixels = test_images(2);
    experiment.keep_codes = true;
    const Outcome one = at_registers(experiment, 1);
    ASSERT_TRUE(one.clean) << one.story();
    for (const int quantum : {2, 7, 64, 1000}) {
        const Outcome other = at_registers(experiment, quantum);
        const std::string what = "quantum " + std::to_string(quantum);
        expect_equal(one, other, what);
        expect_products_in_pes(other, what);
    }
}

// A bit of the image that flips while conv1's GEMM streams meets the operands that come after it.
TEST_P(Quanta, AllSeeABitFlipInTheSameCycle) {
    Experiment experiment;
    experiment.network = network_file("convnet");
    experiment.datapath = std::string(R"({"machine": {"dataflow": ")") + GetParam() + R"("}})";
    experiment.batches = {2};
    experiment.pixels = test_images(2);
    experiment.keep_codes = true;
    int hits = 0, found = 0;
    for (const std::int64_t cycle : {8'700, 8'955, 9'200, 9'600, 9'700, 10'600}) {
        experiment.injection = rtl::Injection{Space::activations, 0x204, 6, cycle};
        const Outcome one = at_registers(experiment, 1);
        const Outcome other = at_registers(experiment, 200);
        expect_equal(one, other, "flip in cycle " + std::to_string(cycle));
        EXPECT_EQ(one.mismatches, other.mismatches);
        EXPECT_EQ(one.injection_story, other.injection_story);
        hits += one.injection_hit;
        found += one.mismatches > 0;
    }
    EXPECT_GT(hits, 0);
    EXPECT_GT(found, 0);
    EXPECT_LT(found, hits) << "one flip comes after the last operand";
}

INSTANTIATE_TEST_SUITE_P(Dataflows, Quanta, ::testing::Values("ws", "os"),
                         [](const auto& test) { return std::string(test.param); });

}  // namespace
}  // namespace wagesim::test
