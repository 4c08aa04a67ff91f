// Whole networks: every element of every quantisation point is compared, and nothing differs.
#include <gtest/gtest.h>

#include <cstdlib>
#include <set>

#include "element_count.h"
#include "experiment.h"
#include "random_case.h"

namespace wagesim::test {
namespace {

using compile::BatchNorm;

struct Whole {
    const char* network;
    BatchNorm batch_norm;
    std::int64_t images;
};

void PrintTo(const Whole& whole, std::ostream* out) { *out << whole.network; }

class WholeNetwork : public ::testing::TestWithParam<Whole> {};

TEST_P(WholeNetwork, EveryElementIsComparedAndEqual) {
    const auto& [name, batch_norm, images] = GetParam();
    Experiment experiment;
    experiment.network = network_file(name);
    experiment.batch_norm = batch_norm;
    experiment.batches = {images};
    experiment.pixels = test_images(images);
    const Outcome outcome = run(experiment);
    EXPECT_TRUE(outcome.clean) << outcome.story();
    CountRules rules;
    rules.batch = images;
    rules.batch_statistics = batch_norm == BatchNorm::batch;
    EXPECT_EQ(outcome.checked, element_count(experiment.network, rules));
    EXPECT_EQ(outcome.tensors_checked, outcome.batches[0].points);
}

INSTANTIATE_TEST_SUITE_P(
    Shipped, WholeNetwork,
    ::testing::Values(Whole{"convnet", BatchNorm::running, 4},
                      Whole{"convnet", BatchNorm::batch, 4},
                      Whole{"resnet8", BatchNorm::running, 1},
                      Whole{"resnet8", BatchNorm::batch, 2}, Whole{"mlp", BatchNorm::running, 8},
                      Whole{"mlp", BatchNorm::batch, 8}, Whole{"zoo", BatchNorm::running, 2},
                      Whole{"zoo", BatchNorm::batch, 2}),
    [](const auto& test) {
        return std::string(test.param.network) +
               (test.param.batch_norm == BatchNorm::batch ? "_batch" : "_running");
    });

/// WAGESIM_RANDOM_NETWORKS=N tries seeds 1 to N: for a soak.
std::uint32_t last_seed() {
    const char* count = std::getenv("WAGESIM_RANDOM_NETWORKS");
    return count == nullptr ? 32 : static_cast<std::uint32_t>(std::stoul(count));
}

class RandomNetwork : public ::testing::TestWithParam<std::uint32_t> {};

TEST_P(RandomNetwork, IsBitExactOnARandomMachine) {
    const RandomCase random(GetParam());
    const Experiment experiment = random.experiment(GetParam());
    SCOPED_TRACE("seed " + std::to_string(GetParam()) + "\n" + random.network.dump() + "\n" +
                 random.datapath.dump());
    const Outcome outcome = run(experiment);
    EXPECT_TRUE(outcome.clean) << outcome.story();
    std::int64_t expected = 0;
    for (std::size_t i = 0; i < experiment.batches.size(); ++i) {
        CountRules rules;
        rules.batch = experiment.batches[i];
        rules.batch_statistics = random.batch_statistics;
        rules.folded = random.folded;
        rules.reciprocal = random.reciprocal;
        rules.prologue = i == 0 || experiment.batches[i] != experiment.batches[i - 1];
        expected += element_count(experiment.network, rules);
    }
    EXPECT_EQ(outcome.checked, expected);
    for (const BatchOutcome& batch : outcome.batches) {
        EXPECT_GE(batch.cycles, batch.predicted);
        if (batch.overlap == 0) {
            EXPECT_EQ(batch.cycles, batch.predicted);
        }
        EXPECT_LE(batch.cycles, batch.serial);
    }
}

INSTANTIATE_TEST_SUITE_P(Seeds, RandomNetwork, ::testing::Range(1U, last_seed() + 1),
                         [](const auto& test) { return "seed_" + std::to_string(test.param); });

/// The seeds above do reach the corners that they are there for.
TEST(RandomNetworks, ReachOverflowingAccumulatorsSaturationAndEveryKindOfLayer) {
    std::set<std::string> types;
    int folded = 0, reciprocal = 0, batch_statistics = 0, output_stationary = 0, short_sums = 0;
    for (std::uint32_t seed = 1; seed <= 32; ++seed) {
        const RandomCase random(seed);
        for (const auto& layer : random.network["layers"]) types.insert(layer["type"]);
        folded += random.folded;
        reciprocal += random.reciprocal;
        batch_statistics += random.batch_statistics;
        output_stationary += random.output_stationary;
        short_sums +=
            random.output_stationary && random.datapath["machine"]["accumulator_bits"] < 20;
    }
    EXPECT_EQ(types.size(), 9U);
    EXPECT_GT(folded, 3);
    EXPECT_GT(reciprocal, 3);
    EXPECT_GT(batch_statistics, 5);
    EXPECT_GT(output_stationary, 10);
    EXPECT_GT(short_sums, 3);
}

// A short accumulator, weights over the whole range: sums overflow, in both ways of overflowing,
// once a K tile or once a product.
struct Accumulation {
    const char* overflow;
    const char* dataflow;
};

void PrintTo(const Accumulation& accumulation, std::ostream* out) {
    *out << accumulation.dataflow << ", " << accumulation.overflow;
}

Outcome overflowing(const Accumulation& accumulation) {
    Experiment experiment;
    experiment.network = R"({"name": "wide", "input": {"shape": [8, 6, 6]}, "layers": [
        {"name": "conv", "type": "conv2d", "out_channels": 12, "kernel": 3, "padding": 1, "bias": true},
        {"name": "relu", "type": "relu"}, {"name": "fc", "type": "linear", "out_features": 5}]})";
    experiment.datapath =
        std::string(R"({"machine": {"accumulator_bits": 17, "accumulator_overflow": ")") +
        accumulation.overflow + R"(", "dataflow": ")" + accumulation.dataflow + R"("}})";
    experiment.batches = {3};
    experiment.set_parameters = [](const Network&, const Datapath&, app::Parameters& parameters) {
        Random random(3);
        for (auto& [key, tensor] : parameters)
            for (auto& code : tensor.codes) code = random.between(-(1 << 23) + 1, (1 << 23) - 1);
    };
    return run(experiment);
}

class ShortAccumulator : public ::testing::TestWithParam<Accumulation> {};

TEST_P(ShortAccumulator, OverflowsInTheSamePlacesInBothModels) {
    const Outcome outcome = overflowing(GetParam());
    EXPECT_TRUE(outcome.clean) << outcome.story();
    EXPECT_GT(outcome.differs_from_wide, 20);
    const bool wraps = std::string(GetParam().overflow) == "wrap";
    EXPECT_GT(wraps ? outcome.wraps : outcome.saturations, 20);
}

INSTANTIATE_TEST_SUITE_P(
    All, ShortAccumulator,
    ::testing::Values(Accumulation{"wrap", "ws"}, Accumulation{"saturate", "ws"},
                      Accumulation{"wrap", "os"}, Accumulation{"saturate", "os"}),
    [](const auto& test) { return std::string(test.param.dataflow) + "_" + test.param.overflow; });

TEST(ShortAccumulators, OverflowMoreOftenWhereEveryProductIsAnAddition) {
    EXPECT_GT(overflowing({"wrap", "os"}).wraps, overflowing({"wrap", "ws"}).wraps);
    EXPECT_GT(overflowing({"saturate", "os"}).saturations,
              overflowing({"saturate", "ws"}).saturations);
}

// A maximum keeps its codes as they are, also the lowest one of a full range.
TEST(MaxPool, KeepsTheLowestCodeOfAFullRange) {
    Experiment experiment;
    experiment.network = R"({"name": "low", "input": {"shape": [1, 6, 6]}, "layers": [
        {"name": "pool", "type": "max_pool", "kernel": 2}, {"name": "conv", "type": "conv2d", "out_channels": 3, "kernel": 1},
        {"name": "bn", "type": "batch_norm"}, {"name": "again", "type": "max_pool", "kernel": 3},
        {"name": "fc", "type": "linear", "out_features": 2}]})";
    experiment.datapath = R"({"quantizers": {"A": {"overflow": "full", "frac": 7}}})";
    experiment.pixels.assign(36, 0);  // -128, the image's lowest code
    experiment.keep_codes = true;
    experiment.set_parameters = [](const Network&, const Datapath&, app::Parameters& parameters) {
        for (auto& [key, tensor] : parameters)
            if (key.second == Qp::W) tensor.codes.assign(tensor.codes.size(), (1 << 23) - 1);
    };
    const Outcome outcome = run(experiment);
    EXPECT_TRUE(outcome.clean) << outcome.story();
    EXPECT_EQ(outcome.tensors.at("pool.A"), std::vector<std::int64_t>(9, -128));
    // y is -127/128, xhat and x2 round to -1: A's lowest code at frac 7.
    EXPECT_EQ(outcome.tensors.at("bn.A"), std::vector<std::int64_t>(27, -128));
    EXPECT_EQ(outcome.tensors.at("again.A"), std::vector<std::int64_t>(3, -128));
}

TEST(Batches, OfTwoTwoAndOneGiveTheTensorsOfOneBatchOfFive) {
    for (const char* name : {"convnet", "zoo"}) {
        Experiment experiment;
        experiment.network = network_file(name);
        experiment.pixels = test_images(5);
        experiment.keep_codes = true;
        experiment.batches = {5};
        const Outcome whole = run(experiment);
        experiment.batches = {2, 2, 1};
        const Outcome parts = run(experiment);
        EXPECT_TRUE(whole.clean) << whole.story();
        EXPECT_TRUE(parts.clean) << parts.story();
        int compared = 0;
        for (const auto& [tensor, codes] : whole.tensors) {
            const auto& other = parts.tensors.at(tensor);
            // Of the parameters the parts have a copy for each program that quantises them.
            if (other.size() != codes.size()) continue;
            ++compared;
            EXPECT_EQ(codes, other) << name << " " << tensor;
        }
        EXPECT_GT(compared, 10) << name;
    }
}

TEST(Seeds, DecideTheStartWeightsAndNothingElseDoes) {
    Experiment experiment;
    experiment.network = network_file("mlp");
    experiment.pixels = test_images(1);
    experiment.keep_codes = true;
    const Outcome once = run(experiment), again = run(experiment);
    EXPECT_EQ(once.tensors, again.tensors);
    EXPECT_EQ(once.cycles, again.cycles);
    experiment.seed = 2;
    EXPECT_NE(once.tensors.at("fc1.Wq"), run(experiment).tensors.at("fc1.Wq"));
}

}  // namespace
}  // namespace wagesim::test
