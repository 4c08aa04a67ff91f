// See timing/config.h. The grammar is that of Python's configparser, which SCALE-Sim uses.
#include "timing/config.h"

#include <map>
#include <vector>

#include "text.h"
#include "wagesim/error.h"

namespace wagesim::timing {
namespace {

struct Entry {
    std::string value;
    std::size_t line = 0;
};

/// "section.key", both in lower case -> value.
std::map<std::string, Entry> entries_of(const std::string& text, const std::string& origin) {
    std::map<std::string, Entry> entries;
    std::string section;
    Entry* last = nullptr;
    std::size_t line = 0, indent = 0;
    for (const std::string& raw : lines_of(text)) {
        ++line;
        const auto refuse = [&](const std::string& why) {
            throw InputError(origin + ":" + std::to_string(line) + ": " + why);
        };
        const std::string content = trimmed(raw);
        if (content.empty() || content[0] == '#' || content[0] == ';') continue;
        const std::size_t depth = raw.find(content);
        if (last != nullptr && depth > indent) {  // goes on with the value above
            last->value += "\n" + content;
            continue;
        }
        indent = depth;
        if (content[0] == '[') {
            const auto close = content.find(']');
            if (close == std::string::npos || close == 1)
                refuse("expected [section], found '" + content + "'");
            section = lower(content.substr(1, close - 1));
            last = nullptr;
            continue;
        }
        const auto separator = content.find_first_of(":=");
        const std::string key = trimmed(content.substr(0, separator));
        if (separator == std::string::npos || key.empty())
            refuse("expected KEY: VALUE or KEY = VALUE, found '" + content + "'");
        if (section.empty()) refuse("expected a [section] before the first key, found " + key);
        auto [place, is_new] = entries.insert(
            {section + "." + lower(key), {trimmed(content.substr(separator + 1)), line}});
        if (!is_new)
            refuse(key + " stands in line " + std::to_string(place->second.line) + " already");
        last = &place->second;
    }
    return entries;
}

}  // namespace

ScaleSimConfig parse_scalesim_config(const std::string& text, const std::string& origin) {
    const auto entries = entries_of(text, origin);
    const auto find = [&](const char* key) {
        const auto found = entries.find(key);
        return found == entries.end() ? nullptr : &found->second;
    };
    const auto place = [&](const Entry& entry, const std::string& key) {
        return origin + ":" + std::to_string(entry.line) + ": " + key;
    };
    const auto size = [&](const char* key, const char* name) -> std::optional<int> {
        const Entry* entry = find(key);
        if (entry == nullptr) return std::nullopt;
        const auto value = whole_number(entry->value);
        if (!value || *value < 1 || *value > 65536)
            throw InputError(place(*entry, name) +
                             ": expected a whole number from 1 to 65536, found '" + entry->value +
                             "'");
        return static_cast<int>(*value);
    };

    ScaleSimConfig config;
    if (const Entry* name = find("general.run_name")) config.run_name = name->value;
    config.array_rows = size("architecture_presets.arrayheight", "ArrayHeight");
    config.array_columns = size("architecture_presets.arraywidth", "ArrayWidth");
    if (const Entry* flow = find("architecture_presets.dataflow"))
        config.dataflow = parse_dataflow(flow->value, place(*flow, "Dataflow"));
    const auto is_true = [](const Entry* entry) { return lower(entry->value) == "true"; };
    if (const Entry* support = find("sparsity.sparsitysupport")) {
        config.ignore_sparsity = !is_true(support);
        const Entry* optimized = find("sparsity.optimizedmapping");
        if (!config.ignore_sparsity && optimized != nullptr && is_true(optimized))
            throw InputError(place(*optimized, "OptimizedMapping") +
                             ": expected false, only dense layers are modelled");
    }
    return config;
}

ScaleSimConfig read_scalesim_config(const std::string& path) {
    return parse_scalesim_config(read_text(path), path);
}

}  // namespace wagesim::timing
