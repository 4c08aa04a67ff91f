// Pooling: the largest value or the mean of each window, and where their errors go.
#pragma once

#include <cmath>
#include <vector>

#include "golden/tensor.h"
#include "wagesim/network/datapath.h"
#include "wagesim/network/network.h"

namespace wagesim::golden {

/// Image n's numbers.
std::vector<double> image_of(const Values& values, const Shape& shape, std::int64_t n);
/// Values made image by image, by make(n), of codes in the range.
template <class Make>
Values by_images(std::int64_t batch, const Shape& shape, CodeRange range, int unit_log2,
                 Make make) {
    const auto size = static_cast<std::size_t>(shape.h * shape.w * shape.c);
    const double to_code = std::ldexp(1.0, -unit_log2);
    Writer<double> writer(static_cast<std::size_t>(batch) * size, range, unit_log2);
    for (std::int64_t n = 0; n < batch; ++n) {
        std::vector<double> made = make(n);
        for (double& x : made) x *= to_code;
        writer.write(static_cast<std::size_t>(n) * size, size, made.data());
    }
    return std::move(writer).finish();
}

/// Values of the largest elements. Padding takes no part; every window holds an element.
std::vector<double> max_pool(const Layer& layer, std::int64_t batch, const std::vector<double>& in);

/// Sums of the windows (global_avg_pool: of the planes), and the count that divides them. Padding
/// counts as zeros: the count is always the kernel's area.
template <class Real>
std::vector<double> window_sums(const Layer& layer, std::int64_t batch,
                                const std::vector<double>& in);
std::int64_t window_count(const Layer& layer);
/// The most windows that an element lies in.
std::int64_t window_overlap(const Layer& layer);

/// avg_pool or global_avg_pool, the exact quotient rounded once to `rule`.
template <class Real>
Tensor average_pool(const Layer& layer, const Tensor& in, const Quantizer& rule);

/// Each window's number added where its first maximum in row-major order was.
template <class Number>
std::vector<Number> scatter_to_maxima(const Layer& layer, std::int64_t batch,
                                      const std::vector<double>& in,
                                      const std::vector<Number>& error);
/// Each window's number added to every place of the window inside the image.
template <class Number>
std::vector<Number> spread_over_windows(const Layer& layer, std::int64_t batch,
                                        const std::vector<Number>& error);

}  // namespace wagesim::golden
