// Start values of the parameters, from the seed.
#include <array>
#include <cmath>
#include <cstdint>

#include "golden/model.h"
#include "golden/quantize.h"

namespace wagesim::golden {
namespace {

/// The seed of one stream of one operation (docs/datapath.md, the quantisers).
std::uint32_t mix(std::uint32_t seed, std::uint32_t step, std::uint32_t op, std::uint32_t stream) {
    std::uint32_t h = 0x9E3779B9U;
    for (const std::uint32_t word : {seed, step, op, stream}) {
        h ^= word;
        h ^= h >> 16;
        h *= 0x85EBCA6BU;
        h ^= h >> 13;
        h *= 0xC2B2AE35U;
        h ^= h >> 16;
    }
    return h == 0 ? 1 : h;
}

/// Element i of a tensor in memory order draws from stream i mod 16.
class Streams {
public:
    Streams(std::uint32_t seed, std::uint32_t step, std::uint32_t op) {
        for (std::uint32_t s = 0; s < states_.size(); ++s) states_[s] = mix(seed, step, op, s);
    }
    /// Uniform on 0..65535.
    std::uint32_t draw(std::size_t element) {
        std::uint32_t& x = states_[element % states_.size()];
        x ^= x << 13;
        x ^= x >> 17;
        x ^= x << 5;
        return x >> 16;
    }

private:
    std::array<std::uint32_t, 16> states_{};
};

/// About normal: 12 draws have the variance 65536^2. Clipped at twice that deviation.
std::vector<double> start_weights(const Layer& layer, std::uint32_t seed, std::uint32_t op) {
    constexpr std::uint32_t before_all_steps = 0xFFFFFFFFU;
    Streams streams(seed, before_all_steps, op);
    const Shape shape = weight_shape(layer);
    const double fan_in = static_cast<double>(shape.c * shape.h * shape.w);
    const double scale = std::nearbyint(std::ldexp(1.0, 23) / std::sqrt(fan_in));
    std::vector<double> weights(static_cast<std::size_t>(shape.size()));
    std::size_t element = 0;  // in memory order: O, kh, kw, I
    for (std::int64_t o = 0; o < shape.n; ++o)
        for (std::int64_t kh = 0; kh < shape.h; ++kh)
            for (std::int64_t kw = 0; kw < shape.w; ++kw)
                for (std::int64_t i = 0; i < shape.c; ++i, ++element) {
                    double sum = -6.0 * 65535;
                    for (int n = 0; n < 12; ++n) sum += streams.draw(element);
                    sum = std::min(131072.0, std::max(-131072.0, sum));
                    weights[static_cast<std::size_t>(shape.index(o, i, kh, kw))] =
                        std::ldexp(std::nearbyint(sum * scale / 65536), -23);
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
        parameters[{index, qp}] = std::move(tensor.values);
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
