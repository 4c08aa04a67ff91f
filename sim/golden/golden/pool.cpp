// Pooling: the largest value or the mean of each window.
#include "golden/pool.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <type_traits>

#include "golden/quantize.h"

namespace wagesim::golden {
namespace {

Extent2 kernel_of(const Layer& layer) {
    if (layer.type != LayerType::global_avg_pool) return layer.kernel;
    return {static_cast<int>(layer.in_shape.h), static_cast<int>(layer.in_shape.w)};
}

/// One number per window: combine(so far, element) over the window's elements in row-major order.
template <class Real, class Combine>
std::vector<double> reduce_windows(const Layer& layer, std::int64_t batch,
                                   const std::vector<double>& in, Real initial, Combine combine) {
    const Shape& from = layer.in_shape;
    const Shape& to = layer.out_shape;
    const Extent2 kernel = kernel_of(layer);
    std::vector<double> out;
    out.reserve(static_cast<std::size_t>(batch * to.size()));
    for (std::int64_t plane = 0; plane < batch * from.c; ++plane) {
        const double* elements = in.data() + plane * from.h * from.w;
        for (std::int64_t oh = 0; oh < to.h; ++oh) {
            const std::int64_t top = oh * layer.stride.h - layer.padding.h;
            for (std::int64_t ow = 0; ow < to.w; ++ow) {
                const std::int64_t left = ow * layer.stride.w - layer.padding.w;
                Real result = initial;
                for (std::int64_t h = std::max<std::int64_t>(top, 0);
                     h < std::min(top + kernel.h, from.h); ++h)
                    for (std::int64_t w = std::max<std::int64_t>(left, 0);
                         w < std::min(left + kernel.w, from.w); ++w)
                        result = combine(result, static_cast<Real>(elements[h * from.w + w]));
                out.push_back(static_cast<double>(result));
            }
        }
    }
    return out;
}

}  // namespace

std::vector<double> max_pool(const Layer& layer, std::int64_t batch,
                             const std::vector<double>& in) {
    return reduce_windows(layer, batch, in, -std::numeric_limits<double>::infinity(),
                          [](double best, double x) { return x > best ? x : best; });
}

template <class Real>
std::vector<double> window_sums(const Layer& layer, std::int64_t batch,
                                const std::vector<double>& in) {
    return reduce_windows(layer, batch, in, Real{0}, [](Real sum, Real x) { return sum + x; });
}
template std::vector<double> window_sums<double>(const Layer&, std::int64_t,
                                                 const std::vector<double>&);
template std::vector<double> window_sums<float>(const Layer&, std::int64_t,
                                                const std::vector<double>&);

std::int64_t window_count(const Layer& layer) {
    const Extent2 kernel = kernel_of(layer);
    return std::int64_t{kernel.h} * kernel.w;
}

template <class Real>
Tensor average_pool(const Layer& layer, const Tensor& in, const Quantizer& rule) {
    Tensor out;
    out.shape = layer.out_shape;
    out.shape.n = in.shape.n;
    out.values = window_sums<Real>(layer, in.shape.n, in.values);
    const Real count = static_cast<Real>(window_count(layer));
    for (double& value : out.values) value = static_cast<double>(static_cast<Real>(value) / count);
    inherit(out, {&in});
    const double bound = largest(in.values) * static_cast<double>(count);
    if (std::is_same_v<Real, double> &&
        !(std::ldexp(bound, std::max(in.frac, rule.format.frac)) < quotient_limit))
        uncertify(out, "layer '" + layer.name + "': a mean may round twice");
    quantize<Real>(out, rule);
    return out;
}
template Tensor average_pool<double>(const Layer&, const Tensor&, const Quantizer&);
template Tensor average_pool<float>(const Layer&, const Tensor&, const Quantizer&);

}  // namespace wagesim::golden
