// The network as the user describes it: typed layers, checked shapes. No arithmetic.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "wagesim/tensor/tensor.h"

namespace wagesim {

enum class LayerType {
    conv2d,
    linear,
    batch_norm,
    relu,
    relu6,
    max_pool,
    avg_pool,
    global_avg_pool,
    add,
};

struct Extent2 {
    int h = 1, w = 1;
};

/// One layer. Fields that a type does not have keep their defaults.
struct Layer {
    std::string name;
    LayerType type = LayerType::relu;
    /// Producers by index into Network::layers; -1 is the network's input.
    std::vector<int> inputs;
    int out_channels = 0;   ///< conv2d, linear
    Extent2 kernel;         ///< conv2d, max_pool, avg_pool
    Extent2 stride;         ///< conv2d, max_pool, avg_pool (pools default to the kernel)
    Extent2 padding{0, 0};  ///< conv2d, max_pool, avg_pool; on all sides
    Extent2 dilation;       ///< conv2d
    int groups = 1;         ///< conv2d
    bool bias = false;      ///< conv2d, linear
    Shape in_shape;         ///< of the first input, n = 1 (derived)
    Shape out_shape;        ///< n = 1 (derived)
    /// Layers that read this layer's output, ascending (derived).
    std::vector<int> readers;
};

struct Network {
    std::string name;
    Shape input;                ///< n = 1
    std::vector<Layer> layers;  ///< every input stands before its reader; the last is the output
    std::vector<int> input_readers;

    const Shape& shape_of(int producer) const {
        return producer < 0 ? input : layers[static_cast<std::size_t>(producer)].out_shape;
    }
    std::string name_of(int producer) const {
        return producer < 0 ? "input" : layers[static_cast<std::size_t>(producer)].name;
    }
};

/// Shape of a conv2d or linear layer's weights as (O, I / groups, kh, kw); linear: (O, I, 1, 1)
/// with I the flattened (C, H, W) index.
Shape weight_shape(const Layer& layer);

/// Reads and checks a network file.
/// Throws InputError naming the file, the key and what was expected.
Network read_network(const std::string& path);
/// The same from text; `origin` is the name used in messages.
Network parse_network(const std::string& text, const std::string& origin);

std::string_view to_string(LayerType type);

/// True where a batch norm's or add's exact output must be brought to A's format at once, because
/// an array layer reads it: the array's operands are A codes.
bool quantizes_output(const Network& network, int layer);

}  // namespace wagesim
