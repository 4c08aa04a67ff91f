// The backward pass without quantisers against finite differences, and golden gradients against
// the backward pass without quantisers.
#include <algorithm>
#include <functional>

#include "golden/training.h"
#include "golden/unquantized.h"
#include "golden_case.h"

namespace wagesim::golden {
namespace {

struct Example {
    const char* name;
    const char* input;
    const char* layers;
    Loss loss = Loss::softmax;
};
void PrintTo(const Example& example, std::ostream* out) { *out << example.name; }

class RealGradientsTest : public testing::TestWithParam<Example> {};

TEST_P(RealGradientsTest, EqualFiniteDifferences) {
    Case c(GetParam().input, GetParam().layers);
    c.datapath.training.loss = GetParam().loss;
    c.random_pixels(5, 4);
    const std::vector<int> labels{1, 0, 2, 1};
    Numbers numbers(3);
    Parameters parameters = c.parameters;
    for (auto& [key, values] : parameters)
        if (key.second != Qp::W)
            for (double& value : values)
                value += static_cast<double>(numbers.between(-99, 99)) / 400;
    const RealGradients real = real_gradients(c.network, c.datapath, parameters, c.pixels, labels);

    int checked = 0;
    double largest_gradient = 0;
    for (const auto& [key, gradients] : real.gradients)
        for (int n = 0; n < 8; ++n) {
            const auto i = static_cast<std::size_t>(
                numbers.between(0, static_cast<std::int64_t>(gradients.size()) - 1));
            constexpr double h = 1e-6;
            const auto loss = [&](double change) {
                Parameters moved = parameters;
                moved.at(key)[i] += change;
                return real_gradients(c.network, c.datapath, moved, c.pixels, labels).loss;
            };
            const double difference = (loss(h) - loss(-h)) / (2 * h);
            EXPECT_NEAR(gradients[i], difference, 1e-4 * (1 + std::abs(difference)))
                << c.network.name_of(key.first) << "." << to_string(key.second) << " " << i;
            largest_gradient = std::max(largest_gradient, std::abs(difference));
            ++checked;
        }
    EXPECT_GE(checked, 16);
    EXPECT_GT(largest_gradient, 1e-2);
}

INSTANTIATE_TEST_SUITE_P(
    Golden, RealGradientsTest,
    testing::Values(
        Example{"convolutions", "[2, 7, 7]",
                R"({"name": "c1", "type": "conv2d", "out_channels": 4, "kernel": 3, "padding": 1,
                    "stride": 2, "bias": true}, {"name": "b1", "type": "batch_norm"},
                   {"name": "r1", "type": "relu"},
                   {"name": "c2", "type": "conv2d", "out_channels": 6, "kernel": [2, 3],
                    "dilation": [2, 1], "groups": 2}, {"name": "r2", "type": "relu6"},
                   {"name": "fc", "type": "linear", "out_features": 3, "bias": true})"},
        Example{"pools", "[2, 9, 9]",
                R"({"name": "c1", "type": "conv2d", "out_channels": 4, "kernel": 3},
                   {"name": "m", "type": "max_pool", "kernel": 3, "stride": 2, "padding": 1},
                   {"name": "r1", "type": "relu"},
                   {"name": "c2", "type": "conv2d", "out_channels": 3, "kernel": 1},
                   {"name": "a", "type": "avg_pool", "kernel": 2, "stride": 1},
                   {"name": "fc", "type": "linear", "out_features": 3})",
                Loss::sse},
        Example{"residual", "[1, 6, 6]",
                R"({"name": "c0", "type": "conv2d", "out_channels": 4, "kernel": 3},
                   {"name": "b1", "type": "batch_norm"}, {"name": "r1", "type": "relu"},
                   {"name": "c1", "type": "conv2d", "out_channels": 4, "kernel": 3, "padding": 1},
                   {"name": "add", "type": "add", "inputs": ["c0", "c1"]},
                   {"name": "b2", "type": "batch_norm"}, {"name": "r2", "type": "relu"},
                   {"name": "gap", "type": "global_avg_pool"},
                   {"name": "fc", "type": "linear", "out_features": 3})"}),
    [](const auto& test) { return std::string(test.param.name); });

/// Of two directions: 1 where they are the same.
double cosine(const std::vector<double>& a, const std::vector<double>& b) {
    double ab = 0, aa = 0, bb = 0;
    for (std::size_t i = 0; i < a.size(); ++i) {
        ab += a[i] * b[i];
        aa += a[i] * a[i];
        bb += b[i] * b[i];
    }
    return ab / std::sqrt(aa * bb);
}

TEST(GoldenGradients, PointWhereRealOnesDo) {
    // And are as large: gW keeps the mean over the batch in its exponent.
    Case c("[1, 12, 12]",
           R"({"name": "conv1", "type": "conv2d", "out_channels": 8, "kernel": 3},
              {"name": "bn1", "type": "batch_norm"}, {"name": "relu1", "type": "relu"},
              {"name": "pool1", "type": "max_pool", "kernel": 2},
              {"name": "conv2", "type": "conv2d", "out_channels": 8, "kernel": 3},
              {"name": "bn2", "type": "batch_norm"}, {"name": "relu2", "type": "relu"},
              {"name": "fc", "type": "linear", "out_features": 4, "bias": true})");
    c.datapath = preset("paper");
    c.datapath.training.e2 = ErrorQuantizer::sq16;
    c.random_pixels(1, 16);
    std::vector<int> labels;
    for (int i = 0; i < 16; ++i) labels.push_back(i * 7 % 4);
    TrainingModel model(c.network, c.datapath);
    model.set_state(c.parameters);
    const StepResult step = model.step(c.pixels, labels, {1, 0, 26, 7});
    const RealGradients real =
        real_gradients(c.network, c.datapath, c.parameters, c.pixels, labels);
    EXPECT_NEAR(step.loss, real.loss, 0.05);
    const std::map<Qp, Qp> points{
        {Qp::W, Qp::gW}, {Qp::bias, Qp::gBias}, {Qp::gamma, Qp::g_gamma}, {Qp::beta, Qp::g_beta}};
    for (const auto& [key, gradient] : real.gradients) {
        const Tensor& made = *step.points.at({key.first, points.at(key.second)});
        const std::string name =
            c.network.name_of(key.first) + "." + std::string(to_string(key.second));
        EXPECT_GT(cosine(made.values.reals(), gradient), 0.9) << name;
        EXPECT_NEAR(largest(made.values) / largest(gradient), 1, 0.2) << name;
    }
}

}  // namespace
}  // namespace wagesim::golden
