// What a run did, in numbers: gathered from the machine's retired commands and shown codes.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <set>
#include <string>
#include <vector>

#include "wagesim/network/datapath.h"
#include "wagesim/network/network.h"
#include "wagesim/program/probe.h"

namespace wagesim::report {

/// One pass: the commands between two fences. It works on the layers fused into it.
struct PassStats {
    Phase phase = Phase::forward;
    std::set<int> layers;  ///< that it computes
    std::int64_t cycles = 0;
    std::int64_t macs = 0;
    std::int64_t pe_slots = 0;  ///< rows streamed * R * C: MACs and padding
    std::int64_t dram_read_bytes = 0,
                 dram_write_bytes = 0;  ///< moved by the Dmas, without burst padding
    std::int64_t commands = 0;
    std::array<std::int64_t, unit_count> busy{};
    std::array<std::array<std::int64_t, stall_cause_count>, unit_count> stalls{};
};

/// "conv1+bn1+relu1".
std::string layer_names(const Network& network, const std::set<int>& layers);

/// One command of one batch, for timeline.json and commands.csv.
struct CommandRecord {
    const Command* command = nullptr;
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

    /// `program` must outlive the recorder.
    void begin_batch(const Program& program);
    void on_tap(const Tap& tap) override;
    void on_retired(const Retired& retired) override;
    void end_batch();

    /// Passes summed over batches, in program order; the prologue first.
    const std::vector<PassStats>& passes() const { return passes_; }
    const std::vector<CommandRecord>& commands() const { return commands_; }
    std::int64_t cycles() const { return cycles_; }
    std::int64_t macs() const;
    std::int64_t dram_bytes() const;

private:
    const Network& network_;
    MachineConfig machine_;
    Probe& next_;
    bool keep_commands_ = false;
    std::function<void(int)> on_layer_;
    const Program* program_ = nullptr;
    std::vector<std::size_t> pass_of_;    ///< of the program's commands, index into passes_
    std::vector<std::int64_t> pass_end_;  ///< last cycle seen, by pass of this program
    std::vector<PassStats> passes_;
    std::vector<CommandRecord> commands_;
    std::int64_t cycles_ = 0;
    int batch_ = -1;
    int last_layer_ = -2;
};

}  // namespace wagesim::report
