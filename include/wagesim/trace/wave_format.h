// Between WaveWriter, which orders changes, and a wave file's format.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "wagesim/trace/wave.h"

namespace wagesim::trace {

/// A signal that is shown; its id is its place in the vector of them.
struct WaveSignal {
    std::string scope, name;
    int bits = 1;
    WaveKind kind = WaveKind::wire;

    /// As a Verilog declaration has it behind the name: "[7:0]", or nothing.
    std::string range() const {
        const bool is_vector = kind == WaveKind::wire || kind == WaveKind::signed_wire;
        return is_vector && bits > 1 ? "[" + std::to_string(bits - 1) + ":0]" : "";
    }
};

/// The scopes as a tree, in the order of declaration.
struct WaveScope {
    std::string name;
    std::vector<int> signals;  ///< ids
    std::vector<WaveScope> children;
};

/// Writes one kind of wave file. Numbers come cut to their signal's width, and only where they
/// changed.
class WaveFormat {
public:
    virtual ~WaveFormat() = default;

    /// Once, before anything else. `root` is the nameless scope around the outermost ones.
    virtual void begin(const std::vector<WaveSignal>& signals, const WaveScope& root) = 0;
    /// Of what comes next, ascending. At the first one, each number gets a value or unknown().
    virtual void time(std::int64_t ns) = 0;
    virtual void numbers(const WaveChange* changes, std::size_t count) = 0;
    virtual void text(int id, std::string_view text) = 0;
    virtual void unknown(int id) = 0;
    /// Brings everything to the file.
    virtual void end() = 0;
};

/// The eight binary digits of every byte.
class BinaryDigits {
public:
    constexpr BinaryDigits() : digits_() {
        for (int i = 0; i < 256 * 8; ++i)
            digits_[i] = static_cast<char>('0' + (i / 8 >> (7 - i % 8) & 1));
    }
    const char* of(std::uint64_t byte) const { return digits_ + 8 * byte; }

private:
    char digits_[256 * 8];
};
inline constexpr BinaryDigits binary_digits;

}  // namespace wagesim::trace
