// See recorder.h.
#include "report/recorder.h"

#include <algorithm>

namespace wagesim::report {
namespace {

std::int64_t moved_bytes(const Transfer& transfer) {
    return transfer.run_bytes * transfer.counts[0] * transfer.counts[1] * transfer.counts[2];
}

}  // namespace

std::string layer_names(const Network& network, const std::set<int>& layers) {
    std::string text;
    for (const int layer : layers)
        if (layer >= 0) text += (text.empty() ? "" : "+") + network.name_of(layer);
    return text;
}

Recorder::Recorder(const Network& network, const MachineConfig& machine, Probe& next)
    : network_(network), machine_(machine), next_(next) {}

void Recorder::begin_batch(const Program& program) {
    ++batch_;
    program_ = &program;
    pass_of_.assign(program.commands.size(), 0);
    // Programs of one run differ only in the prologue: passes are told apart by phase and order.
    std::size_t prologues = 0, forwards = 0;
    bool open = false;
    std::size_t pass = 0;
    const auto find = [&](Phase phase, std::size_t ordinal) {
        std::size_t seen = 0;
        for (std::size_t i = 0; i < passes_.size(); ++i)
            if (passes_[i].phase == phase && seen++ == ordinal) return i;
        passes_.push_back({});
        passes_.back().phase = phase;
        return passes_.size() - 1;
    };
    for (std::size_t i = 0; i < program.commands.size(); ++i) {
        const Command& command = program.commands[i];
        if (!open) {
            pass = command.phase == Phase::prepare ? find(command.phase, prologues++)
                                                   : find(command.phase, forwards++);
            open = true;
        }
        pass_of_[i] = pass;
        if (std::holds_alternative<Fence>(command.operands)) open = false;
    }
    pass_end_.assign(passes_.size(), 0);
}

void Recorder::on_tap(const Tap& tap) {
    passes_[pass_of_[static_cast<std::size_t>(tap.command)]].layers.insert(tap.qp.layer);
    if (on_layer_ && tap.qp.layer != last_layer_) {
        last_layer_ = tap.qp.layer;
        on_layer_(tap.qp.layer);
    }
    next_.on_tap(tap);
}

void Recorder::on_retired(const Retired& retired) {
    const auto index = static_cast<std::size_t>(retired.command);
    const Command& command = program_->commands[index];
    const std::size_t pass_index = pass_of_[index];
    PassStats& pass = passes_[pass_index];
    auto& end = pass_end_[pass_index];
    end = std::max(end, retired.finished);
    ++pass.commands;
    if (!std::holds_alternative<Fence>(command.operands)) {
        const auto unit = static_cast<std::size_t>(command.unit);
        pass.busy[unit] += retired.finished - retired.started;
        for (std::size_t cause = 0; cause < stall_cause_count; ++cause)
            pass.stalls[unit][cause] += retired.stalls[cause];
    }
    if (const auto* gemm = std::get_if<Gemm>(&command.operands)) {
        pass.macs += command.box.pixels() * gemm->k * gemm->columns;
        pass.pe_slots += command.box.pixels() * machine_.array_rows * machine_.array_columns;
    } else if (const auto* transfer = std::get_if<Transfer>(&command.operands)) {
        (command.unit == Unit::dma_read ? pass.dram_read_bytes : pass.dram_write_bytes) +=
            moved_bytes(*transfer);
    }
    if (keep_commands_) commands_.push_back({&command, retired, batch_});
    next_.on_retired(retired);
}

void Recorder::end_batch() {
    std::vector<std::size_t> order;
    for (const std::size_t pass : pass_of_)
        if (order.empty() || order.back() != pass) order.push_back(pass);
    for (const std::size_t pass : order) {
        const std::int64_t end = std::max(pass_end_[pass], cycles_);
        passes_[pass].cycles += end - cycles_;
        cycles_ = end;
    }
}

std::int64_t Recorder::macs() const {
    std::int64_t sum = 0;
    for (const auto& pass : passes_) sum += pass.macs;
    return sum;
}

std::int64_t Recorder::dram_bytes() const {
    std::int64_t sum = 0;
    for (const auto& pass : passes_) sum += pass.dram_read_bytes + pass.dram_write_bytes;
    return sum;
}

}  // namespace wagesim::report
