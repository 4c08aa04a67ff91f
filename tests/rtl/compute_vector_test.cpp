// NORMALIZE, ACT, ADD, POOL and QUANTIZE against exact rational arithmetic.
#include <algorithm>
#include <limits>

#include "compute_fixture.h"

namespace wagesim::rtl {
namespace {

constexpr Rounding roundings[] = {Rounding::half_even, Rounding::half_up, Rounding::half_away,
                                  Rounding::floor, Rounding::toward_zero};
constexpr Overflow overflows[] = {Overflow::saturate, Overflow::full, Overflow::wrap};

Quantizer quantizer_of(int bits, int frac, bool is_signed = true,
                       Overflow overflow = Overflow::saturate,
                       Rounding rounding = Rounding::half_even) {
    return {Format{bits, frac, is_signed, 0}, rounding, overflow};
}

class VectorTest : public ComputeTest {
protected:
    Random random{11};
    std::int64_t all_clipped = 0, all_checked = 0;

    /// Codes of real values at a point, and how many it clipped.
    struct Results {
        std::vector<std::int64_t> codes;
        std::int64_t saturations = 0, wraps = 0;

        std::int64_t take(const Rational& value, const Quantizer& quantizer) {
            const Expected expected = quantized(value, quantizer);
            codes.push_back(expected.code);
            if (expected.clipped) ++(quantizer.overflow == Overflow::wrap ? wraps : saturations);
            return expected.code;
        }
    };
    void expect_results(Qp qp, const Quantizer& quantizer, const Box& box, const Results& results,
                        const Work& work, std::int32_t at_layer = layer) {
        expect_shown(qp, quantizer.format, box, results.codes, results.saturations, results.wraps,
                     work, at_layer);
        all_clipped += results.saturations + results.wraps;
        all_checked += static_cast<std::int64_t>(results.codes.size());
    }
    void expect_meaningful() const {
        EXPECT_GT(all_clipped, 0);
        EXPECT_GT(all_checked, 3 * all_clipped);
    }
    Rounding any_rounding() { return roundings[random.between(0, 4)]; }
    Overflow any_overflow() { return overflows[random.between(0, 2)]; }
    Box any_box(std::int32_t c0 = 0) {
        Box box = box_of(static_cast<std::int32_t>(random.between(1, 2)),
                         static_cast<std::int32_t>(random.between(1, 4)),
                         static_cast<std::int32_t>(random.between(1, 4)),
                         static_cast<std::int32_t>(random.between(1, 20)));
        box.c0 = c0;
        return box;
    }
    static constexpr std::int64_t bank = 32 * 1024;
};

TEST_F(VectorTest, NormalizeRoundsTheExactQuotientOnce) {
    for (int trial = 0; trial < 120; ++trial) {
        SCOPED_TRACE(trial);
        build();
        const Box box = any_box(3);
        NormalizeCmd operation;
        operation.mu = quantizer_of(20, 15);
        operation.sigma = quantizer_of(18, 15, false);
        operation.xhat = quantizer_of(static_cast<int>(random.between(6, 9)),
                                      static_cast<int>(random.between(3, 5)), true, any_overflow(),
                                      any_rounding());
        if (trial % 3 == 2) operation.xhat.format = Format{20, 15, true, 0};
        // Centred codes of frac 29 do not fit 32 bits.
        const int y_frac = trial % 4 == 3 ? 29 : static_cast<int>(random.between(8, 18));
        operation.mu_address = 100;
        operation.sigma_address = 1000;
        const std::vector<std::int64_t> mu = random.codes(box.c, -30000, 30000);
        std::vector<std::int64_t> sigma = random.codes(box.c, 5000, 40000);
        if (trial % 5 == 0) sigma[0] = 0;
        if (trial % 7 == 0) sigma[0] = (1 << 18) - 1;
        put_parameters(100, 4, mu);
        put_parameters(1000, 4, sigma);
        const std::int64_t limit = std::int64_t{3} << y_frac;
        const std::vector<std::int64_t> y = random.codes(box.size(), -limit, limit);
        if (trial % 2 == 0) {
            operation.source = accumulate(box, 3, 16, y_frac, y);
        } else {
            operation.source = view_of(box, 0, 4, y_frac, trial % 4 / 2 * 3);
            fill(operation.source, box, y);
        }
        operation.destination =
            view_of(box, bank, operation.xhat.format.bits > 16 ? 3 : 2, 0, trial % 3);
        const Work work = vector(box, operation);

        Results xhat;
        for (std::size_t i = 0; i < y.size(); ++i) {
            const std::size_t c = i % mu.size();
            const Rational eps = power_of_two(-15);
            xhat.take(
                (value_of(y[i], y_frac) - value_of(mu[c], 15)) / (value_of(sigma[c], 15) + eps),
                operation.xhat);
        }
        expect_results(Qp::xhat, operation.xhat, box, xhat, work);
        EXPECT_EQ(contents(operation.destination, box), xhat.codes);
        if (trial % 2 == 0)
            expect_shown(Qp::y, Format{32, y_frac, true, 0}, box, y, 0, 0, work, layer - 1);
        else
            EXPECT_EQ(probe.shown.size(), 1u);
    }
    expect_meaningful();
}

TEST_F(VectorTest, NormalizeByTheInverseMultipliesAndRoundsOnce) {
    for (int trial = 0; trial < 40; ++trial) {
        SCOPED_TRACE(trial);
        build();
        const Box box = any_box();
        NormalizeCmd operation;
        operation.inverse = true;
        operation.mu = quantizer_of(20, 15);
        operation.sigma = quantizer_of(18, 15, false);
        operation.xhat = quantizer_of(8, 5, true, any_overflow(), any_rounding());
        operation.mu_address = 0;
        operation.sigma_address = 512;
        const std::vector<std::int64_t> mu = random.codes(box.c, -30000, 30000);
        const std::vector<std::int64_t> inverse = random.codes(box.c, 200000, 900000);
        put_parameters(0, 4, mu);
        put_parameters(512, 8, inverse);
        // Products of codes of frac 42 do not fit 64 bits.
        const int y_frac = trial % 2 == 0 ? 12 : 42;
        const std::int64_t limit = std::int64_t{3} << y_frac;
        const std::vector<std::int64_t> y = random.codes(box.size(), -limit, limit);
        if (trial % 2 == 0) {
            operation.source = accumulate(box, 0, 16, y_frac, y);
        } else {
            operation.source = view_of(box, 0, 8, y_frac);
            fill(operation.source, box, y);
        }
        operation.destination = view_of(box, bank, 1, 5);
        const Work work = vector(box, operation);
        Results xhat;
        for (std::size_t i = 0; i < y.size(); ++i) {
            const std::size_t c = i % mu.size();
            xhat.take((value_of(y[i], y_frac) - value_of(mu[c], 15)) * value_of(inverse[c], 18),
                      operation.xhat);
        }
        expect_results(Qp::xhat, operation.xhat, box, xhat, work);
        EXPECT_EQ(contents(operation.destination, box), xhat.codes);
    }
    expect_meaningful();
}

TEST_F(VectorTest, ActQuantizesTheExactAffineSumAfterItsClip) {
    for (int trial = 0; trial < 200; ++trial) {
        SCOPED_TRACE(trial);
        build();
        const Box box = any_box(16);
        Act operation;
        operation.kind = static_cast<Act::Kind>(random.between(0, 2));
        operation.clip = static_cast<Clip>(random.between(0, 2));
        operation.quantize = random.between(0, 3) != 0;
        operation.show_x = operation.kind == Act::Kind::affine && random.between(0, 1) == 0;
        operation.x_qp = {layer - 2, Qp::x2};
        operation.a_qp = {layer + 1, Qp::A};
        operation.a = quantizer_of(8, static_cast<int>(random.between(3, 5)), true, any_overflow(),
                                   any_rounding());
        const bool fold = operation.kind == Act::Kind::fold;
        const bool affine = operation.kind == Act::Kind::affine;
        const int source_frac = fold ? 12 : 5;
        const int gamma_bits = static_cast<int>(random.between(6, 25));
        const int beta_frac = fold ? 15 : static_cast<int>(random.between(4, 13));
        operation.gamma = quantizer_of(fold ? 40 : gamma_bits, fold ? 24 : 6);
        operation.beta = quantizer_of(fold ? 32 : 8, beta_frac);
        const int frac = operation.kind == Act::Kind::plain
                             ? source_frac
                             : std::max(source_frac + operation.gamma.format.frac, beta_frac);
        // Narrow enough to be left by some sums, or wide enough for all.
        operation.x = quantizer_of(trial % 4 < 2 ? frac + 3 : 60, frac, true, any_overflow());
        const std::int64_t source_limit = fold ? 30000 : 127;
        const std::int64_t gamma_limit = fold ? 60000000 : 31;
        const std::vector<std::int64_t> source =
            random.codes(box.size(), -source_limit, source_limit);
        const std::vector<std::int64_t> gamma = random.codes(box.c, -gamma_limit, gamma_limit);
        const std::vector<std::int64_t> beta =
            random.codes(box.c, fold ? -100000 : -127, fold ? 100000 : 127);
        operation.gamma_address = 64;
        operation.beta_address = 1024;
        put_parameters(64, fold ? 8 : (gamma_bits + 7) / 8, gamma);
        put_parameters(1024, fold ? 8 : 1, beta);
        if (fold) {
            operation.source = accumulate(box, 0, 16, source_frac, source);
        } else {
            operation.source = view_of(box, 0, trial % 2 == 0 ? 1 : 4, source_frac, trial % 3);
            fill(operation.source, box, source);
        }
        operation.destination = view_of(box, bank, operation.quantize ? 1 : 8, 0, trial % 2);
        const Work work = vector(box, operation);

        Results x, a;
        std::vector<std::int64_t> stored;
        for (std::size_t i = 0; i < source.size(); ++i) {
            const std::size_t c = i % gamma.size();
            Rational value = value_of(source[i], source_frac);
            if (operation.kind != Act::Kind::plain)
                value = value * value_of(gamma[c], operation.gamma.format.frac) +
                        value_of(beta[c], beta_frac);
            if (affine) value = value_of(x.take(value, operation.x), frac);
            if (operation.clip != Clip::none && value < 0) value = 0;
            if (operation.clip == Clip::relu6 && value > 6) value = 6;
            if (operation.quantize)
                stored.push_back(a.take(value, operation.a));
            else
                stored.push_back(static_cast<std::int64_t>(floor_of(value * power_of_two(frac))));
        }
        EXPECT_EQ(contents(operation.destination, box), stored);
        if (operation.show_x) expect_results(Qp::x2, operation.x, box, x, work, layer - 2);
        if (operation.quantize) expect_results(Qp::A, operation.a, box, a, work, layer + 1);
        EXPECT_EQ(probe.shown.size(), static_cast<std::size_t>(operation.show_x) +
                                          static_cast<std::size_t>(operation.quantize) +
                                          static_cast<std::size_t>(fold));
    }
    expect_meaningful();
}

TEST_F(VectorTest, Relu6ClipsAtSixWithoutCountingIt) {
    const Box box = box_of(1, 1, 1, 4);
    Act operation;
    operation.clip = Clip::relu6;
    operation.a = quantizer_of(8, 4);
    operation.a_qp = {layer, Qp::A};
    operation.source = view_of(box, 0, 2, 8);
    operation.destination = view_of(box, bank, 1, 4);
    fill(operation.source, box, {6 * 256, 6 * 256 + 1, 6 * 256 - 8, -1});
    const Work work = vector(box, operation);
    expect_shown(Qp::A, operation.a.format, box, {96, 96, 96, 0}, 0, 0, work);
}

TEST_F(VectorTest, X2sRegisterMustHaveTheSumsFrac) {
    const Box box = box_of(1, 1, 1, 1);
    Act operation;
    operation.kind = Act::Kind::affine;
    operation.gamma = operation.beta = quantizer_of(8, 6);
    operation.x = quantizer_of(17, 12);
    operation.source = view_of(box, 0, 1, 5);
    operation.destination = view_of(box, bank, 1, 5);
    put_parameters(0, 1, {1});
    fill(operation.source, box, {1});
    EXPECT_NE(machine_error([&] { vector(box, operation); }).find("x2"), std::string::npos);
}

TEST_F(VectorTest, AddAlignsExactlyThenFitsTheStreamThenQuantizes) {
    for (int trial = 0; trial < 80; ++trial) {
        SCOPED_TRACE(trial);
        build();
        const Box box = any_box();
        Add operation;
        const int a_frac = static_cast<int>(random.between(4, 12));
        // Sums that need 32, 64 and more bits.
        const int finer = trial % 4 < 2 ? 0 : trial % 4 == 2 ? 30 : 48;
        const int b_frac = static_cast<int>(random.between(4, 12)) + finer;
        const int frac = std::max(a_frac, b_frac);
        operation.quantize = trial % 3 != 0;
        operation.stream = quantizer_of(frac + 3, frac, true, any_overflow());
        operation.a_quantizer = quantizer_of(8, 5, true, any_overflow(), any_rounding());
        operation.stream_qp = {layer, Qp::stream};
        operation.a_qp = {layer, Qp::A};
        const std::int64_t a_limit = std::int64_t{3} << a_frac, b_limit = std::int64_t{3} << b_frac;
        const std::vector<std::int64_t> a = random.codes(box.size(), -a_limit, a_limit);
        const std::vector<std::int64_t> b = random.codes(box.size(), -b_limit, b_limit);
        operation.a = view_of(box, 0, 2, a_frac, 3);
        operation.b = view_of(box, bank, 8, b_frac);
        operation.destination = view_of(box, 2 * bank, operation.quantize ? 1 : 8, 0);
        fill(operation.a, box, a);
        if (finer > 0 || trial % 2 == 0)
            fill(operation.b, box, b);
        else
            operation.b = accumulate(box, 0, 8, b_frac, b);
        const Work work = vector(box, operation);
        Results stream, quantized_sums;
        for (std::size_t i = 0; i < a.size(); ++i) {
            const std::int64_t code =
                stream.take(value_of(a[i], a_frac) + value_of(b[i], b_frac), operation.stream);
            if (operation.quantize)
                quantized_sums.take(value_of(code, frac), operation.a_quantizer);
        }
        expect_results(Qp::stream, operation.stream, box, stream, work);
        if (operation.quantize)
            expect_results(Qp::A, operation.a_quantizer, box, quantized_sums, work);
        EXPECT_EQ(contents(operation.destination, box),
                  operation.quantize ? quantized_sums.codes : stream.codes);
    }
    expect_meaningful();
}

TEST_F(VectorTest, AddHoldsSumsOfOperandsWithFracsFarApart) {
    // 3 bytes, 105 places further up: 2^128, if they were full.
    const Box box = box_of(1, 1, 1, 4);
    Add operation;
    operation.stream = quantizer_of(64, 64);
    operation.stream_qp = {layer, Qp::stream};
    operation.a = view_of(box, 0, 3, -41);
    operation.b = view_of(box, bank, 3, 64);
    operation.destination = view_of(box, 2 * bank, 8, 64);
    fill(operation.a, box, {1, -1, 0, 0});
    fill(operation.b, box, {5, 5, -5, 0});
    const Work work = vector(box, operation);
    constexpr std::int64_t largest = std::numeric_limits<std::int64_t>::max();
    expect_shown(Qp::stream, operation.stream.format, box, {largest, -largest, -5, 0}, 2, 0, work);
}

TEST_F(VectorTest, NormalizeHoldsCodesFarCoarserThanTheMean) {
    const Box box = box_of(1, 1, 1, 3);
    NormalizeCmd operation;
    operation.mu = quantizer_of(20, 64);
    operation.sigma = quantizer_of(18, 15, false);
    operation.xhat = quantizer_of(8, 5);
    operation.mu_address = 100;
    operation.sigma_address = 200;
    put_parameters(100, 4, {0, 0, 0});
    put_parameters(200, 4, {100, 100, 100});
    operation.source = view_of(box, 0, 3, -41);
    operation.destination = view_of(box, bank, 1, 5);
    fill(operation.source, box, {1, -1, 0});
    const Work work = vector(box, operation);
    expect_shown(Qp::xhat, operation.xhat.format, box, {127, -127, 0}, 2, 0, work);
}

TEST_F(VectorTest, PoolTakesMaximaAndRoundedAveragesOfItsWindows) {
    for (int trial = 0; trial < 150; ++trial) {
        SCOPED_TRACE(trial);
        build();
        const auto pick = [&](int low, int high) {
            return static_cast<std::int32_t>(random.between(low, high));
        };
        Pool operation;
        operation.average = trial % 2 == 0;
        operation.kernel_h = pick(1, 3);
        operation.kernel_w = pick(1, 4);
        operation.stride_y = pick(1, operation.kernel_h);
        operation.stride_x = pick(1, operation.kernel_w);
        operation.padding_h = pick(0, operation.kernel_h / 2);
        operation.padding_w = pick(0, operation.kernel_w / 2);
        operation.image_h = operation.kernel_h + pick(0, 5);
        operation.image_w = operation.kernel_w + pick(0, 5);
        const int source_frac = 5;
        const int bits = pick(5, 9);
        operation.quantizer =
            operation.average ? quantizer_of(bits, pick(3, 7), true, any_overflow(), any_rounding())
                              : quantizer_of(8, source_frac);
        operation.qp = {layer, Qp::A};
        const std::int32_t out_h =
            (operation.image_h + 2 * operation.padding_h - operation.kernel_h) /
                operation.stride_y +
            1;
        const std::int32_t out_w =
            (operation.image_w + 2 * operation.padding_w - operation.kernel_w) /
                operation.stride_x +
            1;
        Box box = box_of(pick(1, 2), 1, 1, pick(1, 5));
        box.h0 = pick(0, out_h - 1);
        box.h = pick(1, out_h - box.h0);
        box.w0 = pick(0, out_w - 1);
        box.w = pick(1, out_w - box.w0);
        operation.h0 = std::max(0, box.h0 * operation.stride_y - operation.padding_h);
        operation.w0 = std::max(0, box.w0 * operation.stride_x - operation.padding_w);
        const Box tile = box_of(box.n, operation.image_h - operation.h0,
                                operation.image_w - operation.w0, box.c);
        operation.source = view_of(tile, 16, 1, source_frac, trial % 3);
        operation.destination = view_of(box, bank, 2, 0);
        const std::vector<std::int64_t> codes = random.codes(tile.size(), -127, 127);
        fill(operation.source, tile, codes);
        const Work work = vector(box, operation);

        Results pooled;
        for (std::int32_t n = 0; n < box.n; ++n)
            for (std::int32_t oh = box.h0; oh < box.h0 + box.h; ++oh)
                for (std::int32_t ow = box.w0; ow < box.w0 + box.w; ++ow)
                    for (std::int32_t c = 0; c < box.c; ++c) {
                        Integer sum = 0;
                        std::vector<std::int64_t> window;
                        for (std::int32_t kh = 0; kh < operation.kernel_h; ++kh)
                            for (std::int32_t kw = 0; kw < operation.kernel_w; ++kw) {
                                const std::int32_t ih =
                                    oh * operation.stride_y - operation.padding_h + kh;
                                const std::int32_t iw =
                                    ow * operation.stride_x - operation.padding_w + kw;
                                if (ih < 0 || iw < 0 || ih >= operation.image_h ||
                                    iw >= operation.image_w)
                                    continue;
                                const std::int64_t code = codes[static_cast<std::size_t>(
                                    ((n * tile.h + ih - operation.h0) * tile.w + iw -
                                     operation.w0) *
                                        tile.c +
                                    c)];
                                sum += code;
                                window.push_back(code);
                            }
                        const Rational area = operation.kernel_h * operation.kernel_w;
                        pooled.take(operation.average
                                        ? value_of(sum, source_frac) / area
                                        : value_of(*std::max_element(window.begin(), window.end()),
                                                   source_frac),
                                    operation.quantizer);
                    }
        expect_results(Qp::A, operation.quantizer, box, pooled, work);
        EXPECT_EQ(contents(operation.destination, box), pooled.codes);
    }
    expect_meaningful();
}

TEST_F(VectorTest, ATileNobodyWroteIsRefused) {
    const Box box = box_of(1, 2, 2, 3);
    Act operation;
    operation.source = view_of(box, 0, 2, 8, 1);
    operation.destination = view_of(box, bank, 1, 4);
    fill(operation.source, box, std::vector<std::int64_t>(12, 1));
    EXPECT_EQ(machine_error([&] { vector(box, operation); }), "");
    operation.source.address = 2;  // its last byte lies in a gap
    EXPECT_NE(machine_error([&] { vector(box, operation); }).find("activations"),
              std::string::npos);
}

TEST_F(VectorTest, ACodeThatDoesNotFitItsBytesIsRefused) {
    const Box box = box_of(1, 1, 1, 1);
    Act operation;
    operation.quantize = false;
    operation.source = view_of(box, 0, 2, 8);
    operation.destination = view_of(box, bank, 1, 8);
    fill(operation.source, box, {127});
    EXPECT_EQ(machine_error([&] { vector(box, operation); }), "");
    fill(operation.source, box, {128});
    EXPECT_NE(machine_error([&] { vector(box, operation); }).find("activations"),
              std::string::npos);
}

TEST_F(VectorTest, ATileAcrossTwoBanksIsRefused) {
    const Box box = box_of(1, 1, 1, 2);
    Act operation;
    operation.source = view_of(box, bank - 1, 1, 8);
    operation.destination = view_of(box, 2 * bank, 1, 8);
    fill(operation.source, box, {1, 1});
    EXPECT_NE(machine_error([&] { vector(box, operation); }).find("bank"), std::string::npos);
}

TEST_F(VectorTest, NothingIsShownWhenNobodyWatches) {
    const Box box = box_of(1, 1, 1, 1);
    Act operation;
    operation.a_qp = {layer, Qp::A};
    operation.source = view_of(box, 0, 1, 5);
    operation.destination = view_of(box, bank, 1, 5);
    fill(operation.source, box, {1});
    watch.probe = nullptr;
    vector(box, operation);
    EXPECT_TRUE(probe.shown.empty());
}

TEST_F(VectorTest, QuantizeBringsMastersToTheirQuantizer) {
    for (int trial = 0; trial < 60; ++trial) {
        SCOPED_TRACE(trial);
        build();
        QuantizeCmd operation;
        operation.source_address = 5;
        operation.destination_address = bank;
        operation.source_bytes = static_cast<int>(random.between(3, 8));
        operation.destination_bytes = 2;
        operation.count = random.between(1, 300);
        operation.quantizer = quantizer_of(static_cast<int>(random.between(7, 10)),
                                           static_cast<int>(random.between(6, 9)), true,
                                           any_overflow(), any_rounding());
        operation.qp = {layer + 2, Qp::Wq};
        operation.first = 77;
        // As fine as their bytes allow: codes for lanes of 32, 64 and more bits.
        operation.source_frac = 8 * operation.source_bytes - 2;
        const std::int64_t one = std::int64_t{1} << operation.source_frac;
        const std::vector<std::int64_t> masters = random.codes(operation.count, -one, one - 1);
        for (std::size_t i = 0; i < masters.size(); ++i)
            put(memories->activations, 5 + static_cast<std::int64_t>(i) * operation.source_bytes,
                operation.source_bytes, masters[i]);
        const Work work = update(operation);
        Results codes;
        for (const std::int64_t master : masters)
            codes.take(value_of(master, operation.source_frac), operation.quantizer);
        expect_results(Qp::Wq, operation.quantizer,
                       box_of(1, 1, 1, static_cast<std::int32_t>(operation.count)), codes, work,
                       layer + 2);
        EXPECT_EQ(probe.at(Qp::Wq).tap.first, 77);
        for (std::size_t i = 0; i < masters.size(); ++i)
            EXPECT_EQ(get(memories->activations, bank + 2 * static_cast<std::int64_t>(i), 2, true),
                      codes.codes[i]);
    }
    expect_meaningful();
}

}  // namespace
}  // namespace wagesim::rtl
