// The MAC array, one GEMM at a time: sums per tile column, not per PE and cycle.
#pragma once

#include <cstdint>
#include <vector>

#include "array/array_weights.h"
#include "buffer/memories.h"
#include "control/executor.h"
#include "wagesim/network/datapath.h"

namespace wagesim::rtl {

/// What the PEs did.
struct ArrayCounters {
    std::int64_t macs = 0;           ///< PE and cycle with a weight of the tile
    std::int64_t padding_slots = 0;  ///< PE and cycle with none (edges of the tile)
};

/// Executes GEMM. The products of a K tile are summed exactly down the column; each sum is one
/// addition into an accumulator.
class TileArray : public Executor {
public:
    TileArray(const MachineConfig& config, Memories& memories, Watch& watch, ArrayWeights& weights);

    Work execute(const Command& command, std::int64_t index, std::int64_t start) override;

    const ArrayCounters& counters() const { return counters_; }

private:
    /// Sums of one row of operands, per column.
    template <class Sum>
    void stream(const Command& command, const Gemm& gemm, const std::int64_t* bias);

    MachineConfig config_;
    Memories& memories_;
    ArrayWeights& weights_;
    ArrayCounters counters_;
};

}  // namespace wagesim::rtl
