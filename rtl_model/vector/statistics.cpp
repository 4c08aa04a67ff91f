// Sums and sums of squares of a batch norm's channels, as they lie in the parameter RAM.
#include "vector/statistics.h"

#include <vector>

#include "vector/channel_rows.h"
#include "vector/codes.h"
#include "vector/vectorized.h"
#include "wagesim/arith/saturate.h"
#include "wagesim/arith/wide.h"

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

/// `Code` holds every code, `Square` every sum of squares.
template <class Code, class Square>
std::vector<ChannelStatistics> statistics_of(const Codes& codes, std::int64_t channels) {
    const std::vector<std::int64_t> zeros(static_cast<std::size_t>(channels));
    std::vector<std::int64_t> sums = along_row<std::int64_t>(zeros);
    std::vector<Square> squares = along_row<Square>(zeros);
    vectorized([all = codes.data(), size = codes.size(), row = sums.size(), sum = sums.data(),
                square = squares.data()] {
        for_each_row(size, row, [&](std::size_t first, std::size_t count) {
            const std::int64_t* const code = all + first;
            for (std::size_t i = 0; i < count; ++i) sum[i] += code[i];
            for (std::size_t i = 0; i < count; ++i) {
                const auto y = static_cast<Code>(code[i]);
                square[i] += Square{y} * y;
            }
        });
    });
    std::vector<ChannelStatistics> statistics(zeros.size());
    for (std::size_t i = 0; i < sums.size(); ++i) {
        statistics[i % zeros.size()].sum += sums[i];
        statistics[i % zeros.size()].sum_of_squares += squares[i];
    }
    return statistics;
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
    const int bits = width_of(codes);
    const std::vector<ChannelStatistics> added =
        2 * bits + arith::bit_length(codes.size()) <= 64 && bits <= 32
            ? statistics_of<std::int32_t, std::int64_t>(codes, channels)
            : statistics_of<std::int64_t, Wide>(codes, channels);
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
