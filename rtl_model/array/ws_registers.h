// The registers of the weight-stationary array, and what clock edges do to them (docs/array.md).
#pragma once

#include <cstdint>
#include <limits>
#include <vector>

#include "array/operand_lines.h"
#include "array/pe_kernels.h"
#include "array/wavefront.h"

namespace wagesim::rtl {

/// Every PE register in every cycle.
class WsRegisters {
public:
    /// Most cycles of one advance().
    static constexpr int most_cycles = 256;

    WsRegisters(int rows, int columns);

    /// The present cycle: registers hold their values in it, inputs of it and of later cycles may
    /// still be set.
    std::int64_t now() const { return now_; }

    /// `load` and the loader's row (`columns` weights), for one more of the cycles from now on. All
    /// of them must be over before a swap enters, and the last swap before the first.
    void load(const std::int16_t* weights);
    /// `swap` enters in the present cycle.
    void swap() { swap_ = now_; }
    /// A row of `rows` operands enters in this cycle.
    void enter(std::int64_t cycle, const std::int16_t* operands) {
        operands_.enter(cycle, operands);
        wavefront_.enter(cycle);
    }
    /// Sums in 64 bits from now on, or in 32 (then no sum on its way may need more).
    void set_wide(bool wide);
    void advance(int cycles);
    /// Where nothing is on its way through the array and nothing enters before `cycle`.
    void idle_until(std::int64_t cycle);

    /// A row of sums stands at the array's output in this cycle: not after now(), and not before
    /// the last advance().
    bool has_output(std::int64_t cycle) const {
        return wavefront_.entered(cycle - (rows_ + columns_ - 1));
    }
    void output(std::int64_t cycle, std::int64_t* sums) const;

    std::int64_t pe_operations() const { return wavefront_.pe_operations(); }

    // PE registers in the present cycle. a, weights: those of the row's other columns lie behind.
    const std::int32_t* a(int row) const { return operands_.at(row, now_ - 1); }
    const std::int32_t* weight(int row) const { return weight_.data() + row * lanes_; }
    const std::int32_t* next_weight(int row) const { return next_weight_.data() + row * lanes_; }
    std::int64_t sum(int row, int column) const {
        const auto pe = static_cast<std::size_t>(row * lanes_ + column);
        return wide_sum_.empty() ? narrow_sum_[pe] : wide_sum_[pe];
    }
    bool valid(int row, int column) const { return wavefront_.entered(now_ - 1 - row - column); }
    bool swap_bit(int row, int column) const { return now_ - 1 - row - column == swap_; }

    /// Registers as if these tiles had been loaded and swapped in long ago.
    void set_weights(const std::int16_t* active, const std::int16_t* next);

private:
    void step();
    void swap_diagonal();
    void make_room(int cycles);

    const int rows_, columns_, lanes_;
    std::int64_t now_ = 0;
    std::int64_t swap_ = std::numeric_limits<std::int32_t>::min();  // when the last one entered
    OperandLines operands_;
    Wavefront wavefront_;
    std::vector<std::int32_t> weight_, next_weight_;
    std::vector<std::int32_t> narrow_sum_;  // the sums, where wide_sum_ is empty
    std::vector<std::int64_t> wide_sum_;
    std::vector<std::int64_t> bottom_;  // sums of the last row, by cycle: the deskew registers
    std::int64_t bottom_first_;         // the cycle of its first row; at first before the run: 0
};

}  // namespace wagesim::rtl
