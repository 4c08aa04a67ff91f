// The drain: accumulators -> activation buffer, with sums and the largest magnitude on the way.
#pragma once

#include <cstdint>

#include "vector/tap.h"

namespace wagesim::rtl {

/// Executes DRAIN.
class DrainUnit : public Executor {
public:
    DrainUnit(const MachineConfig& config, Memories& memories, Watch& watch);

    Work duration(const Command& command) const override;
    void execute(const Command& command, std::int64_t index, std::int64_t start,
                 const Work& work) override;

private:
    CodePool pool_;
    Machinery machinery_;
};

}  // namespace wagesim::rtl
