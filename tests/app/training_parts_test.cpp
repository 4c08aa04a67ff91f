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

Batches batches_of(std::int64_t batch) {
    trace::Dataset images = ten_images();
    const ImageFit fit({1, 1, 1, 1}, images, "network", "data");
    return {std::move(images), fit, batch, 1};
}

using Pixels = std::vector<std::uint8_t>;

TEST(ImageFit, MakesSquaresOfPixelsWithABorderInEveryChannel) {
    trace::Dataset images;
    images.count = 2;
    images.rows = 1;
    images.columns = 2;
    images.images = {9, 9, 5, 6};
    const ImageFit fit({1, 2, 3, 5}, images, "network", "data");
    const Pixels channel{5, 5, 6, 6, 0,  //
                         5, 5, 6, 6, 0,  //
                         0, 0, 0, 0, 0};
    Pixels both = channel;
    both.insert(both.end(), channel.begin(), channel.end());
    EXPECT_EQ(fit(images, 1, 1), both);
    EXPECT_EQ(ImageFit({1, 1, 3, 3}, images, "network", "data")(images, 1, 1),
              (Pixels{0, 0, 0, 5, 6, 0, 0, 0, 0}));
}

TEST(ImageFit, RefusesAnInputSmallerThanTheImages) {
    trace::Dataset images;
    images.count = 1;
    images.rows = images.columns = 28;
    try {
        ImageFit({1, 1, 32, 27}, images, "net.json", "data");
        FAIL() << "taken";
    } catch (const InputError& error) {
        EXPECT_STREQ(error.what(),
                     "net.json: input.shape is [1, 32, 27], but the images in data are 28 x 28; "
                     "expected at least their height and width");
    }
}

// The orders by a few lines of Python, from docs/training.md.
TEST(Batches, ShuffleEachEpochBySeedAndDropTheRemainder) {
    Batches batches = batches_of(3);
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

TEST(Batches, RefuseMoreImagesThanThereAre) { EXPECT_THROW(batches_of(11), InputError); }

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
