// See batch_norm.h.
#include "golden/batch_norm.h"

#include <algorithm>
#include <cmath>

#include "golden/quantize.h"
#include "golden/wide.h"

namespace wagesim::golden {
namespace {

/// The square root of the variance's register, rounded once.
template <class Real>
Tensor root(const Tensor& var, const Quantizer& rule) {
    std::vector<double> values;
    for (const double value : var.values.reals())
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
    const std::size_t channels = static_cast<std::size_t>(in.shape.c);
    const std::size_t count = in.values.size() / channels;
    const std::vector<double> elements = in.values.reals();
    std::vector<double> sums, squares, means, variances;
    for (std::size_t c = 0; c < channels; ++c) {
        const auto element = [&](std::size_t i) {
            return static_cast<float>(elements[i * channels + c]);
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
    ChannelSums sums = channel_sums(in, in);
    const auto rule = [&](Qp qp, int frac) {
        Quantizer result = datapath.at(layer, qp);
        result.format.frac = frac;
        return result;
    };
    points[Qp::S] = to_register(shape, sums.sum, rule(Qp::S, in.frac));
    points[Qp::SS] = to_register(shape, sums.products, rule(Qp::SS, 2 * in.frac));
    std::vector<BigInteger> spread;  // n SS - S^2
    for (std::size_t c = 0; c < sums.sum.size(); ++c)
        spread.push_back(count * sums.products[c] - sums.sum[c] * sums.sum[c]);
    points[Qp::mu] = quotients(shape, sums.sum, in.frac, count, datapath.at(layer, Qp::mu));
    points[Qp::var] =
        quotients(shape, spread, 2 * in.frac, count * count, datapath.at(layer, Qp::var));
    for (const Qp qp : {Qp::S, Qp::SS, Qp::mu, Qp::var}) {
        inherit(points[qp], {&in});
        if (!sums.proven) uncertify(points[qp], "an input's code reaches 2^50: SS may reach 2^127");
    }
}

/// r + round((m - r) / 2^t), the rounding on r's grid.
template <class Real>
Tensor follow(Values& running, const Tensor& latest, int t, const Quantizer& rule) {
    Quantizer unbounded = rule;  // the step; only the sum meets the register's width
    unbounded.format.bits = 60;
    unbounded.format.is_signed = true;
    Reader<Real> before(running), now(latest.values);
    const Real divisor = std::ldexp(Real{1}, t);
    const Tensor steps = quantized<Real>(
        latest.shape,
        [&](std::size_t first, std::size_t count, Real* step) {
            const Real* m = now(first, count);
            const Real* r = before(first, count);
            for (std::size_t j = 0; j < count; ++j) step[j] = (m[j] - r[j]) / divisor;
        },
        unbounded);
    Tensor result = quantized<Real>(
        latest.shape,
        [&](std::size_t first, std::size_t count, Real* sum) {
            const Real* r = before(first, count);
            steps.values.read(first, count, sum);
            for (std::size_t j = 0; j < count; ++j) sum[j] += r[j];
        },
        rule);
    result.wraps += steps.wraps;
    result.saturations += steps.saturations;
    result.ties = steps.ties;
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
    std::vector<double> values;
    bool first = true, any_tie = false;
    for (std::size_t c = 0; c < numerators.size(); ++c) {
        const Real divisor = static_cast<Real>(sigma.values[c]) + static_cast<Real>(eps);
        const Mantissa m = to_mantissa(static_cast<Real>(numerators[c]), divisor, rounding);
        values.push_back(m.value);
        tensor.ties.push_back(m.tie);
        any_tie = any_tie || m.tie;
        result.fracs.push_back(m.frac);
        if (m.value == 0) continue;
        tensor.frac = first ? m.frac : std::max(tensor.frac, m.frac);
        first = false;
    }
    tensor.values = std::move(values);
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

/// Largest |y - mu|.
double largest_distance(const Tensor& in, const Tensor& mu) {
    const std::size_t channels = mu.values.size();
    std::vector<double> low(run_length(channels), HUGE_VAL), high(low.size(), -HUGE_VAL);
    Reader<double> values(in.values);
    for_each_run(in, [&](std::size_t first, std::size_t count) {
        const double* y = values(first, count);
        double* least = low.data();
        double* most = high.data();
        for (std::size_t j = 0; j < count; ++j) {
            least[j] = y[j] < least[j] ? y[j] : least[j];
            most[j] = y[j] > most[j] ? y[j] : most[j];
        }
    });
    double result = 0;
    for (std::size_t j = 0; j < low.size(); ++j)
        if (low[j] <= high[j])
            result = std::max(
                {result, mu.values[j % channels] - low[j], high[j] - mu.values[j % channels]});
    return result;
}

/// combine(in, a, b), a and b being the channel's numbers.
template <class Real, class Combine>
Formula<Real> by_channel(const Tensor& in, const Values& a, const Values& b, Combine combine) {
    return [values = Reader<Real>(in.values), along_a = along_run<Real>(a),
            along_b = along_run<Real>(b),
            combine](std::size_t first, std::size_t count, Real* to) mutable {
        const Real* x = values(first, count);
        const Real* of_a = along_a.data();
        const Real* of_b = along_b.data();
        for (std::size_t j = 0; j < count; ++j) to[j] = combine(x[j], of_a[j], of_b[j]);
    };
}

template <class Real>
void normalize(const Tensor& in, const std::string& layer, const Datapath& datapath, double eps,
               std::map<Qp, Tensor>& points) {
    const Quantizer& rule = datapath.at(layer, Qp::xhat);
    const Tensor& mu = points[Qp::mu];
    const Tensor& sigma = points[Qp::sigma];
    Tensor xhat;
    xhat.shape = in.shape;
    inherit(xhat, {&in, &mu, &sigma});

    const int distance_frac = std::max(in.frac, mu.frac);
    const double distance = is_exact<Real> ? largest_distance(in, mu) : 0.0;
    bool proven = std::ldexp(distance, distance_frac) < integer_limit;
    if (datapath.normalize == Normalize::reciprocal) {
        const std::vector<double> ones(sigma.values.size(), 1.0);
        Mantissas inverse =
            over_sigma<Real>(ones, 0, sigma, eps, datapath.at(layer, Qp::inv).rounding);
        inverse.tensor.bits = 16;
        inverse.tensor.is_signed = false;
        const Tensor& inv = points[Qp::inv] = std::move(inverse.tensor);
        quantize<Real>(
            xhat, rule,
            by_channel<Real>(in, mu.values, inv.values,
                             [](Real y, Real mean, Real factor) { return (y - mean) * factor; }));
        inherit(xhat, {&inv});
        proven = proven && std::ldexp(distance, distance_frac + 16) < integer_limit;
    } else {
        std::vector<double> divisors;
        for (const double value : sigma.values.reals())
            divisors.push_back(
                static_cast<double>(static_cast<Real>(value) + static_cast<Real>(eps)));
        quantize<Real>(
            xhat, rule,
            by_channel<Real>(in, mu.values, divisors,
                             [](Real y, Real mean, Real divisor) { return (y - mean) / divisor; }));
        // In units of 2^-distance_frac over 2^-sigma.frac, then times 2^xhat.frac.
        const int shift = std::max(0, rule.format.frac + sigma.frac - distance_frac);
        proven = proven && std::ldexp(distance, distance_frac + shift) < quotient_limit;
    }
    if (is_exact<Real> && !proven)
        uncertify(xhat, "layer '" + layer + "': a normalised value may round twice");
    points[Qp::xhat] = std::move(xhat);
}

template <class Real>
Tensor scale_and_shift(const Tensor& xhat, const Tensor& gamma, const Tensor& beta,
                       const std::string& layer, const Quantizer& rule) {
    Tensor x2;
    x2.shape = xhat.shape;
    x2.frac = gamma.frac + xhat.frac;
    x2.bits = rule.format.bits;
    x2.values = on_grid<Real>(
        x2.shape,
        by_channel<Real>(xhat, gamma.values, beta.values,
                         [](Real x, Real scale, Real shift) { return scale * x + shift; }),
        code_range(rule), unit_log2(x2));
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
    Mantissas factors = over_sigma<Real>(gamma.values.reals(), gamma.frac, points[Qp::sigma], eps,
                                         datapath.at(layer, Qp::fold_a).rounding);
    factors.tensor.bits = 17;  // the mantissa and a sign
    Tensor& a = points[Qp::fold_a] = std::move(factors.tensor);
    inherit(a, {&gamma});

    Tensor b;
    b.shape = a.shape;
    std::vector<double> shifts;
    bool proven = true;
    for (std::size_t c = 0; c < a.values.size(); ++c) {
        shifts.push_back(
            static_cast<double>(static_cast<Real>(beta.values[c]) -
                                static_cast<Real>(a.values[c]) * static_cast<Real>(mu.values[c])));
        proven =
            proven && std::ldexp(std::abs(beta.values[c]) + std::abs(a.values[c] * mu.values[c]),
                                 std::max(beta.frac, factors.fracs[c] + mu.frac)) < integer_limit;
    }
    b.values = std::move(shifts);
    quantize<Real>(b, datapath.at(layer, Qp::fold_b));
    inherit(b, {&a, &mu, &beta});
    if (is_exact<Real> && !proven)
        uncertify(b, "layer '" + layer + "': beta_q - a mu may reach 2^53");

    Tensor out;
    out.shape = in.shape;
    out.frac = std::max(a.frac + in.frac, b.frac);
    out.values = on_grid<Real>(
        out.shape,
        by_channel<Real>(in, a.values, b.values,
                         [](Real y, Real scale, Real shift) { return scale * y + shift; }),
        {-HUGE_VAL, HUGE_VAL}, unit_log2(out));
    inherit(out, {&in, &a, &b});
    const double most = largest(in.values);
    for (std::size_t c = 0; c < a.values.size(); ++c)
        if (is_exact<Real> &&
            !(std::ldexp(std::abs(a.values[c]) * most + std::abs(b.values[c]),
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
    points[Qp::gamma_q] = quantized<Real>(shape, parameters.gamma, datapath.at(layer, Qp::gamma_q));
    points[Qp::beta_q] = quantized<Real>(shape, parameters.beta, datapath.at(layer, Qp::beta_q));

    // One code of sigma: the divisor is never 0.
    const double eps = std::ldexp(1.0, -points[Qp::sigma].frac);
    if (!batch_statistics && datapath.bn_inference == BnInference::folded) {
        result.folded = fold<Real>(in, layer, datapath, eps, points);
        return result;
    }
    normalize<Real>(in, layer, datapath, eps, points);
    points[Qp::x2] = scale_and_shift<Real>(points[Qp::xhat], points[Qp::gamma_q],
                                           points[Qp::beta_q], layer, datapath.at(layer, Qp::x2));
    return result;
}
template BatchNormResult batch_norm<double>(const Tensor&, const std::string&, const Datapath&,
                                            bool, const ChannelParameters&);
template BatchNormResult batch_norm<float>(const Tensor&, const std::string&, const Datapath&, bool,
                                           const ChannelParameters&);

}  // namespace wagesim::golden
