// Batch norm's forward pass: statistics, normalisation, and the folded form.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "golden/tensor.h"
#include "wagesim/network/datapath.h"

namespace wagesim::golden {

/// A layer's parameters, one per channel, real values on their masters' grids.
struct ChannelParameters {
    Values gamma, beta;
    Values* run_mu = nullptr;     ///< updated by batch statistics
    Values* run_sigma = nullptr;  ///< updated by batch statistics
};

struct BatchNormResult {
    std::map<Qp, Tensor> points;
    /// Folded only: a y + b, exact, which no register holds; otherwise the output is x2.
    Tensor folded;
};

/// `batch_statistics`: of `in` itself, and the running ones follow; else the running ones.
template <class Real>
BatchNormResult batch_norm(const Tensor& in, const std::string& layer, const Datapath& datapath,
                           bool batch_statistics, const ChannelParameters& parameters);

}  // namespace wagesim::golden
