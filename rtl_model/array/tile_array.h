// The MAC array: a GEMM at once, sums per tile column, or PE by PE and cycle by cycle.
#pragma once

#include <cstdint>
#include <vector>

#include "array/array_weights.h"
#include "array/stepped_array.h"
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
    /// `stepped`: the array register by register, or null.
    TileArray(const MachineConfig& config, Memories& memories, ArrayWeights& weights,
              SteppedArray* stepped = nullptr);

    Work execute(const Command& command, std::int64_t index, std::int64_t start) override;
    void settle(std::int64_t cycle) override {
        if (stepped_ != nullptr) stepped_->settle(cycle, weights_);
    }
    int quantum() const override { return stepped_ == nullptr ? 0 : stepped_->quantum(); }

    const ArrayCounters& counters() const { return counters_; }

private:
    /// Sums of one row of operands, per column.
    template <class Sum>
    void stream(const Command& command, const Gemm& gemm, const std::int64_t* bias);

    MachineConfig config_;
    Memories& memories_;
    ArrayWeights& weights_;
    SteppedArray* const stepped_;
    ArrayCounters counters_;
};

}  // namespace wagesim::rtl
