// See quantize.h.
#include "golden/quantize.h"

#include <algorithm>
#include <array>

#include "wagesim/error.h"

namespace wagesim::golden {
namespace {

constexpr std::size_t block = 256;  // elements whose codes stay in the nearest cache

/// Adding and taking away 1.5 * 2^52 leaves a double rounded to an integer, ties to even, if it is
/// below 2^51 in magnitude: the same as nearbyint, in vectors.
template <class Real>
void round_half_even(const Real* x, Real* code, std::size_t count) {
    constexpr Real limit = std::is_same_v<Real, double> ? Real(0x1p51) : Real(0x1p22);
    constexpr Real shift = 3 * limit;
    Real beyond = 0;
#pragma omp simd reduction(+ : beyond)
    for (std::size_t j = 0; j < count; ++j) {
        beyond += std::abs(x[j]) < limit ? Real{0} : Real{1};
        code[j] = (x[j] + shift) - shift;
    }
    if (beyond != 0)
        for (std::size_t j = 0; j < count; ++j) code[j] = std::nearbyint(x[j]);
}

template <class Real, Rounding rounding>
void round_block(const Real* x, Real* code, std::size_t count) {
    if constexpr (rounding == Rounding::half_even)
        round_half_even(x, code, count);
    else
        for (std::size_t j = 0; j < count; ++j) code[j] = round_to_integer(x[j], rounding);
}

template <class Real, Rounding rounding>
void quantize_with(Tensor& tensor, const Quantizer& rule, CodeRange range, bool counts_underflows) {
    const double to_code = std::ldexp(1.0, rule.format.frac - rule.format.exponent);
    const double to_value = 1 / to_code;
    const Real low = static_cast<Real>(range.low);
    const Real high = static_cast<Real>(range.high);
    std::int64_t outside = 0;
    std::array<Real, block> x, code;
    for (std::size_t first = 0; first < tensor.values.size(); first += block) {
        const std::size_t count = std::min(block, tensor.values.size() - first);
        double* values = tensor.values.data() + first;
        for (std::size_t j = 0; j < count; ++j) x[j] = static_cast<Real>(values[j] * to_code);
        round_block<Real, rounding>(x.data(), code.data(), count);
        Real ties = 0, misfits = 0, underflows = 0;  // counts
#pragma omp simd reduction(+ : ties, misfits)
        for (std::size_t j = 0; j < count; ++j) {
            ties += std::abs(x[j] - code[j]) == Real{0.5} ? Real{1} : Real{0};
            misfits += code[j] < low ? Real{1} : Real{0};
            misfits += code[j] > high ? Real{1} : Real{0};
        }
        if (counts_underflows) {
#pragma omp simd reduction(+ : underflows)
            for (std::size_t j = 0; j < count; ++j)
                underflows += (code[j] == 0 ? Real{1} : Real{0}) - (x[j] == 0 ? Real{1} : Real{0});
        }
        // Rounded downwards, just below a half looks like one from the other side.
        if (ties != 0)
            for (std::size_t j = 0; j < count; ++j) {
                if (std::abs(x[j] - code[j]) != Real{0.5} || !is_tie(x[j])) continue;
                if (tensor.ties.empty()) tensor.ties.resize(tensor.values.size());
                tensor.ties[first + j] = true;
            }
        if (misfits != 0)
            for (std::size_t j = 0; j < count; ++j)
                code[j] = fit(code[j], range, rule.overflow).code;
        outside += static_cast<std::int64_t>(misfits);
        tensor.underflows += static_cast<std::int64_t>(underflows);
        for (std::size_t j = 0; j < count; ++j)
            values[j] = static_cast<double>(code[j]) * to_value + 0.0;  // -0 becomes 0
    }
    (rule.overflow == Overflow::wrap ? tensor.wraps : tensor.saturations) += outside;
}

/// Codes beyond the doubles, in wide integers.
void quantize_exact(Tensor& tensor, const Quantizer& rule, CodeRange range,
                    bool counts_underflows) {
    const int shift = (rule.format.frac - rule.format.exponent) - (tensor.frac - tensor.exponent);
    const double to_value = std::ldexp(1.0, rule.format.exponent - rule.format.frac);
    const std::vector<Wide> codes = std::move(tensor.exact);
    tensor.exact.clear();
    std::int64_t outside = 0;
    for (std::size_t i = 0; i < codes.size(); ++i) {
        const Quotient<BigInteger> quotient =
            divide(BigInteger(codes[i]) << std::max(shift, 0), BigInteger(1) << std::max(-shift, 0),
                   rule.rounding);
        if (quotient.tie) {
            tensor.ties.resize(codes.size());
            tensor.ties[i] = true;
        }
        const Fitted<BigInteger> kept =
            fit(quotient.code, BigInteger(range.low), BigInteger(range.high), rule.overflow);
        outside += kept.outside;
        tensor.underflows += counts_underflows && kept.code == 0 && codes[i] != 0;
        tensor.values[i] = kept.code.convert_to<double>() * to_value;
    }
    (rule.overflow == Overflow::wrap ? tensor.wraps : tensor.saturations) += outside;
    if (std::max(-range.low, range.high) >= integer_limit)
        uncertify(tensor, "a code of more than 53 bits is quantised to a register that wide");
}

template <class Real>
void quantize_any(Tensor& tensor, const Quantizer& rule, CodeRange range, bool counts_underflows) {
    if (!tensor.exact.empty()) {
        quantize_exact(tensor, rule, range, counts_underflows);
    } else {
        const auto run = [&](auto quantize_this) {
            quantize_this(tensor, rule, range, counts_underflows);
        };
        switch (rule.rounding) {
            case Rounding::half_even:
                run(quantize_with<Real, Rounding::half_even>);
                break;
            case Rounding::half_up:
                run(quantize_with<Real, Rounding::half_up>);
                break;
            case Rounding::half_away:
                run(quantize_with<Real, Rounding::half_away>);
                break;
            case Rounding::floor:
                run(quantize_with<Real, Rounding::floor>);
                break;
            case Rounding::toward_zero:
                run(quantize_with<Real, Rounding::toward_zero>);
                break;
            case Rounding::stochastic:
                throw InputError("rounding 'stochastic' is not deterministic here");
        }
    }
    tensor.frac = rule.format.frac;
    tensor.bits = rule.format.bits;
    tensor.is_signed = rule.format.is_signed;
    tensor.exponent = rule.format.exponent;
}

}  // namespace

CodeRange code_range(int bits, bool is_signed, Overflow overflow) {
    if (!is_signed) return {0.0, std::ldexp(1.0, bits) - 1};
    const double half = std::ldexp(1.0, bits - 1);
    return {overflow == Overflow::saturate ? -(half - 1) : -half, half - 1};
}

template <class Real>
void quantize(Tensor& tensor, const Quantizer& rule) {
    quantize_any<Real>(tensor, rule, code_range(rule), false);
}
template void quantize<double>(Tensor&, const Quantizer&);
template void quantize<float>(Tensor&, const Quantizer&);

template <class Real>
void quantize_into(Tensor& tensor, const Quantizer& rule, CodeRange range) {
    Quantizer saturating = rule;
    saturating.overflow = Overflow::saturate;
    quantize_any<Real>(tensor, saturating, range, true);
}
template void quantize_into<double>(Tensor&, const Quantizer&, CodeRange);
template void quantize_into<float>(Tensor&, const Quantizer&, CodeRange);

template <class Real>
std::vector<std::size_t> misfits(const std::vector<double>& values, const Quantizer& rule) {
    const double to_code = std::ldexp(1.0, rule.format.frac - rule.format.exponent);
    const CodeRange range = code_range(rule);
    std::vector<std::size_t> result;
    for (std::size_t i = 0; i < values.size(); ++i) {
        const double x = values[i] * to_code;
        if (x >= range.low + 1 && x <= range.high - 1) continue;  // rounding moves by less than 1
        const double code =
            static_cast<double>(round_to_integer(static_cast<Real>(x), rule.rounding));
        if (code < range.low || code > range.high) result.push_back(i);
    }
    return result;
}
template std::vector<std::size_t> misfits<double>(const std::vector<double>&, const Quantizer&);
template std::vector<std::size_t> misfits<float>(const std::vector<double>&, const Quantizer&);

}  // namespace wagesim::golden
