// The weight loader: weight buffer -> the array's shadow registers.
#include "array/weight_loader.h"

#include <string>
#include <variant>

#include "array/multiplier.h"
#include "array/weight_reader.h"

namespace wagesim::rtl {

WeightLoader::WeightLoader(Memories& memories, ArrayWeights& weights, SteppedArray* stepped)
    : memories_(memories), weights_(weights), stepped_(stepped) {}

Work WeightLoader::duration(const Command& command) const {
    const auto* const load = std::get_if<WeightLoad>(&command.operands);
    if (load == nullptr)
        throw MachineError("weight_loader: a " + mnemonic(command) + " is another unit's");
    if (load->rows < 1 || load->rows > weights_.rows() || load->columns < 1 ||
        load->columns > weights_.columns())
        throw MachineError("WLOAD: " + std::to_string(load->rows) + " x " +
                           std::to_string(load->columns) + " weights for an array of " +
                           std::to_string(weights_.rows()) + " x " +
                           std::to_string(weights_.columns()));
    return {weights_.rows(), 0, -1};
}

void WeightLoader::execute(const Command& command, std::int64_t, std::int64_t start,
                           const Work& work) {
    const auto& load = std::get<WeightLoad>(command.operands);
    const bool steps = stepped_ != nullptr && stepped_->takes(start, start + work.busy, weights_);
    ArrayWeights::TileRegisters& shadow = weights_.load(start, start + work.busy);
    shadow.rows = load.rows;
    shadow.columns = load.columns;
    shadow.bits = multiplier_bits(load.weights.bytes, load.weights.flags);
    read_weights(memories_, load.weights, load.rows, load.columns, shadow.weights.data(),
                 weights_.columns());
    if (steps) stepped_->registers().load(shadow);
}

}  // namespace wagesim::rtl
