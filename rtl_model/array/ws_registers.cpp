// The registers of the weight-stationary array, and what clock edges do to them (docs/array.md).
#include "array/ws_registers.h"

#include <algorithm>
#include <cassert>

namespace wagesim::rtl {

WsRegisters::WsRegisters(int rows, int columns)
    : rows_(rows),
      columns_(columns),
      lanes_(round_up_lanes(columns)),
      operands_(rows, lanes_, most_cycles),
      wavefront_(rows, columns, most_cycles),
      weight_(static_cast<std::size_t>(rows * lanes_)),
      next_weight_(weight_.size()),
      narrow_sum_(weight_.size()),
      bottom_(static_cast<std::size_t>(4 * (columns + most_cycles) * lanes_)),
      bottom_first_(-columns) {}

void WsRegisters::load(const std::int16_t* weights) {
    assert(now_ >= swap_ + rows_ + columns_ - 1);
    std::copy_backward(next_weight_.begin(), next_weight_.end() - lanes_, next_weight_.end());
    std::copy(weights, weights + columns_, next_weight_.begin());
}

void WsRegisters::set_wide(bool wide) {
    if (wide == !wide_sum_.empty()) return;
    if (wide) {
        wide_sum_.assign(narrow_sum_.begin(), narrow_sum_.end());
        return;
    }
    std::transform(wide_sum_.begin(), wide_sum_.end(), narrow_sum_.begin(),
                   [](std::int64_t sum) { return static_cast<std::int32_t>(sum); });
    wide_sum_.clear();
}

void WsRegisters::advance(int cycles) {
    make_room(cycles);
    for (int i = 0; i < cycles; ++i) step();
    operands_.advance(now_);
    wavefront_.advance(now_);
}

void WsRegisters::step() {
    if (now_ - swap_ < rows_ + columns_ - 1) swap_diagonal();
    const auto step_sums = [&](auto& sums) {
        step_ws(operands_.at(0, now_), operands_.line_length(), weight_.data(), sums.data(), lanes_,
                rows_);
        ++now_;
        std::copy_n(sums.end() - lanes_, lanes_, bottom_.begin() + (now_ - bottom_first_) * lanes_);
    };
    if (wide_sum_.empty())
        step_sums(narrow_sum_);
    else
        step_sums(wide_sum_);
}

/// PEs (r, c) with r + c = now - swap_ take their new weight, before it is used.
void WsRegisters::swap_diagonal() {
    const auto diagonal = static_cast<int>(now_ - swap_);
    for (int r = std::max(0, diagonal - columns_ + 1); r <= std::min(diagonal, rows_ - 1); ++r) {
        const auto pe = static_cast<std::size_t>(r * lanes_ + diagonal - r);
        weight_[pe] = next_weight_[pe];
    }
}

/// In bottom_, for so many cycles from now on.
void WsRegisters::make_room(int cycles) {
    const auto capacity = static_cast<std::int64_t>(bottom_.size()) / lanes_;
    if (now_ + cycles - bottom_first_ < capacity) return;
    // Outputs of the last advance() look back columns - 1 cycles.
    const std::int64_t kept = columns_ + most_cycles;
    const std::int64_t first = now_ + 1 - kept, from = first - bottom_first_;
    if (from <= capacity - kept)  // else nothing has entered for long
        std::copy_n(bottom_.begin() + from * lanes_, kept * lanes_, bottom_.begin());
    bottom_first_ = first;
}

void WsRegisters::idle_until(std::int64_t cycle) {
    now_ = cycle;
    operands_.advance(cycle);
    wavefront_.idle_until(cycle);
}

void WsRegisters::output(std::int64_t cycle, std::int64_t* sums) const {
    const std::int64_t* left = bottom_.data() + (cycle - (columns_ - 1) - bottom_first_) * lanes_;
    for (int c = 0; c < columns_; ++c) sums[c] = left[c * (lanes_ + 1)];  // PE (R - 1, c)
}

void WsRegisters::set_weights(const std::int16_t* active, const std::int16_t* next) {
    for (int r = 0; r < rows_; ++r) {
        std::copy(active + r * columns_, active + (r + 1) * columns_, weight_.data() + r * lanes_);
        std::copy(next + r * columns_, next + (r + 1) * columns_, next_weight_.data() + r * lanes_);
    }
}

}  // namespace wagesim::rtl
