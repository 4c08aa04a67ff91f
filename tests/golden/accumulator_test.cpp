// Accumulators against a brute-force loop in 128-bit integers: which additions, where they wrap or
// saturate, what is counted.
#include <ostream>

#include "golden_case.h"

namespace wagesim::golden {
namespace {

struct Setting {
    int bits, rows, y_bits;
    Overflow overflow;
    bool bias;
    bool linear;
    Dataflow dataflow = Dataflow::ws;

    std::size_t products_per_addition() const {
        return dataflow == Dataflow::os ? 1 : static_cast<std::size_t>(rows);
    }
};
void PrintTo(const Setting& s, std::ostream* out) {
    *out << to_string(s.dataflow) << ", " << s.bits << " bits, " << s.rows << " rows, y "
         << s.y_bits << " bits, " << to_string(s.overflow) << (s.bias ? ", bias" : "")
         << (s.linear ? ", linear" : "");
}

/// Two's complement or saturation of a partial sum, by comparison and repeated subtraction.
Wide hold(Wide sum, int bits, Overflow overflow, bool& event) {
    const Wide high = (Wide{1} << (bits - 1)) - 1;
    const Wide low = overflow == Overflow::saturate ? -high : -high - 1;
    if (sum <= high && sum >= low) return sum;
    event = true;
    if (overflow != Overflow::wrap) return sum > high ? high : low;
    while (sum > high) sum -= Wide{1} << bits;
    while (sum < low) sum += Wide{1} << bits;
    return sum;
}

class Accumulator : public testing::TestWithParam<Setting> {};

TEST_P(Accumulator, EqualsABruteForceLoop) {
    const Setting s = GetParam();
    constexpr int channels = 6, outputs = 4, kernel = 3, size = 7, images = 2;
    const std::string bias = s.bias ? ", \"bias\": true" : "";
    Case c("[6, 7, 7]", s.linear
                            ? R"({"name": "y", "type": "linear", "out_features": 4)" + bias + "}"
                            : R"({"name": "y", "type": "conv2d", "out_channels": 4, "kernel": 3,
                          "padding": 1, "groups": 2)" +
                                  bias + "}");
    c.datapath.machine.accumulator_bits = s.bits;
    c.datapath.machine.accumulator_overflow = s.overflow;
    c.datapath.machine.array_rows = s.rows;
    c.datapath.machine.dataflow = s.dataflow;
    c.rule(Qp::z).format.bits = s.y_bits;
    c.random_pixels(7, images);
    Numbers numbers(11);
    const Shape shape = weight_shape(c.network.layers[0]);
    Codes weights, biases(outputs, 0);
    for (std::int64_t i = 0; i < shape.size(); ++i) weights.push_back(numbers.between(-127, 127));
    c.set("y", Qp::W, weights, 7);
    if (s.bias) {
        for (std::int64_t& b : biases) b = numbers.between(-9000, 9000);
        c.set("y", Qp::bias, biases, 14);
    }
    const std::map<Qp, Tensor> points = c.run("y");
    const Tensor& y = points.at(Qp::z);
    ASSERT_TRUE(y.certified) << y.why_not;
    const Codes codes = codes_of(y);

    const auto image = [&](std::int64_t n, std::int64_t ch, std::int64_t h, std::int64_t w) {
        if (h < 0 || h >= size || w < 0 || w >= size) return std::int64_t{0};
        const Shape in{images, channels, size, size};
        return std::int64_t{c.pixels[static_cast<std::size_t>(in.index(n, ch, h, w))]} - 128;
    };
    std::int64_t wraps = 0, saturations = 0, differs = 0;
    std::size_t i = 0;
    for (std::int64_t n = 0; n < images; ++n)
        for (std::int64_t o = 0; o < outputs; ++o)
            for (std::int64_t p = 0; p < y.shape.h * y.shape.w; ++p, ++i) {
                std::vector<std::int64_t> products;  // K ascending
                if (s.linear) {
                    for (std::int64_t k = 0; k < shape.c; ++k)
                        products.push_back(weights[static_cast<std::size_t>(o * shape.c + k)] *
                                           image(n, k / (size * size), k / size % size, k % size));
                } else {
                    const std::int64_t group = o / 2;
                    for (std::int64_t kh = 0; kh < kernel; ++kh)
                        for (std::int64_t kw = 0; kw < kernel; ++kw)
                            for (std::int64_t ch = 0; ch < channels / 2; ++ch)
                                products.push_back(
                                    weights[static_cast<std::size_t>(shape.index(o, ch, kh, kw))] *
                                    image(n, group * 3 + ch, p / size + kh - 1, p % size + kw - 1));
                }
                bool added = false, narrowed = false;
                const Wide start = biases[static_cast<std::size_t>(o)];
                Wide sum = hold(start, s.bits, s.overflow, added), wide = start;
                const std::size_t step = s.products_per_addition();
                for (std::size_t k = 0; k < products.size(); k += step) {
                    Wide tile = 0;
                    for (std::size_t r = k; r < std::min(products.size(), k + step); ++r)
                        tile += products[r];
                    wide += tile;
                    sum = hold(sum + tile, s.bits, s.overflow, added);
                }
                sum = hold(sum, s.y_bits, Overflow::wrap, narrowed);
                ASSERT_EQ(codes[i], static_cast<std::int64_t>(sum)) << "output " << i;
                wraps += narrowed || (added && s.overflow == Overflow::wrap);
                saturations += added && s.overflow != Overflow::wrap;
                differs += sum != wide;
            }
    ASSERT_EQ(i, codes.size());
    EXPECT_EQ(y.wraps, wraps);
    EXPECT_EQ(y.saturations, saturations);
    EXPECT_EQ(y.differs_from_wide, differs);
    const bool is_narrow = s.bits < 32 || s.y_bits < 32;
    EXPECT_EQ(wraps + saturations > 0, is_narrow) << "the case must test what it says";
    EXPECT_EQ(differs > 0, is_narrow);
}

INSTANTIATE_TEST_SUITE_P(
    Widths, Accumulator,
    testing::Values(Setting{40, 16, 32, Overflow::wrap, false, false},
                    Setting{40, 16, 32, Overflow::wrap, true, true},
                    Setting{17, 16, 32, Overflow::wrap, false, false},
                    Setting{16, 5, 32, Overflow::wrap, true, false},
                    Setting{17, 4, 32, Overflow::full, false, false},
                    Setting{16, 16, 32, Overflow::full, true, false},
                    Setting{14, 1, 32, Overflow::full, true, false},
                    Setting{16, 3, 32, Overflow::saturate, true, false},
                    Setting{40, 16, 16, Overflow::wrap, false, false},
                    Setting{18, 16, 16, Overflow::full, true, false},
                    Setting{18, 16, 32, Overflow::wrap, true, true},
                    Setting{18, 7, 32, Overflow::full, false, true},
                    Setting{40, 16, 32, Overflow::wrap, true, false, Dataflow::os},
                    Setting{16, 16, 32, Overflow::wrap, true, false, Dataflow::os},
                    Setting{16, 16, 32, Overflow::full, true, false, Dataflow::os},
                    Setting{18, 7, 32, Overflow::full, false, true, Dataflow::os}));

TEST(AccumulatorEvent, AWrapThatUnwrapsIsStillAnEvent) {
    // Codes 127, 127, -127, -127 times 127 with one addition each: 16129, 32258 (wraps in 15
    // bits), 16129, 0. The result is right and the event is told.
    Case c("[4, 1, 1]", R"({"name": "y", "type": "linear", "out_features": 1})");
    c.datapath.machine.accumulator_bits = 15;
    c.datapath.machine.array_rows = 1;
    c.set_image({127, 127, -127, -127});
    c.set("y", Qp::W, {127, 127, 127, 127}, 7);
    const auto points = c.run("y");
    const Tensor& y = points.at(Qp::z);
    EXPECT_EQ(codes_of(y), Codes{0});
    EXPECT_EQ(y.wraps, 1);
    EXPECT_EQ(y.differs_from_wide, 0);
}

TEST(AccumulatorEvent, ABiasCanLeaveTheRegisterOnItsOwn) {
    Case c("[1, 1, 1]", R"({"name": "y", "type": "linear", "out_features": 2, "bias": true})");
    c.datapath.machine.accumulator_bits = 12;  // to 2047
    c.set_image({1});
    c.set("y", Qp::W, {1, 1}, 7);
    c.set("y", Qp::bias, {2046, 2047}, 14);
    const auto points = c.run("y");
    EXPECT_EQ(codes_of(points.at(Qp::z)), (Codes{2047, -2048}));
    EXPECT_EQ(points.at(Qp::z).wraps, 1);
}

TEST(AccumulatorEvent, SaturationDependsOnTheOrderOfTiles) {
    // 15 bits: 16129, then 32258 saturates to 16383, then 254, then -15875.
    Case c("[4, 1, 1]", R"({"name": "y", "type": "linear", "out_features": 1})");
    c.datapath.machine.accumulator_bits = 15;
    c.datapath.machine.accumulator_overflow = Overflow::full;
    c.datapath.machine.array_rows = 1;
    c.set_image({127, 127, -127, -127});
    c.set("y", Qp::W, {127, 127, 127, 127}, 7);
    auto points = c.run("y");
    EXPECT_EQ(codes_of(points.at(Qp::z)), Codes{16383 - 2 * 16129});
    EXPECT_EQ(points.at(Qp::z).saturations, 1);
    EXPECT_EQ(points.at(Qp::z).differs_from_wide, 1);
    c.datapath.machine.array_rows = 4;  // one exact tile
    points = c.run("y");
    EXPECT_EQ(codes_of(points.at(Qp::z)), Codes{0});
    EXPECT_EQ(points.at(Qp::z).saturations, 0);
}

}  // namespace
}  // namespace wagesim::golden
