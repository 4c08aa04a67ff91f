// The registers of the weight-stationary array, and what clock edges do to them (docs/array.md).
#include "array/ws_registers.h"

#include <algorithm>
#include <cassert>

namespace wagesim::rtl {

template <class Sum>
WsRegisters<Sum>::WsRegisters(int rows, int columns)
    : rows_(rows),
      columns_(columns),
      lanes_(round_up_lanes(columns)),
      operands_(rows, lanes_, most_cycles),
      wavefront_(rows, columns, most_cycles),
      weight_(static_cast<std::size_t>(rows * lanes_)),
      next_weight_(weight_.size()),
      sum_(weight_.size()),
      above_(static_cast<std::size_t>((most_cycles + 1) * lanes_)),
      below_(above_.size()) {
    std::int64_t cycles = 1;
    while (cycles < columns + most_cycles) cycles *= 2;
    bottom_.resize(static_cast<std::size_t>(cycles * lanes_));
    bottom_mask_ = cycles - 1;
}

template <class Sum>
void WsRegisters<Sum>::load(const std::int16_t* weights) {
    assert(now_ >= swap_ + rows_ + columns_ - 1);
    std::copy_backward(next_weight_.begin(), next_weight_.end() - lanes_, next_weight_.end());
    std::copy(weights, weights + columns_, next_weight_.begin());
}

template <class Sum>
void WsRegisters<Sum>::advance(int cycles) {
    std::fill(above_.begin(), above_.begin() + cycles * lanes_, 0);
    for (int r = 0; r < rows_; ++r) {
        Sum* const state = sum_.data() + r * lanes_;
        std::copy(state, state + lanes_, below_.begin());
        advance_row(r, cycles, above_.data(), below_.data() + lanes_);
        const auto last = below_.begin() + cycles * lanes_;
        std::copy(last, last + lanes_, state);
        above_.swap(below_);
    }
    for (int i = 1; i <= cycles; ++i) {
        const auto from = above_.begin() + i * lanes_;
        std::copy(from, from + lanes_, bottom_.begin() + ((now_ + i) & bottom_mask_) * lanes_);
    }
    now_ += cycles;
    operands_.advance(now_);
    wavefront_.advance(now_);
}

// above[i], below[i]: in cycle now + i, `sum` of the row above before its edge, and this row's
// after.
template <class Sum>
void WsRegisters<Sum>::advance_row(int row, int cycles, const Sum* above, Sum* below) {
    const std::int64_t first_swap = swap_ + row - now_;  // of the row's, in cycles from now
    std::int32_t* const weights = weight_.data() + row * lanes_;
    const std::int32_t* const next = next_weight_.data() + row * lanes_;
    for (int i = 0; i < cycles;) {
        const std::int64_t column = i - first_swap;
        int count = cycles - i;
        if (column >= 0 && column < columns_) {
            weights[column] = next[column];
            count = 1;
        } else if (column < 0) {
            count = static_cast<int>(std::min<std::int64_t>(count, -column));
        }
        add_products(operands_.at(row, now_ + i), weights, above + i * lanes_, below + i * lanes_,
                     lanes_, count);
        i += count;
    }
}

template <class Sum>
void WsRegisters<Sum>::idle_until(std::int64_t cycle) {
    now_ = cycle;
    operands_.advance(cycle);
    wavefront_.idle_until(cycle);
}

template <class Sum>
void WsRegisters<Sum>::output(std::int64_t cycle, Sum* sums) const {
    for (int c = 0; c < columns_; ++c) {
        const std::int64_t left = (cycle - (columns_ - 1 - c)) & bottom_mask_;  // PE (R - 1, c)
        sums[c] = bottom_[static_cast<std::size_t>(left * lanes_ + c)];
    }
}

template <class Sum>
void WsRegisters<Sum>::set_weights(const std::int16_t* active, const std::int16_t* next) {
    for (int r = 0; r < rows_; ++r) {
        std::copy(active + r * columns_, active + (r + 1) * columns_, weight_.data() + r * lanes_);
        std::copy(next + r * columns_, next + (r + 1) * columns_, next_weight_.data() + r * lanes_);
    }
}

template class WsRegisters<std::int32_t>;
template class WsRegisters<std::int64_t>;

}  // namespace wagesim::rtl
