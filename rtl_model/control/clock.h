// The one clock: cycles as SystemC time. No clock process exists; processes wait for whole cycles.
#pragma once

#include <cstdint>
#include <systemc>

namespace wagesim::rtl {

/// Of a cycle, which is shown as 1 ns; `clock_hz` only prints seconds.
inline sc_dt::uint64 period() {
    static const sc_dt::uint64 value = sc_core::sc_time(1, sc_core::SC_NS).value();
    return value;
}

/// SystemC's time of so many cycles.
inline sc_core::sc_time cycles(std::int64_t count) {
    return sc_core::sc_time::from_value(static_cast<sc_dt::uint64>(count) * period());
}

/// Just before the cycle: everything of earlier cycles has happened, nothing of this one. Not for
/// cycle 0.
inline sc_core::sc_time before_cycle(std::int64_t cycle) {
    return cycles(cycle) - sc_core::sc_get_time_resolution();
}

/// The present cycle, since the first run's start.
inline std::int64_t present_cycle() {
    return static_cast<std::int64_t>(sc_core::sc_time_stamp().value() / period());
}

}  // namespace wagesim::rtl
