// The compute units, and the array they share.
#include "array/array_weights.h"
#include "array/drain.h"
#include "array/stepped_array.h"
#include "array/tile_array.h"
#include "array/weight_loader.h"
#include "machine.h"
#include "update/update_unit.h"
#include "vector/vector_unit.h"

namespace wagesim::rtl {
namespace {

/// What the weight loader and the array have in common.
struct SharedArray {
    explicit SharedArray(const MachineConfig& config) : weights(config) {}
    ArrayWeights weights;
    std::unique_ptr<SteppedArray> stepped;
};

}  // namespace

Executors compute_units(const MachineConfig& config, const MachineOptions& options,
                        Memories& memories, Watch& watch) {
    auto shared = std::make_shared<SharedArray>(config);
    const bool always = options.fidelity == Fidelity::register_accurate;
    if (always || watch.waves != nullptr) {
        const bool is_os = config.dataflow == Dataflow::os;
        auto registers = (is_os ? make_os_register_array : make_ws_register_array)(
            config, memories, watch.waves, options.ports);
        if (always || registers->is_shown())
            shared->stepped = std::make_unique<SteppedArray>(std::move(registers),
                                                             always ? nullptr : options.wave,
                                                             always ? options.quantum : 0);
    }
    SteppedArray* const stepped = shared->stepped.get();
    Executors executors;
    executors.weight_loader = std::make_unique<WeightLoader>(memories, shared->weights, stepped);
    executors.array = std::make_unique<TileArray>(config, memories, shared->weights, stepped);
    executors.drain = std::make_unique<DrainUnit>(config, memories, watch);
    executors.vector = std::make_unique<VectorUnit>(config, memories, watch);
    executors.update = std::make_unique<UpdateUnit>(config, memories, watch, options.draws);
    if (always)
        executors.pe_operations = [stepped] { return stepped->registers().pe_operations(); };
    executors.shared = std::move(shared);
    return executors;
}

}  // namespace wagesim::rtl
