// How much of a batch of images a tile takes.
#pragma once

#include <cstdint>
#include <functional>
#include <utility>

#include "compile/windows.h"

namespace wagesim::compile {

struct SpatialSize {
    std::int64_t n = 0, rows = 0, columns = 0;  ///< n 0: nothing fits
};

/// Whole images if one fits, else whole rows, else a part of one; in even shares. `holds` says
/// whether a tile of that size fits.
SpatialSize largest_size(
    const SpatialSize& all,
    const std::function<bool(std::int64_t n, std::int64_t rows, std::int64_t columns)>& holds);

/// What `count` windows from `first` on see of `extent` rows: first row and number of rows. Where
/// all of it is padding, one row that nothing reads.
std::pair<std::int64_t, std::int64_t> rows_under(std::int64_t first, std::int64_t count,
                                                 const WindowAxis& axis, std::int64_t extent);

}  // namespace wagesim::compile
