// The rows of operands that a GEMM streams into the array.
#pragma once

#include <cstdint>
#include <vector>

#include "array/operand_feeder.h"
#include "buffer/memories.h"
#include "wagesim/program/command.h"

namespace wagesim::rtl {

/// Rows of k operands, one after the other: those of a pixel, box row by row; or, `turned`, one
/// column of the operands' matrix, over k pixels. What is turned is read at once, through a buffer
/// that transposes.
class OperandRows {
public:
    OperandRows(const Command& command, Memories& memories);

    std::int64_t count() const { return count_; }
    /// Operands of the next row, until the next call; behind k a 0.
    const std::int16_t* next();

private:
    void fetch_pixel(std::int16_t* operands);
    void read_columns();
    std::int64_t row_length() const { return gemm_.k + 1; }

    const Gemm& gemm_;
    const Box box_;
    const std::int64_t count_;
    OperandFeeder feeder_;
    std::int32_t n_ = 0, h_ = 0, w_ = 0;  // the next pixel, within the box
    std::vector<std::int16_t> rows_;      // one; turned: all, one behind the other
    const std::int16_t* next_row_ = nullptr;
};

}  // namespace wagesim::rtl
