// Rounding and overflow by definition, on real values.
#include "golden/quantize.h"

#include <algorithm>

#include "wagesim/error.h"

namespace wagesim::golden {
namespace {

template <class Real, Rounding rounding>
void quantize_with(Tensor& tensor, const Quantizer& rule) {
    const Real to_code = power_of_two<Real>(rule.format.frac);
    const Real to_value = power_of_two<Real>(-rule.format.frac);
    const CodeRange range = code_range(rule.format.bits, rule.format.is_signed, rule.overflow);
    const Real low = static_cast<Real>(range.low);
    const Real high = static_cast<Real>(range.high);
    std::int64_t outside = 0;
    for (std::size_t i = 0; i < tensor.values.size(); ++i) {
        const Real x = static_cast<Real>(tensor.values[i]) * to_code;
        Real code = round_to_integer(x, rounding);
        if (is_tie(x)) {
            if (tensor.ties.empty()) tensor.ties.resize(tensor.values.size());
            tensor.ties[i] = true;
        }
        if (code < low || code > high) {
            code = fit(code, range, rule.overflow).code;
            ++outside;
        }
        tensor.values[i] = static_cast<double>(code * to_value) + 0.0;  // -0 becomes 0
    }
    (rule.overflow == Overflow::wrap ? tensor.wraps : tensor.saturations) += outside;
}

}  // namespace

CodeRange code_range(int bits, bool is_signed, Overflow overflow) {
    if (!is_signed) return {0.0, std::ldexp(1.0, bits) - 1};
    const double half = std::ldexp(1.0, bits - 1);
    return {overflow == Overflow::saturate ? -(half - 1) : -half, half - 1};
}

Fitted<BigInteger> fit(const BigInteger& code, int bits, bool is_signed, Overflow overflow) {
    const BigInteger span = BigInteger(1) << bits;
    const BigInteger high = (is_signed ? span / 2 : span) - 1;
    BigInteger low = 0;
    if (is_signed) low = overflow == Overflow::saturate ? -high : -high - 1;
    if (code >= low && code <= high) return {code, false};
    if (overflow != Overflow::wrap) return {code < low ? low : high, true};
    BigInteger residue = (code - low) % span;  // of the sign of code - low
    if (residue < 0) residue += span;
    return {low + residue, true};
}

Quotient divide(const BigInteger& numerator, const BigInteger& denominator, Rounding rounding) {
    BigInteger floor, rest;
    boost::multiprecision::divide_qr(numerator, denominator, floor, rest);
    if (rest < 0) {
        rest += denominator;
        --floor;
    }
    const BigInteger twice = 2 * rest;
    const bool tie = twice == denominator;
    bool up = false;
    switch (rounding) {
        case Rounding::half_even:
            up = tie ? bit_test(abs(floor), 0) : twice > denominator;
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
    return {up ? floor + 1 : floor, tie};
}

template <class Real>
void quantize(Tensor& tensor, const Quantizer& rule) {
    tensor.frac = rule.format.frac;
    tensor.bits = rule.format.bits;
    tensor.is_signed = rule.format.is_signed;
    switch (rule.rounding) {
        case Rounding::half_even:
            return quantize_with<Real, Rounding::half_even>(tensor, rule);
        case Rounding::half_up:
            return quantize_with<Real, Rounding::half_up>(tensor, rule);
        case Rounding::half_away:
            return quantize_with<Real, Rounding::half_away>(tensor, rule);
        case Rounding::floor:
            return quantize_with<Real, Rounding::floor>(tensor, rule);
        case Rounding::toward_zero:
            return quantize_with<Real, Rounding::toward_zero>(tensor, rule);
        case Rounding::stochastic:
            throw InputError("rounding 'stochastic' is not deterministic here");
    }
}
template void quantize<double>(Tensor&, const Quantizer&);
template void quantize<float>(Tensor&, const Quantizer&);

Tensor from_codes(const Shape& shape, const std::vector<BigInteger>& codes, int frac, int bits,
                  bool is_signed) {
    Tensor tensor;
    tensor.shape = shape;
    tensor.frac = frac;
    tensor.bits = bits;
    tensor.is_signed = is_signed;
    bool beyond = false;
    for (const BigInteger& code : codes) {
        tensor.values.push_back(std::ldexp(code.convert_to<double>(), -frac));
        beyond = beyond || abs(code) >= BigInteger(integer_limit);
    }
    if (beyond)
        for (const BigInteger& code : codes) tensor.exact.push_back(code.str());
    return tensor;
}

double largest(const std::vector<double>& values) {
    double result = 0;
    for (const double value : values) result = std::max(result, std::abs(value));
    return result;
}

double largest_code(const Tensor& tensor) {
    return std::ldexp(largest(tensor.values), tensor.frac);
}

void uncertify(Tensor& tensor, const std::string& why) {
    if (!tensor.certified) return;
    tensor.certified = false;
    tensor.why_not = why;
}

void inherit(Tensor& tensor, std::initializer_list<const Tensor*> operands) {
    const std::string prefix = "an operand is not certified: ";
    for (const Tensor* operand : operands) {
        if (operand == nullptr || operand->certified) continue;
        const bool passed_on = operand->why_not.compare(0, prefix.size(), prefix) == 0;
        uncertify(tensor, (passed_on ? "" : prefix) + operand->why_not);
    }
}

}  // namespace wagesim::golden
