// Passes: which layers work on a tile one after the other before anything goes back to Dram.
#pragma once

#include <vector>

#include "compile/tensor_plan.h"

namespace wagesim::compile {

/// What the vector unit does to a tile, one command each.
struct Step {
    enum class Kind { normalize, act, add, pool } kind = Kind::act;
    int layer = -1;       ///< whose output it makes, or whose QP it shows
    int batch_norm = -1;  ///< normalize, act affine or fold: whose parameters it takes
    Act::Kind act = Act::Kind::plain;
    Clip clip = Clip::none;
    bool quantize = false;  ///< act, add: to A
    bool has_operand = false;
    int operand = -1;  ///< add: producer of the second operand, in Dram
    QpId result;
    Format format;  ///< of the result
    int bytes = 1;
    // Training: what the backward pass will need.
    bool keeps_result = false;
    int plane_bits = 0;  ///< of the mask or the places that won; 0: none
    QpId plane;
    Role plane_role = Role::mask;
};

/// One way through the machine: load, (multiply,) work on the tile, store.
struct Pass {
    int array_layer = -1;  ///< conv2d or linear whose sums the tiles are; -1: tiles come from Dram
    int source = -1;       ///< producer of the tensor that is loaded
    std::vector<Step> steps;
    bool pools_from_memory = false;  ///< steps[0] is a pool; its windows' rows are loaded
    bool pools_last = false;         ///< the last step is a pool on whole windows of the tile
    bool stores = true;              ///< false: it only gathers statistics
    int result = -1;                 ///< producer whose tensor it makes (or, not storing, reads)
    std::vector<int> layers;         ///< that it computes, ascending
    std::vector<int> statistics;     ///< batch norms that need the statistics of `result`

    /// The layer that gives tiles, errors and the first commands their name.
    int first_layer() const {
        if (!layers.empty()) return layers.front();
        return statistics.front();
    }
    bool drains() const { return array_layer >= 0 && steps.empty(); }
    /// Tiles then need whole bytes of a bit plane.
    bool has_planes() const;
};

/// The pass from `first` through `layers` (its chain, in order).
Pass make_pass(const Job& job, const TensorPlans& plans, const std::vector<int>& layers);

/// A pass that only gathers the statistics of the network's input.
Pass make_statistics_pass(const Job& job);

/// The chains that may follow each other in one pass that starts at `first`, longest first;
/// `stored[i + 1]`: producer i's tensor lies in Dram.
std::vector<std::vector<int>> possible_chains(const Job& job, int first,
                                              const std::vector<bool>& stored);

/// Batch norms that need the statistics of a producer's tensor.
std::vector<int> statistics_readers(const Job& job, int producer);

}  // namespace wagesim::compile
