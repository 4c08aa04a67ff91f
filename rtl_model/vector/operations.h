// The vector unit's operations: each works on the memories at once and returns its duration
// (docs/cycles.md). What each computes is said where its command is declared
// (wagesim/program/command.h).
#pragma once

#include <cstdint>

#include "control/executor.h"
#include "vector/lane_waves.h"
#include "vector/tap.h"
#include "wagesim/program/command.h"

namespace wagesim::rtl {

/// An operation's place in the program.
struct Issue {
    const Command& command;
    std::int64_t index = 0;  ///< of the command in the program
    std::int64_t start = 0;  ///< cycle

    /// When its first element is ready.
    Moment first_element(const Work& work) const { return {index, start + work.latency}; }
};

/// Every element of a tile passes a lane once.
inline void show_lanes(const Machinery& machinery, const Issue& issue, const Work& work,
                       LaneWaves::Port port, const TileView& view,
                       const std::vector<std::int64_t>& codes) {
    if (machinery.lanes != nullptr)
        machinery.lanes->show(port, issue.command.box, view, codes, work, issue.start);
}

Work normalize(const Machinery& machinery, const Issue& issue, const NormalizeCmd& operation);
Work activate(const Machinery& machinery, const Issue& issue, const Act& operation);
Work add(const Machinery& machinery, const Issue& issue, const Add& operation);
Work pool(const Machinery& machinery, const Issue& issue, const Pool& operation);
Work gather(const Machinery& machinery, const Issue& issue, const Gather& operation);
Work clear(const Machinery& machinery, const Issue& issue, const Clear& operation);
Work batch_norm_statistics(const Machinery& machinery, const Issue& issue, const BnStat& operation);
Work batch_norm_coefficients(const Machinery& machinery, const Issue& issue,
                             const BnCoef& operation);

}  // namespace wagesim::rtl
