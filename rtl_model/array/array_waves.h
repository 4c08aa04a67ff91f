// The array's registers and the accumulators over time, for a wave file.
#pragma once

#include <string>
#include <vector>

#include "buffer/accumulators.h"
#include "control/element_waves.h"
#include "control/waves.h"
#include "wagesim/network/datapath.h"

namespace wagesim::rtl {

/// Bits of what enters the array.
struct PortWidths {
    int operand = 8, weight = 8;
};

/// What both dataflows show. Changes are gathered, and go to the sink cycle by cycle.
class ArrayWaves {
public:
    ArrayWaves(Waves& waves, const MachineConfig& config, const Accumulators& memory)
        : waves_(waves),
          rows_(config.array_rows),
          columns_(config.array_columns),
          memory_(memory),
          accumulators_(
              waves.sink(), static_cast<int>(memory.rows()), columns_,
              [](int r, int) { return "machine.accumulators.row" + std::to_string(r); },
              [](int c) { return "c" + std::to_string(c); }, memory.bits(),
              trace::WaveKind::signed_wire) {}

    ElementWaves pe_register(const std::string& name, int bits, trace::WaveKind kind) const {
        return ElementWaves(
            waves_.sink(), rows_, columns_,
            [](int r, int c) {
                return "machine.array.row" + std::to_string(r) + ".pe" + std::to_string(c);
            },
            [&](int) { return name; }, bits, kind);
    }

    bool shows_accumulators() const { return accumulators_.is_shown(); }
    /// Whether anything in [from, to) is seen.
    bool shows(std::int64_t from, std::int64_t to) const { return waves_.sink().shows(from, to); }

    void take_accumulator_row(std::int64_t row) {
        accumulators_.take(static_cast<int>(row), memory_.raw_row(row), changes);
    }
    void take_accumulators() {
        for (std::int64_t row = 0; row < memory_.rows(); ++row) take_accumulator_row(row);
    }
    /// What was gathered is what registers hold from this cycle on.
    void report(std::int64_t cycle) {
        waves_.array_changed(cycle, changes);
        changes.clear();
    }

    std::vector<trace::WaveChange> changes;

private:
    Waves& waves_;
    const int rows_, columns_;
    const Accumulators& memory_;
    ElementWaves accumulators_;
};

}  // namespace wagesim::rtl
