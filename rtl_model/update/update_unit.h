// The update unit: master codes to the codes that the forward pass uses.
#pragma once

#include <cstdint>

#include "control/executor.h"
#include "vector/tap.h"

namespace wagesim::rtl {

/// Executes QUANTIZE. Source and destination are `count` consecutive codes in the activation
/// buffer.
class UpdateUnit : public Executor {
public:
    UpdateUnit(const MachineConfig& config, Memories& memories, Watch& watch);

    Work execute(const Command& command, std::int64_t index, std::int64_t start) override;

private:
    Machinery machinery_;
};

}  // namespace wagesim::rtl
