// How long a command's bytes keep the activation buffer's ports busy (docs/cycles.md: port).
#include "vector/bank_ports.h"

#include <algorithm>
#include <string>

#include "buffer/buffer.h"
#include "control/extent.h"
#include "vector/tile_view.h"

namespace wagesim::rtl {

BankPorts::BankPorts(const MachineConfig& config)
    : config_(config), bytes_(static_cast<std::size_t>(config.activation_banks), 0) {}

void BankPorts::move(Space space, std::int64_t address, std::int64_t extent, std::int64_t bytes) {
    if (space != Space::activations || extent <= 0) return;
    const std::int64_t bank_bytes =
        ceil_divide(config_.activation_buffer_bytes, config_.activation_banks);
    const std::int64_t bank = address / bank_bytes;
    if (address < 0 || bank >= config_.activation_banks ||
        (address + extent - 1) / bank_bytes != bank)
        throw MachineError("activations: the tile at " + std::to_string(address) + " (" +
                           std::to_string(extent) + " bytes) does not lie in one bank");
    bytes_[static_cast<std::size_t>(bank)] += bytes;
}

void BankPorts::move(const TileView& view, const Box& box, std::int64_t times) {
    const Extent extent = extent_of(view, box);
    move(view.space, extent.first, extent.bytes, port_bytes(view, box) * times);
}

void BankPorts::move(const BitPlane& plane, const Box& box, std::int64_t times) {
    if (!plane.exists()) return;
    const Extent extent = extent_of(plane, box);
    move(plane.space, extent.first, extent.bytes, port_bytes(plane, box) * times);
}

std::int64_t BankPorts::cycles() const {
    std::int64_t most = 0;
    for (const std::int64_t bytes : bytes_)
        most = std::max(most, ceil_divide(bytes, config_.bank_bytes_per_cycle));
    return most;
}

std::int64_t beats(const MachineConfig& config, const TileView& view, const Box& box) {
    if (view.space == Space::accumulators)
        return rows_of(view, box) * ceil_divide(view.channels_per_row, config.vector_lanes);
    return box.pixels() * ceil_divide(box.c, config.vector_lanes);
}

}  // namespace wagesim::rtl
