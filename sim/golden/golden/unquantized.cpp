// The network without quantisers: what the same masters compute in real numbers (float64).
#include "golden/unquantized.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>

#include "golden/pool.h"
#include "golden/products.h"

namespace wagesim::golden {

int last_reader(const Network& network, int producer) {
    int last = producer;
    for (int index = 0; index < static_cast<int>(network.layers.size()); ++index)
        for (const int input : network.layers[static_cast<std::size_t>(index)].inputs)
            if (input == producer) last = index;
    return last;
}

void Unquantized::begin(const std::vector<std::uint8_t>& pixels, std::int64_t batch) {
    batch_ = batch;
    done_ = -1;
    outputs_.clear();
    std::vector<double>& image = outputs_[-1];
    Shape shape = network_.input;
    shape.n = batch;
    for (const std::uint8_t pixel : to_memory_order(shape, pixels))
        image.push_back((pixel - 128) / 128.0);
}

std::vector<double> Unquantized::layer(int index, const Masters& masters) {
    while (done_ < index) {
        ++done_;
        outputs_[done_] = compute(done_, masters);
        for (auto kept = outputs_.begin(); kept != outputs_.end();)
            kept = kept->first != done_ && last_reader(network_, kept->first) <= done_
                       ? outputs_.erase(kept)
                       : std::next(kept);
    }
    const auto found = outputs_.find(index);
    if (found == outputs_.end())
        throw std::logic_error("golden model: unquantised layers are asked for in ascending order");
    return found->second;
}

std::vector<double> Unquantized::compute(int index, const Masters& masters) const {
    const Layer& layer = network_.layers[static_cast<std::size_t>(index)];
    const std::vector<double>& in = outputs_.at(layer.inputs.front());
    std::vector<double> out;
    switch (layer.type) {
        case LayerType::conv2d:
        case LayerType::linear: {
            out = dot_products<double>(layer, batch_, in, masters.at({index, Qp::W}));
            if (!layer.bias) break;
            const std::vector<double> bias = masters.at({index, Qp::bias}).reals();
            for (std::size_t i = 0; i < out.size(); ++i) out[i] += bias[i % bias.size()];
            break;
        }
        case LayerType::batch_norm:
            out = normalize(index, masters, in);
            break;
        case LayerType::relu:
        case LayerType::relu6:
            out = in;
            for (double& x : out) {
                x = std::max(x, 0.0);
                if (layer.type == LayerType::relu6) x = std::min(x, 6.0);
            }
            break;
        case LayerType::max_pool:
            out = max_pool(layer, batch_, in);
            break;
        case LayerType::avg_pool:
        case LayerType::global_avg_pool:
            out = window_sums<double>(layer, batch_, in);
            for (double& x : out) x /= static_cast<double>(window_count(layer));
            break;
        case LayerType::add:
            out = in;
            for (std::size_t n = 1; n < layer.inputs.size(); ++n) {
                const std::vector<double>& other = outputs_.at(layer.inputs[n]);
                for (std::size_t i = 0; i < out.size(); ++i) out[i] += other[i];
            }
            break;
    }
    return out;
}

namespace {

struct Statistics {
    std::vector<double> mu, sigma;
};
Statistics batch_statistics(const std::vector<double>& in, std::size_t channels) {
    const double count = static_cast<double>(in.size() / channels);
    Statistics result;
    for (std::size_t c = 0; c < channels; ++c) {
        double sum = 0, squares = 0;
        for (std::size_t i = c; i < in.size(); i += channels) sum += in[i];
        const double mean = sum / count;
        for (std::size_t i = c; i < in.size(); i += channels)
            squares += (in[i] - mean) * (in[i] - mean);
        result.mu.push_back(mean);
        result.sigma.push_back(std::sqrt(squares / count));
    }
    return result;
}

double epsilon(const Layer& layer, const Datapath& datapath) {
    return std::ldexp(1.0, -datapath.at(layer.name, Qp::sigma).format.frac);
}

}  // namespace

std::vector<double> Unquantized::normalize(int index, const Masters& masters,
                                           const std::vector<double>& in) const {
    const Layer& layer = network_.layers[static_cast<std::size_t>(index)];
    const std::size_t channels = static_cast<std::size_t>(layer.in_shape.c);
    const Statistics statistics = statistics_ == BatchNorm::batch
                                      ? batch_statistics(in, channels)
                                      : Statistics{masters.at({index, Qp::run_mu}).reals(),
                                                   masters.at({index, Qp::run_sigma}).reals()};
    const std::vector<double> gamma = masters.at({index, Qp::gamma}).reals();
    const std::vector<double> beta = masters.at({index, Qp::beta}).reals();
    const double eps = epsilon(layer, datapath_);
    std::vector<double> out(in.size());
    for (std::size_t i = 0; i < in.size(); ++i) {
        const std::size_t c = i % channels;
        out[i] = gamma[c] * (in[i] - statistics.mu[c]) / (statistics.sigma[c] + eps) + beta[c];
    }
    return out;
}

namespace {

/// The loss and its derivative by the logits.
double real_loss(const std::vector<double>& z, const std::vector<int>& labels, Loss kind,
                 std::vector<double>& derivative) {
    const std::size_t classes = z.size() / labels.size();
    const double images = static_cast<double>(labels.size());
    double loss = 0;
    derivative = z;
    for (std::size_t n = 0; n < labels.size(); ++n) {
        double* row = derivative.data() + n * classes;
        const std::size_t right = static_cast<std::size_t>(labels[n]);
        if (kind == Loss::softmax) {
            double sum = 0;
            const double top = *std::max_element(row, row + classes);
            for (std::size_t c = 0; c < classes; ++c) sum += row[c] = std::exp(row[c] - top);
            for (std::size_t c = 0; c < classes; ++c) row[c] /= sum;
            loss -= std::log(row[right]);
        }
        row[right] -= 1;
        for (std::size_t c = 0; c < classes; ++c) {
            if (kind == Loss::sse) loss += row[c] * row[c] / 2;
            row[c] /= images;
        }
    }
    return loss / images;
}

void add_to(std::vector<double>& sum, const std::vector<double>& term) {
    sum.resize(term.size());
    for (std::size_t i = 0; i < term.size(); ++i) sum[i] += term[i];
}

/// From the derivative at a batch norm's output to that at its input.
std::vector<double> batch_norm_gradient(const std::vector<double>& in,
                                        const std::vector<double>& error,
                                        const std::vector<double>& gamma, double eps,
                                        std::vector<double>& of_gamma,
                                        std::vector<double>& of_beta) {
    const std::size_t channels = gamma.size();
    const double count = static_cast<double>(in.size() / channels);
    const Statistics statistics = batch_statistics(in, channels);
    of_gamma.assign(channels, 0);
    of_beta.assign(channels, 0);
    const auto xhat = [&](std::size_t i) {
        return (in[i] - statistics.mu[i % channels]) / (statistics.sigma[i % channels] + eps);
    };
    for (std::size_t i = 0; i < in.size(); ++i) {
        of_beta[i % channels] += error[i];
        of_gamma[i % channels] += error[i] * xhat(i);
    }
    std::vector<double> result(in.size());
    for (std::size_t i = 0; i < in.size(); ++i) {
        const std::size_t c = i % channels;
        result[i] = gamma[c] * (error[i] - of_beta[c] / count - xhat(i) * of_gamma[c] / count) /
                    (statistics.sigma[c] + eps);
    }
    return result;
}

}  // namespace

RealGradients real_gradients(const Network& network, const Datapath& datapath,
                             const Parameters& parameters, const std::vector<std::uint8_t>& pixels,
                             const std::vector<int>& labels) {
    const std::int64_t batch = static_cast<std::int64_t>(labels.size());
    const int layers = static_cast<int>(network.layers.size());
    Unquantized forward(network, datapath, BatchNorm::batch);
    forward.begin(pixels, batch);
    const Masters masters(parameters.begin(), parameters.end());
    std::map<int, std::vector<double>> outputs, errors;
    for (int index = -1; index < layers; ++index) outputs[index] = forward.layer(index, masters);

    RealGradients result;
    result.loss =
        real_loss(outputs.at(layers - 1), labels, datapath.training.loss, errors[layers - 1]);
    for (int index = layers - 1; index >= 0; --index) {
        const Layer& layer = network.layers[static_cast<std::size_t>(index)];
        const std::vector<double>& in = outputs.at(layer.inputs.front());
        const std::vector<double> error = std::move(errors[index]);
        std::vector<double> passed = error;
        switch (layer.type) {
            case LayerType::conv2d:
            case LayerType::linear: {
                const auto gradient = weight_gradient<double>(layer, batch, in, error);
                result.gradients[{index, Qp::W}].assign(gradient.begin(), gradient.end());
                if (layer.bias) {
                    std::vector<double>& bias = result.gradients[{index, Qp::bias}];
                    bias.assign(static_cast<std::size_t>(layer.out_channels), 0);
                    for (std::size_t i = 0; i < error.size(); ++i)
                        bias[i % bias.size()] += error[i];
                }
                passed = input_gradient<double>(layer, batch, error, parameters.at({index, Qp::W}));
                break;
            }
            case LayerType::batch_norm:
                passed = batch_norm_gradient(
                    in, error, parameters.at({index, Qp::gamma}), epsilon(layer, datapath),
                    result.gradients[{index, Qp::gamma}], result.gradients[{index, Qp::beta}]);
                break;
            case LayerType::relu:
            case LayerType::relu6:
                for (std::size_t i = 0; i < in.size(); ++i)
                    if (in[i] <= 0 || (layer.type == LayerType::relu6 && in[i] > 6)) passed[i] = 0;
                break;
            case LayerType::max_pool:
                passed = scatter_to_maxima(layer, batch, in, error);
                break;
            case LayerType::avg_pool:
            case LayerType::global_avg_pool:
                for (double& x : passed) x /= static_cast<double>(window_count(layer));
                passed = spread_over_windows(layer, batch, passed);
                break;
            case LayerType::add:
                break;
        }
        for (const int producer : layer.inputs) add_to(errors[producer], passed);
    }
    return result;
}

}  // namespace wagesim::golden
