// Network files: what they become, and what is said about every mistake in one.
#include "wagesim/network/network.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "wagesim/error.h"

namespace wagesim {
namespace {

const std::string networks = WAGESIM_NETWORKS;

std::string text_of_file(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    std::ostringstream text;
    text << file.rdbuf();
    return text.str();
}

/// A network around some layers: conv (5 channels, 8x8) - LAYERS.
std::string around(const std::string& layers, const std::string& shape = "[3, 8, 8]") {
    return R"({"name": "n", "input": {"shape": )" + shape + R"(}, "layers": [)" + layers + "]}";
}

const std::string conv =
    R"({"name": "conv", "type": "conv2d", "out_channels": 6, "kernel": 3, "padding": 1})";

std::string message_for(const std::string& text) {
    try {
        parse_network(text, "net.json");
    } catch (const InputError& error) {
        return error.what();
    }
    return "";
}

int index_of(const Network& network, const std::string& name) {
    for (std::size_t i = 0; i < network.layers.size(); ++i)
        if (network.layers[i].name == name) return static_cast<int>(i);
    ADD_FAILURE() << "no layer " << name;
    return 0;
}

const Layer& layer_of(const Network& network, const std::string& name) {
    return network.layers[static_cast<std::size_t>(index_of(network, name))];
}

Shape image(std::int64_t c, std::int64_t h, std::int64_t w) { return {1, c, h, w}; }

TEST(Network, ReadsEveryShippedNetwork) {
    int read = 0;
    for (const auto& entry : std::filesystem::directory_iterator(networks)) {
        if (entry.path().extension() != ".json") continue;
        const Network network = read_network(entry.path().string());
        EXPECT_EQ(network.name, entry.path().stem());
        EXPECT_EQ(network.layers.back().out_shape, image(10, 1, 1)) << entry.path();
        ++read;
    }
    EXPECT_GE(read, 4);
}

TEST(Network, DerivesTheShapesOfResnet8) {
    const Network network = read_network(networks + "/resnet8.json");
    EXPECT_EQ(network.input, image(1, 28, 28));
    EXPECT_EQ(layer_of(network, "block1.add").out_shape, image(16, 28, 28));
    EXPECT_EQ(layer_of(network, "block2.conv1").out_shape, image(32, 14, 14));
    EXPECT_EQ(layer_of(network, "block2.short").out_shape, image(32, 14, 14));
    EXPECT_EQ(layer_of(network, "block3.add").out_shape, image(64, 7, 7));
    EXPECT_EQ(layer_of(network, "gap").out_shape, image(64, 1, 1));
    std::int64_t weights = 0;
    for (const Layer& layer : network.layers)
        if (layer.type == LayerType::conv2d || layer.type == LayerType::linear)
            weights += weight_shape(layer).size();
    // 144 + 2*2304 + (4608 + 9216 + 512) + (18432 + 36864 + 2048) + 640
    EXPECT_EQ(weights, 77072);
}

TEST(Network, TakesTheShortcutFromTheFirstActivationOfItsBlock) {
    const Network network = read_network(networks + "/resnet8.json");
    EXPECT_EQ(layer_of(network, "block2.short").inputs,
              std::vector<int>{index_of(network, "block2.relu1")});
    EXPECT_EQ(
        layer_of(network, "block2.relu1").readers,
        (std::vector<int>{index_of(network, "block2.conv1"), index_of(network, "block2.short")}));
    EXPECT_EQ(layer_of(network, "block1.add").inputs,
              (std::vector<int>{index_of(network, "block1.conv2"), index_of(network, "conv0")}));
    EXPECT_EQ(network.input_readers, std::vector<int>{0});
    for (std::size_t i = 0; i < network.layers.size(); ++i)
        EXPECT_FALSE(quantizes_output(network, static_cast<int>(i))) << network.layers[i].name;
}

TEST(Network, DerivesTheShapesOfTheZoo) {
    const Network network = read_network(networks + "/zoo.json");
    EXPECT_EQ(layer_of(network, "conv_wide").out_shape, image(5, 28, 28));
    EXPECT_EQ(layer_of(network, "pool_overlapping").out_shape, image(5, 14, 14));
    EXPECT_EQ(layer_of(network, "conv_dilated").out_shape, image(18, 14, 14));
    EXPECT_EQ(layer_of(network, "conv_depthwise").out_shape, image(18, 14, 7));
    EXPECT_EQ(weight_shape(layer_of(network, "conv_depthwise")), (Shape{18, 1, 3, 3}));
    EXPECT_EQ(layer_of(network, "conv_grouped").out_shape, image(18, 14, 7));
    EXPECT_EQ(weight_shape(layer_of(network, "conv_grouped")), (Shape{18, 6, 3, 1}));
    EXPECT_EQ(layer_of(network, "pool_average").out_shape, image(18, 7, 4));
    EXPECT_EQ(layer_of(network, "conv_d").out_shape, image(7, 3, 2));
    EXPECT_TRUE(layer_of(network, "fc").bias);
}

TEST(Network, QuantizesAtOnceWhatTheArrayReads) {
    const Network network = read_network(networks + "/zoo.json");
    std::vector<std::string> quantized;
    for (std::size_t i = 0; i < network.layers.size(); ++i)
        if (quantizes_output(network, static_cast<int>(i)))
            quantized.push_back(network.layers[i].name);
    EXPECT_EQ(quantized, (std::vector<std::string>{"bn_depthwise", "add_before_conv"}));
}

TEST(Network, LooksThroughMaxPoolsForTheArray) {
    const std::string bn = R"(,{"name": "bn", "type": "batch_norm"},)"
                           R"({"name": "pool", "type": "max_pool", "kernel": 2},)";
    const std::string to_array = R"({"name": "fc", "type": "linear", "out_features": 2})";
    const std::string to_relu = R"({"name": "relu", "type": "relu"})";
    EXPECT_TRUE(quantizes_output(parse_network(around(conv + bn + to_array), "a"), 1));
    EXPECT_FALSE(quantizes_output(parse_network(around(conv + bn + to_relu), "a"), 1));
}

TEST(Network, FlattensForLinearLayers) {
    const Network network = read_network(networks + "/convnet.json");
    EXPECT_EQ(weight_shape(layer_of(network, "fc")), (Shape{10, 32 * 7 * 7, 1, 1}));
    EXPECT_EQ(layer_of(network, "pool1").stride.h, 2);  // a pool's stride is its kernel
    EXPECT_EQ(layer_of(network, "conv1").stride.w, 1);
}

TEST(Network, KeepsHeightAndWidthApart) {
    const Network network =
        parse_network(around(R"({"name": "c", "type": "conv2d", "out_channels": 2, "kernel": [1, 3],
                   "stride": [2, 1], "padding": [0, 2], "dilation": [1, 2]})"),
                      "a");
    const Layer& layer = network.layers[0];
    EXPECT_EQ(layer.kernel.h, 1);
    EXPECT_EQ(layer.kernel.w, 3);
    EXPECT_EQ(layer.dilation.w, 2);
    EXPECT_EQ(layer.padding.w, 2);
    // By enumeration: starts 0, 2, 4, 6 of 8 rows; columns -2 to 5 of a reach of 5 in 8 + 4.
    EXPECT_EQ(layer.out_shape, image(2, 4, 8));
}

struct BadNetwork {
    const char* what;
    std::string text;
    const char* message;  // a part of it
};

void PrintTo(const BadNetwork& bad, std::ostream* out) { *out << bad.what; }

class BadNetworks : public ::testing::TestWithParam<BadNetwork> {};

TEST_P(BadNetworks, AreRefusedWithThePlaceAndTheExpectation) {
    const std::string message = message_for(GetParam().text);
    EXPECT_EQ(message.rfind("net.json: ", 0), 0u) << message;
    EXPECT_NE(message.find(GetParam().message), std::string::npos)
        << "message:  " << message << "\nexpected: " << GetParam().message;
}

std::string named(const std::string& name, const std::string& rest) {
    return R"({"name": ")" + name + R"(", )" + rest + "}";
}

INSTANTIATE_TEST_SUITE_P(
    All, BadNetworks,
    ::testing::Values(
        BadNetwork{"empty file", "", "not valid JSON: line 1, column 1"},
        BadNetwork{"syntax", "{\n  \"name\": \"n\",\n  oops\n}", "line 3, column 3"},
        BadNetwork{"trailing text", around(conv) + " x", "not valid JSON: line 1"},
        BadNetwork{"not UTF-8", "{\"name\": \"\xff\"}", "not valid JSON"},
        BadNetwork{"number too large", "{\"name\": 1e999}", "not valid JSON"},
        BadNetwork{"array at the top", "[]",
                   "expected a network file (an object), found an array of 0"},
        BadNetwork{"repeated key", R"({"name": "a", "name": "b"})",
                   "name: this key stands here twice"},
        BadNetwork{"repeated key in a layer",
                   around(conv + R"(, {"name": "a", "type": "relu", "type": "relu"})"),
                   "layers[1].type: this key stands here twice"},
        BadNetwork{"unknown top key", R"({"name": "n", "inptu": {}, "layers": []})",
                   "inptu\": unknown key; did you mean \"input\"?"},
        BadNetwork{"no name", R"({"input": {"shape": [1, 2, 3]}, "layers": []})",
                   "name: is missing"},
        BadNetwork{"no input", R"({"name": "n", "layers": []})", "input: is missing"},
        BadNetwork{"no shape", R"({"name": "n", "input": {}, "layers": []})",
                   "input.shape: is missing"},
        BadNetwork{"no layers", R"({"name": "n", "input": {"shape": [1, 2, 3]}})",
                   "layers: is missing"},
        BadNetwork{"empty layers", around(""), "layers: expected at least one layer"},
        BadNetwork{"layers an object",
                   R"({"name": "n", "input": {"shape": [1, 2, 3]}, "layers": {}})",
                   "layers: expected the layers (an array), found an object"},
        BadNetwork{"shape of two", around(conv, "[28, 28]"),
                   "input.shape: expected [channels, height, width], found an array of 2"},
        BadNetwork{"shape 0", around(conv, "[1, 0, 28]"),
                   "input.shape[1]: expected an integer from 1"},
        BadNetwork{"shape a fraction", around(conv, "[1, 8.5, 8]"),
                   "input.shape[1]: expected an integer from 1 to 2147483647, found 8.5"},
        BadNetwork{
            "shape beyond 64 bits", around(conv, "[18446744073709551615, 1, 1]"),
            "input.shape[0]: expected an integer from 1 to 2147483647, found 18446744073709551615"},
        BadNetwork{"input too large", around(conv, "[65536, 65536, 1]"),
                   "too large; expected at most 2^31 elements"},
        BadNetwork{"network name",
                   R"({"name": "a/b", "input": {"shape": [1, 2, 3]}, "layers": []})",
                   "name: expected a name of 1 to 100 letters"},
        BadNetwork{"layer not an object", around("3"),
                   "layers[0]: expected a layer (an object), found 3"},
        BadNetwork{"layer without a name", around(R"({"type": "relu"})"),
                   "layers[0].name: is missing"},
        BadNetwork{"layer without a type", around(R"({"name": "a"})"),
                   "layers[0].type (layer \"a\"): is missing"},
        BadNetwork{"layer name with a space", around(named("a b", R"("type": "relu")")),
                   "found \"a b\""},
        BadNetwork{"layer name with a dot first", around(named(".a", R"("type": "relu")")),
                   "found \".a\""},
        BadNetwork{"layer named input", around(named("input", R"("type": "relu")")),
                   "\"input\" is the network's input; expected another name"},
        BadNetwork{"name twice", around(conv + "," + conv),
                   "layers[1].name: \"conv\" is already the name of layers[0]"},
        BadNetwork{"name a number", around(R"({"name": 3, "type": "relu"})"),
                   "layers[0].name: expected a string, found 3"},
        BadNetwork{"unknown type", around(named("a", R"("type": "rleu")")),
                   "found \"rleu\"; did you mean \"relu\"?"},
        BadNetwork{"another framework's type", around(named("a", R"("type": "fc")")),
                   "did you mean linear?"},
        BadNetwork{"type a number", around(named("a", R"("type": 2)")),
                   "type (layer \"a\"): expected one of conv2d"},
        BadNetwork{"misspelt key",
                   around(R"({"name": "a", "type": "conv2d", "out_channels": 2, "kernal": 3})"),
                   "layers[0].kernal (layer \"a\"): unknown key; did you mean \"kernel\"?"},
        BadNetwork{"key of another type", around(named("a", R"("type": "relu", "kernel": 3)")),
                   "kernel (layer \"a\"): unknown key; a layer of type relu has the keys name, "
                   "type, inputs"},
        BadNetwork{"out_features for conv2d",
                   around(named("a", R"("type": "conv2d", "out_features": 3)")),
                   "a conv2d layer takes out_channels"},
        BadNetwork{"out_channels for linear",
                   around(named("a", R"("type": "linear", "out_channels": 3)")),
                   "a linear layer takes out_features"},
        BadNetwork{"in_channels", around(named("a", R"("type": "conv2d", "in_channels": 3)")),
                   "it follows from the layer's input"},
        BadNetwork{"no kernel", around(named("a", R"("type": "conv2d", "out_channels": 2)")),
                   "layers[0].kernel (layer \"a\"): is missing"},
        BadNetwork{"no out_channels", around(named("a", R"("type": "conv2d", "kernel": 2)")),
                   "layers[0].out_channels (layer \"a\"): is missing"},
        BadNetwork{"kernel a string", around(named("a", R"("type": "max_pool", "kernel": "3")")),
                   "kernel (layer \"a\"): expected a number or [h, w], found \"3\""},
        BadNetwork{"kernel of three",
                   around(named("a", R"("type": "max_pool", "kernel": [1, 2, 3])")),
                   "expected a number or [h, w], found an array of 3"},
        BadNetwork{"kernel 0", around(named("a", R"("type": "max_pool", "kernel": 0)")),
                   "kernel (layer \"a\"): expected an integer from 1 to 2147483647, found 0"},
        BadNetwork{"kernel [2, -1]", around(named("a", R"("type": "max_pool", "kernel": [2, -1])")),
                   "kernel[1] (layer \"a\"): expected an integer from 1"},
        BadNetwork{"stride 0",
                   around(named("a", R"("type": "max_pool", "kernel": 2, "stride": 0)")),
                   "stride (layer \"a\"): expected an integer from 1"},
        BadNetwork{
            "negative padding",
            around(named("a",
                         R"("type": "conv2d", "out_channels": 1, "kernel": 2, "padding": -1)")),
            "padding (layer \"a\"): expected an integer from 0"},
        BadNetwork{
            "kernel too high", around(named("a", R"("type": "max_pool", "kernel": [9, 2])")),
            "kernel (layer \"a\"): the kernel's height, 9, is larger than the padded input's, 8"},
        BadNetwork{
            "dilated kernel too wide",
            around(named(
                "a",
                R"("type": "conv2d", "out_channels": 1, "kernel": 3, "padding": 1, "dilation": [1, 5])")),
            "the kernel's width, 11 with its dilation, is larger than the padded input's, 10"},
        BadNetwork{
            "huge kernel and dilation",
            around(named(
                "a",
                R"("type": "conv2d", "out_channels": 1, "kernel": 2147483647, "dilation": 2147483647)")),
            "is larger than the padded input's"},
        BadNetwork{"pool padding",
                   around(named("a", R"("type": "avg_pool", "kernel": 2, "padding": 2)")),
                   "expected a padding smaller than the kernel (2 x 2), found 2 x 2"},
        BadNetwork{
            "groups and inputs",
            around(named("a", R"("type": "conv2d", "out_channels": 4, "kernel": 1, "groups": 2)")),
            "groups (layer \"a\"): 2 does not divide the input's 3 channels"},
        BadNetwork{
            "groups and outputs",
            around(named("a", R"("type": "conv2d", "out_channels": 4, "kernel": 1, "groups": 3)")),
            "groups (layer \"a\"): 3 does not divide the 4 out_channels"},
        BadNetwork{
            "bias a number",
            around(named("a", R"("type": "conv2d", "out_channels": 4, "kernel": 1, "bias": 1)")),
            "bias (layer \"a\"): expected true or false, found 1"},
        BadNetwork{"weights too large",
                   around(named("a", R"("type": "linear", "out_features": 100000000)")),
                   "a weight tensor of shape (100000000, 192, 1, 1) is too large"},
        BadNetwork{
            "output too large",
            around(named(
                "a", R"("type": "conv2d", "out_channels": 1, "kernel": 1, "padding": 1000000)")),
            "too large; expected at most 2^31 elements"},
        BadNetwork{"inputs a string", around(named("a", R"("type": "relu", "inputs": "input")")),
                   "inputs (layer \"a\"): expected the names of the layers it reads (an array), "
                   "found \"input\""},
        BadNetwork{
            "relu of two",
            around(conv + "," + named("a", R"("type": "relu", "inputs": ["conv", "input"])")),
            "expected 1 name for a layer of type relu, found an array of 2"},
        BadNetwork{"add of one",
                   around(conv + "," + named("a", R"("type": "add", "inputs": ["conv"])")),
                   "expected 2 names for a layer of type add, found an array of 1"},
        BadNetwork{"add without inputs", around(conv + "," + named("a", R"("type": "add")")),
                   "layers[1].inputs (layer \"a\"): is missing"},
        BadNetwork{"add of different shapes",
                   around(conv + "," + named("a", R"("type": "add", "inputs": ["conv", "input"])")),
                   "expected two inputs of the same shape, found [6, 8, 8] of \"conv\" and [3, 8, "
                   "8] of \"input\""},
        BadNetwork{"add of one with itself",
                   around(conv + "," + named("a", R"("type": "add", "inputs": ["conv", "conv"])")),
                   "reads \"conv\" twice"},
        BadNetwork{"unknown producer",
                   around(conv + "," + named("a", R"("type": "relu", "inputs": ["cnov"])")),
                   "inputs[0] (layer \"a\"): there is no layer \"cnov\"; did you mean \"conv\"?"},
        BadNetwork{"forward reference",
                   around(named("a", R"("type": "relu", "inputs": ["conv"])") + "," + conv),
                   "layer \"conv\" stands further down, at layers[1]"},
        BadNetwork{"cycle",
                   around(conv + "," + named("a", R"("type": "add", "inputs": ["conv", "b"])") +
                          "," + named("b", R"("type": "relu", "inputs": ["a"])")),
                   "layer \"b\" stands further down, at layers[2]"},
        BadNetwork{"self reference", around(named("a", R"("type": "relu", "inputs": ["a"])")),
                   "the layer reads itself"},
        BadNetwork{"dead end",
                   around(conv + "," + named("a", R"("type": "relu", "inputs": ["input"])")),
                   "layers[0] (layer \"conv\"): no layer reads its output"},
        BadNetwork{"array reads sums",
                   around(conv + "," + named("a", R"("type": "linear", "out_features": 2)")),
                   "layers[1] (layer \"a\"): reads the 32-bit sums of \"conv\""},
        BadNetwork{"array reads pooled sums",
                   around(conv + "," + named("p", R"("type": "max_pool", "kernel": 2)") + "," +
                          named("a", R"("type": "linear", "out_features": 2)")),
                   "reads the 32-bit sums of \"conv\""}));

TEST(Network, GoodNeighboursOfTheBadOnesAreAccepted) {
    // The table would prove nothing if its frame were refused anyway.
    EXPECT_EQ(message_for(around(conv)), "");
    EXPECT_EQ(message_for(around(named("a", R"("type": "avg_pool", "kernel": 2, "padding": 1)"))),
              "");
    EXPECT_EQ(message_for(around(named("a", R"("type": "max_pool", "kernel": 8)"))), "");
    EXPECT_EQ(message_for(around(
                  named("a", R"("type": "conv2d", "out_channels": 6, "kernel": 1, "groups": 3)"))),
              "");
}

TEST(Network, RefusesEveryTruncationOfAShippedFile) {
    int truncations = 0;
    for (const std::string name : {"mlp", "convnet", "resnet8"}) {
        const std::string text = text_of_file(networks + "/" + name + ".json");
        const std::size_t end = text.find_last_of('}');  // only white space follows
        for (std::size_t length = 0; length <= end; ++length, ++truncations)
            ASSERT_THROW(parse_network(text.substr(0, length), "cut.json"), InputError)
                << name << " cut to " << length;
    }
    EXPECT_GT(truncations, 3000);
}

TEST(Network, SurvivesEveryDamagedByte) {
    const std::string text = text_of_file(networks + "/mlp.json");
    int refused = 0;
    for (std::size_t at = 0; at < text.size(); ++at) {
        for (const char damage : {'\0', '9', '-', '"', '[', '\x80'}) {
            std::string damaged = text;
            damaged[at] = damage;
            try {
                parse_network(damaged, "damaged.json");
            } catch (const InputError&) {
                ++refused;
            }
        }
    }
    EXPECT_GT(refused, 1000);
}

TEST(Network, RefusesDeepNesting) {
    EXPECT_THROW(parse_network(std::string(100000, '['), "deep.json"), InputError);
    EXPECT_THROW(parse_network(std::string(100000, '[') + std::string(100000, ']'), "deep.json"),
                 InputError);
}

TEST(Network, SaysWhyAFileCannotBeRead) {
    for (const std::string path : {"/nonexistent/net.json", "/"}) {
        try {
            read_network(path);
            FAIL() << path;
        } catch (const InputError& error) {
            EXPECT_EQ(std::string(error.what()).rfind(path + ": cannot", 0), 0u) << error.what();
        }
    }
}

}  // namespace
}  // namespace wagesim
