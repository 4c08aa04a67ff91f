// Workloads from SCALE-Sim's csv files and from networks.
#include "timing/topology.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "wagesim/error.h"

namespace wagesim::timing {
namespace {

const std::string conv_header =
    "Layer name, IFMAP Height, IFMAP Width, Filter Height, Filter Width, Channels, Num Filter, "
    "Strides,\n";
const std::string gemm_header = "Layer, M, N, K,\n";

std::vector<Workload> parse(const std::string& text, TopologyKind kind = TopologyKind::detect) {
    return parse_scalesim_topology(text, "net.csv", kind);
}

void expect_workload(const Workload& w, const std::string& name, std::int64_t m, std::int64_t n,
                     std::int64_t k, std::int64_t repeats = 1) {
    EXPECT_EQ(w.name, name);
    EXPECT_EQ(w.m, m) << name;
    EXPECT_EQ(w.n, n) << name;
    EXPECT_EQ(w.k, k) << name;
    EXPECT_EQ(w.repeats, repeats) << name;
}

void expect_refused(const std::string& text, const std::vector<std::string>& words,
                    TopologyKind kind = TopologyKind::detect) {
    try {
        parse(text, kind);
        ADD_FAILURE() << "accepted: " << text;
    } catch (const InputError& error) {
        for (const std::string& word : words)
            EXPECT_NE(std::string(error.what()).find(word), std::string::npos)
                << error.what() << "\n  does not say: " << word;
    }
}

TEST(ConvTopology, CountsOutputsWithoutPaddingRoundedUp) {
    const auto layers = parse(conv_header +
                              "Conv1, 224, 224, 11, 11, 3, 96, 4,\n"  // 54.25 -> 55 a side
                              "Wide, 10, 7, 3, 2, 5, 8, 1,\n");       // 8 x 6
    ASSERT_EQ(layers.size(), 2u);
    expect_workload(layers[0], "Conv1", 3025, 96, 363);
    EXPECT_EQ(layers[0].macs(), 105415200);
    expect_workload(layers[1], "Wide", 48, 8, 30);
}

TEST(ConvTopology, DropsWhatStandsBehindTheLastComma) {
    for (const char* end :
         {",", "", ", ", ", NPU", ", 2", ",2:4", ",1:1,", ", 4:4 ,", ",1:1,GPU"}) {
        const auto layers = parse(conv_header + "c,8,8,3,3,4,5,1" + end + "\n");
        ASSERT_EQ(layers.size(), 1u) << end;
        expect_workload(layers[0], "c", 36, 5, 36);
    }
}

TEST(ConvTopology, ReadsOverFurtherColumnsAndRowsOfCommas) {
    const auto layers = parse(
        "Layer name, IFMAP Height, ..., Strides,,,Eh,Ew,e2\n,,,,,,,,,,,,\n"
        "a,8,8,3,3,4,5,1,,,6,6,36\nb,8,8,3,3,4,5,1,1:1,7,\n, , ,\n");
    ASSERT_EQ(layers.size(), 2u);
    expect_workload(layers[0], "a", 36, 5, 36);
    expect_workload(layers[1], "b", 36, 5, 36);
}

TEST(ConvTopology, TakesCrlfBlankLinesBlanksAndNoFinalNewline) {
    const auto layers = parse(
        "\xef\xbb\xbfLayer name,IFMAP Height,IFMAP Width,...,\r\n\r\n"
        "  a , 8 ,\t8,3,3,4,5,1,\r\n   \r\nb,8,8,1,1,4,5,1,");
    ASSERT_EQ(layers.size(), 2u);
    expect_workload(layers[0], "a", 36, 5, 36);
    expect_workload(layers[1], "b", 64, 5, 4);
}

TEST(ConvTopology, ExpandsDepthwiseLayersToOnePerChannel) {
    const auto layers =
        parse(conv_header + "Conv_DP2, 8, 8, 3, 3, 3, 1, 1,\nlast,8,8,1,1,3,9,1,\n");
    ASSERT_EQ(layers.size(), 4u);
    expect_workload(layers[0], "Conv_DP2Channel_0", 36, 1, 9);
    expect_workload(layers[2], "Conv_DP2Channel_2", 36, 1, 9);
    expect_workload(layers[3], "last", 64, 9, 3);
}

TEST(GemmTopology, ReadsMNK) {
    const auto layers = parse(gemm_header + "qkv, 256, 128, 64,\nproj,1,2,3");
    ASSERT_EQ(layers.size(), 2u);
    expect_workload(layers[0], "qkv", 256, 128, 64);
    expect_workload(layers[1], "proj", 1, 2, 3);
}

TEST(Topology, IsToldApartByItsHeaderUnlessForced) {
    expect_workload(parse("Name, m, n, k\nx,4,5,6,\n").at(0), "x", 4, 5, 6);
    expect_workload(parse("L,a,b,c\nx,4,5,6\n").at(0), "x", 4, 5, 6);  // 4 columns
    expect_workload(parse("L,h,w,r,s,c,f,st\nx,8,8,3,3,4,5,1\n").at(0), "x", 36, 5, 36);  // 8
    expect_workload(parse("whatever\nx,4,5,6,\n", TopologyKind::gemm).at(0), "x", 4, 5, 6);
    expect_workload(parse("whatever\nx,8,8,3,3,4,5,1,\n", TopologyKind::conv).at(0), "x", 36, 5,
                    36);
    expect_refused("whatever\nx,4,5,6,\n", {"net.csv:1", "--topology"});
}

TEST(Topology, RefusesBadFilesWithLineAndColumn) {
    expect_refused("", {"net.csv", "empty"});
    expect_refused(conv_header, {"net.csv", "no layer"});
    expect_refused("c,8,8,3,3,4,5,1,\n", {"net.csv:1", "header"});
    expect_refused(conv_header + "c,8,8,3,3,4,5,\n", {"net.csv:2", "column 8 (stride)", "''"});
    expect_refused(conv_header + "c,8,8,3,3,4\n", {"net.csv:2", "expected 8 columns", "found 6"});
    expect_refused(conv_header + "\nc,8,8,3,x,4,5,1,\n",
                   {"net.csv:3", "column 5 (filter width)", "'x'"});
    expect_refused(conv_header + "c,8,8,3,3,4,5,0,\n", {"column 8 (stride)", "'0'"});
    expect_refused(conv_header + "c,-8,8,3,3,4,5,1,\n", {"column 2 (IFMAP height)", "'-8'"});
    expect_refused(conv_header + "c,8.0,8,3,3,4,5,1,\n", {"column 2", "'8.0'"});
    expect_refused(conv_header + "c,8,8,3,3,4,99999999999999999999,1,\n", {"column 7 (filters)"});
    expect_refused(conv_header + ",8,8,3,3,4,5,1,\n", {"column 1 (layer name)"});
    expect_refused(conv_header + "c,8,2,3,3,4,5,1,\n",
                   {"column 5 (filter width)", "larger than its input", "3 > 2"});
    expect_refused(conv_header + "c,8,8,3,3,4,5,1,2,\n", {"column 9", "sparsity N:M"});
    expect_refused(gemm_header + "g,4,5,\n", {"net.csv:2", "column 4 (K)", "''"});
    expect_refused(gemm_header + "g,4,5,6,12,\n", {"column 5", "batch"});
    expect_refused(gemm_header + "g,1000000000,1000000000,1000000000,\n",
                   {"net.csv:2", "too large"});
    expect_refused(conv_header + "aDP,8,8,3,3,1000000,5,1,\n", {"column 6 (channels)", "DP"});
}

TEST(Topology, RefusesSparseLayers) {
    expect_refused(conv_header + "c,8,8,3,3,4,5,1,2:4,\n",
                   {"net.csv:2", "column 9", "2:4", "dense", "SparsitySupport"});
    expect_refused(gemm_header + "g,4,5,6,1:2,\n", {"column 5", "1:2"});
    expect_refused(gemm_header + "g,4,5,6,4:2,\n", {"N <= M"});
}

TEST(Topology, ReadsOverSparsityWhereToldTo) {
    const auto layers = parse_scalesim_topology(gemm_header + "g,4,5,6,1:2,\nh,1,2,3,2:4,\n",
                                                "net.csv", TopologyKind::detect, true);
    ASSERT_EQ(layers.size(), 2u);
    expect_workload(layers[0], "g", 4, 5, 6);
    expect_workload(layers[1], "h", 1, 2, 3);
}

TEST(Topology, RefusesFilesItCannotRead) {
    EXPECT_THROW(read_scalesim_topology("/nonexistent/net.csv"), InputError);
    EXPECT_THROW(read_scalesim_topology("/"), InputError);
}

TEST(NetworkWorkloads, AreItsConvolutionsAndLinearLayers) {
    const Network network = parse_network(R"({
      "name": "n", "input": {"shape": [4, 10, 10]},
      "layers": [
        {"name": "conv", "type": "conv2d", "out_channels": 6, "kernel": 3, "stride": 2, "padding": 1},
        {"name": "relu", "type": "relu"},
        {"name": "group", "type": "conv2d", "out_channels": 8, "kernel": [1, 3], "groups": 2},
        {"name": "act", "type": "relu"},
        {"name": "fc", "type": "linear", "out_features": 7}
      ]})",
                                          "n.json");
    const auto layers = from_network(network, 3);
    ASSERT_EQ(layers.size(), 3u);
    expect_workload(layers[0], "conv", 3 * 5 * 5, 6, 9 * 4);      // padded: 5 x 5 outputs
    expect_workload(layers[1], "group", 3 * 5 * 3, 4, 3 * 3, 2);  // 6 / 2 channels, 8 / 2 filters
    expect_workload(layers[2], "fc", 3, 7, 8 * 5 * 3);
    EXPECT_EQ(layers[1].macs(), 3 * 5 * 3 * 8 * 9);
}

TEST(NetworkWorkloads, RefusesNetworksWithoutAnyAndBatchesBeyondCounting) {
    const Network none = parse_network(
        R"({"name": "n", "input": {"shape": [1, 4, 4]}, "layers": [{"name": "p", "type": "max_pool", "kernel": 2}]})",
        "n.json");
    EXPECT_THROW(from_network(none, 1), InputError);
    const Network one = parse_network(
        R"({"name": "n", "input": {"shape": [1, 4, 4]}, "layers": [{"name": "f", "type": "linear", "out_features": 2}]})",
        "n.json");
    EXPECT_THROW(from_network(one, std::int64_t{1} << 62), InputError);
}

}  // namespace
}  // namespace wagesim::timing
