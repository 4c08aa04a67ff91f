// Sums of a batch norm's error over its channels, as they lie in the parameter RAM.
#pragma once

#include <cstdint>
#include <vector>

#include "buffer/buffer.h"
#include "vector/code_pool.h"

namespace wagesim::rtl {

/// Of e, and of e times xhat: 8 bytes each a channel.
struct ErrorSums {
    std::int64_t errors = 0, products = 0;
};
inline constexpr int error_sums_bytes = 16;

std::vector<ErrorSums> read_error_sums(Buffer& parameters, std::int64_t address,
                                       std::int64_t channels);
/// Adds a tile's (pixels x channels; codes of at most 32 bits) to them; `xhat` null: the products
/// stay.
void add_error_sums(Buffer& parameters, std::int64_t address, std::int64_t channels,
                    const Codes& errors, const Codes* xhat);

}  // namespace wagesim::rtl
