// BN_STAT and BN_COEF against exact rational arithmetic.
#include "compute_fixture.h"

namespace wagesim::rtl {
namespace {

Quantizer quantizer_of(int bits, int frac, bool is_signed,
                       Rounding rounding = Rounding::half_even) {
    return {Format{bits, frac, is_signed, 0}, rounding, Overflow::saturate};
}

class BatchNormTest : public ComputeTest {
protected:
    Random random{19};

    struct Channel {
        std::int64_t sum = 0;
        Integer squares = 0;
    };
    struct Results {
        std::vector<std::int64_t> codes;
        std::int64_t saturations = 0;

        std::int64_t take(const Expected& expected) {
            codes.push_back(expected.code);
            saturations += expected.clipped ? 1 : 0;
            return expected.code;
        }
    };

    static BnStat operation_of(std::int64_t count, int source_frac, Rounding rounding) {
        BnStat operation;
        operation.count = count;
        operation.source_frac = source_frac;
        operation.statistics_address = 4096;
        operation.mu_address = 0;
        operation.sigma_address = 400;
        operation.run_mu_address = 800;
        operation.run_sigma_address = 1200;
        operation.running_shift = 4;
        operation.mu = quantizer_of(20, 15, true, rounding);
        operation.var = quantizer_of(36, 30, false, rounding);
        operation.sigma = quantizer_of(18, 15, false, rounding);
        operation.run_mu = quantizer_of(28, 23, true, rounding);
        operation.run_sigma = quantizer_of(26, 23, false, rounding);
        return operation;
    }
    void put_statistics(std::int64_t address, const Channel& channel) {
        put(memories->parameters, address, 6, channel.sum);
        for (int byte = 0; byte < 10; ++byte)
            put(memories->parameters, address + 6 + byte, 1,
                static_cast<std::int64_t>((channel.squares >> (8 * byte)) & 255));
    }

    /// The nearest code (or the one below) to the root of a rational, found by its square.
    static Integer root_of(const Integer& code, bool truncate) {
        Integer low = 0, high = Integer(1) << 40;
        while (high - low > 1) {
            const Integer middle = (low + high) / 2;
            (middle * middle <= code ? low : high) = middle;
        }
        const Rational halfway = Rational(low) + Rational(1, 2);
        return !truncate && Rational(code) > halfway * halfway ? Integer(low + 1) : low;
    }

    /// Runs BN_STAT on the channels and checks all it shows and leaves. Returns the saturations.
    std::int64_t check(const BnStat& operation, const std::vector<Channel>& channels) {
        build();
        Box box = box_of(2, 3, 4, static_cast<std::int32_t>(channels.size()));
        box.c0 = 32;
        const auto count = static_cast<std::int64_t>(channels.size());
        const std::vector<std::int64_t> old_mu = random.codes(count, -(1 << 27) + 1, (1 << 27) - 1);
        const std::vector<std::int64_t> old_sigma = random.codes(count, 0, (1 << 26) - 1);
        put_parameters(800, 4, old_mu);
        put_parameters(1200, 4, old_sigma);
        for (std::size_t c = 0; c < channels.size(); ++c)
            put_statistics(4096 + 16 * static_cast<std::int64_t>(c), channels[c]);
        const Work work = vector(box, operation);

        const Rounding rounding = operation.sigma.rounding;
        const bool truncate = rounding == Rounding::floor || rounding == Rounding::toward_zero;
        Results mu, var, sigma, run_mu, run_sigma;
        std::vector<std::int64_t> sums;
        const auto average = [&](std::int64_t old, const Rational& measured,
                                 const Quantizer& quantizer) {
            const Rational step = (measured - value_of(old, 23)) / 16;
            return fitted(old + rounded(step * power_of_two(23), rounding), quantizer.format,
                          quantizer.overflow);
        };
        for (std::size_t c = 0; c < channels.size(); ++c) {
            const Rational n = operation.count;
            const Rational sum = value_of(channels[c].sum, operation.source_frac);
            const Rational squares = value_of(channels[c].squares, 2 * operation.source_frac);
            sums.push_back(channels[c].sum);
            const std::int64_t m = mu.take(quantized(sum / n, operation.mu));
            const Rational mean = sum / n;
            const std::int64_t v = var.take(quantized(squares / n - mean * mean, operation.var));
            const std::int64_t s = sigma.take(
                fitted(root_of(v, truncate), operation.sigma.format, operation.sigma.overflow));
            run_mu.take(average(old_mu[c], value_of(m, 15), operation.run_mu));
            run_sigma.take(average(old_sigma[c], value_of(s, 15), operation.run_sigma));
        }
        Box shown = box_of(1, 1, 1, box.c);
        shown.c0 = 32;
        const auto expect = [&](Qp qp, const Quantizer& quantizer, const Results& results) {
            expect_shown(qp, quantizer.format, shown, results.codes, results.saturations, 0, work);
        };
        expect_shown(Qp::S, Format{48, operation.source_frac, true, 0}, shown, sums, 0, 0, work);
        expect(Qp::mu, operation.mu, mu);
        expect(Qp::var, operation.var, var);
        expect(Qp::sigma, operation.sigma, sigma);
        expect(Qp::run_mu, operation.run_mu, run_mu);
        expect(Qp::run_sigma, operation.run_sigma, run_sigma);
        const RecordingProbe::Shown& squares = probe.at(Qp::SS);
        EXPECT_EQ(squares.tap.format, (Format{80, 2 * operation.source_frac, false, 0}));
        EXPECT_EQ(squares.wide.size(), channels.size());
        for (std::size_t c = 0; c < squares.wide.size(); ++c)
            EXPECT_EQ(Integer(squares.wide[c]), channels[c].squares);
        EXPECT_EQ(parameters(0, channels.size(), 4, true), mu.codes);
        EXPECT_EQ(parameters(400, channels.size(), 4, false), sigma.codes);
        EXPECT_EQ(parameters(800, channels.size(), 4, true), run_mu.codes);
        EXPECT_EQ(parameters(1200, channels.size(), 4, false), run_sigma.codes);
        return mu.saturations + var.saturations + sigma.saturations + run_mu.saturations;
    }

    /// Statistics of `count` random codes.
    Channel channel_of(std::int64_t count, std::int64_t low, std::int64_t high) {
        Channel channel;
        for (std::int64_t i = 0; i < count; ++i) {
            const std::int64_t y = random.between(low, high);
            channel.sum += y;
            channel.squares += Integer(y) * y;
        }
        return channel;
    }
};

TEST_F(BatchNormTest, StatisticsAreTheExactQuotientsRoundedOnce) {
    std::int64_t saturations = 0;
    for (const Rounding rounding : {Rounding::half_even, Rounding::half_up, Rounding::half_away,
                                    Rounding::floor, Rounding::toward_zero}) {
        for (int trial = 0; trial < 40; ++trial) {
            SCOPED_TRACE(trial);
            // Below 15 var's quotient has more places than the operands, above fewer.
            const int source_frac = static_cast<int>(random.between(0, 20));
            const std::int64_t count = random.between(1, 70);
            std::vector<Channel> channels;
            for (int c = 0; c < 12; ++c) {
                const std::int64_t middle =
                    random.between(-18, 18) * (std::int64_t{1} << source_frac);
                const std::int64_t spread = (random.between(0, 1200) << source_frac) / 100 + 1;
                channels.push_back(channel_of(count, middle - spread, middle + spread));
            }
            channels.push_back({});
            saturations += check(operation_of(count, source_frac, rounding), channels);
        }
    }
    EXPECT_GT(saturations, 0);
}

TEST_F(BatchNormTest, TiesOfMeanAndVarianceGoToEven) {
    // y has mu's frac, so mu's code is S / n and var's is (n SS - S^2) / n^2.
    check(operation_of(2, 15, Rounding::half_even), {{1, 1}, {3, 5}, {-1, 1}, {2, 2}});
    EXPECT_EQ(probe.at(Qp::mu).codes, (std::vector<std::int64_t>{0, 2, 0, 1}));
    // y = 0 1 1 2 (8 / 16), 0 0 1 3 (24 / 16), 0 0 0 2 (12 / 16).
    check(operation_of(4, 15, Rounding::half_even), {{4, 6}, {4, 10}, {2, 4}});
    EXPECT_EQ(probe.at(Qp::var).codes, (std::vector<std::int64_t>{0, 2, 1}));
}

TEST_F(BatchNormTest, SurvivesTheWidestSums) {
    // 2^17 codes +-2^31: n SS has 97 bits, 30 more as a numerator of frac 30.
    const std::int64_t count = 1 << 17;
    Channel channel;
    channel.squares = Integer(count) * (Integer(1) << 62);
    BnStat operation = operation_of(count, 0, Rounding::half_even);
    EXPECT_GT(check(operation, {channel}), 0);
    channel.squares = (Integer(1) << 80) - 1;
    EXPECT_GT(check(operation_of(std::int64_t{1} << 27, 0, Rounding::half_even), {channel}), 0);
    operation.source_frac = 30;  // sigma = 2
    channel.squares = Integer(count) * (Integer(1) << 62);
    check(operation, {channel});
    EXPECT_EQ(probe.at(Qp::sigma).codes[0], 2 << 15);
}

TEST_F(BatchNormTest, VarMustHaveTwiceSigmasFrac) {
    BnStat operation = operation_of(1, 12, Rounding::half_even);
    operation.var.format.frac = 29;
    EXPECT_NE(machine_error([&] { vector(box_of(1, 1, 1, 1), operation); }).find("sigma"),
              std::string::npos);
}

/// 16-bit mantissa nearest to x, as a value: tries the exponent that brings x into range.
Rational nearest_mantissa(const Rational& x) {
    if (x == 0) return 0;
    const Rational size = x < 0 ? Rational(-x) : x;
    int exponent = -80;
    while (size * power_of_two(-exponent) >= power_of_two(16)) ++exponent;
    // A mantissa that rounds up to 2^16 is 2^15 at the next exponent: the same value.
    const Rational nearest =
        Rational(rounded(size * power_of_two(-exponent), Rounding::half_even)) *
        power_of_two(exponent);
    return x < 0 ? Rational(-nearest) : nearest;
}

TEST_F(BatchNormTest, InverseHasA16BitMantissaForEverySigma) {
    std::vector<std::int64_t> sigma = random.codes(60, 0, (1 << 18) - 1);
    for (const std::int64_t corner : {0, 1, 2, 32767, 32768, 65535, 65536, (1 << 18) - 1})
        sigma.push_back(corner);
    const Box box = box_of(1, 1, 1, static_cast<std::int32_t>(sigma.size()));
    BnCoef operation;
    operation.sigma = quantizer_of(18, 15, false);
    operation.sigma_address = 16;
    operation.out_address = 1024;
    put_parameters(16, 4, sigma);
    const Work work = vector(box, operation);
    std::vector<std::int64_t> expected;
    for (const std::int64_t s : sigma) {
        const Rational exact =
            nearest_mantissa(Rational(1) / (value_of(s, 15) + power_of_two(-15)));
        const Rational code = exact * power_of_two(18);
        EXPECT_EQ(boost::multiprecision::denominator(code), 1);
        expected.push_back(static_cast<std::int64_t>(floor_of(code)));
    }
    expect_shown(Qp::inv, Format{34, 18, false, 0}, box, expected, 0, 0, work);
    EXPECT_EQ(parameters(1024, sigma.size(), 8, true), expected);
}

TEST_F(BatchNormTest, FoldGivesFactorAndOffsetOfTheWholeBatchNorm) {
    for (const Rounding rounding : {Rounding::half_even, Rounding::floor}) {
        for (const int gamma_bits : {8, 9, 17}) {
            build();
            Box box = box_of(1, 1, 1, 50);
            box.c0 = 7;
            BnCoef operation;
            operation.kind = BnCoef::Kind::fold;
            operation.mu = quantizer_of(20, 15, true);
            operation.sigma = quantizer_of(18, 15, false);
            operation.gamma = quantizer_of(gamma_bits, 7, true);
            operation.beta = quantizer_of(8, 6, true);
            operation.fold_b = quantizer_of(32, 15, true, rounding);
            operation.mu_address = 0;
            operation.sigma_address = 512;
            operation.gamma_address = 1024;
            operation.beta_address = 1536;
            operation.out_address = 2048;
            operation.out_b_address = 4096;
            const std::int64_t limit = (std::int64_t{1} << (gamma_bits - 1)) - 1;
            const std::vector<std::int64_t> mu = random.codes(50, -400000, 400000);
            std::vector<std::int64_t> sigma = random.codes(50, 0, (1 << 18) - 1);
            std::vector<std::int64_t> gamma = random.codes(50, -limit, limit);
            const std::vector<std::int64_t> beta = random.codes(50, -127, 127);
            gamma[3] = 0;
            sigma[4] = 0;
            gamma[4] = limit;
            put_parameters(0, 4, mu);
            put_parameters(512, 4, sigma);
            put_parameters(1024, (gamma_bits + 7) / 8, gamma);
            put_parameters(1536, 1, beta);
            const Work work = vector(box, operation);
            std::vector<std::int64_t> factors, offsets;
            std::int64_t saturations = 0;
            for (std::size_t c = 0; c < 50; ++c) {
                const Rational factor = nearest_mantissa(
                    value_of(gamma[c], 7) / (value_of(sigma[c], 15) + power_of_two(-15)));
                factors.push_back(
                    static_cast<std::int64_t>(floor_of(factor * power_of_two(18 + 7))));
                const Expected offset = quantized(
                    value_of(beta[c], 6) - factor * value_of(mu[c], 15), operation.fold_b);
                offsets.push_back(offset.code);
                saturations += offset.clipped ? 1 : 0;
            }
            EXPECT_EQ(factors[3], 0);
            expect_shown(Qp::fold_a, Format{gamma_bits + 34, 25, true, 0}, box, factors, 0, 0,
                         work);
            expect_shown(Qp::fold_b, operation.fold_b.format, box, offsets, saturations, 0, work);
            EXPECT_EQ(parameters(2048, 50, 8, true), factors);
            EXPECT_EQ(parameters(4096, 50, 8, true), offsets);
        }
    }
}

}  // namespace
}  // namespace wagesim::rtl
