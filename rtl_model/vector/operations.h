// The vector unit's operations: how long each takes (docs/cycles.md), and its work on the
// memories, done at once. What each computes is said where its command is declared
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
    Work work;               ///< its duration

    /// When its first element is ready.
    Moment first_element() const { return {index, start + work.latency}; }
};

/// Every element of a tile passes a lane once.
inline void show_lanes(const Machinery& machinery, const Issue& issue, LaneWaves::Port port,
                       const TileView& view, const Codes& codes) {
    if (machinery.lanes != nullptr)
        machinery.lanes->show(port, issue.command.box, view, codes.data(), issue.work, issue.start);
}

Work duration(const MachineConfig& config, const Box& box, const NormalizeCmd& operation);
Work duration(const MachineConfig& config, const Box& box, const Act& operation);
Work duration(const MachineConfig& config, const Box& box, const Add& operation);
Work duration(const MachineConfig& config, const Box& box, const Pool& operation);
Work duration(const MachineConfig& config, const Box& box, const Gather& operation);
Work duration(const MachineConfig& config, const Box& box, const Clear& operation);
Work duration(const MachineConfig& config, const Box& box, const BnStat& operation);
Work duration(const MachineConfig& config, const Box& box, const BnCoef& operation);
Work duration(const MachineConfig& config, const Box& box, const Softmax& operation);
Work duration(const MachineConfig& config, const Box& box, const Exponent& operation);
Work duration(const MachineConfig& config, const Box& box, const ShiftQuantize& operation);
Work duration(const MachineConfig& config, const Box& box, const FlagQuantize& operation);
Work duration(const MachineConfig& config, const Box& box, const PoolBack& operation);
Work duration(const MachineConfig& config, const Box& box, const Reduce& operation);
Work duration(const MachineConfig& config, const Box& box, const BnBack& operation);
Work duration(const MachineConfig& config, const Box& box, const BnError& operation);
Work duration(const MachineConfig& config, const Box& box, const Fork& operation);

template <class Operands>
Work duration(const MachineConfig&, const Box&, const Operands&) {
    throw MachineError("vector: a command of another unit");
}

void normalize(const Machinery& machinery, const Issue& issue, const NormalizeCmd& operation);
void activate(const Machinery& machinery, const Issue& issue, const Act& operation);
void add(const Machinery& machinery, const Issue& issue, const Add& operation);
void pool(const Machinery& machinery, const Issue& issue, const Pool& operation);
void gather(const Machinery& machinery, const Issue& issue, const Gather& operation);
void clear(const Machinery& machinery, const Issue& issue, const Clear& operation);
void batch_norm_statistics(const Machinery& machinery, const Issue& issue, const BnStat& operation);
void batch_norm_coefficients(const Machinery& machinery, const Issue& issue,
                             const BnCoef& operation);
void softmax(const Machinery& machinery, const Issue& issue, const Softmax& operation);
void exponent(const Machinery& machinery, const Issue& issue, const Exponent& operation);
void shift_quantize(const Machinery& machinery, const Issue& issue, const ShiftQuantize& operation);
void flag_quantize(const Machinery& machinery, const Issue& issue, const FlagQuantize& operation);
void pool_back(const Machinery& machinery, const Issue& issue, const PoolBack& operation);
void reduce(const Machinery& machinery, const Issue& issue, const Reduce& operation);
void batch_norm_back(const Machinery& machinery, const Issue& issue, const BnBack& operation);
void batch_norm_error(const Machinery& machinery, const Issue& issue, const BnError& operation);
void fork(const Machinery& machinery, const Issue& issue, const Fork& operation);

}  // namespace wagesim::rtl
