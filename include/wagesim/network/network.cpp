// Reader of network files: JSON to typed layers, with every shape derived and checked.
#include "wagesim/network/network.h"

#include <algorithm>
#include <array>
#include <limits>
#include <map>

#include "wagesim/error.h"
#include "wagesim/network/json_reader.h"

namespace wagesim {

namespace {

using json::Node;

constexpr std::int64_t max_int = std::numeric_limits<int>::max();
constexpr std::int64_t max_elements = std::int64_t{1} << 31;

constexpr std::array<std::string_view, 9> type_names{"conv2d",   "linear",          "batch_norm",
                                                     "relu",     "relu6",           "max_pool",
                                                     "avg_pool", "global_avg_pool", "add"};

const std::vector<std::string_view>& keys_of(LayerType type) {
    static const std::vector<std::string_view> conv{"name",   "type",   "inputs",  "out_channels",
                                                    "kernel", "stride", "padding", "dilation",
                                                    "groups", "bias"};
    static const std::vector<std::string_view> linear{"name", "type", "inputs", "out_features",
                                                      "bias"};
    static const std::vector<std::string_view> pool{"name",   "type",   "inputs",
                                                    "kernel", "stride", "padding"};
    static const std::vector<std::string_view> plain{"name", "type", "inputs"};
    switch (type) {
        case LayerType::conv2d:
            return conv;
        case LayerType::linear:
            return linear;
        case LayerType::max_pool:
        case LayerType::avg_pool:
            return pool;
        default:
            return plain;
    }
}

/// What those who know other frameworks write.
std::string hint_for_key(const std::string& key, LayerType type) {
    if (type == LayerType::conv2d && key == "out_features")
        return "a conv2d layer takes out_channels";
    if (type == LayerType::linear && key == "out_channels")
        return "a linear layer takes out_features";
    if (key == "in_channels" || key == "in_features" || key == "num_features")
        return "it follows from the layer's input; leave it out";
    if (key == "kernel_size") return "it is called kernel";
    if (key == "input") return "it is called inputs, an array of layer names";
    if (key == "eps" || key == "momentum") return "the datapath fixes it (docs/datapath.md)";
    return "";
}

LayerType read_type(const Node& node) {
    static const std::map<std::string, std::string> other_names{
        {"conv", "conv2d"},
        {"convolution", "conv2d"},
        {"fc", "linear"},
        {"dense", "linear"},
        {"gemm", "linear"},
        {"fully_connected", "linear"},
        {"bn", "batch_norm"},
        {"maxpool", "max_pool"},
        {"avgpool", "avg_pool"},
        {"gap", "global_avg_pool"},
        {"sum", "add"},
        {"residual", "add"},
        {"flatten", "linear (it flattens its input itself)"},
    };
    const std::string word = node.value().is_string() ? node.text() : "";
    if (const auto other = other_names.find(word); other != other_names.end())
        node.fail("unknown layer type \"" + word + "\"; did you mean " + other->second + "?");
    return static_cast<LayerType>(node.one_of({type_names.begin(), type_names.end()}));
}

/// Letters, digits, _ . - : names are keys in run files and options.
std::string read_name(const Node& node) {
    const std::string name = node.text();
    const auto is_alphanumeric = [](char c) {
        return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
    };
    const bool is_good =
        !name.empty() && name.size() <= 100 && (is_alphanumeric(name[0]) || name[0] == '_') &&
        std::all_of(name.begin(), name.end(),
                    [&](char c) { return is_alphanumeric(c) || c == '_' || c == '.' || c == '-'; });
    if (!is_good)
        node.fail(
            "expected a name of 1 to 100 letters, digits, '_', '.' and '-' that does not "
            "start with '.' or '-', found " +
            node.found());
    return name;
}

/// A number for both directions, or [h, w].
Extent2 read_extent(const Node& node, std::int64_t low) {
    if (!node.value().is_array()) {
        if (!node.value().is_number())
            node.fail("expected a number or [h, w], found " + node.found());
        const int both = static_cast<int>(node.integer(low, max_int));
        return {both, both};
    }
    if (node.value().size() != 2) node.fail("expected a number or [h, w], found " + node.found());
    return {static_cast<int>(node.at(std::size_t{0}).integer(low, max_int)),
            static_cast<int>(node.at(std::size_t{1}).integer(low, max_int))};
}

std::string text_of(const Shape& shape) {
    return "[" + std::to_string(shape.c) + ", " + std::to_string(shape.h) + ", " +
           std::to_string(shape.w) + "]";
}

/// Refuses what no tensor of this simulator can hold; extents are positive.
void check_size(const Node& node, const Shape& shape, const std::string& what) {
    std::int64_t left = max_elements;
    for (const std::int64_t extent : {shape.n, shape.c, shape.h, shape.w}) left /= extent;
    if (left == 0)
        node.fail(what + " of shape (" + std::to_string(shape.n) + ", " + std::to_string(shape.c) +
                  ", " + std::to_string(shape.h) + ", " + std::to_string(shape.w) +
                  ") is too large; expected at most 2^31 elements");
}

/// Length of a window's output in one direction.
std::int64_t window_output(const Node& node, const char* direction, std::int64_t input, int kernel,
                           int stride, int padding, int dilation) {
    const std::int64_t reach = std::int64_t{dilation} * (kernel - 1) + 1;
    const std::int64_t padded = input + 2 * std::int64_t{padding};
    if (reach > padded)
        node.fail(std::string("the kernel's ") + direction + ", " + std::to_string(reach) +
                  (dilation > 1 ? " with its dilation" : "") +
                  ", is larger than the padded input's, " + std::to_string(padded) + " (" +
                  std::to_string(input) + " and padding " + std::to_string(padding) +
                  " on both sides); no output would be left");
    return (padded - reach) / stride + 1;
}

void derive_windowed_shape(const Node& node, Layer& layer) {
    const Node kernel = node.at("kernel");
    layer.out_shape.h = window_output(kernel, "height", layer.in_shape.h, layer.kernel.h,
                                      layer.stride.h, layer.padding.h, layer.dilation.h);
    layer.out_shape.w = window_output(kernel, "width", layer.in_shape.w, layer.kernel.w,
                                      layer.stride.w, layer.padding.w, layer.dilation.w);
}

void read_conv2d(const Node& node, Layer& layer) {
    layer.out_channels = static_cast<int>(node.at("out_channels").integer(1, max_int));
    layer.kernel = read_extent(node.at("kernel"), 1);
    if (node.has("stride")) layer.stride = read_extent(node.at("stride"), 1);
    if (node.has("padding")) layer.padding = read_extent(node.at("padding"), 0);
    if (node.has("dilation")) layer.dilation = read_extent(node.at("dilation"), 1);
    if (node.has("groups")) {
        const Node groups = node.at("groups");
        layer.groups = static_cast<int>(groups.integer(1, max_int));
        if (layer.in_shape.c % layer.groups != 0)
            groups.fail(std::to_string(layer.groups) + " does not divide the input's " +
                        std::to_string(layer.in_shape.c) + " channels");
        if (layer.out_channels % layer.groups != 0)
            groups.fail(std::to_string(layer.groups) + " does not divide the " +
                        std::to_string(layer.out_channels) + " out_channels");
    }
    if (node.has("bias")) layer.bias = node.at("bias").boolean();
    layer.out_shape.c = layer.out_channels;
    derive_windowed_shape(node, layer);
    check_size(node, weight_shape(layer), "a weight tensor");
}

void read_linear(const Node& node, Layer& layer) {
    layer.out_channels = static_cast<int>(node.at("out_features").integer(1, max_int));
    if (node.has("bias")) layer.bias = node.at("bias").boolean();
    layer.out_shape = {1, layer.out_channels, 1, 1};
    check_size(node, weight_shape(layer), "a weight tensor");
}

void read_pool(const Node& node, Layer& layer) {
    layer.kernel = read_extent(node.at("kernel"), 1);
    layer.stride = node.has("stride") ? read_extent(node.at("stride"), 1) : layer.kernel;
    if (node.has("padding")) {
        const Node padding = node.at("padding");
        layer.padding = read_extent(padding, 0);
        if (layer.padding.h >= layer.kernel.h || layer.padding.w >= layer.kernel.w)
            padding.fail("expected a padding smaller than the kernel (" +
                         std::to_string(layer.kernel.h) + " x " + std::to_string(layer.kernel.w) +
                         "), found " + std::to_string(layer.padding.h) + " x " +
                         std::to_string(layer.padding.w) + ": a window could hold nothing else");
    }
    derive_windowed_shape(node, layer);
}

class NetworkReader {
public:
    NetworkReader(const json::Value& root, const std::string& origin) : root_(root, origin) {}

    Network read() {
        root_.expect_keys({"name", "input", "layers"}, "a network file");
        network_.name = read_name(root_.at("name"));
        read_input(root_.at("input"));
        const Node layers = root_.at("layers");
        layers.expect_array("the layers");
        if (layers.value().empty()) layers.fail("expected at least one layer, found none");
        for (std::size_t i = 0; i < layers.value().size(); ++i) collect_name(layers.at(i), i);
        for (std::size_t i = 0; i < layers.value().size(); ++i) read_layer(layers.at(i), i);
        check_readers(layers);
        return std::move(network_);
    }

private:
    void read_input(const Node& input) {
        input.expect_keys({"shape"}, "the input");
        const Node shape = input.at("shape");
        shape.expect_array("the input's [channels, height, width]");
        if (shape.value().size() != 3)
            shape.fail("expected [channels, height, width], found " + shape.found());
        network_.input = {1, shape.at(std::size_t{0}).integer(1, max_int),
                          shape.at(std::size_t{1}).integer(1, max_int),
                          shape.at(std::size_t{2}).integer(1, max_int)};
        check_size(shape, network_.input, "an input");
    }

    void collect_name(const Node& node, std::size_t index) {
        node.expect_object("a layer");
        const Node name_node = node.at("name");
        const std::string name = read_name(name_node);
        if (name == "input")
            name_node.fail("\"input\" is the network's input; expected another name");
        const auto [entry, is_new] = index_.emplace(name, index);
        if (!is_new)
            name_node.fail("\"" + name + "\" is already the name of layers[" +
                           std::to_string(entry->second) + "]; expected a name of its own");
    }

    void read_layer(const Node& bare, std::size_t index) {
        Layer layer;
        layer.name = bare.at("name").text();
        const Node node = bare.noted("(layer \"" + layer.name + "\")");
        layer.type = read_type(node.at("type"));
        for (const auto& [key, ignored] : node.value().items()) {
            const auto& known = keys_of(layer.type);
            const std::string hint = hint_for_key(key, layer.type);
            if (!hint.empty() && std::find(known.begin(), known.end(), key) == known.end())
                node.at(key).fail("unknown key: " + hint);
        }
        node.expect_keys(keys_of(layer.type),
                         "a layer of type " + std::string(to_string(layer.type)));
        read_inputs(node, layer, index);
        layer.in_shape = layer.out_shape = network_.shape_of(layer.inputs[0]);
        switch (layer.type) {
            case LayerType::conv2d:
                read_conv2d(node, layer);
                break;
            case LayerType::linear:
                read_linear(node, layer);
                break;
            case LayerType::max_pool:
            case LayerType::avg_pool:
                read_pool(node, layer);
                break;
            case LayerType::global_avg_pool:
                layer.out_shape.h = layer.out_shape.w = 1;
                break;
            case LayerType::add:
                check_add(node, layer);
                break;
            case LayerType::batch_norm:
            case LayerType::relu:
            case LayerType::relu6:
                break;
        }
        check_size(node, layer.out_shape, "an output");
        if (layer.type == LayerType::conv2d || layer.type == LayerType::linear)
            check_operand(node, layer);
        for (const int producer : layer.inputs) {
            auto& readers = producer < 0
                                ? network_.input_readers
                                : network_.layers[static_cast<std::size_t>(producer)].readers;
            readers.push_back(static_cast<int>(index));
        }
        network_.layers.push_back(std::move(layer));
    }

    void read_inputs(const Node& node, Layer& layer, std::size_t index) {
        const std::size_t arity = layer.type == LayerType::add ? 2 : 1;
        if (!node.has("inputs")) {
            if (arity != 1) node.at("inputs");  // says that it is missing
            layer.inputs = {static_cast<int>(index) - 1};
            return;
        }
        const Node inputs = node.at("inputs");
        inputs.expect_array("the names of the layers it reads");
        if (inputs.value().size() != arity)
            inputs.fail("expected " + std::to_string(arity) + (arity == 1 ? " name" : " names") +
                        " for a layer of type " + std::string(to_string(layer.type)) + ", found " +
                        inputs.found());
        for (std::size_t i = 0; i < arity; ++i)
            layer.inputs.push_back(read_producer(inputs.at(i), layer.name, index));
        if (arity == 2 && layer.inputs[0] == layer.inputs[1])
            inputs.fail("reads \"" + network_.name_of(layer.inputs[0]) +
                        "\" twice; expected two different layers");
    }

    int read_producer(const Node& node, const std::string& reader, std::size_t index) {
        const std::string name = node.text();
        if (name == "input") return -1;
        const auto entry = index_.find(name);
        if (entry == index_.end()) {
            std::vector<std::string_view> names{"input"};
            for (const auto& [known, ignored] : index_) names.push_back(known);
            node.fail("there is no layer " + node.found() + json::did_you_mean(name, names));
        }
        if (name == reader) node.fail("the layer reads itself");
        if (entry->second > index)
            node.fail("layer \"" + name + "\" stands further down, at layers[" +
                      std::to_string(entry->second) +
                      "]; expected a layer that stands before its reader (no cycles)");
        return static_cast<int>(entry->second);
    }

    void check_add(const Node& node, const Layer& layer) {
        const Shape& second = network_.shape_of(layer.inputs[1]);
        if (layer.in_shape != second)
            node.at("inputs").fail("expected two inputs of the same shape, found " +
                                   text_of(layer.in_shape) + " of \"" +
                                   network_.name_of(layer.inputs[0]) + "\" and " + text_of(second) +
                                   " of \"" + network_.name_of(layer.inputs[1]) + "\"");
    }

    /// The array multiplies activation codes; the sums of another array layer are not.
    void check_operand(const Node& node, const Layer& layer) {
        int producer = layer.inputs[0];
        while (producer >= 0 &&
               network_.layers[static_cast<std::size_t>(producer)].type == LayerType::max_pool)
            producer = network_.layers[static_cast<std::size_t>(producer)].inputs[0];
        if (producer < 0) return;
        const LayerType type = network_.layers[static_cast<std::size_t>(producer)].type;
        if (type == LayerType::conv2d || type == LayerType::linear)
            node.fail("reads the 32-bit sums of \"" + network_.name_of(producer) +
                      "\"; expected activation codes: put a batch_norm, relu, relu6 or average "
                      "pool between them");
    }

    void check_readers(const Node& layers) {
        for (std::size_t i = 0; i + 1 < network_.layers.size(); ++i)
            if (network_.layers[i].readers.empty())
                layers.at(i)
                    .noted("(layer \"" + network_.layers[i].name + "\")")
                    .fail(
                        "no layer reads its output, and it is not the last; expected only the "
                        "last layer to be the network's output");
    }

    Node root_;
    Network network_;
    std::map<std::string, std::size_t> index_;
};

}  // namespace

std::string_view to_string(LayerType type) { return type_names[static_cast<std::size_t>(type)]; }

Shape weight_shape(const Layer& layer) {
    if (layer.type == LayerType::linear)
        return {layer.out_channels, layer.in_shape.c * layer.in_shape.h * layer.in_shape.w, 1, 1};
    return {layer.out_channels, layer.in_shape.c / layer.groups, layer.kernel.h, layer.kernel.w};
}

bool quantizes_output(const Network& network, int layer) {
    const Layer& self = network.layers[static_cast<std::size_t>(layer)];
    if (self.type != LayerType::batch_norm && self.type != LayerType::add) return false;
    // Through max pools: rounding and saturation are monotone, so the maximum may come after them.
    std::vector<int> pending = self.readers;
    while (!pending.empty()) {
        const Layer& reader = network.layers[static_cast<std::size_t>(pending.back())];
        pending.pop_back();
        if (reader.type == LayerType::conv2d || reader.type == LayerType::linear) return true;
        if (reader.type == LayerType::max_pool)
            pending.insert(pending.end(), reader.readers.begin(), reader.readers.end());
    }
    return false;
}

Network parse_network(const std::string& text, const std::string& origin) {
    const json::Value root = json::parse(text, origin);
    return NetworkReader(root, origin).read();
}

Network read_network(const std::string& path) { return parse_network(json::read_text(path), path); }

}  // namespace wagesim
