// A tile's codes in long rows: as many whole pixels at once as are worth a loop.
#pragma once

#include <algorithm>
#include <cstddef>
#include <vector>

namespace wagesim::rtl {

/// A number for every channel, pixel by pixel along a row.
template <class To, class From>
std::vector<To> along_row(const std::vector<From>& channels) {
    constexpr std::size_t enough = 128;
    std::vector<To> row;
    if (channels.empty()) return row;
    do {
        for (const From& channel : channels) row.push_back(static_cast<To>(channel));
    } while (row.size() < enough);
    return row;
}

/// Calls f(first, count) for the rows of `size` codes; the last one may be shorter.
template <class Function>
void for_each_row(std::size_t size, std::size_t row, Function f) {
    for (std::size_t first = 0; first < size; first += row) f(first, std::min(row, size - first));
}

}  // namespace wagesim::rtl
