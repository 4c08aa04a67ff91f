// Writer of VCD waveforms (IEEE 1364-2005, clause 18; string variables are GTKWave's extension).
#include "wagesim/trace/vcd_format.h"

#include <algorithm>
#include <charconv>
#include <cstring>
#include <stdexcept>

namespace wagesim::trace {

namespace {

constexpr std::size_t longest_number = 96;  // 'b', 64 digits, a code, and what copying overshoots
// A full buffer is so large that AtomicFile writes it without copying it.
constexpr std::size_t buffer_bytes = (std::size_t{1} << 18) + longest_number;

/// Short printable identifiers: ! " # ... ~ !! "! ...
std::string identifier(std::size_t number) {
    std::string code;
    do {
        code += static_cast<char>('!' + number % 94);
        number /= 94;
    } while (number-- > 0);
    return code;
}

const char* type_of(WaveKind kind) {
    switch (kind) {
        case WaveKind::wire:
        case WaveKind::signed_wire:
            return "wire";
        case WaveKind::integer:
            return "integer";
        case WaveKind::text:
            return "string";
    }
    return "";
}

void declare(const WaveScope& scope, const std::vector<WaveSignal>& signals, std::string& text) {
    if (!scope.name.empty()) text += "$scope module " + scope.name + " $end\n";
    for (const int id : scope.signals) {
        const WaveSignal& signal = signals[static_cast<std::size_t>(id)];
        const std::string range = signal.range();
        text += std::string("$var ") + type_of(signal.kind) + " " + std::to_string(signal.bits) +
                " " + identifier(static_cast<std::size_t>(id)) + " " + signal.name +
                (range.empty() ? "" : " " + range) + " $end\n";
    }
    for (const WaveScope& child : scope.children) declare(child, signals, text);
    if (!scope.name.empty()) text += "$upscope $end\n";
}

}  // namespace

VcdFormat::VcdFormat(AtomicFile& file) : file_(file), buffer_(buffer_bytes), at_(buffer_.data()) {}

void VcdFormat::begin(const std::vector<WaveSignal>& signals, const WaveScope& root) {
    std::string text = "$version wagesim $end\n$timescale 1 ns $end\n";
    declare(root, signals, text);
    put(text + "$enddefinitions $end\n");
    for (std::size_t id = 0; id < signals.size(); ++id) {
        const bool is_scalar = signals[id].bits == 1 && signals[id].kind != WaveKind::text;
        const std::string end = (is_scalar ? "" : " ") + identifier(id) + "\n";
        Code code{{}, static_cast<std::uint8_t>(end.size()), is_scalar};
        if (end.size() > sizeof code.text) throw std::logic_error("vcd: too many signals");
        std::memcpy(code.text, end.data(), end.size());
        codes_.push_back(code);
    }
}

void VcdFormat::time(std::int64_t ns) {
    if (dump_ == Dump::open) put("$end\n");
    char line[32] = "#";
    char* end = std::to_chars(line + 1, line + sizeof line - 1, ns).ptr;
    *end++ = '\n';
    put({line, static_cast<std::size_t>(end - line)});
    if (dump_ == Dump::none) put("$dumpvars\n");
    dump_ = dump_ == Dump::none ? Dump::open : Dump::closed;
}

void VcdFormat::numbers(const WaveChange* changes, std::size_t count) {
    const char* const last_start = buffer_.data() + buffer_.size() - longest_number;
    char* at = at_;
    for (const WaveChange* change = changes; change != changes + count; ++change) {
        if (at > last_start) {
            at_ = at;
            flush();
            at = at_;
        }
        const Code& code = codes_[static_cast<std::size_t>(change->id)];
        const auto value = static_cast<std::uint64_t>(change->value);
        if (code.is_scalar) {
            *at++ = static_cast<char>('0' + value);
        } else {
            // A viewer extends with zeros, so all leading zeros but one may go.
            const int top = 63 - __builtin_clzll(value | 1);
            int shift = top / 8 * 8;
            *at++ = 'b';
            std::memcpy(at, binary_digits.of(value >> shift) + (7 - top % 8), 8);
            at += top % 8 + 1;
            for (shift -= 8; shift >= 0; shift -= 8, at += 8)
                std::memcpy(at, binary_digits.of(value >> shift & 255), 8);
        }
        std::memcpy(at, code.text, sizeof code.text);
        at += code.length;
    }
    at_ = at;
}

void VcdFormat::text(int id, std::string_view text) {
    put("s");
    put(text);
    put_code(id);
}

void VcdFormat::unknown(int id) {
    put(codes_[static_cast<std::size_t>(id)].is_scalar ? "x" : "bx");
    put_code(id);
}

void VcdFormat::end() {
    if (dump_ == Dump::open) put("$end\n");
    flush();
}

void VcdFormat::put_code(int id) {
    const Code& code = codes_[static_cast<std::size_t>(id)];
    put({code.text, code.length});
}

void VcdFormat::put(std::string_view text) {
    if (text.size() > static_cast<std::size_t>(buffer_.data() + buffer_.size() - at_)) flush();
    if (text.size() > buffer_.size()) return file_.write(text);
    at_ = std::copy(text.begin(), text.end(), at_);
}

void VcdFormat::flush() {
    file_.write(buffer_.data(), static_cast<std::size_t>(at_ - buffer_.data()));
    at_ = buffer_.data();
}

}  // namespace wagesim::trace
