// What a run did, in numbers: gathered from the machine's retired commands and shown codes.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "wagesim/network/datapath.h"
#include "wagesim/network/network.h"
#include "wagesim/program/probe.h"

namespace wagesim::report {

/// What one unit did in one pass, in cycles and bytes (docs/cycles.md, counters).
struct UnitStats {
    std::int64_t busy = 0;
    std::array<std::int64_t, stall_cause_count> stalls{};
    std::array<std::int64_t, space_count> bytes_read{}, bytes_written{};

    UnitStats& operator+=(const UnitStats& other);
    std::int64_t stalled() const;  ///< by any cause
};

/// One pass: the commands between two fences. It works on the layers fused into it.
struct PassStats {
    Phase phase = Phase::forward;
    std::set<int> layers;  ///< that it computes
    std::int64_t cycles = 0;
    std::int64_t macs = 0;
    std::int64_t pe_slots = 0;  ///< MACs and padding
    std::array<UnitStats, unit_count> units;

    const UnitStats& of(Unit unit) const { return units[static_cast<std::size_t>(unit)]; }
    /// Of its cycles, those in which the unit was neither busy nor had a command to wait with.
    std::int64_t idle(Unit unit) const { return cycles - of(unit).busy - of(unit).stalled(); }
    std::int64_t bytes_read(Space space) const;
    std::int64_t bytes_written(Space space) const;
};

/// Where a pass stands under the roof of R x C MACs a cycle and of what the Dram's bytes feed.
struct Roofline {
    double macs_per_byte = 0;  ///< of Dram, read or written
    double attainable = 0;     ///< MACs a cycle: min(R * C, macs_per_byte * dram_bytes_per_cycle)
    double share = 0;          ///< of it, what was done
    bool memory_bound = false;
};

/// "conv1+bn1+relu1".
std::string layer_names(const Network& network, const std::set<int>& layers);

/// One command of one batch, for timeline.json and commands.csv.
struct CommandRecord {
    std::string mnemonic;
    Unit unit = Unit::dma_read;
    Phase phase = Phase::forward;
    std::int32_t layer = -1, tile = 0;
    bool is_fence = false;
    Retired retired;
    int batch = 0;
};

/// Sits between the machine and the judge.
class Recorder : public Probe {
public:
    Recorder(const Network& network, const MachineConfig& machine, Probe& next);

    /// Keep each command's times (timeline.json, commands.csv).
    void keep_commands(bool keep) { keep_commands_ = keep; }
    /// Called when work on a layer begins.
    void on_layer(std::function<void(int)> callback) { on_layer_ = std::move(callback); }

    /// `program` must live until end_batch().
    void begin_batch(const Program& program);
    void on_tap(const Tap& tap) override;
    void on_retired(const Retired& retired) override;
    /// Also where the machine stopped: cycles up to the last command retired.
    void end_batch();

    /// Passes summed over batches, in program order; the prologue first.
    const std::vector<PassStats>& passes() const { return passes_; }
    /// Their sum; its layers are none.
    PassStats total() const;
    double utilisation(const PassStats& pass) const;  ///< MACs of the array's slots, 0 to 1
    /// Nothing where a pass has no MAC.
    std::optional<Roofline> roofline(const PassStats& pass) const;
    const std::vector<CommandRecord>& commands() const { return commands_; }
    std::int64_t cycles() const { return cycles_; }
    /// In which a point was made (of several the last); forward where it is not known.
    Phase phase_of(const QpId& qp) const;

private:
    PassStats& pass_of(std::size_t command);
    double peak() const;  ///< MACs a cycle

    const Network& network_;
    MachineConfig machine_;
    Probe& next_;
    bool keep_commands_ = false;
    std::function<void(int)> on_layer_;
    const Program* program_ = nullptr;
    /// Of the batch's passes so far, index into passes_ and the last cycle seen.
    std::vector<std::pair<std::size_t, std::int64_t>> batch_passes_;
    bool in_pass_ = false;  ///< since the last FENCE something was done
    std::array<std::size_t, phase_count> ordinals_{};
    std::vector<PassStats> passes_;
    std::vector<CommandRecord> commands_;
    std::map<std::pair<std::int32_t, Qp>, Phase> phases_;
    std::int64_t cycles_ = 0;
    std::int64_t fence_ = 0;  ///< when the last one was executed: the present pass began
    int batch_ = -1;
    int last_layer_ = -2;
};

}  // namespace wagesim::report
