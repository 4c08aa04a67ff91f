// What is to be timed: matrix products M x K times K x N, from SCALE-Sim's csv or from a network.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "wagesim/network/network.h"

namespace wagesim::timing {

/// One layer as `repeats` independent products of the same size (the groups of a convolution).
struct Workload {
    std::string name;
    std::int64_t m = 1;  ///< output pixels, over the whole batch
    std::int64_t n = 1;  ///< output channels (of the group)
    std::int64_t k = 1;  ///< length of the reduction: kernel_h * kernel_w * input channels
    std::int64_t repeats = 1;
    std::int64_t macs() const { return m * n * k * repeats; }
};

enum class TopologyKind {
    detect,  ///< by the names of the header's columns, else by their number
    conv,
    gemm,
};

/// Reads SCALE-Sim's topology csv. The first line is a header and is skipped.
///
///   conv: name, IFMAP height, IFMAP width, filter height, filter width, channels, filters, stride
///         No padding: an axis has ceil((input - filter + stride) / stride) outputs. A name with
///         "DP" in it stands for one layer per channel, each of one channel and all filters.
///   gemm: name, M, N, K
///
/// As in SCALE-Sim, what stands behind a row's last comma is dropped; but where that is the last
/// number needed, here it counts. The next column may hold a sparsity N:M, refused unless N = M or
/// `ignore_sparsity` (what SCALE-Sim does without SparsitySupport); the columns behind that, and
/// rows of commas only, are read over.
/// Throws InputError naming file, line, column and what was expected.
std::vector<Workload> read_scalesim_topology(const std::string& path,
                                             TopologyKind kind = TopologyKind::detect,
                                             bool ignore_sparsity = false);
/// The same from text; `origin` is the name used in messages.
std::vector<Workload> parse_scalesim_topology(const std::string& text, const std::string& origin,
                                              TopologyKind kind = TopologyKind::detect,
                                              bool ignore_sparsity = false);

/// The conv2d and linear layers of a network, with its padding, for `batch` images at a time.
/// Throws InputError if there is none, or if one is too large to count.
std::vector<Workload> from_network(const Network& network, std::int64_t batch);

}  // namespace wagesim::timing
