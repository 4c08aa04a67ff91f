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
                       LaneWaves::Port port, const TileView& view, const Codes& codes) {
    if (machinery.lanes != nullptr)
        machinery.lanes->show(port, issue.command.box, view, codes.data(), work, issue.start);
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
Work softmax(const Machinery& machinery, const Issue& issue, const Softmax& operation);
Work exponent(const Machinery& machinery, const Issue& issue, const Exponent& operation);
Work shift_quantize(const Machinery& machinery, const Issue& issue, const ShiftQuantize& operation);
Work flag_quantize(const Machinery& machinery, const Issue& issue, const FlagQuantize& operation);
Work pool_back(const Machinery& machinery, const Issue& issue, const PoolBack& operation);
Work reduce(const Machinery& machinery, const Issue& issue, const Reduce& operation);
Work batch_norm_back(const Machinery& machinery, const Issue& issue, const BnBack& operation);
Work batch_norm_error(const Machinery& machinery, const Issue& issue, const BnError& operation);
Work fork(const Machinery& machinery, const Issue& issue, const Fork& operation);

}  // namespace wagesim::rtl
