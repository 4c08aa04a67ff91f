// See scaled.h.
#include "golden/scaled.h"

#include <algorithm>
#include <cmath>
#include <functional>

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

/// A magnitude's whole part, and the top 16 bits of the rest.
template <class Real>
struct Fixed {
    Real whole = 0, top_bits = 0;
};
template <class Real>
Fixed<Real> split(Real size) {
    const Real whole = std::floor(size);
    return {whole, std::floor((size - whole) * 65536)};
}
/// Of |code| * 2^shift.
template <class Real>
Fixed<Real> split(const Wide& code, int shift) {
    const BigInteger size = BigInteger(code < 0 ? -code : code) << std::max(shift + 16, 0);
    const BigInteger fine = size >> std::max(-shift - 16, 0);
    const BigInteger whole = fine >> 16;
    return {whole.convert_to<Real>(), BigInteger(fine - (whole << 16)).convert_to<Real>()};
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
    const double sc = std::ldexp(1.0, rule.format.exponent - coarse.format.frac);
    Tensor flagged = exact_values(in), fine = exact_values(in);
    const double* x = in.values.data();
    for (std::size_t i = 0; i < in.values.size(); ++i) {
        const bool flag = std::abs(x[i]) >= sc;
        flagged.values[i] = flag ? x[i] : 0.0;
        fine.values[i] = flag ? 0.0 : x[i];
    }
    if (!in.exact.empty())
        for (std::size_t i = 0; i < in.values.size(); ++i)
            (std::abs(x[i]) >= sc ? fine : flagged).exact[i] = 0;
    quantize_into<Real>(flagged, coarse, {-127, 127});
    quantize_into<Real>(fine, rule, {-128, 128});
    for (std::size_t i = 0; i < in.values.size(); ++i) fine.values[i] += flagged.values[i];
    fine.saturations = flagged.saturations;
    if (fine.ties.empty())
        fine.ties = std::move(flagged.ties);
    else if (!flagged.ties.empty())
        std::transform(fine.ties.begin(), fine.ties.end(), flagged.ties.begin(), fine.ties.begin(),
                       std::logical_or<>());
    return fine;
}
template Tensor flag_quantize<double>(const Tensor&, Quantizer);
template Tensor flag_quantize<float>(const Tensor&, Quantizer);

template <class Real>
Tensor constant_quantize(const Tensor& in, const Quantizer& rule, int dr_log2,
                         const std::vector<std::uint16_t>& draws) {
    const int s = scale_log2<Real>(in);
    const double scale = std::ldexp(1.0, dr_log2 - s);
    const double most = std::ldexp(1.0, dr_log2) - 1;
    const double unit = std::ldexp(1.0, -rule.format.frac);
    Tensor out = exact_values(in);
    if (rule.rounding != Rounding::stochastic) {
        // dr x / R in units of 1, kept as multiples of the unit.
        Quantizer scaled = rule;
        scaled.format.frac = dr_log2;
        scaled.format.exponent = s;
        quantize_into<Real>(out, scaled, {-most, most});
        for (double& value : out.values) value = value * scale * unit;
    } else {
        out.exact.clear();
        for (std::size_t i = 0; i < out.values.size(); ++i) {
            Fixed<Real> size = in.exact.empty()
                                   ? split(static_cast<Real>(std::abs(in.values[i]) * scale))
                                   : split<Real>(in.exact[i], in.exponent - in.frac + dr_log2 - s);
            if (size.top_bits > static_cast<Real>(draws[i])) ++size.whole;
            out.underflows += size.whole == 0 && in.values[i] != 0;
            if (size.whole > static_cast<Real>(most)) {
                size.whole = static_cast<Real>(most);
                ++out.saturations;
            }
            const double code = static_cast<double>(size.whole);
            out.values[i] = (in.values[i] < 0 ? -code : code) * unit + 0.0;
        }
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
