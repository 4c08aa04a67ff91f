// The im2col feeder: addresses and reads the operands of one output pixel.
#pragma once

#include <cstdint>
#include <vector>

#include "buffer/memories.h"
#include "wagesim/program/command.h"

namespace wagesim::rtl {

/// Fetches, pixel by pixel, some of the columns of a GEMM's matrix of operands. Those that follow
/// each other in memory are read as one run.
class OperandFeeder {
public:
    /// Columns [first, first + count). Throws MachineError if the command's geometry is impossible.
    OperandFeeder(const Gemm& gemm, std::int32_t first, std::int32_t count, Memories& memories);

    /// Of the output pixel (n counted from the box's first image; oh, ow in the box's steps).
    /// Padding is 0. Throws MachineError if an operand lies above or left of the tile, or was never
    /// written.
    void fetch(std::int64_t n, std::int32_t oh, std::int32_t ow, std::int16_t* operands);

private:
    /// Reduction indices of one kernel tap whose operands are neighbours in memory.
    struct Run {
        std::int32_t dh = 0, dw = 0;  ///< image coordinates from the window's corner
        std::int32_t channel = 0;
        std::int64_t offset = 0;  ///< bytes from the corner's first channel
        std::int32_t length = 0;  ///< operands
    };
    bool is_inside(std::int32_t ih, std::int32_t iw) const;
    void read(std::int64_t address, std::int64_t count, std::int16_t* operands);
    void apply_flags(std::int64_t n, std::int32_t ih, std::int32_t iw, const Run& run,
                     std::int16_t* operands);

    const Gemm& gemm_;
    Buffer& activations_;
    Buffer* flags_ = nullptr;  // where their plane lies; null: there are none
    std::vector<Run> runs_;
    std::vector<std::uint8_t> flag_values_;
};

}  // namespace wagesim::rtl
