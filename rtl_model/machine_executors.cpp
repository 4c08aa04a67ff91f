// The compute units at tile fidelity.
#include "array/array_weights.h"
#include "array/drain.h"
#include "array/tile_array.h"
#include "array/weight_loader.h"
#include "machine.h"
#include "update/update_unit.h"
#include "vector/vector_unit.h"

namespace wagesim::rtl {

Executors tile_executors(const MachineConfig& config, Memories& memories, Watch& watch) {
    Executors executors;
    auto weights = std::make_shared<ArrayWeights>(config);
    executors.weight_loader = std::make_unique<WeightLoader>(config, memories, watch, *weights);
    executors.array = std::make_unique<TileArray>(config, memories, watch, *weights);
    executors.drain = std::make_unique<DrainUnit>(config, memories, watch);
    executors.vector = std::make_unique<VectorUnit>(config, memories, watch);
    executors.update = std::make_unique<UpdateUnit>(config, memories, watch);
    executors.shared = weights;
    return executors;
}

}  // namespace wagesim::rtl
