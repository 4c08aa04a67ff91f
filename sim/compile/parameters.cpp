// What a pass keeps per channel in the parameter RAM.
#include "compile/parameters.h"

#include <stdexcept>

namespace wagesim::compile {
namespace {

constexpr std::int64_t alignment = 8;

}  // namespace

std::int64_t ParameterPlan::address(int layer, Qp qp, std::int64_t c) const {
    for (const ParameterVector& vector : vectors)
        if (vector.qp.layer == layer && vector.qp.qp == qp)
            return vector.address + (c - c0) * vector.bytes;
    throw std::logic_error("compile: a parameter without a place");
}

ParameterPlan plan_parameters(const Job& job, const Pass& pass, std::int32_t c0, std::int32_t c) {
    ParameterPlan plan;
    plan.c0 = c0;
    const auto take = [&](std::int64_t bytes_per_channel) {
        const std::int64_t address = plan.bytes;
        plan.bytes += (bytes_per_channel * c + alignment - 1) / alignment * alignment;
        return address;
    };
    const auto add = [&](int layer, Qp qp, int bytes, bool loaded, bool stored) {
        plan.vectors.push_back({{layer, qp}, bytes, loaded, stored, take(bytes)});
    };
    if (pass.array_layer >= 0 && job.layer(pass.array_layer).bias)
        add(pass.array_layer, Qp::bias_q, 4, true, false);
    for (const Step& step : pass.steps) {
        const int index = step.batch_norm;
        if (index < 0 || step.kind != Step::Kind::act) continue;
        add(index, Qp::mu, 4, true, false);
        add(index, Qp::sigma, 4, true, false);
        for (const Qp qp : {Qp::gamma_q, Qp::beta_q})
            add(index, qp, bytes_of(job.at(index, qp).format), true, false);
        if (job.folded()) {
            add(index, Qp::fold_a, 8, false, false);
            add(index, Qp::fold_b, 8, false, false);
        } else if (job.reciprocal()) {
            add(index, Qp::inv, 8, false, false);
        }
    }
    if (!pass.statistics.empty()) plan.statistics = take(statistics_bytes);
    for (const int index : pass.statistics) {
        add(index, Qp::run_mu, 4, true, true);
        add(index, Qp::run_sigma, 4, true, true);
        add(index, Qp::mu, 4, false, true);
        add(index, Qp::sigma, 4, false, true);
    }
    return plan;
}

}  // namespace wagesim::compile
