// Batch norm against integer arithmetic: quotients by remainders, roots by search.
#include <ostream>

#include "golden_case.h"

namespace wagesim::golden {
namespace {

std::int64_t nearest_root(std::int64_t v) {
    std::int64_t low = 0, high = std::int64_t{1} << 31;
    while (high - low > 1) {
        const std::int64_t middle = (low + high) / 2;
        (middle * middle <= v ? low : high) = middle;
    }
    return v - low * low > low ? low + 1 : low;
}

/// 2^shift n / d as a 16-bit mantissa, half to even: {mantissa, frac}.
struct Mantissa {
    std::int64_t code = 0;
    int frac = 0;
};
Mantissa mantissa_of(Wide numerator, Wide denominator) {
    if (numerator == 0) return {};
    const Wide n = numerator < 0 ? -numerator : numerator;
    int frac = -40;
    const auto scaled = [&](int f) {  // floor(2^f n / d)
        return f >= 0 ? (n << f) / denominator : n / (denominator << -f);
    };
    while (scaled(frac) < 32768) ++frac;
    Mantissa m{frac >= 0 ? divide_half_even(n << frac, denominator)
                         : divide_half_even(n, denominator << -frac),
               frac};
    if (m.code == 65536) m = {32768, frac - 1};
    if (numerator < 0) m.code = -m.code;
    return m;
}

enum class Way { batch, batch_reciprocal, running, running_reciprocal, folded };
void PrintTo(Way way, std::ostream* out) { *out << "way " << static_cast<int>(way); }

class BatchNormWay : public testing::TestWithParam<Way> {};

TEST_P(BatchNormWay, EqualsIntegerArithmetic) {
    const Way way = GetParam();
    const bool batch = way == Way::batch || way == Way::batch_reciprocal;
    constexpr int channels = 5, images = 3, plane = 16;
    Case c("[2, 4, 4]",
           R"({"name": "conv", "type": "conv2d", "out_channels": 5, "kernel": 1},
              {"name": "bn", "type": "batch_norm"}, {"name": "relu", "type": "relu"})");
    c.random_pixels(3, images);
    // Channel 3 is all zero; its sigma is 0 in a batch.
    c.set("conv", Qp::W, {100, -30, 7, 120, -55, -90, 0, 0, 3, 1}, 7);
    const Codes gamma{8388608, -5000000, 12000001, 0, 16000000};
    const Codes beta{0, 1234567, -7654321, 3000000, 65536};
    const Codes run_mu{123456, -7654321, 1, 0, 90000};
    const Codes run_sigma{8388608, 3000001, 131, 0, 20000000};
    c.set("bn", Qp::gamma, gamma, 23);
    c.set("bn", Qp::beta, beta, 23);
    c.set("bn", Qp::run_mu, run_mu, 23);
    c.set("bn", Qp::run_sigma, run_sigma, 23);
    c.options.batch_norm = batch ? BatchNorm::batch : BatchNorm::running;
    const bool reciprocal = way == Way::batch_reciprocal || way == Way::running_reciprocal;
    if (reciprocal) c.datapath.normalize = Normalize::reciprocal;
    if (way == Way::folded) c.datapath.bn_inference = BnInference::folded;

    CaseModel model = c.model();
    const Codes y = codes_of(model.layer(0).at(Qp::y));
    const auto bn = model.layer(1);
    const Codes A = codes_of(model.layer(2).at(Qp::A));
    for (const auto& [qp, tensor] : bn) EXPECT_TRUE(tensor.certified) << to_string(qp);

    const auto point = [&](Qp qp) { return codes_of(bn.at(qp)); };
    Codes mu(channels), sigma(channels), gamma_q(channels), beta_q(channels);
    for (std::size_t ch = 0; ch < channels; ++ch) {
        if (batch) {
            Wide sum = 0, squares = 0;
            for (std::size_t i = 0; i < y.size(); ++i)
                if (i / plane % channels == ch) {
                    sum += y[i];
                    squares += Wide{y[i]} * y[i];
                }
            const Wide n = images * plane;
            EXPECT_EQ(point(Qp::S)[ch], static_cast<std::int64_t>(sum));
            EXPECT_EQ(point(Qp::SS)[ch], static_cast<std::int64_t>(squares));
            mu[ch] = divide_half_even(sum * 2, n);  // frac 14 to 15
            const std::int64_t var =
                divide_half_even((n * squares - sum * sum) * 4, n * n);  // frac 28 to 30
            EXPECT_EQ(point(Qp::var)[ch], var);
            sigma[ch] = nearest_root(var);
            const std::int64_t mu_step = divide_half_even(mu[ch] * 256 - run_mu[ch], 16);
            const std::int64_t sigma_step = divide_half_even(sigma[ch] * 256 - run_sigma[ch], 16);
            EXPECT_EQ(point(Qp::run_mu)[ch], run_mu[ch] + mu_step);
            EXPECT_EQ(point(Qp::run_sigma)[ch], run_sigma[ch] + sigma_step);
            EXPECT_EQ(model.parameters().at({1, Qp::run_mu})[ch],
                      std::ldexp(static_cast<double>(run_mu[ch] + mu_step), -23));
        } else {
            mu[ch] = divide_half_even(run_mu[ch], 256);
            sigma[ch] = divide_half_even(run_sigma[ch], 256);
            EXPECT_EQ(bn.count(Qp::S) + bn.count(Qp::run_mu), 0U);
        }
        gamma_q[ch] = clip(divide_half_even(gamma[ch], 1 << 17), 127);
        beta_q[ch] = clip(divide_half_even(beta[ch], 1 << 17), 127);
    }
    EXPECT_EQ(point(Qp::mu), mu);
    EXPECT_EQ(point(Qp::sigma), sigma);
    EXPECT_EQ(point(Qp::gamma_q), gamma_q);
    EXPECT_EQ(point(Qp::beta_q), beta_q);
    if (batch) {
        EXPECT_EQ(sigma[3], 0);
    }

    std::int64_t positive = 0;
    for (std::size_t i = 0; i < y.size(); ++i) {
        const std::size_t ch = i / plane % channels;
        const Wide distance = Wide{2} * y[i] - mu[ch];  // frac 15
        std::int64_t expected = 0;
        if (way == Way::folded) {
            const Mantissa a = mantissa_of(Wide{gamma_q[ch]} * 512, sigma[ch] + 1);  // frac 6 to 15
            ASSERT_EQ(bn.at(Qp::fold_a).values[ch],
                      std::ldexp(static_cast<double>(a.code), -a.frac));
            // a mu at frac + 15, beta at frac 6; b at frac 15.
            constexpr int unit = 40;
            const auto at_unit = [](Wide code, int frac) {
                return code * (Wide{1} << (unit - frac));
            };
            const Wide exact = at_unit(beta_q[ch], 6) - at_unit(Wide{a.code} * mu[ch], 15 + a.frac);
            const std::int64_t b = divide_half_even(exact, Wide{1} << (unit - 15));
            ASSERT_EQ(point(Qp::fold_b)[ch], b);
            const Wide out = at_unit(Wide{a.code} * y[i], 14 + a.frac) + at_unit(b, 15);
            expected = divide_half_even(out < 0 ? 0 : out, Wide{1} << (unit - 5));
        } else {
            std::int64_t xhat = 0;
            if (reciprocal) {
                const Mantissa inv = mantissa_of(32768, sigma[ch] + 1);
                ASSERT_EQ(bn.at(Qp::inv).values[ch],
                          std::ldexp(static_cast<double>(inv.code), -inv.frac));
                xhat = divide_half_even(distance * inv.code, Wide{1} << (15 + inv.frac - 5));
            } else {
                xhat = divide_half_even(distance * 32, sigma[ch] + 1);
            }
            xhat = clip(xhat, 127);
            ASSERT_EQ(point(Qp::xhat)[i], xhat) << i;
            const std::int64_t x2 = gamma_q[ch] * xhat + beta_q[ch] * 32;
            ASSERT_EQ(point(Qp::x2)[i], x2) << i;
            expected = divide_half_even(x2 < 0 ? 0 : x2, 64);
        }
        ASSERT_EQ(A[i], clip(expected, 127)) << i;
        positive += expected > 0;
    }
    EXPECT_GT(positive, 20);
    EXPECT_LT(positive, static_cast<std::int64_t>(y.size()));
    EXPECT_EQ(bn.count(Qp::inv), reciprocal ? 1U : 0U);
    EXPECT_EQ(bn.count(Qp::xhat), way == Way::folded ? 0U : 1U);
    EXPECT_EQ(bn.count(Qp::fold_a), way == Way::folded ? 1U : 0U);
}

INSTANTIATE_TEST_SUITE_P(Ways, BatchNormWay,
                         testing::Values(Way::batch, Way::batch_reciprocal, Way::running,
                                         Way::running_reciprocal, Way::folded));

TEST(BatchNormChannel, OfZerosGivesBetaAndNothingElse) {
    Case c("[1, 2, 2]", R"({"name": "bn", "type": "batch_norm"}, {"name": "r", "type": "relu"})");
    c.options.batch_norm = BatchNorm::batch;
    c.set_image({0, 0, 0, 0});
    c.set("bn", Qp::beta, {4194304}, 23);  // 0.5
    CaseModel model = c.model();
    const auto bn = model.layer(0);
    EXPECT_EQ(codes_of(bn.at(Qp::sigma)), Codes{0});
    EXPECT_EQ(codes_of(bn.at(Qp::xhat)), Codes(4, 0));
    EXPECT_EQ(codes_of(model.layer(1).at(Qp::A)), Codes(4, 16));
}

TEST(BatchNormChannel, OfAConstantWhoseMeanIsOffTheGridIsDividedByEpsilon) {
    // mu's grid is coarser than the image's here: the distance is half a code of it, over 2^-15.
    Case c("[1, 1, 2]", R"({"name": "bn", "type": "batch_norm"}, {"name": "r", "type": "relu"})");
    c.options.batch_norm = BatchNorm::batch;
    c.rule(Qp::mu).format.frac = 6;
    c.set_image({3, 3});  // 1.5 codes of frac 6: a tie, to 2
    const auto bn = c.run("bn");
    EXPECT_EQ(codes_of(bn.at(Qp::mu)), Codes{2});
    EXPECT_EQ(bn.at(Qp::mu).ties, std::vector<bool>{true});
    EXPECT_EQ(codes_of(bn.at(Qp::xhat)), Codes(2, -127));  // -2^-7 2^15 saturates
    EXPECT_EQ(bn.at(Qp::xhat).saturations, 2);
}

TEST(BatchNormReciprocal, RenormalisesAMantissaThatRoundsToTwoToThe16) {
    // 1 / (4 + 2^-15) = 65535.50000381 * 2^-18: rounds to 65536, which is 32768 * 2^-17.
    Case c("[1, 1, 1]", R"({"name": "bn", "type": "batch_norm"}, {"name": "r", "type": "relu"})");
    c.datapath.normalize = Normalize::reciprocal;
    c.set_image({100});
    c.set("bn", Qp::run_sigma, {4 << 23}, 23);
    const Tensor inv = c.run("bn").at(Qp::inv);
    EXPECT_EQ(inv.values.reals(), std::vector<double>{0.25});
    EXPECT_EQ(inv.frac, 17);
    EXPECT_EQ(inv.bits, 16);
}

TEST(BatchNormSums, BeyondDoublesAreExactInWideIntegers) {
    // 24-bit weights: y of up to 2^30, squares of up to 2^60, summed over 512 elements.
    Case c("[1, 16, 32]",
           R"({"name": "conv", "type": "conv2d", "out_channels": 1, "kernel": 1},
              {"name": "bn", "type": "batch_norm"}, {"name": "relu", "type": "relu"})");
    c.options.batch_norm = BatchNorm::batch;
    c.rule(Qp::Wq).format = {24, 23, true, 0};
    c.random_pixels(5, 1);
    c.set("conv", Qp::W, {8388607}, 23);
    CaseModel model = c.model();
    const Codes y = codes_of(model.layer(0).at(Qp::y));
    const auto bn = model.layer(1);
    Wide sum = 0, squares = 0;
    for (const std::int64_t code : y) {
        sum += code;
        squares += Wide{code} * code;
    }
    ASSERT_GT(squares, Wide{1} << 62) << "the case must leave the doubles";
    const Tensor& ss = bn.at(Qp::SS);
    ASSERT_EQ(ss.exact.size(), 1U);
    EXPECT_TRUE(ss.exact[0] == squares);
    EXPECT_TRUE(ss.certified);
    EXPECT_EQ(codes_of(bn.at(Qp::S)), Codes{static_cast<std::int64_t>(sum)});
    const Wide n = 512;  // y has frac 30: n SS - S^2 has 60
    const Wide spread = n * squares - sum * sum;
    EXPECT_EQ(codes_of(bn.at(Qp::var)), Codes{divide_half_even(spread, (n * n) << 30)});
    EXPECT_EQ(codes_of(bn.at(Qp::mu)), Codes{divide_half_even(sum, n << 15)});
}

TEST(BatchNormSums, SpreadBeyondDoublesIsExactWhereRoundingWouldShow) {
    // A large mean and a small spread: n SS - S^2 cancels 2^73 to almost nothing.
    Case c("[1, 16, 32]",
           R"({"name": "conv", "type": "conv2d", "out_channels": 1, "kernel": 1, "bias": true},
              {"name": "bn", "type": "batch_norm"}, {"name": "relu", "type": "relu"})");
    c.options.batch_norm = BatchNorm::batch;
    c.rule(Qp::Wq).format = {20, 16, true, 0};
    c.rule(Qp::W).format = {30, 23, true, 0};
    c.rule(Qp::bias).format = {40, 23, true, 0};
    std::vector<int> image(512, 10);
    for (std::size_t i = 0; i < image.size(); i += 3) image[i] = 11;
    c.set_image(image);
    c.set("conv", Qp::W, {1}, 16);
    c.set("conv", Qp::bias, {1 << 29}, 23);  // 64: code 2^29 at frac 23
    CaseModel model = c.model();
    const Codes y = codes_of(model.layer(0).at(Qp::y));
    EXPECT_EQ(y[0], (std::int64_t{1} << 29) + 11);
    c.rule(Qp::mu).format.bits = 30;
    const auto bn = model.layer(1);
    // 171 of 512 codes are one higher: n SS - S^2 = 171 * 341.
    EXPECT_EQ(codes_of(bn.at(Qp::var)), Codes{divide_half_even(171 * 341, 512 * 512 * 65536LL)});
    c.rule(Qp::var).format = {36, 46, false, 0};
    CaseModel finer = c.model();
    finer.layer(0);
    EXPECT_EQ(codes_of(finer.layer(1).at(Qp::var)),
              Codes{divide_half_even(Wide{171 * 341}, Wide{512 * 512})});
}

}  // namespace
}  // namespace wagesim::golden
