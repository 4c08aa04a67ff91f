// A weight-stationary GEMM at once.
#include <algorithm>
#include <vector>

#include "array/pixel_cursor.h"
#include "array/tile_gemm.h"
#include "array/tile_products.h"
#include "vector/bank_ports.h"

namespace wagesim::rtl {

Work ws_work(const Command& command, const MachineConfig& config) {
    const auto& gemm = std::get<Gemm>(command.operands);
    const std::int64_t feeding =
        ceil_divide(std::int64_t{gemm.k} * gemm.bytes, config.bank_bytes_per_cycle);
    const std::int64_t wavefront = config.array_rows + config.array_columns - 1;
    return {command.box.pixels() * std::max<std::int64_t>(1, feeding), wavefront, wavefront};
}

void ws_gemm(const Command& command, const ArrayWeights& weights, Memories& memories,
             const std::int64_t* bias) {
    const auto& gemm = std::get<Gemm>(command.operands);
    const std::vector<std::int16_t>& tile = weights.active().weights;
    TileProducts products(gemm.k, gemm.columns, gemm.bytes);
    for (std::int32_t r = 0; r < gemm.k; ++r)
        for (std::int32_t c = 0; c < gemm.columns; ++c)
            products.set_weight(r, c, tile[static_cast<std::size_t>(r * weights.columns() + c)]);

    OperandFeeder feeder(gemm, memories.activations);
    PixelCursor pixels(command.box);
    std::vector<std::int16_t> operands(static_cast<std::size_t>(gemm.k));
    const std::int64_t end = gemm.accumulator_row + command.box.pixels();
    for (std::int64_t row = gemm.accumulator_row; row < end; ++row) {
        pixels.fetch(feeder, operands.data());
        memories.accumulators.add_row(row, gemm.columns, products.sums(operands.data()),
                                      !gemm.accumulate, bias);
    }
}

}  // namespace wagesim::rtl
