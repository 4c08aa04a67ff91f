// What a unit's shell asks of the part that does the work.
#pragma once

#include <cstdint>

#include "wagesim/program/command.h"
#include "wagesim/program/probe.h"

namespace wagesim::rtl {

class Waves;

/// How long a command takes, in cycles (docs/cycles.md).
struct Work {
    std::int64_t busy = 0;     ///< from its start until the unit may start the next
    std::int64_t latency = 0;  ///< from then until its results are there and its tokens given
    std::int64_t swap = -1;    ///< from its start until `gives_at_swap`; -1: it has none
};

/// What a command does to data (reads, writes, taps), in the order of simulated time.
class DataWork {
public:
    virtual ~DataWork() = default;
    /// At its start. index: in the program; start: the cycle; work: the duration, if known.
    virtual void execute(const Command& command, std::int64_t index, std::int64_t start,
                         const Work& work) = 0;
    /// At its end.
    virtual void finish(const Command& command) { (void)command; }
};

/// Executes the commands of one unit: inside execute(), or until the command is done, in settle():
/// tokens keep everyone else away.
class Executor : public DataWork {
public:
    /// Depends on the command alone. Throws MachineError if it is another unit's.
    virtual Work duration(const Command& command) const = 0;
    /// Everything before `cycle` has happened.
    virtual void settle(std::int64_t cycle) { (void)cycle; }
    /// Settles at least every so many cycles of a command; 0: only when something depends on it.
    virtual int quantum() const { return 0; }
};

/// Who watches.
struct Watch {
    Probe* probe = nullptr;  ///< of a run; null: nobody, or none is under way
    Waves* waves = nullptr;  ///< null: no wave is written
};

}  // namespace wagesim::rtl
