// The MAC array: a GEMM at once, sums per tile column, or PE by PE and cycle by cycle.
#pragma once

#include <cstdint>

#include "array/array_weights.h"
#include "array/stepped_array.h"
#include "buffer/memories.h"
#include "control/executor.h"
#include "wagesim/network/datapath.h"

namespace wagesim::rtl {

/// Executes GEMM.
class TileArray : public Executor {
public:
    /// `stepped`: the array register by register, or null.
    TileArray(const MachineConfig& config, Memories& memories, ArrayWeights& weights,
              SteppedArray* stepped = nullptr);

    Work duration(const Command& command) const override;
    void execute(const Command& command, std::int64_t index, std::int64_t start,
                 const Work& work) override;
    void settle(std::int64_t cycle) override {
        if (stepped_ != nullptr) stepped_->settle(cycle, weights_);
    }
    int quantum() const override { return stepped_ == nullptr ? 0 : stepped_->quantum(); }

private:
    void take_weights(const Gemm& gemm, std::int64_t start, std::int64_t swapped);

    MachineConfig config_;
    Memories& memories_;
    ArrayWeights& weights_;
    SteppedArray* const stepped_;
};

}  // namespace wagesim::rtl
