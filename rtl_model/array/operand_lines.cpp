// Operands on their way through the array: skew registers and the registers that pass them on.
#include "array/operand_lines.h"

#include <algorithm>

namespace wagesim::rtl {

OperandLines::OperandLines(int rows, int lanes, int block)
    : rows_(rows),
      lanes_(lanes),
      ahead_(rows + block),
      length_(4 * (ahead_ + lanes + 1)),
      newest_(length_ - lanes - 2),
      lines_(static_cast<std::size_t>(rows * length_)) {}

void OperandLines::enter(std::int64_t cycle, const std::int16_t* operands) {
    std::int32_t* to = lines_.data() + (newest_ - cycle);
    for (int r = 0; r < rows_; ++r, to += length_ - 1) *to = operands[r];
}

void OperandLines::advance(std::int64_t cycle) {
    if (cycle + ahead_ <= newest_) return;
    // What is still on its way moves to the lines' far end; before it comes what has not entered.
    const std::int64_t newest = cycle + length_ - lanes_ - 2;
    const std::int64_t kept = ahead_ + lanes_ + 1;
    const std::int64_t from = newest_ - (cycle + ahead_), to = newest - (cycle + ahead_);
    const std::int64_t unborn = std::min(std::max<std::int64_t>(-from, 0), kept);
    for (int r = 0; r < rows_; ++r) {
        const auto line = lines_.begin() + r * length_;
        std::copy_backward(line + from + unborn, line + from + kept, line + to + kept);
        std::fill(line, line + to + unborn, 0);
    }
    newest_ = newest;
}

}  // namespace wagesim::rtl
