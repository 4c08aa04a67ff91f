// Orders changes, cuts them to the window, and hands them to the file's format.
#include "wagesim/trace/wave_writer.h"

#include <fnmatch.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <stdexcept>

#include "wagesim/error.h"
#ifdef WAGESIM_HAS_FST
#include "wagesim/trace/fst_format.h"
#endif
#include "wagesim/trace/gtkwave_save.h"
#include "wagesim/trace/vcd_format.h"

namespace wagesim::trace {

namespace fs = std::filesystem;

namespace {

constexpr std::int64_t period_ns = 10;  // even: clk falls in the middle. Not the machine's clock_hz

/// White space ends a token in a VCD.
std::string one_word(std::string_view text) {
    std::string word(text);
    for (char& c : word)
        if (c <= ' ' || c > '~') c = '_';
    return word.empty() ? "_" : word;
}

std::string_view first_part(std::string_view scope) { return scope.substr(0, scope.find('.')); }

WaveScope& scope_at(WaveScope& scope, std::string_view path) {
    if (path.empty()) return scope;
    const std::string_view head = first_part(path);
    const std::string_view rest = path.substr(std::min(path.size(), head.size() + 1));
    for (WaveScope& child : scope.children)
        if (child.name == head) return scope_at(child, rest);
    scope.children.push_back({std::string(head), {}, {}});
    return scope_at(scope.children.back(), rest);
}

bool matches(const std::string& pattern, const std::string& name) {
    return fnmatch(pattern.c_str(), name.c_str(), 0) == 0;
}

const std::string& checked(const std::string& path, const WaveWriter::Options& options) {
    const std::string name = fs::path(path).filename().string();
    const std::string extension = fs::path(path).extension().string();
    if (extension != ".vcd" && extension != ".fst")
        throw InputError(name + ": expected the name of a wave file, which ends in .vcd or .fst");
#ifndef WAGESIM_HAS_FST
    if (extension == ".fst")
        throw InputError(name +
                         ": this wagesim was built without FST; install Debian's package "
                         "verilator, which has the writer's sources, and build again, or take "
                         "a name that ends in .vcd");
#endif
    if (options.from < 0 || options.to <= options.from)
        throw InputError(name + ": wave window " + std::to_string(options.from) + ":" +
                         std::to_string(options.to) +
                         ": expected FROM:TO in cycles with 0 <= FROM < TO");
    return path;
}

std::unique_ptr<WaveFormat> format_of(AtomicFile& file) {
#ifdef WAGESIM_HAS_FST
    if (fs::path(file.path()).extension() == ".fst") return std::make_unique<FstFormat>(file);
#endif
    return std::make_unique<VcdFormat>(file);
}

/// A save file that GTKWave wrote holds a user's arrangement.
bool is_users_own(const std::string& save_file) {
    std::ifstream in(save_file);
    std::string line;
    return std::getline(in, line) && line != gtkwave_save_title;
}

}  // namespace

WaveWriter::WaveWriter(const std::string& path, const Options& options)
    : options_(options),
      file_(checked(path, options)),
      scope_used_(options.scopes.size()),
      last_(queue_.end()) {
    const std::string save_file = fs::path(path).replace_extension(".gtkw").string();
    if (!is_users_own(save_file)) save_.emplace(save_file);
    format_ = format_of(file_);
}

int WaveWriter::declare(std::string_view scope, std::string_view name, int bits, WaveKind kind,
                        WaveDetail detail) {
    WaveSignal signal{one_word(scope), one_word(name), kind == WaveKind::text ? 1 : bits, kind};
    const std::string full_name = signal.scope + "." + signal.name;
    if (declarations_ended_)
        throw std::logic_error("wave: signal " + full_name + " declared after a change");
    if (signal.bits < 1 || signal.bits > 64)
        throw std::logic_error("wave: signal " + full_name + " has " + std::to_string(bits) +
                               " bits, expected 1 to 64");
    if (!declared_.insert(full_name).second)
        throw std::logic_error("wave: signal " + full_name + " declared twice");
    if (!is_chosen(full_name, detail)) return not_shown;
    const int id = static_cast<int>(signals_.size());
    scope_at(root_, signal.scope).signals.push_back(id);
    const std::uint64_t mask = ~std::uint64_t{0} >> (64 - signal.bits);
    states_.push_back({kind == WaveKind::text ? 0 : mask});
    signals_.push_back(std::move(signal));
    return id;
}

bool WaveWriter::is_chosen(const std::string& name, WaveDetail detail) {
    if (options_.scopes.empty()) return detail == WaveDetail::block;
    bool chosen = false;
    for (std::size_t i = 0; i < options_.scopes.size(); ++i)
        if (matches(options_.scopes[i], name)) chosen = scope_used_[i] = true;
    return chosen;
}

void WaveWriter::end_declarations() {
    if (declarations_ended_) return;
    for (std::size_t i = 0; i < scope_used_.size(); ++i) {
        if (scope_used_[i]) continue;
        const std::string& scope = options_.scopes[i];
        const bool names_a_scope =
            std::any_of(declared_.begin(), declared_.end(),
                        [&](const std::string& name) { return matches(scope + ".*", name); });
        throw InputError(fs::path(file_.path()).filename().string() +
                         ": no signal matches the wave scope '" + scope + "'; expected " +
                         (names_a_scope
                              ? "'" + scope + ".*'"
                              : "a pattern of full names" +
                                    (declared_.empty() ? "" : ", such as " + *declared_.begin())));
    }
    clock_ = static_cast<int>(signals_.size());
    const std::string top(signals_.empty() ? "machine" : first_part(signals_.front().scope));
    signals_.push_back({top, "clk", 1, WaveKind::wire});
    auto& beside = scope_at(root_, top).signals;
    beside.insert(beside.begin(), clock_);
    format_->begin(signals_, root_);
    declarations_ended_ = true;
}

WaveWriter::State& WaveWriter::state_of(int id, bool is_text) {
    State& state = states_.at(static_cast<std::size_t>(id));
    if ((state.mask == 0) != is_text) refuse_kind(id);
    return state;
}

void WaveWriter::refuse_kind(int id) const {
    const WaveSignal& signal = signals_[static_cast<std::size_t>(id)];
    throw std::logic_error("wave: " + signal.name +
                           (signal.kind == WaveKind::text ? " is a text" : " is no text"));
}

void WaveWriter::change(int id, std::int64_t cycle, std::int64_t value) {
    end_declarations();
    if (id == not_shown || cycle >= options_.to) return;
    State& state = state_of(id, false);
    put(id, state, cycle, state.cut(value));
}

void WaveWriter::change(int id, std::int64_t cycle, std::string_view text) {
    end_declarations();
    if (id == not_shown || cycle >= options_.to) return;
    State& state = state_of(id, true);
    auto entry = text_index_.find(text);
    if (entry == text_index_.end()) {
        entry = text_index_.emplace(text, static_cast<std::int64_t>(texts_.size())).first;
        texts_.push_back(one_word(text));
    }
    put(id, state, cycle, entry->second);
}

void WaveWriter::check_order(std::int64_t cycle) const {
    if (closed_) throw std::logic_error("wave: a change after close()");
    if (cycle < advanced_)
        throw std::logic_error("wave: a change in cycle " + std::to_string(cycle) +
                               ", already reported up to " + std::to_string(advanced_));
}

void WaveWriter::put(int id, State& state, std::int64_t cycle, std::int64_t value) {
    check_order(cycle);
    if (cycle <= options_.from) return remember(state, cycle, value);
    if (last_ == queue_.end() || last_->first != cycle)
        last_ = queue_.try_emplace(queue_.end(), cycle);
    last_->second.push_back({id, value});
}

/// Up to the window's first cycle only the latest value counts.
void WaveWriter::remember(State& state, std::int64_t cycle, std::int64_t value) {
    end_ = std::max(end_, cycle);
    if (cycle < state.cycle) return;
    state.cycle = cycle;
    state.value = value;
}

void WaveWriter::change_all(std::int64_t cycle, const WaveChange* changes, std::size_t count) {
    end_declarations();
    if (cycle >= options_.to) return;
    check_order(cycle);
    advance(cycle);
    batch_.resize(count);
    WaveChange* changed = batch_.data();
    for (const WaveChange* change = changes; change != changes + count; ++change) {
        if (change->id == not_shown) continue;
        State& state = states_[static_cast<std::size_t>(change->id)];
        if (state.mask == 0) refuse_kind(change->id);
        const std::int64_t value = state.cut(change->value);
        if (!window_open_) {
            remember(state, cycle, value);
            continue;
        }
        *changed = {change->id, value};
        changed += value != state.value || state.cycle == never ? 1 : 0;
        state.value = value;
        state.cycle = cycle;
    }
    if (const auto n = static_cast<std::size_t>(changed - batch_.data()); n > 0)
        format_->numbers(batch_.data(), n);
}

void WaveWriter::advance(std::int64_t cycle) {
    if (cycle <= advanced_) return;
    advanced_ = cycle;
    if (cycle <= options_.from) return;
    if (!window_open_) open_window();
    while (!queue_.empty() && queue_.begin()->first < cycle) {
        const auto oldest = queue_.begin();
        if (last_ == oldest) last_ = queue_.end();
        apply(oldest->first, oldest->second);
        queue_.erase(oldest);
    }
    clock_until(std::min(cycle, options_.to));
}

/// What was queued for a cycle: of a signal's changes the last one, if it changes anything.
void WaveWriter::apply(std::int64_t cycle, const std::vector<WaveChange>& changes) {
    clock_until(cycle);
    batch_.clear();
    for (auto change = changes.rbegin(); change != changes.rend(); ++change) {
        State& state = states_[static_cast<std::size_t>(change->id)];
        const bool is_first = state.cycle == never;
        if (state.cycle == cycle) continue;
        state.cycle = cycle;
        if (state.value == change->value && !is_first) continue;
        state.value = change->value;
        if (state.mask == 0)
            format_->text(change->id, texts_[static_cast<std::size_t>(change->value)]);
        else
            batch_.push_back(*change);
    }
    if (!batch_.empty()) format_->numbers(batch_.data(), batch_.size());
}

/// Every signal's value at the window's start.
void WaveWriter::open_window() {
    end_declarations();
    window_open_ = true;
    set_time(options_.from * period_ns);
    batch_.assign({{clock_, 1}});
    for (std::size_t i = 0; i < states_.size(); ++i) {
        const int id = static_cast<int>(i);
        const State& state = states_[i];
        const bool is_known = state.cycle != never;
        if (state.mask != 0 && is_known)
            batch_.push_back({id, state.value});
        else if (state.mask != 0)
            format_->unknown(id);
        else if (is_known)
            format_->text(id, texts_[static_cast<std::size_t>(state.value)]);
    }
    format_->numbers(batch_.data(), batch_.size());
    next_edge_ = options_.from + 1;
}

/// clk's edges up to the rising one of `cycle`; none at the window's end or after.
void WaveWriter::clock_until(std::int64_t cycle) {
    end_ = std::max(end_, cycle);
    const WaveChange fall{clock_, 0}, rise{clock_, 1};
    for (; next_edge_ <= cycle; ++next_edge_) {
        set_time(next_edge_ * period_ns - period_ns / 2);
        format_->numbers(&fall, 1);
        if (next_edge_ == options_.to) continue;
        set_time(next_edge_ * period_ns);
        format_->numbers(&rise, 1);
    }
}

void WaveWriter::set_time(std::int64_t ns) {
    if (ns == time_) return;
    time_ = ns;
    format_->time(ns);
}

void WaveWriter::close() {
    if (closed_) return;
    if (!queue_.empty()) advance(queue_.rbegin()->first + 1);
    if (!window_open_) open_window();
    // The last value lasts to the window's end, or to the last cycle that was reported.
    set_time(std::min(std::max(end_, options_.from + 1), options_.to) * period_ns);
    format_->end();
    file_.finish();
    if (save_) {
        save_->write(gtkwave_save(file_.path(), signals_, root_, options_.from * period_ns, time_));
        save_->finish();
    }
    file_.commit();
    if (save_) save_->commit();
    closed_ = true;
}

}  // namespace wagesim::trace
