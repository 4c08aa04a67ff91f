// The preset and the reader of datapath files: formats of quantisation points, machine settings.
#include "wagesim/network/datapath.h"

#include <algorithm>
#include <filesystem>
#include <stdexcept>
#include <variant>

#include "wagesim/error.h"
#include "wagesim/network/json_reader.h"

namespace wagesim {

namespace {

using json::Node;
using Json = nlohmann::ordered_json;

constexpr std::int64_t giga = std::int64_t{1} << 30;

/// A number of MachineConfig: where it is, what it may be, what it means, where it comes from.
struct MachineNumber {
    const char* name;
    std::variant<int MachineConfig::*, std::int64_t MachineConfig::*> member;
    std::int64_t low, high;
    const char* unit;
    const char* source;  // of the preset's value
};

const std::vector<MachineNumber>& machine_numbers() {
    using M = MachineConfig;
    static const std::vector<MachineNumber> numbers{
        {"array_rows", &M::array_rows, 1, 1024, "PEs", "Gemmini"},
        {"array_columns", &M::array_columns, 1, 1024, "PEs", "Gemmini"},
        {"accumulator_bits", &M::accumulator_bits, 8, 63, "bits", "assumed"},
        {"weight_buffer_bytes", &M::weight_buffer_bytes, 2, giga, "bytes", "assumed"},
        {"activation_buffer_bytes", &M::activation_buffer_bytes, 4, giga, "bytes", "Gemmini"},
        {"activation_banks", &M::activation_banks, 4, 4, "banks", "Gemmini"},
        {"bank_bytes_per_cycle", &M::bank_bytes_per_cycle, 1, 4096, "bytes/cycle", "Gemmini"},
        {"accumulator_bytes", &M::accumulator_bytes, 10, giga, "bytes", "Gemmini"},
        {"parameter_bytes", &M::parameter_bytes, 1, giga, "bytes", "assumed"},
        {"dram_bytes", &M::dram_bytes, 1, 1024 * giga, "bytes", "assumed"},
        {"dram_bytes_per_cycle", &M::dram_bytes_per_cycle, 1, 4096, "bytes/cycle", "Gemmini"},
        {"dram_burst_bytes", &M::dram_burst_bytes, 1, 65536, "bytes", "Gemmini"},
        {"dram_outstanding", &M::dram_outstanding, 1, 65536, "bursts", "Gemmini"},
        {"dram_latency_cycles", &M::dram_latency_cycles, 0, 1'000'000, "cycles", "assumed"},
        {"vector_lanes", &M::vector_lanes, 1, 1024, "elements/cycle", "assumed"},
        {"vector_depth_cycles", &M::vector_depth_cycles, 0, 1024, "cycles", "assumed"},
        {"sqrt_cycles", &M::sqrt_cycles, 1, 65536, "cycles", "assumed"},
        {"channel_divider_cycles", &M::channel_divider_cycles, 1, 65536, "cycles", "assumed"},
        {"update_lanes", &M::update_lanes, 1, 1024, "weights/cycle", "assumed"},
        {"queue_depth", &M::queue_depth, 1, 65536, "commands", "Gemmini"},
        {"issue_cycles", &M::issue_cycles, 1, 65536, "cycles", "assumed"},
        {"clock_hz", &M::clock_hz, 1, 1'000'000'000'000, "Hz", "assumed"},
    };
    return numbers;
}

const std::vector<std::string_view> accumulator_overflows{"wrap", "saturate"};
const std::vector<std::string_view> dividers{"pipelined", "iterative"};
const std::vector<std::string_view> dataflows{"ws", "os"};  // the machine's
const std::vector<std::string_view> normalizes{"divide", "reciprocal"};
const std::vector<std::string_view> bn_inferences{"normalize", "folded"};
const std::vector<std::string_view> losses{"softmax", "sse"};
const std::vector<std::string_view> error_quantizers{"flag8", "sq16"};
const std::vector<std::string_view> straight_through{"mask", "pass"};
const std::vector<std::string_view> momenta{"3/4", "1/4"};
const std::vector<std::string_view> random_sources{"xorshift", "lfsr"};
const std::vector<std::string_view> presets{"int8", "paper", "authors"};

std::vector<std::string_view> qp_list() {
    std::vector<std::string_view> names;
    for (const QpName& entry : qp_names) names.push_back(entry.name);
    return names;
}

/// Exact registers whose unit follows from their operands, layer by layer.
bool has_derived_frac(Qp qp) {
    return qp == Qp::y || qp == Qp::z || qp == Qp::bias_q || qp == Qp::S || qp == Qp::SS ||
           qp == Qp::stream || qp == Qp::x2 || qp == Qp::g_beta || qp == Qp::g_gamma ||
           qp == Qp::m1 || qp == Qp::m2 || qp == Qp::P || qp == Qp::num || qp == Qp::pool_err ||
           qp == Qp::fork || qp == Qp::dx || qp == Qp::gW;
}

Datapath int8_preset() {
    Datapath datapath;
    datapath.name = "int8";
    const auto set = [&](Qp qp, int bits, int frac, bool is_signed = true,
                         Overflow overflow = Overflow::saturate) {
        datapath.quantizers[qp] = {{bits, frac, is_signed, 0}, Rounding::half_even, overflow};
    };
    set(Qp::image, 8, 7, true, Overflow::full);
    set(Qp::W, 24, 23);
    set(Qp::Wq, 8, 7);
    set(Qp::bias, 25, 23);
    set(Qp::bias_q, 32, 12);
    set(Qp::y, 32, 12, true, Overflow::wrap);
    set(Qp::z, 32, 12, true, Overflow::wrap);
    set(Qp::S, 48, 12, true, Overflow::wrap);
    set(Qp::SS, 80, 24, false, Overflow::wrap);
    set(Qp::mu, 20, 15);
    set(Qp::var, 36, 30, false);
    set(Qp::sigma, 18, 15, false);
    set(Qp::inv, 34, 18, false);
    set(Qp::xhat, 8, 5);
    set(Qp::gamma, 25, 23);
    set(Qp::beta, 25, 23);
    set(Qp::gamma_q, 8, 6);
    set(Qp::beta_q, 8, 6);
    set(Qp::x2, 17, 11, true, Overflow::wrap);
    set(Qp::fold_a, 42, 24);
    set(Qp::fold_b, 32, 15);
    set(Qp::A, 8, 5);
    set(Qp::stream, 32, 12, true, Overflow::wrap);
    set(Qp::run_mu, 28, 23);
    set(Qp::run_sigma, 26, 23, false);

    set(Qp::p, 16, 15, false);
    set(Qp::e0, 17, 15);
    set(Qp::E1, 8, 7);
    set(Qp::E1m, 8, 7);
    set(Qp::g_beta, 48, 7, true, Overflow::wrap);
    set(Qp::g_gamma, 48, 12, true, Overflow::wrap);
    for (const Qp qp : {Qp::gBN_gamma, Qp::gBN_beta, Qp::gBias}) set(qp, 16, 14);
    for (const Qp qp : {Qp::m1, Qp::m2}) set(qp, 24, 15);
    set(Qp::P, 28, 20, true, Overflow::wrap);
    set(Qp::num, 47, 39, true, Overflow::wrap);
    set(Qp::bn_err, 32, 24);
    set(Qp::pool_err, 40, 29);
    set(Qp::fork, 64, 24, true, Overflow::wrap);
    set(Qp::E2, 15, 14);
    set(Qp::dx, 40, 21, true, Overflow::wrap);
    set(Qp::gW, 40, 19, true, Overflow::wrap);
    set(Qp::G, 8, 14);
    datapath.quantizers[Qp::G].rounding = Rounding::stochastic;
    for (const Qp qp : {Qp::Acc, Qp::Acc_bias, Qp::Acc_gamma, Qp::Acc_beta}) set(qp, 18, 14);
    for (const Qp qp : {Qp::Accq, Qp::Accq_bias, Qp::Accq_gamma, Qp::Accq_beta}) set(qp, 13, 12);
    set(Qp::lr, 10, 9, false);
    return datapath;
}

/// A's and the batch norm's codes wider than 8 bits, as the paper's k leaves them; exact registers
/// to match.
Datapath wide_preset(const std::string& name, int a_bits, const Format& xhat, int x2_bits,
                     int p_bits) {
    Datapath datapath = int8_preset();
    datapath.name = name;
    const auto set = [&](Qp qp, int bits, int frac) {
        datapath.quantizers[qp].format.bits = bits;
        datapath.quantizers[qp].format.frac = frac;
    };
    set(Qp::A, a_bits, 7);
    set(Qp::xhat, xhat.bits, xhat.frac);
    for (const Qp qp : {Qp::gamma_q, Qp::beta_q}) set(qp, 9, 7);
    for (const Qp qp : {Qp::gamma, Qp::beta}) set(qp, 26, 23);
    set(Qp::x2, x2_bits, 7 + xhat.frac);
    set(Qp::P, p_bits, 15 + xhat.frac);
    set(Qp::num, 50, 39);
    return datapath;
}

Datapath paper_preset() { return wide_preset("paper", 10, {20, 15, true, 0}, 29, 40); }

Datapath authors_preset() {
    Datapath datapath = wide_preset("authors", 12, {12, 7, true, 0}, 21, 32);
    for (const Qp qp : {Qp::E1, Qp::E1m}) datapath.quantizers[qp].format.bits = 9;
    datapath.training.momentum_quarter = true;
    return datapath;
}

// ---- reading ------------------------------------------------------------------------------

/// A plain value, or {"value", "unit", "source"} as to_json writes it.
Node setting(const Node& node, const std::string& unit) {
    if (!node.value().is_object()) return node;
    node.expect_keys({"value", "unit", "source"}, "a machine setting");
    if (node.has("unit") && node.at("unit").text() != unit)
        node.at("unit").fail("expected \"" + unit + "\", found " + node.at("unit").found());
    if (node.has("source")) node.at("source").text();
    return node.at("value");
}

void check_machine(const MachineConfig& m, const Node& node) {
    const auto require = [&](bool holds, const std::string& key, std::int64_t found,
                             const std::string& expected) {
        if (holds) return;
        const std::string what = "expected " + expected + ", found " + std::to_string(found);
        if (node.has(key)) node.at(key).fail(what);
        node.fail(key + ": " + what + " (the value that it extends)");
    };
    require((m.dram_burst_bytes & (m.dram_burst_bytes - 1)) == 0, "dram_burst_bytes",
            m.dram_burst_bytes, "a power of two");
    const std::int64_t tile = 2 * std::int64_t{m.array_rows} * m.array_columns;
    require(m.weight_buffer_bytes >= tile, "weight_buffer_bytes", m.weight_buffer_bytes,
            "at least " + std::to_string(tile) + " (2 * array_rows * array_columns: two tiles)");
    require(m.weight_buffer_bytes % 2 == 0, "weight_buffer_bytes", m.weight_buffer_bytes,
            "an even number (two halves)");
    require(m.activation_buffer_bytes % m.activation_banks == 0, "activation_buffer_bytes",
            m.activation_buffer_bytes,
            "a multiple of activation_banks (" + std::to_string(m.activation_banks) + ")");
    const std::int64_t rows = 2 * std::int64_t{m.array_columns} * 5;
    require(m.accumulator_bytes >= rows, "accumulator_bytes", m.accumulator_bytes,
            "at least " + std::to_string(rows) + " (2 rows of array_columns * 5 bytes)");
}

void read_machine(const Node& node, MachineConfig& machine) {
    std::vector<std::string_view> keys{"accumulator_overflow", "divider", "dataflow"};
    for (const MachineNumber& number : machine_numbers()) keys.push_back(number.name);
    node.expect_keys(keys, "the machine");
    for (const MachineNumber& number : machine_numbers()) {
        if (!node.has(number.name)) continue;
        const std::int64_t value =
            setting(node.at(number.name), number.unit).integer(number.low, number.high);
        if (const auto* small = std::get_if<int MachineConfig::*>(&number.member))
            machine.*(*small) = static_cast<int>(value);
        else
            machine.*std::get<std::int64_t MachineConfig::*>(number.member) = value;
    }
    if (node.has("accumulator_overflow"))
        machine.accumulator_overflow =
            setting(node.at("accumulator_overflow"), "").one_of(accumulator_overflows) == 0
                ? Overflow::wrap
                : Overflow::full;
    if (node.has("divider"))
        machine.divider =
            static_cast<DividerKind>(setting(node.at("divider"), "").one_of(dividers));
    if (node.has("dataflow"))
        machine.dataflow =
            static_cast<Dataflow>(setting(node.at("dataflow"), "").one_of(dataflows));
    check_machine(machine, node);
}

void read_quantizer(const Node& node, Qp qp, Quantizer& quantizer) {
    node.expect_keys({"bits", "frac", "signed", "rounding", "overflow"}, "a quantisation point");
    Format& format = quantizer.format;
    if (node.has("signed")) format.is_signed = node.at("signed").boolean();
    if (node.has("bits"))
        format.bits = static_cast<int>(node.at("bits").integer(1, qp == Qp::SS ? 80 : 64));
    if (format.is_signed && format.bits < 2)
        node.fail("expected at least 2 bits for a signed number, found 1");
    if (node.has("frac")) {
        const Node frac = node.at("frac");
        if (!has_derived_frac(qp))
            format.frac = static_cast<int>(frac.integer(-64, 64));
        else if (!frac.value().is_string() || frac.text() != "derived")
            frac.fail("the unit of " + std::string(to_string(qp)) +
                      " follows from its operands; leave it out, or write \"derived\"; found " +
                      frac.found());
    }
    if (node.has("rounding")) {
        const Node rounding = node.at("rounding");
        quantizer.rounding =
            static_cast<Rounding>(rounding.one_of({rounding_names.begin(), rounding_names.end()}));
        if (quantizer.rounding == Rounding::stochastic && qp != Qp::G)
            rounding.fail("only G rounds stochastically; expected one of " +
                          json::listed({rounding_names.begin(), rounding_names.end() - 1}));
    }
    if (node.has("overflow"))
        quantizer.overflow = static_cast<Overflow>(
            node.at("overflow").one_of({overflow_names.begin(), overflow_names.end()}));
    if (qp == Qp::E2 && format != int8_preset().quantizers.at(qp).format)
        node.fail("its width follows from training.e2; only its rounding can be set");
    if (qp == Qp::inv || qp == Qp::fold_a) {
        const Quantizer fixed = int8_preset().quantizers.at(qp);
        if (format != fixed.format || quantizer.rounding != fixed.rounding ||
            quantizer.overflow != fixed.overflow)
            node.fail(
                "a 16-bit mantissa and an exponent, rounded half_even; nothing of it can be set");
    }
}

void read_quantizers(const Node& node, const std::map<Qp, Quantizer>& general,
                     std::map<Qp, Quantizer>& quantizers) {
    node.expect_keys(qp_list(), "the quantisation points");
    for (const QpName& entry : qp_names) {
        const std::string name(entry.name);
        if (!node.has(name)) continue;
        Quantizer quantizer = general.at(entry.qp);
        read_quantizer(node.at(name), entry.qp, quantizer);
        quantizers[entry.qp] = quantizer;
    }
}

void read_training(const Node& node, TrainingConfig& training) {
    node.expect_keys(
        {"loss", "e2", "ste", "sigma_guard", "momentum", "random_source", "weight_decay_log2"},
        "the training step's choices");
    if (node.has("loss")) training.loss = static_cast<Loss>(node.at("loss").one_of(losses));
    if (node.has("e2"))
        training.e2 = static_cast<ErrorQuantizer>(node.at("e2").one_of(error_quantizers));
    if (node.has("ste")) training.masks_overflow = node.at("ste").one_of(straight_through) == 0;
    if (node.has("sigma_guard")) training.sigma_guard = node.at("sigma_guard").boolean();
    if (node.has("momentum")) training.momentum_quarter = node.at("momentum").one_of(momenta) == 1;
    if (node.has("random_source"))
        training.random_source =
            static_cast<RandomSource>(node.at("random_source").one_of(random_sources));
    if (node.has("weight_decay_log2")) {
        training.weight_decay_log2.reset();
        if (!node.at("weight_decay_log2").value().is_null())
            training.weight_decay_log2 =
                static_cast<int>(node.at("weight_decay_log2").integer(-40, 0));
    }
}

Datapath read_root(const Node& root) {
    root.expect_keys({"name", "extends", "machine", "quantizers", "layers", "normalize",
                      "bn_inference", "running_shift", "training"},
                     "a datapath file");
    Datapath datapath;
    if (root.has("extends"))
        datapath = preset(std::string(presets[root.at("extends").one_of(presets)]));
    else
        datapath = int8_preset();
    if (root.has("name")) {
        datapath.name = root.at("name").text();
        if (datapath.name.empty()) root.at("name").fail("expected a name, found \"\"");
    }
    if (root.has("machine")) read_machine(root.at("machine"), datapath.machine);
    if (root.has("quantizers"))
        read_quantizers(root.at("quantizers"), datapath.quantizers, datapath.quantizers);
    if (root.has("layers")) {
        const Node layers = root.at("layers");
        layers.expect_object("quantisation points by layer name");
        for (const auto& [layer, ignored] : layers.value().items())
            read_quantizers(layers.at(layer), datapath.quantizers,
                            datapath.layer_quantizers[layer]);
    }
    if (root.has("normalize"))
        datapath.normalize = static_cast<Normalize>(root.at("normalize").one_of(normalizes));
    if (root.has("bn_inference"))
        datapath.bn_inference =
            static_cast<BnInference>(root.at("bn_inference").one_of(bn_inferences));
    if (root.has("running_shift"))
        datapath.running_shift = static_cast<int>(root.at("running_shift").integer(0, 23));
    if (root.has("training")) read_training(root.at("training"), datapath.training);
    return datapath;
}

// ---- writing ------------------------------------------------------------------------------

Json quantizer_json(Qp qp, const Quantizer& quantizer) {
    Json json;
    json["bits"] = quantizer.format.bits;
    if (has_derived_frac(qp))
        json["frac"] = "derived";
    else
        json["frac"] = quantizer.format.frac;
    json["signed"] = quantizer.format.is_signed;
    json["rounding"] = to_string(quantizer.rounding);
    json["overflow"] = to_string(quantizer.overflow);
    return json;
}

Json quantizers_json(const std::map<Qp, Quantizer>& quantizers) {
    Json json = Json::object();
    for (const auto& [qp, quantizer] : quantizers)
        json[std::string(to_string(qp))] = quantizer_json(qp, quantizer);
    return json;
}

/// `source` tells where the preset's value comes from; another value is the user's.
template <typename T>
Json setting_json(const T& value, const T& preset_value, const char* unit, const char* source) {
    Json json;
    json["value"] = value;
    json["unit"] = unit;
    json["source"] = value == preset_value ? source : "user";
    return json;
}

Json machine_json(const MachineConfig& machine) {
    const MachineConfig usual;
    Json json;
    for (const MachineNumber& number : machine_numbers())
        std::visit(
            [&](auto member) {
                json[number.name] =
                    setting_json(machine.*member, usual.*member, number.unit, number.source);
            },
            number.member);
    const auto overflow_name = [](const MachineConfig& m) {
        return accumulator_overflows[m.accumulator_overflow == Overflow::wrap ? 0 : 1];
    };
    json["accumulator_overflow"] =
        setting_json(overflow_name(machine), overflow_name(usual), "", "knob");
    json["divider"] =
        setting_json(dividers[static_cast<std::size_t>(machine.divider)],
                     dividers[static_cast<std::size_t>(usual.divider)], "", "assumed");
    json["dataflow"] =
        setting_json(to_string(machine.dataflow), to_string(usual.dataflow), "", "Gemmini");
    return json;
}

/// Whether a layer has the quantisation point at all.
bool layer_has(const Network& network, int index, Qp qp) {
    const Layer& layer = network.layers[static_cast<std::size_t>(index)];
    if (qp == Qp::fork) return layer.readers.size() > 1;
    const bool is_output = static_cast<std::size_t>(index) + 1 == network.layers.size();
    switch (layer.type) {
        case LayerType::conv2d:
        case LayerType::linear:
            return qp == Qp::W || qp == Qp::Wq || qp == (is_output ? Qp::z : Qp::y) ||
                   (layer.bias && (qp == Qp::bias || qp == Qp::bias_q || qp == Qp::gBias ||
                                   qp == Qp::Acc_bias || qp == Qp::Accq_bias)) ||
                   (is_output && (qp == Qp::p || qp == Qp::e0 || qp == Qp::E1)) || qp == Qp::E2 ||
                   qp == Qp::dx || qp == Qp::gW || qp == Qp::G || qp == Qp::Acc || qp == Qp::Accq ||
                   qp == Qp::lr;
        case LayerType::batch_norm: {
            static const std::vector<Qp> own{
                Qp::S,         Qp::SS,       Qp::mu,        Qp::var,        Qp::sigma,
                Qp::inv,       Qp::xhat,     Qp::gamma,     Qp::beta,       Qp::gamma_q,
                Qp::beta_q,    Qp::x2,       Qp::fold_a,    Qp::fold_b,     Qp::run_mu,
                Qp::run_sigma, Qp::E1,       Qp::E1m,       Qp::g_beta,     Qp::g_gamma,
                Qp::gBN_gamma, Qp::gBN_beta, Qp::m1,        Qp::m2,         Qp::P,
                Qp::num,       Qp::bn_err,   Qp::Acc_gamma, Qp::Accq_gamma, Qp::Acc_beta,
                Qp::Accq_beta, Qp::lr};
            return std::find(own.begin(), own.end(), qp) != own.end() ||
                   (qp == Qp::A && quantizes_output(network, index));
        }
        case LayerType::relu:
        case LayerType::relu6:
            return qp == Qp::A || qp == Qp::E1 || qp == Qp::E1m;
        case LayerType::avg_pool:
        case LayerType::global_avg_pool:
            return qp == Qp::A || qp == Qp::pool_err;
        case LayerType::add:
            return qp == Qp::stream || (qp == Qp::A && quantizes_output(network, index));
        case LayerType::max_pool:
            return false;
    }
    return false;
}

}  // namespace

std::string_view to_string(Dataflow dataflow) {
    switch (dataflow) {
        case Dataflow::os:
            return "os";
        case Dataflow::is:
            return "is";
        default:
            return "ws";
    }
}

const Quantizer& Datapath::at(const std::string& layer, Qp qp) const {
    if (const auto own = layer_quantizers.find(layer); own != layer_quantizers.end())
        if (const auto entry = own->second.find(qp); entry != own->second.end())
            return entry->second;
    return quantizers.at(qp);
}

Datapath preset(const std::string& name) {
    if (name == "int8") return int8_preset();
    if (name == "paper") return paper_preset();
    if (name == "authors") return authors_preset();
    throw InputError("there is no preset \"" + name + "\"" + json::did_you_mean(name, presets) +
                     " (presets: " + json::listed(presets) + ")");
}

Datapath parse_datapath(const std::string& text, const std::string& origin) {
    const json::Value root = json::parse(text, origin);
    return read_root(Node(root, origin));
}

Datapath read_datapath(const std::string& preset_or_path) {
    if (std::find(presets.begin(), presets.end(), preset_or_path) != presets.end())
        return preset(preset_or_path);
    std::error_code ignored;
    if (!std::filesystem::exists(preset_or_path, ignored))
        throw InputError(preset_or_path + ": expected a preset (" + json::listed(presets) +
                         ") or a file, found neither" +
                         json::did_you_mean(preset_or_path, presets));
    return parse_datapath(json::read_text(preset_or_path), preset_or_path);
}

void check_against(const Datapath& datapath, const Network& network, const std::string& origin) {
    std::vector<std::string_view> names;
    for (const Layer& layer : network.layers) names.push_back(layer.name);
    for (const auto& [name, quantizers] : datapath.layer_quantizers) {
        const auto found = std::find(names.begin(), names.end(), name);
        const std::string where = origin + ": layers." + name;
        if (found == names.end())
            throw InputError(where + ": network " + network.name + " has no layer of that name" +
                             json::did_you_mean(name, names));
        const int index = static_cast<int>(found - names.begin());
        for (const auto& [qp, ignored] : quantizers) {
            if (layer_has(network, index, qp)) continue;
            std::vector<std::string_view> own;
            for (const QpName& entry : qp_names)
                if (layer_has(network, index, entry.qp)) own.push_back(entry.name);
            const LayerType type = network.layers[static_cast<std::size_t>(index)].type;
            throw InputError(
                where + "." + std::string(to_string(qp)) + ": a layer of type " +
                std::string(to_string(type)) + " has no such quantisation point here; " +
                (own.empty() ? "it has none of its own" : "expected one of " + json::listed(own)));
        }
    }
}

std::string to_json(const Datapath& datapath) {
    Json json;
    json["name"] = datapath.name;
    json["extends"] = "int8";
    json["machine"] = machine_json(datapath.machine);
    json["quantizers"] = quantizers_json(datapath.quantizers);
    json["layers"] = Json::object();
    for (const auto& [layer, quantizers] : datapath.layer_quantizers)
        json["layers"][layer] = quantizers_json(quantizers);
    json["normalize"] = normalizes[static_cast<std::size_t>(datapath.normalize)];
    json["bn_inference"] = bn_inferences[static_cast<std::size_t>(datapath.bn_inference)];
    json["running_shift"] = datapath.running_shift;
    const TrainingConfig& training = datapath.training;
    json["training"] = {
        {"loss", losses[static_cast<std::size_t>(training.loss)]},
        {"e2", error_quantizers[static_cast<std::size_t>(training.e2)]},
        {"ste", straight_through[training.masks_overflow ? 0 : 1]},
        {"sigma_guard", training.sigma_guard},
        {"momentum", momenta[training.momentum_quarter ? 1 : 0]},
        {"random_source", random_sources[static_cast<std::size_t>(training.random_source)]},
        {"weight_decay_log2",
         training.weight_decay_log2 ? Json(*training.weight_decay_log2) : Json(nullptr)}};
    // A layer's name comes from the user and may hold anything; bytes that are no UTF-8 must not
    // throw.
    return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace wagesim
