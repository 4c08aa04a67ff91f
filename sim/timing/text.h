// Lines and fields of small text files.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace wagesim::timing {

/// Throws InputError if the file cannot be read.
std::string read_text(const std::string& path);

/// Lines without their ends (LF or CRLF) and without a byte order mark.
std::vector<std::string> lines_of(const std::string& text);

std::string trimmed(const std::string& text);
std::string lower(std::string text);

/// Fields between commas, trimmed; "a," has two.
std::vector<std::string> fields_of(const std::string& line);

/// Decimal digits only and at most 10^9; else nothing.
std::optional<std::int64_t> whole_number(const std::string& text);

/// a * b; throws InputError naming `what` where 64 bits do not hold it. Neither is negative.
std::int64_t checked_product(std::int64_t a, std::int64_t b, const std::string& what);
std::int64_t checked_sum(std::int64_t a, std::int64_t b, const std::string& what);

}  // namespace wagesim::timing
