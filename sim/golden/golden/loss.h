// The loss and its error at the logits.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "golden/tensor.h"
#include "wagesim/network/datapath.h"

namespace wagesim::golden {

struct LossError {
    std::optional<Tensor> p;  ///< softmax
    Tensor e0;
    double loss = 0;  ///< mean over the batch, for people
};

/// `labels`: the right class of each image. `layer`: the last one's name, for its quantisers.
template <class Real>
LossError loss_error(const Tensor& logits, const std::vector<int>& labels, const std::string& layer,
                     const Datapath& datapath);

}  // namespace wagesim::golden
