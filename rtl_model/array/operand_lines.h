// Operands on their way through the array: skew registers and the registers that pass them on.
#pragma once

#include <cstdint>
#include <vector>

namespace wagesim::rtl {

/// What entered in cycle e stands at the inputs of PE (r, c) in cycle e + r + c (docs/array.md). A
/// pipeline that only delays needs no copy per stage: each row keeps one line of what entered it,
/// newest first, and PE (r, c) sees the element c places behind that of PE (r, 0).
class OperandLines {
public:
    /// `lanes`: columns, rounded up as the kernels need; at() may be read that far. `block`: at
    /// most so many cycles pass between two calls of advance().
    OperandLines(int rows, int lanes, int block);

    /// Operands 0 .. rows - 1 enter in this cycle, which lies at most `block` ahead. Where nothing
    /// enters, a bubble does: 0.
    void enter(std::int64_t cycle, const std::int16_t* operands);
    /// The operand at PE (r, 0)'s input in a cycle; PE (r, c)'s is element c.
    const std::int32_t* at(int row, std::int64_t cycle) const {
        return line(row) + (newest_ - cycle);
    }
    std::int64_t line_length() const { return length_; }
    /// Cycles before `cycle` will only be asked for by at(r, cycle - 1).
    void advance(std::int64_t cycle);

private:
    const std::int32_t* line(int row) const { return lines_.data() + row * length_; }

    const int rows_;
    const std::int64_t lanes_, ahead_, length_;
    std::int64_t newest_;  // the cycle of a line's first element
    std::vector<std::int32_t> lines_;
};

}  // namespace wagesim::rtl
