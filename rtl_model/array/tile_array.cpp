// The MAC array: a GEMM at once, sums per tile column, or PE by PE and cycle by cycle.
#include "array/tile_array.h"

#include <string>
#include <variant>
#include <vector>

#include "array/tile_gemm.h"
#include "vector/codes.h"

namespace wagesim::rtl {

TileArray::TileArray(const MachineConfig& config, Memories& memories, ArrayWeights& weights,
                     SteppedArray* stepped)
    : config_(config), memories_(memories), weights_(weights), stepped_(stepped) {}

/// ws: the tile that WLOAD brought becomes the active one.
void TileArray::take_weights(const Gemm& gemm, std::int64_t start, std::int64_t swapped) {
    const ArrayWeights::TileRegisters& tile = weights_.swap(start, swapped);
    if (tile.rows != gemm.k || tile.columns != gemm.columns)
        throw MachineError("GEMM: a tile of " + std::to_string(gemm.k) + " x " +
                           std::to_string(gemm.columns) + " weights, but " +
                           std::to_string(tile.rows) + " x " + std::to_string(tile.columns) +
                           " were loaded");
}

Work TileArray::duration(const Command& command) const {
    const auto* const gemm = std::get_if<Gemm>(&command.operands);
    if (gemm == nullptr) throw MachineError("array: a " + mnemonic(command) + " is another unit's");
    if (config_.dataflow == Dataflow::ws) return ws_work(command, config_);
    if (gemm->columns < 1 || gemm->columns > config_.array_columns)
        throw MachineError("GEMM: " + std::to_string(gemm->columns) + " columns for an array of " +
                           std::to_string(config_.array_columns));
    return os_work(command, config_);
}

void TileArray::execute(const Command& command, std::int64_t index, std::int64_t start,
                        const Work& work) {
    const auto& gemm = std::get<Gemm>(command.operands);
    const bool is_os = config_.dataflow == Dataflow::os;
    const bool steps =
        stepped_ != nullptr && stepped_->takes(start, start + work.busy + work.latency, weights_);
    if (!is_os) take_weights(gemm, start, start + work.swap);

    std::vector<std::int64_t> bias;
    if (!gemm.accumulate && gemm.bias_address >= 0)
        bias = read_codes(memories_.parameters, gemm.bias_address, gemm.columns, 4, true);
    const std::int64_t* const initial = bias.empty() ? nullptr : bias.data();
    if (steps)
        stepped_->registers().multiply(command, index, initial);
    else if (is_os)
        os_gemm(command, memories_, initial);
    else
        ws_gemm(command, weights_, memories_, initial);
}

}  // namespace wagesim::rtl
