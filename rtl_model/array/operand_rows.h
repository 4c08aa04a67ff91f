// The rows of operands that a GEMM streams into the array.
#pragma once

#include <cstdint>

#include "array/operand_feeder.h"
#include "array/pe_kernels.h"
#include "buffer/aligned.h"
#include "buffer/memories.h"
#include "wagesim/program/command.h"

namespace wagesim::rtl {

/// Rows of k operands, one after the other: those of a pixel, box row by row; or, `turned`, one
/// column of the operands' matrix, over k pixels. What is turned is read at once, through a buffer
/// that transposes.
class OperandRows {
public:
    /// `storage` is where rows are put; a later GEMM may have it next.
    OperandRows(const Command& command, Memories& memories, AlignedVector<std::int16_t>& storage);

    std::int64_t count() const { return count_; }
    /// Operands of the next row, until the next call.
    const std::int16_t* next();
    /// As many of the next rows as are read in one go, at least one, until the next call. Behind an
    /// odd k is any number.
    OperandBlock next_block();

private:
    void fetch_pixels(std::int32_t pixels, std::int16_t* operands, std::int64_t length);
    void read_columns();
    std::int16_t* room_for(std::int64_t operands);

    const Gemm& gemm_;
    const Box box_;
    const std::int64_t count_, length_;     // of a row, with what is behind an odd k
    const std::int32_t first_h_, first_w_;  // of the box, in its steps
    OperandFeeder feeder_;
    std::int32_t n_ = 0, h_ = 0, w_ = 0;  // the next pixel, within the box
    std::int64_t next_row_ = 0;
    AlignedVector<std::int16_t>& storage_;  // turned: [pair of pixels][row][2], then one row
};

}  // namespace wagesim::rtl
