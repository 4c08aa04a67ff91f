// The registers of the output-stationary array, and what clock edges do to them (docs/array.md).
#include "array/os_registers.h"

#include <algorithm>
#include <cassert>
#include <utility>

#include "wagesim/arith/saturate.h"

namespace wagesim::rtl {

OsRegisters::WeightLines::WeightLines(int rows, int columns, int lanes)
    : columns_(columns),
      lanes_(lanes),
      behind_(rows + 1),
      ahead_(columns + most_cycles),
      length_(4 * (behind_ + ahead_)),
      oldest_(-behind_),
      lines_(static_cast<std::size_t>(length_ * lanes_)) {}

void OsRegisters::WeightLines::enter(std::int64_t cycle, const std::int16_t* weights) {
    std::int32_t* to = lines_.data() + (cycle - oldest_) * lanes_;
    for (int c = 0; c < columns_; ++c, to += lanes_ + 1) *to = weights[c];
}

void OsRegisters::WeightLines::advance(std::int64_t cycle) {
    if (cycle + ahead_ < oldest_ + length_) return;
    const std::int64_t oldest = cycle - behind_;
    const std::int64_t kept = std::max<std::int64_t>(length_ - (oldest - oldest_), 0);
    std::copy(lines_.end() - kept * lanes_, lines_.end(), lines_.begin());
    std::fill(lines_.begin() + kept * lanes_, lines_.end(), 0);
    oldest_ = oldest;
}

OsRegisters::OsRegisters(int rows, int columns, int accumulator_bits, Overflow overflow)
    : rows_(rows),
      columns_(columns),
      lanes_(round_up_lanes(columns)),
      bits_(accumulator_bits),
      overflow_(overflow),
      operands_(rows, lanes_, most_cycles),
      weights_(rows, columns, lanes_),
      wavefront_(rows, columns, most_cycles) {
    for (Sums* sums : {&acc_, &next_acc_}) {
        sums->values.resize(static_cast<std::size_t>(rows_ * lanes_));
        sums->overflowed.resize(sums->values.size());
    }
}

void OsRegisters::shift(const FlaggedSum* first, FlaggedSum* last) {
    assert(now_ >= swap_ + rows_ + columns_ - 1);
    turn_ = turn_ == 0 ? rows_ - 1 : turn_ - 1;  // the last row's place becomes the first's
    for (int c = 0; c < columns_; ++c) {
        const std::size_t i = element(chain(0), c);
        last[c] = {next_acc_.values[i], next_acc_.overflowed[i] != 0};
        next_acc_.values[i] = first == nullptr ? 0 : first[c].value;
        next_acc_.overflowed[i] = first != nullptr && first[c].overflowed;
    }
}

void OsRegisters::advance(int cycles, bool may_overflow) {
    for (int r = 0; r < rows_; ++r) advance_row(r, cycles, may_overflow);
    now_ += cycles;
    operands_.advance(now_);
    weights_.advance(now_);
    wavefront_.advance(now_);
}

void OsRegisters::advance_row(int row, int cycles, bool may_overflow) {
    const std::int64_t first_swap = swap_ + row - now_;  // of the row's, in cycles from now
    for (int i = 0; i < cycles;) {
        const std::int64_t column = i - first_swap;
        int count = cycles - i;
        if (column >= 0 && column < columns_) {
            swap_element(row, static_cast<int>(column));
            count = 1;
        } else if (column < 0) {
            count = static_cast<int>(std::min<std::int64_t>(count, -column));
        }
        if (may_overflow)
            accumulate_one_by_one(row, now_ + i, count);
        else
            step_os(operands_.at(row, now_ + i), weights_.at(now_ + i - row),
                    acc_.values.data() + row * lanes_, lanes_, count);
        i += count;
    }
}

void OsRegisters::swap_element(int row, int column) {
    const std::size_t i = element(row, column), j = element(chain(row), column);
    std::swap(acc_.values[i], next_acc_.values[j]);
    std::swap(acc_.overflowed[i], next_acc_.overflowed[j]);
}

void OsRegisters::accumulate_one_by_one(int row, std::int64_t cycle, int cycles) {
    const Format width{bits_, 0, true, 0};
    for (int i = 0; i < cycles; ++i) {
        const std::int32_t* const a_in = operands_.at(row, cycle + i);
        const std::int32_t* const b_in = weights_.at(cycle + i - row);
        for (int c = 0; c < columns_; ++c) {
            const std::size_t element = this->element(row, c);
            const auto sum = arith::fit(acc_.values[element] + std::int64_t{a_in[c]} * b_in[c],
                                        width, overflow_);
            acc_.values[element] = sum.value;
            if (sum.clipped) acc_.overflowed[element] = 1;
        }
    }
}

void OsRegisters::idle_until(std::int64_t cycle) {
    now_ = cycle;
    operands_.advance(cycle);
    weights_.advance(cycle);
    wavefront_.idle_until(cycle);
}

}  // namespace wagesim::rtl
