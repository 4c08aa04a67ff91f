// See timing/topology.h.
#include "timing/topology.h"

#include <algorithm>
#include <array>

#include "text.h"
#include "wagesim/error.h"

namespace wagesim::timing {
namespace {

constexpr std::size_t most_layers = 100'000;  // of a file, with DP layers expanded

constexpr std::array<const char*, 8> conv_columns{"layer name",    "IFMAP height", "IFMAP width",
                                                  "filter height", "filter width", "channels",
                                                  "filters",       "stride"};
constexpr std::array<const char*, 4> gemm_columns{"layer name", "M", "N", "K"};

class Reader {
public:
    Reader(const std::string& origin, TopologyKind kind, bool ignore_sparsity)
        : origin_(origin), kind_(kind), ignore_sparsity_(ignore_sparsity) {}

    std::vector<Workload> read(const std::string& text) {
        const auto lines = lines_of(text);
        if (lines.empty()) throw InputError(origin_ + ": empty; expected a header and layers");
        for (const std::string& line : lines) {
            ++line_;
            if (line_ == 1)
                header(line);
            else if (line.find_first_not_of(", \t\r\f\v") != std::string::npos)
                row(fields_of(line));
        }
        if (workloads_.empty()) throw InputError(origin_ + ": no layer behind the header");
        return std::move(workloads_);
    }

private:
    [[noreturn]] void refuse(const std::string& why) const {
        throw InputError(origin_ + ":" + std::to_string(line_) + ": " + why);
    }
    [[noreturn]] void refuse(std::size_t column, const std::string& why) const {
        std::string name;
        if (kind_ == TopologyKind::conv && column < conv_columns.size())
            name = conv_columns[column];
        else if (kind_ == TopologyKind::gemm && column < gemm_columns.size())
            name = gemm_columns[column];
        refuse("column " + std::to_string(column + 1) + (name.empty() ? "" : " (" + name + ")") +
               ": " + why);
    }

    void header(const std::string& line) {
        auto names = fields_of(line);
        while (!names.empty() && names.back().empty()) names.pop_back();
        if (names.size() > 1 && whole_number(names[1]))
            refuse(
                "expected a header with the columns' names, found a layer (SCALE-Sim skips the "
                "first line unread)");
        if (kind_ != TopologyKind::detect) return;
        for (std::string& name : names) name = lower(name);
        if (names.size() >= 4 && names[1] == "m" && names[2] == "n" && names[3] == "k")
            kind_ = TopologyKind::gemm;
        else if (lower(line).find("ifmap") != std::string::npos ||
                 names.size() >= conv_columns.size())
            kind_ = TopologyKind::conv;
        else if (names.size() == 4 || names.size() == 5)
            kind_ = TopologyKind::gemm;
        else
            refuse(
                "expected the header of a conv topology (Layer name, IFMAP Height, ...) or of a "
                "gemm topology (Layer, M, N, K), found '" +
                trimmed(line) + "'; --topology conv or gemm says which it is");
    }

    void row(std::vector<std::string> fields) {
        const std::size_t needed =
            kind_ == TopologyKind::conv ? conv_columns.size() : gemm_columns.size();
        if (fields.size() > needed) fields.pop_back();  // behind the last comma
        if (fields.size() < needed)
            refuse("expected " + std::to_string(needed) + " columns of a " +
                   (kind_ == TopologyKind::conv ? "conv" : "gemm") + " topology, found " +
                   std::to_string(fields.size()));
        if (fields.size() > needed) dense(fields[needed], needed);
        if (fields[0].empty()) refuse(0, "expected a name, found nothing");
        if (kind_ == TopologyKind::conv)
            conv(fields);
        else
            add({fields[0], number(fields, 1), number(fields, 2), number(fields, 3), 1});
    }

    void dense(const std::string& field, std::size_t column) const {
        if (field.empty()) return;
        const auto colon = field.find(':');
        if (colon == std::string::npos)
            refuse(column, "expected the row's end or a sparsity N:M, found '" + field +
                               "' (a batch column is not supported: repeat the layer)");
        const auto n = whole_number(trimmed(field.substr(0, colon)));
        const auto m = whole_number(trimmed(field.substr(colon + 1)));
        if (!n || !m || *n == 0 || *n > *m)
            refuse(column, "expected a sparsity N:M with 1 <= N <= M, found '" + field + "'");
        if (*n != *m && !ignore_sparsity_)
            refuse(column, "sparsity " + field +
                               ": only dense layers are modelled; with SparsitySupport: false in "
                               "the --scalesim-config it is read over");
    }

    std::int64_t number(const std::vector<std::string>& fields, std::size_t column) const {
        const auto value = whole_number(fields[column]);
        if (!value || *value == 0)
            refuse(column,
                   "expected a whole number from 1 to 1000000000, found '" + fields[column] + "'");
        return *value;
    }

    void conv(const std::vector<std::string>& fields) {
        std::array<std::int64_t, conv_columns.size()> v{};
        for (std::size_t i = 1; i < v.size(); ++i) v[i] = number(fields, i);
        for (const std::size_t axis : {std::size_t{1}, std::size_t{2}})
            if (v[axis + 2] > v[axis])
                refuse(axis + 2, "the filter is larger than its input (" +
                                     std::to_string(v[axis + 2]) + " > " + std::to_string(v[axis]) +
                                     "; there is no padding in this format)");
        const std::int64_t stride = v[7];
        const auto outputs = [&](std::size_t axis) {
            return (v[axis] - v[axis + 2] + stride + stride - 1) / stride;
        };
        const std::int64_t pixels = product(outputs(1), outputs(2)), window = product(v[3], v[4]);
        if (fields[0].find("DP") == std::string::npos) {
            add({fields[0], pixels, v[6], product(window, v[5]), 1});
            return;
        }
        if (static_cast<std::size_t>(v[5]) > most_layers)
            refuse(5, "a DP layer stands for one layer per channel, at most " +
                          std::to_string(most_layers));
        for (std::int64_t channel = 0; channel < v[5]; ++channel)
            add({fields[0] + "Channel_" + std::to_string(channel), pixels, v[6], window, 1});
    }

    std::int64_t product(std::int64_t a, std::int64_t b) const {
        return checked_product(a, b, origin_ + ":" + std::to_string(line_));
    }

    void add(const Workload& w) {
        product(product(w.m, w.n), w.k);
        workloads_.push_back(w);
        if (workloads_.size() > most_layers)
            refuse("more than " + std::to_string(most_layers) + " layers");
    }

    const std::string& origin_;
    TopologyKind kind_;
    const bool ignore_sparsity_;
    std::size_t line_ = 0;
    std::vector<Workload> workloads_;
};

}  // namespace

std::vector<Workload> parse_scalesim_topology(const std::string& text, const std::string& origin,
                                              TopologyKind kind, bool ignore_sparsity) {
    return Reader(origin, kind, ignore_sparsity).read(text);
}

std::vector<Workload> read_scalesim_topology(const std::string& path, TopologyKind kind,
                                             bool ignore_sparsity) {
    return parse_scalesim_topology(read_text(path), path, kind, ignore_sparsity);
}

std::vector<Workload> from_network(const Network& network, std::int64_t batch) {
    std::vector<Workload> workloads;
    for (const Layer& layer : network.layers) {
        if (layer.type != LayerType::conv2d && layer.type != LayerType::linear) continue;
        const std::string place = network.name + ", layer " + layer.name;
        const Shape weights = weight_shape(layer);
        Workload w;
        w.name = layer.name;
        w.m = batch;
        if (layer.type == LayerType::conv2d) {
            w.m = checked_product(batch, layer.out_shape.h * layer.out_shape.w, place);
            w.repeats = layer.groups;
        }
        w.n = weights.n / w.repeats;
        w.k = weights.c * weights.h * weights.w;
        checked_product(checked_product(checked_product(w.m, w.n, place), w.k, place), w.repeats,
                        place);
        workloads.push_back(w);
    }
    if (workloads.empty())
        throw InputError(network.name + ": no conv2d or linear layer, nothing for the array");
    return workloads;
}

}  // namespace wagesim::timing
