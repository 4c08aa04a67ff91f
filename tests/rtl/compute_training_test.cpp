// The commands of a training step: edges of docs/training.md, by hand or by exact rationals.
#include <algorithm>
#include <limits>

#include "compute_fixture.h"

namespace wagesim::rtl {
namespace {

Quantizer quantizer_of(int bits, int frac, bool is_signed = true) {
    return {Format{bits, frac, is_signed, 0}, Rounding::half_even, Overflow::saturate};
}

class TrainingTest : public ComputeTest {
protected:
    using Codes = std::vector<std::int64_t>;
    static constexpr std::int64_t scale = 512, other_scale = 528, result_scale = 544;

    Random random{23};

    /// A scale's record, completed by the machine.
    void put_scale(std::int64_t address, std::int64_t largest, int frac, int exponent) {
        for (int i = 0; i < scale_bytes; ++i) put(memories->parameters, address + i, 1, 0);
        put(memories->parameters, address, 8, largest);
        Exponent complete;
        complete.scale_address = address;
        complete.frac = frac;
        complete.exponent = exponent;
        vector(Box{}, complete);
    }
    struct Record {
        std::int64_t largest, frac, exponent, s;
    };
    Record record(std::int64_t address) {
        Buffer& p = memories->parameters;
        const auto byte = [&](std::int64_t at) {
            return static_cast<std::int64_t>(
                static_cast<std::int8_t>(get(p, address + at, 1, false)));
        };
        return {get(p, address, 8, true), get(p, address + 8, 2, true), byte(10), byte(11)};
    }
    static BitPlane plane_of(const Box& box, std::int64_t address, int bits = 1) {
        BitPlane plane;
        plane.address = address;
        plane.bits = bits;
        plane.stride_w = (std::int64_t{box.c} * bits + 7) / 8;
        plane.stride_h = plane.stride_w * box.w;
        plane.stride_n = plane.stride_h * box.h;
        return plane;
    }
    static Box row(std::size_t count) { return box_of(1, 1, 1, static_cast<std::int32_t>(count)); }
    const Tap& tap_of(Qp qp) { return probe.at(qp).tap; }
    static std::int64_t size_of_largest(const Codes& codes) {
        std::int64_t most = 0;
        for (const std::int64_t code : codes) most = std::max(most, code < 0 ? -code : code);
        return most;
    }
};

TEST_F(TrainingTest, AScaleIsTheNearestPowerOfTwoWithinItsRegister) {
    struct Row {
        std::int64_t largest;
        int frac, exponent, s;
    };
    // 181^2 < 2^15 < 182^2; the register ends at -128 and 127.
    for (const Row& r : {Row{181, 0, 0, 7}, Row{182, 0, 0, 8}, Row{182, 24, -5, -21},
                         Row{1, 0, 127, 127}, Row{3, 0, 127, 127}, Row{1, 60, -100, -128},
                         Row{1, 14, -114, -128}, Row{0, 14, -3, -128}}) {
        put_scale(scale, r.largest, r.frac, r.exponent);
        EXPECT_EQ(record(scale).s, r.s) << r.largest;
        // Also where all is 0, so that what is made of it has a unit.
        EXPECT_EQ(record(scale).exponent, r.exponent) << r.largest;
        EXPECT_EQ(record(scale).frac, r.frac) << r.largest;
    }
}

TEST_F(TrainingTest, SqClipsAtItsRangeAndMasksAfterwards) {
    // Largest 181 is scale 128: 181 / 128 is beyond 1, 127.5 / 128 a tie, 1 / 2 of a code 0.
    const Codes errors{181, -181, 128, -128, 127, 100, 0, 3};
    const Codes finer{724, -724, 512, -512, 510, 400, 2, -2};  // the same scale, 2 bits finer
    const Box box = row(errors.size());
    struct Variant {
        int bits;
        Codes from, to, masked;
        int frac;
        std::int64_t saturations, underflows;
    };
    for (const Variant& v : {Variant{8,
                                     errors,
                                     {127, -127, 127, -127, 127, 100, 0, 3},
                                     {127, 0, 127, 0, 127, 0, 0, 0},
                                     0,
                                     4,
                                     0},
                             Variant{8,
                                     finer,
                                     {127, -127, 127, -127, 127, 100, 0, 0},
                                     {127, 0, 127, 0, 127, 0, 0, 0},
                                     2,
                                     5,
                                     2},
                             // The authors' ninth bit holds 1, and no more.
                             Variant{9,
                                     errors,
                                     {128, -128, 128, -128, 127, 100, 0, 3},
                                     {128, 0, 128, 0, 127, 0, 0, 0},
                                     0,
                                     2,
                                     0}}) {
        build();
        put_scale(scale, size_of_largest(v.from), v.frac, -3);
        put_scale(result_scale, 0, 0, 0);
        ShiftQuantize sq;
        sq.source = view_of(box, 0, 5, 0);
        sq.destination = view_of(box, 40'000, 2, 7);
        sq.scale.address = scale;
        sq.mask = plane_of(box, 33'000);
        put(memories->activations, 33'000, 1, 0x55);
        sq.quantizer = quantizer_of(v.bits, 7);
        sq.qp = {layer, Qp::E1};
        sq.masked_qp = {layer, Qp::E1m};
        sq.largest_address = result_scale;
        fill(sq.source, box, v.from);
        vector(box, sq);
        EXPECT_EQ(probe.at(Qp::E1).codes, v.to);
        EXPECT_EQ(probe.at(Qp::E1m).codes, v.masked);
        EXPECT_EQ(contents(sq.destination, box), v.masked);
        EXPECT_EQ(tap_of(Qp::E1).format.exponent, 7 - 3);
        EXPECT_EQ(tap_of(Qp::E1).saturations, v.saturations);
        EXPECT_EQ(tap_of(Qp::E1).underflows, v.underflows);
        EXPECT_EQ(record(result_scale).largest, size_of_largest(v.masked));
    }
}

TEST_F(TrainingTest, AnAllZeroErrorStaysZeroWithTheLeastExponent) {
    const Box box = row(3);
    put_scale(scale, 0, 24, 5);
    ShiftQuantize sq;
    sq.source = view_of(box, 0, 4, 0);
    sq.destination = view_of(box, 40'000, 1, 7);
    sq.scale.address = scale;
    sq.quantizer = quantizer_of(8, 7);
    sq.qp = {layer, Qp::E1};
    fill(sq.source, box, {0, 0, 0});
    vector(box, sq);
    FlagQuantize fq;
    fq.source = sq.source;
    fq.destination = view_of(box, 70'000, 1, 7);
    fq.scale.address = scale;
    fq.flags = plane_of(box, 71'000);
    fq.quantizer = quantizer_of(8, 7);
    fq.qp = {layer, Qp::E2};
    vector(box, fq);
    for (const Qp qp : {Qp::E1, Qp::E2}) {
        EXPECT_EQ(probe.at(qp).codes, (Codes{0, 0, 0}));
        EXPECT_EQ(tap_of(qp).format.exponent, -128);
        EXPECT_EQ(tap_of(qp).underflows, 0);
    }
    EXPECT_EQ(get(memories->activations, 71'000, 1, false), 0);
}

TEST_F(TrainingTest, FqHasTwoUnitsAndReachesTheLargerOneByRounding) {
    // Scale 2^14, so Sc = 128 and the smaller unit is 1; in quarters of it.
    const Codes errors{4 * 16384, 4 * 16320, 512, -512, 511, -510, 509, -2, 3, 1, -4 * 192, 0};
    //                 1 clipped  127.5      Sc        127.75 tie: 127.5  127.25  tie: 0
    const Codes codes{127, 127, 1, -1, 1, -1, 127, 0, 1, 0, -2, 0};
    const Codes flags{1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 1, 0};
    const Box box = row(errors.size());
    // The same values from codes of 18, 38 and 63 bits, which take lanes of 32, 64 and more.
    for (const int finer : {0, 20, 45}) {
        SCOPED_TRACE(finer);
        build();
        Codes scaled = errors;
        for (std::int64_t& error : scaled) error *= std::int64_t{1} << finer;
        put_scale(scale, scaled.front(), 2 + finer, 0);
        FlagQuantize fq;
        fq.source = view_of(box, 0, 8, 0);
        fq.destination = view_of(box, 40'000, 1, 7);
        fq.scale.address = scale;
        fq.flags = plane_of(box, 70'000);
        fq.quantizer = quantizer_of(8, 7);
        fq.qp = {layer, Qp::E2};
        fill(fq.source, box, scaled);
        vector(box, fq);
        EXPECT_EQ(contents(fq.destination, box), codes);
        Codes expanded;
        for (std::size_t i = 0; i < codes.size(); ++i) {
            expanded.push_back(codes[i] * (flags[i] != 0 ? 128 : 1));
            const std::int64_t byte =
                get(memories->activations, 70'000 + static_cast<std::int64_t>(i / 8), 1, false);
            EXPECT_EQ(byte >> (i % 8) & 1, flags[i]) << i;
        }
        EXPECT_EQ(probe.at(Qp::E2).codes, expanded);
        EXPECT_EQ(tap_of(Qp::E2).format, (Format{15, 14, true, 14}));
        EXPECT_EQ(tap_of(Qp::E2).saturations, 2);  // 128, and 127.5 rounded to 128
        EXPECT_EQ(tap_of(Qp::E2).underflows, 2);
    }
}

TEST_F(TrainingTest, AForkShiftsLeftWhileItsRegisterHoldsThat) {
    const Box box = row(4);
    struct Variant {
        int distance;  // of the coarser operand
        Codes fine, coarse, sum;
        int frac;
        std::int64_t rounded;
    };
    // 40 + 23 bits just fit 63; with 7 more the common unit is 7 coarser, and ties go to even.
    for (const Variant& v :
         {Variant{23,
                  {1, -1, 64, 0},
                  {1, 2, -3, 0},
                  {(1 << 23) + 1, (2 << 23) - 1, -(3 << 23) + 64, 0},
                  22,
                  0},
          Variant{
              30, {64, 192, -256, -192}, {1, 0, 1, 0}, {1 << 23, 2, (1 << 23) - 2, -2}, 15, 3}}) {
        build();
        put_scale(scale, 256, 22, 5);
        put_scale(other_scale, 3, 22 + 5, 10 + v.distance);
        put_scale(result_scale, 0, 0, 0);
        Fork fork;
        Fork::Operand fine, coarse;
        fine.scale.address = scale;
        fine.tile = view_of(box, 0, 5, 0);
        coarse.scale.address = other_scale;
        coarse.tile = view_of(box, 1000, 5, 0);
        fork.operands = {coarse, fine};
        fork.destination = view_of(box, 40'000, 8, 0);
        fork.qp = {layer, Qp::fork};
        fork.largest_address = result_scale;
        fill(fine.tile, box, v.fine);
        fill(coarse.tile, box, v.coarse);
        vector(box, fork);
        EXPECT_EQ(contents(fork.destination, box), v.sum);
        EXPECT_EQ(tap_of(Qp::fork).format, (Format{64, v.frac, true, 5}));
        EXPECT_EQ(tap_of(Qp::fork).align_rounded, v.rounded);
        EXPECT_EQ(record(result_scale).largest, size_of_largest(v.sum));
    }
}

TEST_F(TrainingTest, AnAllZeroOperandTakesNoPartInAFork) {
    const Box box = row(2);
    put_scale(scale, 0, 60, -120);  // much finer than the other
    put_scale(other_scale, 9, 7, 3);
    Fork fork;
    Fork::Operand zero, error;
    zero.scale.address = scale;
    zero.tile = view_of(box, 0, 5, 0);
    error.scale.address = other_scale;
    error.tile = view_of(box, 1000, 5, 0);
    fork.operands = {zero, error};
    fork.destination = view_of(box, 40'000, 8, 0);
    fork.qp = {layer, Qp::fork};
    fill(zero.tile, box, {0, 0});
    fill(error.tile, box, {9, -4});
    vector(box, fork);
    EXPECT_EQ(probe.at(Qp::fork).codes, (Codes{9, -4}));
    EXPECT_EQ(tap_of(Qp::fork).format, (Format{64, 7, true, 3}));
}

TEST_F(TrainingTest, AForkWhoseOperandIsWiderThanItsRegisterWraps) {
    // 8 bits go up 54 places; codes of 12 bits leave 64.
    const Box box = row(4);
    put_scale(scale, 1, 0, 0);
    put_scale(other_scale, 127, 0, 54);
    Fork fork;
    Fork::Operand fine, coarse;
    fine.scale.address = scale;
    fine.tile = view_of(box, 0, 5, 0);
    coarse.scale.address = other_scale;
    coarse.tile = view_of(box, 1000, 5, 0);
    coarse.bits = 8;
    fork.operands = {coarse, fine};
    fork.destination = view_of(box, 40'000, 8, 0);
    fork.qp = {layer, Qp::fork};
    fill(fine.tile, box, {1, -1, 1, -1});
    fill(coarse.tile, box, {1024, -1024, 512, -512});
    vector(box, fork);
    constexpr std::int64_t end = std::numeric_limits<std::int64_t>::max();
    EXPECT_EQ(probe.at(Qp::fork).codes, (Codes{1, -1, -end, end}));
    EXPECT_EQ(tap_of(Qp::fork).wraps, 4);
}

TEST_F(TrainingTest, TheMaskStopsWhatReluOrTheRegisterStopped) {
    // x2 at frac 11 to A at frac 5: a code of A is 64, its largest 127 * 64.
    const Codes x{0, -1, 1, 32, 127 * 64, 127 * 64 + 32, 127 * 64 + 33, 6 * 2048, 6 * 2048 + 1};
    const Box box = row(x.size());
    struct Variant {
        Clip clip;
        bool masks_overflow;
        Codes mask;
    };
    for (const Variant& v : {Variant{Clip::relu, true, {0, 0, 1, 1, 1, 0, 0, 0, 0}},
                             Variant{Clip::relu, false, {0, 0, 1, 1, 1, 1, 1, 1, 1}},
                             Variant{Clip::relu6, false, {0, 0, 1, 1, 1, 1, 1, 1, 0}},
                             Variant{Clip::none, true, {1, 1, 1, 1, 1, 0, 0, 0, 0}}}) {
        // Lanes of 32, 64 and more bits.
        for (const int bytes : {2, 4, 8}) {
            build();
            Act act;
            act.source = view_of(box, 0, bytes, 11);
            act.destination = view_of(box, 40'000, 1, 5);
            act.clip = v.clip;
            act.a = quantizer_of(8, 5);
            act.a_qp = {layer, Qp::A};
            act.mask = plane_of(box, 70'000);
            act.masks_overflow = v.masks_overflow;
            fill(act.source, box, x);
            vector(box, act);
            for (std::size_t i = 0; i < x.size(); ++i) {
                const std::int64_t byte =
                    get(memories->activations, 70'000 + static_cast<std::int64_t>(i / 8), 1, false);
                EXPECT_EQ(byte >> (i % 8) & 1, v.mask[i]) << x[i] << ", bytes: " << bytes;
            }
        }
    }
}

TEST_F(TrainingTest, ABatchNormsErrorIsOneRoundedQuotientPerElement) {
    const Box box = box_of(2, 4, 5, 5);
    const auto count = static_cast<std::size_t>(box.size());
    const Codes m1 = random.codes(5, -30'000, 30'000), m2 = random.codes(5, -30'000, 30'000);
    const Codes gamma = random.codes(5, -127, 127);
    // Guarded, quotients have at most 32 bits; by the one code of eps they have more.
    Codes sigma = random.codes(5, 10'000, 40'000);
    sigma[2] = 0;
    const Codes e = random.codes(box.size(), -127, 127), xhat = random.codes(box.size(), -127, 127);
    struct Variant {
        bool guarded;
        Rounding rounding;
    };
    for (const Variant& v :
         {Variant{true, Rounding::half_even}, Variant{false, Rounding::half_even},
          Variant{false, Rounding::floor}}) {
        build();
        put_scale(scale, 127, 7, -9);
        put_parameters(0, 4, m1);
        put_parameters(40, 4, m2);
        put_parameters(80, 1, gamma);
        put_parameters(120, 4, sigma);
        BnError back;
        back.source = view_of(box, 0, 1, 7);
        back.xhat = view_of(box, 1000, 1, 5);
        back.destination = view_of(box, 40'000, 4, 24);
        back.m2_address = 40;
        back.gamma_address = 80;
        back.sigma_address = 120;
        if (v.guarded) back.guard_address = 120;
        back.scale.address = scale;
        back.m1 = back.m2 = quantizer_of(24, 15);
        back.gamma = quantizer_of(8, 6);
        back.sigma = quantizer_of(18, 15, false);
        back.bn_err = quantizer_of(32, 24);
        back.bn_err.rounding = v.rounding;
        back.qp = {layer, Qp::bn_err};
        fill(back.source, box, e);
        fill(back.xhat, box, xhat);
        vector(box, back);
        Codes expected;
        for (std::size_t i = 0; i < count; ++i) {
            const std::size_t c = i % 5;
            const Rational p = value_of(e[i], 7) - value_of(m1[c], 15) -
                               value_of(xhat[i], 5) * value_of(m2[c], 15);
            const Rational error = value_of(gamma[c], 6) * p / value_of(sigma[c] + 1, 15);
            const bool stops = v.guarded && sigma[c] == 0;
            expected.push_back(stops ? 0 : quantized(error, back.bn_err).code);
        }
        EXPECT_EQ(contents(back.destination, box), expected);
        EXPECT_EQ(tap_of(Qp::bn_err).format, (Format{32, 24, true, -9}));
    }
}

TEST_F(TrainingTest, ABatchNormsSumsBecomeMeansAndGradients) {
    const Box box = box_of(2, 7, 5, 3);  // 70 elements a channel
    const Codes e = random.codes(box.size(), -127, 127), xhat = random.codes(box.size(), -127, 127);
    put_scale(scale, 127, 7, -4);
    for (int i = 0; i < 3 * 16; ++i) put(memories->parameters, i, 1, 0);
    Reduce reduce;
    reduce.source = view_of(box, 0, 1, 7);
    reduce.with_xhat = true;
    reduce.xhat = view_of(box, 1000, 1, 5);
    fill(reduce.source, box, e);
    fill(reduce.xhat, box, xhat);
    vector(box, reduce);
    BnBack back;
    back.count = 70;
    back.m1_address = 100;
    back.m2_address = 120;
    back.gamma_address = 140;
    back.beta_address = 160;
    back.scale.address = scale;
    back.m1 = back.m2 = quantizer_of(24, 15);
    back.g_gamma = back.g_beta = quantizer_of(16, 14);
    vector(box_of(1, 1, 1, 3), back);
    for (std::size_t c = 0; c < 3; ++c) {
        Rational sum = 0, product = 0;
        for (std::size_t i = c; i < e.size(); i += 3) {
            sum += value_of(e[i], 7);
            product += value_of(e[i], 7) * value_of(xhat[i], 5);
        }
        const auto shown = [&](Qp qp) { return probe.at(qp).codes[c]; };
        EXPECT_EQ(shown(Qp::m1), quantized(sum / 70, back.m1).code);
        EXPECT_EQ(shown(Qp::m2), quantized(product / 70, back.m2).code);
        EXPECT_EQ(shown(Qp::gBN_beta), quantized(sum * power_of_two(-4), back.g_beta).code);
        EXPECT_EQ(shown(Qp::gBN_gamma), quantized(product * power_of_two(-4), back.g_gamma).code);
        EXPECT_EQ(parameters(140, 3, 4, true)[c], shown(Qp::gBN_gamma));
    }
}

TEST_F(TrainingTest, APoolsErrorGoesToThePlaceThatWonOrToAll) {
    // 3 x 3 windows, 2 apart, on 5 x 5 with a border: 3 x 3 of them, which overlap.
    const Box in = box_of(1, 5, 5, 2), out = box_of(1, 3, 3, 2);
    Codes x = random.codes(in.size(), -3, 3);  // many equal ones
    const Codes errors = random.codes(out.size(), -1000, 1000);
    for (const bool average : {false, true}) {
        build();
        put_scale(scale, 1000, 10, 2);
        Pool pool;
        pool.average = average;
        pool.source = view_of(in, 0, 1, 5);
        pool.destination = view_of(out, 40'000, 1, 5);
        pool.kernel_h = pool.kernel_w = 3;
        pool.stride_y = pool.stride_x = 2;
        pool.padding_h = pool.padding_w = 1;
        pool.image_h = pool.image_w = 5;
        pool.quantizer = quantizer_of(8, 5);
        if (!average) pool.index = plane_of(out, 70'000, 4);
        fill(pool.source, in, x);
        vector(out, pool);
        PoolBack back;
        back.average = average;
        back.source = view_of(out, 1000, 5, 0);
        back.destination = view_of(in, 100'000, 6, 0);
        back.index = pool.index;
        back.kernel_h = back.kernel_w = 3;
        back.stride_y = back.stride_x = 2;
        back.padding_h = back.padding_w = 1;
        back.out_h = back.out_w = 3;
        back.quantizer = quantizer_of(40, 0);
        back.scale.address = scale;
        back.qp = {layer, Qp::pool_err};
        back.show_h1 = back.show_w1 = 3;
        fill(back.source, out, errors);
        vector(in, back);
        Codes expected(x.size(), 0);
        for (int oh = 0; oh < 3; ++oh)
            for (int ow = 0; ow < 3; ++ow)
                for (int c = 0; c < 2; ++c) {
                    const std::int64_t error =
                        errors[static_cast<std::size_t>((oh * 3 + ow) * 2 + c)];
                    std::size_t won = x.size();
                    for (int ih = std::max(2 * oh - 1, 0); ih < std::min(2 * oh + 2, 5); ++ih)
                        for (int iw = std::max(2 * ow - 1, 0); iw < std::min(2 * ow + 2, 5); ++iw) {
                            const auto at = static_cast<std::size_t>((ih * 5 + iw) * 2 + c);
                            if (won == x.size() || x[at] > x[won]) won = at;
                            if (average)
                                expected[at] += static_cast<std::int64_t>(
                                    rounded(Rational(error * 256, 9), Rounding::half_even));
                        }
                    if (!average) expected[won] += error;
                }
        EXPECT_EQ(contents(back.destination, in), expected) << average;
        if (average) {
            EXPECT_EQ(tap_of(Qp::pool_err).format, (Format{40, 18, true, 2}));
        }
    }
}

TEST_F(TrainingTest, SoftmaxDividesTabulatedPowersOfTwo) {
    // z 1 apart at frac 12: u = -1.4427 = -2 + 142.7 / 256; T[142] = 48131, >> 2: 12032. Equal. u =
    // -14.44: T[142] >> 15 = 1. u = -15.15: nothing is left.
    const Box box = box_of(4, 1, 1, 2);
    Softmax loss;
    loss.source = view_of(box, 0, 4, 12);
    loss.destination = view_of(box, 40'000, 3, 15);
    loss.label_address = 33'000;
    loss.p = quantizer_of(16, 15, false);
    loss.e0 = quantizer_of(17, 15);
    loss.exponent = -1;
    loss.largest_address = result_scale;
    loss.p_qp = {layer, Qp::p};
    loss.e0_qp = {layer, Qp::e0};
    put_scale(result_scale, 0, 0, 0);
    fill(loss.source, box, {8192, 4096, -5, -5, 0, -41000, 0, -43000});
    for (int i = 0; i < 4; ++i) put(memories->activations, 33'000 + i, 1, i == 0 ? 1 : 0);
    vector(box, loss);
    EXPECT_EQ(probe.at(Qp::p).codes, (Codes{23967, 8801, 16384, 16384, 32767, 1, 32768, 0}));
    EXPECT_EQ(probe.at(Qp::e0).codes, (Codes{23967, 8801 - 32768, -16384, 16384, -1, 1, 0, 0}));
    EXPECT_EQ(tap_of(Qp::e0).format, (Format{17, 15, true, -1}));
    EXPECT_EQ(record(result_scale).largest, 23967);
}

TEST_F(TrainingTest, AGradientRoundsUpWhereItsFractionExceedsTheDraw) {
    // Scale 2^20, dr 2^7: a code is 2^13. The fraction's top 16 bits of 3/4 are 49152.
    const std::int64_t code = 1 << 13;
    const Codes gradients{2 * code + code * 3 / 4,
                          2 * code + code * 3 / 4,
                          -2 * code - code * 3 / 4,
                          5 * code,
                          200 * code,
                          -200 * code,
                          code / 2,
                          0};
    const std::vector<std::uint32_t> draws{49151, 49152, 49151, 0, 0, 0, 32768, 0};
    const Codes g{3, 2, -3, 5, 127, -127, 0, 0};
    const Codes masters(gradients.size(), (1 << 23) - 1 - 1000), kept(gradients.size(), 8);
    // The same values from codes of 22, 38 and 63 bits, which take lanes of 32, 64 and more.
    for (const int finer : {0, 16, 41}) {
        SCOPED_TRACE(finer);
        build();
        put_scale(scale, std::int64_t{1} << (20 + finer), 20 + finer, 0);
        memories->step.lr = 256;  // 1/2
        memories->step.dr_log2 = 7;
        Update update;
        update.count = static_cast<std::int64_t>(gradients.size());
        update.first = 30;
        update.constant = true;
        update.gradient_bytes = 8;
        update.accumulator_address = 1000;
        update.master_address = 2000;
        update.quantized_address = 3000;
        update.scale.address = scale;
        update.g = quantizer_of(8, 14);
        update.g.rounding = Rounding::stochastic;
        update.acc = quantizer_of(18, 14);
        update.accq = quantizer_of(13, 12);
        update.master = quantizer_of(24, 23);
        update.quantized = quantizer_of(8, 7);
        update.stream_op = 80;
        update.g_qp = {layer, Qp::G};
        update.acc_qp = {layer, Qp::Acc};
        update.accq_qp = {layer, Qp::Accq};
        update.master_qp = {layer, Qp::W};
        update.quantized_qp = {layer, Qp::Wq};
        const Box box = row(gradients.size());
        Codes scaled = gradients;
        for (std::int64_t& gradient : scaled) gradient *= std::int64_t{1} << finer;
        fill(view_of(box, 0, 8, 0), box, scaled);
        fill(view_of(box, 1000, 2, 12), box, kept);
        fill(view_of(box, 2000, 3, 23), box, masters);
        UpdateUnit unit(config, *memories, watch, [&](std::uint32_t op, std::int64_t i) {
            EXPECT_EQ(op, 80U);
            return draws.at(static_cast<std::size_t>(i - 30));
        });
        execute(unit, command_of(Box{}, update), index, start);
        EXPECT_EQ(probe.at(Qp::G).codes, g);
        EXPECT_EQ(tap_of(Qp::G).saturations, 2);
        EXPECT_EQ(tap_of(Qp::G).underflows, 1);
        std::int64_t saturated = 0;
        for (std::size_t i = 0; i < g.size(); ++i) {
            const std::int64_t acc = 3 * 8 + g[i];  // 3/4 of 8 at frac 12, at frac 14
            EXPECT_EQ(probe.at(Qp::Acc).codes[i], acc);
            EXPECT_EQ(probe.at(Qp::Accq).codes[i], quantized(value_of(acc, 14), update.accq).code);
            const std::int64_t w = masters[i] - 256 * acc;  // 2^-1 2^-14 at frac 23
            const std::int64_t largest = (1 << 23) - 1;
            EXPECT_EQ(probe.at(Qp::W).codes[i], std::min(w, largest)) << i;
            saturated += w > largest ? 1 : 0;
            EXPECT_EQ(probe.at(Qp::Wq).codes[i],
                      quantized(value_of(std::min(w, largest), 23), update.quantized).code);
        }
        EXPECT_EQ(saturated, 1);
        EXPECT_EQ(tap_of(Qp::W).saturations, 1);
        EXPECT_EQ(tap_of(Qp::W).first, 30);
        EXPECT_EQ(contents(view_of(box, 1000, 2, 12), box), probe.at(Qp::Accq).codes);
        EXPECT_EQ(contents(view_of(box, 2000, 3, 23), box), probe.at(Qp::W).codes);
    }
}

}  // namespace
}  // namespace wagesim::rtl
