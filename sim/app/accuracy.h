// What a network's output says of images.
#pragma once

#include <cstdint>
#include <vector>

#include "wagesim/network/network.h"
#include "wagesim/program/command.h"

namespace wagesim::app {

/// The last layer's own output, not its parameters.
bool is_output(const Network& network, const QpId& qp);

/// How many of the logits' rows (N, C, H, W order) have their largest code, the first of equals, at
/// the label; the labels of the batch begin at `first`.
std::int64_t classified_rightly(const std::vector<std::int64_t>& logits, const Shape& shape,
                                const std::vector<std::uint8_t>& labels, std::int64_t first);

}  // namespace wagesim::app
