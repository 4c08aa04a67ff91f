// WLOAD and GEMM against a convolution written as its definition.
#include "compute_fixture.h"

namespace wagesim::rtl {
namespace {

class GemmTest : public ComputeTest {
protected:
    struct Convolution {
        std::int32_t n = 1, image_h = 5, image_w = 6, channels = 4, kernel_h = 3, kernel_w = 3;
        std::int32_t stride_y = 1, stride_x = 1, padding_h = 1, padding_w = 1;
        std::int32_t dilation_h = 1, dilation_w = 1, columns = 4;
        std::int32_t all_channels = 4, channel0 = 0;  // a group's channels within a pixel
        std::int32_t bytes = 1;
        bool channel_major = false, bias = false;
        Box box;  // of the output: pixels

        std::int32_t taps() const { return kernel_h * kernel_w; }
        std::int32_t reduction() const { return taps() * channels; }
    };

    std::vector<std::int64_t> image, kernel, bias;
    std::int64_t cycle = 0;
    std::unique_ptr<TileArray> array;
    std::unique_ptr<WeightLoader> loader;

    void build_array() {
        build();
        array = std::make_unique<TileArray>(config, *memories, *weights);
        loader = std::make_unique<WeightLoader>(*memories, *weights);
    }
    void SetUp() override { build_array(); }

    std::int64_t operand(const Convolution& conv, std::int32_t n, std::int32_t ih, std::int32_t iw,
                         std::int32_t c) const {
        if (ih < 0 || iw < 0 || ih >= conv.image_h || iw >= conv.image_w) return 0;
        return image[static_cast<std::size_t>(
            ((n * conv.image_h + ih) * conv.image_w + iw) * conv.all_channels + conv.channel0 + c)];
    }

    /// Runs all K tiles; the tile holds the image from row h0 and column w0 on.
    void run(const Convolution& conv, std::int32_t h0, std::int32_t w0, std::int64_t row) {
        const std::int64_t address = 48;
        Gemm gemm;
        gemm.bytes = conv.bytes;
        gemm.stride_w = conv.all_channels * conv.bytes + 1;
        gemm.stride_h = gemm.stride_w * (conv.image_w - w0) + 2;
        gemm.stride_n = gemm.stride_h * (conv.image_h - h0) + 3;
        for (std::int32_t n = 0; n < conv.n; ++n)
            for (std::int32_t ih = h0; ih < conv.image_h; ++ih)
                for (std::int32_t iw = w0; iw < conv.image_w; ++iw)
                    for (std::int32_t c = 0; c < conv.channels; ++c)
                        put(memories->activations,
                            address + n * gemm.stride_n + (ih - h0) * gemm.stride_h +
                                (iw - w0) * gemm.stride_w + (conv.channel0 + c) * conv.bytes,
                            conv.bytes, operand(conv, n, ih, iw, c));
        gemm.address = address + conv.channel0 * conv.bytes;
        gemm.h0 = h0;
        gemm.w0 = w0;
        gemm.image_h = conv.image_h;
        gemm.image_w = conv.image_w;
        gemm.kernel_h = conv.kernel_h;
        gemm.kernel_w = conv.kernel_w;
        gemm.stride_y = conv.stride_y;
        gemm.stride_x = conv.stride_x;
        gemm.padding_h = conv.padding_h;
        gemm.padding_w = conv.padding_w;
        gemm.dilation_h = conv.dilation_h;
        gemm.dilation_w = conv.dilation_w;
        gemm.channels = conv.channels;
        gemm.channel_major = conv.channel_major;
        gemm.columns = conv.columns;
        gemm.accumulator_row = row;
        if (conv.bias) {
            gemm.bias_address = 20;
            put_parameters(20, 4, bias);
        }
        for (gemm.k0 = 0; gemm.k0 < conv.reduction(); gemm.k0 += gemm.k) {
            gemm.k = std::min(config.array_rows, conv.reduction() - gemm.k0);
            gemm.accumulate = gemm.k0 > 0;
            load(gemm.k0, gemm.k, conv);
            const Work work = array->execute(command_of(conv.box, gemm), index, cycle);
            cycle += work.busy + work.latency;
        }
    }
    void load(std::int32_t k0, std::int32_t k, const Convolution& conv) {
        WeightLoad wload;
        wload.address = 7;
        wload.column_stride = conv.reduction() + 1;
        wload.rows = k;
        wload.columns = conv.columns;
        for (std::int32_t c = 0; c < conv.columns; ++c)
            for (std::int32_t r = 0; r < k; ++r)
                put(memories->weights, wload.address + c * wload.column_stride + r, 1,
                    kernel[static_cast<std::size_t>(c * conv.reduction() + k0 + r)]);
        const Work work = loader->execute(command_of(Box{}, wload), index, cycle);
        EXPECT_EQ(work.busy, config.array_rows);
        cycle += work.busy + work.latency;
    }

    /// Sum of the products k0 <= k < k0 + count of one output.
    std::int64_t products(const Convolution& conv, std::int32_t n, std::int32_t oh, std::int32_t ow,
                          std::int32_t column, std::int32_t k0, std::int32_t count) const {
        std::int64_t sum = 0;
        std::int32_t k = 0;
        const auto take = [&](std::int32_t kh, std::int32_t kw, std::int32_t c) {
            if (k >= k0 && k < k0 + count) {
                const std::int32_t ih = oh * conv.stride_y - conv.padding_h + kh * conv.dilation_h;
                const std::int32_t iw = ow * conv.stride_x - conv.padding_w + kw * conv.dilation_w;
                sum += operand(conv, n, ih, iw, c) *
                       kernel[static_cast<std::size_t>(column * conv.reduction() + k)];
            }
            ++k;
        };
        if (conv.channel_major) {
            for (std::int32_t c = 0; c < conv.channels; ++c)
                for (std::int32_t kh = 0; kh < conv.kernel_h; ++kh)
                    for (std::int32_t kw = 0; kw < conv.kernel_w; ++kw) take(kh, kw, c);
        } else {
            for (std::int32_t kh = 0; kh < conv.kernel_h; ++kh)
                for (std::int32_t kw = 0; kw < conv.kernel_w; ++kw)
                    for (std::int32_t c = 0; c < conv.channels; ++c) take(kh, kw, c);
        }
        return sum;
    }

    template <class Check>
    void for_each_output(const Convolution& conv, std::int64_t row, Check check) {
        for (std::int32_t n = 0; n < conv.box.n; ++n)
            for (std::int32_t h = 0; h < conv.box.h; ++h)
                for (std::int32_t w = 0; w < conv.box.w; ++w, ++row)
                    for (std::int32_t c = 0; c < conv.columns; ++c)
                        check(row, c, n, conv.box.h0 + h, conv.box.w0 + w);
    }
    void randomize(const Convolution& conv, Random& random) {
        const std::int64_t limit = conv.bytes == 1 ? 128 : 32768;
        image = random.codes(std::int64_t{conv.n} * conv.image_h * conv.image_w * conv.all_channels,
                             -limit, limit - 1);
        kernel = random.codes(std::int64_t{conv.columns} * conv.reduction(), -128, 127);
        bias = random.codes(conv.columns, -1000000, 1000000);
    }
};

TEST_F(GemmTest, ConvolvesLikeItsDefinitionOverRandomShapesAndArrays) {
    Random random(20240611);
    std::int64_t checks = 0;
    for (int trial = 0; trial < 150; ++trial) {
        SCOPED_TRACE(trial);
        constexpr int sizes[][2] = {{1, 1}, {2, 3}, {4, 4}, {16, 16}, {32, 8}, {8, 32}};
        const auto& size = sizes[random.between(0, 5)];
        config.array_rows = size[0];
        config.array_columns = size[1];
        build_array();
        cycle = 0;

        const auto pick = [&](int low, int high) {
            return static_cast<std::int32_t>(random.between(low, high));
        };
        Convolution conv;
        conv.n = pick(1, 2);
        conv.kernel_h = pick(1, 3);
        conv.kernel_w = pick(1, 3);
        conv.dilation_h = pick(1, 2);
        conv.dilation_w = pick(1, 2);
        conv.stride_y = pick(1, 2);
        conv.stride_x = pick(1, 3);
        conv.padding_h = pick(0, 2);
        conv.padding_w = pick(0, 2);
        conv.channels = pick(1, 9);
        conv.channel0 = pick(0, 3);
        conv.all_channels = conv.channel0 + conv.channels + pick(0, 2);
        conv.image_h = conv.kernel_h * 2 + pick(0, 4);
        conv.image_w = conv.kernel_w * 2 + pick(0, 4);
        conv.columns = pick(1, config.array_columns);
        conv.bytes = pick(1, 2);
        conv.channel_major = pick(0, 2) == 0;
        conv.bias = pick(0, 1) == 1;
        const std::int32_t out_h =
            (conv.image_h + 2 * conv.padding_h - conv.dilation_h * (conv.kernel_h - 1) - 1) /
                conv.stride_y +
            1;
        const std::int32_t out_w =
            (conv.image_w + 2 * conv.padding_w - conv.dilation_w * (conv.kernel_w - 1) - 1) /
                conv.stride_x +
            1;
        conv.box.n0 = 3;  // counts from the box's first image, so n0 does not matter
        conv.box.n = conv.n;
        conv.box.h0 = pick(0, out_h - 1);
        conv.box.h = pick(1, out_h - conv.box.h0);
        conv.box.w0 = pick(0, out_w - 1);
        conv.box.w = pick(1, out_w - conv.box.w0);
        randomize(conv, random);
        const std::int32_t h0 = std::max(0, conv.box.h0 * conv.stride_y - conv.padding_h);
        const std::int32_t w0 = std::max(0, conv.box.w0 * conv.stride_x - conv.padding_w);
        const std::int64_t row = random.between(0, 20);
        run(conv, std::min(h0, conv.image_h - 1), std::min(w0, conv.image_w - 1), row);

        for_each_output(
            conv, row,
            [&](std::int64_t at, std::int32_t c, std::int32_t n, std::int32_t oh, std::int32_t ow) {
                std::int64_t expected = products(conv, n, oh, ow, c, 0, conv.reduction());
                if (conv.bias) expected += bias[static_cast<std::size_t>(c)];
                ASSERT_EQ(memories->accumulators.value(at, c), expected) << oh << " " << ow;
                ++checks;
            });
        const std::int64_t pixels = conv.box.pixels();
        const std::int64_t tiles = (conv.reduction() + config.array_rows - 1) / config.array_rows;
        EXPECT_EQ(array->counters().macs, pixels * conv.reduction() * conv.columns);
        EXPECT_EQ(array->counters().macs + array->counters().padding_slots,
                  pixels * tiles * config.array_rows * config.array_columns);
    }
    EXPECT_GT(checks, 5000);
}

TEST_F(GemmTest, ClampsOnceAfterEveryKTileInAscendingK) {
    for (const Overflow overflow : {Overflow::full, Overflow::saturate, Overflow::wrap}) {
        config.array_rows = 4;
        config.array_columns = 4;
        config.accumulator_bits = 12;
        config.accumulator_overflow = overflow;
        build_array();
        Convolution conv;
        conv.box = box_of(1, 5, 6, 1);
        conv.image_w = 6;
        Random random(77);
        randomize(conv, random);
        for (auto& code : image) code /= 4;
        for (auto& code : kernel) code /= 4;
        run(conv, 0, 0, 0);
        const std::int64_t top = 2047;
        const std::int64_t bottom = overflow == Overflow::saturate ? -2047 : -2048;
        std::int64_t differ = 0;
        for_each_output(
            conv, 0,
            [&](std::int64_t at, std::int32_t c, std::int32_t n, std::int32_t oh, std::int32_t ow) {
                std::int64_t sum = 0, descending = 0;
                bool left = false;
                const auto clamp = [&](std::int64_t x) {
                    if (overflow == Overflow::wrap) return ((x + 2048) % 4096 + 4096) % 4096 - 2048;
                    return std::min(std::max(x, bottom), top);
                };
                for (std::int32_t k = 0; k < conv.reduction(); k += 4) {
                    const std::int64_t exact = sum + products(conv, n, oh, ow, c, k, 4);
                    sum = clamp(exact);
                    left = left || sum != exact;
                    descending = clamp(descending + products(conv, n, oh, ow, c, 32 - k, 4));
                }
                differ += descending != sum ? 1 : 0;
                EXPECT_EQ(memories->accumulators.value(at, c), sum);
                EXPECT_EQ(memories->accumulators.overflowed(at, c), left);
            });
        // The test tells the orders apart exactly where the order matters.
        EXPECT_EQ(differ > 0, overflow != Overflow::wrap);
    }
}

TEST_F(GemmTest, TakesTheCyclesOfTheTable) {
    struct Row {
        int rows, columns, k, bytes, port;
        std::int64_t busy, latency;
    };
    // 6 pixels. busy = 6 * max(1, ceil(k * bytes / port)), latency = R + C - 1.
    for (const Row& row : {Row{16, 16, 16, 1, 16, 6, 31}, Row{16, 16, 16, 2, 16, 12, 31},
                           Row{16, 16, 3, 2, 16, 6, 31}, Row{32, 8, 17, 1, 16, 12, 39},
                           Row{1, 1, 1, 1, 16, 6, 1}, Row{16, 16, 16, 1, 5, 24, 31}}) {
        config.array_rows = row.rows;
        config.array_columns = row.columns;
        config.bank_bytes_per_cycle = row.port;
        build_array();
        WeightLoad wload;
        wload.column_stride = wload.rows = row.k;
        wload.columns = 1;
        put_bytes(memories->weights, row.k);
        const Work loading = loader->execute(command_of(Box{}, wload), index, 0);
        EXPECT_EQ(loading.busy, row.rows);
        EXPECT_EQ(loading.latency, 0);
        Gemm gemm;
        gemm.bytes = row.bytes;
        gemm.channels = gemm.k = row.k;
        gemm.stride_w = row.k * row.bytes;
        gemm.image_h = 1;
        gemm.image_w = 6;
        gemm.columns = 1;
        put_bytes(memories->activations, 6 * row.k * row.bytes);
        const Work work = array->execute(command_of(box_of(1, 1, 6, 1), gemm), index, row.rows);
        EXPECT_EQ(work.busy, row.busy);
        EXPECT_EQ(work.latency, row.latency);
        EXPECT_EQ(work.swap, row.latency);
    }
}

TEST_F(GemmTest, RefusesAnOperandThatNobodyWrote) {
    WeightLoad wload;
    wload.rows = wload.columns = 1;
    put_bytes(memories->weights, 1);
    Gemm gemm;
    gemm.address = 100;
    gemm.channels = gemm.k = gemm.columns = 1;
    gemm.stride_w = 1;
    gemm.image_h = 1;
    gemm.image_w = 3;
    put(memories->activations, 100, 1, 1);
    put(memories->activations, 102, 1, 1);
    loader->execute(command_of(Box{}, wload), index, 0);
    const std::string what =
        machine_error([&] { array->execute(command_of(box_of(1, 1, 3, 1), gemm), index, 16); });
    EXPECT_NE(what.find("activations"), std::string::npos) << what;
    EXPECT_NE(what.find("101"), std::string::npos) << what;
}

TEST_F(GemmTest, RefusesAWeightThatNobodyWrote) {
    WeightLoad wload;
    wload.rows = 3;
    wload.columns = 1;
    put_bytes(memories->weights, 2);
    const std::string what =
        machine_error([&] { loader->execute(command_of(Box{}, wload), index, 0); });
    EXPECT_NE(what.find("weights"), std::string::npos) << what;
}

TEST_F(GemmTest, RefusesAnOperandOutsideItsTileThoughItsByteWasWritten) {
    WeightLoad wload;
    wload.rows = wload.columns = 1;
    put_bytes(memories->weights, 1);
    loader->execute(command_of(Box{}, wload), index, 0);
    Gemm gemm;
    gemm.address = 10;
    gemm.channels = gemm.k = gemm.columns = 1;
    gemm.stride_w = 1;
    gemm.stride_h = 4;
    gemm.image_h = gemm.image_w = 4;
    gemm.h0 = 1;
    put_bytes(memories->activations, 40);
    const std::string what =
        machine_error([&] { array->execute(command_of(box_of(1, 1, 1, 1), gemm), index, 16); });
    EXPECT_NE(what.find("tile"), std::string::npos) << what;
}

TEST_F(GemmTest, EveryWeightTileServesOneGemm) {
    put_bytes(memories->weights, 8);
    put_bytes(memories->activations, 8);
    WeightLoad wload;
    wload.rows = wload.columns = 2;
    wload.column_stride = 2;
    Gemm gemm;
    gemm.channels = gemm.k = gemm.columns = 2;
    gemm.image_h = gemm.image_w = 1;
    const Command load_command = command_of(Box{}, wload);
    const Command gemm_command = command_of(Box{}, gemm);
    // None loaded yet; loaded, but not completely; then at the first cycle it may start.
    EXPECT_NE(machine_error([&] { array->execute(gemm_command, index, 0); }), "");
    loader->execute(load_command, index, 0);
    EXPECT_NE(machine_error([&] { array->execute(gemm_command, index, 15); }), "");
    EXPECT_NE(machine_error([&] { loader->execute(load_command, index, 16); }), "");
    array->execute(gemm_command, index, 16);
    // The wavefront of that GEMM moves the last weight on in cycle 16 + 31.
    EXPECT_NE(machine_error([&] { array->execute(gemm_command, index, 100); }), "");
    EXPECT_NE(machine_error([&] { loader->execute(load_command, index, 46); }), "");
    loader->execute(load_command, index, 47);
    // A tile of another size.
    gemm.k = 1;
    EXPECT_NE(machine_error([&] { array->execute(command_of(Box{}, gemm), index, 100); }), "");
}

TEST_F(GemmTest, ATileOverwrittenInTheBufferStaysInTheRegisters) {
    put(memories->weights, 0, 1, 3);
    put(memories->activations, 0, 1, 5);
    WeightLoad wload;
    wload.rows = wload.columns = 1;
    Gemm gemm;
    gemm.channels = gemm.k = gemm.columns = 1;
    gemm.image_h = gemm.image_w = 1;
    loader->execute(command_of(Box{}, wload), index, 0);
    put(memories->weights, 0, 1, 100);
    array->execute(command_of(Box{}, gemm), index, 16);
    EXPECT_EQ(memories->accumulators.value(0, 0), 15);
}

}  // namespace
}  // namespace wagesim::rtl
