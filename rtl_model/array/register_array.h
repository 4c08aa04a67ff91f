// The MAC array at register fidelity: loader, feeder, PE registers and the way to the
// accumulators, cycle by cycle (docs/array.md).
#pragma once

#include <cstdint>
#include <memory>

#include "array/array_waves.h"
#include "array/array_weights.h"
#include "buffer/memories.h"
#include "wagesim/network/datapath.h"
#include "wagesim/program/command.h"

namespace wagesim::rtl {

/// Lags behind simulated time; settle() catches up with it. Whoever looks at what a running
/// command changes, or changes what it reads, settles it first. Tokens keep all others away, so
/// that any lag gives the same results.
class RegisterArray {
public:
    explicit RegisterArray(Memories& memories) : memories_(memories) {}
    virtual ~RegisterArray() = default;

    /// A WLOAD starts in the present cycle (ws).
    virtual void load(const ArrayWeights::TileRegisters& tile) = 0;
    /// A GEMM starts in the present cycle; the command outlives it. index: in the program; `bias`:
    /// one a column, or null.
    virtual void multiply(const Command& command, std::int64_t index, const std::int64_t* bias) = 0;
    /// Everything before `cycle` has happened: it is the present cycle.
    void settle(std::int64_t cycle) {
        const Actor outside = memories_.actor;
        advance(cycle);
        memories_.actor = outside;
    }
    /// What is under way is done, before its time.
    virtual void finish() = 0;
    /// The registers as they stand in this cycle, a while after the array did commands at once.
    virtual void resume(std::int64_t cycle, const ArrayWeights& weights) = 0;

    /// Some of its registers, or accumulators, are in the wave.
    virtual bool is_shown() const = 0;
    /// Products of a valid operand that PEs formed.
    virtual std::int64_t pe_operations() const = 0;

protected:
    virtual void advance(std::int64_t cycle) = 0;

    Memories& memories_;
};

/// `waves` may be null.
std::unique_ptr<RegisterArray> make_ws_register_array(const MachineConfig& config,
                                                      Memories& memories, Waves* waves,
                                                      const PortWidths& widths);
std::unique_ptr<RegisterArray> make_os_register_array(const MachineConfig& config,
                                                      Memories& memories, Waves* waves,
                                                      const PortWidths& widths);

}  // namespace wagesim::rtl
