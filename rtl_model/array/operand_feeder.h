// The im2col feeder: addresses and reads the operands of one output pixel.
#pragma once

#include <cstdint>
#include <vector>

#include "buffer/memories.h"
#include "wagesim/program/command.h"

namespace wagesim::rtl {

/// Fetches, by rows of pixels, some of the columns of a GEMM's matrix of operands.
class OperandFeeder {
public:
    /// Columns [first, first + count). Throws MachineError if the command's geometry is impossible.
    OperandFeeder(const Gemm& gemm, std::int32_t first, std::int32_t count, Memories& memories);

    /// n counted from the box's first image; oh, ow in the box's steps.
    struct Pixel {
        std::int64_t n;
        std::int32_t oh, ow;
    };
    /// Of so many output pixels side by side, each pixel's `length` behind the one's before.
    /// Padding is 0. Throws MachineError if an operand lies above or left of the tile, or was never
    /// written.
    void fetch(const Pixel& first, std::int32_t pixels, std::int16_t* operands,
               std::int64_t length);

private:
    /// Reduction indices of one kernel tap whose operands are neighbours in memory.
    struct Run {
        std::int32_t dh = 0, dw = 0;  ///< image coordinates from the window's corner
        std::int32_t channel = 0;
        std::int32_t length = 0;  ///< operands
    };
    /// Of one run, for `pixels` pixels from the one whose operands lie at image row ih, column iw.
    void read(const Run& run, std::int64_t n, std::int32_t ih, std::int32_t iw, std::int32_t pixels,
              std::int16_t* operands, std::int64_t length);
    /// Of operands which have been read.
    void apply_flags(const Run& run, std::int64_t n, std::int32_t ih, std::int32_t iw,
                     std::int32_t pixels, std::int16_t* operands, std::int64_t length);

    const Gemm& gemm_;
    Buffer& activations_;
    Buffer* flags_ = nullptr;  // where their plane lies; null: there are none
    std::vector<Run> runs_;
};

}  // namespace wagesim::rtl
