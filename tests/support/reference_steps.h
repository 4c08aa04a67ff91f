// The reference training steps of traces/steps under this project's names. No arithmetic.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "wagesim/network/network.h"

namespace wagesim::test {

/// Codes in file order (N, C, H, W; O, I, kh, kw).
struct ReferenceTensor {
    std::string name;  ///< in the file
    std::vector<std::int64_t> codes;
    std::optional<int> exponent;  ///< where the file has one
};

/// Layer index and quantisation point -> tensor.
using ReferenceTensors = std::map<std::pair<int, Qp>, ReferenceTensor>;

struct ReferenceStep {
    std::vector<std::uint8_t> images;  ///< pixels 0..255
    std::vector<int> labels;
    /// What the forward pass uses of the masters: Wq, gamma_q. (docs/training.md: shown by the
    /// step before.)
    ReferenceTensors used;
    /// What the step shows: all the rest; masters and Accq are those after the update.
    ReferenceTensors shown;
    /// By layer, the random draws of W's G, in file order.
    std::map<int, std::vector<std::uint16_t>> draws;
};

/// Two steps, the second from the state that the first leaves. At the start gamma is 1, beta 0,
/// Accq 0; lr is 205/512 and dr 2^7 in both.
struct ReferenceRun {
    std::string network_file, preset;
    Network network;
    std::int64_t batch = 0;
    std::map<int, std::vector<std::int64_t>> weights;  ///< start masters by layer, file order
    std::vector<ReferenceStep> steps;
};
inline constexpr int reference_lr = 205;
inline constexpr int reference_dr_log2 = 7;

/// `name`: int8, paper or resnet8. Throws std::runtime_error where an array of the file has no
/// place here.
ReferenceRun read_reference_run(const std::string& name);

}  // namespace wagesim::test
