// See scaled.h.
#include "golden/scaled.h"

#include <algorithm>
#include <cmath>

#include "golden/loops.h"
#include "golden/quantize.h"

namespace wagesim::golden {
namespace {

/// A copy that the quantisers may work on: values only.
Tensor exact_values(const Tensor& in) {
    Tensor out;
    out.shape = in.shape;
    out.values = in.values;
    out.exact = in.exact;
    out.frac = in.frac;
    out.exponent = in.exponent;
    inherit(out, {&in});
    return out;
}

/// round(log2 m): m^2 > 2^(2p+1) says that log2 m is above p + 1/2.
int round_log2(const Wide& m) {
    int p = 0;
    while ((m >> (p + 1)) != 0) ++p;
    return BigInteger(m) * m > BigInteger(1) << (2 * p + 1) ? p + 1 : p;
}

/// |code| * 2^shift rounded up where the top 16 bits of its fraction are above the draw.
template <class Real>
Real round_by_draw(const Wide& code, int shift, std::uint16_t draw) {
    const BigInteger size = BigInteger(code < 0 ? -code : code) << std::max(shift + 16, 0);
    const BigInteger fine = size >> std::max(-shift - 16, 0);
    const BigInteger whole = fine >> 16;
    const Real top_bits = BigInteger(fine - (whole << 16)).convert_to<Real>();
    return whole.convert_to<Real>() + (top_bits > static_cast<Real>(draw) ? 1 : 0);
}

}  // namespace

template <class Real>
int scale_log2(const Tensor& tensor) {
    double log2 = 0;
    const double most = largest_code(tensor);
    if (most == 0) return -128;
    if (most < logarithm_limit || !is_exact<Real>) {
        log2 = static_cast<double>(std::round(std::log2(static_cast<Real>(most))));
    } else {
        Wide m = 0;
        for (const Wide code : wide_codes(tensor)) m = std::max(m, code < 0 ? -code : code);
        log2 = round_log2(m);
    }
    return std::clamp(static_cast<int>(log2) - tensor.frac + tensor.exponent, -128, 127);
}
template int scale_log2<double>(const Tensor&);
template int scale_log2<float>(const Tensor&);

template <class Real>
Tensor shift_quantize(const Tensor& in, Quantizer rule) {
    rule.format.exponent = scale_log2<Real>(in);
    const double most =
        std::min(std::ldexp(1.0, rule.format.bits - 1) - 1, std::ldexp(1.0, rule.format.frac));
    Tensor out = exact_values(in);
    quantize_into<Real>(out, rule, {-most, most});
    return out;
}
template Tensor shift_quantize<double>(const Tensor&, Quantizer);
template Tensor shift_quantize<float>(const Tensor&, Quantizer);

template <class Real>
Tensor flag_quantize(const Tensor& in, Quantizer rule) {
    rule.format.exponent = scale_log2<Real>(in);
    // Sc is the coarse unit; the fine unit is 2^-7 of it, that of the operand.
    Quantizer coarse = rule;
    coarse.format.frac = rule.format.frac - 7;
    const Real sc = static_cast<Real>(std::ldexp(1.0, coarse.format.exponent - coarse.format.frac));
    const auto part = [&](bool flag, const Quantizer& quantizer, CodeRange range) {
        Tensor tensor = exact_values(in);
        for (std::size_t i = 0; i < tensor.exact.size(); ++i)
            if ((std::abs(in.values[i]) >= static_cast<double>(sc)) != flag) tensor.exact[i] = 0;
        const auto passing = [&](std::size_t first, std::size_t count, Real* x) {
            in.values.read(first, count, x);
            const Real least = flag ? sc : Real{0}, beyond = flag ? Real(HUGE_VAL) : sc;
            for (std::size_t j = 0; j < count; ++j)
                x[j] = std::abs(x[j]) >= least && std::abs(x[j]) < beyond ? x[j] : Real{0};
        };
        quantize_into<Real>(tensor, quantizer, range, passing);
        return tensor;
    };
    const Tensor flagged = part(true, coarse, {-127, 127});
    Tensor fine = part(false, rule, {-128, 128});
    Reader<Real> high(flagged.values), low(fine.values);
    const auto sum = [&](std::size_t first, std::size_t count, Real* x) {
        const Real* flagged_x = high(first, count);
        const Real* fine_x = low(first, count);
        for (std::size_t j = 0; j < count; ++j) x[j] = flagged_x[j] + fine_x[j];
    };
    fine.values = on_grid<Real>(in.shape, sum, {-127 * 128, 127 * 128}, unit_log2(fine));
    fine.saturations = flagged.saturations;
    if (fine.ties.empty())
        fine.ties = flagged.ties;
    else
        for (std::size_t i = 0; i < flagged.ties.size(); ++i)
            if (flagged.ties[i]) fine.ties[i] = true;
    return fine;
}
template Tensor flag_quantize<double>(const Tensor&, Quantizer);
template Tensor flag_quantize<float>(const Tensor&, Quantizer);

template <class Real>
Tensor constant_quantize(const Tensor& in, const Quantizer& rule, int dr_log2,
                         const std::vector<std::uint16_t>& draws) {
    const int s = scale_log2<Real>(in);
    const double most = std::ldexp(1.0, dr_log2) - 1;
    Tensor out = exact_values(in);
    if (rule.rounding != Rounding::stochastic) {
        // dr x / R in units of 1, kept as multiples of the rule's unit.
        Quantizer scaled = rule;
        scaled.format.frac = dr_log2;
        scaled.format.exponent = s;
        quantize_into<Real>(out, scaled, {-most, most});
        out.values = out.values.times_power_of_two(dr_log2 - s - rule.format.frac);
    } else {
        out.exact.clear();
        const Real unit = static_cast<Real>(std::ldexp(1.0, -rule.format.frac));
        const Real scale = static_cast<Real>(std::ldexp(1.0, dr_log2 - s));
        const Real most_size = static_cast<Real>(most);
        Reader<Real> values(in.values);
        const auto round = [&](std::size_t first, std::size_t count, Real* sizes) {
            const Real* x = values(first, count);
            const std::uint16_t* draw = draws.data() + first;
            const Real by = scale, to = unit, top = most_size;
            for (std::size_t j = 0; j < count; ++j) sizes[j] = std::abs(x[j]) * by;
            if (in.exact.empty())
                real_loops<Real>().round_by_draws(sizes, count, draw);
            else
                for (std::size_t j = 0; j < count; ++j)
                    sizes[j] = round_by_draw<Real>(in.exact[first + j], unit_log2(in) + dr_log2 - s,
                                                   draw[j]);
            Real underflows = 0, saturations = 0;  // counts
#pragma omp simd reduction(+ : underflows, saturations)
            for (std::size_t j = 0; j < count; ++j) {
                underflows += sizes[j] == 0 && x[j] != 0 ? Real{1} : Real{0};
                saturations += sizes[j] > top ? Real{1} : Real{0};
                const Real size = sizes[j] > top ? top : sizes[j];
                sizes[j] = (x[j] < 0 ? -size : size) * to;
            }
            out.underflows += static_cast<std::int64_t>(underflows);
            out.saturations += static_cast<std::int64_t>(saturations);
        };
        out.values = on_grid<Real>(in.shape, round, {-most, most}, -rule.format.frac);
    }
    out.frac = rule.format.frac;
    out.bits = rule.format.bits;
    out.is_signed = rule.format.is_signed;
    out.exponent = 0;
    return out;
}
template Tensor constant_quantize<double>(const Tensor&, const Quantizer&, int,
                                          const std::vector<std::uint16_t>&);
template Tensor constant_quantize<float>(const Tensor&, const Quantizer&, int,
                                         const std::vector<std::uint16_t>&);

}  // namespace wagesim::golden
