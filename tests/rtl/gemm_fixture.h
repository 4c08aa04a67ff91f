// What the tests of both dataflows share: an array, and a convolution written as its definition.
#pragma once

#include <numeric>

#include "compute_fixture.h"
#include "control/access.h"

namespace wagesim::rtl {

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
    std::int64_t cycle = 0, macs = 0, padding = 0;  // of all GEMMs
    std::int64_t checks = 0;
    std::unique_ptr<TileArray> array;
    std::unique_ptr<WeightLoader> loader;

    void build_array() {
        build();
        cycle = macs = padding = 0;
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

    static constexpr std::int64_t weight_address = 7;
    static std::int64_t weight_stride(const Convolution& conv) { return conv.reduction() + 1; }

    /// Puts image, weights and bias where the GEMM that it returns takes them; K is still to be
    /// set. The tile holds the image from row h0 and column w0 on.
    Gemm lay_out(const Convolution& conv, std::int32_t h0, std::int32_t w0, std::int64_t row) {
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
        for (std::int32_t c = 0; c < conv.columns; ++c)
            for (std::int32_t k = 0; k < conv.reduction(); ++k)
                put(memories->weights, weight_address + c * weight_stride(conv) + k, 1,
                    kernel[static_cast<std::size_t>(c * conv.reduction() + k)]);
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
        return gemm;
    }
    /// The whole reduction in GEMMs of at most `step` indices.
    void run(const Convolution& conv, std::int32_t h0, std::int32_t w0, std::int64_t row,
             std::int32_t step) {
        Gemm gemm = lay_out(conv, h0, w0, row);
        for (gemm.k0 = 0; gemm.k0 < conv.reduction(); gemm.k0 += gemm.k) {
            gemm.k = std::min(step, conv.reduction() - gemm.k0);
            gemm.accumulate = gemm.k0 > 0;
            multiply(gemm, conv);
        }
    }
    void multiply(Gemm gemm, const Convolution& conv) {
        const std::int64_t address = weight_address + gemm.k0;
        if (config.dataflow == Dataflow::os) {
            gemm.weights.address = address;
            gemm.weights.column_stride = weight_stride(conv);
        } else {
            const WeightLoad wload{{address, 1, weight_stride(conv)}, gemm.k, gemm.columns};
            const Work work = execute(*loader, command_of(Box{}, wload), index, cycle);
            EXPECT_EQ(work.busy, config.array_rows);
            cycle += work.busy + work.latency;
        }
        const Command command = command_of(conv.box, gemm);
        const Work work = execute(*array, command, index, cycle);
        cycle += work.busy + work.latency;
        const PeSlots slots = slots_of(command, config);
        macs += slots.macs;
        padding += slots.padding;
    }

    /// The products of one output, K ascending.
    std::vector<std::int64_t> each_product(const Convolution& conv, std::int32_t n, std::int32_t oh,
                                           std::int32_t ow, std::int32_t column) const {
        std::vector<std::int64_t> products;
        const auto take = [&](std::int32_t kh, std::int32_t kw, std::int32_t c) {
            const std::int32_t ih = oh * conv.stride_y - conv.padding_h + kh * conv.dilation_h;
            const std::int32_t iw = ow * conv.stride_x - conv.padding_w + kw * conv.dilation_w;
            const auto k = static_cast<std::int32_t>(products.size());
            products.push_back(operand(conv, n, ih, iw, c) *
                               kernel[static_cast<std::size_t>(column * conv.reduction() + k)]);
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
        return products;
    }
    static std::int64_t sum_of(const std::vector<std::int64_t>& products, std::int32_t k0,
                               std::int32_t count) {
        return std::accumulate(products.begin() + k0, products.begin() + k0 + count,
                               std::int64_t{0});
    }

    template <class Check>
    void for_each_output(const Convolution& conv, std::int64_t row, Check check) {
        for (std::int32_t n = 0; n < conv.box.n; ++n)
            for (std::int32_t h = 0; h < conv.box.h; ++h)
                for (std::int32_t w = 0; w < conv.box.w; ++w, ++row)
                    for (std::int32_t c = 0; c < conv.columns; ++c)
                        check(row, c, n, conv.box.h0 + h, conv.box.w0 + w);
    }
    /// An exact sum as an accumulator keeps it: by comparison and division.
    std::int64_t kept(std::int64_t exact) const {
        const std::int64_t half = std::int64_t{1} << (config.accumulator_bits - 1);
        if (config.accumulator_overflow == Overflow::wrap)
            return ((exact + half) % (2 * half) + 2 * half) % (2 * half) - half;
        const std::int64_t bottom =
            config.accumulator_overflow == Overflow::saturate ? 1 - half : -half;
        return std::min(std::max(exact, bottom), half - 1);
    }
    void randomize(const Convolution& conv, Random& random) {
        const std::int64_t limit = conv.bytes == 1 ? 128 : 32768;
        image = random.codes(std::int64_t{conv.n} * conv.image_h * conv.image_w * conv.all_channels,
                             -limit, limit - 1);
        kernel = random.codes(std::int64_t{conv.columns} * conv.reduction(), -128, 127);
        bias = random.codes(conv.columns, -1000000, 1000000);
    }

    void pick_array(Random& random) {
        constexpr int sizes[][2] = {{1, 1}, {2, 3}, {4, 4}, {16, 16}, {32, 8}, {8, 32}};
        const auto& size = sizes[random.between(0, 5)];
        config.array_rows = size[0];
        config.array_columns = size[1];
        build_array();
    }
    Convolution random_convolution(Random& random) {
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
        return conv;
    }
    /// At a random place of the accumulators, in a tile that begins where the box's input does.
    std::int64_t run_somewhere(const Convolution& conv, Random& random, std::int32_t step) {
        const std::int32_t h0 = std::max(0, conv.box.h0 * conv.stride_y - conv.padding_h);
        const std::int32_t w0 = std::max(0, conv.box.w0 * conv.stride_x - conv.padding_w);
        const std::int64_t row = random.between(0, 20);
        run(conv, std::min(h0, conv.image_h - 1), std::min(w0, conv.image_w - 1), row, step);
        return row;
    }
    void expect_convolved(const Convolution& conv, std::int64_t row) {
        for_each_output(
            conv, row,
            [&](std::int64_t at, std::int32_t c, std::int32_t n, std::int32_t oh, std::int32_t ow) {
                std::int64_t expected =
                    sum_of(each_product(conv, n, oh, ow, c), 0, conv.reduction());
                if (conv.bias) expected += bias[static_cast<std::size_t>(c)];
                ASSERT_EQ(memories->accumulators.value(at, c), expected) << oh << " " << ow;
                ++checks;
            });
    }
};

}  // namespace wagesim::rtl
