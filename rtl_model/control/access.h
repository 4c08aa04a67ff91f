// Which memory bytes a command touches: for bank claims, waves and the traffic report.
#pragma once

#include <cstdint>
#include <vector>

#include "wagesim/network/datapath.h"
#include "wagesim/program/command.h"

namespace wagesim::rtl {

/// One operand or result. The bytes lie in [first, end) (accumulators: 5 an element, row-major);
/// `bytes` counts what crosses the memory's port, an element as often as it is used: a GEMM's
/// operands once per pixel and K index (zeros of the padding included), with os its weights once
/// per fold; a POOL's once per window.
struct Access {
    Space space = Space::activations;
    bool is_write = false;
    std::int64_t first = 0, end = 0;
    std::int64_t bytes = 0;
};

/// In place of what `accesses` holds.
void find_accesses(const Command& command, const MachineConfig& config,
                   std::vector<Access>& accesses);

/// PE slots of what a GEMM streams, R x C a pixel (os: a step of a fold): those with a MAC, and the
/// rest.
struct PeSlots {
    std::int64_t macs = 0, padding = 0;
};
PeSlots slots_of(const Command& command, const MachineConfig& config);

}  // namespace wagesim::rtl
