// Each layer type by hand-computed numbers, and what the model refuses.
#include <ostream>

#include "golden_case.h"
#include "wagesim/error.h"

namespace wagesim::golden {
namespace {

TEST(Image, IsThePixelMinus128) {
    Case c("[1, 1, 3]", R"({"name": "r", "type": "relu"})");
    c.pixels = {0, 128, 255};
    c.batch = 1;
    CaseModel model = c.model();
    const Tensor image = model.layer(-1).at(Qp::image);
    EXPECT_EQ(image.values.reals(), (std::vector<double>{-1.0, 0.0, 127.0 / 128}));
    EXPECT_EQ(image.frac, 7);
    // A's format: frac 5. 127 / 4 = 31.75.
    EXPECT_EQ(codes_of(model.layer(0).at(Qp::A)), (Codes{0, 0, 32}));
}

TEST(Convolution, IsACrossCorrelationOverGreyPadding) {
    Case c("[1, 2, 2]",
           R"({"name": "conv", "type": "conv2d", "out_channels": 1, "kernel": 2, "padding": 1})");
    c.set_image({1, 2, 3, 4});
    c.set("conv", Qp::W, {10, 20, 30, 40}, 7);
    const auto points = c.run("conv");
    const Tensor& z = points.at(Qp::z);
    EXPECT_EQ(codes_of(z), (Codes{40, 30 + 80, 60,                         //
                                  20 + 120, 10 + 40 + 90 + 160, 20 + 120,  //
                                  60, 30 + 80, 40}));
    EXPECT_EQ(z.frac, 14);
    EXPECT_EQ(z.bits, 32);
    EXPECT_EQ(points.count(Qp::y), 0U);
    EXPECT_EQ(codes_of(points.at(Qp::Wq)), (Codes{10, 20, 30, 40}));
}

struct Geometry {
    std::int64_t channels, height, width;
    int outputs, kernel_h, kernel_w, stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w,
        groups;
    bool bias;
    int weight_bits = 8;  ///< 24: sums beyond what float32 holds
};
void PrintTo(const Geometry& g, std::ostream* out) {
    *out << g.kernel_h << "x" << g.kernel_w << " stride " << g.stride_h << " groups " << g.groups
         << ", weights of " << g.weight_bits << " bits";
}
class ConvolutionGeometry : public testing::TestWithParam<Geometry> {};

TEST_P(ConvolutionGeometry, EqualsTheSumItIsDefinedBy) {
    const Geometry g = GetParam();
    const auto pair = [](int h, int w) {
        return "[" + std::to_string(h) + ", " + std::to_string(w) + "]";
    };
    Case c("[" + std::to_string(g.channels) + ", " + std::to_string(g.height) + ", " +
               std::to_string(g.width) + "]",
           R"({"name": "conv", "type": "conv2d", "out_channels": )" + std::to_string(g.outputs) +
               ", \"kernel\": " + pair(g.kernel_h, g.kernel_w) + ", \"stride\": " +
               pair(g.stride_h, g.stride_w) + ", \"padding\": " + pair(g.pad_h, g.pad_w) +
               ", \"dilation\": " + pair(g.dilation_h, g.dilation_w) + ", \"groups\": " +
               std::to_string(g.groups) + ", \"bias\": " + (g.bias ? "true" : "false") + "}");
    const std::int64_t images = 2;
    c.random_pixels(17, images);
    const Shape in{images, g.channels, g.height, g.width};
    const Shape shape = weight_shape(c.network.layers[0]);
    Numbers numbers(5);
    Codes weights, bias(static_cast<std::size_t>(g.outputs), 0);
    const std::int64_t most = (std::int64_t{1} << (g.weight_bits - 1)) - 1;
    for (std::int64_t i = 0; i < shape.size(); ++i) weights.push_back(numbers.between(-most, most));
    c.set("conv", Qp::W, weights, 7);
    if (g.weight_bits > 8) {
        c.rule(Qp::W).format = c.rule(Qp::Wq).format = {g.weight_bits, 7, true, 0};
        c.rule(Qp::z).format.bits = c.datapath.machine.accumulator_bits = 48;
    }
    if (g.bias) {
        for (std::int64_t& b : bias) b = numbers.between(-20000, 20000);
        c.set("conv", Qp::bias, bias, 14);
    }
    const auto points = c.run("conv");
    const Tensor& z = points.at(Qp::z);
    const Codes codes = codes_of(z);
    for (std::int64_t n = 0; n < z.shape.n; ++n)
        for (std::int64_t o = 0; o < z.shape.c; ++o)
            for (std::int64_t oh = 0; oh < z.shape.h; ++oh)
                for (std::int64_t ow = 0; ow < z.shape.w; ++ow) {
                    std::int64_t sum = bias[static_cast<std::size_t>(o)];
                    for (std::int64_t i = 0; i < shape.c; ++i)
                        for (std::int64_t kh = 0; kh < shape.h; ++kh)
                            for (std::int64_t kw = 0; kw < shape.w; ++kw) {
                                const std::int64_t h =
                                    oh * g.stride_h + kh * g.dilation_h - g.pad_h;
                                const std::int64_t w =
                                    ow * g.stride_w + kw * g.dilation_w - g.pad_w;
                                if (h < 0 || w < 0 || h >= g.height || w >= g.width) continue;
                                const std::int64_t channel =
                                    o / (g.outputs / g.groups) * shape.c + i;
                                sum +=
                                    weights[static_cast<std::size_t>(shape.index(o, i, kh, kw))] *
                                    (c.pixels[static_cast<std::size_t>(
                                         in.index(n, channel, h, w))] -
                                     128);
                            }
                    ASSERT_EQ(codes[static_cast<std::size_t>(z.shape.index(n, o, oh, ow))], sum)
                        << n << " " << o << " " << oh << " " << ow;
                }
    EXPECT_EQ(points.count(Qp::bias_q), g.bias ? 1U : 0U);
}

INSTANTIATE_TEST_SUITE_P(Cases, ConvolutionGeometry,
                         testing::Values(Geometry{3, 6, 5, 4, 3, 3, 1, 1, 1, 1, 1, 1, 1, false},
                                         Geometry{3, 7, 8, 2, 3, 2, 2, 3, 0, 1, 1, 1, 1, true},
                                         Geometry{2, 9, 9, 3, 3, 3, 1, 2, 2, 2, 2, 3, 1, false},
                                         Geometry{6, 5, 5, 4, 3, 3, 1, 1, 1, 1, 1, 1, 2, true},
                                         Geometry{4, 6, 6, 4, 3, 3, 2, 2, 1, 1, 1, 1, 4, false},
                                         Geometry{5, 4, 4, 7, 1, 1, 2, 2, 0, 0, 1, 1, 1, false},
                                         Geometry{3, 6, 5, 4, 3, 3, 1, 1, 1, 1, 1, 1, 1, true, 24},
                                         Geometry{4, 7, 6, 4, 3, 2, 2, 1, 1, 1, 1, 1, 2, false,
                                                  24}));

TEST(Linear, FlattensChannelsThenRowsThenColumns) {
    Case c("[2, 1, 2]", R"({"name": "fc", "type": "linear", "out_features": 2, "bias": true})");
    c.set_image({1, 2, 3, 4, 5, 6, 7, 8});
    c.set("fc", Qp::W, {100, 10, 1, 0, 0, 0, 0, 1}, 7);
    c.set("fc", Qp::bias, {7, -9}, 14);
    EXPECT_EQ(codes_of(c.run("fc").at(Qp::z)), (Codes{123 + 7, 4 - 9, 567 + 7, 8 - 9}));
}

TEST(Bias, IsRoundedToTheOutputsUnitByItsOwnRule) {
    Case c("[1, 1, 1]", R"({"name": "fc", "type": "linear", "out_features": 3, "bias": true})");
    c.set_image({0});
    c.set("fc", Qp::W, {0, 0, 0}, 7);
    c.set("fc", Qp::bias, {256, 768, -257}, 23);  // 512ths: a half, 3 halves, just below -half
    auto points = c.run("fc");
    EXPECT_EQ(codes_of(points.at(Qp::bias_q)), (Codes{0, 2, -1}));
    EXPECT_EQ(points.at(Qp::bias_q).ties, (std::vector<bool>{true, true, false}));
    EXPECT_EQ(codes_of(points.at(Qp::z)), (Codes{0, 2, -1}));
    c.rule(Qp::bias_q).rounding = Rounding::floor;
    EXPECT_EQ(codes_of(c.run("fc").at(Qp::bias_q)), (Codes{0, 1, -1}));
}

TEST(Weights, AreRoundedToEightBitsSymmetrically) {
    Case c("[1, 1, 5]", R"({"name": "fc", "type": "linear", "out_features": 1})");
    c.set_image({0, 0, 0, 0, 0});
    // 2^16 master codes to one of Wq: a half, three halves, saturation on both sides, just below.
    c.set("fc", Qp::W, {32768, 98304, 8388607, -8388607, -32767}, 23);
    const auto points = c.run("fc");
    const Tensor& wq = points.at(Qp::Wq);
    EXPECT_EQ(codes_of(wq), (Codes{0, 2, 127, -127, 0}));
    EXPECT_EQ(wq.saturations, 2);
    EXPECT_EQ(wq.ties, (std::vector<bool>{true, true, false, false, false}));
}

TEST(Relu, RoundsTiesToEvenAndSaturates) {
    // Image codes at frac 7 to A at frac 5: quarters.
    Case c("[1, 1, 6]", R"({"name": "r", "type": "relu"})");
    c.rule(Qp::A).format.bits = 6;  // to 31
    c.set_image({2, 6, 10, -6, 126, 127});
    const auto points = c.run("r");
    EXPECT_EQ(codes_of(points.at(Qp::A)), (Codes{0, 2, 2, 0, 31, 31}));
    EXPECT_EQ(points.at(Qp::A).ties, (std::vector<bool>{true, true, true, false, true, false}));
    EXPECT_EQ(points.at(Qp::A).saturations, 2);
}

TEST(Relu6, ClipsAtSixBeforeTheQuantiser) {
    // y = 8 x; A at frac 4 holds up to 7.9.
    Case c("[8, 1, 4]",
           R"({"name": "conv", "type": "conv2d", "out_channels": 1, "kernel": 1},
              {"name": "r", "type": "relu6"}, {"name": "out", "type": "relu"})");
    c.rule(Qp::A).format.frac = 4;
    c.rule(Qp::Wq).format = {9, 7, true, 0};
    c.rule(Qp::W).format = {25, 23, true, 0};
    c.set("conv", Qp::W, Codes(8, 128), 7);
    std::vector<int> image;
    for (int channel = 0; channel < 8; ++channel)
        for (const int code : {127, 96, 95, -50}) image.push_back(code);
    c.set_image(image);
    // 7.9375, 6, 5.9375, -3.125; without the clip the first would be 127.
    const auto points = c.run("r");
    EXPECT_EQ(codes_of(points.at(Qp::A)), (Codes{96, 96, 95, 0}));
    EXPECT_EQ(points.at(Qp::A).saturations, 0);
    c.rule(Qp::A).format.frac = 5;  // to 3.97: the quantiser saturates
    EXPECT_EQ(c.run("r").at(Qp::A).saturations, 3);
}

TEST(MaxPool, KeepsItsInputsCodesAndIgnoresPadding) {
    Case c("[1, 3, 3]",
           R"({"name": "conv", "type": "conv2d", "out_channels": 1, "kernel": 1},
              {"name": "p", "type": "max_pool", "kernel": 2, "stride": 2, "padding": 1},
              {"name": "r", "type": "relu"})");
    c.set_image({-1, -2, -3, -4, -5, -6, -7, -8, -9});
    c.set("conv", Qp::W, {1}, 7);
    const auto points = c.run("p");
    ASSERT_EQ(points.count(Qp::y), 1U) << "its input is no activation";
    EXPECT_EQ(codes_of(points.at(Qp::y)), (Codes{-1, -2, -4, -5}));
    EXPECT_EQ(points.at(Qp::y).frac, 14);
    EXPECT_EQ(points.at(Qp::y).bits, 32);
}

TEST(MaxPool, OfActivationsIsAnActivation) {
    Case c("[1, 2, 4]",
           R"({"name": "r", "type": "relu"},
              {"name": "p", "type": "max_pool", "kernel": 2},
              {"name": "fc", "type": "linear", "out_features": 1})");
    c.set_image({4, 8, -4, 0, 12, 16, 0, -8});
    EXPECT_EQ(codes_of(c.run("p").at(Qp::A)), (Codes{4, 0}));
}

TEST(AveragePool, RoundsTheExactMeanOnce) {
    // Four codes of frac 7 to their mean at frac 5: their sum over 16.
    Case c("[1, 2, 8]", R"({"name": "p", "type": "avg_pool", "kernel": 2})");
    c.set_image({8, 0, 20, 0, -8, 0, 100, 127,  //
                 0, 0, 4, 0, 0, -17, 127, 127});
    const auto points = c.run("p");
    EXPECT_EQ(codes_of(points.at(Qp::A)), (Codes{0, 2, -2, 30}));  // .5, 1.5, -1.5625, 30.0625
    EXPECT_EQ(points.at(Qp::A).ties, (std::vector<bool>{true, true, false, false}));
}

TEST(AveragePool, CountsPaddingAsZeros) {
    Case c("[1, 1, 1]",
           R"({"name": "p", "type": "avg_pool", "kernel": 3, "stride": 1, "padding": 1})");
    c.set_image({72});  // 72 / 9 = 8 at frac 7: 2 at frac 5
    EXPECT_EQ(codes_of(c.run("p").at(Qp::A)), Codes{2});
}

TEST(GlobalAveragePool, IsTheMeanOfEachPlane) {
    Case c("[2, 1, 3]", R"({"name": "p", "type": "global_avg_pool"})");
    c.set_image({4, 8, 12, -4, -8, -13});
    const auto points = c.run("p");
    EXPECT_EQ(codes_of(points.at(Qp::A)), (Codes{2, -2}));  // 24 / 12, -25 / 12
    EXPECT_EQ(points.at(Qp::A).shape, (Shape{1, 2, 1, 1}));
}

/// a at frac 14 and b at frac 12 (5 + 7) meet.
Case residual() {
    Case c("[1, 1, 2]",
           R"({"name": "a", "type": "conv2d", "out_channels": 1, "kernel": 1},
              {"name": "r", "type": "relu"},
              {"name": "b", "type": "conv2d", "out_channels": 1, "kernel": 1},
              {"name": "sum", "type": "add", "inputs": ["a", "b"]},
              {"name": "out", "type": "relu"})");
    c.set("a", Qp::W, {127}, 7);
    c.set("b", Qp::W, {-3}, 7);
    c.set_image({100, 9});
    return c;
}

TEST(Add, IsExactAtTheFinerUnit) {
    const Case c = residual();
    // a: 12700, 1143 at frac 14. A: 24.80 -> 25, 2.23 -> 2. b: -75, -6 at frac 12.
    const auto points = c.run("sum");
    EXPECT_EQ(codes_of(points.at(Qp::stream)), (Codes{12700 - 300, 1143 - 24}));
    EXPECT_EQ(points.at(Qp::stream).frac, 14);
    EXPECT_EQ(points.count(Qp::A), 0U);
}

TEST(Add, WrapsWhatItsRegisterDoesNotHold) {
    Case c = residual();
    c.rule(Qp::stream).format.bits = 12;
    const auto points = c.run("sum");
    EXPECT_EQ(codes_of(points.at(Qp::stream)), (Codes{12400 - 3 * 4096, 1119}));
    EXPECT_EQ(points.at(Qp::stream).wraps, 1);
}

TEST(QuantizedOutput, OfABatchNormIsWhatAllItsReadersRead) {
    Case c("[1, 1, 4]",
           R"({"name": "bn", "type": "batch_norm"},
              {"name": "conv", "type": "conv2d", "out_channels": 1, "kernel": 1},
              {"name": "sum", "type": "add", "inputs": ["bn", "conv"]},
              {"name": "out", "type": "relu"})");
    c.set("bn", Qp::run_sigma, {8388608 - 256}, 23);  // sigma + eps = 1: xhat = RNE(code / 4)
    c.set("bn", Qp::gamma, {6291456}, 23);            // 0.75
    c.set("conv", Qp::W, {64}, 7);
    c.set_image({-100, -10, 7, 120});
    CaseModel model = c.model();
    const auto bn = model.layer(0);
    // xhat: -25, -2 (tie), 2, 30. x2: 48 xhat at frac 11. A: 0.75 xhat.
    EXPECT_EQ(codes_of(bn.at(Qp::xhat)), (Codes{-25, -2, 2, 30}));
    EXPECT_EQ(codes_of(bn.at(Qp::A)), (Codes{-19, -2, 2, 22}));  // -18.75, -1.5, 1.5, 22.5
    EXPECT_EQ(codes_of(model.layer(1).at(Qp::y)), (Codes{-19 * 64, -128, 128, 22 * 64}));
    // A and half of A, at frac 12.
    EXPECT_EQ(codes_of(model.layer(2).at(Qp::stream)),
              (Codes{-19 * 192, -2 * 192, 2 * 192, 22 * 192}));
}

TEST(Unquantized, IsTheSameNetworkInRealNumbers) {
    Case c("[1, 2, 2]",
           R"({"name": "conv", "type": "conv2d", "out_channels": 1, "kernel": 2, "bias": true},
              {"name": "bn", "type": "batch_norm"}, {"name": "r", "type": "relu6"},
              {"name": "fc", "type": "linear", "out_features": 1})");
    c.set_image({64, -64, 32, 0, -128, 0, 0, 0});
    const auto put = [&](const char* name, Qp qp, const std::vector<double>& values) {
        c.parameters[{c.index(name), qp}] = values;
    };
    put("conv", Qp::W, {0.5, 0.25, 0.125, 0.0625});
    put("conv", Qp::bias, {0.0009765625});
    put("bn", Qp::run_mu, {0.015625});
    put("bn", Qp::run_sigma, {0.25});
    put("bn", Qp::gamma, {1.5});
    put("bn", Qp::beta, {0.125});
    put("fc", Qp::W, {-0.75});
    const auto close = [](const std::vector<double>& values, double first, double second) {
        ASSERT_EQ(values.size(), 2U);
        EXPECT_NEAR(values[0], first, 1e-14);
        EXPECT_NEAR(values[1], second, 1e-14);
    };
    CaseModel model = c.model();
    const double y0 = 0.25 - 0.125 + 0.03125 + 0.0009765625, y1 = -0.5 + 0.0009765625;
    const auto norm = [](double y, double mu, double sigma) {
        return 1.5 * (y - mu) / (sigma + 1.0 / 32768) + 0.125;
    };
    EXPECT_EQ(model.unquantized(-1).size(), 8U);
    close(model.unquantized(0), y0, y1);
    close(model.unquantized(1), norm(y0, 0.015625, 0.25), norm(y1, 0.015625, 0.25));
    close(model.unquantized(3), -0.75 * norm(y0, 0.015625, 0.25), 0.0);

    c.options.batch_norm = BatchNorm::batch;
    Model batch = c.model();
    const double mean = (y0 + y1) / 2, deviation = (y0 - y1) / 2;
    close(batch.unquantized(1), norm(y0, mean, deviation), norm(y1, mean, deviation));
}

TEST(Model, GivesTheSameTensorsWhereLayersAreSkipped) {
    const Case c = residual();
    CaseModel all = c.model();
    for (int i = 0; i < 4; ++i) all.layer(i);
    EXPECT_EQ(all.layer(4).at(Qp::A).values.reals(), c.run("out").at(Qp::A).values.reals());
}

TEST(Model, StartsAgainWithEveryBatch) {
    Case c = residual();
    CaseModel model = c.model();
    const std::vector<double> first = model.layer(4).at(Qp::A).values.reals();
    model.begin({0, 255}, 1);
    EXPECT_NE(model.layer(4).at(Qp::A).values.reals(), first);
    model.begin(c.pixels, 1);
    EXPECT_EQ(model.layer(4).at(Qp::A).values.reals(), first);
}

std::string refusal(const Case& c) {
    try {
        c.model();
    } catch (const InputError& error) {
        return error.what();
    }
    return "";
}
void expect_words(const std::string& text, const std::vector<std::string>& words) {
    for (const std::string& word : words)
        EXPECT_NE(text.find(word), std::string::npos) << "'" << word << "' in: " << text;
}

TEST(Refusals, NameTheLayersOfOperandsThatAreNoActivations) {
    Case c("[1, 1, 1]",
           R"({"name": "first", "type": "linear", "out_features": 1},
              {"name": "between", "type": "relu"},
              {"name": "second", "type": "linear", "out_features": 1})");
    c.set_image({0});
    EXPECT_EQ(refusal(c), "");
    c.network.layers[2].inputs = {0};
    expect_words(refusal(c), {"'second'", "'first'", "expected"});
}

TEST(Refusals, NameTheStochasticQuantiser) {
    Case c = residual();
    c.datapath.layer_quantizers["b"][Qp::Wq] = c.rule(Qp::Wq);
    c.datapath.layer_quantizers["b"][Qp::Wq].rounding = Rounding::stochastic;
    expect_words(refusal(c), {"'b'", "Wq", "stochastic"});
}

TEST(Refusals, NameAnX2ThatDoesNotFit) {
    Case c("[1, 1, 1]", R"({"name": "bn", "type": "batch_norm"}, {"name": "r", "type": "relu"})");
    c.set_image({0});
    c.rule(Qp::x2).format.bits = 16;  // 127 * 127 + 127 * 32 = 20193 fits
    EXPECT_EQ(refusal(c), "");
    c.rule(Qp::x2).format.bits = 15;
    expect_words(refusal(c), {"'bn'", "x2", "15 bits"});
}

TEST(Refusals, NameTheReaderOfAFoldedBatchNorm) {
    Case c("[1, 1, 2]",
           R"({"name": "a", "type": "conv2d", "out_channels": 1, "kernel": 1},
              {"name": "bn", "type": "batch_norm"},
              {"name": "sum", "type": "add", "inputs": ["a", "bn"]})");
    c.set_image({0, 0});
    EXPECT_EQ(refusal(c), "");
    c.datapath.bn_inference = BnInference::folded;
    expect_words(refusal(c), {"'sum'", "'bn'", "folded"});
    c.options.batch_norm = BatchNorm::batch;  // folding is of the running statistics only
    EXPECT_EQ(refusal(c), "");
}

TEST(Refusals, NameParametersThatDoNotFitTheNetwork) {
    Case c = residual();
    c.parameters.erase({0, Qp::W});
    expect_words(refusal(c), {"'a'", "W", "missing"});
    c = residual();
    c.parameters[{2, Qp::W}].push_back(0.0);
    expect_words(refusal(c), {"'b'", "W", "expected 1"});
    c = residual();
    c.parameters[{2, Qp::W}][0] = std::nan("");
    expect_words(refusal(c), {"'b'", "not a finite number"});
    c = residual();
    c.parameters[{1, Qp::gamma}] = {1.0};
    expect_words(refusal(c), {"layer 1", "gamma"});
    c = residual();
    c.pixels.pop_back();
    expect_words(refusal(c), {"images", "expected"});
}

TEST(Parameters, AreBroughtToTheirMastersGrid) {
    Case c = residual();
    c.parameters[{2, Qp::W}][0] = 0.1;
    CaseModel model = c.model();
    EXPECT_EQ(model.parameters().at({2, Qp::W})[0], std::ldexp(838861.0, -23));
}

}  // namespace
}  // namespace wagesim::golden
