// See wide.h.
#include "golden/wide.h"

#include <algorithm>
#include <cmath>
#include <type_traits>

#include "wagesim/error.h"

namespace wagesim::golden {

Fitted<BigInteger> fit(const BigInteger& code, const BigInteger& low, const BigInteger& high,
                       Overflow overflow) {
    if (code >= low && code <= high) return {code, false};
    if (overflow != Overflow::wrap) return {code < low ? low : high, true};
    const BigInteger span = high - low + 1;
    BigInteger residue = (code - low) % span;  // of the sign of code - low
    if (residue < 0) residue += span;
    return {low + residue, true};
}

Fitted<BigInteger> fit(const BigInteger& code, int bits, bool is_signed, Overflow overflow) {
    const BigInteger span = BigInteger(1) << bits;
    const BigInteger high = (is_signed ? span / 2 : span) - 1;
    BigInteger low = 0;
    if (is_signed) low = overflow == Overflow::saturate ? -high : -high - 1;
    return fit(code, low, high, overflow);
}

template <class Integer>
Quotient<Integer> divide(const Integer& numerator, const Integer& denominator, Rounding rounding) {
    Integer floor = numerator / denominator, rest = numerator % denominator;
    if (rest < 0) {
        rest += denominator;
        --floor;
    }
    const Integer twice = 2 * rest;
    const bool tie = twice == denominator;
    bool up = false;
    switch (rounding) {
        case Rounding::half_even:
            up = tie ? floor % 2 != 0 : twice > denominator;
            break;
        case Rounding::half_up:
            up = twice >= denominator;
            break;
        case Rounding::half_away:
            up = tie ? numerator > 0 : twice > denominator;
            break;
        case Rounding::floor:
            break;
        case Rounding::toward_zero:
            up = rest != 0 && numerator < 0;
            break;
        case Rounding::stochastic:
            throw InputError("rounding 'stochastic' is not deterministic here");
    }
    return {up ? Integer(floor + 1) : floor, tie};
}
template Quotient<BigInteger> divide(const BigInteger&, const BigInteger&, Rounding);
template Quotient<Wide> divide(const Wide&, const Wide&, Rounding);

Tensor from_codes(const Shape& shape, const std::vector<BigInteger>& codes, const Format& format) {
    Tensor tensor;
    tensor.shape = shape;
    tensor.frac = format.frac;
    tensor.bits = format.bits;
    tensor.is_signed = format.is_signed;
    tensor.exponent = format.exponent;
    bool beyond = false;
    std::vector<double> values;
    for (const BigInteger& code : codes) {
        values.push_back(std::ldexp(code.convert_to<double>(), format.exponent - format.frac));
        beyond = beyond || abs(code) >= BigInteger(integer_limit);
    }
    tensor.values = std::move(values);
    if (beyond)
        for (const BigInteger& code : codes) tensor.exact.push_back(code.convert_to<Wide>());
    return tensor;
}

Tensor to_register(const Shape& shape, std::vector<BigInteger>& codes, const Quantizer& rule) {
    std::int64_t outside = 0;
    for (BigInteger& code : codes) {
        Fitted<BigInteger> kept = fit(code, rule.format.bits, rule.format.is_signed, rule.overflow);
        code = std::move(kept.code);
        outside += kept.outside;
    }
    Tensor tensor = from_codes(shape, codes, rule.format);
    (rule.overflow == Overflow::wrap ? tensor.wraps : tensor.saturations) += outside;
    return tensor;
}

Tensor quotients(const Shape& shape, const std::vector<BigInteger>& numerators, int frac,
                 const BigInteger& denominator, const Quantizer& rule) {
    const int shift = rule.format.frac - rule.format.exponent - frac;
    std::vector<BigInteger> codes;
    std::vector<bool> ties;
    bool any_tie = false;
    for (const BigInteger& numerator : numerators) {
        const Quotient<BigInteger> quotient =
            divide(BigInteger(numerator << std::max(shift, 0)),
                   BigInteger(denominator << std::max(-shift, 0)), rule.rounding);
        codes.push_back(quotient.code);
        ties.push_back(quotient.tie);
        any_tie = any_tie || quotient.tie;
    }
    Tensor tensor = to_register(shape, codes, rule);
    if (any_tie) tensor.ties = ties;
    return tensor;
}

std::vector<Wide> wide_codes(const Tensor& tensor) {
    if (!tensor.exact.empty()) return tensor.exact;
    const double to_code = std::ldexp(1.0, tensor.frac - tensor.exponent);
    std::vector<Wide> codes;
    codes.reserve(tensor.values.size());
    for (const double value : tensor.values.reals())
        codes.push_back(static_cast<Wide>(value * to_code));
    return codes;
}

namespace {

/// Per channel, sums of codes and of products of two tensors' codes: runs in `Term`, which is exact
/// for `most` elements, then carried over to `Total`.
template <class Term, class Total>
ChannelSums sums(const Tensor& tensor, const Tensor& other, double most) {
    using Code = std::conditional_t<std::is_same_v<Term, double>, double, std::int64_t>;
    const std::size_t channels = static_cast<std::size_t>(tensor.shape.c);
    const double to_code = std::ldexp(1.0, -unit_log2(tensor));
    const double to_other = std::ldexp(1.0, -unit_log2(other));
    std::vector<Total> sum(channels), products(channels);
    std::vector<Term> run_sum(run_length(channels)), run_products(run_sum.size());
    double elements = 0;
    const auto carry = [&] {
        for (std::size_t j = 0; j < run_sum.size(); ++j) {
            sum[j % channels] += static_cast<Total>(run_sum[j]);
            products[j % channels] += static_cast<Total>(run_products[j]);
            run_sum[j] = run_products[j] = 0;
        }
        elements = 0;
    };
    Reader<double> values(tensor.values), others(other.values);
    for_each_run(tensor, [&](std::size_t first, std::size_t count) {
        if (++elements > most) carry();
        const double* x = values(first, count);
        const double* y = others(first, count);
        Term* to_sum = run_sum.data();
        Term* to_products = run_products.data();
        for (std::size_t j = 0; j < count; ++j) {
            const Term code = static_cast<Code>(x[j] * to_code);
            to_sum[j] += code;
            to_products[j] += code * static_cast<Code>(y[j] * to_other);
        }
    });
    carry();
    ChannelSums result;
    for (const Total& total : sum) result.sum.emplace_back(total);
    for (const Total& total : products) result.products.emplace_back(total);
    return result;
}

}  // namespace

/// In float64 while every partial sum stays under 2^53, else in 128 bits.
ChannelSums channel_sums(const Tensor& tensor, const Tensor& other) {
    constexpr double wide_limit = 1125899906842624.0;  // 2^50: of codes whose products are summed
    const double most = largest_code(tensor), most_other = largest_code(other);
    if (most >= wide_limit || most_other >= wide_limit) {
        ChannelSums result = sums<double, BigInteger>(tensor, other, HUGE_VAL);
        result.proven = false;
        return result;
    }
    const double elements = (integer_limit - 1) / std::max({1.0, most, most * most_other});
    return elements >= 1 ? sums<double, Wide>(tensor, other, std::floor(elements))
                         : sums<Wide, Wide>(tensor, other, HUGE_VAL);
}

}  // namespace wagesim::golden
