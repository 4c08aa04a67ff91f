// Start values of the parameters, from the seed.
#include <cmath>
#include <cstdint>

#include "golden/model.h"
#include "golden/quantize.h"
#include "golden/random.h"

namespace wagesim::golden {
namespace {

/// About normal: 12 draws have the variance 65536^2. Clipped at twice that deviation.
std::vector<double> start_weights(const Layer& layer, std::uint32_t seed, std::uint32_t op) {
    constexpr std::uint32_t before_all_steps = 0xFFFFFFFFU;
    Streams streams(seed, before_all_steps, op);
    const Shape shape = weight_shape(layer);
    const double fan_in = static_cast<double>(shape.c * shape.h * shape.w);
    const double scale = std::nearbyint(std::ldexp(1.0, 23) / std::sqrt(fan_in));
    std::vector<double> weights;
    for (std::size_t element = 0; element < static_cast<std::size_t>(shape.size()); ++element) {
        double sum = -6.0 * 65535;
        for (int n = 0; n < 12; ++n) sum += streams.draw(element);
        sum = std::min(131072.0, std::max(-131072.0, sum));
        weights.push_back(std::ldexp(std::nearbyint(sum * scale / 65536), -23));
    }
    return weights;
}

}  // namespace

Parameters initial_parameters(const Network& network, const Datapath& datapath,
                              std::uint32_t seed) {
    Parameters parameters;
    const auto put = [&](int index, Qp qp, std::vector<double> values) {
        Tensor tensor;
        tensor.values = std::move(values);
        quantize<double>(tensor,
                         datapath.at(network.layers[static_cast<std::size_t>(index)].name, qp));
        parameters[{index, qp}] = tensor.values.reals();
    };
    for (int index = 0; index < static_cast<int>(network.layers.size()); ++index) {
        const Layer& layer = network.layers[static_cast<std::size_t>(index)];
        if (layer.type == LayerType::conv2d || layer.type == LayerType::linear) {
            put(index, Qp::W, start_weights(layer, seed, 16 * static_cast<std::uint32_t>(index)));
            if (layer.bias)
                put(index, Qp::bias,
                    std::vector<double>(static_cast<std::size_t>(layer.out_channels), 0.0));
        } else if (layer.type == LayerType::batch_norm) {
            const std::size_t channels = static_cast<std::size_t>(layer.out_shape.c);
            put(index, Qp::gamma, std::vector<double>(channels, 1.0));
            put(index, Qp::beta, std::vector<double>(channels, 0.0));
            put(index, Qp::run_mu, std::vector<double>(channels, 0.0));
            put(index, Qp::run_sigma, std::vector<double>(channels, 1.0));
        }
    }
    return parameters;
}

}  // namespace wagesim::golden
