// The registers of the output-stationary array, and what clock edges do to them (docs/array.md).
#pragma once

#include <cstdint>
#include <limits>
#include <vector>

#include "array/operand_lines.h"
#include "array/pe_kernels.h"
#include "array/wavefront.h"
#include "buffer/accumulators.h"
#include "wagesim/format/format.h"

namespace wagesim::rtl {

/// Every PE register in every cycle; advance() takes several edges at once, row by row.
class OsRegisters {
public:
    static constexpr int most_cycles = 256;

    OsRegisters(int rows, int columns, int accumulator_bits, Overflow overflow);

    std::int64_t now() const { return now_; }

    /// `shift` for one more of the cycles from now on: what stands in `next_acc` of the last row
    /// leaves to `last`, `first` (null: zeros) enters from above; `columns` sums each. No swap is
    /// on its way in any of these cycles.
    void shift(const FlaggedSum* first, FlaggedSum* last);
    /// `swap` enters in the present cycle.
    void swap() { swap_ = now_; }
    /// A step enters in this cycle: `rows` operands and `columns` weights.
    void enter(std::int64_t cycle, const std::int16_t* operands, const std::int16_t* weights) {
        operands_.enter(cycle, operands);
        weights_.enter(cycle, weights);
        wavefront_.enter(cycle);
    }
    /// `may_overflow`: false where it is proven that no addition of these cycles leaves the
    /// accumulator's width.
    void advance(int cycles, bool may_overflow);
    /// Where nothing is on its way through the array and nothing enters before `cycle`.
    void idle_until(std::int64_t cycle);

    std::int64_t pe_operations() const { return wavefront_.pe_operations(); }

    // PE registers in the present cycle. a, acc: those of the row's other columns lie behind.
    const std::int32_t* a(int row) const { return operands_.at(row, now_ - 1); }
    /// Column 0's; those of the other columns lie behind.
    const std::int32_t* b(int row) const { return weights_.at(now_ - 1 - row); }
    FlaggedSum acc(int row, int column) const { return at(acc_, row, column); }
    FlaggedSum next_acc(int row, int column) const { return at(next_acc_, chain(row), column); }
    bool valid(int row, int column) const { return wavefront_.entered(now_ - 1 - row - column); }
    bool swap_bit(int row, int column) const { return now_ - 1 - row - column == swap_; }

private:
    /// Weights on their way down: what entered column c in cycle e stands at PE (r, c)'s input in
    /// cycle e + r + c. One line for all rows, oldest first, columns side by side.
    class WeightLines {
    public:
        WeightLines(int rows, int columns, int lanes);
        void enter(std::int64_t cycle, const std::int16_t* weights);
        /// At the inputs of the PEs of row 0 in a cycle.
        const std::int32_t* at(std::int64_t cycle) const {
            return lines_.data() + (cycle - oldest_) * lanes_;
        }
        void advance(std::int64_t cycle);

    private:
        const int columns_;
        const std::int64_t lanes_, behind_, ahead_, length_;
        std::int64_t oldest_;
        std::vector<std::int32_t> lines_;
    };
    struct Sums {
        std::vector<std::int64_t> values;
        std::vector<std::uint8_t> overflowed;
    };

    std::size_t element(int row, int column) const {
        return static_cast<std::size_t>(row * lanes_ + column);
    }
    FlaggedSum at(const Sums& sums, int row, int column) const {
        const std::size_t i = element(row, column);
        return {sums.values[i], sums.overflowed[i] != 0};
    }
    /// Where a row's `next_acc` lies: the chain moves by turning, not by copying.
    int chain(int row) const { return (row + turn_) % rows_; }
    void advance_row(int row, int cycles, bool may_overflow);
    void swap_element(int row, int column);
    void accumulate_one_by_one(int row, std::int64_t cycle, int cycles);

    const int rows_, columns_, lanes_;
    const int bits_;
    const Overflow overflow_;
    std::int64_t now_ = 0;
    std::int64_t swap_ = std::numeric_limits<std::int32_t>::min();
    OperandLines operands_;
    WeightLines weights_;
    Wavefront wavefront_;
    Sums acc_, next_acc_;
    int turn_ = 0;
};

}  // namespace wagesim::rtl
