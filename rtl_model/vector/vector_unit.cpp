// The vector unit: batch norm, activation, residual add, pooling, loss, and all their errors.
#include "vector/vector_unit.h"

#include <variant>

namespace wagesim::rtl {
namespace {

struct Execution {
    const Machinery& machinery;
    Issue issue;

    void operator()(const NormalizeCmd& o) const { normalize(machinery, issue, o); }
    void operator()(const Act& o) const { activate(machinery, issue, o); }
    void operator()(const Add& o) const { add(machinery, issue, o); }
    void operator()(const Pool& o) const { pool(machinery, issue, o); }
    void operator()(const Gather& o) const { gather(machinery, issue, o); }
    void operator()(const Clear& o) const { clear(machinery, issue, o); }
    void operator()(const BnStat& o) const { batch_norm_statistics(machinery, issue, o); }
    void operator()(const BnCoef& o) const { batch_norm_coefficients(machinery, issue, o); }
    void operator()(const Softmax& o) const { softmax(machinery, issue, o); }
    void operator()(const Exponent& o) const { exponent(machinery, issue, o); }
    void operator()(const ShiftQuantize& o) const { shift_quantize(machinery, issue, o); }
    void operator()(const FlagQuantize& o) const { flag_quantize(machinery, issue, o); }
    void operator()(const PoolBack& o) const { pool_back(machinery, issue, o); }
    void operator()(const Reduce& o) const { reduce(machinery, issue, o); }
    void operator()(const BnBack& o) const { batch_norm_back(machinery, issue, o); }
    void operator()(const BnError& o) const { batch_norm_error(machinery, issue, o); }
    void operator()(const Fork& o) const { fork(machinery, issue, o); }
    template <class Other>
    void operator()(const Other&) const {}  // it has no duration
};

}  // namespace

VectorUnit::VectorUnit(const MachineConfig& config, Memories& memories, Watch& watch)
    : machinery_{config, memories, watch, pool_} {
    if (watch.waves == nullptr) return;
    lanes_.emplace(*watch.waves, config);
    if (lanes_->is_shown()) machinery_.lanes = &*lanes_;
}

Work VectorUnit::duration(const Command& command) const {
    return std::visit(
        [&](const auto& operands) {
            return rtl::duration(machinery_.config, command.box, operands);
        },
        command.operands);
}

void VectorUnit::execute(const Command& command, std::int64_t index, std::int64_t start,
                         const Work& work) {
    std::visit(Execution{machinery_, Issue{command, index, start, work}}, command.operands);
}

}  // namespace wagesim::rtl
