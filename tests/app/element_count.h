// How many elements a batch must show at its quantisation points, from the network's JSON alone:
// a second count, for runs in which the compiler's list of points is itself under test.
#pragma once

#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace wagesim::test {

struct CountRules {
    std::int64_t batch = 1;
    bool batch_statistics = false;
    bool prologue = true;  ///< the parameters are quantised in this batch
    bool folded = false;
    bool reciprocal = false;
};

class ElementCount {
public:
    ElementCount(const std::string& text, const CountRules& rules)
        : network_(nlohmann::json::parse(text)), rules_(rules) {}

    std::int64_t total() {
        std::map<std::string, Extents> outputs;
        const auto& input = network_["input"]["shape"];
        outputs["input"] = {input[0], input[1], input[2]};
        std::int64_t sum = rules_.batch * outputs["input"].size();  // image
        std::string before = "input";
        for (const auto& layer : network_["layers"]) {
            const std::string first =
                layer.contains("inputs") ? layer["inputs"][0].get<std::string>() : before;
            const std::string name = layer["name"];
            sum += count(layer, outputs.at(first), outputs[name]);
            before = name;
        }
        return sum;
    }

private:
    struct Extents {
        std::int64_t c = 0, h = 0, w = 0;
        std::int64_t size() const { return c * h * w; }
    };

    static std::int64_t part(const nlohmann::json& layer, const char* key, int axis,
                             std::int64_t otherwise) {
        if (!layer.contains(key)) return otherwise;
        return layer[key].is_array()
                   ? layer[key][static_cast<std::size_t>(axis)].get<std::int64_t>()
                   : layer[key].get<std::int64_t>();
    }

    /// Windows that fit, counted one by one.
    static std::int64_t windows(const nlohmann::json& layer, int axis, std::int64_t length) {
        const std::int64_t kernel = part(layer, "kernel", axis, 1);
        const bool pool = layer["type"] != "conv2d";
        const std::int64_t stride = part(layer, "stride", axis, pool ? kernel : 1);
        const std::int64_t padding = part(layer, "padding", axis, 0);
        const std::int64_t last = part(layer, "dilation", axis, 1) * (kernel - 1);
        std::int64_t count = 0;
        for (std::int64_t at = -padding; at + last < length + padding; at += stride) ++count;
        return count;
    }

    /// An array layer reads it, at most through max pools.
    bool feeds_the_array(const std::string& name) const {
        std::string before = "input";
        for (const auto& layer : network_["layers"]) {
            std::vector<std::string> inputs{before};
            if (layer.contains("inputs")) inputs = layer["inputs"].get<std::vector<std::string>>();
            before = layer["name"];
            for (const auto& input : inputs) {
                if (input != name) continue;
                if (layer["type"] == "conv2d" || layer["type"] == "linear") return true;
                if (layer["type"] == "max_pool" && feeds_the_array(before)) return true;
            }
        }
        return false;
    }

    std::int64_t count(const nlohmann::json& layer, const Extents& in, Extents& out) const {
        const std::string type = layer["type"];
        const std::int64_t batch = rules_.batch;
        const bool bias = layer.value("bias", false);
        out = in;
        if (type == "linear") {
            out = {layer["out_features"], 1, 1};
            return (rules_.prologue ? out.c * in.size() + (bias ? out.c : 0) : 0) + batch * out.c;
        }
        if (type == "conv2d" || type == "max_pool" || type == "avg_pool") {
            out.h = windows(layer, 0, in.h);
            out.w = windows(layer, 1, in.w);
            if (type != "conv2d") return batch * out.size();
            out.c = layer["out_channels"];
            const std::int64_t weights = out.c * (in.c / layer.value("groups", 1)) *
                                         part(layer, "kernel", 0, 1) * part(layer, "kernel", 1, 1);
            return (rules_.prologue ? weights + (bias ? out.c : 0) : 0) + batch * out.size();
        }
        const bool joins = feeds_the_array(layer["name"]);
        if (type == "global_avg_pool") {
            out.h = out.w = 1;
            return batch * out.c;
        }
        if (type == "relu" || type == "relu6") return batch * out.size();
        if (type == "add") return batch * out.size() * (joins ? 2 : 1);  // stream, A
        // batch_norm: gamma_q, beta_q; S, SS, mu, var, sigma, run_mu, run_sigma or mu, sigma;
        // xhat, x2 or fold_a, fold_b; A
        std::int64_t per_channel = rules_.prologue ? 2 : 0;
        if (rules_.batch_statistics)
            per_channel += 7;
        else if (rules_.prologue)
            per_channel += 2;
        const bool folded = rules_.folded && !rules_.batch_statistics;
        if (folded) per_channel += 2;
        if (rules_.reciprocal && !folded) per_channel += 1;
        return per_channel * out.c + batch * out.size() * ((folded ? 0 : 2) + (joins ? 1 : 0));
    }

    nlohmann::json network_;
    CountRules rules_;
};

inline std::int64_t element_count(const std::string& network, const CountRules& rules) {
    return ElementCount(network, rules).total();
}

}  // namespace wagesim::test
