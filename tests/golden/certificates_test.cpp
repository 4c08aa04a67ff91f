// The golden model's proofs of its own exactness: they hold where they should and fail where they
// must.
#include "golden_case.h"

namespace wagesim::golden {
namespace {

/// 8-bit images times 48-bit weights: sums of 2^55 and more, if the weights use their bits.
Case wide_products() {
    Case c("[4, 1, 1]",
           R"({"name": "fc", "type": "linear", "out_features": 1},
              {"name": "relu", "type": "relu"}, {"name": "out", "type": "relu"})");
    c.rule(Qp::W).format = {48, 47, true, 0};
    c.rule(Qp::Wq).format = {48, 47, true, 0};
    c.rule(Qp::y).format.bits = 64;
    c.datapath.machine.accumulator_bits = 64;
    c.set_image({127, 127, 127, 127});
    return c;
}

TEST(Certificates, FailWhereSumsReachTwoToThe53) {
    Case c = wide_products();
    const std::int64_t w = (std::int64_t{1} << 46) - 1;
    c.set("fc", Qp::W, {w, w, w, w}, 47);
    CaseModel model = c.model();
    const Tensor y = model.layer(0).at(Qp::y);
    EXPECT_FALSE(y.certified);
    EXPECT_NE(y.why_not.find("'fc'"), std::string::npos) << y.why_not;
    EXPECT_NE(y.why_not.find("2^53"), std::string::npos) << y.why_not;
    const Tensor A = model.layer(1).at(Qp::A);
    EXPECT_FALSE(A.certified) << "what is computed from it is not certified either";
    EXPECT_FALSE(model.layer(2).at(Qp::A).certified);
}

TEST(Certificates, HoldForTheSameFormatsOnSmallerData) {
    Case c = wide_products();
    const std::int64_t w = (std::int64_t{1} << 43) - 1;  // 4 * 127 * 2^43 < 2^52
    c.set("fc", Qp::W, {w, -w, w, w}, 47);
    CaseModel model = c.model();
    const Tensor y = model.layer(0).at(Qp::y);
    EXPECT_TRUE(y.certified) << y.why_not;
    EXPECT_EQ(codes_of(y), Codes{2 * 127 * w});
    EXPECT_TRUE(model.layer(1).at(Qp::A).certified);
}

TEST(Certificates, FailWhereAWideAccumulatorMustBeFollowed) {
    // Sums of 2^50 leave 49-bit registers; to follow a 56-bit accumulator needs 2^56.
    Case c = wide_products();
    const std::int64_t w = (std::int64_t{1} << 41) - 1;
    c.set("fc", Qp::W, {w, w, w, w}, 47);
    c.datapath.machine.accumulator_bits = 56;
    c.rule(Qp::y).format.bits = 49;
    EXPECT_FALSE(c.run("fc").at(Qp::y).certified);
    c.datapath.machine.accumulator_bits = 50;
    EXPECT_TRUE(c.run("fc").at(Qp::y).certified);
}

TEST(Certificates, FailWhereANormalisedValueMayRoundTwice) {
    Case c("[1, 2, 2]", R"({"name": "bn", "type": "batch_norm"}, {"name": "r", "type": "relu"})");
    c.set_image({127, -128, 5, 0});
    c.rule(Qp::x2).format.bits = 70;
    c.rule(Qp::xhat).format = {44, 38, true, 0};  // 2^15 codes of y - mu, times 2^38
    const Tensor xhat = c.run("bn").at(Qp::xhat);
    EXPECT_FALSE(xhat.certified);
    EXPECT_NE(xhat.why_not.find("'bn'"), std::string::npos);
    c.rule(Qp::xhat).format = {40, 34, true, 0};
    EXPECT_TRUE(c.run("bn").at(Qp::xhat).certified);
}

TEST(Certificates, FailWhereARootMayRoundTwice) {
    Case c("[1, 2, 2]", R"({"name": "bn", "type": "batch_norm"}, {"name": "r", "type": "relu"})");
    c.options.batch_norm = BatchNorm::batch;
    c.set_image({127, -128, 127, -128});
    EXPECT_TRUE(c.run("bn").at(Qp::sigma).certified);
    c.rule(Qp::var).format = {52, 49, false, 0};  // a variance of almost 1
    EXPECT_FALSE(c.run("bn").at(Qp::sigma).certified);
}

TEST(Certificates, FailWhereAMeanMayRoundTwice) {
    Case c("[1, 2, 2]", R"({"name": "p", "type": "global_avg_pool"})");
    c.set_image({127, 127, 127, 127});
    c.rule(Qp::A).format = {54, 51, true, 0};  // 4 * 127 / 128 * 2^51 > 2^52
    EXPECT_FALSE(c.run("p").at(Qp::A).certified);
    c.rule(Qp::A).format = {54, 50, true, 0};
    EXPECT_TRUE(c.run("p").at(Qp::A).certified);
}

TEST(Certificates, HoldForShortSumsOfLargeNumbers) {
    // 7-bit sums at 2^128: too large for float32, though their codes are not.
    Case c("[2, 1, 1]", R"({"name": "fc", "type": "linear", "out_features": 1})");
    for (const Qp qp : {Qp::image, Qp::W, Qp::Wq}) c.rule(qp).format.frac = -64;
    c.set_image({5, -3});
    c.set("fc", Qp::W, {7, 9}, -64);
    const Tensor z = c.run("fc").at(Qp::z);
    EXPECT_TRUE(z.certified) << z.why_not;
    EXPECT_EQ(codes_of(z), Codes{5 * 7 - 3 * 9});
}

TEST(Certificates, AreNotAskedOfFloat32) {
    Case c = wide_products();
    const std::int64_t w = (std::int64_t{1} << 46) - 1;
    c.set("fc", Qp::W, {w, w, w, w}, 47);
    c.options.precision = Precision::float32;
    EXPECT_TRUE(c.run("fc").at(Qp::y).certified);
}

TEST(Float32, LeavesTheHardwareWhereSumsPassTwoToThe24) {
    // 2080 products of 127 * 127 and one of 1: an odd sum above 2^24.
    Case c("[2081, 1, 1]", R"({"name": "fc", "type": "linear", "out_features": 1})");
    std::vector<int> image(2081, 127);
    Codes weights(2081, 127);
    image[2080] = 1;
    weights[2080] = 1;
    c.set_image(image);
    c.set("fc", Qp::W, weights, 7);
    const std::int64_t exact = 2080 * 127 * 127 + 1;
    EXPECT_EQ(codes_of(c.run("fc").at(Qp::z)), Codes{exact});
    c.options.precision = Precision::float32;
    EXPECT_NE(codes_of(c.run("fc").at(Qp::z)), Codes{exact}) << "needs 25 bits, float32 has 24";
}

TEST(Float32, AgreesWithFloat64WhereEverythingIsShort) {
    Case c("[2, 6, 6]",
           R"({"name": "conv", "type": "conv2d", "out_channels": 3, "kernel": 3},
              {"name": "bn", "type": "batch_norm"}, {"name": "relu", "type": "relu"},
              {"name": "gap", "type": "global_avg_pool"},
              {"name": "fc", "type": "linear", "out_features": 4})");
    c.random_pixels(2, 3);
    const auto all = [&](Precision precision) {
        c.options.precision = precision;
        CaseModel model = c.model();
        std::vector<std::vector<double>> values;
        for (int i = 0; i < 5; ++i)
            for (const auto& [qp, tensor] : model.layer(i)) values.push_back(tensor.values.reals());
        return values;
    };
    EXPECT_EQ(all(Precision::float64), all(Precision::float32));
}

}  // namespace
}  // namespace wagesim::golden
