// The judge fails when it must: what the machine shows is spoiled on its way to the judge.
#include <gtest/gtest.h>

#include "experiment.h"

namespace wagesim::test {
namespace {

/// Passes taps on; the `which`-th of one layer's quantisation point goes through `spoil`.
class Spoiler : public Probe {
public:
    using Spoil = std::function<void(Tap, std::vector<std::int64_t>, Probe&)>;

    Spoiler(Probe& next, int layer, Qp qp, int which, Spoil spoil)
        : next_(next), layer_(layer), qp_(qp), left_(which), spoil_(std::move(spoil)) {}

    void on_tap(const Tap& tap) override {
        if (tap.qp.layer != layer_ || tap.qp.qp != qp_ || left_-- != 0) {
            next_.on_tap(tap);
            return;
        }
        const std::int64_t size = tap.first >= 0 ? tap.box.c : tap.box.size();
        spoil_(tap, {tap.codes, tap.codes + size}, next_);
    }
    void on_retired(const Retired& retired) override { next_.on_retired(retired); }

private:
    Probe& next_;
    int layer_;
    Qp qp_;
    int left_;
    Spoil spoil_;
};

constexpr const char* network = R"({"name": "small", "input": {"shape": [2, 5, 4]}, "layers": [
    {"name": "conv", "type": "conv2d", "out_channels": 3, "kernel": 3, "padding": 1},
    {"name": "bn", "type": "batch_norm"}, {"name": "relu", "type": "relu"},
    {"name": "fc", "type": "linear", "out_features": 4}]})";

Outcome spoiled(int layer, Qp qp, Spoiler::Spoil spoil, int which = 0) {
    Experiment experiment;
    experiment.network = network;
    experiment.batches = {2};
    experiment.between = [=](Probe& judge, const Network&) {
        return std::make_unique<Spoiler>(judge, layer, qp, which, spoil);
    };
    return run(experiment);
}

/// Hands on the tap with these codes.
void pass(Tap tap, const std::vector<std::int64_t>& codes, Probe& next) {
    tap.codes = codes.data();
    next.on_tap(tap);
}

TEST(Judge, IsContentWithTheUnspoiledRun) {
    Experiment experiment;
    experiment.network = network;
    experiment.batches = {2};
    const Outcome outcome = run(experiment);
    EXPECT_TRUE(outcome.clean) << outcome.story();
    EXPECT_EQ(outcome.first.tensor, "");
}

TEST(Judge, MissesATileThatIsNotShown) {
    std::int64_t missing = 0;
    const Outcome outcome =
        spoiled(0, Qp::y, [&](const Tap&, const std::vector<std::int64_t>&, Probe&) {});
    (void)missing;
    EXPECT_FALSE(outcome.clean);
    EXPECT_EQ(outcome.mismatches, 0);
    ASSERT_EQ(outcome.findings.size(), 1U) << outcome.story();
    EXPECT_NE(outcome.findings[0].find("conv.y"), std::string::npos) << outcome.findings[0];
    EXPECT_NE(outcome.findings[0].find("never made"), std::string::npos) << outcome.findings[0];
}

TEST(Judge, SeesATileThatIsShownTwice) {
    const Outcome outcome =
        spoiled(2, Qp::A, [](const Tap& tap, const std::vector<std::int64_t>& codes, Probe& next) {
            pass(tap, codes, next);
            pass(tap, codes, next);
        });
    EXPECT_FALSE(outcome.clean);
    std::string all;
    for (const auto& finding : outcome.findings) all += finding + "\n";
    EXPECT_NE(all.find("relu.A"), std::string::npos) << all;
    EXPECT_NE(all.find("more than once"), std::string::npos) << all;
}

TEST(Judge, NamesTheElementItsBitsAndItsCycleWhereOneCodeIsOffByOne) {
    struct Place {
        int layer;
        Qp qp;
        const char* name;
    };
    for (const Place& place :
         {Place{0, Qp::Wq, "conv.Wq"}, Place{0, Qp::y, "conv.y"},
          Place{1, Qp::gamma_q, "bn.gamma_q"}, Place{1, Qp::xhat, "bn.xhat"},
          Place{1, Qp::x2, "bn.x2"}, Place{2, Qp::A, "relu.A"}, Place{3, Qp::z, "fc.z"}}) {
        const Outcome outcome = spoiled(place.layer, place.qp,
                                        [](Tap tap, std::vector<std::int64_t> codes, Probe& next) {
                                            codes[1] ^= 1;
                                            pass(tap, codes, next);
                                        });
        EXPECT_EQ(outcome.mismatches, 1) << place.name;
        EXPECT_EQ(outcome.first.tensor, place.name);
        EXPECT_EQ(outcome.first.first_bit, 0);
        EXPECT_GE(outcome.first.cycle, 0);
        EXPECT_EQ(std::stoll(outcome.first.expected) ^ std::stoll(outcome.first.got), 1);
        EXPECT_NE(outcome.first.expected_hex, outcome.first.got_hex);
    }
}

TEST(Judge, PlacesTheSecondElementOfATileInTheSecondChannel) {
    const Outcome outcome =
        spoiled(0, Qp::y, [](Tap tap, std::vector<std::int64_t> codes, Probe& next) {
            codes[1] += 1;  // tiles are shown channels last
            pass(tap, codes, next);
        });
    EXPECT_EQ(outcome.first.at, (std::vector<std::int64_t>{0, 1, 0, 0}));
}

TEST(Judge, ComparesTheSaturationCounters) {
    const Outcome outcome =
        spoiled(1, Qp::xhat, [](Tap tap, const std::vector<std::int64_t>& codes, Probe& next) {
            tap.saturations += 1;
            pass(tap, codes, next);
        });
    EXPECT_FALSE(outcome.clean);
    EXPECT_EQ(outcome.mismatches, 0);
    ASSERT_EQ(outcome.findings.size(), 1U) << outcome.story();
    EXPECT_NE(outcome.findings[0].find("bn.xhat"), std::string::npos);
    EXPECT_NE(outcome.findings[0].find("saturations"), std::string::npos);
}

TEST(Judge, HoldsTheMemoryAgainstWhatWasShown) {
    // The activation is shown otherwise than it is stored: a mismatch, and a Dram that differs.
    const Outcome outcome =
        spoiled(3, Qp::z, [](Tap tap, std::vector<std::int64_t> codes, Probe& next) {
            codes[0] += 256;
            pass(tap, codes, next);
        });
    EXPECT_EQ(outcome.mismatches, 1);
    std::string all;
    for (const auto& finding : outcome.findings) all += finding + "\n";
    EXPECT_NE(all.find("the Dram holds"), std::string::npos) << outcome.story();
}

TEST(Judge, RefusesAPointThatTheNetworkDoesNotHave) {
    EXPECT_THROW(spoiled(2, Qp::A,
                         [](Tap tap, const std::vector<std::int64_t>& codes, Probe& next) {
                             tap.qp.qp = Qp::x2;
                             pass(tap, codes, next);
                         }),
                 std::runtime_error);
}

}  // namespace
}  // namespace wagesim::test
