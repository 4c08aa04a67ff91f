// Every program that the compiler makes does each multiplication and each code once, reads only
// what is there, and cannot deadlock.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "compile/compile.h"
#include "damage.h"
#include "program_check.h"
#include "random_network.h"
#include "wagesim/error.h"

namespace wagesim::test {
namespace {

using compile::BatchNorm;
using compile::compile_training;
using compile::listing;

std::int64_t macs_of(const Network& network, std::int64_t batch) {
    std::int64_t macs = 0;
    for (const Layer& layer : network.layers) {
        if (layer.type != LayerType::conv2d && layer.type != LayerType::linear) continue;
        const Shape weights = weight_shape(layer);
        macs += batch * layer.out_shape.size() * weights.c * weights.h * weights.w;
    }
    return macs;
}

std::int64_t codes_of(const Network& network, const Datapath& datapath, std::int64_t batch,
                      BatchNorm batch_norm) {
    std::int64_t codes = 0;
    for (const auto& point : compile::quantisation_points(network, datapath, batch, batch_norm))
        if (point.qp.layer >= 0) codes += point.shape.size();
    return codes;
}

void expect_sound(const Network& network, const Datapath& datapath, std::int64_t batch,
                  BatchNorm batch_norm) {
    const Program program = compile::compile(network, datapath, batch, batch_norm, true);
    const Checked checked = check_program(program, network, datapath, batch, batch_norm);
    EXPECT_EQ(checked.violation, "");
    EXPECT_EQ(checked.macs, macs_of(network, batch));
    EXPECT_EQ(checked.codes_made, codes_of(network, datapath, batch, batch_norm));
    EXPECT_EQ(deadlock(program, 1), -1);
    EXPECT_EQ(deadlock(program, 8), -1);
}

class RandomNetworks : public testing::TestWithParam<int> {};

TEST_P(RandomNetworks, CompileToSoundPrograms) {
    int compiled = 0, refused = 0;
    for (int i = 0; i < 40; ++i) {
        const int seed = GetParam() * 1000 + i;
        Random random(static_cast<std::uint64_t>(seed));
        const bool folded = random.chance(25);
        const std::string text = random_network(random, folded);
        Datapath datapath = random_datapath(random);
        if (folded) datapath.bn_inference = BnInference::folded;
        const std::int64_t batch = random.between(1, 5);
        const BatchNorm batch_norm =
            !folded && random.chance(50) ? BatchNorm::batch : BatchNorm::running;
        SCOPED_TRACE("seed " + std::to_string(seed) + "\n" + text);
        const Network network = parse_network(text, "random");
        try {
            expect_sound(network, datapath, batch, batch_norm);
            ++compiled;
        } catch (const InputError& error) {
            // Too small a buffer, or a batch norm that can't be folded: said with the layer.
            EXPECT_EQ(std::string(error.what()).rfind("layer l", 0), 0U) << error.what();
            ++refused;
        }
        if (HasFailure()) return;
    }
    EXPECT_GT(compiled, 20) << refused << " refused";
}

INSTANTIATE_TEST_SUITE_P(Seeds, RandomNetworks, testing::Range(0, 6));

class ShippedNetworks : public testing::TestWithParam<std::string> {};

TEST_P(ShippedNetworks, CompileToSoundPrograms) {
    const Network network =
        read_network(std::string(WAGESIM_NETWORKS) + "/" + GetParam() + ".json");
    expect_sound(network, preset("int8"), 2, BatchNorm::running);
    expect_sound(network, preset("int8"), 3, BatchNorm::batch);
    Datapath small = preset("int8");
    small.machine.activation_buffer_bytes = 16 * 1024;
    small.machine.weight_buffer_bytes = 4 * 1024;
    small.machine.accumulator_bytes = 10 * 16 * 64;
    small.machine.parameter_bytes = 1024;
    for (const Dataflow dataflow : {Dataflow::ws, Dataflow::os}) {
        small.machine.dataflow = dataflow;
        expect_sound(network, small, 1, BatchNorm::running);
    }
}

// The large ones in the tests of the command line.
INSTANTIATE_TEST_SUITE_P(All, ShippedNetworks, testing::Values("mlp", "convnet", "resnet8"),
                         [](const auto& parameter) { return parameter.param; });

// ---- a program that is made while it runs -----------------------------------------------------

TEST(Compile, APassMadeAgainIsThePassItWas) {
    const Network network = read_network(std::string(WAGESIM_NETWORKS) + "/resnet8.json");
    const Datapath datapath = preset("int8");
    const Program kept = compile_training(network, datapath, 3).step;
    const Program made = compile_training(network, datapath, 3, 0).step;
    ASSERT_EQ(kept.source, nullptr);
    ASSERT_NE(made.source, nullptr);
    EXPECT_TRUE(made.commands.empty());
    const std::string expected = listing(kept, network);
    EXPECT_EQ(listing(made, network), expected);
    // The second time from the start, and commands out of order.
    EXPECT_EQ(listing(made, network), expected);
    for (const std::size_t index : {made.size() - 1, std::size_t{0}, made.size() / 2})
        EXPECT_EQ(made.at(index).operands.index(), kept.at(index).operands.index()) << index;
}

// ---- the check itself: what it must not let pass ----------------------------------------------

class DamagedPrograms : public testing::TestWithParam<Damage> {};

TEST_P(DamagedPrograms, AreFound) {
    const Network network =
        parse_network(R"({"name": "n", "input": {"shape": [3, 9, 9]}, "layers": [
        {"name": "conv1", "type": "conv2d", "out_channels": 20, "kernel": 3, "padding": 1},
        {"name": "bn1", "type": "batch_norm"}, {"name": "relu1", "type": "relu"},
        {"name": "conv2", "type": "conv2d", "out_channels": 20, "kernel": 3, "padding": 1},
        {"name": "add", "type": "add", "inputs": ["conv2", "relu1"]},
        {"name": "pool", "type": "avg_pool", "kernel": 3, "stride": 2},
        {"name": "fc", "type": "linear", "out_features": 5, "bias": true}]})",
                      "test");
    Datapath datapath = preset("int8");
    datapath.machine.activation_buffer_bytes = 16 * 1024;
    datapath.machine.weight_buffer_bytes = 2 * 1024;
    datapath.machine.dataflow = GetParam().dataflow;
    Program program = compile::compile(network, datapath, 3, BatchNorm::batch, true);
    ASSERT_EQ(check_program(program, network, datapath, 3, BatchNorm::batch).violation, "");
    bool done = false;
    for (std::size_t i = program.commands.size(); !done && i-- > 0;)
        done = GetParam().damage(program.commands[i]);
    ASSERT_TRUE(done) << "no such command";
    EXPECT_NE(check_program(program, network, datapath, 3, BatchNorm::batch).violation, "");
}

INSTANTIATE_TEST_SUITE_P(
    Each, DamagedPrograms,
    testing::Values(
        Damage{"WeightOfAnotherRow", change<WeightLoad>([](auto& w) { w.weights.address += 1; })},
        Damage{"OperandOfTheNextPixel", change<Gemm>([](auto& g) { g.address += 1; })},
        Damage{"SumInAnotherRow", change<Gemm>([](auto& g) { g.accumulator_row += 1; })},
        Damage{"SumStartedAgain", change<Gemm>([](auto& g) { g.accumulate = !g.accumulate; })},
        Damage{"NoBias", change<Gemm>([](auto& g) { g.bias_address = -1; g.k0 = 0; })},
        Damage{"StatisticsOfAnotherChannel",
               change<Drain>([](auto& d) { d.statistics_address += 16; })},
        Damage{"CountOfAnotherTensor", change<BnStat>([](auto& s) { s.count += 1; })},
        Damage{"PoolOfTheRowBelow", change<Pool>([](auto& p) { p.h0 -= 1; })},
        Damage{"OperandOfAnotherAddress", change<Add>([](auto& a) { a.b.address += 4; })},
        Damage{"AnotherFrac", change<NormalizeCmd>([](auto& n) { n.source.frac += 1; })},
        Damage{"MuOfAnotherChannel", change<NormalizeCmd>([](auto& n) { n.mu_address += 4; })},
        Damage{"HiddenX2", change<Act>([](auto& a) { a.show_x = false; })},
        Damage{"ShorterRun", change<Transfer>([](auto& run) { run.run_bytes -= 1; })},
        Damage{"WaitForgotten",
               [](Command& c) {
                   if (c.unit != Unit::dma_write || c.waits.empty()) return false;
                   c.waits.clear();
                   return true;
               }},
        Damage{"GiveForgotten",
               [](Command& c) {
                   if (c.unit != Unit::array || c.gives.empty()) return false;
                   c.gives.clear();
                   return true;
               }},
        Damage{"ShadowNotWaitedFor",
               [](Command& c) {
                   if (c.unit != Unit::weight_loader) return false;
                   c.waits.erase(c.waits.begin());
                   return true;
               }},
        Damage{"OsWeightOfAnotherIndex", change<Gemm>([](auto& g) { g.weights.address += 1; }),
               Dataflow::os},
        Damage{"OsWeightOfAnotherColumn", change<Gemm>([](auto& g) { g.weights.column_stride += 1; }),
               Dataflow::os},
        Damage{"OsSwap", change<Gemm>([](auto& g) { g.gives_at_swap = {0}; }), Dataflow::os},
        Damage{"OsLastIndexForgotten", change<Gemm>([](auto& g) { g.k -= 1; }), Dataflow::os},
        Damage{"OsWeightsNotWaitedFor",
               [](Command& c) {
                   if (c.unit != Unit::array || c.waits.size() != 1) return false;
                   c.waits.clear();
                   return true;
               },
               Dataflow::os},
        Damage{"OsWeightsNotGivenBack",
               [](Command& c) {
                   if (c.unit != Unit::array || c.gives.size() != 1) return false;
                   c.gives.clear();
                   return true;
               },
               Dataflow::os}),
    [](const auto& parameter) { return std::string(parameter.param.name); });

}  // namespace
}  // namespace wagesim::test
