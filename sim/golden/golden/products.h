// Convolution and fully connected layers: exact dot products of the forward and the two backward
// passes, and the accumulator that holds them.
#pragma once

#include <cstdint>
#include <vector>

#include "golden/tensor.h"
#include "wagesim/network/datapath.h"
#include "wagesim/network/network.h"

namespace wagesim::golden {

// Dot products in memory order, no accumulator, no bias. `in` has the layer's in_shape, `weights`
// its weight_shape, `error` its out_shape.

template <class Real>
std::vector<Real> dot_products(const Layer& layer, std::int64_t batch, const Values& in,
                               const Values& weights);
template <class Real>
std::vector<Real> input_gradient(const Layer& layer, std::int64_t batch, const Values& error,
                                 const Values& weights);
template <class Real>
Buffer<Real> weight_gradient(const Layer& layer, std::int64_t batch, const Values& in,
                             const Values& error);

// The same in an accumulator: a partial sum starts at the bias (or 0), takes one addition per tile
// of `machine.array_rows` products (dataflow os: one per product), wraps or saturates at each, and
// is then fitted by `rule`'s overflow (by default its low bits stay). frac and exponent are the
// operands' sums. `rule`: of the result's register.

/// K ascends through (kh, kw, cin), cin fastest; in a linear layer through C, H, W.
template <class Real>
Tensor multiply_accumulate(const Layer& layer, const Tensor& in, const Tensor& weights,
                           const Tensor* bias, const MachineConfig& machine, const Quantizer& rule);
/// dx: K ascends through the taps (kh, kw, o) for which the output index is whole, o fastest.
template <class Real>
Tensor accumulate_input_gradient(const Layer& layer, const Tensor& error, const Tensor& weights,
                                 const MachineConfig& machine, const Quantizer& rule);
/// gW: K ascends through (n, oh, ow); tiles begin anew with every group of images.
template <class Real>
Tensor accumulate_weight_gradient(const Layer& layer, const Tensor& in, const Tensor& error,
                                  const MachineConfig& machine, const Quantizer& rule);

}  // namespace wagesim::golden
