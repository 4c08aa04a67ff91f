// GEMM where sums stay in the PEs: the same convolutions, one addition per product, by hand and by
// definition.
#include "gemm_fixture.h"

namespace wagesim::rtl {
namespace {

class OsGemmTest : public GemmTest {
protected:
    void SetUp() override {
        config.dataflow = Dataflow::os;
        build_array();
    }

    /// One output of so many products: 1 x 1 pixels, as many channels.
    static Convolution dot_product(std::int32_t k) {
        Convolution conv;
        conv.image_h = conv.image_w = conv.kernel_h = conv.kernel_w = conv.columns = 1;
        conv.padding_h = conv.padding_w = 0;
        conv.channels = conv.all_channels = k;
        conv.box = Box{};
        return conv;
    }
    struct Sum {
        std::int64_t value;
        bool overflowed;
    };
    /// Of operands and weights, in GEMMs of at most `step` indices.
    Sum sum_of_products(const std::vector<std::int64_t>& operands,
                        const std::vector<std::int64_t>& codes, std::int32_t step,
                        std::int64_t first = 0) {
        build_array();
        Convolution conv = dot_product(static_cast<std::int32_t>(operands.size()));
        conv.bias = first != 0;
        image = operands;
        kernel = codes;
        bias = {first};
        run(conv, 0, 0, 0, step);
        return {memories->accumulators.value(0, 0), memories->accumulators.overflowed(0, 0)};
    }
};

TEST_F(OsGemmTest, ConvolvesLikeItsDefinitionOverRandomShapesArraysAndChunks) {
    Random random(20250301);
    std::int64_t partial = 0, whole = 0, chunked = 0;
    for (int trial = 0; trial < 300; ++trial) {
        SCOPED_TRACE(trial);
        pick_array(random);
        const Convolution conv = random_convolution(random);
        const auto chunk = static_cast<std::int32_t>(random.between(1, 2 * conv.reduction()));
        expect_convolved(conv, run_somewhere(conv, random, chunk));

        const std::int64_t pixels = conv.box.pixels(), rows = config.array_rows;
        const std::int64_t folds = (pixels + rows - 1) / rows;
        EXPECT_EQ(macs, pixels * conv.reduction() * conv.columns);
        EXPECT_EQ(macs + padding, folds * conv.reduction() * rows * config.array_columns);
        (pixels % rows == 0 ? whole : partial) += 1;
        chunked += chunk < conv.reduction() ? 1 : 0;
    }
    EXPECT_GT(checks, 5000);
    EXPECT_GT(partial, 100);
    EXPECT_GT(whole, 50);
    EXPECT_GT(chunked, 100);
}

TEST_F(OsGemmTest, KeepsTheWidthAfterEveryProductInAscendingK) {
    Random random(99);
    std::int64_t overflowed = 0, tiles_differ = 0, order_differs = 0;
    for (int trial = 0; trial < 150; ++trial) {
        SCOPED_TRACE(trial);
        constexpr Overflow rules[] = {Overflow::full, Overflow::saturate, Overflow::wrap};
        config.accumulator_overflow = rules[trial % 3];
        config.accumulator_bits = static_cast<int>(random.between(14, 24));
        pick_array(random);
        const Convolution conv = random_convolution(random);
        const auto chunk = static_cast<std::int32_t>(random.between(1, 2 * conv.reduction()));
        const std::int64_t row = run_somewhere(conv, random, chunk);
        for_each_output(
            conv, row,
            [&](std::int64_t at, std::int32_t c, std::int32_t n, std::int32_t oh, std::int32_t ow) {
                const auto products = each_product(conv, n, oh, ow, c);
                const std::int64_t exact_first = conv.bias ? bias[static_cast<std::size_t>(c)] : 0;
                const std::int64_t first = kept(exact_first);
                std::int64_t sum = first, descending = first;
                bool left = first != exact_first;
                for (std::size_t k = 0; k < products.size(); ++k) {
                    const std::int64_t exact = sum + products[k];
                    sum = kept(exact);
                    left = left || sum != exact;
                    descending = kept(descending + products[products.size() - 1 - k]);
                }
                ASSERT_EQ(memories->accumulators.value(at, c), sum);
                ASSERT_EQ(memories->accumulators.overflowed(at, c), left);
                ++checks;
                overflowed += left ? 1 : 0;
                tiles_differ += kept(first + sum_of(products, 0, conv.reduction())) != sum ? 1 : 0;
                order_differs += descending != sum ? 1 : 0;
            });
    }
    EXPECT_GT(checks, 5000);
    EXPECT_GT(overflowed, 500);
    EXPECT_LT(overflowed, checks - 500);
    EXPECT_GT(tiles_differ, 100);
    EXPECT_GT(order_differs, 100);
}

// 127 * 127 = 16129. In 16 bits: 16129, 32258, 48387 (beyond 32767), and back.
TEST_F(OsGemmTest, ASumThatLeavesTheWidthAndComesBackStaysMarkedAsWithOneAdditionItWouldNot) {
    config.accumulator_bits = 16;
    config.array_rows = 4;
    const std::vector<std::int64_t> operands{127, 127, 127, -127}, codes(4, 127);
    config.accumulator_overflow = Overflow::wrap;
    Sum sum = sum_of_products(operands, codes, 4);
    EXPECT_EQ(sum.value, 32258);
    EXPECT_TRUE(sum.overflowed);
    config.accumulator_overflow = Overflow::full;
    sum = sum_of_products(operands, codes, 4);
    EXPECT_EQ(sum.value, 32767 - 16129);
    EXPECT_TRUE(sum.overflowed);

    config.dataflow = Dataflow::ws;
    for (const Overflow overflow : {Overflow::wrap, Overflow::full}) {
        config.accumulator_overflow = overflow;
        sum = sum_of_products(operands, codes, 4);
        EXPECT_EQ(sum.value, 32258);
        EXPECT_FALSE(sum.overflowed);
    }
}

TEST_F(OsGemmTest, AMarkOutlivesTheChunkThatMadeIt) {
    config.accumulator_bits = 16;
    const std::vector<std::int64_t> operands{127, 127, 127, -127, 1, 1}, codes(6, 127);
    for (const std::int32_t chunk : {1, 2, 3, 4, 5, 6}) {
        const Sum sum = sum_of_products(operands, codes, chunk);
        EXPECT_EQ(sum.value, 32258 + 2 * 127) << chunk;
        EXPECT_TRUE(sum.overflowed) << chunk;
    }
}

// -128 * -128 = 2^14, the largest product. Eight of them are 2^17: one more than 18 bits hold.
TEST_F(OsGemmTest, TheLargestProductsOverflowByOneAndNoSooner) {
    config.accumulator_bits = 18;
    const auto lowest = [](std::size_t count) { return std::vector<std::int64_t>(count, -128); };
    for (const std::int32_t chunk : {7, 8, 3}) {
        Sum sum = sum_of_products(lowest(8), lowest(8), chunk, -1);
        EXPECT_EQ(sum.value, 131071);
        EXPECT_FALSE(sum.overflowed);
        sum = sum_of_products(lowest(8), lowest(8), chunk);
        EXPECT_EQ(sum.value, -131072);
        EXPECT_TRUE(sum.overflowed);
        sum = sum_of_products(lowest(7), lowest(7), chunk, 16383);
        EXPECT_EQ(sum.value, 131071);
        EXPECT_FALSE(sum.overflowed);
        sum = sum_of_products(lowest(7), lowest(7), chunk, 16384);
        EXPECT_EQ(sum.value, -131072);
        EXPECT_TRUE(sum.overflowed);
    }
}

// -32768 * -128 = 2^22, and 512 of them are 2^31: one more than 32 bits hold.
TEST_F(OsGemmTest, SumsOfTwoByteOperandsAreNotCutTo32Bits) {
    for (const int bits : {40, 32}) {
        config.accumulator_bits = bits;
        build_array();
        Convolution conv = dot_product(512);
        conv.bytes = 2;
        image.assign(512, -32768);
        kernel.assign(512, -128);
        run(conv, 0, 0, 0, 512);
        const std::int64_t sum = std::int64_t{1} << 31;
        EXPECT_EQ(memories->accumulators.value(0, 0), bits == 40 ? sum : -sum);
        EXPECT_EQ(memories->accumulators.overflowed(0, 0), bits == 32);
    }
}

TEST_F(OsGemmTest, ABiasBeyondTheWidthIsBroughtToItAndMarked) {
    config.accumulator_bits = 16;
    const Sum sum = sum_of_products({1}, {1}, 1, 40000);
    EXPECT_EQ(sum.value, 40000 - 65536 + 1);
    EXPECT_TRUE(sum.overflowed);
}

TEST_F(OsGemmTest, TakesTheCyclesOfTheTable) {
    struct Row {
        int rows, columns, pixels, k, bytes, port;
        std::int64_t busy;
    };
    // R, the folds, 2R + C - 1. A fold of p pixels: max(k * max(1, ceil(p * bytes / port)),
    // 2R + C - 1).
    for (const Row& row : {
             Row{16, 16, 16, 100, 1, 16, 16 + 100 + 47},            // one fold
             Row{16, 16, 17, 100, 1, 16, 16 + 2 * 100 + 47},        // and one of 1 pixel
             Row{16, 16, 48, 9, 1, 16, 16 + 3 * 47 + 47},           // too few steps
             Row{16, 16, 16, 47, 1, 16, 16 + 47 + 47},              // just as many
             Row{16, 16, 16, 48, 1, 16, 16 + 48 + 47},              //
             Row{16, 16, 24, 100, 2, 16, 16 + 200 + 100 + 47},      // 32 and 16 bytes a step
             Row{16, 16, 25, 100, 2, 16, 16 + 200 + 200 + 47},      // 32 and 18
             Row{32, 8, 70, 100, 1, 16, 32 + 2 * 200 + 100 + 71},   // 32, 32, 6 pixels
             Row{32, 8, 6, 30, 1, 16, 32 + 71 + 71},                //
             Row{1, 1, 3, 5, 1, 16, 1 + 3 * 5 + 2},                 //
             Row{1, 1, 3, 1, 2, 16, 1 + 3 * 2 + 2},                 //
             Row{4, 2, 10, 20, 2, 3, 4 + 2 * 20 * 3 + 20 * 2 + 9},  // 8, 8, 4 bytes by 3
         }) {
        config.array_rows = row.rows;
        config.array_columns = row.columns;
        config.bank_bytes_per_cycle = row.port;
        build_array();
        Gemm gemm;
        gemm.bytes = row.bytes;
        gemm.channels = gemm.k = row.k;
        gemm.stride_w = row.k * row.bytes;
        gemm.image_h = 1;
        gemm.image_w = row.pixels;
        gemm.columns = 1;
        put_bytes(memories->weights, row.k);
        put_bytes(memories->activations, row.pixels * row.k * row.bytes);
        const Work work =
            execute(*array, command_of(box_of(1, 1, row.pixels, 1), gemm), index, start);
        EXPECT_EQ(work.busy, row.busy) << row.rows << " x " << row.columns << ", " << row.pixels;
        EXPECT_EQ(work.latency, 0);
        EXPECT_EQ(work.swap, -1);
    }
}

TEST_F(OsGemmTest, TakesWeightsFromTheBufferWheneverItStarts) {
    put(memories->activations, 0, 1, 5);
    Gemm gemm;
    gemm.channels = gemm.k = gemm.columns = 1;
    gemm.image_h = gemm.image_w = 1;
    for (const std::int64_t weight : {3, 100}) {
        put(memories->weights, 0, 1, weight);
        execute(*array, command_of(Box{}, gemm), index, start);
        EXPECT_EQ(memories->accumulators.value(0, 0), 5 * weight);
    }
}

TEST_F(OsGemmTest, RefusesAWeightThatNobodyWroteAndColumnsThatTheArrayDoesNotHave) {
    put_bytes(memories->activations, 3);
    put_bytes(memories->weights, 2);
    Gemm gemm;
    gemm.channels = gemm.k = 3;
    gemm.image_h = gemm.image_w = gemm.columns = 1;
    const auto refusal = [&] {
        return machine_error([&] { execute(*array, command_of(Box{}, gemm), index, start); });
    };
    EXPECT_NE(refusal().find("weights: read of byte 2"), std::string::npos) << refusal();
    gemm.k = 2;
    EXPECT_EQ(refusal(), "");
    gemm.columns = config.array_columns + 1;
    EXPECT_NE(refusal().find("17 columns"), std::string::npos) << refusal();
}

}  // namespace
}  // namespace wagesim::rtl
