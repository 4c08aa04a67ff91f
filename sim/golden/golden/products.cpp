// See products.h.
#include "golden/products.h"

#include <cblas.h>

#include <algorithm>
#include <cmath>

#include "golden/quantize.h"

namespace wagesim::golden {
namespace {

/// A layer as matrix products, per image and group: rows of operands (pixels x depth) times
/// weights (outputs x depth).
struct Dimensions {
    explicit Dimensions(const Layer& layer) {
        if (layer.type == LayerType::linear) {
            outputs = layer.out_channels;
            depth = layer.in_shape.size();
            return;
        }
        groups = layer.groups;
        outputs = layer.out_channels / groups;
        depth = layer.in_shape.c / groups * layer.kernel.h * layer.kernel.w;
        pixels = layer.out_shape.h * layer.out_shape.w;
    }
    std::int64_t groups = 1, outputs = 0, depth = 0, pixels = 1;

    std::int64_t all_outputs() const { return groups * outputs; }
    /// Images whose operands stay in a cache.
    std::int64_t images_at_once() const {
        return std::max<std::int64_t>(1, 65536 / (pixels * depth));
    }
};

/// The input rows and columns under kernel place (kh, kw) of output (oh, ow).
std::int64_t input_row(const Layer& layer, std::int64_t oh, std::int64_t kh) {
    return oh * layer.stride.h - layer.padding.h + kh * layer.dilation.h;
}
std::int64_t input_column(const Layer& layer, std::int64_t ow, std::int64_t kw) {
    return ow * layer.stride.w - layer.padding.w + kw * layer.dilation.w;
}

/// Calls use(k, run, input index) for the runs of operands that lie inside the image, in one
/// image's rows: elements [k, k + run) of `rows` are the input's from that index on.
template <class Use>
void for_each_inside(const Layer& layer, std::int64_t group, Use use) {
    const Shape& in = layer.in_shape;
    const std::int64_t channels = in.c / layer.groups;
    const bool is_contiguous = layer.groups == 1 && layer.dilation.w == 1;
    std::int64_t k = 0;
    for (std::int64_t oh = 0; oh < layer.out_shape.h; ++oh)
        for (std::int64_t ow = 0; ow < layer.out_shape.w; ++ow)
            for (std::int64_t kh = 0; kh < layer.kernel.h; ++kh, k += layer.kernel.w * channels) {
                const std::int64_t ih = input_row(layer, oh, kh);
                if (ih < 0 || ih >= in.h) continue;
                const std::int64_t left = input_column(layer, ow, 0);
                if (is_contiguous) {
                    const std::int64_t from = std::max<std::int64_t>(0, -left);
                    const std::int64_t to = std::min<std::int64_t>(layer.kernel.w, in.w - left);
                    if (from < to)
                        use(k + from * channels, (to - from) * channels,
                            (ih * in.w + left + from) * channels);
                    continue;
                }
                for (std::int64_t kw = 0; kw < layer.kernel.w; ++kw) {
                    const std::int64_t iw = left + kw * layer.dilation.w;
                    if (iw >= 0 && iw < in.w)
                        use(k + kw * channels, channels,
                            (ih * in.w + iw) * in.c + group * channels);
                }
            }
}

/// Calls use(flattened index, memory index) of one image of a linear layer's input.
template <class Use>
void for_each_flattened(const Shape& in, Use use) {
    std::int64_t flat = 0;
    for (std::int64_t c = 0; c < in.c; ++c)
        for (std::int64_t h = 0; h < in.h; ++h)
            for (std::int64_t w = 0; w < in.w; ++w) use(flat++, in.memory_index(0, c, h, w));
}

/// The operands of one image and group: element (p, k) at [p * depth + k]; padding is 0.
template <class Real>
void fill_rows(const Layer& layer, const double* image, std::int64_t group, Real* rows) {
    if (layer.type == LayerType::linear) {
        for_each_flattened(layer.in_shape, [&](std::int64_t flat, std::int64_t index) {
            rows[flat] = static_cast<Real>(image[index]);
        });
        return;
    }
    const Dimensions d(layer);
    if (layer.padding.h != 0 || layer.padding.w != 0)
        std::fill(rows, rows + d.pixels * d.depth, Real{0});
    for_each_inside(layer, group, [&](std::int64_t k, std::int64_t run, std::int64_t index) {
        for (std::int64_t i = 0; i < run; ++i) rows[k + i] = static_cast<Real>(image[index + i]);
    });
}

/// Adds what belongs to the operands back to the image they came from.
template <class Real>
void add_rows(const Layer& layer, const Real* rows, std::int64_t group, Real* image) {
    if (layer.type == LayerType::linear) {
        for_each_flattened(layer.in_shape, [&](std::int64_t flat, std::int64_t index) {
            image[index] += rows[flat];
        });
        return;
    }
    for_each_inside(layer, group, [&](std::int64_t k, std::int64_t run, std::int64_t index) {
        for (std::int64_t i = 0; i < run; ++i) image[index + i] += rows[k + i];
    });
}

/// c = a b + beta c, row-major.
template <class Real>
void gemm(CBLAS_TRANSPOSE transpose_a, CBLAS_TRANSPOSE transpose_b, std::int64_t m, std::int64_t n,
          std::int64_t k, const Real* a, std::int64_t row_a, const Real* b, std::int64_t row_b,
          Real beta, Real* c, std::int64_t row_c) {
    const auto as_int = [](std::int64_t size) { return static_cast<int>(size); };
    if constexpr (std::is_same_v<Real, double>)
        cblas_dgemm(CblasRowMajor, transpose_a, transpose_b, as_int(m), as_int(n), as_int(k), 1.0,
                    a, as_int(row_a), b, as_int(row_b), beta, c, as_int(row_c));
    else
        cblas_sgemm(CblasRowMajor, transpose_a, transpose_b, as_int(m), as_int(n), as_int(k), 1.0F,
                    a, as_int(row_a), b, as_int(row_b), beta, c, as_int(row_c));
}

template <class Real>
struct AsReal {
    explicit AsReal(const std::vector<double>& values) : copy(values.begin(), values.end()) {}
    const Real* data() const { return copy.data(); }
    const std::vector<Real> copy;
};
template <>
struct AsReal<double> {
    explicit AsReal(const std::vector<double>& values) : original(values) {}
    const double* data() const { return original.data(); }
    const std::vector<double>& original;
};

std::vector<double> to_doubles(std::vector<double> values) { return values; }
std::vector<double> to_doubles(const std::vector<float>& values) {
    return {values.begin(), values.end()};
}

/// One output's partial sum, addition by addition, in codes.
template <class Real>
class PartialSum {
public:
    PartialSum(const MachineConfig& machine, const Quantizer& rule, double to_code)
        : products_per_addition_(machine.dataflow == Dataflow::os ? 1 : machine.array_rows),
          overflow_(machine.accumulator_overflow),
          range_(code_range(machine.accumulator_bits, true, overflow_)),
          rule_(rule),
          to_code_(to_code) {}

    void start(double bias) {
        const Fitted<Real> start = fit(static_cast<Real>(bias * to_code_), range_, overflow_);
        code_ = start.code;
        event_ = start.outside;
    }
    void add(Real a, Real b) {
        tile_ += a * b;
        if (++products_ == products_per_addition_) end_tile();
    }
    void end_tile() {
        const Fitted<Real> next =
            fit(code_ + static_cast<Real>(tile_ * to_code_), range_, overflow_);
        code_ = next.code;
        event_ = event_ || next.outside;
        tile_ = 0;
        products_ = 0;
    }
    /// The register's value; counts what happened. `wide`: the exact sum.
    double finish(double wide, Tensor& result) {
        if (products_ != 0) end_tile();
        const Fitted<Real> kept = fit(code_, code_range(rule_), rule_.overflow);
        const double value = static_cast<double>(kept.code) / to_code_ + 0.0;
        const bool adds_wrap = overflow_ == Overflow::wrap;
        const bool narrowing_wraps = rule_.overflow == Overflow::wrap;
        result.wraps += (adds_wrap && event_) || (narrowing_wraps && kept.outside);
        result.saturations += (!adds_wrap && event_) || (!narrowing_wraps && kept.outside);
        result.differs_from_wide += value != wide;
        return value;
    }

private:
    const std::int64_t products_per_addition_;
    const Overflow overflow_;
    const CodeRange range_;
    const Quantizer rule_;
    const double to_code_;
    Real code_ = 0, tile_ = 0;
    std::int64_t products_ = 0;
    bool event_ = false;
};

/// What no partial sum of a result in any order exceeds, against what the registers hold.
class Bounds {
public:
    Bounds(const Layer& layer, const MachineConfig& machine, const Quantizer& rule)
        : layer_(layer), accumulator_bits_(machine.accumulator_bits) {
        const CodeRange held =
            code_range(machine.accumulator_bits, true, machine.accumulator_overflow);
        const CodeRange kept = code_range(rule);
        room_ = std::min({-held.low, held.high, -kept.low, kept.high});
    }
    /// Whether sums of at most `bound` codes leave every register alone.
    template <class Real>
    bool fit_in(double bound, Tensor& result) const {
        const bool fit = bound <= room_;
        if (is_exact<Real> && !(bound < integer_limit))
            uncertify(result, "layer '" + layer_.name + "': sums of products may reach 2^53");
        else if (is_exact<Real> && !fit &&
                 !(std::ldexp(1.0, accumulator_bits_) + bound < integer_limit))
            uncertify(result, "layer '" + layer_.name +
                                  "': the accumulator's range and a tile's sum may reach 2^53");
        return fit;
    }

private:
    const Layer& layer_;
    const int accumulator_bits_;
    double room_ = 0;
};

Tensor product_of(const Tensor& a, const Tensor& b, const Shape& shape, const Quantizer& rule) {
    Tensor result;
    result.shape = shape;
    result.frac = a.frac + b.frac;
    result.exponent = a.exponent + b.exponent;
    result.bits = rule.format.bits;
    result.is_signed = rule.format.is_signed;
    inherit(result, {&a, &b});
    return result;
}

double to_code(const Tensor& tensor) { return std::ldexp(1.0, tensor.frac - tensor.exponent); }

}  // namespace

template <class Real>
std::vector<Real> dot_products(const Layer& layer, std::int64_t batch,
                               const std::vector<double>& in, const std::vector<double>& weights) {
    const Dimensions d(layer);
    const AsReal<Real> rows_of_weights(weights);
    std::vector<Real> sums(static_cast<std::size_t>(batch * d.pixels * d.all_outputs()));
    const std::int64_t most = std::min(batch, d.images_at_once());
    std::vector<Real> rows(static_cast<std::size_t>(most * d.pixels * d.depth));
    for (std::int64_t n = 0; n < batch; n += most) {
        const std::int64_t images = std::min(most, batch - n);
        for (std::int64_t g = 0; g < d.groups; ++g) {
            for (std::int64_t i = 0; i < images; ++i)
                fill_rows(layer, in.data() + (n + i) * layer.in_shape.size(), g,
                          rows.data() + i * d.pixels * d.depth);
            gemm<Real>(CblasNoTrans, CblasTrans, images * d.pixels, d.outputs, d.depth, rows.data(),
                       d.depth, rows_of_weights.data() + g * d.outputs * d.depth, d.depth, 0,
                       sums.data() + n * d.pixels * d.all_outputs() + g * d.outputs,
                       d.all_outputs());
        }
    }
    return sums;
}
template std::vector<double> dot_products(const Layer&, std::int64_t, const std::vector<double>&,
                                          const std::vector<double>&);
template std::vector<float> dot_products(const Layer&, std::int64_t, const std::vector<double>&,
                                         const std::vector<double>&);

template <class Real>
std::vector<Real> input_gradient(const Layer& layer, std::int64_t batch,
                                 const std::vector<double>& error,
                                 const std::vector<double>& weights) {
    const Dimensions d(layer);
    const AsReal<Real> rows_of_weights(weights), errors(error);
    std::vector<Real> sums(static_cast<std::size_t>(batch * layer.in_shape.size()));
    const std::int64_t most = std::min(batch, d.images_at_once());
    std::vector<Real> rows(static_cast<std::size_t>(most * d.pixels * d.depth));
    for (std::int64_t n = 0; n < batch; n += most) {
        const std::int64_t images = std::min(most, batch - n);
        for (std::int64_t g = 0; g < d.groups; ++g) {
            gemm<Real>(CblasNoTrans, CblasNoTrans, images * d.pixels, d.depth, d.outputs,
                       errors.data() + n * d.pixels * d.all_outputs() + g * d.outputs,
                       d.all_outputs(), rows_of_weights.data() + g * d.outputs * d.depth, d.depth,
                       0, rows.data(), d.depth);
            for (std::int64_t i = 0; i < images; ++i)
                add_rows(layer, rows.data() + i * d.pixels * d.depth, g,
                         sums.data() + (n + i) * layer.in_shape.size());
        }
    }
    return sums;
}
template std::vector<double> input_gradient(const Layer&, std::int64_t, const std::vector<double>&,
                                            const std::vector<double>&);
template std::vector<float> input_gradient(const Layer&, std::int64_t, const std::vector<double>&,
                                           const std::vector<double>&);

template <class Real>
std::vector<Real> weight_gradient(const Layer& layer, std::int64_t batch,
                                  const std::vector<double>& in, const std::vector<double>& error) {
    const Dimensions d(layer);
    const AsReal<Real> errors(error);
    std::vector<Real> sums(static_cast<std::size_t>(d.all_outputs() * d.depth));
    const std::int64_t most = std::min(batch, d.images_at_once());
    std::vector<Real> rows(static_cast<std::size_t>(most * d.pixels * d.depth));
    for (std::int64_t n = 0; n < batch; n += most) {
        const std::int64_t images = std::min(most, batch - n);
        for (std::int64_t g = 0; g < d.groups; ++g) {
            for (std::int64_t i = 0; i < images; ++i)
                fill_rows(layer, in.data() + (n + i) * layer.in_shape.size(), g,
                          rows.data() + i * d.pixels * d.depth);
            gemm<Real>(CblasTrans, CblasNoTrans, d.outputs, d.depth, images * d.pixels,
                       errors.data() + n * d.pixels * d.all_outputs() + g * d.outputs,
                       d.all_outputs(), rows.data(), d.depth, 1,
                       sums.data() + g * d.outputs * d.depth, d.depth);
        }
    }
    return sums;
}
template std::vector<double> weight_gradient(const Layer&, std::int64_t, const std::vector<double>&,
                                             const std::vector<double>&);
template std::vector<float> weight_gradient(const Layer&, std::int64_t, const std::vector<double>&,
                                            const std::vector<double>&);

template <class Real>
Tensor multiply_accumulate(const Layer& layer, const Tensor& in, const Tensor& weights,
                           const Tensor* bias, const MachineConfig& machine,
                           const Quantizer& rule) {
    Shape shape = layer.out_shape;
    shape.n = in.shape.n;
    Tensor y = product_of(in, weights, shape, rule);
    inherit(y, {bias});
    y.values = to_doubles(dot_products<Real>(layer, in.shape.n, in.values, weights.values));

    const Dimensions d(layer);
    const std::size_t outputs = static_cast<std::size_t>(d.all_outputs());
    const std::size_t depth = static_cast<std::size_t>(d.depth);
    const double operand = largest(in.values);
    const Bounds bounds(layer, machine, rule);
    std::vector<double> start(outputs, 0.0);
    if (bias != nullptr) {
        start = bias->values;
        const std::vector<Real> along = along_run<Real>(start);
        for_each_run(y, [&](std::size_t first, std::size_t count) {
            for (std::size_t j = 0; j < count; ++j)
                y.values[first + j] =
                    static_cast<double>(static_cast<Real>(y.values[first + j]) + along[j]);
        });
    }
    std::vector<std::size_t> unproven;
    for (std::size_t o = 0; o < outputs; ++o) {
        double bound = 0;
        for (std::size_t k = 0; k < depth; ++k) bound += std::abs(weights.values[o * depth + k]);
        bound = (bound * operand + std::abs(start[o])) * to_code(y);
        if (!bounds.fit_in<Real>(bound, y)) unproven.push_back(o);
    }
    if (unproven.empty()) return y;

    PartialSum<Real> sum(machine, rule, to_code(y));
    std::vector<Real> rows(static_cast<std::size_t>(d.pixels * d.depth));
    for (std::int64_t n = 0; n < in.shape.n; ++n) {
        std::int64_t filled = -1;  // the group whose operands `rows` holds
        for (const std::size_t o : unproven) {
            const std::int64_t group = static_cast<std::int64_t>(o) / d.outputs;
            if (filled != group)
                fill_rows(layer, in.values.data() + n * layer.in_shape.size(), group, rows.data());
            filled = group;
            for (std::int64_t p = 0; p < d.pixels; ++p) {
                double& value = y.values[static_cast<std::size_t>(n * d.pixels + p) * outputs + o];
                const Real* row = rows.data() + p * d.depth;
                sum.start(start[o]);
                for (std::size_t k = 0; k < depth; ++k)
                    sum.add(static_cast<Real>(weights.values[o * depth + k]), row[k]);
                value = sum.finish(value, y);
            }
        }
    }
    return y;
}
template Tensor multiply_accumulate<double>(const Layer&, const Tensor&, const Tensor&,
                                            const Tensor*, const MachineConfig&, const Quantizer&);
template Tensor multiply_accumulate<float>(const Layer&, const Tensor&, const Tensor&,
                                           const Tensor*, const MachineConfig&, const Quantizer&);

template <class Real>
Tensor accumulate_input_gradient(const Layer& layer, const Tensor& error, const Tensor& weights,
                                 const MachineConfig& machine, const Quantizer& rule) {
    Shape shape = layer.in_shape;
    shape.n = error.shape.n;
    Tensor dx = product_of(error, weights, shape, rule);
    dx.values = to_doubles(input_gradient<Real>(layer, shape.n, error.values, weights.values));

    // Per input channel (linear: per flattened input): all that its weights can make.
    const bool is_linear = layer.type == LayerType::linear;
    const Shape of_weights = weight_shape(layer);
    const std::int64_t outputs = layer.out_channels / layer.groups;
    const std::int64_t places = is_linear ? 1 : of_weights.h * of_weights.w;
    const auto weight = [&](std::int64_t o, std::int64_t place, std::int64_t i) {
        return weights.values[static_cast<std::size_t>((o * places + place) * of_weights.c + i)];
    };
    const double operand = largest(error.values);
    const Bounds bounds(layer, machine, rule);
    std::vector<bool> proven;
    for (std::int64_t g = 0; g < layer.groups; ++g)
        for (std::int64_t i = 0; i < of_weights.c; ++i) {
            double bound = 0;
            for (std::int64_t o = g * outputs; o < (g + 1) * outputs; ++o)
                for (std::int64_t place = 0; place < places; ++place)
                    bound += std::abs(weight(o, place, i));
            proven.push_back(bounds.fit_in<Real>(bound * operand * to_code(dx), dx));
        }
    if (std::find(proven.begin(), proven.end(), false) == proven.end()) return dx;

    PartialSum<Real> sum(machine, rule, to_code(dx));
    const auto add_outputs = [&](std::int64_t pixel, std::int64_t group, std::int64_t place,
                                 std::int64_t i) {
        for (std::int64_t o = group * outputs; o < (group + 1) * outputs; ++o)
            sum.add(
                pixel < 0
                    ? Real{0}
                    : static_cast<Real>(
                          error.values[static_cast<std::size_t>(pixel * layer.out_channels + o)]),
                static_cast<Real>(weight(o, place, i)));
    };
    // The output row (or column) that a kernel place brings to input row i; false: none is whole.
    const auto tap = [](std::int64_t i, int k, int padding, int dilation, int stride,
                        std::int64_t& out) {
        const std::int64_t from = i + padding - std::int64_t{k} * dilation;
        out = from / stride;
        return from % stride == 0;
    };
    if (is_linear) {
        for (std::int64_t n = 0; n < shape.n; ++n)
            for_each_flattened(layer.in_shape, [&](std::int64_t flat, std::int64_t index) {
                if (proven[static_cast<std::size_t>(flat)]) return;
                double& value =
                    dx.values[static_cast<std::size_t>(n * layer.in_shape.size() + index)];
                sum.start(0);
                add_outputs(n, 0, 0, flat);
                value = sum.finish(value, dx);
            });
        return dx;
    }
    std::size_t element = 0;
    for (std::int64_t n = 0; n < shape.n; ++n)
        for (std::int64_t ih = 0; ih < shape.h; ++ih)
            for (std::int64_t iw = 0; iw < shape.w; ++iw)
                for (std::int64_t c = 0; c < shape.c; ++c, ++element) {
                    if (proven[static_cast<std::size_t>(c)]) continue;
                    sum.start(0);
                    for (int kh = 0; kh < layer.kernel.h; ++kh)
                        for (int kw = 0; kw < layer.kernel.w; ++kw) {
                            std::int64_t oh = 0, ow = 0;
                            if (!tap(ih, kh, layer.padding.h, layer.dilation.h, layer.stride.h,
                                     oh) ||
                                !tap(iw, kw, layer.padding.w, layer.dilation.w, layer.stride.w, ow))
                                continue;
                            const bool inside = oh >= 0 && oh < layer.out_shape.h && ow >= 0 &&
                                                ow < layer.out_shape.w;
                            add_outputs(
                                inside ? (n * layer.out_shape.h + oh) * layer.out_shape.w + ow : -1,
                                c / of_weights.c, kh * layer.kernel.w + kw, c % of_weights.c);
                        }
                    dx.values[element] = sum.finish(dx.values[element], dx);
                }
    return dx;
}
template Tensor accumulate_input_gradient<double>(const Layer&, const Tensor&, const Tensor&,
                                                  const MachineConfig&, const Quantizer&);
template Tensor accumulate_input_gradient<float>(const Layer&, const Tensor&, const Tensor&,
                                                 const MachineConfig&, const Quantizer&);

template <class Real>
Tensor accumulate_weight_gradient(const Layer& layer, const Tensor& in, const Tensor& error,
                                  const MachineConfig& machine, const Quantizer& rule) {
    const std::int64_t batch = in.shape.n;
    Tensor gw = product_of(in, error, weight_shape(layer), rule);
    gw.values = to_doubles(weight_gradient<Real>(layer, batch, in.values, error.values));

    const Dimensions d(layer);
    const std::size_t outputs = static_cast<std::size_t>(d.all_outputs());
    std::vector<double> reach(run_length(outputs), 0.0);  // per output, the sum of |error|
    for_each_run(error, [&](std::size_t first, std::size_t count) {
        double* sum = reach.data();
        for (std::size_t j = 0; j < count; ++j) sum[j] += std::abs(error.values[first + j]);
    });
    for (std::size_t j = outputs; j < reach.size(); ++j) reach[j % outputs] += reach[j];
    const double operand = largest(in.values);
    const Bounds bounds(layer, machine, rule);
    std::vector<std::size_t> unproven;
    for (std::size_t o = 0; o < outputs; ++o)
        if (!bounds.fit_in<Real>(reach[o] * operand * to_code(gw), gw)) unproven.push_back(o);
    if (unproven.empty()) return gw;

    // ws: a tile ends with its image, or with its group of small images.
    const std::int64_t images_per_tile = std::max<std::int64_t>(1, machine.array_rows / d.pixels);
    const std::size_t depth = static_cast<std::size_t>(d.depth);
    std::vector<PartialSum<Real>> sums(outputs * depth,
                                       PartialSum<Real>(machine, rule, to_code(gw)));
    for (PartialSum<Real>& sum : sums) sum.start(0);
    std::vector<Real> rows(static_cast<std::size_t>(d.pixels * d.depth));
    for (std::int64_t n = 0; n < batch; ++n) {
        std::int64_t filled = -1;
        for (const std::size_t o : unproven) {
            const std::int64_t group = static_cast<std::int64_t>(o) / d.outputs;
            if (filled != group)
                fill_rows(layer, in.values.data() + n * layer.in_shape.size(), group, rows.data());
            filled = group;
            for (std::int64_t p = 0; p < d.pixels; ++p) {
                const Real e = static_cast<Real>(
                    error.values[static_cast<std::size_t>(n * d.pixels + p) * outputs + o]);
                const Real* row = rows.data() + p * d.depth;
                for (std::size_t k = 0; k < depth; ++k) sums[o * depth + k].add(row[k], e);
            }
            if ((n + 1) % images_per_tile == 0)
                for (std::size_t k = 0; k < depth; ++k) sums[o * depth + k].end_tile();
        }
    }
    for (const std::size_t o : unproven)
        for (std::size_t k = 0; k < depth; ++k) {
            double& value = gw.values[o * depth + k];
            value = sums[o * depth + k].finish(value, gw);
        }
    return gw;
}
template Tensor accumulate_weight_gradient<double>(const Layer&, const Tensor&, const Tensor&,
                                                   const MachineConfig&, const Quantizer&);
template Tensor accumulate_weight_gradient<float>(const Layer&, const Tensor&, const Tensor&,
                                                  const MachineConfig&, const Quantizer&);

}  // namespace wagesim::golden
