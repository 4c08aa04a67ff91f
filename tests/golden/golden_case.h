// A small network from its layers' JSON, run by the golden model, for the tests of this folder.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "golden/model.h"
#include "wagesim/network/datapath.h"
#include "wagesim/network/network.h"

namespace wagesim::golden {

/// Numbers that look random and are the same everywhere.
class Numbers {
public:
    explicit Numbers(std::uint64_t seed) : state_(seed) {}
    std::int64_t between(std::int64_t low, std::int64_t high) {
        state_ = state_ * 6364136223846793005U + 1442695040888963407U;
        return low + static_cast<std::int64_t>((state_ >> 33U) %
                                               static_cast<std::uint64_t>(high - low + 1));
    }

private:
    std::uint64_t state_;
};

/// A tensor with its elements as files have them.
inline Tensor in_file_order(const Tensor& tensor) {
    Tensor result = tensor;
    result.values = to_file_order(tensor.shape, tensor.values.reals());
    if (!tensor.ties.empty()) result.ties = to_file_order(tensor.shape, tensor.ties);
    if (!tensor.exact.empty()) result.exact = to_file_order(tensor.shape, tensor.exact);
    return result;
}
inline std::map<Qp, Tensor> in_file_order(const LayerPoints& points) {
    std::map<Qp, Tensor> result;
    for (const auto& [qp, tensor] : points) result[qp] = in_file_order(*tensor);
    return result;
}

/// A model whose tensors come in file order.
class CaseModel : public Model {
public:
    using Model::Model;
    std::map<Qp, Tensor> layer(int index) { return in_file_order(Model::layer(index)); }
};

/// Codes are set and read in file order.
struct Case {
    Case(const std::string& input, const std::string& layers)
        : network(parse_network("{\"name\": \"case\", \"input\": {\"shape\": " + input +
                                    "}, \"layers\": [" + layers + "]}",
                                "case")),
          datapath(preset("int8")) {
        parameters = initial_parameters(network, datapath, 1);
    }

    int index(const std::string& name) const {
        for (std::size_t i = 0; i < network.layers.size(); ++i)
            if (network.layers[i].name == name) return static_cast<int>(i);
        ADD_FAILURE() << "no layer " << name;
        return -1;
    }
    void set(const std::string& name, Qp qp, const std::vector<std::int64_t>& codes, int frac) {
        std::vector<double> values;
        for (const std::int64_t code : codes)
            values.push_back(std::ldexp(static_cast<double>(code), -frac));
        const Layer& layer = network.layers[static_cast<std::size_t>(index(name))];
        parameters[{index(name), qp}] =
            qp == Qp::W ? to_memory_order(weight_shape(layer), values) : values;
    }
    Quantizer& rule(Qp qp) { return datapath.quantizers[qp]; }
    void random_pixels(std::uint64_t seed, std::int64_t images) {
        Numbers numbers(seed);
        batch = images;
        pixels.clear();
        for (std::int64_t i = 0; i < images * network.input.size(); ++i)
            pixels.push_back(static_cast<std::uint8_t>(numbers.between(0, 255)));
    }
    /// Image codes (pixel minus 128) of one or more images.
    void set_image(const std::vector<int>& codes) {
        pixels.clear();
        for (const int code : codes) pixels.push_back(static_cast<std::uint8_t>(code + 128));
        batch = static_cast<std::int64_t>(codes.size()) / network.input.size();
    }
    CaseModel model() const {
        CaseModel result(network, datapath, options);
        result.set_parameters(parameters);
        result.begin(pixels, batch);
        return result;
    }
    std::map<Qp, Tensor> run(const std::string& name) const { return model().layer(index(name)); }

    Network network;
    Datapath datapath;
    Options options;
    Parameters parameters;
    std::vector<std::uint8_t> pixels;
    std::int64_t batch = 0;
};

/// Codes at the tensor's own frac; fails where a value is not on that grid.
inline std::vector<std::int64_t> codes_of(const Tensor& tensor) {
    std::vector<std::int64_t> codes;
    for (const double value : tensor.values.reals()) {
        const double code = std::ldexp(value, tensor.frac - tensor.exponent);
        if (code != std::floor(code)) ADD_FAILURE() << value << " is off the grid";
        codes.push_back(static_cast<std::int64_t>(code));
    }
    return codes;
}

/// The integer quotient a / b, ties to even, by remainders; b > 0.
inline std::int64_t divide_half_even(Wide a, Wide b) {
    Wide floor = a / b;
    if (a % b < 0) --floor;
    const Wide rest = a - floor * b;
    const bool up = 2 * rest > b || (2 * rest == b && floor % 2 != 0);
    return static_cast<std::int64_t>(floor + (up ? 1 : 0));
}

inline std::int64_t clip(std::int64_t code, std::int64_t most) {
    return code > most ? most : code < -most ? -most : code;
}

using Codes = std::vector<std::int64_t>;

}  // namespace wagesim::golden
