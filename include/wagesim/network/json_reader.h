// JSON values that know their place, so that every complaint names the file and the key.
// Used by the readers in this folder only.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace wagesim::json {

using Value = nlohmann::json;

/// A value read from `origin` at `path` ("layers[3].kernel"); `note` follows the path in messages.
class Node {
public:
    Node(const Value& value, std::string origin, std::string path = "", std::string note = "")
        : value_(&value),
          origin_(std::move(origin)),
          path_(std::move(path)),
          note_(std::move(note)) {}

    const Value& value() const { return *value_; }
    bool has(const std::string& key) const { return value_->contains(key); }

    /// A member that must be there.
    Node at(const std::string& key) const;
    Node at(std::size_t index) const;
    /// The same place with a note: the layer's name, once it is known.
    Node noted(std::string note) const { return {*value_, origin_, path_, std::move(note)}; }

    std::int64_t integer(std::int64_t low, std::int64_t high) const;
    bool boolean() const;
    std::string text() const;
    /// One of the names, by its index; a near miss is told which one may have been meant.
    std::size_t one_of(const std::vector<std::string_view>& names) const;
    void expect_object(const std::string& what) const;
    void expect_array(const std::string& what) const;
    /// Every key must be known; `owner` is what has these keys ("a conv2d layer").
    void expect_keys(const std::vector<std::string_view>& known, const std::string& owner) const;

    /// "3.5", "\"abc\"", "an array of 3": the value as a message shows it.
    std::string found() const;
    [[noreturn]] void fail(const std::string& what) const;

private:
    std::string key_path(const std::string& key) const;

    const Value* value_;
    std::string origin_, path_, note_;
};

/// Syntax errors are reported with line and column, repeated keys with their path.
Value parse(const std::string& text, const std::string& origin);

/// The whole file. Throws InputError.
std::string read_text(const std::string& path);

/// The candidate that `word` most likely meant, or "".
std::string closest(std::string_view word, const std::vector<std::string_view>& candidates);
/// "; did you mean \"kernel\"?", or "".
std::string did_you_mean(std::string_view word, const std::vector<std::string_view>& candidates);
/// "a, b, c"
std::string listed(const std::vector<std::string_view>& words);

}  // namespace wagesim::json
