// The control's and memories' signals over time, for a wave file.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <string_view>
#include <vector>

#include "control/access.h"
#include "control/interfaces.h"
#include "wagesim/program/command.h"
#include "wagesim/trace/wave.h"

namespace wagesim::rtl {

/// Declares its signals at construction. All calls are about the present cycle or later ones.
class Waves {
public:
    explicit Waves(trace::WaveSink& sink);

    enum class State { idle, issue, blocked, fence };
    void scheduler(std::int64_t cycle, State state);
    void issued(std::int64_t cycle, std::int64_t index, const Command& command);

    void started(Unit unit, std::int64_t cycle, std::int64_t index, const Command& command,
                 const std::vector<Access>& accesses);
    void ended(Unit unit, std::int64_t cycle);
    void stalled(Unit unit, std::int64_t cycle, std::string_view cause);
    void bus(DramSide side, std::int64_t first, std::int64_t end);

    /// Nothing before `cycle` will change any more.
    void advance(std::int64_t cycle) {
        if (array_lags) array_lags(cycle);
        sink_.advance(cycle);
    }
    /// Registers of the array that changed, cycle by cycle.
    void array_changed(std::int64_t cycle, const std::vector<trace::WaveChange>& changes) {
        if (bus_lags) bus_lags(cycle);
        sink_.change_all(cycle, changes.data(), changes.size());
    }
    /// Where elements of units declare themselves.
    trace::WaveSink& sink() { return sink_; }

    /// Bring the array, and the Dram's bus, up to a cycle: they report behind simulated time.
    std::function<void(std::int64_t cycle)> array_lags, bus_lags;

private:
    struct UnitSignals {
        int busy, stall, command, opcode;
    };
    struct PortSignals {
        int busy, address, bytes;
        int users = 0;  ///< commands that use the port
    };
    static constexpr std::size_t buffer_count = 4;
    PortSignals* port(const Access& access);

    trace::WaveSink& sink_;
    int state_, issued_, layer_, tile_;
    std::array<UnitSignals, unit_count> units_{};
    std::array<std::array<PortSignals, 2>, buffer_count> ports_{};  // read, write
    std::array<std::vector<Access>, unit_count> in_use_;
    std::array<int, 2> bus_{};
};

}  // namespace wagesim::rtl
