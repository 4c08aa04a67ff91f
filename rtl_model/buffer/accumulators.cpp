// The accumulator memory: rows of partial sums of a fixed physical width.
#include "buffer/accumulators.h"

#include <algorithm>
#include <cstdlib>
#include <string>

namespace wagesim::rtl {

Accumulators::Accumulators(std::int64_t rows, std::int64_t columns, int bits, Overflow overflow)
    : rows_(rows),
      columns_(columns),
      distance_((columns + narrow_lanes - 1) / narrow_lanes * narrow_lanes),
      bits_(bits),
      overflow_(overflow),
      values_(static_cast<std::size_t>(rows * columns)),
      narrow_(static_cast<std::size_t>(rows * distance_)),
      most_(static_cast<std::size_t>(rows)),
      shown_(static_cast<std::size_t>(columns)),
      overflowed_(static_cast<std::size_t>(rows * columns)),
      held_(static_cast<std::size_t>(rows)) {}

// An exact sum (of a value of the width and a 48-bit one at most: it fits 64 bits) to the width.
std::int64_t Accumulators::fit(std::int64_t exact) const {
    const int unused = 64 - bits_;
    if (overflow_ == Overflow::wrap)
        return static_cast<std::int64_t>(static_cast<std::uint64_t>(exact) << unused) >> unused;
    const std::int64_t maximum = (std::int64_t{1} << (bits_ - 1)) - 1;
    const std::int64_t minimum = overflow_ == Overflow::full ? -maximum - 1 : -maximum;
    return std::clamp(exact, minimum, maximum);
}

void Accumulators::refuse_row(std::int64_t row, std::int64_t columns) const {
    throw MachineError("accumulators: " + std::to_string(columns) + " columns of row " +
                       std::to_string(row) + " are outside " + std::to_string(rows_) + " rows of " +
                       std::to_string(columns_));
}

void Accumulators::refuse_read(std::int64_t row) const {
    throw MachineError("accumulators: row " + std::to_string(row) + " column " +
                       std::to_string(held_[static_cast<std::size_t>(row)]) +
                       " is used, but no command started it");
}

std::int64_t* Accumulators::widen(std::int64_t row) {
    std::int64_t* const values = values_.data() + row * columns_;
    if (is_narrow(row)) {
        std::copy_n(narrow_.data() + row * distance_, columns_, values);
        most_[static_cast<std::size_t>(row)] = -1;
    }
    return values;
}

bool Accumulators::narrow(std::int64_t row, std::int64_t columns) {
    if (is_narrow(row)) return true;
    const std::int64_t* const values = values_.data() + row * columns_;
    std::int32_t* const to = narrow_.data() + row * distance_;
    for (std::int64_t c = columns; c < columns_; ++c) {
        to[c] = static_cast<std::int32_t>(values[c]);
        if (to[c] != values[c]) return false;
    }
    most_[static_cast<std::size_t>(row)] = 0;
    return true;
}

bool Accumulators::stay_within(std::int64_t limit, std::int64_t row, std::int64_t rows) {
    for (const std::int64_t end = row + rows; row < end; ++row) {
        std::int32_t& most = most_[static_cast<std::size_t>(row)];
        if (most < 0) return false;
        if (most <= limit) continue;
        most = 0;
        for (std::int32_t c = 0; c < held_[static_cast<std::size_t>(row)]; ++c)
            most = std::max(most, std::abs(narrow_[static_cast<std::size_t>(row * distance_ + c)]));
        if (most > limit) return false;
    }
    return true;
}

std::int32_t* Accumulators::narrow_rows(std::int64_t row, std::int64_t rows, std::int64_t columns,
                                        std::int64_t most, bool begin, const std::int64_t* bias) {
    if (watch_ != nullptr || rows < 1) return nullptr;
    require_row(row, columns);
    require_row(row + rows - 1, columns);
    const std::int64_t limit = (std::int64_t{1} << (std::min(bits_, 32) - 1)) - 1 - most;
    if (!begin) {
        const std::int32_t* const held = held_.data() + row;
        std::int32_t* const known = most_.data() + row;
        // Negative where a row holds too little, is wide, or may be too large: most often none is.
        const auto needed = static_cast<std::int32_t>(columns);
        const auto most_allowed = static_cast<std::int32_t>(std::max<std::int64_t>(limit, -1));
        std::int32_t lacking = 0, unsure = 0;
        for (std::int64_t r = 0; r < rows; ++r) {
            lacking |= held[r] - needed;
            unsure |= known[r] | (most_allowed - std::max(known[r], 0));
        }
        for (std::int64_t r = row; lacking < 0 && r < row + rows; ++r) require_held(r, columns);
        if (unsure < 0 && !stay_within(limit, row, rows)) return nullptr;
        for (std::int64_t r = 0; r < rows; ++r) known[r] += static_cast<std::int32_t>(most);
        return narrow_.data() + row * distance_;
    }
    std::int64_t largest = 0;  // of the bias
    for (std::int64_t c = 0; bias != nullptr && c < columns; ++c)
        largest = std::max(largest, std::abs(bias[c]));
    if (largest > limit) return nullptr;
    for (std::int64_t r = row; r < row + rows; ++r)
        if (!narrow(r, columns)) return nullptr;
    for (std::int64_t r = row; r < row + rows; ++r) {
        std::int32_t* const values = narrow_.data() + r * distance_;
        for (std::int64_t c = 0; c < columns; ++c)
            values[c] = bias == nullptr ? 0 : static_cast<std::int32_t>(bias[c]);
        std::fill_n(overflowed_.data() + r * columns_, columns, std::uint8_t{0});
        held_[static_cast<std::size_t>(r)] = static_cast<std::int32_t>(columns);
        most_[static_cast<std::size_t>(r)] = static_cast<std::int32_t>(largest + most);
    }
    return narrow_.data() + row * distance_;
}

void Accumulators::start(std::int64_t row, std::int64_t columns, const std::int64_t* initial) {
    require_row(row, columns);
    held_[static_cast<std::size_t>(row)] = static_cast<std::int32_t>(columns);
    std::int64_t* values = widen(row);
    std::uint8_t* overflowed = overflowed_.data() + row * columns_;
    if (initial == nullptr) {
        std::fill_n(values, columns, std::int64_t{0});
        std::fill_n(overflowed, columns, std::uint8_t{0});
    } else {
        for (std::int64_t c = 0; c < columns; ++c) {
            values[c] = fit(initial[c]);
            overflowed[c] = values[c] != initial[c];
        }
    }
    if (watch_ != nullptr) watch_->on_write(row * columns_, columns_);
}

void Accumulators::add(std::int64_t row, std::int64_t column, std::int64_t sum) {
    require_held(row, column + 1);
    const auto i = static_cast<std::size_t>(row * columns_ + column);
    if (watch_ != nullptr) watch_->on_read(row * columns_ + column, 1);
    std::int64_t& value = widen(row)[column];
    const std::int64_t exact = value + sum;
    value = fit(exact);
    overflowed_[i] = static_cast<std::uint8_t>(overflowed_[i] | (value != exact));
}

template <class Sum>
void Accumulators::add_rows(std::int64_t row, std::int64_t rows, std::int64_t columns,
                            const Sum* sums, std::int64_t distance, bool begin,
                            const std::int64_t* bias) {
    const std::uint64_t half = std::uint64_t{1} << (bits_ - 1);
    for (const std::int64_t end = row + rows; row < end; ++row, sums += distance) {
        if (begin) {
            start(row, columns, bias);
        } else {
            require_held(row, columns);
            if (watch_ != nullptr) watch_->on_read(row * columns_, columns);
        }
        std::int64_t* values = widen(row);
        // An exact sum fits the width if it is in [-2^(bits-1), 2^(bits-1)): one test over the
        // row, because it nearly always does.
        std::uint64_t beyond = 0;
        for (std::int64_t c = 0; c < columns; ++c) {
            values[c] += sums[c];
            beyond |= static_cast<std::uint64_t>(values[c]) + half;
        }
        if (beyond >> bits_ == 0 && overflow_ != Overflow::saturate) continue;
        std::uint8_t* overflowed = overflowed_.data() + row * columns_;
        for (std::int64_t c = 0; c < columns; ++c) {
            const std::int64_t exact = values[c];
            values[c] = fit(exact);
            overflowed[c] = static_cast<std::uint8_t>(overflowed[c] | (values[c] != exact));
        }
    }
}

template void Accumulators::add_rows(std::int64_t, std::int64_t, std::int64_t, const std::int32_t*,
                                     std::int64_t, bool, const std::int64_t*);
template void Accumulators::add_rows(std::int64_t, std::int64_t, std::int64_t, const std::int64_t*,
                                     std::int64_t, bool, const std::int64_t*);

void Accumulators::load(std::int64_t row, std::int64_t columns, FlaggedSum* sums) const {
    const std::int64_t* const values = read_row(row, columns);
    const std::uint8_t* const overflowed = overflowed_row(row);
    for (std::int64_t c = 0; c < columns; ++c) sums[c] = {values[c], overflowed[c] != 0};
}

void Accumulators::store(std::int64_t row, std::int64_t columns, const FlaggedSum* sums) {
    require_row(row, columns);
    held_[static_cast<std::size_t>(row)] = static_cast<std::int32_t>(columns);
    std::int64_t* const values = widen(row);
    for (std::int64_t c = 0; c < columns; ++c) {
        values[c] = sums[c].value;
        overflowed_[static_cast<std::size_t>(row * columns_ + c)] = sums[c].overflowed ? 1 : 0;
    }
    if (watch_ != nullptr) watch_->on_write(row * columns_, columns_);
}

std::int64_t Accumulators::value(std::int64_t row, std::int64_t column) const {
    require_held(row, column + 1);
    if (watch_ != nullptr) watch_->on_read(row * columns_ + column, 1);
    return is_narrow(row) ? narrow_[static_cast<std::size_t>(row * distance_ + column)]
                          : values_[static_cast<std::size_t>(row * columns_ + column)];
}

const std::int64_t* Accumulators::raw_row(std::int64_t row) const {
    if (!is_narrow(row)) return values_.data() + row * columns_;
    std::copy_n(narrow_.data() + row * distance_, columns_, shown_.data());
    return shown_.data();
}

const std::int64_t* Accumulators::read_row(std::int64_t row, std::int64_t columns) const {
    require_held(row, columns);
    if (watch_ != nullptr) watch_->on_read(row * columns_, columns);
    return raw_row(row);
}

bool Accumulators::overflowed(std::int64_t row, std::int64_t column) const {
    require_held(row, column + 1);
    return overflowed_[static_cast<std::size_t>(row * columns_ + column)] != 0;
}

void Accumulators::forget() {
    std::fill(held_.begin(), held_.end(), 0);
    if (watch_ != nullptr) watch_->on_forget();
}

bool Accumulators::flip(std::int64_t address, int bit) {
    const std::int64_t element = address / bytes_per_element;
    const int place = static_cast<int>(address % bytes_per_element) * 8 + (bit & 7);
    if (address < 0 || element >= rows_ * columns_ || place >= bits_) return false;
    if (element % columns_ >= held_[static_cast<std::size_t>(element / columns_)]) return false;
    std::int64_t& value = widen(element / columns_)[element % columns_];
    const auto flipped = static_cast<std::uint64_t>(value) ^ (std::uint64_t{1} << place);
    const int unused = 64 - bits_;
    value = static_cast<std::int64_t>(flipped << unused) >> unused;
    return true;
}

}  // namespace wagesim::rtl
