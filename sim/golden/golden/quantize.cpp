// See quantize.h.
#include "golden/quantize.h"

#include <algorithm>

#include "golden/loops.h"
#include "wagesim/error.h"

namespace wagesim::golden {
namespace {

template <class Real>
void quantize_with(Tensor& tensor, std::size_t size, const Quantizer& rule, CodeRange range,
                   bool counts_underflows, const Formula<Real>& x) {
    const bool saturates = rule.overflow != Overflow::wrap;
    const int unit_log2 = rule.format.exponent - rule.format.frac;
    const Real to_code = std::ldexp(Real{1}, -unit_log2);
    const auto channels = static_cast<std::size_t>(tensor.shape.c);
    Writer<Real> writer(size, range, unit_log2);
    Buffer<Real> numbers(run_length(channels)), codes(numbers.size());
    Buffer<std::uint8_t> tie(numbers.size());
    Rounded all;
    for_each_run(size, channels, [&](std::size_t first, std::size_t count) {
        x(first, count, numbers.data());
        const Rounded run = real_loops<Real>().round(numbers.data(), count, to_code, rule.rounding,
                                                     range, saturates, codes.data(), tie.data());
        if (run.ties != 0) {
            tensor.ties.resize(size);
            for (std::size_t j = 0; j < count; ++j)
                if (tie[j] != 0) tensor.ties[first + j] = true;
        }
        if (run.outside != 0 && !saturates)
            for (std::size_t j = 0; j < count; ++j)
                codes[j] = fit(codes[j], range, rule.overflow).code;
        all.outside += run.outside;
        all.underflows += run.underflows;
        writer.write(first, count, codes.data());
    });
    tensor.values = std::move(writer).finish();
    (rule.overflow == Overflow::wrap ? tensor.wraps : tensor.saturations) += all.outside;
    if (counts_underflows) tensor.underflows += all.underflows;
}

/// Codes beyond the doubles, in wide integers.
void quantize_exact(Tensor& tensor, const Quantizer& rule, CodeRange range,
                    bool counts_underflows) {
    const int shift = (rule.format.frac - rule.format.exponent) - (tensor.frac - tensor.exponent);
    const double to_value = std::ldexp(1.0, rule.format.exponent - rule.format.frac);
    const std::vector<Wide> codes = std::move(tensor.exact);
    std::vector<double> values(codes.size());
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
        values[i] = kept.code.convert_to<double>() * to_value;
    }
    tensor.values = std::move(values);
    (rule.overflow == Overflow::wrap ? tensor.wraps : tensor.saturations) += outside;
    if (std::max(-range.low, range.high) >= integer_limit)
        uncertify(tensor, "a code of more than 53 bits is quantised to a register that wide");
}

template <class Real>
void quantize_any(Tensor& tensor, const Quantizer& rule, CodeRange range, bool counts_underflows,
                  const Formula<Real>& x) {
    if (rule.rounding == Rounding::stochastic)
        throw InputError("rounding 'stochastic' is not deterministic here");
    if (!tensor.exact.empty())
        quantize_exact(tensor, rule, range, counts_underflows);
    else if (x)
        quantize_with<Real>(tensor, static_cast<std::size_t>(tensor.shape.size()), rule, range,
                            counts_underflows, x);
    else
        quantize_with<Real>(tensor, tensor.values.size(), rule, range, counts_underflows,
                            [from = tensor.values](std::size_t first, std::size_t count, Real* to) {
                                from.read(first, count, to);
                            });
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
void quantize(Tensor& tensor, const Quantizer& rule, const Formula<Real>& x) {
    quantize_any<Real>(tensor, rule, code_range(rule), false, x);
}
template void quantize(Tensor&, const Quantizer&, const Formula<double>&);
template void quantize(Tensor&, const Quantizer&, const Formula<float>&);

template <class Real>
void quantize_into(Tensor& tensor, const Quantizer& rule, CodeRange range, const Formula<Real>& x) {
    Quantizer saturating = rule;
    saturating.overflow = Overflow::saturate;
    quantize_any<Real>(tensor, saturating, range, true, x);
}
template void quantize_into(Tensor&, const Quantizer&, CodeRange, const Formula<double>&);
template void quantize_into(Tensor&, const Quantizer&, CodeRange, const Formula<float>&);

template <class Real>
Values on_grid(const Shape& shape, const Formula<Real>& x, CodeRange range, int unit_log2) {
    const Real to_code = static_cast<Real>(std::ldexp(1.0, -unit_log2));
    const auto size = static_cast<std::size_t>(shape.size());
    const auto channels = static_cast<std::size_t>(shape.c);
    Writer<Real> writer(size, range, unit_log2);
    Buffer<Real> codes(run_length(channels));
    for_each_run(size, channels, [&](std::size_t first, std::size_t count) {
        x(first, count, codes.data());
        for (std::size_t j = 0; j < count; ++j) codes[j] *= to_code;
        writer.write(first, count, codes.data());
    });
    return std::move(writer).finish();
}
template Values on_grid(const Shape&, const Formula<double>&, CodeRange, int);
template Values on_grid(const Shape&, const Formula<float>&, CodeRange, int);

}  // namespace wagesim::golden
