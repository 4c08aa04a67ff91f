// Tables for a terminal.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace wagesim::report {

/// Columns as wide as their widest cell, the first `left` of them aligned to the left; a rule under
/// the first row. All rows have the same number of cells.
std::string table(const std::vector<std::vector<std::string>>& rows, std::size_t left);

}  // namespace wagesim::report
