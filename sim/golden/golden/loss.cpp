// See loss.h.
#include "golden/loss.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "golden/quantize.h"

namespace wagesim::golden {
namespace {

/// e^t for t <= 0 in units of 2^-15: 2^u with u = t log2 e, log2 e at frac 15; a table of 256
/// steps between two powers of two, then a shift, both truncated.
class Exponential {
public:
    Exponential() {
        for (std::size_t i = 0; i < table_.size(); ++i)
            table_[i] = std::round(std::exp2(static_cast<double>(i) / 256 + 15));
    }
    template <class Real>
    Real of(Real t) const {
        const Real u = t * std::ldexp(Real{47274}, -15);
        const Real whole = std::floor(u);
        const auto step = static_cast<std::size_t>(std::floor((u - whole) * 256));
        // In float32 u - whole may round to 1.
        const double x = table_[std::min<std::size_t>(step, 255)];
        return static_cast<Real>(
            std::floor(std::ldexp(x, static_cast<int>(std::max(whole, Real{-64})))));
    }

private:
    std::array<double, 256> table_;
};

template <class Real>
void softmax(const Tensor& logits, const Quantizer& rule, Tensor& p) {
    static const Exponential exponential;
    const std::size_t classes = static_cast<std::size_t>(logits.shape.c);
    std::vector<Real> x(classes);
    p.shape = logits.shape;
    inherit(p, {&logits});
    const std::vector<double> all = logits.values.reals();
    std::vector<double> quotients;
    for (auto row = all.begin(); row != all.end(); row += logits.shape.c) {
        const double top = *std::max_element(row, row + logits.shape.c);
        Real sum = 0;
        for (std::size_t c = 0; c < classes; ++c) {
            x[c] = exponential.of(static_cast<Real>(row[static_cast<std::ptrdiff_t>(c)]) -
                                  static_cast<Real>(top));
            sum += x[c];
        }
        for (const Real term : x) quotients.push_back(static_cast<double>(term / sum));
    }
    p.values = std::move(quotients);
    quantize<Real>(p, rule);
    // t has at most twice the largest logit; log2 e has 16 bits. x 2^frac over the sum.
    if (is_exact<Real> && !(2 * largest_code(logits) * 47274 < integer_limit &&
                            std::ldexp(1.0, 16 + std::max(rule.format.frac, 0)) < quotient_limit &&
                            65536.0 * static_cast<double>(classes) < integer_limit))
        uncertify(p, "a logit's code is too large for an exact exponential");
}

}  // namespace

template <class Real>
LossError loss_error(const Tensor& logits, const std::vector<int>& labels, const std::string& layer,
                     const Datapath& datapath) {
    const bool is_softmax = datapath.training.loss == Loss::softmax;
    const double images = static_cast<double>(labels.size());
    LossError result;
    if (is_softmax) softmax<Real>(logits, datapath.at(layer, Qp::p), result.p.emplace());
    const Tensor& from = is_softmax ? *result.p : logits;

    Tensor& e0 = result.e0;
    e0.shape = from.shape;
    std::vector<double> errors = from.values.reals();
    inherit(e0, {&from});
    const auto right = [&](std::size_t n) {
        return n * static_cast<std::size_t>(from.shape.c) + static_cast<std::size_t>(labels[n]);
    };
    for (std::size_t n = 0; n < labels.size(); ++n)
        errors[right(n)] = static_cast<double>(static_cast<Real>(errors[right(n)]) - Real{1});
    e0.values = std::move(errors);
    Quantizer rule = datapath.at(layer, Qp::e0);
    if (!is_softmax) {
        rule.format.bits = 33;
        rule.format.frac = logits.frac;
    }
    if (is_exact<Real> && !(largest_code(from) + std::ldexp(1.0, from.frac) < integer_limit))
        uncertify(e0, "a logit's code reaches 2^53");
    quantize<Real>(e0, rule);

    for (std::size_t n = 0; n < labels.size(); ++n)
        if (is_softmax)
            result.loss -= std::log(std::max(std::ldexp(1.0, -16), from.values[right(n)]));
    if (!is_softmax)
        for (const double e : e0.values.reals()) result.loss += e * e / 2;
    result.loss /= images;

    // The mean over the batch is an exponent.
    const int log2 = static_cast<int>(std::round(std::log2(images)));
    e0.exponent = -log2;
    e0.values = e0.values.times_power_of_two(-log2);
    return result;
}
template LossError loss_error<double>(const Tensor&, const std::vector<int>&, const std::string&,
                                      const Datapath&);
template LossError loss_error<float>(const Tensor&, const std::vector<int>&, const std::string&,
                                     const Datapath&);

}  // namespace wagesim::golden
