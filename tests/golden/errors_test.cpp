// What errors go through - quantisers, forks, products, pools, batch norm - against integers.
#include "golden/errors.h"

#include <algorithm>

#include "golden/products.h"
#include "golden/scaled.h"
#include "golden/training.h"
#include "golden_case.h"

namespace wagesim::golden {
namespace {

Tensor tensor_of(const Codes& codes, const Format& format, Shape shape = {0, 1, 1, 1}) {
    Tensor tensor;
    if (shape.n == 0) shape = {1, static_cast<std::int64_t>(codes.size()), 1, 1};
    tensor.shape = shape;
    tensor.frac = format.frac;
    tensor.bits = format.bits;
    tensor.exponent = format.exponent;
    std::vector<double> values;
    for (const std::int64_t code : codes)
        values.push_back(std::ldexp(static_cast<double>(code), format.exponent - format.frac));
    tensor.values = std::move(values);
    return tensor;
}
Delivered delivered(const Codes& codes, const Format& format) {
    return {share(tensor_of(codes, format)), format.bits};
}

/// code * 2^-shift, ties to even, by remainders.
std::int64_t shifted(std::int64_t code, int shift) {
    return shift <= 0 ? code * (std::int64_t{1} << -shift)
                      : divide_half_even(code, Wide{1} << shift);
}

TEST(ShiftQuantizer, ScalesByTheNearestPowerOfTwoOfTheLargest) {
    // round(log2 m) is p + 1 from m = 2^(p + 1/2) on: 90 and 91 lie on both sides of 2^6.5.
    for (std::int64_t m = 1; m < 5000; ++m) {
        int p = 0;
        while ((m >> (p + 1)) != 0) ++p;
        const int log2 = m * m > std::int64_t{1} << (2 * p + 1) ? p + 1 : p;
        ASSERT_EQ(scale_log2<double>(tensor_of({1, -m, 0}, {20, 9, true, 5})), log2 - 9 + 5) << m;
    }
    EXPECT_EQ(scale_log2<double>(tensor_of({90}, {20, 0})), 6);
    EXPECT_EQ(scale_log2<double>(tensor_of({91}, {20, 0})), 7);
}

TEST(ShiftQuantizer, TakesLargeCodesExactly) {
    // 2^60.5 = 1630477228166597776.97...
    for (const auto& [code, log2] :
         {std::pair{1630477228166597776, 60}, std::pair{1630477228166597777, 61}}) {
        Tensor large = tensor_of({code, 5}, {64, 0});
        large.exact = {Wide{code}, Wide{5}};
        EXPECT_EQ(scale_log2<double>(large), log2);
    }
}

TEST(ShiftQuantizer, KeepsItsExponentInEightBitsAndCodesWithTheKeptOne) {
    const Tensor small = shift_quantize<double>(tensor_of({64, -3}, {8, 7, true, -128}), {{8, 7}});
    EXPECT_EQ(small.exponent, -128);
    EXPECT_EQ(codes_of(small), (Codes{64, -3}));
    const Tensor large = shift_quantize<double>(tensor_of({1 << 20}, {40, 7, true, 127}), {{8, 7}});
    EXPECT_EQ(large.exponent, 127);
    EXPECT_EQ(codes_of(large), Codes{127});
    EXPECT_EQ(large.saturations, 1);
}

TEST(ShiftQuantizer, OfAllZerosHasTheLeastExponent) {
    const Tensor zeros = shift_quantize<double>(tensor_of({0, 0}, {40, 21, true, 9}), {{8, 7}});
    EXPECT_EQ(zeros.exponent, -128);
    EXPECT_EQ(codes_of(zeros), (Codes{0, 0}));
    EXPECT_EQ(zeros.underflows, 0);
}

TEST(ShiftQuantizer, EqualsShiftsAndCountsClipsAndUnderflows) {
    Numbers numbers(4);
    Codes codes;
    for (int i = 0; i < 4000; ++i) codes.push_back(numbers.between(-90000, 90000) >> (i % 18));
    codes.push_back(180000);  // log2 of it is 17.46: R = 2^17 and the largest are clipped
    codes.push_back(-180000);
    const Tensor e = shift_quantize<double>(tensor_of(codes, {40, 20, true, -6}), {{8, 7}});
    EXPECT_EQ(e.exponent, 17 - 20 - 6);
    const Codes made = codes_of(e);
    std::int64_t clips = 0, underflows = 0;
    for (std::size_t i = 0; i < codes.size(); ++i) {
        const std::int64_t code = shifted(codes[i], 17 - 7);
        ASSERT_EQ(made[i], clip(code, 127)) << codes[i];
        clips += std::abs(code) > 127;
        underflows += code == 0 && codes[i] != 0;
    }
    EXPECT_EQ(e.saturations, clips);
    EXPECT_EQ(e.underflows, underflows);
    EXPECT_GT(clips, 1);
    EXPECT_GT(underflows, 100);
}

TEST(FlagQuantizer, EqualsTwoShiftsForEveryCode) {
    Codes codes;
    for (std::int64_t code = -24000; code <= 24000; ++code) codes.push_back(code);
    for (const int exponent : {0, -120}) {
        // log2 24000 = 14.55: R = 2^15, Sc = 2^8 in these codes; a fine code is 2.
        const Tensor e =
            flag_quantize<double>(tensor_of(codes, {40, 0, true, exponent}), {{15, 14, true, 0}});
        EXPECT_EQ(e.exponent, 15 + exponent);
        const Codes made = codes_of(e);
        std::int64_t underflows = 0, corners = 0;
        for (std::size_t i = 0; i < codes.size(); ++i) {
            const bool flag = std::abs(codes[i]) >= 256;
            const std::int64_t expected =
                flag ? clip(shifted(codes[i], 8), 127) * 128 : shifted(codes[i], 1);
            ASSERT_EQ(made[i], expected) << codes[i];
            underflows += expected == 0 && codes[i] != 0;
            corners += !flag && std::abs(expected) == 128;
        }
        EXPECT_EQ(e.underflows, underflows);
        EXPECT_EQ(underflows, 2);
        EXPECT_EQ(corners, 2) << "255 becomes 128 without a flag";
        EXPECT_EQ(e.saturations, 0);
    }
    const Tensor clipped =
        flag_quantize<double>(tensor_of({23000, -23000, 5}, {40, 0}), {{15, 14, true, 0}});
    EXPECT_EQ(codes_of(clipped), (Codes{127 * 128, -127 * 128, 5}))
        << "log2 23000 = 14.49: R = 2^14";
    EXPECT_EQ(clipped.saturations, 2);
}

TEST(ConstantQuantizer, GrowsWhereTheTopSixteenBitsExceedTheDraw) {
    Numbers numbers(8);
    Codes codes{1 << 22};
    std::vector<std::uint16_t> draws{0};
    for (int i = 0; i < 5000; ++i) {
        codes.push_back(numbers.between(-(1 << 22), 1 << 22) >> (i % 24));
        draws.push_back(static_cast<std::uint16_t>(numbers.between(0, 65535)));
    }
    for (int i = 1; i < 200; ++i) {  // draws that equal the top bits: no growth
        const std::int64_t rest = std::abs(codes[static_cast<std::size_t>(i)]) % (1 << 15);
        draws[static_cast<std::size_t>(i)] = static_cast<std::uint16_t>(rest * 2);
    }
    const Quantizer rule{{8, 14, true, 0}, Rounding::stochastic};
    const Tensor g = constant_quantize<double>(tensor_of(codes, {40, 9, true, 3}), rule, 7, draws);
    EXPECT_EQ(g.exponent, 0);
    const Codes made = codes_of(g);
    std::int64_t clips = 0, underflows = 0;
    for (std::size_t i = 0; i < codes.size(); ++i) {
        const std::int64_t size = std::abs(codes[i]);  // 128 / 2^22 of it: 15 bits are dropped
        const std::int64_t whole = size >> 15, top = (size & ((1 << 15) - 1)) << 1;
        const std::int64_t grown = whole + (top > draws[i]);
        ASSERT_EQ(made[i], (codes[i] < 0 ? -1 : 1) * std::min<std::int64_t>(grown, 127)) << i;
        clips += grown > 127;
        underflows += grown == 0 && size != 0;
    }
    EXPECT_EQ(g.saturations, clips);
    EXPECT_EQ(g.underflows, underflows);
    EXPECT_GT(clips, 0);
    EXPECT_GT(underflows, 0);
}

TEST(ConstantQuantizer, SplitsCodesBeyondDoublesTheSame) {
    const Codes codes{1 << 22, -77777, 3, 0};
    const std::vector<std::uint16_t> draws{0, 10000, 0, 0};
    const Quantizer rule{{8, 14, true, 0}, Rounding::stochastic};
    const Tensor plain = tensor_of(codes, {64, 9});
    Tensor wide = plain;
    for (const std::int64_t code : codes) wide.exact.push_back(code);
    EXPECT_EQ(constant_quantize<double>(wide, rule, 7, draws).values.reals(),
              constant_quantize<double>(plain, rule, 7, draws).values.reals());
}

const Quantizer fork_rule{{64, 24, true, 0}, Rounding::half_even, Overflow::wrap};

TEST(Fork, AddsInTheFinestUnit) {
    const Tensor sum = fork<double>(
        {delivered({5, -7}, {40, 21, true, -3}), delivered({100, 3}, {32, 24, true, -8})},
        fork_rule);
    EXPECT_EQ(sum.frac, 24);
    EXPECT_EQ(sum.exponent, -8);
    EXPECT_EQ(sum.bits, 64);
    EXPECT_EQ(codes_of(sum), (Codes{5 * 256 + 100, -7 * 256 + 3}));
    EXPECT_EQ(sum.align_rounded, 0);
}

TEST(Fork, OfEqualUnitsTakesTheFirstsFrac) {
    const Tensor sum = fork<double>(
        {delivered({5}, {40, 21, true, -3}), delivered({6}, {32, 24, true, 0})}, fork_rule);
    EXPECT_EQ(sum.frac, 21);
    EXPECT_EQ(sum.exponent, -3);
    EXPECT_EQ(codes_of(sum), Codes{11});
}

TEST(Fork, LeavesOutWhatIsAllZero) {
    const Tensor sum = fork<double>(
        {delivered({0, 0}, {40, 21, true, -120}), delivered({9, -9}, {8, 7, true, 2})}, fork_rule);
    EXPECT_EQ(sum.frac, 7);
    EXPECT_EQ(sum.exponent, 2);
    EXPECT_EQ(codes_of(sum), (Codes{9, -9}));
}

TEST(Fork, KeepsAnOperandThatIsAlwaysOneEvenIfZero) {
    Delivered zeros = delivered({0, 0}, {24, 23, true, -18});
    zeros.is_always_operand = true;
    const Tensor sum = fork<double>({delivered({9, -9}, {40, 19, true, 0}), zeros}, fork_rule);
    EXPECT_EQ(sum.frac, 23);
    EXPECT_EQ(sum.exponent, -18);
    EXPECT_EQ(codes_of(sum), (Codes{9 << 22, -(9 << 22)}));
}

TEST(Fork, IsExactToSixtyThreeBitsAndThenCoarser) {
    // 40 bits and a distance of 23 just fit; each bit more drops one of the finer operand.
    const std::int64_t large = (std::int64_t{1} << 39) - 1;
    for (int distance = 20; distance < 30; ++distance) {
        const Codes fine{5, 6, 7, -5, 8, 12};
        Codes coarse(6, large);
        coarse[1] = -large;
        const Tensor sum = fork<double>(
            {delivered(coarse, {40, 21, true, distance}), delivered(fine, {32, 21, true, 0})},
            fork_rule);
        const int excess = std::max(0, 40 + distance - 63);
        EXPECT_EQ(sum.frac, 21 - excess);
        EXPECT_EQ(sum.exponent, 0);
        EXPECT_TRUE(sum.certified);
        ASSERT_EQ(sum.exact.size(), 6U);
        std::int64_t rounded = 0;
        for (std::size_t i = 0; i < fine.size(); ++i) {
            const Wide expected =
                Wide{coarse[i]} * (Wide{1} << (distance - excess)) + shifted(fine[i], excess);
            EXPECT_TRUE(sum.exact[i] == expected) << distance << ", element " << i;
            rounded += fine[i] % (1 << excess) != 0;
        }
        EXPECT_EQ(sum.align_rounded, rounded);
    }
}

TEST(Fork, OfThreeKeepsRoomForTheirSum) {
    // h = ceil(log2 3) - 1 = 1 bit more.
    const Tensor sum =
        fork<double>({delivered({1 << 20}, {40, 21, true, 23}), delivered({5}, {32, 21, true, 0}),
                      delivered({7}, {32, 21, true, 0})},
                     fork_rule);
    EXPECT_EQ(sum.frac, 20);
    EXPECT_EQ(codes_of(sum), (Codes{(std::int64_t{1} << 42) + 2 + 4}));
    EXPECT_EQ(sum.align_rounded, 2);
}

TEST(Fork, FarFinerOperandsRoundToNothing) {
    const Tensor sum = fork<double>(
        {delivered({1 << 20}, {40, 21, true, 100}), delivered({-5}, {32, 21, true, -100})},
        fork_rule);
    EXPECT_EQ(sum.frac, 21 - (40 + 200 - 63));
    EXPECT_EQ(codes_of(sum), Codes{std::int64_t{1} << (20 + 23)});
    EXPECT_EQ(sum.align_rounded, 1);
}

TEST(Fork, AsAnOperandIsAsWideAsItsLargestCodeAndOne) {
    EXPECT_EQ(delivered_sum(share(tensor_of({3, -8}, {64, 0}))).bits, 5);
    EXPECT_EQ(delivered_sum(share(tensor_of({7, -7}, {64, 0}))).bits, 4);
}

struct Products {
    const char* name;
    const char* input;
    const char* layer;
    int bits, rows;
    Overflow overflow = Overflow::wrap;
    Dataflow dataflow = Dataflow::ws;
    bool is_narrow = true;
};
void PrintTo(const Products& p, std::ostream* out) { *out << p.name; }

/// Sums of products, addition by addition.
class Register {
public:
    Register(int bits, Overflow overflow, std::size_t products_per_addition)
        : bits_(bits), overflow_(overflow), step_(products_per_addition) {}
    void add(std::int64_t product) {
        wide += product;
        tile_ += product;
        if (++count_ == step_) end_tile();
    }
    void end_tile() {
        const Wide half = Wide{1} << (bits_ - 1);
        sum += tile_;
        if (sum >= half || sum < -half) {
            event = true;
            if (overflow_ != Overflow::wrap) {
                sum = sum < 0 ? -half : half - 1;
            } else {
                while (sum >= half) sum -= 2 * half;
                while (sum < -half) sum += 2 * half;
            }
        }
        tile_ = 0;
        count_ = 0;
    }
    Wide sum = 0, wide = 0;
    bool event = false;

private:
    const int bits_;
    const Overflow overflow_;
    const std::size_t step_;
    Wide tile_ = 0;
    std::size_t count_ = 0;
};

class BackwardProducts : public testing::TestWithParam<Products> {
protected:
    BackwardProducts()
        : case_(GetParam().input, GetParam().layer), layer_(case_.network.layers.front()) {
        Numbers numbers(12);
        const auto fill = [&](Tensor& tensor, Shape shape, std::int64_t most, Format format) {
            Codes codes;
            for (std::int64_t i = 0; i < shape.size(); ++i)
                codes.push_back(numbers.between(-most, most));
            tensor = tensor_of(codes, format, shape);
        };
        Shape in = layer_.in_shape, out = layer_.out_shape;
        in.n = out.n = images;
        fill(in_, in, 127, {8, 5, true, 0});
        fill(error_, out, 16256, {15, 14, true, -4});
        fill(weights_, weight_shape(layer_), 127, {8, 7, true, 0});
        machine_.accumulator_bits = GetParam().bits;
        machine_.accumulator_overflow = GetParam().overflow;
        machine_.array_rows = GetParam().rows;
        machine_.dataflow = GetParam().dataflow;
    }
    Register a_register() const {
        return {
            GetParam().bits, GetParam().overflow,
            GetParam().dataflow == Dataflow::os ? 1U : static_cast<std::size_t>(GetParam().rows)};
    }
    static std::int64_t code(const Tensor& tensor, std::int64_t index) {
        return static_cast<std::int64_t>(std::ldexp(tensor.values[static_cast<std::size_t>(index)],
                                                    tensor.frac - tensor.exponent));
    }
    std::int64_t error_code(std::int64_t n, std::int64_t o, std::int64_t h, std::int64_t w) const {
        const Shape& s = error_.shape;
        if (h < 0 || h >= s.h || w < 0 || w >= s.w) return 0;
        return code(error_, s.memory_index(n, o, h, w));
    }
    std::int64_t in_code(std::int64_t n, std::int64_t c, std::int64_t h, std::int64_t w) const {
        const Shape& s = in_.shape;
        if (h < 0 || h >= s.h || w < 0 || w >= s.w) return 0;
        return code(in_, s.memory_index(n, c, h, w));
    }
    void expect(const Tensor& tensor, const std::vector<Register>& registers) {
        ASSERT_EQ(tensor.values.size(), registers.size());
        EXPECT_TRUE(tensor.certified) << tensor.why_not;
        EXPECT_EQ(tensor.exponent, -4);
        std::int64_t events = 0, differs = 0;
        for (std::size_t i = 0; i < registers.size(); ++i) {
            ASSERT_EQ(code(tensor, static_cast<std::int64_t>(i)),
                      static_cast<std::int64_t>(registers[i].sum))
                << i;
            events += registers[i].event;
            differs += registers[i].sum != registers[i].wide;
        }
        const bool wraps = GetParam().overflow == Overflow::wrap;
        EXPECT_EQ(tensor.wraps, wraps ? events : 0);
        EXPECT_EQ(tensor.saturations, wraps ? 0 : events);
        EXPECT_EQ(tensor.differs_from_wide, differs);
        EXPECT_EQ(events > 0, GetParam().is_narrow) << "the case must test what it says";
    }

    static constexpr std::int64_t images = 5;
    Case case_;
    const Layer layer_;
    Tensor in_, error_, weights_;
    MachineConfig machine_;
    const Quantizer rule_{{40, 21, true, 0}, Rounding::half_even, Overflow::wrap};
};

TEST_P(BackwardProducts, OfTheInputEqualABruteForceLoop) {
    const Tensor dx = accumulate_input_gradient<double>(layer_, error_, weights_, machine_, rule_);
    EXPECT_EQ(dx.frac, 21);
    const bool linear = layer_.type == LayerType::linear;
    const Shape ws = weight_shape(layer_);
    const std::int64_t outputs = layer_.out_channels / layer_.groups;
    std::vector<Register> registers;
    const Shape& s = in_.shape;
    for (std::int64_t n = 0; n < s.n; ++n)
        for (std::int64_t h = 0; h < s.h; ++h)
            for (std::int64_t w = 0; w < s.w; ++w)
                for (std::int64_t c = 0; c < s.c; ++c) {
                    Register r = a_register();
                    if (linear) {
                        const std::int64_t flat = (c * s.h + h) * s.w + w;
                        for (std::int64_t o = 0; o < ws.n; ++o)
                            r.add(error_code(n, o, 0, 0) * code(weights_, o * ws.c + flat));
                    }
                    for (std::int64_t kh = 0; kh < (linear ? 0 : ws.h); ++kh)
                        for (std::int64_t kw = 0; kw < ws.w; ++kw) {
                            const std::int64_t y = h + layer_.padding.h - kh * layer_.dilation.h;
                            const std::int64_t x = w + layer_.padding.w - kw * layer_.dilation.w;
                            if (y % layer_.stride.h != 0 || x % layer_.stride.w != 0) continue;
                            const std::int64_t g = c / ws.c;
                            for (std::int64_t o = g * outputs; o < (g + 1) * outputs; ++o)
                                r.add(error_code(n, o, y / layer_.stride.h, x / layer_.stride.w) *
                                      code(weights_, ws.memory_index(o, c % ws.c, kh, kw)));
                        }
                    r.end_tile();
                    registers.push_back(r);
                }
    expect(dx, registers);
}

TEST_P(BackwardProducts, OfTheWeightsEqualABruteForceLoop) {
    const Tensor gw = accumulate_weight_gradient<double>(layer_, in_, error_, machine_, rule_);
    EXPECT_EQ(gw.frac, 19);
    const bool linear = layer_.type == LayerType::linear;
    const Shape ws = weight_shape(layer_);
    const Shape& e = error_.shape;
    const std::int64_t outputs = layer_.out_channels / layer_.groups;
    const std::int64_t group = std::max<std::int64_t>(1, machine_.array_rows / (e.h * e.w));
    std::vector<Register> registers;
    for (std::int64_t o = 0; o < ws.n; ++o)
        for (std::int64_t kh = 0; kh < ws.h; ++kh)
            for (std::int64_t kw = 0; kw < ws.w; ++kw)
                for (std::int64_t i = 0; i < ws.c; ++i) {
                    Register r = a_register();
                    for (std::int64_t n = 0; n < images; ++n) {
                        for (std::int64_t h = 0; h < e.h; ++h)
                            for (std::int64_t w = 0; w < e.w; ++w) {
                                const Shape& s = in_.shape;
                                const std::int64_t a =
                                    linear ? in_code(n, i / (s.h * s.w), i / s.w % s.h, i % s.w)
                                           : in_code(n, o / outputs * ws.c + i,
                                                     h * layer_.stride.h - layer_.padding.h +
                                                         kh * layer_.dilation.h,
                                                     w * layer_.stride.w - layer_.padding.w +
                                                         kw * layer_.dilation.w);
                                r.add(a * error_code(n, o, h, w));
                            }
                        if ((n + 1) % group == 0) r.end_tile();
                    }
                    r.end_tile();
                    registers.push_back(r);
                }
    expect(gw, registers);
}

constexpr const char* plain =
    R"({"name": "c", "type": "conv2d", "out_channels": 4, "kernel": 3, "padding": 1})";
constexpr const char* strided =
    R"({"name": "c", "type": "conv2d", "out_channels": 4, "kernel": [3, 2], "stride": [2, 3],
        "padding": [1, 0], "dilation": [1, 2], "groups": 2})";
constexpr const char* sparse =
    R"({"name": "c", "type": "conv2d", "out_channels": 3, "kernel": 1, "stride": 2})";
constexpr const char* linear = R"({"name": "c", "type": "linear", "out_features": 7})";

INSTANTIATE_TEST_SUITE_P(
    Widths, BackwardProducts,
    testing::Values(
        Products{"exact", "[3, 6, 5]", plain, 40, 16, Overflow::wrap, Dataflow::ws, false},
        Products{"wraps", "[3, 6, 5]", plain, 22, 16},
        Products{"saturates", "[3, 6, 5]", plain, 22, 16, Overflow::full},
        Products{"saturates_product_by_product", "[3, 6, 5]", plain, 22, 16, Overflow::full,
                 Dataflow::os},
        Products{"strided", "[4, 7, 8]", strided, 40, 4, Overflow::wrap, Dataflow::ws, false},
        Products{"strided_saturates", "[4, 7, 8]", strided, 21, 4, Overflow::full},
        Products{"strided_wraps_product_by_product", "[4, 7, 8]", strided, 21, 4, Overflow::wrap,
                 Dataflow::os},
        Products{"phases_without_taps", "[3, 3, 3]", sparse, 21, 16, Overflow::full},
        Products{"linear_exact", "[3, 2, 2]", linear, 40, 4, Overflow::wrap, Dataflow::ws, false},
        Products{"linear_saturates_in_groups_of_images", "[3, 2, 2]", linear, 21, 2,
                 Overflow::full}),
    [](const auto& test) { return std::string(test.param.name); });

TEST(PoolError, OfOverlappingMaximaAddsUpWhereTheFirstMaximumWas) {
    Case c("[1, 1, 5]", R"({"name": "m", "type": "max_pool", "kernel": [1, 3], "stride": 1})");
    const Tensor in = tensor_of({4, 9, 9, 1, 9}, {8, 5}, {1, 1, 1, 5});
    const Delivered out = max_pool_error<double>(
        c.network.layers[0], in,
        {share(tensor_of({100, 20, 3}, {40, 21, true, -2}, {1, 1, 1, 3})), 40});
    EXPECT_EQ(codes_of(*out.error), (Codes{0, 120, 3, 0, 0}));
    EXPECT_EQ(out.error->exponent, -2);
    EXPECT_EQ(out.bits, 42) << "an element lies in up to 3 windows";
}

TEST(PoolError, OfAMeanIsDividedOnceAndSpreadInsideTheImage) {
    Case c(
        "[1, 1, 4]",
        R"({"name": "a", "type": "avg_pool", "kernel": [1, 3], "stride": 2, "padding": [0, 1]})");
    const Layer& layer = c.network.layers[0];
    const Tensor divided = divided_error<double>(
        layer, tensor_of({100, -7}, {32, 24, true, -5}, {1, 1, 1, 2}), {{40, 29}});
    const std::int64_t first = divide_half_even(100 * 256, 3),
                       second = divide_half_even(-7 * 256, 3);
    EXPECT_EQ(codes_of(divided), (Codes{first, second}));
    EXPECT_EQ(divided.frac, 32);
    EXPECT_EQ(divided.exponent, -5);
    const Delivered out = average_pool_error<double>(layer, divided);
    EXPECT_EQ(codes_of(*out.error), (Codes{first, first + second, second, second}));
    EXPECT_EQ(out.bits, 41);
}

TEST(PoolError, BeyondDoublesIsExact) {
    Case c("[1, 1, 2]", R"({"name": "a", "type": "avg_pool", "kernel": [1, 2]})");
    const std::int64_t large = (std::int64_t{1} << 60) + 3;
    Tensor error = tensor_of({large}, {64, 24, true, 0}, {1, 1, 1, 1});
    error.exact = {Wide{large}};
    const Tensor divided = divided_error<double>(c.network.layers[0], error, {{80, 29}});
    ASSERT_EQ(divided.exact.size(), 1U);
    EXPECT_TRUE(divided.exact[0] == Wide{large} * 128);
}

/// A batch norm's forward points and an error, as codes.
struct BatchNormCase {
    BatchNormCase(Datapath choices, std::int64_t sigma_code, int xhat_most)
        : datapath(std::move(choices)) {
        Numbers numbers(21);
        const Format xhat = datapath.quantizers.at(Qp::xhat).format;
        const Format gamma = datapath.quantizers.at(Qp::gamma_q).format;
        for (int i = 0; i < count * 2; ++i) {
            x.push_back(numbers.between(-xhat_most, xhat_most));
            e.push_back(numbers.between(-127, 127));
        }
        gammas = {60, -33};
        sigmas = {sigma_code, 9000};
        const auto put = [&](Qp qp, const Codes& codes, const Format& format, Shape shape) {
            forward[qp] = share(tensor_of(codes, format, shape));
        };
        put(Qp::xhat, x, xhat, {count, 2, 1, 1});
        put(Qp::gamma_q, gammas, gamma, {1, 2, 1, 1});
        put(Qp::sigma, sigmas, {18, 15}, {1, 2, 1, 1});
        const Codes inverses{divide_half_even(Wide{1} << 33, sigmas[0] + 1),
                             divide_half_even(Wide{1} << 33, sigmas[1] + 1)};
        put(Qp::inv, {inverses[0] & ~0xFFLL, inverses[1] & ~0xFFLL}, {34, 18, false}, {1, 2, 1, 1});
    }
    std::map<Qp, Tensor> run() const {
        return batch_norm_error<double>(tensor_of(e, {8, 7, true, -6}, {count, 2, 1, 1}), "bn",
                                        datapath, forward);
    }
    void expect_equal_to_integers() const {
        const auto made = run();
        const int fx = datapath.quantizers.at(Qp::xhat).format.frac;
        const int fg = datapath.quantizers.at(Qp::gamma_q).format.frac;
        const Format& to = datapath.quantizers.at(Qp::bn_err).format;
        const std::int64_t most = (std::int64_t{1} << (to.bits - 1)) - 1;
        const Codes err = codes_of(made.at(Qp::bn_err));
        for (std::size_t c = 0; c < 2; ++c) {
            Wide sum = 0, products = 0;
            for (std::size_t i = c; i < e.size(); i += 2) {
                sum += e[i];
                products += Wide{e[i]} * x[i];
            }
            const std::int64_t m1 = divide_half_even(sum * 256, count);
            const std::int64_t m2 = divide_half_even(products * 256, Wide{count} << fx);
            EXPECT_EQ(codes_of(made.at(Qp::g_beta))[c], static_cast<std::int64_t>(sum));
            EXPECT_EQ(codes_of(made.at(Qp::g_gamma))[c], static_cast<std::int64_t>(products));
            EXPECT_EQ(codes_of(made.at(Qp::m1))[c], m1);
            EXPECT_EQ(codes_of(made.at(Qp::m2))[c], m2);
            EXPECT_EQ(codes_of(made.at(Qp::gBN_beta))[c],
                      clip(static_cast<std::int64_t>(sum * 2), 32767))
                << "from frac 7 and exponent -6 to 14";
            for (std::size_t i = c; i < e.size(); i += 2) {
                const Wide p = Wide{e[i]} * (Wide{1} << (8 + fx)) - Wide{m1} * (Wide{1} << fx) -
                               Wide{x[i]} * m2;
                const int shift = to.frac - 7 - 8 - fx - fg + 15;
                Wide a = gammas[c] * p, b = sigmas[c] + 1;
                if (datapath.normalize == Normalize::reciprocal) {
                    a *= static_cast<Wide>(std::ldexp(forward.at(Qp::inv)->values[c], 18));
                    b = Wide{1} << (7 + 8 + fx + fg + 18 - to.frac);
                } else if (shift >= 0) {
                    a *= Wide{1} << shift;
                } else {
                    b <<= -shift;
                }
                const bool dead = sigmas[c] == 0 && datapath.training.sigma_guard;
                ASSERT_EQ(err[i], dead ? 0 : clip(divide_half_even(a, b), most)) << i;
            }
        }
        for (const auto& [qp, tensor] : made) {
            EXPECT_TRUE(tensor.certified) << to_string(qp) << tensor.why_not;
            const bool is_gradient = qp == Qp::gBN_beta || qp == Qp::gBN_gamma;
            EXPECT_EQ(tensor.exponent, is_gradient ? 0 : -6) << to_string(qp);
        }
    }

    static constexpr std::int64_t count = 50;
    Datapath datapath;
    Codes x, e, gammas, sigmas;
    LayerPoints forward;
};

TEST(BatchNormError, EqualsIntegersInEveryPreset) {
    BatchNormCase(preset("int8"), 700, 127).expect_equal_to_integers();
    BatchNormCase(preset("authors"), 700, 2047).expect_equal_to_integers();
    BatchNormCase(preset("paper"), 700, 524287).expect_equal_to_integers();
}

TEST(BatchNormError, EqualsIntegersWithReciprocals) {
    for (const auto& [name, most] : {std::pair{"int8", 127}, std::pair{"paper", 524287}}) {
        Datapath datapath = preset(name);
        datapath.normalize = Normalize::reciprocal;
        BatchNormCase(datapath, 700, most).expect_equal_to_integers();
    }
}

TEST(BatchNormError, GoesThroughNoDeadChannelUnlessUnguarded) {
    Datapath datapath = preset("int8");
    BatchNormCase guarded(datapath, 0, 127);
    guarded.expect_equal_to_integers();
    EXPECT_EQ(guarded.run().at(Qp::bn_err).saturations, 0);
    datapath.training.sigma_guard = false;
    BatchNormCase open(datapath, 0, 127);
    open.expect_equal_to_integers();
    EXPECT_GT(open.run().at(Qp::bn_err).saturations, 0);
}

TEST(BatchNormError, BeyondDoublesEqualsIntegers) {
    Datapath datapath = preset("paper");
    datapath.quantizers[Qp::bn_err].format = {46, 36, true, 0};  // numerators of 2^60
    BatchNormCase(datapath, 20000, 524287).expect_equal_to_integers();
}

}  // namespace
}  // namespace wagesim::golden
