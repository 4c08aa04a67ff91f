// The tensors of codes that a run makes, from the network alone.
#include "compile/training_plan.h"

namespace wagesim::compile {
namespace {

class Points {
public:
    explicit Points(const Job& job) : job_(job), plans_(job) {}

    /// What the prologue makes of the parameters, where those do not change while it runs.
    void add_parameters(int i) {
        const Layer& layer = job_.layer(i);
        if (is_array_layer(layer)) {
            add(i, Qp::Wq, weight_shape(layer));
            if (layer.bias) add(i, Qp::bias_q, channels(i));
        } else if (layer.type == LayerType::batch_norm) {
            if (job_.batch_norm == BatchNorm::running)
                for (const Qp qp : {Qp::mu, Qp::sigma}) add(i, qp, channels(i));
            for (const Qp qp : {Qp::gamma_q, Qp::beta_q}) add(i, qp, channels(i));
        }
    }

    void add_image() { points.push_back({plans_.output(-1).qp, plans_.output(-1).shape}); }

    void add_statistics(int i) {
        if (job_.layer(i).type != LayerType::batch_norm || job_.batch_norm != BatchNorm::batch)
            return;
        for (const Qp qp : {Qp::S, Qp::SS, Qp::mu, Qp::var, Qp::sigma, Qp::run_mu, Qp::run_sigma})
            add(i, qp, channels(i));
    }

    void add_forward(int i) {
        const Layer& layer = job_.layer(i);
        const Shape& out = plans_.output(i).shape;
        switch (layer.type) {
            case LayerType::conv2d:
            case LayerType::linear:
                add(i, job_.is_output(i) ? Qp::z : Qp::y, out);
                break;
            case LayerType::batch_norm:
                if (job_.folded()) {
                    for (const Qp qp : {Qp::fold_a, Qp::fold_b}) add(i, qp, channels(i));
                } else {
                    if (job_.reciprocal()) add(i, Qp::inv, channels(i));
                    for (const Qp qp : {Qp::xhat, Qp::x2}) add(i, qp, out);
                }
                if (quantizes_output(job_.network, i)) add(i, Qp::A, out);
                break;
            case LayerType::add:
                add(i, Qp::stream, out);
                if (quantizes_output(job_.network, i)) add(i, Qp::A, out);
                break;
            case LayerType::relu:
            case LayerType::relu6:
            case LayerType::avg_pool:
            case LayerType::global_avg_pool:
                add(i, Qp::A, out);
                break;
            case LayerType::max_pool:
                add(i, plans_.output(i).qp.qp, out);
                break;
        }
    }

    void add_backward(const TrainingPlan& plan, int i) {
        const Layer& layer = job_.layer(i);
        const Shape& out = plans_.output(i).shape;
        if (!job_.is_output(i) && plan.forks_at(i)) add(i, Qp::fork, out);
        switch (layer.type) {
            case LayerType::conv2d:
            case LayerType::linear:
                if (job_.is_output(i)) {
                    if (job_.datapath.training.loss == Loss::softmax) add(i, Qp::p, out);
                    for (const Qp qp : {Qp::e0, Qp::E1}) add(i, qp, out);
                }
                add(i, Qp::E2, out);
                if (plan.makes_dx(i)) {
                    const Shape in = plans_.output(layer.inputs[0]).shape;
                    const Shape flat{in.n, in.c * in.h * in.w, 1, 1};
                    add(i, Qp::dx, layer.type == LayerType::linear ? flat : in);
                }
                for (const Qp qp : {Qp::gW, Qp::G, Qp::Acc, Qp::Accq, Qp::W, Qp::Wq})
                    add(i, qp, weight_shape(layer));
                if (layer.bias)
                    for (const Qp qp :
                         {Qp::gBias, Qp::Acc_bias, Qp::Accq_bias, Qp::bias, Qp::bias_q})
                        add(i, qp, channels(i));
                break;
            case LayerType::relu:
            case LayerType::relu6:
                for (const Qp qp : {Qp::E1, Qp::E1m}) add(i, qp, out);
                break;
            case LayerType::batch_norm:
                if (plan.error_layer(i) == i) {
                    add(i, Qp::E1, out);
                    if (has_mask(job_, i)) add(i, Qp::E1m, out);
                }
                for (const Qp qp : {Qp::g_beta, Qp::g_gamma, Qp::m1, Qp::m2, Qp::gBN_gamma,
                                    Qp::gBN_beta, Qp::Acc_gamma, Qp::Accq_gamma, Qp::gamma,
                                    Qp::gamma_q, Qp::Acc_beta, Qp::Accq_beta, Qp::beta, Qp::beta_q})
                    add(i, qp, channels(i));
                if (plan.needs_bn_err(i)) add(i, Qp::bn_err, out);
                break;
            case LayerType::avg_pool:
            case LayerType::global_avg_pool:
                if (layer.inputs[0] >= 0) add(i, Qp::pool_err, out);
                break;
            case LayerType::max_pool:
            case LayerType::add:
                break;
        }
    }

    std::vector<Expected> points;

private:
    void add(int layer, Qp qp, const Shape& shape) { points.push_back({{layer, qp}, shape}); }
    Shape channels(int i) const { return {1, plans_.output(i).shape.c, 1, 1}; }

    const Job& job_;
    const TensorPlans plans_;
};

}  // namespace

std::vector<Expected> quantisation_points(const Network& network, const Datapath& datapath,
                                          std::int64_t batch, BatchNorm batch_norm) {
    const Job job{network, datapath, batch, batch_norm};
    Points points(job);
    points.add_image();
    for (int i = 0; i < job.layer_count(); ++i) {
        points.add_statistics(i);
        points.add_parameters(i);
        points.add_forward(i);
    }
    return points.points;
}

TrainingPoints training_points(const Network& network, const Datapath& datapath,
                               std::int64_t batch) {
    const Job job{network, datapath, batch, BatchNorm::batch, true};
    const TensorPlans plans(job);
    const TrainingPlan plan(job, plans);
    Points prepare(job), step(job);
    for (int i = 0; i < job.layer_count(); ++i) prepare.add_parameters(i);
    step.add_image();
    for (int i = 0; i < job.layer_count(); ++i) {
        step.add_statistics(i);
        step.add_forward(i);
    }
    for (int i = job.layer_count() - 1; i >= 0; --i) step.add_backward(plan, i);
    return {prepare.points, step.points};
}

}  // namespace wagesim::compile
