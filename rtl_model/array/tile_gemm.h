// A GEMM at once: how long it takes, and what it leaves in the accumulators.
#pragma once

#include <cstdint>

#include "array/array_weights.h"
#include "buffer/memories.h"
#include "control/executor.h"
#include "wagesim/network/datapath.h"
#include "wagesim/program/command.h"

namespace wagesim::rtl {

Work ws_work(const Command& command, const MachineConfig& config);
Work os_work(const Command& command, const MachineConfig& config);

/// `bias`: one a column, or null.
/// ws: with the active weights; each sum is one addition into its accumulator.
void ws_gemm(const Command& command, const ArrayWeights& weights, Memories& memories,
             const std::int64_t* bias);
/// os: with weights from their buffer; each product is one addition, K ascending.
void os_gemm(const Command& command, Memories& memories, const std::int64_t* bias);

}  // namespace wagesim::rtl
