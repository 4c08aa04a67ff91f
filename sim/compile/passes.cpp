// Passes: which layers work on a tile one after the other before anything goes back to Dram.
#include "compile/passes.h"

#include <algorithm>

#include "compile/training_plan.h"

namespace wagesim::compile {
namespace {

Clip clip_of(const Layer& relu) { return relu.type == LayerType::relu6 ? Clip::relu6 : Clip::relu; }

int other_operand(const Layer& add, int producer) {
    return add.inputs[0] == producer ? add.inputs[1] : add.inputs[0];
}

/// Pools that can work on a tile where it lies: every window within it.
bool pools_in_place(const Layer& layer) {
    if (layer.type == LayerType::global_avg_pool) return true;
    return is_pool(layer) && layer.padding.h == 0 && layer.padding.w == 0 &&
           layer.kernel.h == layer.stride.h && layer.kernel.w == layer.stride.w;
}

class StepMaker {
public:
    StepMaker(const Job& job, const TensorPlans& plans) : job_(job), plans_(plans) {}

    /// `producer`: whose tensor the tile is before.
    void add_layer(int index, int producer, int fused, std::vector<Step>& steps) const {
        const Layer& layer = job_.layer(index);
        if (layer.type == LayerType::batch_norm) {
            if (!job_.folded()) steps.push_back(normalization(index));
            steps.push_back(affine(index, fused));
            return;
        }
        Step step;
        step.layer = index;
        if (is_relu(layer)) {
            step.kind = Step::Kind::act;
            step.clip = clip_of(layer);
            step.quantize = true;
        } else if (layer.type == LayerType::add) {
            step.kind = Step::Kind::add;
            step.quantize = plans_.output(index).qp.qp == Qp::A;
            step.has_operand = true;
            step.operand = other_operand(layer, producer);
        } else {
            step.kind = Step::Kind::pool;
        }
        if (job_.training) add_plane(index, step);
        take_output(index, step);
        steps.push_back(step);
    }

private:
    void add_plane(int layer, Step& step) const {
        if (has_mask(job_, layer)) {
            step.plane_bits = 1;
            step.plane = {layer, Qp::E1m};
        } else if (job_.layer(layer).type == LayerType::max_pool &&
                   job_.layer(layer).inputs[0] >= 0) {
            step.plane_bits = index_bits(job_.layer(layer));
            step.plane = {layer, Qp::pool_err};
            step.plane_role = Role::index;
        }
    }

    void take_output(int producer, Step& step) const {
        const TensorPlan& plan = plans_.output(producer);
        step.result = plan.qp;
        step.format = plan.format;
        step.bytes = plan.bytes;
    }

    Step normalization(int index) const {
        Step step;
        step.kind = Step::Kind::normalize;
        step.layer = index;
        step.batch_norm = index;
        step.result = {index, Qp::xhat};
        step.format = job_.at(index, Qp::xhat).format;
        step.bytes = bytes_of(step.format);
        step.keeps_result = job_.training;
        return step;
    }

    Step affine(int index, int fused) const {
        Step step;
        step.kind = Step::Kind::act;
        step.act = job_.folded() ? Act::Kind::fold : Act::Kind::affine;
        step.layer = fused >= 0 ? fused : index;
        step.batch_norm = index;
        if (fused >= 0) step.clip = clip_of(job_.layer(fused));
        if (job_.training) add_plane(step.layer, step);
        take_output(step.layer, step);
        step.quantize = step.result.qp == Qp::A;
        return step;
    }

    const Job& job_;
    const TensorPlans& plans_;
};

}  // namespace

bool Pass::has_planes() const {
    return std::any_of(steps.begin(), steps.end(),
                       [](const Step& step) { return step.plane_bits > 0; });
}

std::vector<int> statistics_readers(const Job& job, int producer) {
    std::vector<int> found;
    if (job.batch_norm != BatchNorm::batch) return found;
    const auto& readers = producer < 0 ? job.network.input_readers : job.layer(producer).readers;
    for (const int reader : readers)
        if (job.layer(reader).type == LayerType::batch_norm) found.push_back(reader);
    return found;
}

Pass make_pass(const Job& job, const TensorPlans& plans, const std::vector<int>& layers) {
    Pass pass;
    const int first = layers.front();
    pass.layers = layers;
    std::sort(pass.layers.begin(), pass.layers.end());
    pass.source = job.layer(first).inputs[0];
    pass.result = layers.back();
    int producer = pass.source;
    std::size_t next = 0;
    if (is_array_layer(job.layer(first))) {
        pass.array_layer = first;
        producer = first;
        next = 1;
    }
    pass.pools_from_memory = pass.array_layer < 0 && is_pool(job.layer(first));
    const StepMaker maker(job, plans);
    for (; next < layers.size(); ++next) {
        const int index = layers[next];
        int fused = -1;
        if (job.layer(index).type == LayerType::batch_norm && next + 1 < layers.size() &&
            layers[next + 1] == fused_relu(job.network, index))
            fused = layers[++next];
        maker.add_layer(index, producer, fused, pass.steps);
        producer = fused >= 0 ? fused : index;
    }
    pass.pools_last = pass.steps.size() > (pass.pools_from_memory ? 1U : 0U) &&
                      pass.steps.back().kind == Step::Kind::pool;
    pass.statistics = statistics_readers(job, pass.result);
    return pass;
}

Pass make_statistics_pass(const Job& job) {
    Pass pass;
    pass.stores = false;
    pass.statistics = statistics_readers(job, -1);
    return pass;
}

std::vector<std::vector<int>> possible_chains(const Job& job, int first,
                                              const std::vector<bool>& stored) {
    std::vector<std::vector<int>> chains;
    std::vector<int> chain{first};
    int steps = is_array_layer(job.layer(first)) ? 0 : 1;
    for (;;) {
        const int last = chain.back();
        const Layer& layer = job.layer(last);
        const int relu = layer.type == LayerType::batch_norm ? fused_relu(job.network, last) : -1;
        // A folded batch norm has no output of its own before its ReLU.
        const bool parts = !(job.folded() && relu >= 0);
        if (parts) chains.push_back(chain);
        if (job.is_output(last) || layer.readers.size() != 1) break;
        const int reader = layer.readers[0];
        const Layer& next = job.layer(reader);
        if (is_array_layer(next)) break;
        if (next.type == LayerType::batch_norm && job.batch_norm == BatchNorm::batch) break;
        if (next.type == LayerType::add) {
            const int other = other_operand(next, last);
            if (other == last || !stored[static_cast<std::size_t>(other + 1)]) break;
        }
        if (is_pool(next)) {
            // Windows are read from a buffer: not from the accumulators, and not from a tile
            // that is itself a pool's.
            if (steps > 0 && !is_pool(layer) && pools_in_place(next)) {
                chain.push_back(reader);
                chains.push_back(chain);
            }
            break;
        }
        chain.push_back(reader);
        ++steps;
    }
    std::reverse(chains.begin(), chains.end());
    return chains;
}

}  // namespace wagesim::compile
