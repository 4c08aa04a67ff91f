// A register that hundreds of places have (PEs, accumulators, lanes), in a wave.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "wagesim/trace/wave.h"

namespace wagesim::rtl {

/// One signal for every element of a matrix, as far as the user chose it. Says what changed since
/// it was asked last.
class ElementWaves {
public:
    /// `scope_of(row, column)` and `name_of(column)` name the signals.
    template <class Scope, class Name>
    ElementWaves(trace::WaveSink& sink, int rows, int columns, Scope scope_of, Name name_of,
                 int bits, trace::WaveKind kind)
        : columns_(columns),
          shown_rows_(static_cast<std::size_t>(rows)),
          values_(static_cast<std::size_t>(rows * columns), unknown) {
        for (int r = 0; r < rows; ++r)
            for (int c = 0; c < columns; ++c) {
                const int id = sink.declare(scope_of(r, c), name_of(c), bits, kind,
                                            trace::WaveDetail::element);
                ids_.push_back(id);
                if (id == trace::WaveSink::not_shown) continue;
                shown_rows_[static_cast<std::size_t>(r)] = true;
                is_shown_ = true;
            }
    }

    bool is_shown() const { return is_shown_; }
    bool shows_row(int row) const { return shown_rows_[static_cast<std::size_t>(row)]; }

    /// A row's values (those of all columns) in the present cycle; what is new goes to `changes`.
    template <class Value>
    void take(int row, const Value* values, std::vector<trace::WaveChange>& changes) {
        if (!shows_row(row)) return;
        const int* const ids = ids_.data() + row * columns_;
        std::int64_t* const shown = values_.data() + row * columns_;
        std::int64_t difference = 0;
        for (int c = 0; c < columns_; ++c) difference |= shown[c] ^ std::int64_t{values[c]};
        if (difference == 0) return;
        // Whether an element has changed is anybody's guess: no branch asks.
        const std::size_t before = changes.size();
        changes.resize(before + static_cast<std::size_t>(columns_));
        trace::WaveChange* change = changes.data() + before;
        for (int c = 0; c < columns_; ++c) {
            const std::int64_t value = values[c];
            *change = {ids[c], value};
            change += static_cast<int>(ids[c] != trace::WaveSink::not_shown) &
                      static_cast<int>(shown[c] != value);
            shown[c] = value;
        }
        changes.resize(static_cast<std::size_t>(change - changes.data()));
    }

private:
    static constexpr std::int64_t unknown = INT64_MIN;
    const int columns_;
    bool is_shown_ = false;
    std::vector<bool> shown_rows_;
    std::vector<int> ids_;  // row by row
    std::vector<std::int64_t> values_;
};

}  // namespace wagesim::rtl
