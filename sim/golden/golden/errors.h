// What the backward pass does to errors besides quantisers and products: forks, pools, batch norm.
#pragma once

#include <string>
#include <vector>

#include "golden/tensor.h"
#include "wagesim/network/datapath.h"
#include "wagesim/network/network.h"

namespace wagesim::golden {

/// An error, and the width of the register that it comes in: what a fork leaves room for.
struct Delivered {
    SharedTensor error;
    int bits = 0;
    bool is_always_operand = false;  ///< in a fork, even if it is all zero
};

/// QP fork: the sum of errors in one common unit.
template <class Real>
Tensor fork(const std::vector<Delivered>& operands, const Quantizer& rule);
/// The same as an operand of another fork.
Delivered delivered_sum(SharedTensor sum);

/// The error at a max pool's output, brought to its input; `in` is what the pool compared.
template <class Real>
Delivered max_pool_error(const Layer& layer, const Tensor& in, const Delivered& error);
/// QP pool_err.
template <class Real>
Tensor divided_error(const Layer& layer, const Tensor& error, Quantizer rule);
/// pool_err brought to the pool's input.
template <class Real>
Delivered average_pool_error(const Layer& layer, const Tensor& pool_err);

/// g_beta, g_gamma, gBN_beta, gBN_gamma, m1, m2 and bn_err. `e`: the error at the batch norm's
/// output, quantised and masked. `forward`: its points of the forward pass.
template <class Real>
std::map<Qp, Tensor> batch_norm_error(const Tensor& e, const std::string& layer,
                                      const Datapath& datapath, const LayerPoints& forward);

}  // namespace wagesim::golden
