// See recorder.h.
#include "report/recorder.h"

#include <algorithm>
#include <numeric>

namespace wagesim::report {
namespace {

template <std::size_t n>
void add(std::array<std::int64_t, n>& sums, const std::array<std::int64_t, n>& terms) {
    for (std::size_t i = 0; i < n; ++i) sums[i] += terms[i];
}

}  // namespace

UnitStats& UnitStats::operator+=(const UnitStats& other) {
    busy += other.busy;
    add(stalls, other.stalls);
    add(bytes_read, other.bytes_read);
    add(bytes_written, other.bytes_written);
    return *this;
}

std::int64_t UnitStats::stalled() const {
    return std::accumulate(stalls.begin(), stalls.end(), std::int64_t{0});
}

std::int64_t PassStats::bytes_read(Space space) const {
    std::int64_t sum = 0;
    for (const UnitStats& unit : units) sum += unit.bytes_read[static_cast<std::size_t>(space)];
    return sum;
}

std::int64_t PassStats::bytes_written(Space space) const {
    std::int64_t sum = 0;
    for (const UnitStats& unit : units) sum += unit.bytes_written[static_cast<std::size_t>(space)];
    return sum;
}

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
    batch_passes_.clear();
    in_pass_ = false;
    ordinals_ = {};
    fence_ = cycles_;
}

/// The present one. Programs of one run differ only in the prologue: passes are known by phase and
/// order.
PassStats& Recorder::pass_of(std::size_t command) {
    if (!in_pass_) {
        in_pass_ = true;
        const Phase phase = program_->at(command).phase;
        const std::size_t ordinal = ordinals_[static_cast<std::size_t>(phase)]++;
        std::size_t i = 0;
        for (std::size_t seen = 0; i < passes_.size(); ++i)
            if (passes_[i].phase == phase && seen++ == ordinal) break;
        if (i == passes_.size()) {
            passes_.emplace_back();
            passes_.back().phase = phase;
        }
        batch_passes_.emplace_back(i, 0);
    }
    return passes_[batch_passes_.back().first];
}

void Recorder::on_tap(const Tap& tap) {
    PassStats& pass = pass_of(static_cast<std::size_t>(tap.command));
    pass.layers.insert(tap.qp.layer);
    phases_[{tap.qp.layer, tap.qp.qp}] = pass.phase;
    if (on_layer_ && tap.qp.layer != last_layer_) {
        last_layer_ = tap.qp.layer;
        on_layer_(tap.qp.layer);
    }
    next_.on_tap(tap);
}

void Recorder::on_retired(const Retired& retired) {
    const auto index = static_cast<std::size_t>(retired.command);
    const Command& command = program_->at(index);
    const bool is_fence = std::holds_alternative<Fence>(command.operands);
    PassStats& pass = pass_of(index);
    auto& end = batch_passes_.back().second;
    end = std::max(end, retired.finished);
    if (is_fence) {
        fence_ = retired.finished;
        in_pass_ = false;
    } else {
        UnitStats done{retired.busy, retired.stalls, retired.bytes_read, retired.bytes_written};
        // For its first command a unit may wait since the pass before; here only what is of this.
        auto& control = done.stalls[static_cast<std::size_t>(StallCause::control)];
        control = std::min(control, retired.issued - fence_);
        pass.units[static_cast<std::size_t>(command.unit)] += done;
        pass.macs += retired.macs;
        pass.pe_slots += retired.macs + retired.padding_slots;
    }
    if (keep_commands_)
        commands_.push_back({mnemonic(command), command.unit, command.phase, command.layer,
                             command.tile, is_fence, retired, batch_});
    next_.on_retired(retired);
}

void Recorder::end_batch() {
    for (const auto& [pass, last] : batch_passes_) {
        const std::int64_t end = std::max(last, cycles_);
        passes_[pass].cycles += end - cycles_;
        cycles_ = end;
    }
}

Phase Recorder::phase_of(const QpId& qp) const {
    const auto found = phases_.find({qp.layer, qp.qp});
    return found == phases_.end() ? Phase::forward : found->second;
}

PassStats Recorder::total() const {
    PassStats sum;
    for (const PassStats& pass : passes_) {
        sum.cycles += pass.cycles;
        sum.macs += pass.macs;
        sum.pe_slots += pass.pe_slots;
        for (std::size_t i = 0; i < unit_count; ++i) sum.units[i] += pass.units[i];
    }
    return sum;
}

double Recorder::peak() const {
    return static_cast<double>(machine_.array_rows) * static_cast<double>(machine_.array_columns);
}

double Recorder::utilisation(const PassStats& pass) const {
    if (pass.cycles == 0) return 0;
    return static_cast<double>(pass.macs) / (static_cast<double>(pass.cycles) * peak());
}

std::optional<Roofline> Recorder::roofline(const PassStats& pass) const {
    const std::int64_t bytes = pass.bytes_read(Space::dram) + pass.bytes_written(Space::dram);
    if (pass.macs == 0 || bytes == 0 || pass.cycles == 0) return std::nullopt;
    const auto macs = static_cast<double>(pass.macs);
    Roofline roofline;
    roofline.macs_per_byte = macs / static_cast<double>(bytes);
    const double fed = roofline.macs_per_byte * machine_.dram_bytes_per_cycle;
    roofline.memory_bound = fed < peak();
    roofline.attainable = std::min(peak(), fed);
    roofline.share = macs / static_cast<double>(pass.cycles) / roofline.attainable;
    return roofline;
}

}  // namespace wagesim::report
