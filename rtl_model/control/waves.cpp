// The control's and memories' signals over time, for a wave file.
#include "control/waves.h"

#include <string>

namespace wagesim::rtl {

using trace::WaveKind;

Waves::Waves(trace::WaveSink& sink)
    : sink_(sink),
      state_(sink.declare("machine.scheduler", "state", 1, WaveKind::text)),
      issued_(sink.declare("machine.scheduler", "command", 32, WaveKind::integer)),
      layer_(sink.declare("machine.scheduler", "layer", 32, WaveKind::integer)),
      tile_(sink.declare("machine.scheduler", "tile", 32, WaveKind::integer)) {
    for (std::size_t i = 0; i < units_.size(); ++i) {
        const std::string scope = "machine." + std::string(to_string(static_cast<Unit>(i)));
        units_[i] = {sink.declare(scope, "busy", 1, WaveKind::wire),
                     sink.declare(scope, "stall", 1, WaveKind::text),
                     sink.declare(scope, "command", 32, WaveKind::integer),
                     sink.declare(scope, "opcode", 1, WaveKind::text)};
    }
    constexpr std::array<Space, buffer_count> buffers{Space::weights, Space::activations,
                                                      Space::accumulators, Space::parameters};
    for (std::size_t i = 0; i < buffers.size(); ++i) {
        const std::string scope = "machine." + std::string(to_string(buffers[i]));
        for (std::size_t side = 0; side < 2; ++side) {
            const std::string name = side == 0 ? "read" : "write";
            ports_[i][side] = {sink.declare(scope, name + "_busy", 1, WaveKind::wire),
                               sink.declare(scope, name + "_address", 32, WaveKind::wire),
                               sink.declare(scope, name + "_bytes", 32, WaveKind::integer), 0};
        }
    }
    bus_ = {sink.declare("machine.dram", "bus_read", 1, WaveKind::wire),
            sink.declare("machine.dram", "bus_write", 1, WaveKind::wire)};
}

void Waves::scheduler(std::int64_t cycle, State state) {
    constexpr std::array<std::string_view, 4> names{"idle", "issue", "blocked", "fence"};
    sink_.change(state_, cycle, names[static_cast<std::size_t>(state)]);
}

void Waves::issued(std::int64_t cycle, std::int64_t index, const Command& command) {
    sink_.change(issued_, cycle, index);
    sink_.change(layer_, cycle, std::int64_t{command.layer});
    sink_.change(tile_, cycle, std::int64_t{command.tile});
}

Waves::PortSignals* Waves::port(const Access& access) {
    const std::size_t side = access.is_write ? 1 : 0;
    switch (access.space) {
        case Space::weights:
            return &ports_[0][side];
        case Space::activations:
            return &ports_[1][side];
        case Space::accumulators:
            return &ports_[2][side];
        case Space::parameters:
            return &ports_[3][side];
        case Space::dram:
            break;
    }
    return nullptr;
}

void Waves::started(Unit unit, std::int64_t cycle, std::int64_t index, const Command& command,
                    const std::vector<Access>& accesses) {
    const auto u = static_cast<std::size_t>(unit);
    sink_.change(units_[u].busy, cycle, 1);
    sink_.change(units_[u].command, cycle, index);
    sink_.change(units_[u].opcode, cycle, mnemonic(command));
    for (const Access& access : accesses)
        if (PortSignals* used = port(access)) {
            ++used->users;
            sink_.change(used->busy, cycle, 1);
            sink_.change(used->address, cycle, access.first);
            sink_.change(used->bytes, cycle, access.bytes);
        }
    in_use_[u] = accesses;
}

void Waves::ended(Unit unit, std::int64_t cycle) {
    const auto u = static_cast<std::size_t>(unit);
    sink_.change(units_[u].busy, cycle, 0);
    for (const Access& access : in_use_[u])
        if (PortSignals* used = port(access))
            if (--used->users == 0) sink_.change(used->busy, cycle, 0);
    in_use_[u].clear();
}

void Waves::stalled(Unit unit, std::int64_t cycle, std::string_view cause) {
    sink_.change(units_[static_cast<std::size_t>(unit)].stall, cycle, cause);
}

void Waves::bus(DramSide side, std::int64_t first, std::int64_t end) {
    const int id = bus_[side == DramSide::read ? 0 : 1];
    sink_.change(id, first, 1);
    sink_.change(id, end, 0);
}

}  // namespace wagesim::rtl
