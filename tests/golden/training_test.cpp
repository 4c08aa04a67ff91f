// The golden model's training step: against two steps of an independent integer implementation, and
// its own points against each other in integers.
#include "golden/training.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "golden/loss.h"
#include "golden_case.h"
#include "reference_steps.h"
#include "wagesim/error.h"

namespace wagesim::golden {
namespace {

using test::ReferenceRun;
using test::ReferenceStep;
using test::ReferenceTensors;

std::string name_of(const Network& network, const std::pair<int, Qp>& key) {
    return network.name_of(key.first) + "." + std::string(to_string(key.second));
}

std::vector<std::int64_t> codes_in_file_order(const Tensor& tensor) {
    std::vector<std::int64_t> codes;
    for (const double value : to_file_order(tensor.shape, tensor.values.reals()))
        codes.push_back(
            static_cast<std::int64_t>(std::ldexp(value, tensor.frac - tensor.exponent)));
    return codes;
}

class ReferenceSteps : public testing::TestWithParam<const char*> {
protected:
    ReferenceSteps()
        : run_(test::read_reference_run(GetParam())),
          datapath_(preset(run_.preset)),
          model_(run_.network, datapath_) {
        Parameters state = initial_parameters(run_.network, datapath_, 1);
        for (const auto& [layer, codes] : run_.weights) {
            std::vector<double> values;
            for (const std::int64_t code : codes)
                values.push_back(std::ldexp(static_cast<double>(code), -23));
            state[{layer, Qp::W}] = to_memory_order(shape_of_weights(layer), values);
        }
        model_.set_state(state);
    }

    Shape shape_of_weights(int layer) const {
        return weight_shape(run_.network.layers[static_cast<std::size_t>(layer)]);
    }
    Draws draws_of(const ReferenceStep& step) const {
        Draws draws;
        for (const auto& [layer, values] : step.draws)
            draws[layer] = to_memory_order(shape_of_weights(layer), values);
        return draws;
    }
    std::int64_t expect_equal(const ReferenceTensors& expected, const Points& points) const {
        std::int64_t elements = 0;
        for (const auto& [key, reference] : expected) {
            const auto found = points.find(key);
            if (found == points.end()) {
                ADD_FAILURE() << name_of(run_.network, key) << " is not there";
                continue;
            }
            const Tensor& tensor = *found->second;
            EXPECT_TRUE(tensor.certified) << reference.name << ": " << tensor.why_not;
            EXPECT_TRUE(codes_in_file_order(tensor) == reference.codes)
                << reference.name << " is not " << name_of(run_.network, key);
            if (reference.exponent) {
                EXPECT_EQ(tensor.exponent, *reference.exponent) << reference.name;
            }
            elements += static_cast<std::int64_t>(reference.codes.size());
        }
        return elements;
    }

    const ReferenceRun run_;
    const Datapath datapath_;
    TrainingModel model_;
};

TEST_P(ReferenceSteps, AreReproducedBitForBitAndCertified) {
    std::int64_t elements = 0;
    for (std::uint32_t i = 0; i < run_.steps.size(); ++i) {
        const ReferenceStep& step = run_.steps[i];
        elements += expect_equal(step.used, model_.quantized_state());
        const Draws draws = draws_of(step);
        const StepRegisters registers{1, i, test::reference_lr, test::reference_dr_log2};
        const StepResult result = model_.step(step.images, step.labels, registers, &draws);
        elements += expect_equal(step.shown, result.points);
        for (const auto& [key, tensor] : result.points)
            EXPECT_TRUE(tensor->certified) << name_of(run_.network, key) << tensor->why_not;
    }
    EXPECT_GT(elements, 1000000);
}

INSTANTIATE_TEST_SUITE_P(Training, ReferenceSteps, testing::Values("int8", "paper", "resnet8"),
                         [](const auto& name) { return std::string(name.param); });

/// Every kind of layer and of meeting.
constexpr const char* all_kinds = R"(
    {"name": "conv0", "type": "conv2d", "out_channels": 6, "kernel": 3, "padding": 1, "bias": true},
    {"name": "bn0", "type": "batch_norm"}, {"name": "relu0", "type": "relu6"},
    {"name": "max", "type": "max_pool", "kernel": 3, "stride": 2, "padding": 1},
    {"name": "conv1", "type": "conv2d", "out_channels": 6, "kernel": 3, "padding": 1, "groups": 3},
    {"name": "bn1", "type": "batch_norm"},
    {"name": "conv2", "type": "conv2d", "out_channels": 6, "kernel": 1},
    {"name": "add", "type": "add", "inputs": ["conv2", "max"]},
    {"name": "bn2", "type": "batch_norm"}, {"name": "relu2", "type": "relu"},
    {"name": "avg", "type": "avg_pool", "kernel": 3, "stride": 2, "padding": 1},
    {"name": "conv3", "type": "conv2d", "out_channels": 8, "kernel": 3, "stride": 2,
     "padding": 1},
    {"name": "short", "type": "conv2d", "inputs": ["avg"], "out_channels": 8, "kernel": 1,
     "stride": 2},
    {"name": "add2", "type": "add", "inputs": ["conv3", "short"]},
    {"name": "bn3", "type": "batch_norm"}, {"name": "relu3", "type": "relu"},
    {"name": "gap", "type": "global_avg_pool"},
    {"name": "fc", "type": "linear", "out_features": 5, "bias": true})";

class Steps : public testing::Test {
protected:
    Steps() : case_("[2, 12, 12]", all_kinds) {
        case_.random_pixels(9, 6);
        case_.batch = 6;
    }
    /// Two steps; the second's points.
    Points run(Precision precision = Precision::float64) {
        TrainingModel model(case_.network, case_.datapath, precision);
        model.set_state(case_.parameters);
        first_ = model.step(case_.pixels, labels_, {5, 0, 205, 7}).points;
        return model.step(case_.pixels, labels_, {5, 1, 205, 7}).points;
    }
    Codes codes(const Points& points, const std::string& layer, Qp qp) const {
        return codes_of(*points.at({case_.index(layer), qp}));
    }
    int exponent(const Points& points, const std::string& layer, Qp qp) const {
        return points.at({case_.index(layer), qp})->exponent;
    }

    Case case_;
    Points first_;
    const std::vector<int> labels_{0, 4, 2, 2, 1, 3};
};

TEST_F(Steps, AreCertifiedInEveryPresetAndRunInFloat32) {
    for (const char* name : {"int8", "paper", "authors"}) {
        case_.datapath = preset(name);
        const Points points = run();
        for (const auto& [key, tensor] : points)
            EXPECT_TRUE(tensor->certified)
                << name << " " << name_of(case_.network, key) << ": " << tensor->why_not;
        const Points narrow = run(Precision::float32);
        ASSERT_EQ(narrow.size(), points.size());
    }
}

TEST_F(Steps, ShowWhatTheirLayersHave) {
    const Points points = run();
    const auto has = [&](const std::string& layer, Qp qp) {
        return points.count({case_.index(layer), qp}) == 1;
    };
    EXPECT_FALSE(has("conv0", Qp::dx)) << "reads the image";
    EXPECT_TRUE(has("conv1", Qp::dx));
    EXPECT_TRUE(has("max", Qp::fork)) << "conv1 and add read it";
    EXPECT_TRUE(has("avg", Qp::fork));
    EXPECT_FALSE(has("relu2", Qp::fork));
    EXPECT_TRUE(has("bn1", Qp::E1m)) << "conv2 reads its A";
    EXPECT_FALSE(has("bn2", Qp::E1)) << "takes its ReLU's";
    EXPECT_TRUE(has("relu2", Qp::E1m));
    EXPECT_TRUE(has("avg", Qp::pool_err));
    EXPECT_FALSE(has("max", Qp::pool_err));
    EXPECT_TRUE(has("conv0", Qp::gBias));
    EXPECT_FALSE(has("conv1", Qp::gBias));
    for (const Qp qp : {Qp::p, Qp::e0, Qp::E1, Qp::E2, Qp::gW, Qp::G, Qp::Acc, Qp::Accq, Qp::W,
                        Qp::Wq, Qp::Acc_bias, Qp::Accq_bias, Qp::bias, Qp::bias_q})
        EXPECT_TRUE(has("fc", qp)) << to_string(qp);
    for (const Qp qp : {Qp::g_beta, Qp::g_gamma, Qp::gBN_beta, Qp::gBN_gamma, Qp::m1, Qp::m2,
                        Qp::bn_err, Qp::Acc_gamma, Qp::Accq_gamma, Qp::gamma, Qp::gamma_q})
        EXPECT_TRUE(has("bn2", qp)) << to_string(qp);
}

TEST_F(Steps, UpdateParametersAsIntegersDo) {
    case_.rule(Qp::Acc).format.bits = 8;  // for clips
    for (const bool quarter : {false, true}) {
        case_.datapath.training.momentum_quarter = quarter;
        const Points points = run();
        const struct {
            const char* layer;
            Qp gradient, acc, accq, master, quantized;
            int acc_bits, master_bits, quantized_bits, quantized_frac;
        } parameters[]{
            {"conv1", Qp::G, Qp::Acc, Qp::Accq, Qp::W, Qp::Wq, 8, 24, 8, 7},
            {"fc", Qp::G, Qp::Acc, Qp::Accq, Qp::W, Qp::Wq, 8, 24, 8, 7},
            {"fc", Qp::gBias, Qp::Acc_bias, Qp::Accq_bias, Qp::bias, Qp::bias_q, 18, 25, 32, 12},
            {"bn2", Qp::gBN_gamma, Qp::Acc_gamma, Qp::Accq_gamma, Qp::gamma, Qp::gamma_q, 18, 25, 8,
             6},
            {"bn2", Qp::gBN_beta, Qp::Acc_beta, Qp::Accq_beta, Qp::beta, Qp::beta_q, 18, 25, 8, 6}};
        std::int64_t clips = 0;
        for (const auto& p : parameters) {
            const Codes g = codes(points, p.layer, p.gradient);
            const Codes before = codes(first_, p.layer, p.accq);
            const Codes acc = codes(points, p.layer, p.acc);
            const Codes after = codes(points, p.layer, p.accq);
            const Codes old = codes(first_, p.layer, p.master);
            const Codes master = codes(points, p.layer, p.master);
            const Codes quantized = codes(points, p.layer, p.quantized);
            const auto most = [](int bits) { return (std::int64_t{1} << (bits - 1)) - 1; };
            for (std::size_t i = 0; i < g.size(); ++i) {
                const std::int64_t sum = (quarter ? 1 : 3) * before[i] + g[i];
                clips += std::abs(sum) > most(p.acc_bits);
                ASSERT_EQ(acc[i], clip(sum, most(p.acc_bits))) << p.layer;
                ASSERT_EQ(after[i], clip(divide_half_even(acc[i], 4), 4095));
                ASSERT_EQ(master[i], clip(old[i] - 205 * acc[i], most(p.master_bits)));
                ASSERT_EQ(quantized[i],
                          clip(divide_half_even(master[i], 1 << (23 - p.quantized_frac)),
                               most(p.quantized_bits)));
            }
            EXPECT_TRUE(std::any_of(g.begin(), g.end(), [](auto code) { return code != 0; }));
        }
        EXPECT_GT(clips, 0);
    }
}

TEST_F(Steps, MaskWhereTheReluOrAsRangeStopsTheError) {
    case_.rule(Qp::A).format.bits = 6;              // to 31/32
    case_.set("bn0", Qp::gamma, Codes(6, 120), 6);  // x beyond 6
    for (const bool masks : {true, false}) {
        case_.datapath.training.masks_overflow = masks;
        const Points points = run();
        std::int64_t overflows = 0, sixes = 0;
        for (const auto& [bn, relu, six] :
             {std::tuple{"bn0", "relu0", true}, std::tuple{"bn2", "relu2", false}}) {
            const Codes x = codes(points, bn, Qp::x2);  // frac 11; A has frac 5
            const Codes e1 = codes(points, relu, Qp::E1), e1m = codes(points, relu, Qp::E1m);
            for (std::size_t i = 0; i < x.size(); ++i) {
                const bool fits = divide_half_even(x[i], 64) <= 31;
                const bool passes = x[i] > 0 && !(six && x[i] > 6 * 2048) && (fits || !masks);
                ASSERT_EQ(e1m[i], passes ? e1[i] : 0) << relu;
                overflows += !fits;
                sixes += six && x[i] > 6 * 2048;
            }
        }
        EXPECT_GT(overflows, 0);
        EXPECT_GT(sixes, 0);
        // A batch norm's own A: nothing is cut at 0.
        const Codes x = codes(points, "bn1", Qp::x2);
        const Codes e1 = codes(points, "bn1", Qp::E1), e1m = codes(points, "bn1", Qp::E1m);
        for (std::size_t i = 0; i < x.size(); ++i)
            ASSERT_EQ(e1m[i], std::abs(divide_half_even(x[i], 64)) <= 31 || !masks ? e1[i] : 0);
    }
}

TEST_F(Steps, ForksAddWhatReadersDeliver) {
    const Points points = run();
    // max: dx of conv1, and the error of add, which is bn_err of bn2.
    const Codes dx = codes(points, "conv1", Qp::dx), err = codes(points, "bn2", Qp::bn_err);
    const Codes fork = codes(points, "max", Qp::fork);
    const int of_dx = exponent(points, "conv1", Qp::dx) - 21;
    const int of_err = exponent(points, "bn2", Qp::bn_err) - 24;
    const int unit = std::min(of_dx, of_err);
    const auto fork_tensor = points.at({case_.index("max"), Qp::fork});
    EXPECT_EQ(fork_tensor->exponent - fork_tensor->frac, unit);
    for (std::size_t i = 0; i < fork.size(); ++i)
        ASSERT_EQ(fork[i], dx[i] * (std::int64_t{1} << (of_dx - unit)) +
                               err[i] * (std::int64_t{1} << (of_err - unit)));
}

TEST_F(Steps, DecayWeightsBeforeTheyQuantiseTheGradient) {
    case_.datapath.training.weight_decay_log2 = 2;
    const Points points = run();
    case_.datapath.training.weight_decay_log2.reset();
    const Codes plain_g = codes(run(), "conv1", Qp::G);
    const Codes g = codes(points, "conv1", Qp::G);
    EXPECT_NE(g, plain_g);
    // 4 W dwarfs gW: G has its signs, scaled to 2^7 by the largest.
    const Codes w = codes(first_, "conv1", Qp::W);
    for (std::size_t i = 0; i < w.size(); ++i)
        if (std::abs(w[i]) > 1 << 20) {
            EXPECT_EQ(g[i] > 0, w[i] > 0) << i;
        }
}

TEST_F(Steps, DrawFromTheStreamsOfSeedStepAndLayer) {
    const auto g_of = [&](const StepRegisters& registers) {
        TrainingModel model(case_.network, case_.datapath);
        model.set_state(case_.parameters);
        return codes(model.step(case_.pixels, labels_, registers).points, "conv1", Qp::G);
    };
    const Codes g = g_of({5, 0, 205, 7});
    EXPECT_EQ(g, g_of({5, 0, 100, 7}));
    EXPECT_NE(g, g_of({6, 0, 205, 7}));
    EXPECT_NE(g, g_of({5, 1, 205, 7}));
    case_.datapath.training.random_source = RandomSource::lfsr;
    EXPECT_NE(g, g_of({5, 0, 205, 7}));
}

TEST_F(Steps, GoOnFromAStateThatIsPutBack) {
    TrainingModel whole(case_.network, case_.datapath), second(case_.network, case_.datapath);
    whole.set_state(case_.parameters);
    whole.step(case_.pixels, labels_, {5, 0, 205, 7});
    second.set_state(whole.state());
    const Points a = whole.step(case_.pixels, labels_, {5, 1, 205, 7}).points;
    const Points b = second.step(case_.pixels, labels_, {5, 1, 205, 7}).points;
    for (const auto& [key, tensor] : a)
        EXPECT_EQ(tensor->values.reals(), b.at(key)->values.reals()) << name_of(case_.network, key);
}

TEST(LossError, EqualsIntegers) {
    // Logits at frac 12 from 0 to 16 and beyond below the largest.
    Case c("[1, 1, 1]", R"({"name": "fc", "type": "linear", "out_features": 3})");
    Numbers numbers(2);
    constexpr std::int64_t images = 3000;
    Tensor z;
    z.shape = {images, 3, 1, 1};
    z.frac = 12;
    Codes codes;
    std::vector<int> labels;
    for (std::int64_t n = 0; n < images; ++n) {
        for (int i = 0; i < 3; ++i)
            codes.push_back(numbers.between(-(1 << 17), 1 << 17) >> numbers.between(0, 9));
        labels.push_back(static_cast<int>(numbers.between(0, 2)));
    }
    std::vector<double> logits;
    for (const std::int64_t code : codes)
        logits.push_back(std::ldexp(static_cast<double>(code), -12));
    z.values = std::move(logits);
    const LossError loss = loss_error<double>(z, labels, "fc", c.datapath);
    EXPECT_TRUE(loss.e0.certified) << loss.e0.why_not;
    EXPECT_EQ(loss.e0.exponent, -12) << "log2 3000 = 11.55";
    const Codes p = codes_of(*loss.p), e0 = codes_of(loss.e0);
    double mean = 0;
    for (std::size_t n = 0; n < images; ++n) {
        const std::int64_t* row = codes.data() + 3 * n;
        const std::int64_t top = *std::max_element(row, row + 3);
        std::int64_t x[3], sum = 0;
        for (int i = 0; i < 3; ++i) {
            const std::int64_t u = 47274 * (row[i] - top);  // frac 27
            const std::int64_t whole = u >> 27, step = (u >> 19) & 255;
            const auto t = static_cast<std::int64_t>(
                std::lround(32768 * std::pow(2.0, static_cast<double>(step) / 256)));
            sum += x[i] = -whole > 40 ? 0 : t >> -whole;
        }
        const auto right = static_cast<std::size_t>(labels[n]);
        for (std::size_t i = 0; i < 3; ++i) {
            ASSERT_EQ(p[3 * n + i], divide_half_even(Wide{x[i]} << 15, sum));
            ASSERT_EQ(e0[3 * n + i], p[3 * n + i] - (i == right ? 32768 : 0));
        }
        mean -= std::log(std::max(static_cast<double>(p[3 * n + right]) / 32768, 1.0 / 65536));
    }
    EXPECT_NEAR(loss.loss, mean / images, 1e-9);
}

TEST(LossError, OfSquaresIsTheDifference) {
    Case c("[1, 1, 1]", R"({"name": "fc", "type": "linear", "out_features": 2})");
    c.datapath.training.loss = Loss::sse;
    Tensor z;
    z.shape = {2, 2, 1, 1};
    z.frac = 12;
    z.values = {0.5, 1.5, -1, 0};
    const LossError loss = loss_error<double>(z, {1, 0}, "fc", c.datapath);
    EXPECT_FALSE(loss.p.has_value());
    EXPECT_EQ(loss.e0.bits, 33);
    EXPECT_EQ(loss.e0.frac, 12);
    EXPECT_EQ(loss.e0.exponent, -1);
    EXPECT_EQ(codes_of(loss.e0), (Codes{2048, 2048, -8192, 0}));
    EXPECT_DOUBLE_EQ(loss.loss, (0.125 + 0.125 + 2) / 2);
}

TEST(TrainingRefuses, WhatHasNoDefinedStep) {
    const auto refusal = [](const std::string& layers, const char* datapath = "{}") {
        const Case c("[1, 4, 4]", layers);
        try {
            TrainingModel(c.network, parse_datapath(datapath, "d"));
        } catch (const InputError& error) {
            return std::string(error.what());
        }
        return std::string();
    };
    const auto mentions = [](const std::string& text, const std::string& word) {
        return text.find(word) != std::string::npos;
    };
    EXPECT_TRUE(mentions(refusal(R"({"name": "last", "type": "relu"})"), "'last'"));
    EXPECT_TRUE(
        mentions(refusal(R"({"name": "wide", "type": "conv2d", "out_channels": 2, "kernel": 3})"),
                 "'wide'"));
    EXPECT_TRUE(mentions(refusal(R"({"name": "c", "type": "conv2d", "out_channels": 2, "kernel": 1},
                   {"name": "r", "type": "relu"},
                   {"name": "d", "type": "conv2d", "out_channels": 2, "kernel": 1},
                   {"name": "sum", "type": "add", "inputs": ["r", "d"]},
                   {"name": "fc", "type": "linear", "out_features": 2})"),
                         "'sum'"));
    const char* plain = R"({"name": "c", "type": "conv2d", "out_channels": 2, "kernel": 1},
        {"name": "bn", "type": "batch_norm"}, {"name": "r", "type": "relu"},
        {"name": "fc", "type": "linear", "out_features": 2})";
    EXPECT_EQ(refusal(plain), "");
    EXPECT_TRUE(
        mentions(refusal(plain, R"({"quantizers": {"P": {"bits": 25}}})"), "P with 25 bits"));
    EXPECT_TRUE(
        mentions(refusal(plain, R"({"quantizers": {"num": {"bits": 40}}})"), "num with 40 bits"));
}

}  // namespace
}  // namespace wagesim::golden
