// See pool.h.
#include "golden/pool.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "golden/quantize.h"

namespace wagesim::golden {
namespace {

Extent2 kernel_of(const Layer& layer) {
    if (layer.type != LayerType::global_avg_pool) return layer.kernel;
    return {static_cast<int>(layer.in_shape.h), static_cast<int>(layer.in_shape.w)};
}

/// Calls use(first element of the window's output, first element of an input place inside it) for
/// all places of all windows, in row-major order: both go on through the channels.
template <class Use>
void for_each_place(const Layer& layer, std::int64_t batch, Use use) {
    const Shape& from = layer.in_shape;
    const Shape& to = layer.out_shape;
    const Extent2 kernel = kernel_of(layer);
    std::int64_t out = 0;
    for (std::int64_t n = 0; n < batch; ++n)
        for (std::int64_t oh = 0; oh < to.h; ++oh)
            for (std::int64_t ow = 0; ow < to.w; ++ow, out += to.c) {
                const std::int64_t top = oh * layer.stride.h - layer.padding.h;
                const std::int64_t left = ow * layer.stride.w - layer.padding.w;
                for (std::int64_t h = std::max<std::int64_t>(top, 0);
                     h < std::min(top + kernel.h, from.h); ++h)
                    for (std::int64_t w = std::max<std::int64_t>(left, 0);
                         w < std::min(left + kernel.w, from.w); ++w)
                        use(static_cast<std::size_t>(out),
                            static_cast<std::size_t>(from.memory_index(n, 0, h, w)));
            }
}

}  // namespace

std::vector<double> image_of(const Values& values, const Shape& shape, std::int64_t n) {
    const std::int64_t size = shape.h * shape.w * shape.c;
    std::vector<double> image(static_cast<std::size_t>(size));
    values.read(static_cast<std::size_t>(n * size), image.size(), image.data());
    return image;
}

std::vector<double> max_pool(const Layer& layer, std::int64_t batch,
                             const std::vector<double>& in) {
    const std::size_t channels = static_cast<std::size_t>(layer.in_shape.c);
    std::vector<double> out(static_cast<std::size_t>(batch * layer.out_shape.size()),
                            -std::numeric_limits<double>::infinity());
    for_each_place(layer, batch, [&](std::size_t to, std::size_t from) {
        double* best = out.data() + to;
        const double* x = in.data() + from;
#pragma omp simd
        for (std::size_t c = 0; c < channels; ++c) best[c] = x[c] > best[c] ? x[c] : best[c];
    });
    return out;
}

template <class Real>
std::vector<double> window_sums(const Layer& layer, std::int64_t batch,
                                const std::vector<double>& in) {
    const std::size_t channels = static_cast<std::size_t>(layer.in_shape.c);
    std::vector<double> out(static_cast<std::size_t>(batch * layer.out_shape.size()));
    for_each_place(layer, batch, [&](std::size_t to, std::size_t from) {
        for (std::size_t c = 0; c < channels; ++c)
            out[to + c] = static_cast<double>(static_cast<Real>(out[to + c]) +
                                              static_cast<Real>(in[from + c]));
    });
    return out;
}
template std::vector<double> window_sums<double>(const Layer&, std::int64_t,
                                                 const std::vector<double>&);
template std::vector<double> window_sums<float>(const Layer&, std::int64_t,
                                                const std::vector<double>&);

std::int64_t window_count(const Layer& layer) {
    const Extent2 kernel = kernel_of(layer);
    return std::int64_t{kernel.h} * kernel.w;
}

std::int64_t window_overlap(const Layer& layer) {
    if (layer.type == LayerType::global_avg_pool) return 1;
    const auto along = [](int kernel, int stride) { return (kernel + stride - 1) / stride; };
    return std::int64_t{along(layer.kernel.h, layer.stride.h)} *
           along(layer.kernel.w, layer.stride.w);
}

template <class Real>
Tensor average_pool(const Layer& layer, const Tensor& in, const Quantizer& rule) {
    Tensor out;
    out.shape = layer.out_shape;
    out.shape.n = in.shape.n;
    std::vector<double> sums;
    for (std::int64_t n = 0; n < in.shape.n; ++n)
        for (const double sum : window_sums<Real>(layer, 1, image_of(in.values, in.shape, n)))
            sums.push_back(sum);
    const Real count = static_cast<Real>(window_count(layer));
    inherit(out, {&in});
    const double bound = largest(in.values) * static_cast<double>(count);
    if (is_exact<Real> &&
        !(std::ldexp(bound, std::max(in.frac, rule.format.frac)) < quotient_limit))
        uncertify(out, "layer '" + layer.name + "': a mean may round twice");
    quantize<Real>(out, rule, [&](std::size_t first, std::size_t run, Real* mean) {
        for (std::size_t j = 0; j < run; ++j) mean[j] = static_cast<Real>(sums[first + j]) / count;
    });
    return out;
}
template Tensor average_pool<double>(const Layer&, const Tensor&, const Quantizer&);
template Tensor average_pool<float>(const Layer&, const Tensor&, const Quantizer&);

template <class Number>
std::vector<Number> scatter_to_maxima(const Layer& layer, std::int64_t batch,
                                      const std::vector<double>& in,
                                      const std::vector<Number>& error) {
    const std::size_t channels = static_cast<std::size_t>(layer.in_shape.c);
    std::vector<Number> out(static_cast<std::size_t>(batch * layer.in_shape.size()));
    const std::vector<double> maxima = max_pool(layer, batch, in);
    std::vector<Number> left = error;  // by windows whose maximum has not come yet
    for_each_place(layer, batch, [&](std::size_t window, std::size_t place) {
        const double* x = in.data() + place;
        const double* most = maxima.data() + window;
        Number* from = left.data() + window;
        Number* to = out.data() + place;
#pragma omp simd
        for (std::size_t c = 0; c < channels; ++c) {
            const bool is_maximum = x[c] == most[c];
            to[c] += is_maximum ? from[c] : Number{0};
            from[c] = is_maximum ? Number{0} : from[c];
        }
    });
    return out;
}
template std::vector<double> scatter_to_maxima(const Layer&, std::int64_t,
                                               const std::vector<double>&,
                                               const std::vector<double>&);
template std::vector<Wide> scatter_to_maxima(const Layer&, std::int64_t, const std::vector<double>&,
                                             const std::vector<Wide>&);

template <class Number>
std::vector<Number> spread_over_windows(const Layer& layer, std::int64_t batch,
                                        const std::vector<Number>& error) {
    const std::size_t channels = static_cast<std::size_t>(layer.in_shape.c);
    std::vector<Number> out(static_cast<std::size_t>(batch * layer.in_shape.size()));
    for_each_place(layer, batch, [&](std::size_t from, std::size_t to) {
        for (std::size_t c = 0; c < channels; ++c) out[to + c] += error[from + c];
    });
    return out;
}
template std::vector<double> spread_over_windows(const Layer&, std::int64_t,
                                                 const std::vector<double>&);
template std::vector<Wide> spread_over_windows(const Layer&, std::int64_t,
                                               const std::vector<Wide>&);

}  // namespace wagesim::golden
