// The valid bits of the array, and the PE operations that they stand for.
#pragma once

#include <cstdint>
#include <vector>

namespace wagesim::rtl {

/// Valid at PE (0, 0)'s inputs in cycle e is valid at PE (r, c)'s in cycle e + r + c.
class Wavefront {
public:
    /// `block`: as for OperandLines.
    Wavefront(int rows, int columns, int block);

    void enter(std::int64_t cycle) { entered_[slot(cycle)] = cycle; }
    bool entered(std::int64_t cycle) const { return cycle >= 0 && entered_[slot(cycle)] == cycle; }
    /// The cycles before `cycle` are over: their PE operations are counted.
    void advance(std::int64_t cycle);

    /// The same where no operand is in the array and none enters before `cycle`.
    void idle_until(std::int64_t cycle);

    std::int64_t pe_operations() const { return pe_operations_; }

private:
    std::size_t slot(std::int64_t cycle) const { return static_cast<std::size_t>(cycle) & mask_; }

    const int rows_, columns_;
    std::size_t mask_;
    std::vector<std::int64_t> entered_;    // the cycle, where something entered in it
    std::vector<std::int32_t> row_width_;  // by cycle: PEs of row 0 that hold a valid operand
    std::int64_t now_ = 0;
    std::int32_t in_row_ = 0, in_array_ = 0;  // PEs with a valid operand in the cycle before now_
    std::int64_t pe_operations_ = 0;
};

}  // namespace wagesim::rtl
