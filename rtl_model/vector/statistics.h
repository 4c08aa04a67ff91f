// Sums and sums of squares of a batch norm's channels, as they lie in the parameter RAM.
#pragma once

#include <cstdint>

#include "buffer/buffer.h"
#include "vector/code_pool.h"
#include "wagesim/tensor/tensor.h"

namespace wagesim::rtl {

/// Bytes per channel: S in the first 6 (48 bits, signed), SS in 10 (80 bits, unsigned).
inline constexpr int statistics_bytes = 16;
inline constexpr int sum_bits = 48;
inline constexpr int sum_of_squares_bits = 80;

/// S and SS of one channel. Both registers wrap.
struct ChannelStatistics {
    std::int64_t sum = 0;
    Wide sum_of_squares = 0;
};

ChannelStatistics read_statistics(Buffer& parameters, std::int64_t address);

/// Adds `codes` (pixels x channels, channels fastest) to the channels' statistics.
void add_statistics(Buffer& parameters, std::int64_t address, const Codes& codes,
                    std::int64_t channels);

}  // namespace wagesim::rtl
