// What the compiler refuses, by the layer's name, with what is needed and what there is.
#include <gtest/gtest.h>

#include <functional>
#include <string>

#include "compile/compile.h"
#include "wagesim/error.h"

namespace wagesim::test {
namespace {

using compile::BatchNorm;

/// conv1 (5 -> 6, 3x3), bn1, relu1, conv2 (6 -> 4, 3x3), add with relu1's input shape, fc.
Network small_network() {
    return parse_network(R"({"name": "small", "input": {"shape": [5, 8, 8]}, "layers": [
        {"name": "conv1", "type": "conv2d", "out_channels": 6, "kernel": 3, "padding": 1},
        {"name": "bn1", "type": "batch_norm"},
        {"name": "relu1", "type": "relu"},
        {"name": "conv2", "type": "conv2d", "out_channels": 6, "kernel": 3, "padding": 1},
        {"name": "add1", "type": "add", "inputs": ["conv2", "relu1"]},
        {"name": "relu2", "type": "relu"},
        {"name": "fc", "type": "linear", "out_features": 10, "bias": true}]})",
                         "small");
}

std::string refusal(const Network& network, const Datapath& datapath,
                    BatchNorm batch_norm = BatchNorm::running, std::int64_t batch = 1) {
    try {
        compile::compile(network, datapath, batch, batch_norm, true);
    } catch (const InputError& error) {
        return error.what();
    }
    return "";
}

std::string refusal(const std::function<void(Datapath&)>& change,
                    BatchNorm batch_norm = BatchNorm::running, std::int64_t batch = 1) {
    Datapath datapath = preset("int8");
    change(datapath);
    return refusal(small_network(), datapath, batch_norm, batch);
}

void expect_words(const std::string& text, std::initializer_list<const char*> words) {
    for (const char* word : words)
        EXPECT_NE(text.find(word), std::string::npos) << "\"" << text << "\" lacks " << word;
}

TEST(Refusals, APresetsMachineTakesTheNetwork) {
    EXPECT_EQ(refusal([](Datapath&) {}), "");
    EXPECT_EQ(refusal([](Datapath&) {}, BatchNorm::batch, 64), "");
}

TEST(Refusals, ABankTooSmallForOnePixelsInputsIsSaidOfTheLayer) {
    // A corner pixel of conv1 needs 3 x 3 x 5 inputs; the fc needs all 8 x 8 x 6 at once.
    const std::string conv = refusal([](Datapath& d) { d.machine.activation_buffer_bytes = 160; });
    EXPECT_EQ(conv,
              "layer conv1: needs 45 bytes for one output pixel's inputs, a bank of the "
              "activation buffer has 40");
    const std::string fc = refusal([](Datapath& d) { d.machine.activation_buffer_bytes = 1528; });
    EXPECT_EQ(fc,
              "layer fc: needs 384 bytes for one output pixel's inputs, a bank of the "
              "activation buffer has 382");
    EXPECT_EQ(refusal([](Datapath& d) { d.machine.activation_buffer_bytes = 1536; }), "");
}

TEST(Refusals, ABankTooSmallForAnOutputTileIsSaidOfTheLayer) {
    const Network network = parse_network(
        R"({"name": "n", "input": {"shape": [1, 1, 1]}, "layers": [
            {"name": "fc", "type": "linear", "out_features": 16}]})",
        "n");
    Datapath datapath = preset("int8");
    datapath.machine.activation_buffer_bytes = 4 * 63;  // z: 16 x 4 bytes
    expect_words(refusal(network, datapath),
                 {"layer fc", "64 bytes", "smallest output tile", "63"});
    datapath.machine.activation_buffer_bytes = 4 * 64;
    EXPECT_EQ(refusal(network, datapath), "");
}

TEST(Refusals, AParameterRamTooSmallForABlockOfChannelsIsSaidOfTheLayer) {
    // bn1 on its own takes one channel: mu 4, sigma 4, gamma_q and beta_q 1 each, 8-byte aligned.
    expect_words(refusal([](Datapath& d) { d.machine.parameter_bytes = 31; }),
                 {"layer bn1", "32 bytes of parameters", "parameter_bytes is 31"});
}

TEST(Refusals, AWeightBufferTooSmallForATileIsSaidOfTheLayer) {
    expect_words(refusal([](Datapath& d) { d.machine.weight_buffer_bytes = 2 * 95; }),
                 {"layer conv1", "96 bytes for one tile of weights", "95"});
}

TEST(Refusals, ADramTooSmallIsSaidWithBothSizes) {
    expect_words(refusal([](Datapath& d) { d.machine.dram_bytes = 1000; }),
                 {"network small", "bytes of Dram", "dram_bytes is 1000"});
}

TEST(Refusals, AnExactRegisterTooNarrowIsSaidWithItsBits) {
    // x2: 127 * 127 + 127 * 2^5 = 20193 < 2^15: 16 bits.
    expect_words(refusal([](Datapath& d) { d.quantizers[Qp::x2].format.bits = 15; }),
                 {"layer bn1", "x2", "needs 16 bits", "has 15"});
    EXPECT_EQ(refusal([](Datapath& d) { d.quantizers[Qp::x2].format.bits = 16; }), "");
    // stream: y of 54 products of 127 * 127, plus 127 aligned by 7 places: 887222 < 2^20.
    expect_words(refusal([](Datapath& d) { d.quantizers[Qp::stream].format.bits = 20; }),
                 {"layer add1", "stream", "needs 21 bits", "has 20"});
    EXPECT_EQ(refusal([](Datapath& d) { d.quantizers[Qp::stream].format.bits = 21; }), "");
}

TEST(Refusals, StatisticsThatMayOverflowAreRefusedForTheBatchThatDoes) {
    // S: 64 pixels an image of at most 45 * 127 * 127 = 725805; 2^22 images: 2^47 < 1.95e14 < 2^48.
    EXPECT_EQ(refusal([](Datapath&) {}, BatchNorm::batch, 2), "");
    expect_words(refusal([](Datapath&) {}, BatchNorm::batch, 1 << 22),
                 {"layer bn1", "S", "needs 49 bits", "has 48"});
    const auto narrow = [](Datapath& d) { d.quantizers[Qp::S].format.bits = 47; };
    expect_words(refusal(narrow, BatchNorm::batch, 2), {"layer bn1", "S", "48 bits"});
    EXPECT_EQ(refusal(narrow, BatchNorm::running, 2), "");
}

TEST(Refusals, AnOffsetFinerThanX2IsRefused) {
    expect_words(refusal([](Datapath& d) { d.quantizers[Qp::beta_q].format.frac = 12; }),
                 {"layer bn1", "beta_q has 12", "only 11"});
}

TEST(Refusals, OperandsThatTheArrayDoesNotTakeAreRefused) {
    expect_words(refusal([](Datapath& d) { d.quantizers[Qp::A].format.bits = 17; }),
                 {"layer conv2", "17 bits, signed", "at most 16 bits"});
    expect_words(refusal([](Datapath& d) { d.quantizers[Qp::A].format.is_signed = false; }),
                 {"layer conv2", "8 bits, unsigned"});
    expect_words(refusal([](Datapath& d) { d.quantizers[Qp::Wq].format.bits = 9; }),
                 {"layer conv1", "Wq", "at most 8"});
    Network network = small_network();
    network.layers[3].inputs = {0};
    expect_words(refusal(network, preset("int8")), {"layer conv2", "reads y of conv1", "relu"});
}

TEST(Refusals, AFoldedBatchNormWithoutAReluIsRefused) {
    const Network network = parse_network(
        R"({"name": "n", "input": {"shape": [3, 4, 4]}, "layers": [
            {"name": "conv", "type": "conv2d", "out_channels": 4, "kernel": 1},
            {"name": "bn", "type": "batch_norm"},
            {"name": "gap", "type": "global_avg_pool"},
            {"name": "fc", "type": "linear", "out_features": 2}]})",
        "n");
    Datapath datapath = preset("int8");
    EXPECT_EQ(refusal(network, datapath), "");
    datapath.bn_inference = BnInference::folded;
    expect_words(refusal(network, datapath), {"layer bn", "folded", "relu"});
    EXPECT_EQ(refusal(network, datapath, BatchNorm::batch), "");
}

std::string training_refusal(const std::string& layers,
                             const std::function<void(Datapath&)>& change = {}) {
    Datapath datapath = preset("int8");
    if (change) change(datapath);
    const Network network = parse_network(
        R"({"name": "n", "input": {"shape": [3, 4, 4]}, "layers": [)" + layers + "]}", "n");
    try {
        compile::compile_training(network, datapath, 2);
    } catch (const InputError& error) {
        return error.what();
    }
    return "";
}

TEST(TrainingRefusals, ANetworkMustEndInLogits) {
    const std::string conv = R"({"name": "conv", "type": "conv2d", "out_channels": 4, "kernel": )";
    EXPECT_EQ(training_refusal(conv + "4}"), "");
    expect_words(training_refusal(conv + "3}"), {"layer conv", "1 x 1 outputs"});
    expect_words(training_refusal(conv + R"(4}, {"name": "relu", "type": "relu"})"),
                 {"layer relu", "linear"});
}

TEST(TrainingRefusals, AnAddThatTheArrayReadsHasNoMask) {
    const std::string start = R"({"name": "conv", "type": "conv2d", "out_channels": 3, "kernel": 1},
        {"name": "add", "type": "add", "inputs": ["conv", "input"]}, )";
    const std::string fc = R"({"name": "fc", "type": "linear", "out_features": 5})";
    expect_words(training_refusal(start + fc), {"layer add", "relu or batch_norm between"});
    EXPECT_EQ(training_refusal(start + R"({"name": "relu", "type": "relu"}, )" + fc), "");
}

TEST(TrainingRefusals, ABatchNormsNumeratorIsExact) {
    const std::string layers = R"({"name": "bn", "type": "batch_norm"},
        {"name": "relu", "type": "relu"}, {"name": "fc", "type": "linear", "out_features": 5})";
    EXPECT_EQ(training_refusal(layers), "");
    // P: 127 * 2^13 + 127 * 2^13 + 127 * m2, m2 up to 127 * 127 * 8 + 1: below 2^25.
    expect_words(
        training_refusal(layers, [](Datapath& d) { d.quantizers[Qp::P].format.bits = 25; }),
        {"layer bn", "P", "needs 26 bits", "has 25"});
}

TEST(Refusals, ABatchOfNothingIsRefused) {
    expect_words(refusal([](Datapath&) {}, BatchNorm::running, 0), {"batch", "at least 1"});
}

}  // namespace
}  // namespace wagesim::test
