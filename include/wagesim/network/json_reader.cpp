// JSON values that know their place, so that every complaint names the file and the key.
#include "wagesim/network/json_reader.h"

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>
#include <set>

#include "wagesim/error.h"

namespace wagesim::json {

namespace {

/// Words from a file go into messages, so control characters and great lengths do not.
std::string shown(std::string_view word) {
    std::string text;
    for (const char c : word.substr(0, 60))
        text += static_cast<unsigned char>(c) < 0x20 || c == 0x7F ? '?' : c;
    return "\"" + text + (word.size() > 60 ? "..." : "") + "\"";
}

/// Notices repeated keys while the parser works; nlohmann's would silently keep the last.
class DuplicateKeys {
public:
    explicit DuplicateKeys(std::string origin) : origin_(std::move(origin)) {}

    bool operator()(int, Value::parse_event_t event, Value& parsed) {
        using Event = Value::parse_event_t;
        switch (event) {
            case Event::object_start:
                frames_.push_back({false, {}, "", 0});
                break;
            case Event::array_start:
                frames_.push_back({true, {}, "", 0});
                break;
            case Event::key: {
                Frame& frame = frames_.back();
                frame.key = parsed.get<std::string>();
                if (!frame.keys.insert(frame.key).second)
                    throw InputError(origin_ + ": " + path() + ": this key stands here twice");
                break;
            }
            case Event::object_end:
            case Event::array_end:
                frames_.pop_back();
                [[fallthrough]];
            case Event::value:
                if (!frames_.empty()) ++frames_.back().index;
                break;
        }
        return true;
    }

private:
    struct Frame {
        bool is_array;
        std::set<std::string> keys;
        std::string key;
        std::size_t index;
    };

    std::string path() const {
        std::string text;
        for (const Frame& frame : frames_) {
            if (frame.is_array)
                text += "[" + std::to_string(frame.index) + "]";
            else
                text += (text.empty() ? "" : ".") + frame.key;
        }
        return text;
    }

    std::string origin_;
    std::vector<Frame> frames_;
};

/// Insertions, deletions, replacements and swaps of neighbours, capitals aside.
std::size_t edit_distance(std::string_view a, std::string_view b) {
    const auto same = [](char x, char y) {
        return std::tolower(static_cast<unsigned char>(x)) ==
               std::tolower(static_cast<unsigned char>(y));
    };
    std::vector<std::size_t> before(b.size() + 1), row(b.size() + 1), next(b.size() + 1);
    for (std::size_t j = 0; j <= b.size(); ++j) row[j] = j;
    for (std::size_t i = 1; i <= a.size(); ++i) {
        next[0] = i;
        for (std::size_t j = 1; j <= b.size(); ++j) {
            next[j] = std::min(
                {row[j] + 1, next[j - 1] + 1, row[j - 1] + (same(a[i - 1], b[j - 1]) ? 0u : 1u)});
            if (i > 1 && j > 1 && same(a[i - 1], b[j - 2]) && same(a[i - 2], b[j - 1]))
                next[j] = std::min(next[j], before[j - 2] + 1);
        }
        before.swap(row);
        row.swap(next);
    }
    return row[b.size()];
}

}  // namespace

std::string closest(std::string_view word, const std::vector<std::string_view>& candidates) {
    if (word.size() > 100) return "";
    std::string best;
    std::size_t best_distance = std::max<std::size_t>(1, word.size() / 3) + 1;
    for (const std::string_view candidate : candidates) {
        const std::size_t distance = edit_distance(word, candidate);
        if (distance < best_distance) {
            best_distance = distance;
            best = candidate;
        }
    }
    return best;
}

std::string did_you_mean(std::string_view word, const std::vector<std::string_view>& candidates) {
    const std::string best = closest(word, candidates);
    return best.empty() ? "" : "; did you mean \"" + best + "\"?";
}

std::string listed(const std::vector<std::string_view>& words) {
    std::string text;
    for (const std::string_view word : words)
        text += (text.empty() ? "" : ", ") + std::string(word);
    return text;
}

std::string Node::key_path(const std::string& key) const {
    return path_.empty() ? key : path_ + "." + key;
}

void Node::fail(const std::string& what) const {
    throw InputError(origin_ + ": " + (path_.empty() ? "" : path_ + (note_.empty() ? "" : " ")) +
                     note_ + (path_.empty() && note_.empty() ? "" : ": ") + what);
}

std::string Node::found() const {
    const Value& v = *value_;
    if (v.is_array()) return "an array of " + std::to_string(v.size());
    if (v.is_object()) return "an object";
    if (v.is_string()) return shown(v.get_ref<const std::string&>());
    return v.dump();
}

Node Node::at(const std::string& key) const {
    const auto member = value_->find(key);
    if (member == value_->end()) Node(*value_, origin_, key_path(key), note_).fail("is missing");
    return {*member, origin_, key_path(key), note_};
}

Node Node::at(std::size_t index) const {
    return {value_->at(index), origin_, path_ + "[" + std::to_string(index) + "]", note_};
}

std::int64_t Node::integer(std::int64_t low, std::int64_t high) const {
    const Value& v = *value_;
    const bool fits =
        v.is_number_integer() &&
        !(v.is_number_unsigned() && v.get<std::uint64_t>() > std::uint64_t{0x7FFFFFFFFFFFFFFF});
    const std::int64_t number = fits ? v.get<std::int64_t>() : 0;
    if (!fits || number < low || number > high)
        fail("expected an integer from " + std::to_string(low) + " to " + std::to_string(high) +
             ", found " + found());
    return number;
}

bool Node::boolean() const {
    if (!value_->is_boolean()) fail("expected true or false, found " + found());
    return value_->get<bool>();
}

std::string Node::text() const {
    if (!value_->is_string()) fail("expected a string, found " + found());
    return value_->get<std::string>();
}

std::size_t Node::one_of(const std::vector<std::string_view>& names) const {
    const std::string word = value_->is_string() ? value_->get<std::string>() : "";
    const auto name = std::find(names.begin(), names.end(), word);
    if (!value_->is_string() || name == names.end())
        fail("expected one of " + listed(names) + ", found " + found() + did_you_mean(word, names));
    return static_cast<std::size_t>(name - names.begin());
}

void Node::expect_object(const std::string& what) const {
    if (!value_->is_object()) fail("expected " + what + " (an object), found " + found());
}

void Node::expect_array(const std::string& what) const {
    if (!value_->is_array()) fail("expected " + what + " (an array), found " + found());
}

void Node::expect_keys(const std::vector<std::string_view>& known, const std::string& owner) const {
    expect_object(owner);
    for (const auto& [key, ignored] : value_->items()) {
        if (std::find(known.begin(), known.end(), key) != known.end()) continue;
        Node(*value_, origin_, path_.empty() ? shown(key) : path_ + "." + key, note_)
            .fail("unknown key" + did_you_mean(key, known) +
                  (closest(key, known).empty() ? "; " : " ") + owner + " has the keys " +
                  listed(known));
    }
}

Value parse(const std::string& text, const std::string& origin) {
    try {
        return Value::parse(text, DuplicateKeys(origin));
    } catch (const Value::exception& error) {
        // "[json.exception...] parse error at line 1, column 2: syntax error while ..."
        std::string what = error.what();
        const std::string marker = "parse error at ";
        const std::size_t start = what.find(marker);
        if (start != std::string::npos)
            what.erase(0, start + marker.size());
        else
            what.erase(0, what.find("] ") == std::string::npos ? 0 : what.find("] ") + 2);
        throw InputError(origin + ": not valid JSON: " + what);
    }
}

std::string read_text(const std::string& path) {
    struct CloseFile {
        void operator()(std::FILE* file) const { std::fclose(file); }
    };
    const std::unique_ptr<std::FILE, CloseFile> file(std::fopen(path.c_str(), "rb"));
    if (file == nullptr) throw InputError(path + ": cannot open it: " + std::strerror(errno));
    std::string text;
    std::vector<char> block(1 << 16);
    while (const std::size_t got = std::fread(block.data(), 1, block.size(), file.get()))
        text.append(block.data(), got);
    if (std::ferror(file.get()) != 0)
        throw InputError(path + ": cannot read it: " + std::strerror(errno));
    return text;
}

}  // namespace wagesim::json
