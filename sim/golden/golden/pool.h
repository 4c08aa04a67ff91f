// Pooling: the largest value or the mean of each window, and where their errors go.
#pragma once

#include "golden/tensor.h"
#include "wagesim/network/datapath.h"
#include "wagesim/network/network.h"

namespace wagesim::golden {

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
