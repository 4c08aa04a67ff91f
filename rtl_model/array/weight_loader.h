// The weight loader: weight buffer -> the array's shadow registers.
#pragma once

#include <cstdint>

#include "array/array_weights.h"
#include "buffer/memories.h"
#include "control/executor.h"
#include "wagesim/network/datapath.h"

namespace wagesim::rtl {

/// Executes WLOAD: one row of the tile a cycle.
class WeightLoader : public Executor {
public:
    WeightLoader(const MachineConfig& config, Memories& memories, Watch& watch,
                 ArrayWeights& weights);

    Work execute(const Command& command, std::int64_t index, std::int64_t start) override;

private:
    Memories& memories_;
    ArrayWeights& weights_;
};

}  // namespace wagesim::rtl
