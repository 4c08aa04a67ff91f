// Batch norm's forward pass: statistics, normalisation, and the folded form.
#include "golden/batch_norm.h"

#include <algorithm>
#include <cmath>
#include <type_traits>

#include "golden/quantize.h"

namespace wagesim::golden {
namespace {

template <class Real>
constexpr bool is_exact = std::is_same_v<Real, double>;

Shape per_channel(const Tensor& in) { return {1, in.shape.c, 1, 1}; }

/// Elements of one channel in one image.
struct Planes {
    explicit Planes(const Tensor& tensor)
        : images(static_cast<std::size_t>(tensor.shape.n)),
          channels(static_cast<std::size_t>(tensor.shape.c)),
          size(static_cast<std::size_t>(tensor.shape.h * tensor.shape.w)) {}
    std::size_t at(std::size_t image, std::size_t channel) const {
        return (image * channels + channel) * size;
    }
    const std::size_t images, channels, size;
};

/// x brought to the quantiser's format.
template <class Real>
Tensor quantized(const Shape& shape, std::vector<double> values, const Quantizer& rule) {
    Tensor tensor;
    tensor.shape = shape;
    tensor.values = std::move(values);
    quantize<Real>(tensor, rule);
    return tensor;
}

/// Codes from here on are not squared in 128 bits: their sums are not certified.
constexpr double wide_limit = 1125899906842624.0;  // 2^50

/// Codes of registers that hold exact sums.
struct Sums {
    std::vector<BigInteger> sum, squares;
};

/// Sums of codes and of their squares; in float64 while every partial sum stays under 2^53, which
/// the final sum of squares and n times the largest code prove, else in wide integers.
Sums exact_sums(const Tensor& in) {
    using Wide128 = boost::multiprecision::int128_t;
    const Planes planes(in);
    const double to_code = std::ldexp(1.0, in.frac);
    const double largest_term = largest_code(in);
    const bool sums_fit =
        largest_term * static_cast<double>(planes.images * planes.size) < integer_limit;
    Sums result;
    for (std::size_t c = 0; c < planes.channels; ++c) {
        double sum = 0, squares = 0;
        for (std::size_t n = 0; n < planes.images; ++n) {
            const double* plane = in.values.data() + planes.at(n, c);
            for (std::size_t p = 0; p < planes.size; ++p) {
                const double code = plane[p] * to_code;
                sum += code;
                squares += code * code;
            }
        }
        if ((sums_fit && squares < integer_limit) || largest_term >= wide_limit) {
            result.sum.emplace_back(sum);
            result.squares.emplace_back(squares);
            continue;
        }
        Wide128 wide_sum = 0, wide_squares = 0;
        for (std::size_t n = 0; n < planes.images; ++n) {
            const double* plane = in.values.data() + planes.at(n, c);
            for (std::size_t p = 0; p < planes.size; ++p) {
                const Wide128 code = static_cast<std::int64_t>(plane[p] * to_code);
                wide_sum += code;
                wide_squares += code * code;
            }
        }
        result.sum.emplace_back(wide_sum);
        result.squares.emplace_back(wide_squares);
    }
    return result;
}

/// S or SS in its register.
Tensor to_register(const Shape& shape, std::vector<BigInteger>& codes, int frac,
                   const Quantizer& rule) {
    std::int64_t outside = 0;
    for (BigInteger& code : codes) {
        const Fitted<BigInteger> kept =
            fit(code, rule.format.bits, rule.format.is_signed, rule.overflow);
        code = kept.code;
        outside += kept.outside;
    }
    Tensor tensor = from_codes(shape, codes, frac, rule.format.bits, rule.format.is_signed);
    (rule.overflow == Overflow::wrap ? tensor.wraps : tensor.saturations) += outside;
    return tensor;
}

/// Quotients of integers (in units of 2^-frac of the numerators), each rounded once.
Tensor quotients(const Shape& shape, const std::vector<BigInteger>& numerators, int frac,
                 const BigInteger& denominator, const Quantizer& rule) {
    const int shift = rule.format.frac - frac;
    std::vector<BigInteger> codes;
    std::vector<bool> ties;
    std::int64_t outside = 0;
    bool any_tie = false;
    for (const BigInteger& numerator : numerators) {
        const Quotient quotient = divide(numerator << std::max(shift, 0),
                                         denominator << std::max(-shift, 0), rule.rounding);
        const Fitted<BigInteger> kept =
            fit(quotient.code, rule.format.bits, rule.format.is_signed, rule.overflow);
        codes.push_back(kept.code);
        ties.push_back(quotient.tie);
        any_tie = any_tie || quotient.tie;
        outside += kept.outside;
    }
    Tensor tensor =
        from_codes(shape, codes, rule.format.frac, rule.format.bits, rule.format.is_signed);
    if (any_tie) tensor.ties = ties;
    (rule.overflow == Overflow::wrap ? tensor.wraps : tensor.saturations) += outside;
    return tensor;
}

/// The square root of the variance's register, rounded once.
template <class Real>
Tensor root(const Tensor& var, const Quantizer& rule) {
    std::vector<double> values;
    for (const double value : var.values)
        values.push_back(static_cast<double>(std::sqrt(static_cast<Real>(value))));
    Tensor sigma = quantized<Real>(var.shape, std::move(values), rule);
    inherit(sigma, {&var});
    const double largest_var = largest(var.values);
    if (is_exact<Real> && !(std::ldexp(largest_var, var.frac) < root_limit &&
                            std::ldexp(largest_var, 2 * rule.format.frac) < root_limit))
        uncertify(sigma, "a variance's code reaches 2^48: its root may round twice");
    return sigma;
}

/// Sums in halves, as PyTorch's are: float32's error grows with the logarithm of the count.
template <class Term>
float sum_in_halves(std::size_t first, std::size_t last, Term term) {
    if (last - first <= 32) {
        float sum = 0;
        for (std::size_t i = first; i < last; ++i) sum += term(i);
        return sum;
    }
    const std::size_t middle = first + (last - first) / 2;
    return sum_in_halves(first, middle, term) + sum_in_halves(middle, last, term);
}

void float_statistics(const Tensor& in, const std::string& layer, const Datapath& datapath,
                      std::map<Qp, Tensor>& points) {
    const Planes planes(in);
    const std::size_t count = planes.images * planes.size;
    std::vector<double> sums, squares, means, variances;
    for (std::size_t c = 0; c < planes.channels; ++c) {
        const auto element = [&](std::size_t i) {
            return static_cast<float>(in.values[planes.at(i / planes.size, c) + i % planes.size]);
        };
        const float sum = sum_in_halves(0, count, element);
        const float mean = sum / static_cast<float>(count);
        sums.push_back(sum);
        squares.push_back(
            sum_in_halves(0, count, [&](std::size_t i) { return element(i) * element(i); }));
        means.push_back(mean);
        variances.push_back(sum_in_halves(0, count,
                                          [&](std::size_t i) {
                                              const float distance = element(i) - mean;
                                              return distance * distance;
                                          }) /
                            static_cast<float>(count));
    }
    const Shape shape = per_channel(in);
    const auto sum_of = [&](Qp qp, std::vector<double> values, int frac) {
        const Quantizer& rule = datapath.at(layer, qp);
        Tensor& tensor = points[qp];
        tensor.shape = shape;
        tensor.values = std::move(values);
        tensor.frac = frac;
        tensor.bits = rule.format.bits;
        tensor.is_signed = rule.format.is_signed;
    };
    sum_of(Qp::S, std::move(sums), in.frac);
    sum_of(Qp::SS, std::move(squares), 2 * in.frac);
    points[Qp::mu] = quantized<float>(shape, std::move(means), datapath.at(layer, Qp::mu));
    points[Qp::var] = quantized<float>(shape, std::move(variances), datapath.at(layer, Qp::var));
}

void exact_statistics(const Tensor& in, const std::string& layer, const Datapath& datapath,
                      std::map<Qp, Tensor>& points) {
    const Shape shape = per_channel(in);
    const BigInteger count = in.shape.n * in.shape.h * in.shape.w;
    Sums sums = exact_sums(in);
    points[Qp::S] = to_register(shape, sums.sum, in.frac, datapath.at(layer, Qp::S));
    points[Qp::SS] = to_register(shape, sums.squares, 2 * in.frac, datapath.at(layer, Qp::SS));
    points[Qp::mu] = quotients(shape, sums.sum, in.frac, count, datapath.at(layer, Qp::mu));
    std::vector<BigInteger> spread;  // n SS - S^2
    for (std::size_t c = 0; c < sums.sum.size(); ++c)
        spread.push_back(count * sums.squares[c] - sums.sum[c] * sums.sum[c]);
    points[Qp::var] =
        quotients(shape, spread, 2 * in.frac, count * count, datapath.at(layer, Qp::var));
    const bool wide = largest_code(in) >= wide_limit;
    for (const Qp qp : {Qp::S, Qp::SS, Qp::mu, Qp::var}) {
        inherit(points[qp], {&in});
        if (wide) uncertify(points[qp], "an input's code reaches 2^50: SS may reach 2^127");
    }
}

/// r + round((m - r) / 2^t), the rounding on r's grid.
template <class Real>
Tensor follow(std::vector<double>& running, const Tensor& latest, int t, const Quantizer& rule) {
    Quantizer unbounded = rule;  // the step; only the sum meets the register's width
    unbounded.format.bits = 60;
    unbounded.format.is_signed = true;
    std::vector<double> steps;
    for (std::size_t c = 0; c < running.size(); ++c)
        steps.push_back(static_cast<double>(
            (static_cast<Real>(latest.values[c]) - static_cast<Real>(running[c])) /
            power_of_two<Real>(t)));
    Tensor result = quantized<Real>(latest.shape, std::move(steps), unbounded);
    for (std::size_t c = 0; c < running.size(); ++c)
        result.values[c] = static_cast<double>(static_cast<Real>(result.values[c]) +
                                               static_cast<Real>(running[c]));
    const std::vector<bool> ties = result.ties;
    quantize<Real>(result, rule);
    result.ties = ties;
    inherit(result, {&latest});
    if (is_exact<Real> && !(std::ldexp(largest(latest.values) + largest(running),
                                       std::max(latest.frac, rule.format.frac)) < integer_limit))
        uncertify(result, "a running statistic's difference may reach 2^53");
    running = result.values;
    return result;
}

/// A quotient as a sign and a 16-bit mantissa in [2^15, 2^16) times 2^-frac; 0 stays 0. The
/// rounding rule sees the sign.
struct Mantissa {
    double value = 0;
    int frac = 0;
    bool tie = false;
};
template <class Real>
Mantissa to_mantissa(Real numerator, Real denominator, Rounding rounding) {
    const Real quotient = numerator / denominator;
    if (quotient == 0) return {};
    int exponent = 0;
    std::frexp(quotient, &exponent);  // |quotient| in [2^(exponent-1), 2^exponent)
    int frac = 16 - exponent;
    const Real scaled = std::ldexp(quotient, frac);
    Real mantissa = round_to_integer(scaled, rounding);
    const double value = std::ldexp(static_cast<double>(mantissa), -frac);
    if (std::abs(mantissa) == Real{65536}) --frac;  // renormalised: 2^15 times 2^-frac
    return {value, frac, is_tie(scaled)};
}

/// Per channel, numerator / (sigma + eps) as a mantissa.
struct Mantissas {
    Tensor tensor;
    std::vector<int> fracs;
};
template <class Real>
Mantissas over_sigma(const std::vector<double>& numerators, int frac, const Tensor& sigma,
                     double eps, Rounding rounding) {
    Mantissas result;
    Tensor& tensor = result.tensor;
    tensor.shape = sigma.shape;
    bool first = true, any_tie = false;
    for (std::size_t c = 0; c < numerators.size(); ++c) {
        const Real divisor = static_cast<Real>(sigma.values[c]) + static_cast<Real>(eps);
        const Mantissa m = to_mantissa(static_cast<Real>(numerators[c]), divisor, rounding);
        tensor.values.push_back(m.value);
        tensor.ties.push_back(m.tie);
        any_tie = any_tie || m.tie;
        result.fracs.push_back(m.frac);
        if (m.value == 0) continue;
        tensor.frac = first ? m.frac : std::max(tensor.frac, m.frac);
        first = false;
    }
    if (!any_tie) tensor.ties.clear();
    inherit(tensor, {&sigma});
    // As integers a / b: b is sigma's code + 1, a the numerator's code or, shifted until the
    // quotient has 16 bits, below 2^16 b.
    if (is_exact<Real> &&
        !(std::ldexp(largest(sigma.values) + eps, sigma.frac + 16) < quotient_limit &&
          std::ldexp(largest(numerators), frac) < quotient_limit))
        uncertify(tensor, "a quotient by sigma may round twice");
    return result;
}

/// Calls use(element index, channel) in memory order.
template <class Use>
void for_each_element(const Tensor& tensor, Use use) {
    const Planes planes(tensor);
    std::size_t i = 0;
    for (std::size_t n = 0; n < planes.images; ++n)
        for (std::size_t c = 0; c < planes.channels; ++c)
            for (std::size_t p = 0; p < planes.size; ++p, ++i) use(i, c);
}

/// Largest |y - mu|.
double largest_distance(const Tensor& in, const Tensor& mu) {
    double result = 0;
    for_each_element(in, [&](std::size_t i, std::size_t c) {
        result = std::max(result, std::abs(in.values[i] - mu.values[c]));
    });
    return result;
}

template <class Real>
void normalize(const Tensor& in, const std::string& layer, const Datapath& datapath, double eps,
               std::map<Qp, Tensor>& points) {
    const Quantizer& rule = datapath.at(layer, Qp::xhat);
    const Tensor& mu = points[Qp::mu];
    const Tensor& sigma = points[Qp::sigma];
    const bool reciprocal = datapath.normalize == Normalize::reciprocal;
    Tensor xhat;
    xhat.shape = in.shape;
    xhat.values.resize(in.values.size());
    inherit(xhat, {&in, &mu, &sigma});

    const int distance_frac = std::max(in.frac, mu.frac);
    const double distance = is_exact<Real> ? largest_distance(in, mu) : 0.0;
    bool proven = std::ldexp(distance, distance_frac) < integer_limit;
    if (reciprocal) {
        const std::vector<double> ones(sigma.values.size(), 1.0);
        Mantissas inverse =
            over_sigma<Real>(ones, 0, sigma, eps, datapath.at(layer, Qp::inv).rounding);
        inverse.tensor.bits = 16;
        inverse.tensor.is_signed = false;
        const Tensor& inv = points[Qp::inv] = std::move(inverse.tensor);
        for_each_element(in, [&](std::size_t i, std::size_t c) {
            const Real difference =
                static_cast<Real>(in.values[i]) - static_cast<Real>(mu.values[c]);
            xhat.values[i] = static_cast<double>(difference * static_cast<Real>(inv.values[c]));
        });
        inherit(xhat, {&inv});
        proven = proven && std::ldexp(distance, distance_frac + 16) < integer_limit;
    } else {
        std::vector<Real> divisors;
        for (const double value : sigma.values)
            divisors.push_back(static_cast<Real>(value) + static_cast<Real>(eps));
        for_each_element(in, [&](std::size_t i, std::size_t c) {
            const Real difference =
                static_cast<Real>(in.values[i]) - static_cast<Real>(mu.values[c]);
            xhat.values[i] = static_cast<double>(difference / divisors[c]);
        });
        // In units of 2^-distance_frac over 2^-sigma.frac, then times 2^xhat.frac.
        const int shift = std::max(0, rule.format.frac + sigma.frac - distance_frac);
        proven = proven && std::ldexp(distance, distance_frac + shift) < quotient_limit;
    }
    quantize<Real>(xhat, rule);
    if (is_exact<Real> && !proven)
        uncertify(xhat, "layer '" + layer + "': a normalised value may round twice");
    points[Qp::xhat] = std::move(xhat);
}

template <class Real>
Tensor scale_and_shift(const Tensor& xhat, const Tensor& gamma, const Tensor& beta,
                       const std::string& layer, int bits) {
    Tensor x2;
    x2.shape = xhat.shape;
    x2.frac = gamma.frac + xhat.frac;
    x2.bits = bits;
    x2.values.resize(xhat.values.size());
    for_each_element(xhat, [&](std::size_t i, std::size_t c) {
        x2.values[i] = static_cast<double>(static_cast<Real>(gamma.values[c]) *
                                               static_cast<Real>(xhat.values[i]) +
                                           static_cast<Real>(beta.values[c]));
    });
    inherit(x2, {&xhat, &gamma, &beta});
    if (is_exact<Real> &&
        !(std::ldexp(largest(gamma.values) * largest(xhat.values) + largest(beta.values),
                     std::max(x2.frac, beta.frac)) < integer_limit))
        uncertify(x2, "layer '" + layer + "': gamma_q xhat + beta_q may reach 2^53");
    return x2;
}

template <class Real>
Tensor fold(const Tensor& in, const std::string& layer, const Datapath& datapath, double eps,
            std::map<Qp, Tensor>& points) {
    const Tensor& mu = points[Qp::mu];
    const Tensor& gamma = points[Qp::gamma_q];
    const Tensor& beta = points[Qp::beta_q];
    Mantissas factors = over_sigma<Real>(gamma.values, gamma.frac, points[Qp::sigma], eps,
                                         datapath.at(layer, Qp::fold_a).rounding);
    factors.tensor.bits = 17;  // the mantissa and a sign
    Tensor& a = points[Qp::fold_a] = std::move(factors.tensor);
    inherit(a, {&gamma});

    Tensor b;
    b.shape = a.shape;
    bool proven = true;
    for (std::size_t c = 0; c < a.values.size(); ++c) {
        b.values.push_back(
            static_cast<double>(static_cast<Real>(beta.values[c]) -
                                static_cast<Real>(a.values[c]) * static_cast<Real>(mu.values[c])));
        proven =
            proven && std::ldexp(std::abs(beta.values[c]) + std::abs(a.values[c] * mu.values[c]),
                                 std::max(beta.frac, factors.fracs[c] + mu.frac)) < integer_limit;
    }
    quantize<Real>(b, datapath.at(layer, Qp::fold_b));
    inherit(b, {&a, &mu, &beta});
    if (is_exact<Real> && !proven)
        uncertify(b, "layer '" + layer + "': beta_q - a mu may reach 2^53");

    Tensor out;
    out.shape = in.shape;
    out.frac = std::max(a.frac + in.frac, b.frac);
    out.values.resize(in.values.size());
    std::vector<double> reach(a.values.size(), 0.0);  // largest |a y| + |b|
    for_each_element(in, [&](std::size_t i, std::size_t c) {
        const Real product = static_cast<Real>(a.values[c]) * static_cast<Real>(in.values[i]);
        out.values[i] = static_cast<double>(product + static_cast<Real>(b.values[c]));
        reach[c] = std::max(reach[c], std::abs(static_cast<double>(product)));
    });
    inherit(out, {&in, &a, &b});
    for (std::size_t c = 0; c < reach.size(); ++c)
        if (is_exact<Real> &&
            !(std::ldexp(reach[c] + std::abs(b.values[c]),
                         std::max(factors.fracs[c] + in.frac, b.frac)) < integer_limit))
            uncertify(out, "layer '" + layer + "': a y + b may reach 2^53");
    points[Qp::fold_b] = std::move(b);
    return out;
}

}  // namespace

template <class Real>
BatchNormResult batch_norm(const Tensor& in, const std::string& layer, const Datapath& datapath,
                           bool batch_statistics, const ChannelParameters& parameters) {
    BatchNormResult result;
    std::map<Qp, Tensor>& points = result.points;
    const Shape shape = per_channel(in);
    if (batch_statistics) {
        if (is_exact<Real>)
            exact_statistics(in, layer, datapath, points);
        else
            float_statistics(in, layer, datapath, points);
        points[Qp::sigma] = root<Real>(points[Qp::var], datapath.at(layer, Qp::sigma));
        points[Qp::run_mu] = follow<Real>(*parameters.run_mu, points[Qp::mu],
                                          datapath.running_shift, datapath.at(layer, Qp::run_mu));
        points[Qp::run_sigma] =
            follow<Real>(*parameters.run_sigma, points[Qp::sigma], datapath.running_shift,
                         datapath.at(layer, Qp::run_sigma));
    } else {
        points[Qp::mu] = quantized<Real>(shape, *parameters.run_mu, datapath.at(layer, Qp::mu));
        points[Qp::sigma] =
            quantized<Real>(shape, *parameters.run_sigma, datapath.at(layer, Qp::sigma));
    }
    points[Qp::gamma_q] =
        quantized<Real>(shape, *parameters.gamma, datapath.at(layer, Qp::gamma_q));
    points[Qp::beta_q] = quantized<Real>(shape, *parameters.beta, datapath.at(layer, Qp::beta_q));

    // One code of sigma: the divisor is never 0.
    const double eps = std::ldexp(1.0, -points[Qp::sigma].frac);
    if (!batch_statistics && datapath.bn_inference == BnInference::folded) {
        result.folded = fold<Real>(in, layer, datapath, eps, points);
        return result;
    }
    normalize<Real>(in, layer, datapath, eps, points);
    points[Qp::x2] =
        scale_and_shift<Real>(points[Qp::xhat], points[Qp::gamma_q], points[Qp::beta_q], layer,
                              datapath.at(layer, Qp::x2).format.bits);
    return result;
}
template BatchNormResult batch_norm<double>(const Tensor&, const std::string&, const Datapath&,
                                            bool, const ChannelParameters&);
template BatchNormResult batch_norm<float>(const Tensor&, const std::string&, const Datapath&, bool,
                                           const ChannelParameters&);

}  // namespace wagesim::golden
