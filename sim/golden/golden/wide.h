// Integers beyond the doubles: registers, quotients and sums of any width.
#pragma once

#include <boost/multiprecision/cpp_int.hpp>
#include <vector>

#include "golden/tensor.h"
#include "wagesim/format/format.h"

namespace wagesim::golden {

using BigInteger = boost::multiprecision::number<boost::multiprecision::cpp_int_backend<>,
                                                 boost::multiprecision::et_off>;

/// A code brought into a range, and whether it lay outside.
template <class Number>
struct Fitted {
    Number code;
    bool outside = false;
};
Fitted<BigInteger> fit(const BigInteger& code, const BigInteger& low, const BigInteger& high,
                       Overflow overflow);
Fitted<BigInteger> fit(const BigInteger& code, int bits, bool is_signed, Overflow overflow);

/// The exact quotient rounded once, and whether it lay on a tie. The denominator is positive.
template <class Integer>
struct Quotient {
    Integer code;
    bool tie = false;
};
template <class Integer>
Quotient<Integer> divide(const Integer& numerator, const Integer& denominator, Rounding rounding);

/// A tensor of exact codes; fills `exact` where a code reaches 2^53.
Tensor from_codes(const Shape& shape, const std::vector<BigInteger>& codes, const Format& format);

/// Codes at the rule's own unit fitted to its register; they become what it holds.
Tensor to_register(const Shape& shape, std::vector<BigInteger>& codes, const Quantizer& rule);

/// Quotients of integers (in units of 2^-frac of the numerators), each rounded once.
Tensor quotients(const Shape& shape, const std::vector<BigInteger>& numerators, int frac,
                 const BigInteger& denominator, const Quantizer& rule);

/// The tensor's codes, whether they fit doubles or not.
std::vector<Wide> wide_codes(const Tensor& tensor);

/// Per channel, sums of codes and of codes times the other tensor's: exact.
struct ChannelSums {
    std::vector<BigInteger> sum, products;
    bool proven = true;  ///< false: codes too large for the wide integers here
};
ChannelSums channel_sums(const Tensor& tensor, const Tensor& other);

}  // namespace wagesim::golden
