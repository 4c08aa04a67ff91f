// The vector unit: batch norm, activation, residual add, pooling, loss, and all their errors.
#pragma once

#include <cstdint>
#include <optional>

#include "vector/operations.h"

namespace wagesim::rtl {

/// Executes its commands (operations.h), one at a time.
class VectorUnit : public Executor {
public:
    VectorUnit(const MachineConfig& config, Memories& memories, Watch& watch);

    Work duration(const Command& command) const override;
    void execute(const Command& command, std::int64_t index, std::int64_t start,
                 const Work& work) override;

private:
    CodePool pool_;
    std::optional<LaneWaves> lanes_;  // as far as the wave shows them
    Machinery machinery_;
};

}  // namespace wagesim::rtl
