// An output-stationary GEMM at once.
#include <algorithm>
#include <vector>

#include "array/pixel_cursor.h"
#include "array/tile_gemm.h"
#include "array/tile_products.h"
#include "vector/bank_ports.h"

namespace wagesim::rtl {
namespace {

TileProducts read_weights(const Gemm& gemm, Memories& memories) {
    TileProducts products(gemm.k, gemm.columns, gemm.bytes);
    for (std::int32_t c = 0; c < gemm.columns; ++c) {
        const std::uint8_t* const from =
            memories.weights.read(gemm.weight_address + c * gemm.weight_stride, gemm.k);
        for (std::int32_t j = 0; j < gemm.k; ++j)
            products.set_weight(j, c, static_cast<std::int8_t>(from[j]));
    }
    return products;
}

}  // namespace

Work os_work(const Command& command, const MachineConfig& config) {
    const auto& gemm = std::get<Gemm>(command.operands);
    const std::int64_t rows = config.array_rows;
    // From a swap until the sums before it are out.
    const std::int64_t leaving = 2 * rows + config.array_columns - 1;
    const auto fold = [&](std::int64_t pixels) {
        const std::int64_t feeding = ceil_divide(pixels * gemm.bytes, config.bank_bytes_per_cycle);
        return std::max(gemm.k * std::max<std::int64_t>(1, feeding), leaving);
    };
    const std::int64_t pixels = command.box.pixels();
    std::int64_t folds = pixels / rows * fold(rows);
    if (pixels % rows > 0) folds += fold(pixels % rows);
    return {rows + folds + leaving, 0, -1};
}

void os_gemm(const Command& command, Memories& memories, const std::int64_t* bias) {
    const auto& gemm = std::get<Gemm>(command.operands);
    Accumulators& accumulators = memories.accumulators;
    OperandFeeder feeder(gemm, memories.activations);
    PixelCursor pixels(command.box);
    TileProducts products = read_weights(gemm, memories);
    std::vector<std::int16_t> operands(static_cast<std::size_t>(gemm.k));

    // Where no sum on the way can leave the width, one addition of all products is as good as
    // one of each.
    const std::int64_t most = (std::int64_t{1} << (accumulators.bits() - 1)) - 1 -
                              gemm.k * largest_product(gemm.bytes);  // of the first value
    const std::vector<std::int64_t> zeros(static_cast<std::size_t>(gemm.columns));
    const auto stays_within = [&](std::int64_t row) {
        const std::int64_t* const first = gemm.accumulate ? accumulators.read_row(row, gemm.columns)
                                          : bias != nullptr ? bias
                                                            : zeros.data();
        return std::all_of(first, first + gemm.columns,
                           [most](std::int64_t sum) { return -most <= sum && sum <= most; });
    };
    const std::int64_t end = gemm.accumulator_row + command.box.pixels();
    for (std::int64_t row = gemm.accumulator_row; row < end; ++row) {
        pixels.fetch(feeder, operands.data());
        if (stays_within(row)) {
            accumulators.add_row(row, gemm.columns, products.sums(operands.data()),
                                 !gemm.accumulate, bias);
            continue;
        }
        for (std::int32_t j = 0; j < gemm.k; ++j)
            accumulators.add_row(row, gemm.columns,
                                 products.products(j, operands[static_cast<std::size_t>(j)]),
                                 !gemm.accumulate && j == 0, bias);
    }
}

}  // namespace wagesim::rtl
