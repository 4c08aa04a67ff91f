// See errors.h.
#include "golden/errors.h"

#include <algorithm>
#include <cmath>

#include "golden/pool.h"
#include "golden/quantize.h"
#include "golden/wide.h"

namespace wagesim::golden {
namespace {

int ceil_log2(std::int64_t n) {
    int log2 = 0;
    while ((std::int64_t{1} << log2) < n) ++log2;
    return log2;
}

/// Bits of a magnitude.
int bit_length(Wide magnitude) {
    int bits = 0;
    for (; magnitude != 0; magnitude >>= 1) ++bits;
    return bits;
}

Wide largest_wide(const std::vector<Wide>& codes) {
    Wide most = 0;
    for (const Wide code : codes) most = std::max(most, code < 0 ? -code : code);
    return most;
}

/// A tensor of the same unit as `like` from exact codes.
Tensor tensor_of(const Shape& shape, const std::vector<Wide>& codes, const Tensor& like) {
    Tensor tensor;
    tensor.shape = shape;
    tensor.frac = like.frac;
    tensor.exponent = like.exponent;
    const double unit = std::ldexp(1.0, unit_log2(tensor));
    std::vector<double> values;
    values.reserve(codes.size());
    for (const Wide code : codes) values.push_back(static_cast<double>(code) * unit);
    tensor.values = std::move(values);
    if (static_cast<double>(largest_wide(codes)) >= integer_limit) tensor.exact = codes;
    return tensor;
}

/// Codes times 2^shift, rounded where that is a right shift; counts what it rounds.
void align(std::vector<Wide>& codes, int shift, Rounding rounding, std::int64_t& rounded) {
    constexpr int beyond = 100;  // codes have 64 bits
    if (shift >= 0) {
        for (Wide& code : codes) code *= Wide{1} << shift;
        return;
    }
    const Wide divisor = Wide{1} << std::min(-shift, beyond);
    for (Wide& code : codes) {
        rounded += code % divisor != 0;
        code = divide(code, divisor, rounding).code;
    }
}

}  // namespace

template <class Real>
Tensor fork(const std::vector<Delivered>& operands, const Quantizer& rule) {
    std::vector<const Delivered*> taken;
    for (const Delivered& operand : operands)
        if (operand.is_always_operand || largest(operand.error->values) != 0)
            taken.push_back(&operand);
    if (taken.empty())
        for (const Delivered& operand : operands) taken.push_back(&operand);

    const Tensor* finest = taken.front()->error.get();
    for (const Delivered* operand : taken)
        if (unit_log2(*operand->error) < unit_log2(*finest)) finest = operand->error.get();
    const int more = ceil_log2(static_cast<std::int64_t>(taken.size())) - 1;
    int excess = 0;
    double bound = 0;
    for (const Delivered* operand : taken) {
        const int distance = unit_log2(*operand->error) - unit_log2(*finest);
        excess = std::max(excess, operand->bits + distance + more - 63);
        bound += std::ldexp(largest_code(*operand->error), distance);
    }

    Tensor sum;
    if (excess == 0 && (bound < integer_limit || !is_exact<Real>)) {
        sum.shape = finest->shape;
        sum.frac = finest->frac;
        sum.exponent = finest->exponent;
        std::vector<Reader<Real>> errors;
        for (const Delivered* operand : taken) errors.emplace_back(operand->error->values);
        const auto add_up = [&](std::size_t first, std::size_t count, Real* x) {
            std::fill_n(x, count, Real{0});
            for (Reader<Real>& error : errors) {
                const Real* e = error(first, count);
                for (std::size_t j = 0; j < count; ++j) x[j] += e[j];
            }
        };
        sum.values = on_grid<Real>(sum.shape, add_up, {-bound, bound}, unit_log2(sum));
    } else {
        Tensor unit;
        unit.frac = finest->frac - excess;
        unit.exponent = finest->exponent;
        std::vector<Wide> total(finest->values.size());
        std::int64_t rounded = 0;
        for (const Delivered* operand : taken) {
            std::vector<Wide> codes = wide_codes(*operand->error);
            align(codes, unit_log2(*operand->error) - unit_log2(unit), rule.rounding, rounded);
            for (std::size_t i = 0; i < total.size(); ++i) total[i] += codes[i];
        }
        for (Wide& code : total) {
            const Fitted<BigInteger> kept =
                fit(BigInteger(code), rule.format.bits, rule.format.is_signed, rule.overflow);
            (rule.overflow == Overflow::wrap ? sum.wraps : sum.saturations) += kept.outside;
            code = kept.code.convert_to<Wide>();
        }
        const std::int64_t wraps = sum.wraps, saturations = sum.saturations;
        sum = tensor_of(finest->shape, total, unit);
        sum.wraps = wraps;
        sum.saturations = saturations;
        sum.align_rounded = rounded;
    }
    sum.bits = rule.format.bits;
    for (const Delivered& operand : operands) inherit(sum, {operand.error.get()});
    return sum;
}
template Tensor fork<double>(const std::vector<Delivered>&, const Quantizer&);
template Tensor fork<float>(const std::vector<Delivered>&, const Quantizer&);

Delivered delivered_sum(SharedTensor sum) {
    const Wide most =
        sum->exact.empty() ? static_cast<Wide>(largest_code(*sum)) : largest_wide(sum->exact);
    return {std::move(sum), bit_length(most) + 1};
}

template <class Real>
Delivered max_pool_error(const Layer& layer, const Tensor& in, const Delivered& error) {
    const Tensor& from = *error.error;
    const std::int64_t batch = from.shape.n, overlap = window_overlap(layer);
    Shape shape = layer.in_shape;
    shape.n = batch;
    Tensor out;
    if (from.exact.empty() &&
        (largest_code(from) * static_cast<double>(overlap) < integer_limit || !is_exact<Real>)) {
        out.shape = shape;
        out.frac = from.frac;
        out.exponent = from.exponent;
        const double most = largest_code(from) * static_cast<double>(overlap);
        out.values = by_images(batch, shape, {-most, most}, unit_log2(out), [&](std::int64_t n) {
            return scatter_to_maxima(layer, 1, image_of(in.values, in.shape, n),
                                     image_of(from.values, from.shape, n));
        });
    } else {
        out = tensor_of(shape, scatter_to_maxima(layer, batch, in.values.reals(), wide_codes(from)),
                        from);
    }
    out.bits = error.bits + ceil_log2(overlap);
    inherit(out, {&from, &in});
    const int bits = out.bits;
    return {share(std::move(out)), bits};
}
template Delivered max_pool_error<double>(const Layer&, const Tensor&, const Delivered&);
template Delivered max_pool_error<float>(const Layer&, const Tensor&, const Delivered&);

template <class Real>
Tensor divided_error(const Layer& layer, const Tensor& error, Quantizer rule) {
    rule.format.frac = error.frac + 8;
    rule.format.exponent = error.exponent;
    const std::int64_t count = window_count(layer);
    Tensor out;
    if (error.exact.empty() &&
        (std::ldexp(largest_code(error), 8) < quotient_limit || !is_exact<Real>)) {
        out = quantized<Real>(
            error.shape,
            [&](std::size_t first, std::size_t run, Real* x) {
                error.values.read(first, run, x);
                for (std::size_t j = 0; j < run; ++j) x[j] /= static_cast<Real>(count);
            },
            rule);
    } else {
        const std::vector<Wide> codes = wide_codes(error);
        out = quotients(error.shape, {codes.begin(), codes.end()}, -unit_log2(error), count, rule);
    }
    inherit(out, {&error});
    return out;
}
template Tensor divided_error<double>(const Layer&, const Tensor&, Quantizer);
template Tensor divided_error<float>(const Layer&, const Tensor&, Quantizer);

template <class Real>
Delivered average_pool_error(const Layer& layer, const Tensor& pool_err) {
    const std::int64_t batch = pool_err.shape.n, overlap = window_overlap(layer);
    Shape shape = layer.in_shape;
    shape.n = batch;
    Tensor out;
    const double most = largest_code(pool_err) * static_cast<double>(overlap);
    if (most < integer_limit || !is_exact<Real>) {
        out.shape = shape;
        out.frac = pool_err.frac;
        out.exponent = pool_err.exponent;
        out.values = by_images(batch, shape, {-most, most}, unit_log2(out), [&](std::int64_t n) {
            return spread_over_windows(layer, 1, image_of(pool_err.values, pool_err.shape, n));
        });
    } else {
        out = tensor_of(shape, spread_over_windows(layer, batch, wide_codes(pool_err)), pool_err);
    }
    out.bits = pool_err.bits + ceil_log2(overlap);
    inherit(out, {&pool_err});
    const int bits = out.bits;
    return {share(std::move(out)), bits};
}
template Delivered average_pool_error<double>(const Layer&, const Tensor&);
template Delivered average_pool_error<float>(const Layer&, const Tensor&);

namespace {

constexpr int mean_bits = 8;  ///< fraction bits that m1 and m2 have more than e

/// Sums and means of e and of e xhat, and the gradients.
template <class Real>
std::map<Qp, Tensor> error_sums(const Tensor& e, const Tensor& xhat, const std::string& layer,
                                const Datapath& datapath) {
    const Shape shape = per_channel(e);
    const BigInteger count = e.shape.n * e.shape.h * e.shape.w;
    ChannelSums sums = channel_sums(e, xhat);
    const auto rule = [&](Qp qp, int frac) {
        Quantizer result = datapath.at(layer, qp);
        result.format.frac = frac;
        result.format.exponent = e.exponent;
        return result;
    };
    std::map<Qp, Tensor> points;
    points[Qp::g_beta] = to_register(shape, sums.sum, rule(Qp::g_beta, e.frac));
    points[Qp::g_gamma] = to_register(shape, sums.products, rule(Qp::g_gamma, e.frac + xhat.frac));
    const int of_e = e.frac - e.exponent, of_product = of_e + xhat.frac;
    points[Qp::gBN_beta] = quotients(shape, sums.sum, of_e, 1, datapath.at(layer, Qp::gBN_beta));
    points[Qp::gBN_gamma] =
        quotients(shape, sums.products, of_product, 1, datapath.at(layer, Qp::gBN_gamma));
    points[Qp::m1] = quotients(shape, sums.sum, of_e, count, rule(Qp::m1, e.frac + mean_bits));
    points[Qp::m2] =
        quotients(shape, sums.products, of_product, count, rule(Qp::m2, e.frac + mean_bits));
    for (auto& [qp, tensor] : points) {
        inherit(tensor, {&e, &xhat});
        if (is_exact<Real> && !sums.proven)
            uncertify(tensor, "layer '" + layer + "': an operand's code reaches 2^50");
    }
    return points;
}

/// bn_err element by element in wide integers. `scales`: gamma_q, 0 where no error passes.
Tensor wide_bn_err(const Tensor& e, const std::map<Qp, Tensor>& sums, const LayerPoints& forward,
                   const std::vector<double>& scales, bool reciprocal, const Quantizer& rule) {
    const auto code_of = [](const Tensor& tensor, std::size_t i) {
        return static_cast<Wide>(std::ldexp(tensor.values[i], -unit_log2(tensor)));
    };
    const Tensor& xhat = *forward.at(Qp::xhat);
    const Tensor& gamma = *forward.at(Qp::gamma_q);
    const Tensor& sigma = *forward.at(Qp::sigma);
    const std::size_t channels = gamma.values.size();
    const int frac = e.frac + mean_bits + xhat.frac + gamma.frac;  // of gamma_q P
    std::vector<BigInteger> numerators;
    std::vector<Wide> result;
    std::int64_t outside = 0;
    std::vector<bool> ties;
    for (std::size_t i = 0; i < e.values.size(); ++i) {
        const std::size_t c = i % channels;
        Wide value = code_of(e, i) * (Wide{1} << (mean_bits + xhat.frac)) -
                     code_of(sums.at(Qp::m1), c) * (Wide{1} << xhat.frac) -
                     code_of(xhat, i) * code_of(sums.at(Qp::m2), c);
        value *= static_cast<Wide>(std::ldexp(scales[c], gamma.frac));
        Wide divisor = 1;
        int shift = rule.format.frac - frac;
        if (reciprocal) {
            const int inv_frac = sigma.bits;  // at which every mantissa and exponent is exact
            value *= static_cast<Wide>(std::ldexp(forward.at(Qp::inv)->values[c], inv_frac));
            shift -= inv_frac;
        } else {
            divisor = code_of(sigma, c) + 1;
            shift += sigma.frac;
        }
        const Quotient<Wide> quotient = divide(value * (Wide{1} << std::max(shift, 0)),
                                               Wide{divisor << std::max(-shift, 0)}, rule.rounding);
        ties.push_back(quotient.tie);
        const CodeRange range = code_range(rule);
        const Fitted<BigInteger> kept = fit(BigInteger(quotient.code), BigInteger(range.low),
                                            BigInteger(range.high), rule.overflow);
        outside += kept.outside;
        result.push_back(kept.code.convert_to<Wide>());
    }
    Tensor unit;
    unit.frac = rule.format.frac;
    unit.exponent = rule.format.exponent;
    Tensor out = tensor_of(e.shape, result, unit);
    out.bits = rule.format.bits;
    (rule.overflow == Overflow::wrap ? out.wraps : out.saturations) += outside;
    if (std::find(ties.begin(), ties.end(), true) != ties.end()) out.ties = ties;
    return out;
}

template <class Real>
Tensor bn_err(const Tensor& e, const std::map<Qp, Tensor>& sums, const LayerPoints& forward,
              const Datapath& datapath, const Quantizer& rule) {
    const bool reciprocal = datapath.normalize == Normalize::reciprocal;
    const bool guards = datapath.training.sigma_guard;
    const Tensor& xhat = *forward.at(Qp::xhat);
    const Tensor& gamma = *forward.at(Qp::gamma_q);
    const Tensor& sigma = *forward.at(Qp::sigma);
    const Tensor& m1 = sums.at(Qp::m1);
    const Tensor& m2 = sums.at(Qp::m2);
    std::vector<double> passing = gamma.values.reals();
    for (std::size_t c = 0; c < passing.size(); ++c)
        if (guards && sigma.values[c] == 0) passing[c] = 0;
    // gamma_q P in its units; then the numerator of the one rounded division.
    const int frac = e.frac + mean_bits + xhat.frac + gamma.frac;
    const double bound = std::ldexp(
        (largest(e.values) + largest(m1.values) + largest(xhat.values) * largest(m2.values)) *
            largest(gamma.values),
        frac - e.exponent);
    const int shift = reciprocal ? 16 : std::max(0, rule.format.frac + sigma.frac - frac);
    if (is_exact<Real> &&
        !(std::ldexp(bound, shift) < (reciprocal ? integer_limit : quotient_limit)))
        return wide_bn_err(e, sums, forward, passing, reciprocal, rule);

    std::vector<double> channel_factors;
    const Real eps = std::ldexp(Real{1}, -sigma.frac);
    for (std::size_t c = 0; c < gamma.values.size(); ++c)
        channel_factors.push_back(
            reciprocal ? forward.at(Qp::inv)->values[c]
                       : static_cast<double>(static_cast<Real>(sigma.values[c]) + eps));
    const std::vector<Real> means = along_run<Real>(m1.values), slopes = along_run<Real>(m2.values),
                            scales = along_run<Real>(passing),
                            factors = along_run<Real>(channel_factors);
    Reader<Real> errors(e.values), normalized(xhat.values);
    return quantized<Real>(
        e.shape,
        [&](std::size_t first, std::size_t count, Real* to) {
            const Real* error = errors(first, count);
            const Real* x = normalized(first, count);
            for (std::size_t j = 0; j < count; ++j)
                to[j] = scales[j] * (error[j] - means[j] - x[j] * slopes[j]);
            if (reciprocal)
                for (std::size_t j = 0; j < count; ++j) to[j] *= factors[j];
            else
                for (std::size_t j = 0; j < count; ++j) to[j] /= factors[j];
        },
        rule);
}

}  // namespace

template <class Real>
std::map<Qp, Tensor> batch_norm_error(const Tensor& e, const std::string& layer,
                                      const Datapath& datapath, const LayerPoints& forward) {
    const Tensor& xhat = *forward.at(Qp::xhat);
    std::map<Qp, Tensor> points = error_sums<Real>(e, xhat, layer, datapath);
    Quantizer rule = datapath.at(layer, Qp::bn_err);
    rule.format.exponent = e.exponent;
    Tensor err = bn_err<Real>(e, points, forward, datapath, rule);
    inherit(err, {&e, &xhat, forward.at(Qp::sigma).get(), forward.at(Qp::gamma_q).get(),
                  &points.at(Qp::m1)});
    points[Qp::bn_err] = std::move(err);
    return points;
}
template std::map<Qp, Tensor> batch_norm_error<double>(const Tensor&, const std::string&,
                                                       const Datapath&, const LayerPoints&);
template std::map<Qp, Tensor> batch_norm_error<float>(const Tensor&, const std::string&,
                                                      const Datapath&, const LayerPoints&);

}  // namespace wagesim::golden
