// The rows of operands that a GEMM streams into the array.
#include "array/operand_rows.h"

#include <string>

#include "control/extent.h"

namespace wagesim::rtl {

OperandRows::OperandRows(const Command& command, Memories& memories)
    : gemm_(std::get<Gemm>(command.operands)),
      box_(command.box),
      count_(streamed_rows(gemm_, box_)),
      feeder_(gemm_, gemm_.turned ? gemm_.m0 : gemm_.k0, gemm_.turned ? gemm_.m : gemm_.k,
              memories) {
    if (gemm_.turned)
        read_columns();
    else
        rows_.resize(static_cast<std::size_t>(row_length()));
}

void OperandRows::read_columns() {
    if (gemm_.k0 < 0 || gemm_.k < 1 || gemm_.k0 + gemm_.k > box_.pixels())
        throw MachineError("GEMM: pixels from " + std::to_string(gemm_.k0) + " to " +
                           std::to_string(gemm_.k0 + gemm_.k) + " of " +
                           std::to_string(box_.pixels()));
    w_ = gemm_.k0 % box_.w;
    h_ = gemm_.k0 / box_.w % box_.h;
    n_ = gemm_.k0 / box_.w / box_.h;
    std::vector<std::int16_t> pixel(static_cast<std::size_t>(gemm_.m));
    rows_.resize(static_cast<std::size_t>(count_ * row_length()));
    for (std::int32_t k = 0; k < gemm_.k; ++k) {
        fetch_pixel(pixel.data());
        std::int16_t* to = rows_.data() + k;
        for (std::int32_t m = 0; m < gemm_.m; ++m, to += row_length())
            *to = pixel[static_cast<std::size_t>(m)];
    }
    next_row_ = rows_.data();
}

const std::int16_t* OperandRows::next() {
    if (!gemm_.turned) {
        fetch_pixel(rows_.data());
        return rows_.data();
    }
    const std::int16_t* const row = next_row_;
    next_row_ += row_length();
    return row;
}

void OperandRows::fetch_pixel(std::int16_t* operands) {
    feeder_.fetch(n_, box_.h0 / box_.step_h + h_, box_.w0 / box_.step_w + w_, operands);
    if (++w_ < box_.w) return;
    w_ = 0;
    if (++h_ < box_.h) return;
    h_ = 0;
    ++n_;
}

}  // namespace wagesim::rtl
