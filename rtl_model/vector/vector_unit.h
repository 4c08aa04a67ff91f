// The vector unit: batch norm, activation, residual add, pooling.
#pragma once

#include <cstdint>
#include <optional>

#include "vector/operations.h"

namespace wagesim::rtl {

/// Executes NORMALIZE, ACT, ADD, POOL, GATHER, CLEAR, BN_STAT and BN_COEF, one at a time.
class VectorUnit : public Executor {
public:
    VectorUnit(const MachineConfig& config, Memories& memories, Watch& watch);

    Work execute(const Command& command, std::int64_t index, std::int64_t start) override;

private:
    std::optional<LaneWaves> lanes_;  // as far as the wave shows them
    Machinery machinery_;
};

}  // namespace wagesim::rtl
