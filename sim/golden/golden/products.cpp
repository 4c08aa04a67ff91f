// Convolution and fully connected layers: exact dot products, and the accumulator that holds them.
#include "golden/products.h"

#include <cblas.h>

#include <algorithm>
#include <cmath>
#include <type_traits>

#include "golden/quantize.h"

namespace wagesim::golden {
namespace {

/// A layer as a matrix product per image and group: weights (outputs x depth) times columns
/// (depth x pixels).
struct Dimensions {
    std::int64_t groups = 1, outputs = 0, depth = 0, pixels = 1;  // per group
};

Dimensions dimensions(const Layer& layer) {
    if (layer.type == LayerType::linear) return {1, layer.out_channels, layer.in_shape.size(), 1};
    const std::int64_t groups = layer.groups;
    return {groups, layer.out_channels / groups,
            layer.in_shape.c / groups * layer.kernel.h * layer.kernel.w,
            layer.out_shape.h * layer.out_shape.w};
}

/// Weights as rows of ascending K.
template <class Real>
std::vector<Real> weight_rows(const Layer& layer, const std::vector<double>& weights) {
    std::vector<Real> rows(weights.size());
    if (layer.type == LayerType::linear) {
        std::copy(weights.begin(), weights.end(), rows.begin());
        return rows;
    }
    const Shape shape = weight_shape(layer);
    std::size_t next = 0;
    for (std::int64_t o = 0; o < shape.n; ++o)
        for (std::int64_t kh = 0; kh < shape.h; ++kh)
            for (std::int64_t kw = 0; kw < shape.w; ++kw)
                for (std::int64_t i = 0; i < shape.c; ++i)
                    rows[next++] = static_cast<Real>(
                        weights[static_cast<std::size_t>(shape.index(o, i, kh, kw))]);
    return rows;
}

/// The operands of one image and group: element (k, p) at [k * pixels + p]; padding is 0.
template <class Real>
void fill_columns(const Layer& layer, const double* image, std::int64_t group,
                  std::vector<Real>& columns) {
    const Dimensions d = dimensions(layer);
    columns.resize(static_cast<std::size_t>(d.depth * d.pixels));
    if (layer.type == LayerType::linear) {
        std::copy(image, image + d.depth, columns.begin());
        return;
    }
    const Shape& in = layer.in_shape;
    const std::int64_t channels = in.c / layer.groups;
    Real* next = columns.data();
    for (int kh = 0; kh < layer.kernel.h; ++kh)
        for (int kw = 0; kw < layer.kernel.w; ++kw)
            for (std::int64_t c = 0; c < channels; ++c) {
                const double* plane = image + (group * channels + c) * in.h * in.w;
                for (std::int64_t oh = 0; oh < layer.out_shape.h; ++oh) {
                    const std::int64_t ih =
                        oh * layer.stride.h - layer.padding.h + kh * layer.dilation.h;
                    for (std::int64_t ow = 0; ow < layer.out_shape.w; ++ow) {
                        const std::int64_t iw =
                            ow * layer.stride.w - layer.padding.w + kw * layer.dilation.w;
                        const bool inside = ih >= 0 && ih < in.h && iw >= 0 && iw < in.w;
                        *next++ = inside ? static_cast<Real>(plane[ih * in.w + iw]) : Real{0};
                    }
                }
            }
}

void gemm(CBLAS_TRANSPOSE transpose_b, std::int64_t m, std::int64_t n, std::int64_t k,
          const double* a, const double* b, std::int64_t row_b, double* c) {
    cblas_dgemm(CblasRowMajor, CblasNoTrans, transpose_b, static_cast<int>(m), static_cast<int>(n),
                static_cast<int>(k), 1.0, a, static_cast<int>(k), b, static_cast<int>(row_b), 0.0,
                c, static_cast<int>(n));
}
void gemm(CBLAS_TRANSPOSE transpose_b, std::int64_t m, std::int64_t n, std::int64_t k,
          const float* a, const float* b, std::int64_t row_b, float* c) {
    cblas_sgemm(CblasRowMajor, CblasNoTrans, transpose_b, static_cast<int>(m), static_cast<int>(n),
                static_cast<int>(k), 1.0F, a, static_cast<int>(k), b, static_cast<int>(row_b), 0.0F,
                c, static_cast<int>(n));
}

/// One output channel's partial sums, addition by addition, in codes.
template <class Real>
class Accumulator {
public:
    Accumulator(const MachineConfig& machine, const Quantizer& rule)
        : products_per_addition_(machine.dataflow == Dataflow::os ? 1 : machine.array_rows),
          overflow_(machine.accumulator_overflow),
          range_(code_range(machine.accumulator_bits, true, overflow_)),
          narrowing_(rule.overflow),
          narrow_(code_range(rule.format.bits, rule.format.is_signed, rule.overflow)) {}

    /// Replaces `pixels` exact sums by what the accumulator and the narrowing leave of them.
    void run(const Real* weights, const Real* columns, std::int64_t depth, std::int64_t pixels,
             double bias, double to_code, double* sums, Tensor& y) {
        const std::size_t count = static_cast<std::size_t>(pixels);
        const Real scale = static_cast<Real>(to_code);
        const Fitted<Real> start = fit(static_cast<Real>(bias * to_code), range_, overflow_);
        sum_.assign(count, start.code);
        event_.assign(count, start.outside);
        for (std::int64_t first = 0; first < depth; first += products_per_addition_) {
            tile_.assign(count, Real{0});
            for (std::int64_t k = first; k < std::min(depth, first + products_per_addition_); ++k)
                for (std::size_t p = 0; p < count; ++p)
                    tile_[p] += weights[k] * columns[static_cast<std::size_t>(k * pixels) + p];
            for (std::size_t p = 0; p < count; ++p) {
                const Fitted<Real> next = fit(sum_[p] + tile_[p] * scale, range_, overflow_);
                sum_[p] = next.code;
                event_[p] = event_[p] || next.outside;
            }
        }
        const bool adds_wrap = overflow_ == Overflow::wrap;
        const bool narrowing_wraps = narrowing_ == Overflow::wrap;
        for (std::size_t p = 0; p < count; ++p) {
            const Fitted<Real> kept = fit(sum_[p], narrow_, narrowing_);
            const double value = static_cast<double>(kept.code) / to_code;
            y.wraps += (adds_wrap && event_[p]) || (narrowing_wraps && kept.outside);
            y.saturations += (!adds_wrap && event_[p]) || (!narrowing_wraps && kept.outside);
            y.differs_from_wide += value != sums[p] + bias;
            sums[p] = value + 0.0;
        }
    }

private:
    const std::int64_t products_per_addition_;
    const Overflow overflow_;
    const CodeRange range_;
    const Overflow narrowing_;
    const CodeRange narrow_;
    std::vector<Real> sum_, tile_;
    std::vector<bool> event_;
};

}  // namespace

template <class Real>
std::vector<Real> dot_products(const Layer& layer, std::int64_t batch,
                               const std::vector<double>& in, const std::vector<double>& weights) {
    const Dimensions d = dimensions(layer);
    const std::vector<Real> rows = weight_rows<Real>(layer, weights);
    std::vector<Real> sums(static_cast<std::size_t>(batch * layer.out_shape.size()));
    if (layer.type == LayerType::linear) {
        const std::vector<Real> operand(in.begin(), in.end());
        gemm(CblasTrans, batch, d.outputs, d.depth, operand.data(), rows.data(), d.depth,
             sums.data());
        return sums;
    }
    std::vector<Real> columns;
    for (std::int64_t n = 0; n < batch; ++n)
        for (std::int64_t g = 0; g < d.groups; ++g) {
            fill_columns(layer, in.data() + n * layer.in_shape.size(), g, columns);
            gemm(CblasNoTrans, d.outputs, d.pixels, d.depth, rows.data() + g * d.outputs * d.depth,
                 columns.data(), d.pixels, sums.data() + (n * d.groups + g) * d.outputs * d.pixels);
        }
    return sums;
}
template std::vector<double> dot_products<double>(const Layer&, std::int64_t,
                                                  const std::vector<double>&,
                                                  const std::vector<double>&);
template std::vector<float> dot_products<float>(const Layer&, std::int64_t,
                                                const std::vector<double>&,
                                                const std::vector<double>&);

template <class Real>
Tensor multiply_accumulate(const Layer& layer, const Tensor& in, const Tensor& weights,
                           const Tensor* bias, const MachineConfig& machine,
                           const Quantizer& rule) {
    Tensor y;
    y.shape = layer.out_shape;
    y.shape.n = in.shape.n;
    y.frac = in.frac + weights.frac;
    y.bits = rule.format.bits;
    y.is_signed = rule.format.is_signed;
    inherit(y, {&in, &weights, bias});
    if constexpr (std::is_same_v<Real, double>) {
        y.values = dot_products<double>(layer, in.shape.n, in.values, weights.values);
    } else {
        const std::vector<Real> sums =
            dot_products<Real>(layer, in.shape.n, in.values, weights.values);
        y.values.assign(sums.begin(), sums.end());
    }

    // Per output channel: what no partial sum, in any order, can exceed.
    const Dimensions d = dimensions(layer);
    const std::size_t outputs = static_cast<std::size_t>(layer.out_channels);
    const std::vector<Real> rows = weight_rows<Real>(layer, weights.values);
    const double to_code = std::ldexp(1.0, y.frac);
    const double operand = largest(in.values);
    const CodeRange held = code_range(machine.accumulator_bits, true, machine.accumulator_overflow);
    const CodeRange kept = code_range(rule.format.bits, rule.format.is_signed, rule.overflow);
    const double room = std::min({-held.low, held.high, -kept.low, kept.high});
    std::vector<double> start(outputs, 0.0);
    if (bias != nullptr) start = bias->values;
    std::vector<bool> fits(outputs);
    for (std::size_t o = 0; o < outputs; ++o) {
        const Real* row = rows.data() + o * static_cast<std::size_t>(d.depth);
        double bound = 0;
        for (std::int64_t k = 0; k < d.depth; ++k) bound += std::abs(static_cast<double>(row[k]));
        bound = (bound * operand + std::abs(start[o])) * to_code;
        fits[o] = bound <= room;
        if (std::is_same_v<Real, float>) continue;
        if (!(bound < integer_limit))
            uncertify(y, "layer '" + layer.name + "': sums of products may reach 2^53");
        else if (!fits[o] && !(std::ldexp(1.0, machine.accumulator_bits) + bound < integer_limit))
            uncertify(y, "layer '" + layer.name +
                             "': the accumulator's range and a tile's sum may reach 2^53");
    }

    std::vector<Real> columns;
    Accumulator<Real> accumulator(machine, rule);
    for (std::int64_t n = 0; n < in.shape.n; ++n) {
        std::int64_t filled = -1;  // the group whose operands `columns` holds
        for (std::size_t o = 0; o < outputs; ++o) {
            const std::int64_t output = static_cast<std::int64_t>(o);
            double* sums = y.values.data() + (n * layer.out_channels + output) * d.pixels;
            if (fits[o]) {
                if (bias == nullptr) continue;
                for (std::int64_t p = 0; p < d.pixels; ++p)
                    sums[p] = static_cast<double>(static_cast<Real>(sums[p]) +
                                                  static_cast<Real>(start[o]));
                continue;
            }
            if (filled != output / d.outputs) {
                filled = output / d.outputs;
                fill_columns(layer, in.values.data() + n * layer.in_shape.size(), filled, columns);
            }
            accumulator.run(rows.data() + output * d.depth, columns.data(), d.depth, d.pixels,
                            start[o], to_code, sums, y);
        }
    }
    return y;
}
template Tensor multiply_accumulate<double>(const Layer&, const Tensor&, const Tensor&,
                                            const Tensor*, const MachineConfig&, const Quantizer&);
template Tensor multiply_accumulate<float>(const Layer&, const Tensor&, const Tensor&,
                                           const Tensor*, const MachineConfig&, const Quantizer&);

}  // namespace wagesim::golden
