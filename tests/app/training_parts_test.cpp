// What a training run is made of beside the machine: batches, schedule, loss.
#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

#include "batches.h"
#include "loss_meter.h"
#include "schedule.h"
#include "wagesim/error.h"

namespace wagesim::app {
namespace {

/// Ten images of one pixel, their number.
trace::Dataset ten_images() {
    trace::Dataset data;
    data.count = 10;
    data.rows = data.columns = 1;
    data.images.resize(10);
    std::iota(data.images.begin(), data.images.end(), 0);
    data.labels = data.images;
    return data;
}

using Pixels = std::vector<std::uint8_t>;

// The orders by a few lines of Python, from docs/training.md.
TEST(Batches, ShuffleEachEpochBySeedAndDropTheRemainder) {
    Batches batches(ten_images(), 3, 1);
    EXPECT_EQ(batches.steps_per_epoch(), 3);
    const std::vector<Pixels> expected{{2, 0, 4, 3, 6, 7, 9, 1, 5, 8},
                                       {5, 4, 1, 8, 6, 0, 7, 9, 2, 3}};
    for (const std::int64_t step : {5, 0, 4, 1, 3, 2}) {
        const Pixels& epoch = expected[static_cast<std::size_t>(step / 3)];
        const auto first = epoch.begin() + step % 3 * 3;
        EXPECT_EQ(batches.at(step).pixels, Pixels(first, first + 3)) << "step " << step;
        EXPECT_EQ(batches.at(step).labels, Pixels(first, first + 3)) << "step " << step;
    }
}

TEST(Batches, RefuseMoreImagesThanThereAre) {
    EXPECT_THROW(Batches(ten_images(), 11, 1), InputError);
}

TEST(Schedule, FallsWhereTheRecipeSays) {
    const Schedule two({}, {}, 1000, 2), five({}, {}, 1000, 5);
    EXPECT_EQ(two.lr(0), 205);
    EXPECT_EQ(two.lr(599), 205);
    EXPECT_EQ(two.lr(600), 51);
    EXPECT_EQ(two.lr(850), 15);
    EXPECT_EQ(five.lr(500), 51);
    EXPECT_EQ(five.lr(750), 15);
    EXPECT_EQ(five.lr(900), 4);
}

TEST(Schedule, RefusesWhatNoRegisterHolds) {
    EXPECT_THROW(Schedule({1.0}, {}, 10, 1), InputError);
    EXPECT_THROW(Schedule({-0.1}, {}, 10, 1), InputError);
    EXPECT_THROW(Schedule({0.4, 0.1}, {}, 10, 1), InputError);
    EXPECT_THROW(Schedule({0.4, 0.1, 0.05}, {50, 20}, 10, 1), InputError);
    EXPECT_EQ(dr_log2(1), 0);
    EXPECT_EQ(dr_log2(128), 7);
    EXPECT_THROW(dr_log2(96), InputError);
    EXPECT_THROW(dr_log2(256), InputError);
}

TEST(LossMeter, IsTheMeanOfTheLabelsLogarithms) {
    NoProbe nobody;
    LossMeter meter(nobody, false);
    const Pixels labels{1, 0};
    meter.begin(labels);
    const std::int64_t codes[] = {1 << 14, 1 << 13, 0, 1 << 15};  // p at frac 15: 1/2 1/4 0 1
    Tap tap;
    tap.qp = {0, Qp::p};
    tap.box.n = tap.box.c = 2;
    tap.format = {16, 15, false, 0};
    tap.codes = codes;
    meter.on_tap(tap);
    EXPECT_DOUBLE_EQ(meter.loss(), (std::log(4.0) + 16 * std::log(2.0)) / 2);
}

}  // namespace
}  // namespace wagesim::app
