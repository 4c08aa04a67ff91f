// Sums and sums of squares of a batch norm's channels, as they lie in the parameter RAM.
#include "vector/statistics.h"

#include <vector>

#include "wagesim/arith/saturate.h"

namespace wagesim::rtl {
namespace {

constexpr int sum_bytes = sum_bits / 8;

void write_statistics(Buffer& parameters, std::int64_t address,
                      const ChannelStatistics& statistics) {
    std::uint8_t* const to = parameters.write(address, statistics_bytes);
    for (int byte = 0; byte < sum_bytes; ++byte)
        to[byte] = static_cast<std::uint8_t>(statistics.sum >> (8 * byte));
    for (int byte = 0; byte < statistics_bytes - sum_bytes; ++byte)
        to[sum_bytes + byte] = static_cast<std::uint8_t>(statistics.sum_of_squares >> (8 * byte));
}

}  // namespace

ChannelStatistics read_statistics(Buffer& parameters, std::int64_t address) {
    const std::uint8_t* const from = parameters.read(address, statistics_bytes);
    std::int64_t sum = 0;
    Wide sum_of_squares = 0;
    for (int byte = 0; byte < sum_bytes; ++byte) sum |= std::int64_t{from[byte]} << (8 * byte);
    for (int byte = 0; byte < statistics_bytes - sum_bytes; ++byte)
        sum_of_squares |= Wide{from[sum_bytes + byte]} << (8 * byte);
    return {arith::wrap(sum, sum_bits, true), sum_of_squares};
}

void add_statistics(Buffer& parameters, std::int64_t address, const Codes& codes,
                    std::int64_t channels) {
    std::vector<ChannelStatistics> added(static_cast<std::size_t>(channels));
    for (std::size_t i = 0; i < codes.size();) {
        for (ChannelStatistics& channel : added) {
            const std::int64_t y = codes[i++];
            channel.sum += y;
            channel.sum_of_squares += Wide{y} * y;
        }
    }
    for (std::int64_t c = 0; c < channels; ++c) {
        const std::int64_t at = address + c * statistics_bytes;
        const ChannelStatistics& more = added[static_cast<std::size_t>(c)];
        ChannelStatistics channel = read_statistics(parameters, at);
        channel.sum = arith::wrap(channel.sum + more.sum, sum_bits, true);
        channel.sum_of_squares = arith::wrap_wide(channel.sum_of_squares + more.sum_of_squares,
                                                  sum_of_squares_bits, false);
        write_statistics(parameters, at, channel);
    }
}

}  // namespace wagesim::rtl
