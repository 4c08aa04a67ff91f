// Convolution and fully connected layers: exact dot products, and the accumulator that holds them.
#pragma once

#include <cstdint>
#include <vector>

#include "golden/tensor.h"
#include "wagesim/network/datapath.h"
#include "wagesim/network/network.h"

namespace wagesim::golden {

/// Dot products of a conv2d or linear layer in N, C, H, W order, no accumulator, no bias.
/// `in` has the layer's in_shape, `weights` its weight_shape.
template <class Real>
std::vector<Real> dot_products(const Layer& layer, std::int64_t batch,
                               const std::vector<double>& in, const std::vector<double>& weights);

/// The layer's output at frac in.frac + weights.frac, in the width of `rule`: a partial sum starts
/// at the bias (or 0), takes one addition per tile of `machine.array_rows` products (dataflow os: one
/// per product), wraps or saturates at each, and is then fitted by `rule`'s overflow (by default its low bits stay). K
/// ascends through (kh, kw, cin), cin fastest; in a linear layer through C, H, W.
template <class Real>
Tensor multiply_accumulate(const Layer& layer, const Tensor& in, const Tensor& weights,
                           const Tensor* bias, const MachineConfig& machine, const Quantizer& rule);

}  // namespace wagesim::golden
