// The accumulator memory: rows of partial sums of a fixed physical width.
#pragma once

#include <cstdint>
#include <vector>

#include "buffer/aligned.h"
#include "buffer/buffer.h"
#include "buffer/injection.h"
#include "wagesim/format/format.h"

namespace wagesim::rtl {

/// A sum of the accumulator's width, and whether an addition to it left that width.
struct FlaggedSum {
    std::int64_t value = 0;
    bool overflowed = false;
};

/// `rows` x `columns` sums of `bits` bits. Every addition wraps or saturates at that width
/// (docs/datapath.md, accumulation); an element whose addition did so stays marked until it is
/// started again. A row whose sums are sure to fit is kept in 32 bits an element.
class Accumulators {
public:
    Accumulators(std::int64_t rows, std::int64_t columns, int bits, Overflow overflow);

    std::int64_t rows() const { return rows_; }
    std::int64_t columns() const { return columns_; }
    int bits() const { return bits_; }

    /// Columns [0, columns) of the row take their first value (null: 0); the others hold nothing.
    /// An initial value beyond the width is brought to it, and marked.
    void start(std::int64_t row, std::int64_t columns, const std::int64_t* initial);
    void add(std::int64_t row, std::int64_t column, std::int64_t sum);
    /// The array's way: one addition to each of the row's first `columns` columns, after starting
    /// the row from `bias` (null: 0) if `start`.
    template <class Sum>
    void add_row(std::int64_t row, std::int64_t columns, const Sum* sums, bool start,
                 const std::int64_t* bias) {
        add_rows(row, 1, columns, sums, 0, start, bias);
    }
    /// So to `rows` rows, each row's sums `distance` behind those of the row before. `Sum`: 32 or
    /// 64 bits.
    template <class Sum>
    void add_rows(std::int64_t row, std::int64_t rows, std::int64_t columns, const Sum* sums,
                  std::int64_t distance, bool start, const std::int64_t* bias);

    /// The elements of `rows` rows, for additions that need no look at the result: none can leave
    /// 32 bits or the accumulators' width, because each adds `most` at most, in magnitude. The rows
    /// are started first if `start`; each is `narrow_distance()` behind the one before, and whole
    /// `narrow_lanes` of columns may be written, unheld ones with what they hold. Null where that
    /// is not sure, or the memory is watched: then add_rows().
    std::int32_t* narrow_rows(std::int64_t row, std::int64_t rows, std::int64_t columns,
                              std::int64_t most, bool start, const std::int64_t* bias);
    static constexpr std::int64_t narrow_lanes = 16;
    std::int64_t narrow_distance() const { return distance_; }

    /// Sums that are made elsewhere, and come back: what a row's first value is, reading its first
    /// `columns` sums, and writing them (its others hold nothing then).
    FlaggedSum first_value(std::int64_t initial) const {
        return {fit(initial), fit(initial) != initial};
    }
    void load(std::int64_t row, std::int64_t columns, FlaggedSum* sums) const;
    void store(std::int64_t row, std::int64_t columns, const FlaggedSum* sums);

    /// The sum, sign-extended. Throws MachineError naming row and column if it was never started.
    std::int64_t value(std::int64_t row, std::int64_t column) const;
    /// The row's first `columns` sums, until the next call.
    const std::int64_t* read_row(std::int64_t row, std::int64_t columns) const;
    /// An addition since its start wrapped or saturated.
    bool overflowed(std::int64_t row, std::int64_t column) const;
    const std::uint8_t* overflowed_row(std::int64_t row) const {
        return overflowed_.data() + row * columns_;
    }

    /// What the row's cells hold, started or not.
    const std::int64_t* raw_row(std::int64_t row) const;

    void forget();
    /// Address as in Injection. False where the element, or that bit of it, holds no data.
    bool flip(std::int64_t address, int bit);
    /// Watches the element of the byte: address = row * columns + column.
    void watch(FlipWatch* watch) { watch_ = watch; }

    static constexpr std::int64_t bytes_per_element = 5;

private:
    std::int64_t fit(std::int64_t exact) const;
    void require_row(std::int64_t row, std::int64_t columns) const {
        if (row < 0 || row >= rows_ || columns < 0 || columns > columns_) refuse_row(row, columns);
    }
    void require_held(std::int64_t row, std::int64_t columns) const {
        require_row(row, columns);
        if (columns > held_[static_cast<std::size_t>(row)]) refuse_read(row);
    }
    bool is_narrow(std::int64_t row) const { return most_[static_cast<std::size_t>(row)] >= 0; }
    /// The row's elements in 64 bits, and as such from here on.
    std::int64_t* widen(std::int64_t row);
    /// Back to 32; false: an element behind the first `columns` does not fit.
    bool narrow(std::int64_t row, std::int64_t columns);
    /// Whether all of the rows are narrow, and no sum larger than `limit`: looks at the sums of a
    /// row of which it is not known.
    bool stay_within(std::int64_t limit, std::int64_t row, std::int64_t rows);
    [[noreturn]] void refuse_row(std::int64_t row, std::int64_t columns) const;
    [[noreturn]] void refuse_read(std::int64_t row) const;

    std::int64_t rows_, columns_, distance_;
    int bits_;
    Overflow overflow_;
    std::vector<std::int64_t> values_;         // of rows that are wide
    AlignedVector<std::int32_t> narrow_;       // of the others, `distance_` a row
    std::vector<std::int32_t> most_;           // no sum of the row is larger; -1: it is wide
    mutable std::vector<std::int64_t> shown_;  // a narrow row in 64 bits
    std::vector<std::uint8_t> overflowed_;     // one byte an element, 0 or 1
    std::vector<std::int32_t> held_;           // per row: its first so many columns hold data
    FlipWatch* watch_ = nullptr;
};

}  // namespace wagesim::rtl
