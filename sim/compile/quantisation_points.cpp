// The tensors of codes that a run makes, from the network alone.
#include "compile/tensor_plan.h"

namespace wagesim::compile {

std::vector<Expected> quantisation_points(const Network& network, const Datapath& datapath,
                                          std::int64_t batch, BatchNorm batch_norm) {
    const Job job{network, datapath, batch, batch_norm};
    const TensorPlans plans(job);
    std::vector<Expected> expected;
    expected.push_back({plans.output(-1).qp, plans.output(-1).shape});
    for (int i = 0; i < job.layer_count(); ++i) {
        const Layer& layer = job.layer(i);
        const Shape& out = plans.output(i).shape;
        const Shape channels{1, out.c, 1, 1};
        const auto add = [&, i](Qp qp, const Shape& shape) {
            expected.push_back({{i, qp}, shape});
        };
        switch (layer.type) {
            case LayerType::conv2d:
            case LayerType::linear:
                add(Qp::Wq, weight_shape(layer));
                if (layer.bias) add(Qp::bias_q, channels);
                add(job.is_output(i) ? Qp::z : Qp::y, out);
                break;
            case LayerType::batch_norm:
                if (batch_norm == BatchNorm::batch)
                    for (const Qp qp :
                         {Qp::S, Qp::SS, Qp::mu, Qp::var, Qp::sigma, Qp::run_mu, Qp::run_sigma})
                        add(qp, channels);
                else
                    for (const Qp qp : {Qp::mu, Qp::sigma}) add(qp, channels);
                for (const Qp qp : {Qp::gamma_q, Qp::beta_q}) add(qp, channels);
                if (job.folded()) {
                    for (const Qp qp : {Qp::fold_a, Qp::fold_b}) add(qp, channels);
                } else {
                    if (job.reciprocal()) add(Qp::inv, channels);
                    for (const Qp qp : {Qp::xhat, Qp::x2}) add(qp, out);
                }
                if (quantizes_output(network, i)) add(Qp::A, out);
                break;
            case LayerType::add:
                add(Qp::stream, out);
                if (quantizes_output(network, i)) add(Qp::A, out);
                break;
            case LayerType::relu:
            case LayerType::relu6:
            case LayerType::avg_pool:
            case LayerType::global_avg_pool:
                add(Qp::A, out);
                break;
            case LayerType::max_pool:
                add(plans.output(i).qp.qp, out);
                break;
        }
    }
    return expected;
}

}  // namespace wagesim::compile
