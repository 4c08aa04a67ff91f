// See training.h.
#include "golden/training.h"

#include <algorithm>
#include <cmath>

#include "golden/errors.h"
#include "golden/loss.h"
#include "golden/products.h"
#include "golden/quantize.h"
#include "golden/random.h"
#include "golden/scaled.h"
#include "wagesim/error.h"

namespace wagesim::golden {
namespace {

/// A trained parameter's quantisation points.
struct Trained {
    Qp master, quantized, gradient, acc, accq;
};
constexpr Trained trained_weight{Qp::W, Qp::Wq, Qp::G, Qp::Acc, Qp::Accq};
constexpr Trained trained_bias{Qp::bias, Qp::bias_q, Qp::gBias, Qp::Acc_bias, Qp::Accq_bias};
constexpr Trained trained_gamma{Qp::gamma, Qp::gamma_q, Qp::gBN_gamma, Qp::Acc_gamma,
                                Qp::Accq_gamma};
constexpr Trained trained_beta{Qp::beta, Qp::beta_q, Qp::gBN_beta, Qp::Acc_beta, Qp::Accq_beta};

std::vector<Trained> trained_parameters(const Layer& layer) {
    switch (layer.type) {
        case LayerType::conv2d:
        case LayerType::linear:
            if (layer.bias) return {trained_weight, trained_bias};
            return {trained_weight};
        case LayerType::batch_norm:
            return {trained_gamma, trained_beta};
        default:
            return {};
    }
}

bool is_relu(const Layer& layer) {
    return layer.type == LayerType::relu || layer.type == LayerType::relu6;
}

/// Calls use(j) for the numbers whose rounded code is none of the rule's register.
template <class Real, class Use>
void for_each_misfit(const Real* x, std::size_t count, const Quantizer& rule, Use use) {
    const Real to_code =
        static_cast<Real>(std::ldexp(1.0, rule.format.frac - rule.format.exponent));
    const CodeRange range = code_range(rule);
    const Real low = static_cast<Real>(range.low), high = static_cast<Real>(range.high);
    Real near = 0;  // rounding moves by less than 1
#pragma omp simd reduction(+ : near)
    for (std::size_t j = 0; j < count; ++j)
        near += x[j] * to_code < low + 1 || x[j] * to_code > high - 1 ? Real{1} : Real{0};
    if (near == 0) return;
    for (std::size_t j = 0; j < count; ++j) {
        const Real code = round_to_integer(x[j] * to_code, rule.rounding);
        if (code < low || code > high) use(j);
    }
}

/// As a linear layer sees it: (N, C * H * W).
Tensor flattened(const Tensor& tensor) {
    Tensor flat = tensor;
    const Shape& s = tensor.shape;
    flat.shape = {s.n, s.c * s.h * s.w, 1, 1};
    flat.values = {to_file_order(s, tensor.values.reals()),
                   code_range(tensor.bits, true, Overflow::wrap), unit_log2(tensor)};
    if (!tensor.exact.empty()) flat.exact = to_file_order(s, tensor.exact);
    return flat;
}

}  // namespace

class TrainingModel::Impl {
public:
    Impl(const Network& network, const Datapath& datapath, Precision precision)
        : network_(network),
          datapath_(datapath),
          precision_(precision),
          forward_(network, datapath, {precision, BatchNorm::batch}) {
        check();
    }

    void set_state(Parameters state);
    Parameters state() const {
        Parameters all = forward_.parameters();
        for (const auto& [key, values] : accq_) all[key] = values.reals();
        return all;
    }
    Points quantized_state() const;
    template <class Real>
    StepResult step(const std::vector<std::uint8_t>& pixels, const std::vector<int>& labels,
                    const StepRegisters& registers, const Draws* draws);
    Precision precision() const { return precision_; }

private:
    int layers() const { return static_cast<int>(network_.layers.size()); }
    const Layer& at(int index) const { return network_.layers[static_cast<std::size_t>(index)]; }
    const Quantizer& rule(int index, Qp qp) const { return datapath_.at(at(index).name, qp); }
    /// A batch norm whose error is its ReLU's E1m.
    bool takes_its_relus(int index) const {
        return at(index).type == LayerType::batch_norm && at(index).readers.size() == 1 &&
               is_relu(at(at(index).readers.front()));
    }

    void check() const;
    void check_numerators(int index) const;

    /// One step while it is computed.
    struct Step {
        std::int64_t batch = 0;
        StepRegisters registers;
        const Draws* draws = nullptr;
        Points points;                               ///< what is shown
        std::map<int, LayerPoints> forward;          ///< of each layer; -1: the image
        std::map<int, std::vector<Delivered>> meet;  ///< by layer, what its readers deliver
    };
    const Tensor& read_by(const Step& step, int index, std::size_t input = 0) const;
    SharedTensor show(Step& step, int index, Qp qp, Tensor tensor) const {
        return step.points[{index, qp}] = share(std::move(tensor));
    }
    void deliver(Step& step, int index, std::size_t input, Delivered error) const;

    template <class Real>
    Delivered error_at(Step& step, int index) const;
    template <class Real>
    void backward(Step& step, int index) const;
    template <class Real>
    SharedTensor masked(Step& step, int index, const Tensor& exact, const Delivered& error) const;
    template <class Real>
    void products(Step& step, int index, const Delivered& error) const;
    template <class Real>
    Tensor gradient(Step& step, int index, SharedTensor gw, const Values& master) const;
    template <class Real>
    void update(Step& step);

    const Network network_;
    const Datapath datapath_;
    const Precision precision_;
    Model forward_;
    Masters accq_;
};

void TrainingModel::Impl::check() const {
    const Layer& last = network_.layers.back();
    if ((last.type != LayerType::conv2d && last.type != LayerType::linear) ||
        last.out_shape.h != 1 || last.out_shape.w != 1)
        throw InputError("layer '" + last.name +
                         "' is the last; to be trained, a network ends with a linear layer or a "
                         "conv2d with 1 x 1 outputs");
    for (int index = 0; index < layers(); ++index) {
        const Layer& layer = at(index);
        if (layer.type == LayerType::add && quantizes_output(network_, index))
            throw InputError("layer '" + layer.name +
                             "': a conv2d or linear layer reads this add directly; to be trained, "
                             "a network has a ReLU or a batch norm between them");
        if (layer.type == LayerType::batch_norm) check_numerators(index);
    }
}

/// P and num are exact: any codes' numerators fit their registers.
void TrainingModel::Impl::check_numerators(int index) const {
    const int quantizes = takes_its_relus(index) ? at(index).readers.front() : index;
    const Format& e = rule(quantizes, Qp::E1).format;
    const Format& xhat = rule(index, Qp::xhat).format;
    const Format& gamma = rule(index, Qp::gamma_q).format;
    const auto most = [&](Qp qp) { return -code_range(rule(index, qp)).low; };
    const double error = std::min(std::ldexp(1.0, e.bits - 1) - 1, std::ldexp(1.0, e.frac));
    const double m1 = std::min(most(Qp::m1), std::ldexp(error, 8));
    const double m2 = std::min(most(Qp::m2), std::ldexp(error * most(Qp::xhat), 8 - xhat.frac) + 1);
    const double p =
        std::ldexp(error, 8 + xhat.frac) + std::ldexp(m1, xhat.frac) + most(Qp::xhat) * m2;
    const int shift = rule(index, Qp::bn_err).format.frac - e.frac - 8 - xhat.frac - gamma.frac +
                      rule(index, Qp::sigma).format.frac;
    const auto refuse = [&](Qp qp, double bound) {
        const int bits = rule(index, qp).format.bits;
        if (bound > std::ldexp(1.0, bits - 1) - 1)
            throw InputError("layer '" + at(index).name + "': " + std::string(to_string(qp)) +
                             " with " + std::to_string(bits) +
                             " bits does not hold every numerator; expected more bits");
    };
    refuse(Qp::P, p);
    if (datapath_.normalize == Normalize::divide)
        refuse(Qp::num, std::ldexp(p * most(Qp::gamma_q), std::max(shift, 0)));
}

void TrainingModel::Impl::set_state(Parameters state) {
    Masters accq;
    for (int index = 0; index < layers(); ++index)
        for (const Trained& trained : trained_parameters(at(index))) {
            const std::pair<int, Qp> key{index, trained.accq};
            const auto master = state.find({index, trained.master});
            if (master == state.end()) continue;  // set_parameters() tells
            Tensor kept;
            kept.values = std::vector<double>(master->second.size(), 0.0);
            if (auto given = state.extract(key); !given.empty()) {
                if (given.mapped().size() != kept.values.size())
                    throw InputError("parameters: layer '" + at(index).name + "', " +
                                     std::string(to_string(trained.accq)) + " has " +
                                     std::to_string(given.mapped().size()) + " values; expected " +
                                     std::to_string(kept.values.size()));
                kept.values = std::move(given.mapped());
            }
            quantize<double>(kept, rule(index, trained.accq));
            accq[key] = kept.values;
        }
    forward_.set_parameters(std::move(state));
    accq_ = std::move(accq);
}

Points TrainingModel::Impl::quantized_state() const {
    Points points;
    const Masters& masters = forward_.masters();
    for (int index = 0; index < layers(); ++index)
        for (const Trained& trained : trained_parameters(at(index))) {
            const Values& values = masters.at({index, trained.master});
            const Shape shape = trained.master == Qp::W
                                    ? weight_shape(at(index))
                                    : Shape{1, static_cast<std::int64_t>(values.size()), 1, 1};
            Quantizer to = rule(index, trained.quantized);
            if (trained.master == Qp::bias) to.format.frac = forward_.output_frac(index);
            points[{index, trained.quantized}] =
                share(precision_ == Precision::float64 ? quantized<double>(shape, values, to)
                                                       : quantized<float>(shape, values, to));
        }
    return points;
}

const Tensor& TrainingModel::Impl::read_by(const Step& step, int index, std::size_t input) const {
    const int producer = at(index).inputs[input];
    return *step.forward.at(producer).at(forward_.output_point(producer));
}

/// In front: readers come in descending order, a fork adds in ascending order.
void TrainingModel::Impl::deliver(Step& step, int index, std::size_t input, Delivered error) const {
    const int producer = at(index).inputs[input];
    if (producer < 0) return;
    std::vector<Delivered>& meet = step.meet[producer];
    meet.insert(meet.begin(), std::move(error));
}

/// The error at a layer's output.
template <class Real>
Delivered TrainingModel::Impl::error_at(Step& step, int index) const {
    const std::vector<Delivered> meet = std::move(step.meet[index]);
    step.meet.erase(index);
    if (meet.size() == 1) return meet.front();
    return delivered_sum(show(step, index, Qp::fork, fork<Real>(meet, rule(index, Qp::fork))));
}

/// E1 and E1m. `exact`: what is brought to A.
template <class Real>
SharedTensor TrainingModel::Impl::masked(Step& step, int index, const Tensor& exact,
                                         const Delivered& error) const {
    const Layer& layer = at(index);
    Tensor e1 = shift_quantize<Real>(*error.error, rule(index, Qp::E1));
    Tensor e1m = e1;
    e1m.ties.clear();
    e1m.saturations = e1m.underflows = 0;
    const Real top = layer.type == LayerType::relu6 ? Real{6} : static_cast<Real>(HUGE_VAL);
    Reader<Real> values(exact.values);
    const auto mask = [&](std::size_t first, std::size_t count, Real* e) {
        const Real* x = values(first, count);
        e1.values.read(first, count, e);
        const Real most = top;
        if (is_relu(layer))
            for (std::size_t i = 0; i < count; ++i)
                e[i] = x[i] > 0 && x[i] <= most ? e[i] : Real{0};
        if (datapath_.training.masks_overflow)
            for_each_misfit(x, count, rule(index, Qp::A), [&](std::size_t i) { e[i] = 0; });
    };
    const double code = largest_code(e1);
    e1m.values = on_grid<Real>(e1.shape, mask, {-code, code}, unit_log2(e1));
    inherit(e1m, {&exact});
    show(step, index, Qp::E1, std::move(e1));
    return show(step, index, Qp::E1m, std::move(e1m));
}

template <class Real>
void TrainingModel::Impl::products(Step& step, int index, const Delivered& error) const {
    const Layer& layer = at(index);
    const bool is_flag8 = datapath_.training.e2 == ErrorQuantizer::flag8;
    Quantizer to = rule(index, Qp::E2);
    if (!is_flag8) {
        to.format.bits = 16;
        to.format.frac = 15;
    }
    const SharedTensor e2 = show(
        step, index, Qp::E2,
        is_flag8 ? flag_quantize<Real>(*error.error, to) : shift_quantize<Real>(*error.error, to));
    const Tensor& in = read_by(step, index);
    if (layer.inputs.front() >= 0) {
        const SharedTensor dx =
            share(accumulate_input_gradient<Real>(layer, *e2, *step.forward.at(index).at(Qp::Wq),
                                                  datapath_.machine, rule(index, Qp::dx)));
        show(step, index, Qp::dx, layer.type == LayerType::linear ? flattened(*dx) : *dx);
        deliver(step, index, 0, {dx, dx->bits});
    }
    show(step, index, Qp::gW,
         accumulate_weight_gradient<Real>(layer, in, *e2, datapath_.machine, rule(index, Qp::gW)));
    if (layer.bias) {
        const ChannelSums sums = channel_sums(*e2, *e2);
        Tensor gradient = quotients(per_channel(*e2), sums.sum, e2->frac - e2->exponent, 1,
                                    rule(index, Qp::gBias));
        inherit(gradient, {e2.get()});
        show(step, index, Qp::gBias, std::move(gradient));
    }
}

/// From the error at a layer's output to what it delivers.
template <class Real>
void TrainingModel::Impl::backward(Step& step, int index) const {
    const Layer& layer = at(index);
    Delivered error = error_at<Real>(step, index);
    switch (layer.type) {
        case LayerType::conv2d:
        case LayerType::linear:
            products<Real>(step, index, error);
            break;
        case LayerType::relu:
        case LayerType::relu6: {
            const SharedTensor e1m = masked<Real>(step, index, read_by(step, index), error);
            deliver(step, index, 0, {e1m, e1m->bits});
            break;
        }
        case LayerType::batch_norm: {
            SharedTensor e = error.error;
            if (!takes_its_relus(index)) {
                const LayerPoints& own = step.forward.at(index);
                e = quantizes_output(network_, index)
                        ? masked<Real>(step, index, *own.at(Qp::x2), error)
                        : show(step, index, Qp::E1, shift_quantize<Real>(*e, rule(index, Qp::E1)));
            }
            for (auto& [qp, tensor] :
                 batch_norm_error<Real>(*e, layer.name, datapath_, step.forward.at(index)))
                show(step, index, qp, std::move(tensor));
            const SharedTensor err = step.points.at({index, Qp::bn_err});
            deliver(step, index, 0, {err, err->bits});
            break;
        }
        case LayerType::max_pool:
            deliver(step, index, 0, max_pool_error<Real>(layer, read_by(step, index), error));
            break;
        case LayerType::avg_pool:
        case LayerType::global_avg_pool:
            deliver(step, index, 0,
                    average_pool_error<Real>(
                        layer, *show(step, index, Qp::pool_err,
                                     divided_error<Real>(layer, *error.error,
                                                         rule(index, Qp::pool_err)))));
            break;
        case LayerType::add:
            for (std::size_t input = layer.inputs.size(); input-- > 0;)
                deliver(step, index, input, error);
            break;
    }
}

/// G of a weight gradient, decay included.
template <class Real>
Tensor TrainingModel::Impl::gradient(Step& step, int index, SharedTensor gw,
                                     const Values& master) const {
    const TrainingConfig& config = datapath_.training;
    if (config.weight_decay_log2) {
        const Quantizer& master_rule = rule(index, Qp::W);
        Tensor decay;
        decay.shape = gw->shape;
        decay.frac = master_rule.format.frac;
        decay.bits = master_rule.format.bits;
        decay.exponent = *config.weight_decay_log2;
        decay.values = master.times_power_of_two(decay.exponent);
        const int gw_bits = gw->bits, decay_bits = decay.bits;
        gw = share(fork<Real>({{gw, gw_bits}, {share(std::move(decay)), decay_bits, true}},
                              rule(index, Qp::fork)));
    }
    std::vector<std::uint16_t> draws;
    if (step.draws != nullptr) {
        draws = step.draws->at(index);
    } else {
        Streams streams(step.registers.seed, step.registers.step,
                        16 * static_cast<std::uint32_t>(index),
                        config.random_source == RandomSource::lfsr);
        draws = streams.draws(gw->values.size());
    }
    return constant_quantize<Real>(*gw, rule(index, Qp::G), step.registers.dr_log2, draws);
}

template <class Real>
void TrainingModel::Impl::update(Step& step) {
    const Real kept = datapath_.training.momentum_quarter ? Real{0.25} : Real{0.75};
    Masters updated;
    for (int index = 0; index < layers(); ++index)
        for (const Trained& trained : trained_parameters(at(index))) {
            const Values& before = forward_.masters().at({index, trained.master});
            if (trained.master == Qp::W)
                show(step, index, Qp::G,
                     gradient<Real>(step, index, step.points.at({index, Qp::gW}), before));
            const Tensor& g = *step.points.at({index, trained.gradient});
            Values& old = accq_.at({index, trained.accq});
            Reader<Real> momenta(old), gradients(g.values);
            Tensor acc = quantized<Real>(
                g.shape,
                [&](std::size_t first, std::size_t count, Real* x) {
                    const Real* momentum = momenta(first, count);
                    const Real* gradient = gradients(first, count);
                    const Real factor = kept;
                    for (std::size_t i = 0; i < count; ++i)
                        x[i] = factor * momentum[i] + gradient[i];
                },
                rule(index, trained.acc));
            const bool proven = std::ldexp(largest(old) + largest(g.values),
                                           std::max(rule(index, trained.accq).format.frac + 2,
                                                    g.frac)) < integer_limit;
            Tensor accq = quantized<Real>(g.shape, acc.values, rule(index, trained.accq));

            const Format& lr_format = rule(index, Qp::lr).format;
            const Real lr = std::ldexp(static_cast<Real>(step.registers.lr), -lr_format.frac);
            Reader<Real> masters(before), steps(acc.values);
            Tensor master = quantized<Real>(
                g.shape,
                [&](std::size_t first, std::size_t count, Real* x) {
                    const Real* from = masters(first, count);
                    const Real* by = steps(first, count);
                    const Real rate = lr;
                    for (std::size_t i = 0; i < count; ++i) x[i] = from[i] - rate * by[i];
                },
                rule(index, trained.master));
            const bool exact_master =
                std::ldexp(largest(before) + static_cast<double>(lr) * largest(acc.values),
                           std::max(rule(index, trained.master).format.frac,
                                    lr_format.frac + acc.frac)) < integer_limit;
            for (Tensor* made : {&acc, &accq, &master}) {
                inherit(*made, {&g});
                if (is_exact<Real> && !(proven && exact_master))
                    uncertify(*made, "layer '" + at(index).name + "': an update may reach 2^53");
            }
            old = accq.values;
            updated[{index, trained.master}] = master.values;
            show(step, index, trained.acc, std::move(acc));
            show(step, index, trained.accq, std::move(accq));
            show(step, index, trained.master, std::move(master));
        }
    forward_.update(updated);
    for (auto& [key, tensor] : quantized_state()) step.points[key] = tensor;
}

template <class Real>
StepResult TrainingModel::Impl::step(const std::vector<std::uint8_t>& pixels,
                                     const std::vector<int>& labels, const StepRegisters& registers,
                                     const Draws* draws) {
    Step step;
    step.batch = static_cast<std::int64_t>(labels.size());
    step.registers = registers;
    step.draws = draws;
    const Layer& last = network_.layers.back();
    for (const int label : labels)
        if (label < 0 || label >= last.out_shape.c)
            throw InputError("labels: " + std::to_string(label) + "; expected a class below " +
                             std::to_string(last.out_shape.c));
    forward_.begin(pixels, step.batch);
    for (int index = -1; index < layers(); ++index) {
        step.forward[index] = forward_.layer(index);
        for (const auto& [qp, tensor] : step.forward[index]) step.points[{index, qp}] = tensor;
    }

    StepResult result;
    const int output = layers() - 1;
    LossError loss =
        loss_error<Real>(*step.points.at({output, Qp::z}), labels, last.name, datapath_);
    result.loss = loss.loss;
    if (loss.p) show(step, output, Qp::p, std::move(*loss.p));
    const SharedTensor e0 = show(step, output, Qp::e0, std::move(loss.e0));
    const SharedTensor e1 =
        show(step, output, Qp::E1, shift_quantize<Real>(*e0, rule(output, Qp::E1)));
    step.meet[output] = {{e1, e1->bits}};
    for (int index = output; index >= 0; --index) backward<Real>(step, index);
    update<Real>(step);
    result.points = std::move(step.points);
    return result;
}

TrainingModel::TrainingModel(const Network& network, const Datapath& datapath, Precision precision)
    : impl_(std::make_unique<Impl>(network, datapath, precision)) {}
TrainingModel::~TrainingModel() = default;
TrainingModel::TrainingModel(TrainingModel&&) noexcept = default;
TrainingModel& TrainingModel::operator=(TrainingModel&&) noexcept = default;

void TrainingModel::set_state(Parameters state) { impl_->set_state(std::move(state)); }
Parameters TrainingModel::state() const { return impl_->state(); }
Points TrainingModel::quantized_state() const { return impl_->quantized_state(); }
StepResult TrainingModel::step(const std::vector<std::uint8_t>& pixels,
                               const std::vector<int>& labels, const StepRegisters& registers,
                               const Draws* draws) {
    return impl_->precision() == Precision::float64
               ? impl_->step<double>(pixels, labels, registers, draws)
               : impl_->step<float>(pixels, labels, registers, draws);
}

}  // namespace wagesim::golden
