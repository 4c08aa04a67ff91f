// An output-stationary GEMM at once.
#include <algorithm>
#include <vector>

#include "array/multiplier.h"
#include "array/operand_rows.h"
#include "array/tile_gemm.h"
#include "array/tile_products.h"
#include "array/weight_reader.h"
#include "control/extent.h"
#include "vector/bank_ports.h"

namespace wagesim::rtl {

Work os_work(const Command& command, const MachineConfig& config) {
    const auto& gemm = std::get<Gemm>(command.operands);
    const std::int64_t rows = config.array_rows;
    // From a swap until the sums before it are out.
    const std::int64_t leaving = 2 * rows + config.array_columns - 1;
    const auto fold = [&](std::int64_t pixels) {
        const std::int64_t feeding = ceil_divide(pixels * gemm.bytes, config.bank_bytes_per_cycle);
        return std::max(gemm.k * std::max<std::int64_t>(1, feeding), leaving);
    };
    const std::int64_t pixels = streamed_rows(gemm, command.box);
    std::int64_t folds = pixels / rows * fold(rows);
    if (pixels % rows > 0) folds += fold(pixels % rows);
    return {rows + folds + leaving, 0, -1};
}

void os_gemm(const Command& command, Memories& memories, const std::int64_t* bias) {
    const auto& gemm = std::get<Gemm>(command.operands);
    const std::int64_t product =
        largest_product(multiplier_bits(gemm.bytes, gemm.flags),
                        multiplier_bits(gemm.weights.bytes, gemm.weights.flags));
    Accumulators& accumulators = memories.accumulators;
    std::vector<std::int16_t> weights(static_cast<std::size_t>(gemm.k) *
                                      static_cast<std::size_t>(gemm.columns));
    read_weights(memories, gemm.weights, gemm.k, gemm.columns, weights.data(), gemm.columns);
    TileProducts products;
    products.set(gemm.k, gemm.columns, weights.data(), gemm.columns, product);
    AlignedVector<std::int16_t> storage;
    OperandRows rows(command, memories, storage);

    // Where no sum on the way can leave the width, one addition of all products is as good as
    // one of each.
    const std::int64_t most =
        (std::int64_t{1} << (accumulators.bits() - 1)) - 1 - gemm.k * product;  // first value
    const std::vector<std::int64_t> zeros(static_cast<std::size_t>(gemm.columns));
    const auto stays_within = [&](std::int64_t row) {
        const std::int64_t* const first = gemm.accumulate ? accumulators.read_row(row, gemm.columns)
                                          : bias != nullptr ? bias
                                                            : zeros.data();
        return std::all_of(first, first + gemm.columns,
                           [most](std::int64_t sum) { return -most <= sum && sum <= most; });
    };
    const std::int64_t end = gemm.accumulator_row + rows.count();
    for (std::int64_t row = gemm.accumulator_row; row < end; ++row) {
        const OperandBlock block{rows.next(), 1, 0};
        if (stays_within(row)) {
            products.add_sums(block, accumulators, row, !gemm.accumulate, bias);
            continue;
        }
        for (std::int32_t j = 0; j < gemm.k; ++j)
            accumulators.add_row(row, gemm.columns, products.products(j, block.operands[j]),
                                 !gemm.accumulate && j == 0, bias);
    }
}

}  // namespace wagesim::rtl
