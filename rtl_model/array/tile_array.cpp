// The MAC array, one GEMM at a time: sums per tile column, not per PE and cycle.
#include "array/tile_array.h"

#include <algorithm>
#include <string>
#include <variant>

#include "array/operand_feeder.h"
#include "array/pe_kernels.h"
#include "vector/bank_ports.h"
#include "vector/codes.h"

namespace wagesim::rtl {
namespace {

/// Columns that are summed side by side: what the host's registers hold.
constexpr int block = 16;

/// sums[c] = sum over r of operands[r] * weights[r * block + c].
template <class Sum>
void sum_products(const std::int16_t* operands, const std::int16_t* weights, int rows, Sum* sums) {
    Sum partial[block] = {};
    for (int r = 0; r < rows; ++r) {
        const Sum operand = operands[r];
        for (int c = 0; c < block; ++c)
            partial[c] += operand * static_cast<Sum>(weights[r * block + c]);
    }
    std::copy(partial, partial + block, sums);
}

}  // namespace

TileArray::TileArray(const MachineConfig& config, Memories& memories, ArrayWeights& weights,
                     SteppedArray* stepped)
    : config_(config), memories_(memories), weights_(weights), stepped_(stepped) {}

template <class Sum>
void TileArray::stream(const Command& command, const Gemm& gemm, const std::int64_t* bias) {
    // Blocks of columns, each [row][block].
    const ArrayWeights::TileRegisters& tile = weights_.active();
    const int blocks = (gemm.columns + block - 1) / block;
    std::vector<std::int16_t> weights(static_cast<std::size_t>(blocks) * block *
                                      static_cast<std::size_t>(gemm.k));
    for (int r = 0; r < gemm.k; ++r)
        for (int c = 0; c < gemm.columns; ++c)
            weights[static_cast<std::size_t>((c / block * gemm.k + r) * block + c % block)] =
                tile.weights[static_cast<std::size_t>(r * weights_.columns() + c)];

    OperandFeeder feeder(gemm, memories_.activations);
    std::vector<std::int16_t> operands(static_cast<std::size_t>(gemm.k));
    std::vector<Sum> sums(static_cast<std::size_t>(blocks) * block);
    const Box& box = command.box;
    std::int64_t row = gemm.accumulator_row;
    for (std::int32_t n = 0; n < box.n; ++n) {
        for (std::int32_t oh = box.h0; oh < box.h0 + box.h; ++oh) {
            for (std::int32_t ow = box.w0; ow < box.w0 + box.w; ++ow, ++row) {
                feeder.fetch(n, oh, ow, operands.data());
                for (int b = 0; b < blocks; ++b)
                    sum_products(operands.data(), weights.data() + b * gemm.k * block, gemm.k,
                                 sums.data() + b * block);
                memories_.accumulators.add_row(row, gemm.columns, sums.data(), !gemm.accumulate,
                                               bias);
            }
        }
    }
}

Work TileArray::execute(const Command& command, std::int64_t index, std::int64_t start) {
    const auto* const gemm = std::get_if<Gemm>(&command.operands);
    if (gemm == nullptr)
        throw MachineError("array: command " + std::to_string(index) + " is another unit's");
    const std::int64_t pixels = command.box.pixels();
    const std::int64_t wavefront = weights_.rows() + weights_.columns() - 1;
    const std::int64_t feeding =
        ceil_divide(std::int64_t{gemm->k} * gemm->bytes, config_.bank_bytes_per_cycle);
    const Work work{pixels * std::max<std::int64_t>(1, feeding), wavefront, wavefront};

    const bool steps =
        stepped_ != nullptr && stepped_->takes(start, start + work.busy + work.latency, weights_);
    const ArrayWeights::TileRegisters& tile = weights_.swap(start, start + work.swap);
    if (tile.rows != gemm->k || tile.columns != gemm->columns)
        throw MachineError("GEMM: a tile of " + std::to_string(gemm->k) + " x " +
                           std::to_string(gemm->columns) + " weights, but " +
                           std::to_string(tile.rows) + " x " + std::to_string(tile.columns) +
                           " were loaded");

    std::vector<std::int64_t> bias;
    if (!gemm->accumulate && gemm->bias_address >= 0)
        bias = read_codes(memories_.parameters, gemm->bias_address, gemm->columns, 4, true);
    const std::int64_t* const initial = bias.empty() ? nullptr : bias.data();
    if (steps)
        stepped_->registers().multiply(command, index, initial);
    else if (gemm->k <= narrow_rows)
        stream<std::int32_t>(command, *gemm, initial);
    else
        stream<std::int64_t>(command, *gemm, initial);

    const std::int64_t used = std::int64_t{gemm->k} * gemm->columns;
    counters_.macs += pixels * used;
    counters_.padding_slots += pixels * (std::int64_t{weights_.rows()} * weights_.columns() - used);
    return work;
}

}  // namespace wagesim::rtl
