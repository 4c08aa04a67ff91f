// Small numbers of a lowering: places in buffers are multiples of 16 bytes.
#pragma once

#include <cstdint>

namespace wagesim::compile {

inline constexpr std::int64_t placement_alignment = 16;

constexpr std::int32_t i32(std::int64_t value) { return static_cast<std::int32_t>(value); }
constexpr std::int64_t ceil_divide(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }
constexpr std::int64_t align(std::int64_t address, std::int64_t to = placement_alignment) {
    return ceil_divide(address, to) * to;
}

}  // namespace wagesim::compile
