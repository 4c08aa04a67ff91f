// The independent cycle model: a program's schedule by the formulas of docs/cycles.md.
//
// Knows nothing of the hardware model. Exact where reads and writes do not meet on the Dram's
// bus (`dram_overlap_cycles` = 0); with contention the machine needs at least `cycles` and at
// most `serial_cycles`.
#pragma once

#include <cstdint>
#include <vector>

#include "wagesim/network/datapath.h"
#include "wagesim/program/command.h"

namespace wagesim::check {

/// When one command runs, in cycles. A FENCE has start = issue, busy = latency = 0.
struct CommandTime {
    std::int64_t issue = 0;    ///< enters its unit's queue
    std::int64_t start = 0;    ///< leaves the queue: the unit works
    std::int64_t busy = 0;     ///< the unit may start its next command at start + busy
    std::int64_t latency = 0;  ///< from there until its results are visible and tokens given
    std::int64_t done() const { return start + busy + latency; }
};

struct CycleResult {
    std::int64_t cycles = 0;            ///< the last command's done, or the last FENCE
    std::int64_t serial_cycles = 0;     ///< sum of issue_cycles + busy + latency: nothing overlaps
    std::vector<CommandTime> commands;  ///< as in Program::commands
    /// Cycles in which this schedule has both a read's and a write's burst on the data bus.
    std::int64_t dram_overlap_cycles = 0;
};

/// Throws std::logic_error naming the command if the program can never end (a token that nobody
/// gives) or if a command is not its unit's.
CycleResult predict_cycles(const Program& program, const MachineConfig& machine);

}  // namespace wagesim::check
