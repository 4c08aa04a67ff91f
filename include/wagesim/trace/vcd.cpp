// Writer of VCD waveforms (IEEE 1364-2005, clause 18; string variables are GTKWave's extension).
#include "wagesim/trace/vcd.h"

#include <algorithm>
#include <charconv>
#include <stdexcept>

#include "wagesim/error.h"

namespace wagesim::trace {

namespace {

/// Short printable identifiers: ! " # ... ~ !! "! ...
std::string identifier(std::size_t number) {
    std::string code;
    do {
        code += static_cast<char>('!' + number % 94);
        number /= 94;
    } while (number-- > 0);
    return code;
}

/// White space ends a token in a VCD.
std::string one_word(std::string_view text) {
    std::string word(text);
    for (char& c : word)
        if (c <= ' ' || c > '~') c = '_';
    return word.empty() ? "_" : word;
}

std::string_view first_part(std::string_view scope) { return scope.substr(0, scope.find('.')); }

/// The scopes as a tree, in the order of declaration.
struct ScopeNode {
    std::string name;
    std::vector<std::string> variables;
    std::vector<ScopeNode> children;

    ScopeNode& at(std::string_view path) {
        if (path.empty()) return *this;
        const std::string_view head = first_part(path);
        const std::string_view rest =
            head.size() == path.size() ? std::string_view{} : path.substr(head.size() + 1);
        for (ScopeNode& child : children)
            if (child.name == head) return child.at(rest);
        children.push_back({std::string(head), {}, {}});
        return children.back().at(rest);
    }

    void write(std::string& text) const {
        if (!name.empty()) text += "$scope module " + name + " $end\n";
        for (const std::string& variable : variables) text += variable;
        for (const ScopeNode& child : children) child.write(text);
        if (!name.empty()) text += "$upscope $end\n";
    }
};

}  // namespace

VcdWriter::VcdWriter(const std::string& path, const Options& options)
    : file_(path), options_(options), last_(queue_.end()) {
    if (options_.from < 0 || options_.to <= options_.from)
        throw InputError(path + ": wave window " + std::to_string(options_.from) + ":" +
                         std::to_string(options_.to) +
                         ": expected FROM:TO in cycles with 0 <= FROM < TO");
    if (options_.period_ns < 2 || options_.period_ns % 2 != 0)
        throw std::logic_error("vcd: the clock's period must be an even number of ns");
}

int VcdWriter::declare(std::string_view scope, std::string_view name, int bits, WaveKind kind) {
    if (header_written_)
        throw std::logic_error("vcd: signal " + std::string(name) + " declared after a change");
    Signal signal;
    signal.scope = one_word(scope);
    signal.name = one_word(name);
    signal.bits = kind == WaveKind::text ? 1 : bits;
    signal.kind = kind;
    if (signal.bits < 1 || signal.bits > 64)
        throw std::logic_error("vcd: signal " + signal.name + " has " + std::to_string(bits) +
                               " bits, expected 1 to 64");
    if (!declared_.insert(signal.scope + "." + signal.name).second)
        throw std::logic_error("vcd: signal " + signal.scope + "." + signal.name +
                               " declared twice");
    signal.code = identifier(signals_.size());
    signals_.push_back(std::move(signal));
    return static_cast<int>(signals_.size()) - 1;
}

void VcdWriter::change(int id, std::int64_t cycle, std::int64_t value) {
    if (cycle >= options_.to) return;
    if (signals_.at(static_cast<std::size_t>(id)).kind == WaveKind::text)
        throw std::logic_error("vcd: a number for the text signal " +
                               signals_[static_cast<std::size_t>(id)].name);
    enqueue(id, cycle, value);
}

void VcdWriter::change(int id, std::int64_t cycle, std::string_view text) {
    if (cycle >= options_.to) return;
    if (signals_.at(static_cast<std::size_t>(id)).kind != WaveKind::text)
        throw std::logic_error("vcd: a text for the signal " +
                               signals_[static_cast<std::size_t>(id)].name);
    const auto [entry, is_new] =
        text_index_.try_emplace(one_word(text), static_cast<std::int64_t>(texts_.size()));
    if (is_new) texts_.push_back(entry->first);
    enqueue(id, cycle, entry->second);
}

void VcdWriter::enqueue(int id, std::int64_t cycle, std::int64_t value) {
    if (closed_) throw std::logic_error("vcd: a change after close()");
    if (cycle < advanced_)
        throw std::logic_error("vcd: " + signals_[static_cast<std::size_t>(id)].name +
                               " changed in cycle " + std::to_string(cycle) +
                               ", already reported up to " + std::to_string(advanced_));
    if (!header_written_) write_header();
    if (last_ == queue_.end() || last_->first != cycle)
        last_ = queue_.try_emplace(queue_.end(), cycle);
    last_->second.push_back({id, value});
}

void VcdWriter::advance(std::int64_t cycle) {
    if (cycle <= advanced_) return;
    advanced_ = cycle;
    while (!queue_.empty() && queue_.begin()->first < cycle) {
        const auto oldest = queue_.begin();
        if (last_ == oldest) last_ = queue_.end();
        apply(oldest->first, oldest->second);
        queue_.erase(oldest);
    }
    if (cycle > options_.from) {
        if (!started_) start();
        clock_until(std::min(cycle, options_.to));
    }
}

/// Everything that happens at one cycle's rising edge, at most one change a signal.
void VcdWriter::apply(std::int64_t cycle, const std::vector<Event>& events) {
    if (cycle > options_.from && !started_) start();
    changed_.clear();
    for (const Event& event : events) {
        Signal& signal = signals_[static_cast<std::size_t>(event.id)];
        if (!signal.pending) {
            signal.pending = true;
            signal.next = event.value;
            changed_.push_back(event.id);
        } else {
            signal.next = event.value;
        }
    }
    if (started_) clock_until(cycle);
    for (const int id : changed_) {
        Signal& signal = signals_[static_cast<std::size_t>(id)];
        signal.pending = false;
        if (signal.known && signal.value == signal.next) continue;
        signal.known = true;
        signal.value = signal.next;
        if (!started_) continue;
        write_time(cycle);
        write_value(signal);
    }
}

/// The window opens: every signal's value at its start.
void VcdWriter::start() {
    if (!header_written_) write_header();
    started_ = true;
    line_ = "#" + std::to_string(options_.from * options_.period_ns) + "\n$dumpvars\n";
    file_.write(line_);
    time_ = options_.from;
    if (options_.clock) file_.write("1" + clock_code_ + "\n");
    next_edge_ = options_.from + 1;
    for (const Signal& signal : signals_) write_value(signal);
    file_.write("$end\n");
}

/// clk's edges up to the rising one of `cycle`; none at the window's end or after.
void VcdWriter::clock_until(std::int64_t cycle) {
    end_ = std::max(end_, cycle);
    if (!options_.clock) return;
    for (; next_edge_ <= cycle; ++next_edge_) {
        char text[96];
        char* at = text;
        const auto put_time = [&](std::int64_t time) {
            *at++ = '#';
            at = std::to_chars(at, text + sizeof text, time).ptr;
            *at++ = '\n';
        };
        const auto put_clock = [&](char value) {
            *at++ = value;
            at = std::copy(clock_code_.begin(), clock_code_.end(), at);
            *at++ = '\n';
        };
        const std::int64_t rise = next_edge_ * options_.period_ns;
        put_time(rise - options_.period_ns / 2);
        put_clock('0');
        if (next_edge_ < options_.to) {
            put_time(rise);
            put_clock('1');
            time_ = next_edge_;
        }
        file_.write(text, static_cast<std::size_t>(at - text));
    }
}

void VcdWriter::write_header() {
    header_written_ = true;
    ScopeNode root;
    for (const Signal& signal : signals_) {
        std::string line = "$var ";
        switch (signal.kind) {
            case WaveKind::wire:
                line += "wire ";
                break;
            case WaveKind::integer:
                line += "integer ";
                break;
            case WaveKind::text:
                line += "string ";
                break;
        }
        line += std::to_string(signal.bits) + " " + signal.code + " " + signal.name;
        if (signal.kind == WaveKind::wire && signal.bits > 1)
            line += " [" + std::to_string(signal.bits - 1) + ":0]";
        root.at(signal.scope).variables.push_back(line + " $end\n");
    }
    if (options_.clock) {
        clock_code_ = identifier(signals_.size());
        const std::string top =
            signals_.empty() ? "machine" : std::string(first_part(signals_.front().scope));
        auto& variables = root.at(top).variables;
        variables.insert(variables.begin(), "$var wire 1 " + clock_code_ + " clk $end\n");
    }
    std::string text = "$comment wagesim: cycle c rises at c * " +
                       std::to_string(options_.period_ns) + " ns $end\n$timescale 1 ns $end\n";
    root.write(text);
    file_.write(text + "$enddefinitions $end\n");
}

void VcdWriter::write_value(const Signal& signal) {
    line_.clear();
    if (signal.kind == WaveKind::text) {
        if (!signal.known) return;  // a viewer shows it as unknown
        line_ += 's';
        line_ += texts_[static_cast<std::size_t>(signal.value)];
        line_ += ' ';
    } else if (signal.bits == 1 && signal.kind == WaveKind::wire) {
        line_ += signal.known ? ((signal.value & 1) != 0 ? '1' : '0') : 'x';
    } else {
        line_ += 'b';
        if (!signal.known) {
            line_ += 'x';
        } else {
            // A viewer extends with zeros, so leading zeros but one may go; signs may not.
            const auto bits = static_cast<std::uint64_t>(signal.value);
            int top = signal.bits - 1;
            while (top > 0 && (bits >> top & 1) == 0) --top;
            for (int b = top; b >= 0; --b) line_ += (bits >> b & 1) != 0 ? '1' : '0';
        }
        line_ += ' ';
    }
    line_ += signal.code;
    line_ += '\n';
    file_.write(line_);
}

void VcdWriter::write_time(std::int64_t cycle) {
    if (cycle == time_) return;
    time_ = cycle;
    file_.write("#" + std::to_string(cycle * options_.period_ns) + "\n");
}

void VcdWriter::close() {
    if (closed_) return;
    if (!queue_.empty()) advance(queue_.rbegin()->first + 1);
    reached_window_ = started_;
    if (!started_) start();
    // The last value lasts to the window's end, or to the last cycle that was reported.
    write_time(std::min(std::max(end_, options_.from + 1), options_.to));
    file_.commit();
    closed_ = true;
}

}  // namespace wagesim::trace
