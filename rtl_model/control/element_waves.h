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
        : columns_(columns), shown_rows_(static_cast<std::size_t>(rows)) {
        for (int r = 0; r < rows; ++r)
            for (int c = 0; c < columns; ++c) {
                const int id = sink.declare(scope_of(r, c), name_of(c), bits, kind,
                                            trace::WaveDetail::element);
                elements_.push_back({id, unknown});
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
        Element* element = elements_.data() + row * columns_;
        for (int c = 0; c < columns_; ++c, ++element) {
            if (element->id == trace::WaveSink::not_shown || element->value == values[c]) continue;
            element->value = values[c];
            changes.push_back({element->id, element->value});
        }
    }

private:
    static constexpr std::int64_t unknown = INT64_MIN;
    struct Element {
        int id;
        std::int64_t value;
    };
    const int columns_;
    bool is_shown_ = false;
    std::vector<bool> shown_rows_;
    std::vector<Element> elements_;  // row by row
};

}  // namespace wagesim::rtl
