// How the machine shows what it computes, to whoever watches: the judge, the trace, nobody.
#pragma once

#include <cstdint>
#include <vector>

#include "wagesim/program/command.h"

namespace wagesim {

/// Codes made at a quantisation point, at the moment they are made.
struct Tap {
    QpId qp;
    Box box;  ///< which elements of the tensor (vectors over channels: n=h=w=1)
    Format format;
    const Wide* wide = nullptr;           ///< SS: box.size() codes; else null
    const std::int64_t* codes = nullptr;  ///< box.size() codes in n, h, w, c order
    std::int64_t first =
        -1;  ///< >= 0: elements [first, first + box.c) in memory order instead (weights)
    std::int64_t cycle = 0;    ///< when the first of them is ready
    std::int64_t command = 0;  ///< index in the program
    /// Of these elements, at this point (docs/training.md).
    std::int64_t saturations = 0, wraps = 0, underflows = 0, align_rounded = 0;
};

/// One executed command.
struct Retired {
    std::int64_t command = 0;
    std::int64_t issued = 0, started = 0, finished = 0;  ///< cycles
    std::int64_t busy = 0;  ///< cycles from its start until the unit could start the next
    /// Cycles the unit stood ready for this command and lacked something, by cause.
    std::array<std::int64_t, stall_cause_count> stalls{};
    /// Bytes across each memory's port, by Space: an element as often as it was used.
    std::array<std::int64_t, space_count> bytes_read{}, bytes_written{};
    std::int64_t macs = 0, padding_slots = 0;  ///< of the array's PEs
};

class Probe {
public:
    virtual ~Probe() = default;
    virtual void on_tap(const Tap& tap) = 0;
    virtual void on_retired(const Retired& retired) = 0;
};

/// Nobody watches.
class NoProbe : public Probe {
public:
    void on_tap(const Tap&) override {}
    void on_retired(const Retired&) override {}
};

}  // namespace wagesim
