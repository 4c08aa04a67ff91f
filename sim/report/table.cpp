// See table.h.
#include "report/table.h"

#include <algorithm>

namespace wagesim::report {

std::string table(const std::vector<std::vector<std::string>>& rows, std::size_t left) {
    std::vector<std::size_t> widths;
    for (const auto& row : rows)
        for (std::size_t i = 0; i < row.size(); ++i) {
            if (widths.size() <= i) widths.push_back(0);
            widths[i] = std::max(widths[i], row[i].size());
        }
    std::string text;
    for (std::size_t r = 0; r < rows.size(); ++r) {
        std::string line;
        for (std::size_t i = 0; i < rows[r].size(); ++i) {
            const std::string pad(widths[i] - rows[r][i].size(), ' ');
            if (i > 0) line += "  ";
            line += i < left ? rows[r][i] + pad : pad + rows[r][i];
        }
        text += line.substr(0, line.find_last_not_of(' ') + 1) + "\n";
        if (r == 0) {
            std::size_t width = 2 * (widths.size() - 1);
            for (const auto w : widths) width += w;
            text += std::string(width, '-') + "\n";
        }
    }
    return text;
}

}  // namespace wagesim::report
