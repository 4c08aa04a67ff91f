// The error that a batch norm passes on.
#include "compile/backward.h"

namespace wagesim::compile {

BackwardLowering::BatchNormInput BackwardLowering::take_batch_norm(StreamPass& pass, int layer,
                                                                   bool shows) const {
    const QpId error = plan_.masked_error(plan_.error_layer(layer));
    BatchNormInput input;
    input.job = &job_;
    input.layer = layer;
    input.shows = shows;
    input.error = pass.load(at(error));
    input.xhat = pass.load(at({layer, Qp::xhat}));
    input.scale = pass.loaded_scale(at(error, Role::scale));
    const auto take = [&](Qp qp) {
        const DramTensor& tensor = at({layer, qp});
        return pass.vector(tensor.bytes, &tensor, nullptr);
    };
    input.m1 = take(Qp::m1);
    input.m2 = take(Qp::m2);
    input.gamma = take(Qp::gamma_q);
    input.sigma = take(Qp::sigma);
    if (job_.reciprocal()) input.inv = pass.vector(8, nullptr, nullptr);
    return input;
}

BnError BackwardLowering::BatchNormInput::command(const StreamPass::Tile& tile) const {
    const auto setting = [&](Qp qp) { return job->at(layer, qp); };
    const int relu = fused_relu(job->network, layer);
    const Format e1 = job->at(relu >= 0 ? relu : layer, Qp::E1).format;
    BnError back;
    back.source = tile.input(error, e1);
    back.xhat = tile.input(xhat, setting(Qp::xhat).format);
    back.m1_address = tile.vector(m1);
    back.m2_address = tile.vector(m2);
    back.gamma_address = tile.vector(gamma);
    back.inverse = inv >= 0;
    back.sigma_address = tile.vector(back.inverse ? inv : sigma);
    if (job->datapath.training.sigma_guard) back.guard_address = tile.vector(sigma);
    back.scale.address = tile.scale(scale);
    back.m1 = setting(Qp::m1);
    back.m2 = setting(Qp::m2);
    back.m1.format.frac = back.m2.format.frac = e1.frac + 8;
    back.gamma = setting(Qp::gamma_q);
    back.sigma = setting(Qp::sigma);
    back.bn_err = setting(Qp::bn_err);
    back.xhat_frac = setting(Qp::xhat).format.frac;
    if (shows) back.qp = {layer, Qp::bn_err};
    return back;
}

StreamPass::Work BackwardLowering::BatchNormInput::begin() const {
    if (inv < 0) return {};
    return [*this](const StreamPass::Tile& block) -> std::vector<StreamPass::Action> {
        BnCoef inverse;
        inverse.sigma_address = block.vector(sigma);
        inverse.out_address = block.vector(inv);
        inverse.sigma = job->at(layer, Qp::sigma);
        inverse.is_shown = false;
        return {{layer, inverse}};
    };
}

/// bn_err's largest value; where several read it, or a ReLU or batch norm does, also bn_err.
void BackwardLowering::measure_batch_norm_error(int layer) {
    const QpId qp{layer, Qp::bn_err};
    StreamPass pass(job_, emitter_, Phase::batch_norm, layer, plans_.output(layer).shape);
    const BatchNormInput input = take_batch_norm(pass, layer, true);
    const bool stores = plan_.stores_bn_err(layer);
    const int result = pass.result(4, stores ? &at(qp) : nullptr);
    const int scale = pass.gathered_scale(at(qp, Role::scale));
    pass.run(
        [&](const StreamPass::Tile& tile) -> Actions {
            BnError back = input.command(tile);
            back.destination = tile.output(result, scaled_codes);
            back.largest_address = tile.scale(scale);
            return {{layer, back}};
        },
        [&](const StreamPass::Tile& block, bool last) -> Actions {
            if (!last) return {};
            Exponent exponent;
            exponent.scale_address = block.scale(scale);
            exponent.frac = job_.at(layer, Qp::bn_err).format.frac;
            exponent.operands.push_back({{block.scale(input.scale), false, 0, 0}, 8, -1});
            return {{layer, exponent}};
        },
        input.begin());
}

}  // namespace wagesim::compile
