// See text.h.
#include "text.h"

#include <algorithm>
#include <cctype>
#include <fstream>
#include <limits>
#include <sstream>

#include "wagesim/error.h"

namespace wagesim::timing {

std::string read_text(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    if (!file) throw InputError(path + ": cannot be opened");
    std::ostringstream text;
    text << file.rdbuf();
    // A directory opens and cannot be read; an empty file only leaves failbit in `text`.
    if (file.bad() || (text.fail() && file.peek() != std::ifstream::traits_type::eof()))
        throw InputError(path + ": cannot be read");
    return text.str();
}

std::vector<std::string> lines_of(const std::string& text) {
    std::istringstream stream(text.compare(0, 3, "\xef\xbb\xbf") == 0 ? text.substr(3) : text);
    std::vector<std::string> lines;
    for (std::string line; std::getline(stream, line);) {
        if (!line.empty() && line.back() == '\r') line.pop_back();
        lines.push_back(line);
    }
    return lines;
}

std::string trimmed(const std::string& text) {
    const char* const blanks = " \t\r\n\f\v";
    const auto first = text.find_first_not_of(blanks);
    if (first == std::string::npos) return {};
    return text.substr(first, text.find_last_not_of(blanks) - first + 1);
}

std::string lower(std::string text) {
    std::transform(text.begin(), text.end(), text.begin(),
                   [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    return text;
}

std::vector<std::string> fields_of(const std::string& line) {
    std::vector<std::string> fields;
    std::size_t from = 0;
    while (true) {
        const auto comma = line.find(',', from);
        fields.push_back(trimmed(line.substr(from, comma - from)));
        if (comma == std::string::npos) return fields;
        from = comma + 1;
    }
}

std::optional<std::int64_t> whole_number(const std::string& text) {
    if (text.empty() || text.size() > 10) return std::nullopt;
    std::int64_t value = 0;
    for (const char c : text) {
        if (c < '0' || c > '9') return std::nullopt;
        value = 10 * value + (c - '0');
    }
    if (value > 1'000'000'000) return std::nullopt;
    return value;
}

std::int64_t checked_product(std::int64_t a, std::int64_t b, const std::string& what) {
    if (a != 0 && b > std::numeric_limits<std::int64_t>::max() / a)
        throw InputError(what + ": too large to count in 64 bits");
    return a * b;
}

std::int64_t checked_sum(std::int64_t a, std::int64_t b, const std::string& what) {
    if (a > std::numeric_limits<std::int64_t>::max() - b)
        throw InputError(what + ": too large to count in 64 bits");
    return a + b;
}

}  // namespace wagesim::timing
