// A weight-stationary GEMM at once.
#include <algorithm>
#include <vector>

#include "array/multiplier.h"
#include "array/operand_rows.h"
#include "array/tile_gemm.h"
#include "array/tile_products.h"
#include "control/extent.h"
#include "vector/bank_ports.h"

namespace wagesim::rtl {

Work ws_work(const Command& command, const MachineConfig& config) {
    const auto& gemm = std::get<Gemm>(command.operands);
    const std::int64_t feeding =
        ceil_divide(std::int64_t{gemm.k} * gemm.bytes, config.bank_bytes_per_cycle);
    const std::int64_t wavefront = config.array_rows + config.array_columns - 1;
    return {streamed_rows(gemm, command.box) * std::max<std::int64_t>(1, feeding), wavefront,
            wavefront};
}

void ws_gemm(const Command& command, const ArrayWeights& weights, Memories& memories,
             const std::int64_t* bias) {
    const auto& gemm = std::get<Gemm>(command.operands);
    const ArrayWeights::TileRegisters& tile = weights.active();
    // Their storage stays for the next GEMM.
    static thread_local TileProducts products;
    static thread_local AlignedVector<std::int16_t> storage;
    products.set(gemm.k, gemm.columns, tile.weights.data(), weights.columns(),
                 largest_product(multiplier_bits(gemm.bytes, gemm.flags), tile.bits));
    OperandRows rows(command, memories, storage);
    const std::int64_t end = gemm.accumulator_row + rows.count();
    for (std::int64_t row = gemm.accumulator_row; row < end;) {
        const OperandBlock block = rows.next_block();
        products.add_sums(block, memories.accumulators, row, !gemm.accumulate, bias);
        row += block.rows;
    }
}

}  // namespace wagesim::rtl
