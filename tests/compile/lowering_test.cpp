// What becomes of layers: passes, tiles, loads, tokens.
#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <stdexcept>
#include <string>
#include <vector>

#include "compile/compile.h"
#include "compile/emitter.h"

namespace wagesim::test {
namespace {

using compile::BatchNorm;

/// conv (16 -> 32, 3x3, 28x28), bn, relu, pool, fc.
Network chain(const std::string& more = "") {
    return parse_network(R"({"name": "chain", "input": {"shape": [16, 28, 28]}, "layers": [
        {"name": "conv", "type": "conv2d", "out_channels": 32, "kernel": 3, "padding": 1},
        {"name": "bn", "type": "batch_norm"},
        {"name": "relu", "type": "relu"},
        {"name": "pool", "type": "max_pool", "kernel": 2},)" +
                             more + R"({"name": "fc", "type": "linear", "out_features": 10}]})",
                         "chain");
}

std::set<std::string> tensors_of(const Program& program, const Network& network) {
    std::set<std::string> names;
    for (const DramTensor& tensor : program.tensors)
        names.insert(network.name_of(tensor.qp.layer) + "." + std::string(to_string(tensor.qp.qp)));
    return names;
}

std::vector<Command> commands_of(const Program& program, int layer, const std::string& name) {
    std::vector<Command> found;
    for (const Command& command : program.commands)
        if (command.layer == layer && command.phase == Phase::forward && mnemonic(command) == name)
            found.push_back(command);
    return found;
}

TEST(Lowering, AChainStoresOnlyWhatItsLastLayerMakes) {
    const Network network = chain();
    const Program program = compile::compile(network, preset("int8"), 2, BatchNorm::running, true);
    const auto tensors = tensors_of(program, network);
    EXPECT_TRUE(tensors.count("pool.A"));
    for (const char* inner : {"conv.y", "bn.xhat", "bn.x2", "relu.A"})
        EXPECT_FALSE(tensors.count(inner)) << inner;
}

TEST(Lowering, BatchStatisticsSendTheSumsThroughDram) {
    const Network network = chain();
    const Program program = compile::compile(network, preset("int8"), 2, BatchNorm::batch, true);
    EXPECT_TRUE(tensors_of(program, network).count("conv.y"));
    EXPECT_EQ(commands_of(program, 1, "BN_STAT").size(), 1U);
    for (const DramTensor& tensor : program.tensors)
        EXPECT_EQ(tensor.bytes == 4,
                  tensor.format.bits > 24 || tensor.qp.qp == Qp::mu || tensor.qp.qp == Qp::sigma)
            << to_string(tensor.qp.qp);
    // The prologue leaves mu and sigma to the batch.
    for (const Command& command : program.commands)
        if (const auto* q = std::get_if<QuantizeCmd>(&command.operands)) {
            EXPECT_NE(q->qp.qp, Qp::mu);
            EXPECT_NE(q->qp.qp, Qp::sigma);
        }
}

TEST(Lowering, EveryTileMultipliesItsNineKTilesInTwoColumnTiles) {
    // K = 3 * 3 * 16 = 9 tiles of 16 rows; 32 channels = 2 tiles of 16 columns.
    const Network network = chain();
    const Program program = compile::compile(network, preset("int8"), 1, BatchNorm::running, false);
    std::set<int> tiles;
    std::int64_t pixels = 0;
    const auto gemms = commands_of(program, 0, "GEMM");
    for (const Command& gemm : gemms) {
        tiles.insert(gemm.tile);
        if (std::get<Gemm>(gemm.operands).k0 == 0 && gemm.box.c0 == 0) pixels += gemm.box.pixels();
    }
    EXPECT_GT(tiles.size(), 1U);
    EXPECT_EQ(gemms.size(), tiles.size() * 18);
    EXPECT_EQ(pixels, 28 * 28);
    // Whole rows, in pairs for the pool; 819 rows of an accumulator bank hold 409 pixels twice.
    for (const Command& gemm : gemms) {
        EXPECT_EQ(gemm.box.w, 28);
        EXPECT_EQ(gemm.box.h % 2, 0);
        EXPECT_LE(gemm.box.pixels() * 2, 819);
    }
}

TEST(Lowering, WeightsThatFitTheirBufferAreLoadedOnce) {
    const Network network = chain();
    Datapath datapath = preset("int8");
    const std::int64_t bytes = 32 * 9 * 16;
    const auto loaded = [&] {
        const Program program = compile::compile(network, datapath, 1, BatchNorm::running, false);
        std::int64_t total = 0;
        for (const Command& load : commands_of(program, 0, "LOAD")) {
            const auto& t = std::get<Transfer>(load.operands);
            if (t.buffer == Space::weights)
                total += t.run_bytes * t.counts[0] * t.counts[1] * t.counts[2];
        }
        std::set<int> tiles;
        for (const Command& gemm : commands_of(program, 0, "GEMM")) tiles.insert(gemm.tile);
        return std::pair<std::int64_t, std::int64_t>(total,
                                                     static_cast<std::int64_t>(tiles.size()));
    };
    EXPECT_EQ(loaded().first, bytes);
    datapath.machine.weight_buffer_bytes = bytes - 2;  // one byte less than fits
    const auto [streamed, tiles] = loaded();
    EXPECT_GT(tiles, 1);
    EXPECT_EQ(streamed, bytes * tiles);
}

TEST(Lowering, TheNextInputIsOnItsWayBeforeATileIsMultiplied) {
    const Network network = chain();
    const Program program = compile::compile(network, preset("int8"), 4, BatchNorm::running, false);
    std::vector<int> loads, first_gemms;
    int seen = -1;
    for (std::size_t i = 0; i < program.commands.size(); ++i) {
        const Command& command = program.commands[i];
        if (command.layer != 0) continue;
        if (const auto* t = std::get_if<Transfer>(&command.operands)) {
            if (command.unit == Unit::dma_read && t->buffer == Space::activations)
                loads.push_back(static_cast<int>(i));
        } else if (std::holds_alternative<Gemm>(command.operands) && command.tile != seen) {
            seen = command.tile;
            first_gemms.push_back(static_cast<int>(i));
        }
    }
    ASSERT_EQ(loads.size(), first_gemms.size());
    ASSERT_GT(loads.size(), 2U);
    for (std::size_t t = 0; t + 1 < loads.size(); ++t) EXPECT_LT(loads[t + 1], first_gemms[t]);
}

TEST(Lowering, ALinearLayerReadsItsInputChannelByChannel) {
    const Network network = chain();
    const Program program = compile::compile(network, preset("int8"), 1, BatchNorm::running, false);
    for (const Command& command : commands_of(program, 4, "GEMM")) {
        const auto& gemm = std::get<Gemm>(command.operands);
        EXPECT_TRUE(gemm.channel_major);
        EXPECT_EQ(gemm.kernel_h, 14);
        EXPECT_EQ(gemm.channels, 32);
    }
    EXPECT_EQ(commands_of(program, 4, "DRAIN").size(), 1U);  // z: nothing works on it
}

TEST(Lowering, ATensorWithTwoReadersEndsItsPassAndTheAddTakesItFromDram) {
    const Network network = chain(
        R"({"name": "conv2", "type": "conv2d", "out_channels": 32, "kernel": 3, "padding": 1},
           {"name": "add", "type": "add", "inputs": ["conv2", "pool"]},
           {"name": "relu2", "type": "relu"},)");
    const Program program = compile::compile(network, preset("int8"), 1, BatchNorm::running, false);
    const auto tensors = tensors_of(program, network);
    EXPECT_TRUE(tensors.count("pool.A"));
    EXPECT_TRUE(tensors.count("relu2.A"));
    for (const char* inner : {"conv2.y", "add.stream"}) EXPECT_FALSE(tensors.count(inner)) << inner;
    for (const Command& command : commands_of(program, 5, "ADD")) {
        const auto& add = std::get<Add>(command.operands);
        EXPECT_EQ(add.a.space, Space::accumulators);
        EXPECT_EQ(add.stream.format.frac, 12);  // y's; the activation's 5 goes up
    }
    EXPECT_FALSE(commands_of(program, 5, "ADD").empty());
}

TEST(Lowering, WithoutThePrologueTheDramIsTheSame) {
    const Network network = chain();
    const Program with = compile::compile(network, preset("int8"), 3, BatchNorm::running, true);
    const Program without = compile::compile(network, preset("int8"), 3, BatchNorm::running, false);
    ASSERT_EQ(with.tensors.size(), without.tensors.size());
    for (std::size_t i = 0; i < with.tensors.size(); ++i)
        EXPECT_EQ(with.tensors[i].address, without.tensors[i].address);
    EXPECT_GT(with.commands.size(), without.commands.size());
    for (const Command& command : without.commands) EXPECT_EQ(command.phase, Phase::forward);
}

TEST(Lowering, ThePointsToCompareFollowTheNetworkAndTheMode) {
    const Network network = chain();
    Datapath datapath = preset("int8");
    const auto points = [&](BatchNorm batch_norm) {
        std::string names;
        for (const auto& point : compile::quantisation_points(network, datapath, 2, batch_norm))
            names +=
                network.name_of(point.qp.layer) + "." + std::string(to_string(point.qp.qp)) + " ";
        return names;
    };
    EXPECT_EQ(points(BatchNorm::running),
              "input.image conv.Wq conv.y bn.mu bn.sigma bn.gamma_q bn.beta_q bn.xhat bn.x2 "
              "relu.A pool.A fc.Wq fc.z ");
    EXPECT_EQ(points(BatchNorm::batch),
              "input.image conv.Wq conv.y bn.S bn.SS bn.mu bn.var bn.sigma bn.run_mu bn.run_sigma "
              "bn.gamma_q bn.beta_q bn.xhat bn.x2 relu.A pool.A fc.Wq fc.z ");
    datapath.normalize = Normalize::reciprocal;
    EXPECT_NE(points(BatchNorm::running).find("bn.inv bn.xhat"), std::string::npos);
    datapath.bn_inference = BnInference::folded;
    EXPECT_EQ(points(BatchNorm::running),
              "input.image conv.Wq conv.y bn.mu bn.sigma bn.gamma_q bn.beta_q bn.fold_a bn.fold_b "
              "relu.A pool.A fc.Wq fc.z ");
    EXPECT_NE(points(BatchNorm::batch).find("bn.x2"), std::string::npos);
}

TEST(Lowering, TheListingNamesEveryCommandWithItsAddressesAndTokens) {
    const Network network = chain();
    const Program program = compile::compile(network, preset("int8"), 1, BatchNorm::running, true);
    const std::string text = compile::listing(program, network);
    EXPECT_NE(text.find("conv.Wq 32x16x3x3 s8.7 1"), std::string::npos);
    EXPECT_NE(text.find("GEMM      conv #0 [h0:14 w0:28 c0:16] activations 0x000000 (h0 w0) k0:16 "
                        "-> row 0 first waits shadow_full input_full"),
              std::string::npos)
        << text.substr(0, 6000);
    const auto lines = std::count(text.begin(), text.end(), '\n');
    EXPECT_EQ(static_cast<std::size_t>(lines),
              program.commands.size() + program.tensors.size() + program.tokens.size() + 4);
}

Datapath output_stationary() {
    Datapath datapath = preset("int8");
    datapath.machine.dataflow = Dataflow::os;
    return datapath;
}

int count_tokens(const Program& program, const std::vector<Command>& commands,
                 const Tokens Command::*list, const std::string& name) {
    int count = 0;
    for (const Command& command : commands)
        for (const Token token : command.*list) count += program.tokens[token].name == name ? 1 : 0;
    return count;
}

TEST(OutputStationary, EveryTileMultipliesItsWholeReductionAtOnceAndNothingIsLoadedIntoTheArray) {
    const Network network = chain();
    const Program program =
        compile::compile(network, output_stationary(), 1, BatchNorm::running, true);
    for (const Command& command : program.commands) EXPECT_NE(mnemonic(command), "WLOAD");
    for (const TokenInfo& token : program.tokens)
        EXPECT_EQ(token.name.find("shadow"), std::string::npos) << token.name;
    std::set<int> tiles;
    const auto gemms = commands_of(program, 0, "GEMM");
    for (const Command& command : gemms) {
        const auto& gemm = std::get<Gemm>(command.operands);
        tiles.insert(command.tile);
        EXPECT_EQ(gemm.k0, 0);
        EXPECT_EQ(gemm.k, 144);
        EXPECT_EQ(gemm.weights.column_stride, 144);
        EXPECT_EQ(gemm.weights.address, command.box.c0 * 144);
        EXPECT_FALSE(gemm.accumulate);
        EXPECT_TRUE(gemm.gives_at_swap.empty());
    }
    EXPECT_GT(tiles.size(), 1U);
    EXPECT_EQ(gemms.size(), tiles.size() * 2);  // 32 channels: two column tiles
    // Each is a LOAD of its own (2304 bytes), which only the first tile waits for.
    EXPECT_EQ(count_tokens(program, gemms, &Command::waits, "weights_full"), 2);
    EXPECT_EQ(count_tokens(program, gemms, &Command::gives, "weights_free"), 0);
}

TEST(OutputStationary, AReductionTooLongForHalfTheBufferIsSharedEvenly) {
    const Network network = chain();
    Datapath datapath = output_stationary();
    datapath.machine.weight_buffer_bytes = 2 * 16 * 100;  // 100 indices of 16 columns; K = 144
    const Program program = compile::compile(network, datapath, 1, BatchNorm::running, false);
    const auto gemms = commands_of(program, 0, "GEMM");
    int use = 0;
    for (const Command& command : gemms) {
        const auto& gemm = std::get<Gemm>(command.operands);
        const bool second = use % 2 == 1;
        EXPECT_EQ(gemm.k0, second ? 72 : 0);
        EXPECT_EQ(gemm.k, 72);
        EXPECT_EQ(gemm.accumulate, second);
        EXPECT_EQ(gemm.weights.address, second ? 1600 : 0);
        ++use;
    }
    // Streamed for every tile: each GEMM waits for its LOAD and gives its half back.
    EXPECT_EQ(count_tokens(program, gemms, &Command::waits, "weights_full"), use);
    EXPECT_EQ(count_tokens(program, gemms, &Command::gives, "weights_free"), use);
}

TEST(OutputStationary, TheListingSaysWhereTheWeightsLie) {
    const Network network = chain();
    const Program program =
        compile::compile(network, output_stationary(), 1, BatchNorm::running, true);
    const std::string text = compile::listing(program, network);
    EXPECT_NE(text.find("k0:144 weights 0x000900 +1/144 -> row 392 first waits weights_full"),
              std::string::npos)
        << text.substr(0, 6000);
}

TEST(TokenCheck, RefusesAProgramWhoseTokensDoNotAddUp) {
    const Program sound = compile::compile(chain(), preset("int8"), 2, BatchNorm::running, true);
    EXPECT_NO_THROW(compile::check_tokens(sound));
    Program broken = sound;
    for (Command& command : broken.commands)
        if (command.unit == Unit::dma_write) {
            command.gives.clear();
            break;
        }
    EXPECT_THROW(compile::check_tokens(broken), std::logic_error);
    broken = sound;
    for (Command& command : broken.commands)
        if (command.unit == Unit::array && !command.waits.empty()) {
            command.unit = Unit::drain;
            break;
        }
    EXPECT_THROW(compile::check_tokens(broken), std::logic_error);
    broken = sound;
    std::reverse(broken.commands.begin(), broken.commands.end());
    EXPECT_THROW(compile::check_tokens(broken), std::logic_error);
}

}  // namespace
}  // namespace wagesim::test
