// See inspect.h.
#include "inspect.h"

#include <cmath>
#include <iomanip>
#include <iostream>
#include <map>
#include <sstream>
#include <vector>

#include "compile/compile.h"
#include "report/document.h"
#include "wagesim/error.h"
#include "wagesim/trace/files.h"
#include "wagesim/trace/npz.h"

namespace wagesim::app {
namespace {

using Json = nlohmann::ordered_json;

Json read_manifest(const std::string& run) {
    const std::string path = run + "/manifest.json";
    const std::string text = trace::read_file(path);
    try {
        auto manifest = Json::parse(text);
        if (!manifest.contains("summary") || !manifest.contains("tensors"))
            throw InputError(path + ": not a run's manifest (no summary, no tensors)");
        return manifest;
    } catch (const nlohmann::json::exception& error) {
        throw InputError(path + ": " + error.what());
    }
}

InputError not_a_manifest(const std::string& run, const nlohmann::json::exception& error) {
    return InputError(run + "/manifest.json: not a run's manifest: " + error.what());
}

std::string index_text(std::int64_t index, const std::vector<std::int64_t>& shape) {
    std::string text;
    for (std::size_t d = shape.size(); d-- > 0;) {
        text = std::to_string(index % shape[d]) + (text.empty() ? "" : ",") + text;
        index /= shape[d];
    }
    return "[" + text + "]";
}

std::string code_text(std::int64_t code, const std::string& as, int bits, int frac) {
    std::ostringstream out;
    if (as == "real") {
        out << std::setprecision(12) << std::ldexp(static_cast<double>(code), -frac);
    } else if (as == "hex" || as == "bin") {
        const auto raw = static_cast<std::uint64_t>(code);
        const std::uint64_t masked = bits >= 64 ? raw : raw & ((std::uint64_t{1} << bits) - 1);
        if (as == "hex") {
            out << std::hex << std::setfill('0') << std::setw((std::min(bits, 64) + 3) / 4)
                << masked;
        } else {
            for (int bit = std::min(bits, 64) - 1; bit >= 0; --bit) out << ((masked >> bit) & 1);
        }
    } else {
        out << code;
    }
    return out.str();
}

/// "name[1,2]" -> name and {1, 2}.
std::pair<std::string, std::vector<std::int64_t>> parse_tensor(const std::string& text) {
    const auto open = text.find('[');
    if (open == std::string::npos) return {text, {}};
    if (text.back() != ']') throw InputError(text + ": expected LAYER.QP[n,c,h,w]");
    std::vector<std::int64_t> index;
    std::istringstream list(text.substr(open + 1, text.size() - open - 2));
    for (std::string part; std::getline(list, part, ',');) {
        std::size_t used = 0;
        try {
            index.push_back(std::stoll(part, &used));
        } catch (const std::exception&) {
            used = std::string::npos;
        }
        if (used != part.size())
            throw InputError(text + ": '" + part + "' is not an index; expected LAYER.QP[n,c,h,w]");
    }
    return {text.substr(0, open), index};
}

}  // namespace

int print_program(const std::string& network_file, const std::string& datapath_file,
                  std::int64_t batch, const std::string& batch_norm, bool listing) {
    const Network network = read_network(network_file);
    const Datapath datapath = read_datapath(datapath_file);
    check_against(datapath, network, datapath_file);
    const Program program = compile::compile(
        network, datapath, batch,
        batch_norm == "batch" ? compile::BatchNorm::batch : compile::BatchNorm::running, true);
    if (listing) {
        std::cout << compile::listing(program, network);
        return 0;
    }
    std::map<std::string, std::int64_t> counts;
    for (std::size_t i = 0; i < program.size(); ++i) ++counts[mnemonic(program.at(i))];
    std::cout << network.name << ", batch " << batch << ": "
              << report::grouped(static_cast<std::int64_t>(program.size())) << " commands, "
              << program.tokens.size() << " tokens, " << report::grouped(program.dram_bytes)
              << " bytes of Dram\n";
    for (const auto& [name, count] : counts)
        std::cout << "  " << std::left << std::setw(12) << name << std::right << std::setw(10)
                  << report::grouped(count) << "\n";
    return 0;
}

int show(const std::string& run, const std::string& tensor, const std::string& as) try {
    const Json manifest = read_manifest(run);
    if (tensor.empty()) {
        for (const Json& row : manifest.at("tensors"))
            std::cout << std::left << std::setw(28) << row.at("tensor").get<std::string>()
                      << row.at("shape").dump() << "  " << row.at("bits") << " bits, frac "
                      << row.at("frac") << (row.at("signed") == true ? "" : ", unsigned") << "\n";
        return 0;
    }
    const auto [name, index] = parse_tensor(tensor);
    const std::string path = run + "/tensors.npz";
    const auto arrays = trace::read_npz(path, [&](const std::string& n) { return n == name; });
    if (arrays.empty())
        throw InputError(path + ": no tensor " + name + " (wagesim show " + run +
                         " lists them; --dump chooses what a run keeps)");
    const trace::NpyArray& array = arrays.begin()->second;
    int bits = 64, frac = 0;
    for (const Json& row : manifest.at("tensors"))
        if (row.at("tensor") == name) {
            bits = row.at("bits");
            frac = row.at("frac");
        }
    if (index.size() > array.shape.size())
        throw InputError(tensor + ": the tensor has " + std::to_string(array.shape.size()) +
                         " dimensions");
    std::int64_t from = 0, count = static_cast<std::int64_t>(array.codes.size());
    for (std::size_t d = 0; d < index.size(); ++d) {
        if (index[d] < 0 || index[d] >= array.shape[d])
            throw InputError(tensor + ": index " + std::to_string(index[d]) + " of dimension " +
                             std::to_string(d) + ", which has " + std::to_string(array.shape[d]));
        count /= array.shape[d];
        from += index[d] * count;
    }
    const std::int64_t row = array.shape.empty() ? 1 : array.shape.back();
    for (std::int64_t i = from; i < from + count; ++i) {
        if (count > 1 && i % row == 0)
            std::cout << std::left << std::setw(16) << index_text(i, array.shape) << std::right;
        std::cout << (count > 1 ? " " : "") << std::setw(count > 1 && as == "code" ? 6 : 0)
                  << code_text(array.codes[static_cast<std::size_t>(i)], as, bits, frac);
        if ((i + 1) % row == 0 || i + 1 == from + count) std::cout << "\n";
    }
    return 0;
} catch (const nlohmann::json::exception& error) {
    throw not_a_manifest(run, error);
}

int diff(const std::string& run_a, const std::string& run_b) try {
    read_manifest(run_a);
    const Json manifest = read_manifest(run_b);
    const auto a = trace::read_npz(run_a + "/tensors.npz");
    const auto b = trace::read_npz(run_b + "/tensors.npz");
    std::int64_t same = 0, differing = 0, elements = 0;
    for (const Json& row : manifest.at("tensors")) {  // in the order of the network
        const auto name = row.at("tensor").get<std::string>();
        const auto in_a = a.find(name), in_b = b.find(name);
        if (in_a == a.end() && in_b == b.end()) continue;
        if (in_a == a.end() || in_b == b.end()) {
            std::cout << name << ": only in " << (in_a == a.end() ? run_b : run_a) << "\n";
            ++differing;
            continue;
        }
        if (in_a->second.shape != in_b->second.shape) {
            std::cout << name << ": the shapes differ\n";
            ++differing;
            continue;
        }
        std::int64_t count = 0, first = -1;
        for (std::size_t i = 0; i < in_a->second.codes.size(); ++i)
            if (in_a->second.codes[i] != in_b->second.codes[i]) {
                if (first < 0) first = static_cast<std::int64_t>(i);
                ++count;
            }
        elements += static_cast<std::int64_t>(in_a->second.codes.size());
        if (count == 0) {
            ++same;
            continue;
        }
        ++differing;
        const auto at = static_cast<std::size_t>(first);
        std::cout << name << index_text(first, in_a->second.shape) << ": " << in_a->second.codes[at]
                  << " against " << in_b->second.codes[at] << "; " << count << " of "
                  << in_a->second.codes.size() << " elements differ\n";
    }
    std::cout << same << " tensors equal, " << differing << " differ (" << report::grouped(elements)
              << " elements compared)\n";
    if (same + differing == 0)
        throw InputError(run_a + ", " + run_b + ": no tensors to compare (--dump none?)");
    return differing == 0 ? 0 : 1;
} catch (const nlohmann::json::exception& error) {
    throw not_a_manifest(run_b, error);
}

int print_report(const std::string& run) try {
    std::cout << report::to_text(read_manifest(run));
    return 0;
} catch (const nlohmann::json::exception& error) {
    throw not_a_manifest(run, error);
}

}  // namespace wagesim::app
