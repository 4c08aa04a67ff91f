// The runs of a LOAD or STORE.
#pragma once

#include <cstdint>

#include "buffer/buffer.h"
#include "wagesim/program/command.h"

namespace wagesim::rtl {

struct Run {
    std::int64_t dram_address = 0;
    std::int64_t buffer_address = 0;
};

/// Calls f(run) for each, in the order in which they cross the bus.
template <class Function>
void for_each_run(const Transfer& transfer, Function f) {
    if (transfer.run_bytes <= 0) return;
    const auto& counts = transfer.counts;
    const auto& dram = transfer.dram_strides;
    const auto& buffer = transfer.buffer_strides;
    for (std::int64_t i = 0; i < counts[0]; ++i)
        for (std::int64_t j = 0; j < counts[1]; ++j)
            for (std::int64_t k = 0; k < counts[2]; ++k)
                f(Run{transfer.dram_address + i * dram[0] + j * dram[1] + k * dram[2],
                      transfer.buffer_address + i * buffer[0] + j * buffer[1] + k * buffer[2]});
}

/// Aligned bursts of `burst_bytes` that the runs touch in Dram; runs are not merged.
std::int64_t burst_count(const Transfer& transfer, std::int64_t burst_bytes);

/// Throws MachineError if two runs write the same byte (LOAD: of the buffer, STORE: of the Dram).
void require_separate_runs(const Transfer& transfer, bool is_store);

}  // namespace wagesim::rtl
