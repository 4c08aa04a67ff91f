// The judge alone: a tiny network, the golden model, and codes shown by hand.
#include "check/judge.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

namespace wagesim::check {
namespace {

using Codes = std::vector<std::int64_t>;

/// An image and its ReLU: A is the image's code shifted right by two, frac 7 to 5.
class Bench {
public:
    explicit Bench(const std::string& layers = R"({"name": "relu", "type": "relu"})",
                   const std::string& datapath = "{}", const std::string& shape = "[1, 1, 4]",
                   golden::BatchNorm batch_norm = golden::BatchNorm::running)
        : network_(parse_network("{\"name\": \"tiny\", \"input\": {\"shape\": " + shape +
                                     "}, \"layers\": [" + layers + "]}",
                                 "tiny")),
          datapath_(parse_datapath(datapath, "datapath")),
          golden_(network_, datapath_, {golden::Precision::float64, batch_norm}),
          judge_(network_, &golden_) {
        golden_.set_parameters(golden::initial_parameters(network_, datapath_, 1));
    }

    /// Image codes: pixels less 128.
    void begin(const Codes& image, const std::vector<ExpectedTensor>& expected) {
        std::vector<std::uint8_t> pixels;
        for (const auto code : image) pixels.push_back(static_cast<std::uint8_t>(code + 128));
        golden_.begin(pixels, static_cast<std::int64_t>(image.size()) / network_.input.size());
        judge_.begin_batch(expected);
    }
    void begin(const Codes& image) {
        begin(image, {{{0, Qp::A}, {1, 1, 1, static_cast<std::int64_t>(image.size())}}});
    }

    /// Shows codes of layer 0's A, from column `first` on.
    void show(const Codes& codes, const Format& format = {8, 5}, std::int32_t first = 0,
              std::int64_t saturations = 0, std::int64_t wraps = 0) {
        Tap tap = tap_of({0, Qp::A}, codes, format);
        tap.box.w0 = first;
        tap.box.w = static_cast<std::int32_t>(codes.size());
        tap.saturations = saturations;
        tap.wraps = wraps;
        judge_.on_tap(tap);
    }
    static Tap tap_of(const QpId& qp, const Codes& codes, const Format& format) {
        Tap tap;
        tap.qp = qp;
        tap.format = format;
        tap.codes = codes.data();
        tap.cycle = 77;
        tap.command = 5;
        return tap;
    }
    const TensorVerdict& verdict() const { return judge_.verdicts().front(); }

    Network network_;
    Datapath datapath_;
    golden::Model golden_;
    Judge judge_;
};

TEST(Judge, AcceptsEqualCodesInAnyNumberOfTiles) {
    Bench bench;
    bench.begin({100, -3, 8, 0});
    bench.show({2, 0}, {8, 5}, 2);
    bench.show({25, 0});
    bench.judge_.finish();
    EXPECT_TRUE(bench.judge_.clean());
    EXPECT_EQ(bench.judge_.elements_checked(), 4);
    EXPECT_EQ(bench.judge_.tensors_checked(), 1);
}

struct Wrong {
    const char* name;
    std::int64_t image;  ///< code at frac 7; the code expected at frac 5 is image / 4, rounded
    const char* rule;    ///< of A
    Format format;
    std::int64_t got;
    Cause cause;
    int first_bit;
    const char* expected;
    const char* expected_hex;
    const char* got_hex;
    std::int64_t saturations, wraps;
};

void PrintTo(const Wrong& wrong, std::ostream* out) { *out << wrong.name; }

class ProbableCause : public ::testing::TestWithParam<Wrong> {};

TEST_P(ProbableCause, IsNamedWithPlaceBitsAndValues) {
    const Wrong& wrong = GetParam();
    Bench bench(R"({"name": "relu", "type": "relu"})",
                std::string(R"({"quantizers": {"A": )") + wrong.rule + "}}");
    bench.begin({0, 0, wrong.image, 0});
    bench.show({0, 0, wrong.got, 0}, wrong.format, 0, wrong.saturations, wrong.wraps);
    ASSERT_TRUE(bench.verdict().first.has_value());
    const Mismatch& first = *bench.verdict().first;
    EXPECT_EQ(first.cause, wrong.cause) << to_string(first.cause);
    EXPECT_EQ(first.first_bit, wrong.first_bit);
    EXPECT_EQ(first.expected, wrong.expected);
    EXPECT_EQ(first.got, std::to_string(wrong.got));
    EXPECT_EQ(first.expected_hex, wrong.expected_hex);
    EXPECT_EQ(first.got_hex, wrong.got_hex);
    EXPECT_EQ(first.at, (std::array<std::int64_t, 4>{0, 0, 0, 2}));
    EXPECT_EQ(first.cycle, 77);
    EXPECT_EQ(first.command, 5);
    EXPECT_DOUBLE_EQ(first.got_value, static_cast<double>(wrong.got) / (1 << wrong.format.frac));
    EXPECT_EQ(bench.judge_.mismatches(), 1);
    EXPECT_EQ(bench.verdict().causes.at(wrong.cause), 1);
    const std::string story = bench.judge_.describe(first);
    for (const auto& word : {std::string("relu.A[0,0,0,2]"), std::string("cycle 77"), first.got_hex,
                             first.expected_hex, std::string(to_string(wrong.cause))})
        EXPECT_NE(story.find(word), std::string::npos) << word << " in\n" << story;
}

INSTANTIATE_TEST_SUITE_P(
    Judge, ProbableCause,
    ::testing::Values(
        // 6 / 4 = 1.5 goes to the even 2; half_down would give 1
        Wrong{"tie", 6, "{}", {8, 5}, 1, Cause::rounding_tie, 0, "2", "0x02", "0x01", 0, 0},
        Wrong{"rounding", 5, "{}", {8, 5}, 2, Cause::rounding, 0, "1", "0x01", "0x02", 0, 0},
        Wrong{"saturates_too_early",
              120,
              R"({"bits": 5})",
              {5, 5},
              14,
              Cause::saturation,
              0,
              "15",
              "0x0f",
              "0x0e",
              1,
              0},
        // 30 does not fit 5 bits: saturated it is 15, wrapped -2
        Wrong{"wraps_where_it_saturates",
              120,
              R"({"bits": 5})",
              {5, 5},
              -2,
              Cause::saturation,
              0,
              "15",
              "0x0f",
              "0x1e",
              0,
              1},
        Wrong{"wider_than_it_wraps",
              120,
              R"({"bits": 5, "overflow": "wrap"})",
              {5, 5},
              30,
              Cause::wrap,
              5,
              "-2",
              "0x1e",
              "0x1e",
              0,
              0},
        Wrong{"saturates_where_it_wraps",
              80,
              R"({"bits": 5, "overflow": "wrap"})",
              {5, 5},
              15,
              Cause::saturation,
              0,
              "-12",
              "0x14",
              "0x0f",
              1,
              0},
        Wrong{"exponent", 40, "{}", {8, 5}, 20, Cause::exponent, 1, "10", "0x0a", "0x14", 0, 0},
        Wrong{"other", 40, "{}", {8, 5}, -78, Cause::other, 3, "10", "0x0a", "0xb2", 0, 0}),
    [](const auto& test) { return std::string(test.param.name); });

TEST(Judge, CountsEveryCauseAndKeepsTheFirstElement) {
    Bench bench;
    bench.begin({5, 5, 6, 40});
    bench.show({2, 2, 1, 99});
    EXPECT_EQ(bench.judge_.mismatches(), 4);
    EXPECT_EQ(bench.verdict().causes.at(Cause::rounding), 2);
    EXPECT_EQ(bench.verdict().causes.at(Cause::rounding_tie), 1);
    EXPECT_EQ(bench.verdict().first->at[3], 0);
    bench.judge_.finish();
    EXPECT_FALSE(bench.judge_.clean());
}

TEST(Judge, SaysWhichElementsNeverCameAndWhichCameTwice) {
    Bench bench;
    bench.begin({4, 4, 4, 4});
    bench.show({1, 1});
    bench.show({1, 1}, {8, 5}, 1);
    bench.judge_.finish();
    ASSERT_EQ(bench.judge_.findings().size(), 2U);
    EXPECT_EQ(bench.judge_.findings()[0].layer_qp, "relu.A");
    EXPECT_NE(bench.judge_.findings()[0].text.find("1 of 4"), std::string::npos);
    EXPECT_NE(bench.judge_.findings()[1].text.find("1 elements were made more than once"),
              std::string::npos);
    EXPECT_EQ(bench.judge_.elements_checked(), 3);
    EXPECT_FALSE(bench.judge_.clean());
}

TEST(Judge, IsNotContentWhereNothingCameAtAll) {
    Bench bench;
    bench.begin({4, 4, 4, 4});
    bench.judge_.finish();
    EXPECT_FALSE(bench.judge_.clean());
    EXPECT_EQ(bench.judge_.tensors_checked(), 0);
}

TEST(Judge, HoldsSaturationsAndWrapsAgainstTheGoldenCounts) {
    for (const bool wrap : {false, true}) {
        Bench bench(R"({"name": "relu", "type": "relu"})",
                    std::string(R"({"quantizers": {"A": {"bits": 5, "overflow": ")") +
                        (wrap ? "wrap" : "saturate") + R"("}}})");
        bench.begin({120, 120, 4, 4});
        const std::int64_t code = wrap ? -2 : 15;
        bench.show({code, code, 1, 1}, {5, 5}, 0, wrap ? 0 : 1, wrap ? 1 : 0);  // two, in truth
        bench.judge_.finish();
        EXPECT_EQ(bench.judge_.mismatches(), 0);
        ASSERT_EQ(bench.judge_.findings().size(), 1U);
        EXPECT_NE(bench.judge_.findings()[0].text.find(wrap ? "1 wraps, the golden model 2"
                                                            : "1 saturations, the golden model 2"),
                  std::string::npos)
            << bench.judge_.findings()[0].text;
    }
}

TEST(Judge, SeesARegisterOfAnotherWidthThoughTheCodesAgree) {
    Bench bench;
    bench.begin({4, 4, 4, 4});
    bench.show({1, 1, 1, 1}, {9, 5});
    bench.judge_.finish();
    EXPECT_EQ(bench.judge_.mismatches(), 0);
    ASSERT_EQ(bench.judge_.findings().size(), 1U);
    EXPECT_NE(bench.judge_.findings()[0].text.find("9 bits signed"), std::string::npos);
}

TEST(Judge, SeesAnotherUnitThoughTheIntegersAgree) {
    Bench bench;
    bench.begin({4, 8, 12, 16});
    bench.show({1, 2, 3, 4}, {8, 4});  // twice the values
    EXPECT_EQ(bench.judge_.mismatches(), 4);
}

TEST(Judge, SaysWhereAGoldenValueLiesBetweenTwoCodes) {
    Bench bench;
    bench.begin({4, 4, 4, 4});  // 1 at frac 5 is half a code at frac 4
    bench.show({1, 1, 1, 1}, {8, 4});
    ASSERT_TRUE(bench.verdict().first.has_value());
    EXPECT_EQ(bench.verdict().first->expected, "between two codes");
    EXPECT_EQ(bench.verdict().first->cause, Cause::other);
}

TEST(Judge, TakesWeightsInMemoryOrderAndNamesThemInTheirs) {
    Bench bench(R"({"name": "conv", "type": "conv2d", "out_channels": 2, "kernel": [2, 3]})", "{}",
                "[4, 2, 3]");
    bench.begin(Codes(24, 1), {{{0, Qp::Wq}, {2, 4, 2, 3}}});
    const auto masters = golden::initial_parameters(bench.network_, bench.datapath_, 1);
    Codes codes;
    for (const double value : masters.at({0, Qp::W}))  // O, kh, kw, I
        codes.push_back(std::clamp<std::int64_t>(
            static_cast<std::int64_t>(std::nearbyint(value * 128)), -127, 127));
    Codes second(codes.begin() + 20, codes.end());
    second[11] += 1;  // element 31: o 1, kernel index 1 = (0, 1), i 3
    codes.resize(20);
    for (const auto& [part, first] : {std::pair{&codes, 0}, std::pair{&second, 20}}) {
        Tap tap = Bench::tap_of({0, Qp::Wq}, *part, {8, 7});
        tap.first = first;
        tap.box.c = static_cast<std::int32_t>(part->size());
        bench.judge_.on_tap(tap);
    }
    EXPECT_EQ(bench.judge_.elements_checked(), 48);
    EXPECT_EQ(bench.judge_.mismatches(), 1);
    EXPECT_EQ(bench.verdict().first->at, (std::array<std::int64_t, 4>{1, 3, 0, 1}));
}

TEST(Judge, ComparesSumsOfSquaresBeyondSixtyFourBits) {
    // A operands of 39 bits: 4 squares of 127 * 2^31 exceed 2^64.
    const std::string layers =
        R"({"name": "relu", "type": "relu"}, {"name": "bn", "type": "batch_norm"})";
    const std::string datapath =
        R"({"layers": {"relu": {"A": {"bits": 40, "frac": 38}}}, "quantizers": {"S": {"bits": 48}}})";
    for (const int spoiled : {0, 1}) {
        Bench bench(layers, datapath, "[1, 1, 4]", golden::BatchNorm::batch);
        bench.begin({127, 127, 127, 127}, {{{1, Qp::SS}, {1, 1, 1, 1}}});
        const Wide code = Wide{127} << 31;
        const Wide sum = 4 * code * code + (Wide{spoiled} << 70);
        Tap tap = Bench::tap_of({1, Qp::SS}, {}, {80, 76, false});
        tap.wide = &sum;
        tap.codes = nullptr;
        bench.judge_.on_tap(tap);
        EXPECT_EQ(bench.judge_.elements_checked(), 1);
        EXPECT_EQ(bench.judge_.mismatches(), spoiled);
        if (spoiled == 1) {
            EXPECT_EQ(bench.verdict().first->first_bit, 70);
        }
    }
}

TEST(Judge, FailsARunWhoseGoldenTensorIsUncertified) {
    // 127 * 2^48 brought to frac 55 and added: beyond 2^53, where float64 has gaps.
    Bench bench(R"({"name": "relu", "type": "relu"},
                   {"name": "add", "type": "add", "inputs": ["relu", "input"]})",
                R"({"layers": {"relu": {"A": {"bits": 63, "frac": 55}}}})");
    bench.begin({127, 1, 1, 1}, {{{1, Qp::stream}, {1, 1, 1, 4}}});
    const Codes codes{Wide{127} * 2 << 48, Wide{2} << 48, Wide{2} << 48, Wide{2} << 48};
    Tap tap = Bench::tap_of({1, Qp::stream}, codes, {32, 55});
    tap.box.w = 4;
    bench.judge_.on_tap(tap);
    EXPECT_EQ(bench.judge_.uncertified(), 1);
    EXPECT_FALSE(bench.judge_.clean());
    EXPECT_FALSE(bench.verdict().certified);
    EXPECT_NE(bench.verdict().why_not, "");
}

TEST(Judge, ComparesMemoryWithWhatWasShown) {
    Bench bench;
    bench.begin({4, 8, 12, 16});
    bench.show({1, 2, 3, 4});
    bench.judge_.check_stored({0, Qp::A}, {1, 2, 3, 4});
    EXPECT_TRUE(bench.judge_.findings().empty());
    bench.judge_.check_stored({0, Qp::A}, {1, 2, 7, 4});
    ASSERT_EQ(bench.judge_.findings().size(), 1U);
    EXPECT_NE(bench.judge_.findings()[0].text.find("holds 7 at [0,0,0,2]"), std::string::npos)
        << bench.judge_.findings()[0].text;
}

TEST(Judge, RefusesPointsAndElementsThatThereAreNot) {
    Bench bench;
    bench.begin({4, 4, 4, 4});
    const Codes codes{1};
    EXPECT_THROW(bench.judge_.on_tap(Bench::tap_of({0, Qp::x2}, codes, {8, 5})), std::logic_error);
    EXPECT_THROW(bench.show({1, 1}, {8, 5}, 3), std::logic_error);
    Tap tap = Bench::tap_of({0, Qp::A}, codes, {8, 5});
    tap.box.c0 = 1;
    EXPECT_THROW(bench.judge_.on_tap(tap), std::logic_error);
    tap.box.c0 = 0;
    tap.first = 4;
    EXPECT_THROW(bench.judge_.on_tap(tap), std::logic_error);
}

TEST(Judge, AddsUpBatchesAndForgetsTheirTensors) {
    Bench bench;
    for (int batch = 0; batch < 3; ++batch) {
        bench.begin({4, 8, 12, 16});
        bench.show({1, 2, 3, batch == 1 ? 5 : 4});
        bench.judge_.finish();
    }
    EXPECT_EQ(bench.judge_.elements_checked(), 12);
    EXPECT_EQ(bench.judge_.mismatches(), 1);
    EXPECT_EQ(bench.judge_.tensors_checked(), 1);
    EXPECT_EQ(bench.judge_.tensor({0, Qp::A})->codes, (Codes{1, 2, 3, 4}));
    EXPECT_EQ(bench.judge_.expected({0, Qp::A})->codes, (Codes{1, 2, 3, 4}));
}

TEST(Judge, MeasuresTheErrorAgainstTheUnquantisedNetwork) {
    Bench bench;
    bench.begin({6, 4, 8, 12});  // 6 / 128 became 2 / 32: an error of 2 / 128
    bench.show({2, 1, 2, 3});
    bench.judge_.finish();
    ASSERT_TRUE(bench.verdict().largest_error.has_value());
    EXPECT_DOUBLE_EQ(*bench.verdict().largest_error, 2.0 / 128);
    const double signal = 36 + 16 + 64 + 144, noise = 4;
    EXPECT_NEAR(*bench.verdict().sqnr_db, 10 * std::log10(signal / noise), 1e-9);
}

TEST(Judge, WithoutAGoldenModelKeepsCodesOrOnlyCountsThem) {
    Bench bench;
    for (const bool collects : {true, false}) {
        Judge judge(bench.network_, nullptr);
        judge.collects(collects);
        judge.begin_batch({{{0, Qp::A}, {1, 1, 1, 4}}, {{0, Qp::z}, {1, 1, 1, 1}}});
        const Codes all{7, -3, 9, 100}, end{9, 100};
        Tap tap = Bench::tap_of({0, Qp::A}, end, {8, 5});
        tap.box.w0 = 2;
        tap.box.w = 2;
        tap.saturations = 3;
        judge.on_tap(tap);
        judge.on_tap(tap);  // twice
        tap.codes = all.data();
        tap.box.w0 = 0;
        judge.on_tap(tap);
        judge.finish();
        EXPECT_EQ(judge.verdicts()[0].saturations, 9);
        ASSERT_EQ(judge.findings().size(), 2U);
        EXPECT_EQ(judge.findings()[0].text, "1 of 1 elements were never made");
        EXPECT_EQ(judge.findings()[1].text, "2 elements were made more than once");
        EXPECT_EQ(judge.tensor({0, Qp::A}).has_value(), collects);
        if (collects) {
            EXPECT_EQ(judge.tensor({0, Qp::A})->codes, all);
        }
    }
}

TEST(Judge, WithoutAGoldenModelCollectsAndComparesNothing) {
    const Network network = parse_network(
        R"({"name": "n", "input": {"shape": [1, 1, 2]}, "layers": [{"name": "relu", "type": "relu"}]})",
        "n");
    Judge judge(network, nullptr);
    judge.begin_batch({{{0, Qp::A}, {1, 1, 1, 2}}});
    const Codes codes{9, 8};
    Tap tap = Bench::tap_of({0, Qp::A}, codes, {8, 5});
    tap.box.w = 2;
    judge.on_tap(tap);
    judge.finish();
    EXPECT_EQ(judge.elements_checked(), 0);
    EXPECT_EQ(judge.tensor({0, Qp::A})->codes, codes);
    EXPECT_FALSE(judge.expected({0, Qp::A}).has_value());
}

/// A step of one point: E1m of the ReLU, 2 x 2 x 2 x 2, exponent -3, and what the hardware shows.
class Step : public testing::Test {
protected:
    Step()
        : network_(parse_network(R"({"name": "n", "input": {"shape": [2, 2, 2]}, "layers": [
              {"name": "relu", "type": "relu"}, {"name": "fc", "type": "linear",
              "out_features": 2}]})",
                                 "n")),
          judge_(network_, nullptr) {
        for (std::int64_t i = 0; i < 16; ++i) codes_.push_back(5 * i - 40);
        begin();
    }
    void begin(int exponent = -3) {
        golden::Tensor made;
        made.shape = {2, 2, 2, 2};
        std::vector<double> values;
        for (const std::int64_t code : codes_)
            values.push_back(std::ldexp(static_cast<double>(code), exponent - 7));
        made.values = {std::move(values), {-128, 127}, exponent - 7};
        made.bits = 8;
        made.frac = 7;
        made.exponent = exponent;
        made.saturations = 2;
        made.underflows = 3;
        made.align_rounded = 4;
        judge_.begin_step({{{0, Qp::E1}, {2, 2, 2, 2}}},
                          {{{0, Qp::E1}, golden::share(std::move(made))}});
    }
    Tap tap(const Codes& codes) const {
        Tap tap;
        tap.qp = {0, Qp::E1};
        tap.format = {8, 7, true, -3};
        tap.codes = codes.data();
        tap.box = {0, 2, 0, 2, 0, 2, 0, 2};
        tap.saturations = 2;
        tap.underflows = 3;
        tap.align_rounded = 4;
        return tap;
    }
    /// The only finding's text.
    std::string finding() const {
        EXPECT_EQ(judge_.findings().size(), 1U);
        return judge_.findings().empty() ? "" : judge_.findings().front().text;
    }

    const Network network_;
    Judge judge_;
    Codes codes_;  // memory order: N, H, W, C
};

TEST_F(Step, OfEqualCodesIsClean) {
    judge_.on_tap(tap(codes_));
    judge_.finish();
    EXPECT_TRUE(judge_.clean());
    EXPECT_EQ(judge_.elements_checked(), 16);
    EXPECT_EQ(judge_.verdicts().front().underflows, 3);
    EXPECT_EQ(judge_.verdicts().front().align_rounded, 4);
    EXPECT_EQ(judge_.tensor({0, Qp::E1})->codes[1], codes_[2]) << "given in file order";
}

TEST_F(Step, IsCleanInPhasesOfAStrideAndInSlicesOfChannels) {
    std::int64_t counted = 0;
    for (std::int32_t h = 0; h < 2; ++h)
        for (std::int32_t w = 0; w < 2; ++w)
            for (std::int32_t c = 0; c < 2; ++c) {
                Codes part;
                for (std::size_t n = 0; n < 2; ++n)
                    part.push_back(codes_[((n * 2 + static_cast<std::size_t>(h)) * 2 +
                                           static_cast<std::size_t>(w)) *
                                              2 +
                                          static_cast<std::size_t>(c)]);
                Tap phase = tap(part);
                phase.box = {0, 2, h, 1, w, 1, c, 1, 2, 2};
                if (counted++ != 0) phase.saturations = phase.underflows = phase.align_rounded = 0;
                judge_.on_tap(phase);
            }
    judge_.finish();
    EXPECT_TRUE(judge_.clean()) << finding();
    EXPECT_EQ(judge_.elements_checked(), 16);
}

TEST_F(Step, TakesEverySecondRowAndColumnFromOneTap) {
    codes_.assign(16, 0);
    for (std::size_t i = 0; i < 16; ++i) codes_[i] = static_cast<std::int64_t>(i);
    golden::Tensor made;
    made.shape = {1, 1, 4, 4};
    made.values = std::vector<double>(codes_.begin(), codes_.end());
    made.bits = 40;
    judge_.begin_step({{{1, Qp::dx}, {1, 1, 4, 4}}},
                      {{{1, Qp::dx}, golden::share(std::move(made))}});
    for (std::int32_t h = 0; h < 2; ++h)
        for (std::int32_t w = 0; w < 2; ++w) {
            const std::int64_t from = 4 * h + w;
            const Codes part{from, from + 2, from + 8, from + 10};
            Tap phase;
            phase.qp = {1, Qp::dx};
            phase.format = {40, 0};
            phase.codes = part.data();
            phase.box = {0, 1, h, 2, w, 2, 0, 1, 2, 2};
            judge_.on_tap(phase);
        }
    judge_.finish();
    EXPECT_TRUE(judge_.clean());
    EXPECT_EQ(judge_.elements_checked(), 16);
}

TEST_F(Step, CatchesOneWrongCodeAndNamesItsPlace) {
    Codes wrong = codes_;
    wrong[8 + 4 + 2 + 1] += 1;
    judge_.on_tap(tap(wrong));
    judge_.finish();
    EXPECT_EQ(judge_.mismatches(), 1);
    EXPECT_TRUE(judge_.findings().empty());
    EXPECT_EQ(judge_.first_mismatch()->at, (std::array<std::int64_t, 4>{1, 1, 1, 1}));
    EXPECT_EQ(judge_.tensor({0, Qp::E1})->codes[15], codes_[15] + 1);
    EXPECT_EQ(judge_.expected({0, Qp::E1})->codes[15], codes_[15]);
}

TEST_F(Step, CatchesAMissingElement) {
    Tap half = tap(codes_);
    half.box.n = 1;
    judge_.on_tap(half);
    judge_.finish();
    EXPECT_EQ(finding(), "8 of 16 elements were never made");
    EXPECT_EQ(judge_.tensor({0, Qp::E1})->codes[8], 0);
}

TEST_F(Step, CatchesATensorThatNothingShows) {
    judge_.finish();
    EXPECT_EQ(finding(), "16 of 16 elements were never made");
}

TEST_F(Step, CatchesAnElementMadeTwice) {
    judge_.on_tap(tap(codes_));
    const Codes again{codes_[3]};
    Tap twice = tap(again);
    twice.box = {0, 1, 0, 1, 1, 1, 1, 1};
    twice.saturations = twice.underflows = twice.align_rounded = 0;
    judge_.on_tap(twice);
    judge_.finish();
    EXPECT_EQ(finding(), "1 elements were made more than once");
}

TEST_F(Step, CatchesAWrongExponentEvenOfZeros) {
    codes_.assign(16, 0);
    begin();
    Tap wrong = tap(codes_);
    wrong.format.exponent = -4;
    judge_.on_tap(wrong);
    judge_.finish();
    EXPECT_EQ(judge_.mismatches(), 0);
    EXPECT_EQ(finding(),
              "the hardware's codes have frac 7 and exponent -4, the golden model's frac 7 and "
              "exponent -3");
}

TEST_F(Step, CatchesAnExponentThatChangesBetweenTiles) {
    Tap first = tap(codes_);
    first.box.n = 1;
    judge_.on_tap(first);
    Tap second = tap(codes_);
    second.codes += 8;
    second.box.n0 = second.box.n = 1;
    second.format.exponent = -2;
    second.saturations = second.underflows = second.align_rounded = 0;
    judge_.on_tap(second);
    judge_.finish();
    EXPECT_EQ(finding(), "the hardware's tiles differ in their format");
}

TEST_F(Step, CatchesAWrongWidth) {
    Tap wrong = tap(codes_);
    wrong.format.bits = 9;
    judge_.on_tap(wrong);
    judge_.finish();
    EXPECT_EQ(finding(),
              "the hardware's register has 9 bits signed, the golden model's 8 bits "
              "signed");
}

TEST_F(Step, CatchesEachCounter) {
    const std::pair<std::int64_t Tap::*, const char*> counters[]{
        {&Tap::saturations, "saturations"},
        {&Tap::wraps, "wraps"},
        {&Tap::underflows, "underflows"},
        {&Tap::align_rounded, "aligned elements that it rounded"}};
    std::size_t found = 0;
    for (const auto& [counter, name] : counters) {
        begin();
        Tap wrong = tap(codes_);
        ++(wrong.*counter);
        judge_.on_tap(wrong);
        judge_.finish();
        ASSERT_EQ(judge_.findings().size(), ++found) << name;
        EXPECT_NE(judge_.findings().back().text.find(name), std::string::npos);
    }
    EXPECT_EQ(judge_.mismatches(), 0);
}

TEST_F(Step, CatchesWhatGoldenHasNotMade) {
    judge_.begin_step({{{0, Qp::E1}, {2, 2, 2, 2}}}, {});
    Tap any = tap(codes_);
    judge_.on_tap(any);
    judge_.finish();
    EXPECT_FALSE(judge_.clean());
    EXPECT_EQ(judge_.findings().front().text, "the golden model has 0 elements, expected 16");
}

TEST_F(Step, ComparesForksBeyondTheDoubles) {
    const std::int64_t large = (std::int64_t{1} << 60) + 1;
    golden::Tensor made;
    made.shape = {1, 2, 1, 1};
    made.exact = {Wide{large}, Wide{-3}};
    made.values = {static_cast<double>(large), -3.0};
    made.bits = 64;
    const auto shared = golden::share(made);
    for (const std::int64_t shown : {large, large - 1}) {
        judge_.begin_step({{{0, Qp::fork}, {1, 2, 1, 1}}}, {{{0, Qp::fork}, shared}});
        const Codes codes{shown, -3};
        Tap tap;
        tap.qp = {0, Qp::fork};
        tap.format = {64, 0};
        tap.codes = codes.data();
        tap.box.c = 2;
        judge_.on_tap(tap);
        judge_.finish();
        EXPECT_EQ(judge_.mismatches(), shown == large ? 0 : 1);
    }
    EXPECT_TRUE(judge_.findings().empty());
}

TEST_F(Step, FollowsStepWithTheSameMemory) {
    for (int step = 0; step < 3; ++step) {
        for (auto& code : codes_) ++code;
        begin();
        judge_.on_tap(tap(codes_));
        judge_.finish();
    }
    EXPECT_TRUE(judge_.clean());
    EXPECT_EQ(judge_.elements_checked(), 48);
    EXPECT_EQ(judge_.verdicts().front().saturations, 6);
}

TEST_F(Step, LetsGoOfWholeTensorsThatNobodyWants) {
    std::int64_t asked = 0, had = 0;
    judge_.on_complete([&](const TensorVerdict& verdict) {
        ++asked;
        had += judge_.tensor(verdict.qp)->codes.back();
        return asked == 2;
    });
    for (int step = 0; step < 3; ++step) {
        begin();
        for (std::int32_t n = 0; n < 2; ++n) {
            EXPECT_TRUE(judge_.tensor({0, Qp::E1})) << "half of it is to come";
            const Codes half(codes_.begin() + 8 * n, codes_.begin() + 8 * n + 8);
            Tap shown = tap(half);
            shown.box.n0 = n;
            shown.box.n = 1;
            if (n == 1) shown.saturations = shown.underflows = shown.align_rounded = 0;
            judge_.on_tap(shown);
        }
        EXPECT_EQ(judge_.tensor({0, Qp::E1}).has_value(), step == 1);
        EXPECT_EQ(judge_.expected({0, Qp::E1}).has_value(), step == 1);
        judge_.finish();
    }
    EXPECT_TRUE(judge_.clean());
    EXPECT_EQ(judge_.elements_checked(), 48);
    EXPECT_EQ(asked, 3);
    EXPECT_EQ(had, 3 * 35);

    begin();
    judge_.on_tap(tap(codes_));
    judge_.on_tap(tap(codes_));
    judge_.finish();
    EXPECT_FALSE(judge_.clean()) << "an element that comes again is seen all the same";
}

TEST_F(Step, KeepsTheRangeOfExponents) {
    for (const int exponent : {-5, -2, -9}) {
        begin(exponent);
        Tap shown = tap(codes_);
        shown.format.exponent = exponent;
        judge_.on_tap(shown);
        judge_.finish();
    }
    EXPECT_TRUE(judge_.clean());
    EXPECT_EQ(judge_.verdicts().front().exponents, std::pair(-9, -2));
}

}  // namespace
}  // namespace wagesim::check
