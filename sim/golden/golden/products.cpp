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
void fill_rows(const Layer& layer, const Real* image, std::int64_t group, Real* rows) {
    if (layer.type == LayerType::linear) {
        for_each_flattened(layer.in_shape, [&](std::int64_t flat, std::int64_t index) {
            rows[flat] = image[index];
        });
        return;
    }
    const Dimensions d(layer);
    Real* filled = rows;  // up to here; between the runs is padding
    for_each_inside(layer, group, [&](std::int64_t k, std::int64_t run, std::int64_t index) {
        std::fill(filled, rows + k, Real{0});
        filled = std::copy_n(image + index, run, rows + k);
    });
    std::fill(filled, rows + d.pixels * d.depth, Real{0});
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
Buffer<Real> to_reals(const Values& values) {
    Buffer<Real> reals(values.size());
    values.read(0, reals.size(), reals.data());
    return reals;
}

/// Where image n's elements begin.
std::size_t image_at(std::int64_t n, const Shape& shape) {
    return static_cast<std::size_t>(n * shape.size());
}

/// Images read one by one.
template <class Real>
class Images {
public:
    Images(const Values& values, const Shape& shape)
        : values_(values), shape_(shape), image_(image_at(1, shape)) {}
    const Real* operator()(std::int64_t n) {
        values_.read(image_at(n, shape_), image_.size(), image_.data());
        return image_.data();
    }

private:
    const Values& values_;
    const Shape shape_;
    Buffer<Real> image_;
};

/// Calls use(first image, images, sums) for a few images at a time: each output's dot product.
template <class Real, class Use>
void for_each_dot_product(const Layer& layer, std::int64_t batch, const Values& in,
                          const Buffer<Real>& weights, Use use) {
    const Dimensions d(layer);
    const std::int64_t most = std::min(batch, d.images_at_once());
    Buffer<Real> rows(static_cast<std::size_t>(most * d.pixels * d.depth));
    Buffer<Real> sums(static_cast<std::size_t>(most * layer.out_shape.size()));
    Images<Real> images_of(in, layer.in_shape);
    for (std::int64_t n = 0; n < batch; n += most) {
        const std::int64_t images = std::min(most, batch - n);
        for (std::int64_t g = 0; g < d.groups; ++g) {
            for (std::int64_t i = 0; i < images; ++i)
                fill_rows(layer, images_of(n + i), g, rows.data() + i * d.pixels * d.depth);
            gemm<Real>(CblasNoTrans, CblasTrans, images * d.pixels, d.outputs, d.depth, rows.data(),
                       d.depth, weights.data() + g * d.outputs * d.depth, d.depth, 0,
                       sums.data() + g * d.outputs, d.all_outputs());
        }
        use(n, images, sums.data());
    }
}

/// The same for each input's gradient.
template <class Real, class Use>
void for_each_input_gradient(const Layer& layer, std::int64_t batch, const Values& error,
                             const Buffer<Real>& weights, Use use) {
    const Dimensions d(layer);
    const std::int64_t most = std::min(batch, d.images_at_once());
    Buffer<Real> rows(static_cast<std::size_t>(most * d.pixels * d.depth));
    Buffer<Real> errors(static_cast<std::size_t>(most * layer.out_shape.size()));
    Buffer<Real> sums(static_cast<std::size_t>(most * layer.in_shape.size()));
    for (std::int64_t n = 0; n < batch; n += most) {
        const std::int64_t images = std::min(most, batch - n);
        error.read(image_at(n, layer.out_shape), image_at(images, layer.out_shape), errors.data());
        std::fill_n(sums.data(), most * layer.in_shape.size(), Real{0});
        for (std::int64_t g = 0; g < d.groups; ++g) {
            gemm<Real>(CblasNoTrans, CblasNoTrans, images * d.pixels, d.depth, d.outputs,
                       errors.data() + g * d.outputs, d.all_outputs(),
                       weights.data() + g * d.outputs * d.depth, d.depth, 0, rows.data(), d.depth);
            for (std::int64_t i = 0; i < images; ++i)
                add_rows(layer, rows.data() + i * d.pixels * d.depth, g,
                         sums.data() + image_at(i, layer.in_shape));
        }
        use(n, images, sums.data());
    }
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

    void start(Real bias) {
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
    Real finish(Real wide, Tensor& result) {
        if (products_ != 0) end_tile();
        const Fitted<Real> kept = fit(code_, code_range(rule_), rule_.overflow);
        const Real value = static_cast<Real>(static_cast<double>(kept.code) / to_code_);
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

/// Whether sums of at most `bound` codes, in any order, are exact in float32 and in its range.
bool fit_in_float32(double bound, const Tensor& result) {
    return bound < float32_limit && std::abs(unit_log2(result)) < 100;
}

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

double to_code(const Tensor& tensor) { return std::ldexp(1.0, -unit_log2(tensor)); }

/// The values of a result whose sums come a few images at a time and fit the rule's register.
template <class Real>
class Sums {
public:
    Sums(const Tensor& result, const Quantizer& rule)
        : to_code_(static_cast<Real>(to_code(result))),
          writer_(static_cast<std::size_t>(result.shape.size()), code_range(rule),
                  unit_log2(result)) {}
    void write(std::size_t first, std::size_t count, Real* sums) {
        const Real scale = to_code_;
        for (std::size_t i = 0; i < count; ++i) sums[i] *= scale;
        writer_.write(first, count, sums);
    }
    Values finish() && { return std::move(writer_).finish(); }

private:
    const Real to_code_;
    Writer<Real> writer_;
};

}  // namespace

template <class Real>
std::vector<Real> dot_products(const Layer& layer, std::int64_t batch, const Values& in,
                               const Values& weights) {
    std::vector<Real> all;
    for_each_dot_product<Real>(layer, batch, in, to_reals<Real>(weights),
                               [&](std::int64_t, std::int64_t images, const Real* sums) {
                                   all.insert(all.end(), sums,
                                              sums + image_at(images, layer.out_shape));
                               });
    return all;
}
template std::vector<double> dot_products(const Layer&, std::int64_t, const Values&, const Values&);

template <class Real>
std::vector<Real> input_gradient(const Layer& layer, std::int64_t batch, const Values& error,
                                 const Values& weights) {
    std::vector<Real> all;
    for_each_input_gradient<Real>(layer, batch, error, to_reals<Real>(weights),
                                  [&](std::int64_t, std::int64_t images, const Real* sums) {
                                      all.insert(all.end(), sums,
                                                 sums + image_at(images, layer.in_shape));
                                  });
    return all;
}
template std::vector<double> input_gradient(const Layer&, std::int64_t, const Values&,
                                            const Values&);

template <class Real>
Buffer<Real> weight_gradient(const Layer& layer, std::int64_t batch, const Values& in,
                             const Values& error) {
    const Dimensions d(layer);
    Buffer<Real> sums(static_cast<std::size_t>(d.all_outputs() * d.depth));
    const std::int64_t most = std::min(batch, d.images_at_once());
    Buffer<Real> rows(static_cast<std::size_t>(most * d.pixels * d.depth));
    Buffer<Real> errors(static_cast<std::size_t>(most * layer.out_shape.size()));
    Images<Real> images_of(in, layer.in_shape);
    for (std::int64_t n = 0; n < batch; n += most) {
        const std::int64_t images = std::min(most, batch - n);
        error.read(image_at(n, layer.out_shape), image_at(images, layer.out_shape), errors.data());
        for (std::int64_t g = 0; g < d.groups; ++g) {
            for (std::int64_t i = 0; i < images; ++i)
                fill_rows(layer, images_of(n + i), g, rows.data() + i * d.pixels * d.depth);
            gemm<Real>(CblasTrans, CblasNoTrans, d.outputs, d.depth, images * d.pixels,
                       errors.data() + g * d.outputs, d.all_outputs(), rows.data(), d.depth,
                       n == 0 ? Real{0} : Real{1}, sums.data() + g * d.outputs * d.depth, d.depth);
        }
    }
    return sums;
}
template Buffer<double> weight_gradient(const Layer&, std::int64_t, const Values&, const Values&);
template Buffer<float> weight_gradient(const Layer&, std::int64_t, const Values&, const Values&);

template <class Real>
Tensor multiply_accumulate(const Layer& layer, const Tensor& in, const Tensor& weights,
                           const Tensor* bias, const MachineConfig& machine,
                           const Quantizer& rule) {
    Shape shape = layer.out_shape;
    shape.n = in.shape.n;
    Tensor y = product_of(in, weights, shape, rule);
    inherit(y, {bias});
    const Buffer<Real> w = to_reals<Real>(weights.values);

    const Dimensions d(layer);
    const std::size_t outputs = static_cast<std::size_t>(d.all_outputs());
    const std::size_t depth = static_cast<std::size_t>(d.depth);
    const double operand = largest(in.values);
    const Bounds bounds(layer, machine, rule);
    const Buffer<Real> start =
        bias != nullptr ? to_reals<Real>(bias->values) : Buffer<Real>(outputs, Real{0});
    std::vector<std::size_t> unproven;
    double most = 0;  // of all outputs
    for (std::size_t o = 0; o < outputs; ++o) {
        double bound = 0;
        for (std::size_t k = 0; k < depth; ++k)
            bound += std::abs(static_cast<double>(w[o * depth + k]));
        bound = (bound * operand + std::abs(static_cast<double>(start[o]))) * to_code(y);
        if (!bounds.fit_in<Real>(bound, y)) unproven.push_back(o);
        most = std::max(most, bound);
    }

    PartialSum<Real> sum(machine, rule, to_code(y));
    std::vector<Real> rows(unproven.empty() ? 0 : static_cast<std::size_t>(d.pixels * d.depth));
    Images<Real> images_of(in.values, layer.in_shape);
    const auto accumulate = [&](std::int64_t n, Real* image_sums) {
        const Real* image = images_of(n);
        std::int64_t filled = -1;  // the group whose operands `rows` holds
        for (const std::size_t o : unproven) {
            const std::int64_t group = static_cast<std::int64_t>(o) / d.outputs;
            if (filled != group) fill_rows(layer, image, group, rows.data());
            filled = group;
            for (std::int64_t p = 0; p < d.pixels; ++p) {
                Real& value = image_sums[static_cast<std::size_t>(p) * outputs + o];
                const Real* row = rows.data() + p * d.depth;
                sum.start(start[o]);
                for (std::size_t k = 0; k < depth; ++k) sum.add(w[o * depth + k], row[k]);
                value = sum.finish(value, y);
            }
        }
    };
    const std::vector<Real> along =
        along_run<Real>(bias != nullptr ? bias->values : Values(std::vector<double>(outputs)));
    Sums<Real> values(y, rule);
    const auto finish = [&](std::int64_t n, std::int64_t images, Real* sums) {
        const std::size_t count = image_at(images, layer.out_shape);
        if (bias != nullptr)
            for_each_run(count, outputs, [&](std::size_t first, std::size_t run) {
                for (std::size_t j = 0; j < run; ++j) sums[first + j] += along[j];
            });
        if (!unproven.empty())
            for (std::int64_t i = 0; i < images; ++i)
                accumulate(n + i, sums + image_at(i, layer.out_shape));
        values.write(image_at(n, layer.out_shape), count, sums);
    };
    if (fit_in_float32(most, y)) {  // half the time
        std::vector<Real> exact;
        for_each_dot_product<float>(layer, in.shape.n, in.values, to_reals<float>(weights.values),
                                    [&](std::int64_t n, std::int64_t images, const float* sums) {
                                        exact.assign(sums,
                                                     sums + image_at(images, layer.out_shape));
                                        finish(n, images, exact.data());
                                    });
    } else {
        for_each_dot_product<Real>(layer, in.shape.n, in.values, w, finish);
    }
    y.values = std::move(values).finish();
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
    const Buffer<Real> w = to_reals<Real>(weights.values);

    // Per input channel (linear: per flattened input): all that its weights can make.
    const bool is_linear = layer.type == LayerType::linear;
    const Shape of_weights = weight_shape(layer);
    const std::int64_t outputs = layer.out_channels / layer.groups;
    const std::int64_t places = is_linear ? 1 : of_weights.h * of_weights.w;
    const auto weights_at = [&](std::int64_t o, std::int64_t place) {
        return w.data() + (o * places + place) * of_weights.c;
    };
    const double operand = largest(error.values);
    const Bounds bounds(layer, machine, rule);
    std::vector<bool> proven;
    for (std::int64_t g = 0; g < layer.groups; ++g) {
        std::vector<double> reach(static_cast<std::size_t>(of_weights.c), 0.0);
        for (std::int64_t o = g * outputs; o < (g + 1) * outputs; ++o)
            for (std::int64_t place = 0; place < places; ++place) {
                const Real* weight = weights_at(o, place);
                double* bound = reach.data();
                for (std::size_t i = 0; i < reach.size(); ++i)
                    bound[i] += std::abs(static_cast<double>(weight[i]));
            }
        for (const double bound : reach)
            proven.push_back(bounds.fit_in<Real>(bound * operand * to_code(dx), dx));
    }

    PartialSum<Real> sum(machine, rule, to_code(dx));
    // `e`: of the output's pixel; null: outside.
    const auto add_outputs = [&](const Real* e, std::int64_t group, std::int64_t place,
                                 std::int64_t i) {
        for (std::int64_t o = group * outputs; o < (group + 1) * outputs; ++o)
            sum.add(e == nullptr ? Real{0} : e[o], weights_at(o, place)[i]);
    };
    // The output row (or column) that a kernel place brings to input row i; false: none is whole.
    const auto tap = [](std::int64_t i, int k, int padding, int dilation, int stride,
                        std::int64_t& out) {
        const std::int64_t from = i + padding - std::int64_t{k} * dilation;
        out = from / stride;
        return from % stride == 0;
    };
    const auto accumulate_flattened = [&](const Real* e, Real* image) {
        for_each_flattened(layer.in_shape, [&](std::int64_t flat, std::int64_t index) {
            if (proven[static_cast<std::size_t>(flat)]) return;
            sum.start(0);
            add_outputs(e, 0, 0, flat);
            image[index] = sum.finish(image[index], dx);
        });
    };
    const auto accumulate = [&](const Real* e, Real* image) {
        for (std::int64_t ih = 0; ih < shape.h; ++ih)
            for (std::int64_t iw = 0; iw < shape.w; ++iw)
                for (std::int64_t c = 0; c < shape.c; ++c, ++image) {
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
                            const std::int64_t pixel = oh * layer.out_shape.w + ow;
                            add_outputs(inside ? e + pixel * layer.out_channels : nullptr,
                                        c / of_weights.c, kh * layer.kernel.w + kw,
                                        c % of_weights.c);
                        }
                    *image = sum.finish(*image, dx);
                }
    };
    const bool all_proven = std::find(proven.begin(), proven.end(), false) == proven.end();
    Images<Real> errors_of(error.values, layer.out_shape);
    Sums<Real> values(dx, rule);
    for_each_input_gradient<Real>(
        layer, shape.n, error.values, w, [&](std::int64_t n, std::int64_t images, Real* sums) {
            for (std::int64_t i = 0; i < images && !all_proven; ++i) {
                Real* image = sums + image_at(i, layer.in_shape);
                if (is_linear)
                    accumulate_flattened(errors_of(n + i), image);
                else
                    accumulate(errors_of(n + i), image);
            }
            values.write(image_at(n, layer.in_shape), image_at(images, layer.in_shape), sums);
        });
    dx.values = std::move(values).finish();
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
    Buffer<Real> gradient = weight_gradient<Real>(layer, batch, in.values, error.values);

    const Dimensions d(layer);
    const std::size_t outputs = static_cast<std::size_t>(d.all_outputs());
    std::vector<double> reach(run_length(outputs), 0.0);  // per output, the sum of |error|
    Reader<double> read(error.values);
    for_each_run(error, [&](std::size_t first, std::size_t count) {
        const double* e = read(first, count);
        double* sum = reach.data();
        for (std::size_t j = 0; j < count; ++j) sum[j] += std::abs(e[j]);
    });
    for (std::size_t j = outputs; j < reach.size(); ++j) reach[j % outputs] += reach[j];
    const double operand = largest(in.values);
    const Bounds bounds(layer, machine, rule);
    std::vector<std::size_t> unproven;
    for (std::size_t o = 0; o < outputs; ++o)
        if (!bounds.fit_in<Real>(reach[o] * operand * to_code(gw), gw)) unproven.push_back(o);

    // ws: a tile ends with its image, or with its group of small images.
    const std::int64_t images_per_tile = std::max<std::int64_t>(1, machine.array_rows / d.pixels);
    const std::size_t depth = static_cast<std::size_t>(d.depth);
    std::vector<PartialSum<Real>> sums(unproven.empty() ? 0 : outputs * depth,
                                       PartialSum<Real>(machine, rule, to_code(gw)));
    for (PartialSum<Real>& sum : sums) sum.start(0);
    std::vector<Real> rows(static_cast<std::size_t>(d.pixels * d.depth));
    Images<Real> images_of(in.values, layer.in_shape), errors_of(error.values, layer.out_shape);
    for (std::int64_t n = 0; n < batch && !unproven.empty(); ++n) {
        const Real* image = images_of(n);
        const Real* errors = errors_of(n);
        std::int64_t filled = -1;
        for (const std::size_t o : unproven) {
            const std::int64_t group = static_cast<std::int64_t>(o) / d.outputs;
            if (filled != group) fill_rows(layer, image, group, rows.data());
            filled = group;
            for (std::int64_t p = 0; p < d.pixels; ++p) {
                const Real e = errors[static_cast<std::size_t>(p) * outputs + o];
                const Real* row = rows.data() + p * d.depth;
                for (std::size_t k = 0; k < depth; ++k) sums[o * depth + k].add(row[k], e);
            }
            if ((n + 1) % images_per_tile == 0)
                for (std::size_t k = 0; k < depth; ++k) sums[o * depth + k].end_tile();
        }
    }
    for (const std::size_t o : unproven)
        for (std::size_t k = 0; k < depth; ++k) {
            Real& value = gradient[o * depth + k];
            value = sums[o * depth + k].finish(value, gw);
        }
    Sums<Real> values(gw, rule);
    values.write(0, gradient.size(), gradient.data());
    gw.values = std::move(values).finish();
    return gw;
}
template Tensor accumulate_weight_gradient<double>(const Layer&, const Tensor&, const Tensor&,
                                                   const MachineConfig&, const Quantizer&);
template Tensor accumulate_weight_gradient<float>(const Layer&, const Tensor&, const Tensor&,
                                                  const MachineConfig&, const Quantizer&);

}  // namespace wagesim::golden
