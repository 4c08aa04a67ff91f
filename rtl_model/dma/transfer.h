// The runs of a LOAD or STORE.
#pragma once

#include <cstdint>
#include <vector>

#include "buffer/buffer.h"
#include "wagesim/program/command.h"

namespace wagesim::rtl {

struct Run {
    std::int64_t dram_address = 0;
    std::int64_t buffer_address = 0;
};

/// In the order in which they cross the bus.
std::vector<Run> runs_of(const Transfer& transfer);

/// Aligned bursts of `burst_bytes` that the runs touch in Dram; runs are not merged.
std::int64_t burst_count(const Transfer& transfer, std::int64_t burst_bytes);

/// Throws MachineError if two runs write the same byte (LOAD: of the buffer, STORE: of the Dram).
void require_separate_runs(const Transfer& transfer, bool is_store);

}  // namespace wagesim::rtl
