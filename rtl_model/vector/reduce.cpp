// REDUCE: a batch norm's sums of the error, a bias' sum.
#include <algorithm>
#include <optional>

#include "vector/bank_ports.h"
#include "vector/bit_plane.h"
#include "vector/channel_rows.h"
#include "vector/codes.h"
#include "vector/error_sums.h"
#include "vector/operations.h"
#include "vector/tile_view.h"
#include "vector/vectorized.h"
#include "wagesim/arith/block_scale.h"

namespace wagesim::rtl {
namespace {

constexpr int code_bits = 8;  // of flagged codes

}  // namespace

std::vector<ErrorSums> read_error_sums(Buffer& parameters, std::int64_t address,
                                       std::int64_t channels) {
    const std::vector<std::int64_t> codes = read_codes(parameters, address, 2 * channels, 8, true);
    std::vector<ErrorSums> sums;
    for (std::size_t i = 0; i < codes.size(); i += 2) sums.push_back({codes[i], codes[i + 1]});
    return sums;
}

void add_error_sums(Buffer& parameters, std::int64_t address, std::int64_t channels,
                    const Codes& errors, const Codes* xhat) {
    const auto width = static_cast<std::size_t>(channels);
    const std::vector<std::uint64_t> zeros(width);  // as registers wrap
    std::vector<std::uint64_t> sum_row = along_row<std::uint64_t>(zeros), product_row = sum_row;
    vectorized([all_e = errors.data(), all_x = xhat != nullptr ? xhat->data() : nullptr,
                size = errors.size(), row = sum_row.size(), sums = sum_row.data(),
                products = product_row.data()] {
        for_each_row(size, row, [&](std::size_t first, std::size_t count) {
            const std::int64_t* const e = all_e + first;
            for (std::size_t i = 0; i < count; ++i) sums[i] += static_cast<std::uint64_t>(e[i]);
            if (all_x == nullptr) return;
            const std::int64_t* const x = all_x + first;
            for (std::size_t i = 0; i < count; ++i)
                products[i] +=
                    static_cast<std::uint64_t>(std::int64_t{static_cast<std::int32_t>(e[i])} *
                                               static_cast<std::int32_t>(x[i]));
        });
    });
    std::vector<std::uint64_t> sums = zeros, products = zeros;
    for (std::size_t i = 0; i < sum_row.size(); ++i) {
        sums[i % width] += sum_row[i];
        products[i % width] += product_row[i];
    }
    const std::vector<ErrorSums> before = read_error_sums(parameters, address, channels);
    std::vector<std::int64_t> after;
    for (std::size_t c = 0; c < width; ++c) {
        sums[c] += static_cast<std::uint64_t>(before[c].errors);
        products[c] += static_cast<std::uint64_t>(before[c].products);
        after.push_back(static_cast<std::int64_t>(sums[c]));
        after.push_back(static_cast<std::int64_t>(products[c]));
    }
    write_codes(parameters, address, after, 8, true);
}

Work duration(const MachineConfig& config, const Box& box, const Reduce& operation) {
    BankPorts ports(config);
    ports.move(operation.source, box);
    ports.move(operation.flags, box);
    if (operation.with_xhat) ports.move(operation.xhat, box);
    return {std::max(beats(config, operation.source, box), ports.cycles()),
            config.vector_depth_cycles, -1};
}

void reduce(const Machinery& machinery, const Issue& issue, const Reduce& operation) {
    const Box& box = issue.command.box;
    if (width_of(operation.source) > 16 || (operation.with_xhat && width_of(operation.xhat) > 32))
        throw MachineError("REDUCE: sums codes of at most 2 bytes, or their products with 4");

    Codes errors = read_tile(machinery, operation.source, box);
    if (operation.flags.exists()) {
        const std::vector<std::uint8_t> flags =
            read_plane(machinery.memories, operation.flags, box);
        vectorized([code = errors.data(), size = errors.size(), flags = flags.data()] {
            for (std::size_t i = 0; i < size; ++i)
                code[i] = arith::flag_operand(code[i], flags[i] != 0, code_bits);
        });
    }
    show_lanes(machinery, issue, LaneWaves::in, operation.source, errors);
    std::optional<Codes> xhat;
    if (operation.with_xhat) {
        xhat.emplace(read_tile(machinery, operation.xhat, box));
        show_lanes(machinery, issue, LaneWaves::in_2, operation.xhat, *xhat);
    }
    add_error_sums(machinery.memories.parameters, operation.sums_address, box.c, errors,
                   xhat ? &*xhat : nullptr);
}

}  // namespace wagesim::rtl
