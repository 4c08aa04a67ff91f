// See parameters.h.
#include "parameters.h"

#include <algorithm>
#include <cmath>

#include "wagesim/arith/quantize.h"
#include "wagesim/arith/random.h"
#include "wagesim/arith/rounding.h"
#include "wagesim/arith/saturate.h"
#include "wagesim/error.h"
#include "wagesim/trace/npz.h"

namespace wagesim::app {
namespace {

constexpr std::uint32_t initialisation_step = 0xFFFFFFFFU;

/// round(2^frac / sqrt(fan_in)), by integers: the nearest r has (2r - 1)^2 fan_in < 4 * 4^frac.
std::int64_t scale_of(std::int64_t fan_in, int frac) {
    const Wide target = static_cast<Wide>(1) << (2 * frac + 2);
    std::int64_t r = 0;
    for (int bit = frac; bit >= 0; --bit) {
        const Wide odd = 2 * (r + (std::int64_t{1} << bit)) - 1;
        if (odd * odd * fan_in < target) r += std::int64_t{1} << bit;
    }
    return r;
}

Tensor initial_weights(const Layer& layer, int index, const Quantizer& quantizer,
                       std::uint32_t seed) {
    const Shape shape = weight_shape(layer);
    const std::int64_t scale = scale_of(shape.c * shape.h * shape.w, quantizer.format.frac);
    std::vector<arith::XorShift32> streams;
    for (std::uint32_t stream = 0; stream < arith::stream_count; ++stream)
        streams.emplace_back(
            arith::mix(seed, initialisation_step, 16U * static_cast<std::uint32_t>(index), stream));
    Tensor tensor{shape, quantizer.format,
                  std::vector<std::int64_t>(static_cast<std::size_t>(shape.size()))};
    std::int64_t element = 0;  // in memory order: O, kh, kw, I
    for (std::int64_t o = 0; o < shape.n; ++o)
        for (std::int64_t h = 0; h < shape.h; ++h)
            for (std::int64_t w = 0; w < shape.w; ++w)
                for (std::int64_t i = 0; i < shape.c; ++i, ++element) {
                    auto& stream = streams[static_cast<std::size_t>(element) % streams.size()];
                    std::int64_t normal = -6 * 65535;
                    for (int draw = 0; draw < 12; ++draw) normal += stream.draw16();
                    normal = std::clamp<std::int64_t>(normal, -2 * 65536, 2 * 65536);
                    const auto code = arith::shift_right(normal * scale, 16, Rounding::half_even);
                    tensor.codes[static_cast<std::size_t>(shape.index(o, i, h, w))] =
                        arith::fit(code, quantizer.format, quantizer.overflow).value;
                }
    return tensor;
}

Tensor constant(const Shape& shape, const Quantizer& quantizer, bool one) {
    const Wide value = one ? static_cast<Wide>(1) << quantizer.format.frac : 0;
    const auto code = arith::fit(value, quantizer.format, quantizer.overflow).value;
    return {shape, quantizer.format,
            std::vector<std::int64_t>(static_cast<std::size_t>(shape.size()),
                                      static_cast<std::int64_t>(code))};
}

std::string shape_text(const std::vector<std::int64_t>& shape) {
    std::string text = "(";
    for (std::size_t i = 0; i < shape.size(); ++i)
        text += (i ? ", " : "") + std::to_string(shape[i]);
    return text + ")";
}

constexpr std::pair<Qp, Qp> momenta[] = {{Qp::W, Qp::Accq},
                                         {Qp::bias, Qp::Accq_bias},
                                         {Qp::gamma, Qp::Accq_gamma},
                                         {Qp::beta, Qp::Accq_beta}};

}  // namespace

std::vector<std::int64_t> file_shape(const Network& network, const QpId& qp, const Shape& shape) {
    switch (qp.qp) {
        case Qp::image:
        case Qp::W:
        case Qp::Wq:
        case Qp::gW:
        case Qp::G:
        case Qp::Acc:
        case Qp::Accq:
        case Qp::xhat:
        case Qp::x2:
        case Qp::y:
        case Qp::z:
        case Qp::A:
        case Qp::stream:
        case Qp::p:
        case Qp::e0:
        case Qp::E1:
        case Qp::E1m:
        case Qp::bn_err:
        case Qp::pool_err:
        case Qp::fork:
        case Qp::E2:
        case Qp::dx:
            break;
        default:
            return {shape.c};
    }
    const bool linear = qp.layer >= 0 && network.layers[static_cast<std::size_t>(qp.layer)].type ==
                                             LayerType::linear;
    if (linear) return {shape.n, shape.c};
    return {shape.n, shape.c, shape.h, shape.w};
}

Parameters initial_parameters(const Network& network, const Datapath& datapath,
                              std::uint32_t seed) {
    Parameters parameters;
    for (std::size_t i = 0; i < network.layers.size(); ++i) {
        const Layer& layer = network.layers[i];
        const int index = static_cast<int>(i);
        const auto put = [&](Qp qp, std::int64_t channels, bool one) {
            parameters[{index, qp}] =
                constant(Shape{1, channels, 1, 1}, datapath.at(layer.name, qp), one);
        };
        if (layer.type == LayerType::conv2d || layer.type == LayerType::linear) {
            parameters[{index, Qp::W}] =
                initial_weights(layer, index, datapath.at(layer.name, Qp::W), seed);
            if (layer.bias) put(Qp::bias, layer.out_channels, false);
        } else if (layer.type == LayerType::batch_norm) {
            const std::int64_t channels = layer.in_shape.c;
            put(Qp::gamma, channels, true);
            put(Qp::beta, channels, false);
            put(Qp::run_mu, channels, false);
            put(Qp::run_sigma, channels, true);
        }
    }
    return parameters;
}

void read_parameters(const std::string& path, const Network& network, const Datapath& datapath,
                     Parameters& parameters) {
    auto arrays = trace::read_npz(path);
    for (auto& [key, tensor] : parameters) {
        const Layer& layer = network.layers[static_cast<std::size_t>(key.first)];
        const std::string name = layer.name + "." + std::string(to_string(key.second));
        const auto found = arrays.find(name);
        if (found == arrays.end())
            throw InputError(
                path + ": no array " + name + " (" + network.name + " needs it, shape " +
                shape_text(file_shape(network, {key.first, key.second}, tensor.shape)) + ")");
        const auto expected = file_shape(network, {key.first, key.second}, tensor.shape);
        if (found->second.shape != expected)
            throw InputError(path + ": " + name + ": shape " + shape_text(found->second.shape) +
                             ", expected " + shape_text(expected));
        const Quantizer& quantizer = datapath.at(layer.name, key.second);
        const auto& codes = found->second.codes;
        for (std::size_t i = 0; i < codes.size(); ++i)
            if (arith::fit(codes[i], quantizer.format, quantizer.overflow).clipped)
                throw InputError(path + ": " + name + ": code " + std::to_string(codes[i]) +
                                 " at element " + std::to_string(i) + " does not fit " +
                                 std::to_string(quantizer.format.bits) + " bits" +
                                 (quantizer.format.is_signed ? " signed" : " unsigned"));
        tensor.codes = codes;
        arrays.erase(found);
    }
    if (!arrays.empty())
        throw InputError(path + ": array " + arrays.begin()->first + " belongs to no layer of " +
                         network.name);
}

Parameters initial_state(const Network& network, const Datapath& datapath, std::uint32_t seed,
                         const std::string& weights) {
    Parameters state = initial_parameters(network, datapath, seed);
    const bool has_momenta =
        !weights.empty() && !trace::read_npz(weights, [](const std::string& name) {
                                 return name.find(".Accq") != std::string::npos;
                             }).empty();
    if (!weights.empty() && !has_momenta) read_parameters(weights, network, datapath, state);
    for (std::size_t i = 0; i < network.layers.size(); ++i)
        for (const auto& [master, momentum] : momenta) {
            const int index = static_cast<int>(i);
            const auto found = state.find({index, master});
            if (found == state.end()) continue;
            state[{index, momentum}] =
                constant(found->second.shape, datapath.at(network.layers[i].name, momentum), false);
        }
    if (has_momenta) read_parameters(weights, network, datapath, state);
    return state;
}

Parameters parameters_of(const Parameters& state) {
    Parameters parameters = state;
    for (const auto& [key, tensor] : state)
        for (const auto& [master, momentum] : momenta)
            if (key.second == momentum) parameters.erase(key);
    return parameters;
}

void write_parameters(const std::string& path, const Network& network,
                      const Parameters& parameters) {
    trace::NpzWriter writer(path);
    for (const auto& [key, tensor] : parameters) {
        const Layer& layer = network.layers[static_cast<std::size_t>(key.first)];
        writer.add(layer.name + "." + std::string(to_string(key.second)),
                   file_shape(network, {key.first, key.second}, tensor.shape), tensor.codes,
                   tensor.format);
    }
    writer.close();
}

golden::Parameters to_values(const Parameters& parameters) {
    golden::Parameters values;
    for (const auto& [key, tensor] : parameters) {
        auto& out = values[key];
        out.reserve(tensor.codes.size());
        for (const std::int64_t code : to_memory_order(tensor.shape, tensor.codes))
            out.push_back(std::ldexp(static_cast<double>(code), -tensor.format.frac));
    }
    return values;
}

}  // namespace wagesim::app
