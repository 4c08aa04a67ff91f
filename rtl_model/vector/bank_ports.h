// How long a command's bytes keep the activation buffer's ports busy (docs/cycles.md: port).
#pragma once

#include <cstdint>
#include <vector>

#include "wagesim/network/datapath.h"
#include "wagesim/program/command.h"

namespace wagesim::rtl {

/// Adds up the bytes that a command moves through each bank's port.
class BankPorts {
public:
    explicit BankPorts(const MachineConfig& config);

    /// `bytes` through the bank that holds [address, address + extent) of `space`; spaces other
    /// than the activations have ports of their own and count nothing. Throws MachineError if the
    /// bytes do not lie in one bank.
    void move(Space space, std::int64_t address, std::int64_t extent, std::int64_t bytes);
    /// A tile, or the bits beside it, whose every element is moved so many times.
    void move(const TileView& view, const Box& box, std::int64_t times = 1);
    void move(const BitPlane& plane, const Box& box, std::int64_t times = 1);

    /// Cycles until the busiest port is done.
    std::int64_t cycles() const;

private:
    const MachineConfig& config_;
    std::vector<std::int64_t> bytes_;
};

/// ceil(a / b) for a >= 0, b > 0.
constexpr std::int64_t ceil_divide(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

/// Cycles in which `lanes` elements each enter the vector unit: channels of a pixel side by side;
/// a tile in the accumulators comes row by row, unused columns included (docs/cycles.md: beats).
std::int64_t beats(const MachineConfig& config, const TileView& view, const Box& box);

}  // namespace wagesim::rtl
