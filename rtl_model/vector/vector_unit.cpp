// The vector unit: batch norm, activation, residual add, pooling, loss, and all their errors.
#include "vector/vector_unit.h"

#include <variant>

namespace wagesim::rtl {
namespace {

struct Dispatch {
    const Machinery& machinery;
    Issue issue;

    Work operator()(const NormalizeCmd& o) const { return normalize(machinery, issue, o); }
    Work operator()(const Act& o) const { return activate(machinery, issue, o); }
    Work operator()(const Add& o) const { return add(machinery, issue, o); }
    Work operator()(const Pool& o) const { return pool(machinery, issue, o); }
    Work operator()(const Gather& o) const { return gather(machinery, issue, o); }
    Work operator()(const Clear& o) const { return clear(machinery, issue, o); }
    Work operator()(const BnStat& o) const { return batch_norm_statistics(machinery, issue, o); }
    Work operator()(const BnCoef& o) const { return batch_norm_coefficients(machinery, issue, o); }
    Work operator()(const Softmax& o) const { return softmax(machinery, issue, o); }
    Work operator()(const Exponent& o) const { return exponent(machinery, issue, o); }
    Work operator()(const ShiftQuantize& o) const { return shift_quantize(machinery, issue, o); }
    Work operator()(const FlagQuantize& o) const { return flag_quantize(machinery, issue, o); }
    Work operator()(const PoolBack& o) const { return pool_back(machinery, issue, o); }
    Work operator()(const Reduce& o) const { return reduce(machinery, issue, o); }
    Work operator()(const BnBack& o) const { return batch_norm_back(machinery, issue, o); }
    Work operator()(const BnError& o) const { return batch_norm_error(machinery, issue, o); }
    Work operator()(const Fork& o) const { return fork(machinery, issue, o); }
    template <class Other>
    Work operator()(const Other&) const {
        throw MachineError("vector unit: command " + std::to_string(issue.index) +
                           " is another unit's");
    }
};

}  // namespace

VectorUnit::VectorUnit(const MachineConfig& config, Memories& memories, Watch& watch)
    : machinery_{config, memories, watch, pool_} {
    if (watch.waves == nullptr) return;
    lanes_.emplace(*watch.waves, config);
    if (lanes_->is_shown()) machinery_.lanes = &*lanes_;
}

Work VectorUnit::execute(const Command& command, std::int64_t index, std::int64_t start) {
    return std::visit(Dispatch{machinery_, Issue{command, index, start}}, command.operands);
}

}  // namespace wagesim::rtl
