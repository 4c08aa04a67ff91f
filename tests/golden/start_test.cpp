// Start values against numbers of an independent Python script of docs/datapath.md's rules
// (arbitrary-precision integers, exact fractions).
#include <numeric>

#include "golden_case.h"

namespace wagesim::golden {
namespace {

const char* const convnet = R"(
    {"name": "conv1", "type": "conv2d", "out_channels": 16, "kernel": 3, "padding": 1},
    {"name": "bn1", "type": "batch_norm"}, {"name": "relu1", "type": "relu"},
    {"name": "pool1", "type": "max_pool", "kernel": 2},
    {"name": "conv2", "type": "conv2d", "out_channels": 32, "kernel": 3, "padding": 1},
    {"name": "bn2", "type": "batch_norm"}, {"name": "relu2", "type": "relu"},
    {"name": "pool2", "type": "max_pool", "kernel": 2},
    {"name": "fc", "type": "linear", "out_features": 10})";

Codes master_codes(const std::vector<double>& values) {
    Codes codes;
    for (const double value : values) {
        const double code = std::ldexp(value, 23);
        EXPECT_EQ(code, std::floor(code));
        codes.push_back(static_cast<std::int64_t>(code));
    }
    return codes;
}

struct Ends {
    Codes first, last;
    std::int64_t sum;
};
Ends ends_of(const std::vector<double>& values) {
    const Codes codes = master_codes(values);
    return {Codes(codes.begin(), codes.begin() + 6), Codes(codes.end() - 3, codes.end()),
            std::accumulate(codes.begin(), codes.end(), std::int64_t{0})};
}

TEST(InitialParameters, OfTheFirstLayerFollowTheStreams) {
    const Case c("[1, 28, 28]", convnet);
    const Ends w = ends_of(initial_parameters(c.network, c.datapath, 1).at({0, Qp::W}));
    EXPECT_EQ(w.first, (Codes{-5082411, -3525888, 3401771, 2888534, 3113259, -1402838}));
    EXPECT_EQ(w.last, (Codes{-5592406, 1174528, -4170582}));
    EXPECT_EQ(w.sum, 22107989);
}

TEST(InitialParameters, AreDrawnInMemoryOrderNotInFileOrder) {
    const Case c("[1, 28, 28]", convnet);
    const Ends w = ends_of(
        to_file_order({32, 16, 3, 3}, initial_parameters(c.network, c.datapath, 7).at({4, Qp::W})));
    EXPECT_EQ(w.first, (Codes{-432608, 535968, 17963, -1376758, 894443, -957824}));
    EXPECT_EQ(w.last, (Codes{-1198646, 221333, 1191051}));
    EXPECT_EQ(w.sum, 16212638);
}

TEST(InitialParameters, TakeAnySeedAndFullyConnectedLayers) {
    const Case c("[1, 28, 28]", convnet);
    const Ends w = ends_of(initial_parameters(c.network, c.datapath, 0xDEADBEEFU).at({8, Qp::W}));
    EXPECT_EQ(w.first, (Codes{423688, 423688, 271765, -77547, -248368, -228847}));
    EXPECT_EQ(w.last, (Codes{116302, 120895, 207858}));
    EXPECT_EQ(w.sum, 8066069);
}

TEST(InitialParameters, SaturateInTheMastersFormat) {
    const Case c("[1, 1, 1]", R"({"name": "fc", "type": "linear", "out_features": 20})");
    EXPECT_EQ(master_codes(initial_parameters(c.network, c.datapath, 3).at({0, Qp::W})),
              (Codes{-69248,  4610816,  818816,  8388607,  3012096,  7146240,  -1219200,
                     8388607, -8388607, 8388607, 2854784,  4353792,  -8388607, 80128,
                     8388607, 8388607,  7293824, -8388607, -8042752, -6911616}));
}

TEST(InitialParameters, OfTheRestAreOnesAndZeros) {
    const Case c("[2, 1, 1]",
                 R"({"name": "bn", "type": "batch_norm"}, {"name": "r", "type": "relu"},
                    {"name": "fc", "type": "linear", "out_features": 3, "bias": true})");
    const Parameters p = initial_parameters(c.network, c.datapath, 1);
    EXPECT_EQ(p.size(), 6U);
    EXPECT_EQ(p.at({0, Qp::gamma}), (std::vector<double>{1, 1}));
    EXPECT_EQ(p.at({0, Qp::beta}), (std::vector<double>{0, 0}));
    EXPECT_EQ(p.at({0, Qp::run_mu}), (std::vector<double>{0, 0}));
    EXPECT_EQ(p.at({0, Qp::run_sigma}), (std::vector<double>{1, 1}));
    EXPECT_EQ(p.at({2, Qp::bias}), (std::vector<double>{0, 0, 0}));
}

}  // namespace
}  // namespace wagesim::golden
