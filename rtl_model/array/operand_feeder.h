// The im2col feeder: addresses and reads the K operands of one output pixel.
#pragma once

#include <cstdint>
#include <vector>

#include "buffer/buffer.h"
#include "wagesim/program/command.h"

namespace wagesim::rtl {

/// Fetches rows of operands for one GEMM. Reduction indices that follow each other in memory are
/// read as one run.
class OperandFeeder {
public:
    /// Throws MachineError if the command's geometry is impossible.
    OperandFeeder(const Gemm& gemm, Buffer& activations);

    /// Operands [0, k) of the output pixel (n counted from the box's first image; oh, ow in the
    /// output tensor). Padding is 0. Throws MachineError if an operand lies above or left of the
    /// tile, or was never written.
    void fetch(std::int64_t n, std::int32_t oh, std::int32_t ow, std::int16_t* operands);

private:
    /// Reduction indices of one kernel tap whose operands are neighbours in memory.
    struct Run {
        std::int32_t dh = 0, dw = 0;  ///< image coordinates from the window's corner
        std::int64_t offset = 0;      ///< bytes from the corner's first channel
        std::int32_t length = 0;      ///< operands
    };
    void read(std::int64_t address, std::int64_t count, std::int16_t* operands);

    const Gemm& gemm_;
    Buffer& activations_;
    std::vector<Run> runs_;
};

}  // namespace wagesim::rtl
