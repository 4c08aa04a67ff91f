// Errors: the loss, what meets, pools, and the quantisers E1 and E2.
#include <algorithm>

#include "compile/backward.h"
#include "compile/windows.h"

namespace wagesim::compile {
namespace {

/// -round(log2 B), where log2 B lies nearer to the next integer if B^2 > 2^(2p + 1).
std::int32_t mean_exponent(std::int64_t batch) {
    std::int32_t p = 0;
    while (batch >> (p + 1) > 0) ++p;
    return -(p + (Wide{batch} * batch > Wide{1} << (2 * p + 1) ? 1 : 0));
}

/// Windows whose first row inside the image is one of [first, first + count).
std::pair<std::int32_t, std::int32_t> windows_from(std::int32_t first, std::int32_t count,
                                                   const WindowAxis& axis, std::int64_t outputs) {
    const auto at = [&](std::int32_t row) {
        return row == 0 ? 0 : (row + axis.padding + axis.stride - 1) / axis.stride;
    };
    const auto most = static_cast<std::int32_t>(outputs);
    return {std::min(at(first), most), std::min(at(first + count), most)};
}

}  // namespace

std::vector<LowerPass> BackwardLowering::passes(const Job& job, const TensorPlans& plans,
                                                const TrainingPlan& plan, const DramLayout& dram) {
    std::vector<LowerPass> passes;
    const auto add = [&](auto lower) {
        passes.emplace_back([&job, &plans, &plan, &dram, lower](Emitter& emitter) {
            BackwardLowering lowering(job, plans, plan, dram, emitter);
            lower(lowering);
        });
    };
    const auto add_update = [&](int i, const Parameters& parameters) {
        add([=](auto& l) { l.lower_update(i, parameters); });
    };
    add([](auto& l) { l.lower_loss(); });
    for (int i = job.layer_count() - 1; i >= 0; --i) {
        const Layer& layer = job.layer(i);
        if (!job.is_output(i) && plan.forks_at(i)) add([=](auto& l) { l.lower_fork(i); });
        switch (layer.type) {
            case LayerType::conv2d:
            case LayerType::linear:
                add([=](auto& l) { l.quantise_operand(i); });
                add([=](auto& l) { l.lower_weight_gradient(i); });
                if (plan.makes_dx(i)) add([=](auto& l) { l.lower_dx(i); });
                if (job.datapath.training.weight_decay_log2)
                    add([=](auto& l) { l.lower_decay(i); });
                add_update(i, {Qp::gW, Qp::Acc, Qp::Accq, Qp::W, Qp::Wq});
                if (layer.bias)
                    add_update(i, {Qp::gBias, Qp::Acc_bias, Qp::Accq_bias, Qp::bias, Qp::bias_q});
                break;
            case LayerType::relu:
            case LayerType::relu6:
                add([=](auto& l) { l.quantise_error(i); });
                break;
            case LayerType::batch_norm:
                if (plan.error_layer(i) == i) add([=](auto& l) { l.quantise_error(i); });
                if (plan.needs_bn_err(i)) add([=](auto& l) { l.measure_batch_norm_error(i); });
                break;
            case LayerType::max_pool:
            case LayerType::avg_pool:
            case LayerType::global_avg_pool:
                if (layer.inputs[0] >= 0 && (plan.spreads(i) || plan.changes_scale(i)))
                    add([=](auto& l) { l.lower_pool(i); });
                break;
            case LayerType::add:
                break;
        }
    }
    // Not before: what reads bn_err makes it again, with this step's gamma_q.
    for (int i = job.layer_count() - 1; i >= 0; --i) {
        if (job.layer(i).type != LayerType::batch_norm) continue;
        add_update(i, {Qp::gBN_gamma, Qp::Acc_gamma, Qp::Accq_gamma, Qp::gamma, Qp::gamma_q});
        add_update(i, {Qp::gBN_beta, Qp::Acc_beta, Qp::Accq_beta, Qp::beta, Qp::beta_q});
    }
    return passes;
}

// ---- an error on its way into a pass --------------------------------------------------------

BackwardLowering::ErrorInput BackwardLowering::take_error(StreamPass& pass,
                                                          const ErrorSource& source,
                                                          bool measures) const {
    ErrorInput error;
    error.source = source;
    const DramTensor& tensor = at(source.tensor.qp, source.tensor.role);
    error.scale_before = pass.loaded_scale(at(source.tensor.scale, Role::scale));
    error.scale = error.scale_before;
    if (source.pool < 0) {
        error.tensor = pass.load(tensor);
        return error;
    }
    const Layer& pool = job_.layer(source.pool);
    error.tensor = pass.load_behind(tensor, pool);
    if (pool.type == LayerType::max_pool)
        error.index = pass.load_behind(at({source.pool, Qp::pool_err}, Role::index), pool);
    if (!measures && plan_.changes_scale(source.pool))
        error.scale = pass.loaded_scale(at({source.pool, Qp::pool_err}, Role::scale));
    error.spread = pass.result(std::min(8, tensor.bytes + 1), nullptr);
    return error;
}

PoolBack BackwardLowering::pool_back(const StreamPass::Tile& tile, const ErrorInput& error,
                                     bool shows) const {
    const int index = error.source.pool;
    const Layer& layer = job_.layer(index);
    const Window window = pool_window_of(layer);
    const Box& windows = tile.input_box(error.tensor);
    PoolBack back;
    back.average = layer.type != LayerType::max_pool;
    back.source = tile.input(error.tensor, scaled_codes);
    back.destination = tile.output(error.spread, scaled_codes);
    if (error.index >= 0) back.index = tile.input_plane(error.index);
    back.kernel_h = window.h.kernel;
    back.kernel_w = window.w.kernel;
    back.stride_y = window.h.stride;
    back.stride_x = window.w.stride;
    back.padding_h = window.h.padding;
    back.padding_w = window.w.padding;
    back.h0 = windows.h0;
    back.w0 = windows.w0;
    back.out_h = static_cast<std::int32_t>(layer.out_shape.h);
    back.out_w = static_cast<std::int32_t>(layer.out_shape.w);
    back.scale.address = tile.scale(error.scale_before);
    if (back.average) back.quantizer = job_.at(index, Qp::pool_err);
    if (back.average && shows) {
        back.qp = {index, Qp::pool_err};
        const Box& box = tile.box();
        std::tie(back.show_h0, back.show_h1) =
            windows_from(box.h0, box.h, window.h, layer.out_shape.h);
        std::tie(back.show_w0, back.show_w1) =
            windows_from(box.w0, box.w, window.w, layer.out_shape.w);
    }
    return back;
}

TileView BackwardLowering::error_view(const StreamPass::Tile& tile, const ErrorInput& error,
                                      Actions& actions) const {
    if (error.source.pool < 0) return tile.input(error.tensor, scaled_codes);
    actions.push_back({error.source.pool, pool_back(tile, error, false)});
    return tile.output(error.spread, scaled_codes);
}

const DramTensor& BackwardLowering::operand_scale(int layer) const {
    const ErrorSource source = plan_.error_at(layer);
    if (source.pool >= 0 && plan_.changes_scale(source.pool))
        return at({source.pool, Qp::pool_err}, Role::scale);
    return at(source.tensor.scale, Role::scale);
}

// ---- passes ---------------------------------------------------------------------------------

void BackwardLowering::lower_loss() {
    const int last = job_.layer_count() - 1;
    const Quantizer e0 = plan_.e0();
    const QpId qp{last, Qp::e0};
    StreamPass pass(job_, emitter_, Phase::error, last, plans_.output(last).shape);
    const int z = pass.load(dram_.output(last));
    const int labels = pass.load_labels(at({-1, Qp::image}, Role::labels));
    const int error = pass.result(bytes_of(e0.format), &at(qp));
    const int scale = pass.gathered_scale(at(qp, Role::scale));
    pass.run(
        [&](const StreamPass::Tile& tile) -> Actions {
            Softmax loss;
            loss.source = tile.input(z, plans_.output(last).format);
            loss.destination = tile.output(error, e0.format);
            loss.label_address = tile.input_plane(labels).address;
            loss.squares = job_.datapath.training.loss == Loss::sse;
            loss.p = job_.at(last, Qp::p);
            loss.e0 = e0;
            loss.exponent = mean_exponent(job_.batch);
            loss.largest_address = tile.scale(scale);
            loss.p_qp = {last, Qp::p};
            loss.e0_qp = qp;
            return {{last, loss}};
        },
        [&](const StreamPass::Tile& block, bool) -> Actions {
            Exponent exponent;
            exponent.scale_address = block.scale(scale);
            exponent.exponent = mean_exponent(job_.batch);
            exponent.frac = e0.format.frac;
            return {{last, exponent}};
        });
    quantise_error(last);
}

void BackwardLowering::lower_fork(int producer) {
    const QpId qp{producer, Qp::fork};
    StreamPass pass(job_, emitter_, Phase::error, producer, plans_.output(producer).shape);
    const std::vector<ErrorTensor> operands = plan_.operands_at(producer);
    std::vector<int> tensors, scales, widths;
    for (const ErrorTensor& operand : operands) {
        tensors.push_back(pass.load(at(operand.qp, operand.role)));
        scales.push_back(pass.loaded_scale(at(operand.scale, Role::scale)));
        widths.push_back(operand.width.qp == operand.scale.qp &&
                                 operand.width.layer == operand.scale.layer
                             ? scales.back()
                             : pass.loaded_scale(at(operand.width, Role::scale)));
    }
    const auto unit = [&](const StreamPass::Tile& tile, std::size_t i) {
        return Exponent::Operand{
            {tile.scale(scales[i]), false, 0, 0}, operands[i].bits, tile.scale(widths[i])};
    };
    const int sum = pass.result(8, &at(qp));
    const int scale = pass.gathered_scale(at(qp, Role::scale));
    pass.run(
        [&](const StreamPass::Tile& tile) -> Actions {
            Fork fork;
            for (std::size_t i = 0; i < operands.size(); ++i)
                fork.operands.push_back({unit(tile, i), tile.input(tensors[i], scaled_codes)});
            fork.destination = tile.output(sum, scaled_codes);
            fork.qp = qp;
            fork.largest_address = tile.scale(scale);
            return {{producer, fork}};
        },
        [&](const StreamPass::Tile& block, bool last) -> Actions {
            if (!last) return {};
            Exponent exponent;
            exponent.scale_address = block.scale(scale);
            exponent.is_fork = true;
            for (std::size_t i = 0; i < operands.size(); ++i)
                exponent.operands.push_back(unit(block, i));
            return {{producer, exponent}};
        });
}

/// The error behind a pool: measured, where its s is not the pool's own, and stored where it meets
/// others.
void BackwardLowering::lower_pool(int pool) {
    const int input = job_.layer(pool).inputs[0];
    const QpId qp{pool, Qp::pool_err};
    StreamPass pass(job_, emitter_, Phase::error, pool, plans_.output(input).shape);
    ErrorSource source = plan_.error_at(pool);
    source.pool = pool;
    ErrorInput error = take_error(pass, source, true);
    if (plan_.spreads(pool)) {
        const DramTensor& back = at(qp, Role::back);
        error.spread = pass.result(back.bytes, &back);
    }
    const int scale = pass.gathered_scale(at(qp, Role::scale));
    pass.run(
        [&](const StreamPass::Tile& tile) -> Actions {
            PoolBack back = pool_back(tile, error, true);
            back.largest_address = tile.scale(scale);
            return {{pool, back}};
        },
        [&](const StreamPass::Tile& block, bool last) -> Actions {
            if (!last) return {};
            Exponent exponent;
            exponent.scale_address = block.scale(scale);
            exponent.operands.push_back({{block.scale(error.scale_before), false, 0, 0}, 40, -1});
            exponent.keeps_frac = false;
            exponent.add_frac = job_.layer(pool).type == LayerType::max_pool ? 0 : 8;
            return {{pool, exponent}};
        });
}

/// SQ, the mask, and the batch norm's sums.
void BackwardLowering::quantise_error(int layer) {
    const bool is_loss = job_.is_output(layer);
    const QpId to = is_loss ? QpId{layer, Qp::E1} : plan_.masked_error(layer);
    const bool masks = !is_loss && has_mask(job_, layer);
    int batch_norm = -1;
    if (!is_loss) {
        const int producer =
            job_.layer(layer).type == LayerType::batch_norm ? layer : job_.layer(layer).inputs[0];
        if (producer >= 0 && job_.layer(producer).type == LayerType::batch_norm &&
            plan_.error_layer(producer) == layer)
            batch_norm = producer;
    }

    StreamPass pass(job_, emitter_, Phase::error, layer, plans_.output(layer).shape);
    ErrorSource source = is_loss ? ErrorSource{} : plan_.error_at(layer);
    if (is_loss) {
        const QpId e0{layer, Qp::e0};
        source.tensor = {e0, Role::codes, at(e0).bytes, at(e0).format.bits, e0, e0};
    }
    const ErrorInput error = take_error(pass, source);
    const int mask = masks ? pass.load(at(to, Role::mask)) : -1;
    const Quantizer& e1 = job_.at(layer, Qp::E1);
    const int result = pass.result(at(to).bytes, &at(to));
    const int scale = pass.gathered_scale(at(to, Role::scale));
    int xhat = -1, sums = -1;
    std::vector<int> vectors;
    if (batch_norm >= 0) {
        xhat = pass.load(at({batch_norm, Qp::xhat}));
        sums = pass.cleared_vector(16);
        for (const Qp qp : {Qp::m1, Qp::m2, Qp::gBN_gamma, Qp::gBN_beta})
            vectors.push_back(pass.vector(4, nullptr, &at({batch_norm, qp})));
    }
    pass.run(
        [&](const StreamPass::Tile& tile) {
            Actions actions;
            ShiftQuantize quantize;
            quantize.source = error_view(tile, error, actions);
            quantize.destination = tile.output(result, e1.format);
            quantize.scale.address = tile.scale(error.scale);
            if (masks) quantize.mask = tile.input_plane(mask);
            quantize.quantizer = e1;
            quantize.qp = {layer, Qp::E1};
            if (masks) quantize.masked_qp = to;
            quantize.largest_address = tile.scale(scale);
            actions.push_back({layer, quantize});
            if (batch_norm >= 0) {
                Reduce reduce;
                reduce.source = quantize.destination;
                reduce.with_xhat = true;
                reduce.xhat = tile.input(xhat, job_.at(batch_norm, Qp::xhat).format);
                reduce.sums_address = tile.vector(sums);
                actions.push_back({batch_norm, reduce});
            }
            return actions;
        },
        [&](const StreamPass::Tile& block, bool) {
            Actions actions;
            // Also before the last block: a batch norm's gradients need the exponent.
            Exponent exponent;
            exponent.scale_address = block.scale(scale);
            exponent.frac = e1.format.frac;
            exponent.operands.push_back(
                {{block.scale(error.scale), true, e1.format.frac, 0}, e1.format.bits, -1});
            actions.push_back({layer, exponent});
            if (batch_norm >= 0) {
                const Shape& shape = plans_.output(batch_norm).shape;
                BnBack back;
                back.count = shape.n * shape.h * shape.w;
                back.sums_address = block.vector(sums);
                back.m1_address = block.vector(vectors[0]);
                back.m2_address = block.vector(vectors[1]);
                back.gamma_address = block.vector(vectors[2]);
                back.beta_address = block.vector(vectors[3]);
                back.scale.address = block.scale(scale);
                back.e_frac = e1.format.frac;
                back.xhat_frac = job_.at(batch_norm, Qp::xhat).format.frac;
                back.m1 = job_.at(batch_norm, Qp::m1);
                back.m2 = job_.at(batch_norm, Qp::m2);
                back.m1.format.frac = back.m2.format.frac = e1.format.frac + 8;
                back.g_gamma = job_.at(batch_norm, Qp::gBN_gamma);
                back.g_beta = job_.at(batch_norm, Qp::gBN_beta);
                actions.push_back({batch_norm, back});
            }
            return actions;
        });
}

/// E2, and a bias's gradient.
void BackwardLowering::quantise_operand(int layer) {
    const ErrorSource source = plan_.error_at(layer);
    const bool from_batch_norm = source.tensor.qp.qp == Qp::bn_err && source.pool < 0 &&
                                 !plan_.stores_bn_err(source.tensor.qp.layer);
    const QpId e2{layer, Qp::E2};
    const Quantizer quantizer = plan_.e2(layer);
    StreamPass pass(job_, emitter_, from_batch_norm ? Phase::batch_norm : Phase::error, layer,
                    plans_.output(layer).shape);
    ErrorInput error;
    BatchNormInput batch_norm;
    int made = -1;
    if (from_batch_norm) {
        batch_norm = take_batch_norm(pass, source.tensor.qp.layer, false);
        made = pass.result(4, nullptr);
        error.scale = pass.loaded_scale(at(source.tensor.scale, Role::scale));
    } else {
        error = take_error(pass, source);
    }
    const int codes = pass.result(at(e2).bytes, &at(e2));
    const int flags = plan_.is_sq16() ? -1 : pass.result_plane(1, at(e2, Role::flags));
    const bool bias = job_.layer(layer).bias;
    const int sums = bias ? pass.cleared_vector(16) : -1;
    const int gradient = bias ? pass.vector(4, nullptr, &at({layer, Qp::gBias})) : -1;
    pass.run(
        [&](const StreamPass::Tile& tile) {
            Actions actions;
            TileView view;
            if (from_batch_norm) {
                BnError back = batch_norm.command(tile);
                back.destination = view = tile.output(made, scaled_codes);
                actions.push_back({source.tensor.qp.layer, back});
            } else {
                view = error_view(tile, error, actions);
            }
            const TileView destination = tile.output(codes, quantizer.format);
            const ScaleView scale{tile.scale(error.scale), false, 0};
            if (plan_.is_sq16()) {
                ShiftQuantize quantize;
                quantize.source = view;
                quantize.destination = destination;
                quantize.scale = scale;
                quantize.quantizer = quantizer;
                quantize.qp = e2;
                actions.push_back({layer, quantize});
            } else {
                FlagQuantize quantize;
                quantize.source = view;
                quantize.destination = destination;
                quantize.scale = scale;
                quantize.flags = tile.output_plane(flags);
                quantize.quantizer = quantizer;
                quantize.quantizer.format = {8, 7, true, 0};
                quantize.qp = e2;
                actions.push_back({layer, quantize});
            }
            if (bias) {
                Reduce reduce;
                reduce.source = destination;
                if (flags >= 0) reduce.flags = tile.output_plane(flags);
                reduce.sums_address = tile.vector(sums);
                actions.push_back({layer, reduce});
            }
            return actions;
        },
        [&](const StreamPass::Tile& block, bool) -> Actions {
            if (!bias) return {};
            BnBack back;
            back.bias = true;
            back.sums_address = block.vector(sums);
            back.beta_address = block.vector(gradient);
            back.scale = {block.scale(error.scale), true, quantizer.format.frac};
            back.e_frac = quantizer.format.frac;
            back.g_beta = job_.at(layer, Qp::gBias);
            return {{layer, back}};
        },
        from_batch_norm ? batch_norm.begin() : StreamPass::Work{});
}

}  // namespace wagesim::compile
