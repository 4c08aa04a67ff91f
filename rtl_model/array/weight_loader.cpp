// The weight loader: weight buffer -> the array's shadow registers.
#include "array/weight_loader.h"

#include <string>
#include <variant>

namespace wagesim::rtl {

WeightLoader::WeightLoader(Memories& memories, ArrayWeights& weights, SteppedArray* stepped)
    : memories_(memories), weights_(weights), stepped_(stepped) {}

Work WeightLoader::execute(const Command& command, std::int64_t index, std::int64_t start) {
    const auto* const load = std::get_if<WeightLoad>(&command.operands);
    if (load == nullptr)
        throw MachineError("weight loader: command " + std::to_string(index) +
                           " is another unit's");
    if (load->rows < 1 || load->rows > weights_.rows() || load->columns < 1 ||
        load->columns > weights_.columns())
        throw MachineError("WLOAD: " + std::to_string(load->rows) + " x " +
                           std::to_string(load->columns) + " weights for an array of " +
                           std::to_string(weights_.rows()) + " x " +
                           std::to_string(weights_.columns()));
    const Work work{weights_.rows(), 0, -1};
    const bool steps = stepped_ != nullptr && stepped_->takes(start, start + work.busy, weights_);
    ArrayWeights::TileRegisters& shadow = weights_.load(start, start + work.busy);
    shadow.rows = load->rows;
    shadow.columns = load->columns;
    for (std::int32_t column = 0; column < load->columns; ++column) {
        const std::uint8_t* const from =
            memories_.weights.read(load->address + column * load->column_stride, load->rows);
        for (std::int32_t row = 0; row < load->rows; ++row)
            shadow.weights[static_cast<std::size_t>(row * weights_.columns() + column)] =
                static_cast<std::int8_t>(from[row]);
    }
    if (steps) stepped_->registers().load(shadow);
    return work;
}

}  // namespace wagesim::rtl
