// A small reader of VCD waveforms for tests: signal by full name -> its changes.
#pragma once

#include <cstdint>
#include <fstream>
#include <map>
#include <set>
#include <sstream>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace wagesim::test {

struct VcdSignal {
    std::string type;  ///< wire, integer, string
    int bits = 0;
    /// (time in units of the timescale, value): binary digits as written, or the text.
    std::vector<std::pair<std::int64_t, std::string>> changes;

    /// The value at a time, "" before the first.
    std::string at(std::int64_t time) const {
        std::string value;
        for (const auto& [when, what] : changes)
            if (when <= time) value = what;
        return value;
    }
    /// The same as an unsigned number; throws where it is unknown.
    std::uint64_t number_at(std::int64_t time) const { return std::stoull(at(time), nullptr, 2); }
    /// The same in two's complement of the signal's width.
    std::int64_t integer_at(std::int64_t time) const {
        const std::uint64_t value = number_at(time);
        if (bits == 64 || (value >> (bits - 1) & 1) == 0) return static_cast<std::int64_t>(value);
        return static_cast<std::int64_t>(value | ~std::uint64_t{0} << bits);
    }
};

struct Vcd {
    std::string timescale;
    std::map<std::string, VcdSignal> signals;  ///< by "machine.array.name"
    std::int64_t start = -1, end = -1;         ///< first and last time mark

    const VcdSignal& at(const std::string& name) const {
        const auto signal = signals.find(name);
        if (signal == signals.end()) throw std::runtime_error("vcd: no signal " + name);
        return signal->second;
    }
};

/// Strict where a viewer would be confused: unknown codes, time that runs backwards, a value with
/// more digits than the signal has, open scopes. Throws std::runtime_error.
inline Vcd parse_vcd(std::istream& in) {
    Vcd vcd;
    std::vector<std::string> scopes;
    std::map<std::string, std::string> name_of;  // by code
    bool in_definitions = true;
    std::int64_t time = -1;
    const auto fail = [](const std::string& what) { throw std::runtime_error("vcd: " + what); };
    const auto words_to_end = [&] {
        std::vector<std::string> words;
        std::string word;
        while (in >> word && word != "$end") words.push_back(word);
        if (word != "$end") fail("a section without its $end");
        return words;
    };
    const auto set = [&](const std::string& code, const std::string& value, bool is_text) {
        if (in_definitions) fail("a change among the definitions");
        const auto name = name_of.find(code);
        if (name == name_of.end()) fail("unknown code " + code);
        VcdSignal& signal = vcd.signals[name->second];
        if (is_text != (signal.type == "string")) fail("wrong kind of value for " + name->second);
        if (!is_text && value.size() > static_cast<std::size_t>(signal.bits))
            fail("too many digits for " + name->second);
        if (time < 0) fail("a change before the first time");
        signal.changes.emplace_back(time, value);
    };

    std::string word;
    while (in >> word) {
        if (word == "$scope") {
            const auto words = words_to_end();
            if (words.size() != 2) fail("bad $scope");
            scopes.push_back(words[1]);
        } else if (word == "$upscope") {
            words_to_end();
            if (scopes.empty()) fail("$upscope without $scope");
            scopes.pop_back();
        } else if (word == "$var") {
            const auto words = words_to_end();
            if (words.size() < 4) fail("bad $var");
            std::string name;
            for (const std::string& scope : scopes) name += scope + ".";
            name += words[3];
            if (vcd.signals.count(name) != 0) fail("two signals of the name " + name);
            if (!name_of.emplace(words[2], name).second)
                fail("two signals of the code " + words[2]);
            vcd.signals[name].type = words[0];
            vcd.signals[name].bits = std::stoi(words[1]);
        } else if (word == "$timescale") {
            for (const std::string& part : words_to_end())
                vcd.timescale += (vcd.timescale.empty() ? "" : " ") + part;
        } else if (word == "$enddefinitions") {
            words_to_end();
            if (!scopes.empty()) fail("scopes left open");
            in_definitions = false;
        } else if (word == "$dumpvars" || word == "$end") {
            continue;
        } else if (word[0] == '$') {
            words_to_end();
        } else if (word[0] == '#') {
            const std::int64_t next = std::stoll(word.substr(1));
            if (next <= time) fail("time runs backwards at " + word);
            time = next;
            if (vcd.start < 0) vcd.start = time;
            vcd.end = time;
        } else if (word[0] == 'b' || word[0] == 's') {
            std::string code;
            if (!(in >> code)) fail("a value without a code");
            set(code, word.substr(1), word[0] == 's');
        } else if (word[0] == '0' || word[0] == '1' || word[0] == 'x' || word[0] == 'z') {
            set(word.substr(1), word.substr(0, 1), false);
        } else {
            fail("unexpected " + word);
        }
    }
    return vcd;
}

inline Vcd parse_vcd_file(const std::string& path) {
    std::ifstream file(path);
    if (!file) throw std::runtime_error("vcd: cannot open " + path);
    return parse_vcd(file);
}

}  // namespace wagesim::test
