// The drain: accumulators -> y in the activation buffer, with the batch norm's sums on the way.
#pragma once

#include <cstdint>

#include "vector/tap.h"

namespace wagesim::rtl {

/// Executes DRAIN.
class DrainUnit : public Executor {
public:
    DrainUnit(const MachineConfig& config, Memories& memories, Watch& watch);

    Work execute(const Command& command, std::int64_t index, std::int64_t start) override;

private:
    Machinery machinery_;
};

}  // namespace wagesim::rtl
