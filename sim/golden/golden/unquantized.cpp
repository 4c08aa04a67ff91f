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

std::vector<double> Unquantized::layer(int index, const Parameters& parameters) {
    while (done_ < index) {
        ++done_;
        outputs_[done_] = compute(done_, parameters);
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

std::vector<double> Unquantized::compute(int index, const Parameters& parameters) const {
    const Layer& layer = network_.layers[static_cast<std::size_t>(index)];
    const std::vector<double>& in = outputs_.at(layer.inputs.front());
    std::vector<double> out;
    switch (layer.type) {
        case LayerType::conv2d:
        case LayerType::linear: {
            out = dot_products<double>(layer, batch_, in, parameters.at({index, Qp::W}));
            if (!layer.bias) break;
            const std::vector<double>& bias = parameters.at({index, Qp::bias});
            for (std::size_t i = 0; i < out.size(); ++i) out[i] += bias[i % bias.size()];
            break;
        }
        case LayerType::batch_norm:
            out = normalize(index, parameters, in);
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

std::vector<double> Unquantized::normalize(int index, const Parameters& parameters,
                                           const std::vector<double>& in) const {
    const Layer& layer = network_.layers[static_cast<std::size_t>(index)];
    const std::size_t channels = static_cast<std::size_t>(layer.in_shape.c);
    std::vector<double> mu = parameters.at({index, Qp::run_mu});
    std::vector<double> sigma = parameters.at({index, Qp::run_sigma});
    if (statistics_ == BatchNorm::batch) {
        const double count = static_cast<double>(in.size() / channels);
        const auto sum = [&](std::size_t c, auto term) {
            double total = 0;
            for (std::size_t i = c; i < in.size(); i += channels) total += term(in[i]);
            return total;
        };
        for (std::size_t c = 0; c < channels; ++c) {
            const double mean = sum(c, [](double y) { return y; }) / count;
            mu[c] = mean;
            sigma[c] =
                std::sqrt(sum(c, [mean](double y) { return (y - mean) * (y - mean); }) / count);
        }
    }
    const std::vector<double>& gamma = parameters.at({index, Qp::gamma});
    const std::vector<double>& beta = parameters.at({index, Qp::beta});
    const double eps = std::ldexp(1.0, -datapath_.at(layer.name, Qp::sigma).format.frac);
    std::vector<double> out(in.size());
    for (std::size_t i = 0; i < in.size(); ++i) {
        const std::size_t c = i % channels;
        out[i] = gamma[c] * (in[i] - mu[c]) / (sigma[c] + eps) + beta[c];
    }
    return out;
}

}  // namespace wagesim::golden
