// Wave files: changes in order, of the window and the scopes that the user chose.
#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "wagesim/trace/files.h"
#include "wagesim/trace/wave.h"
#include "wagesim/trace/wave_format.h"

namespace wagesim::trace {

/// Writes a wave file that appears at `path` on close(), and beside it a save file (x.gtkw) with
/// which GTKWave groups the signals and shows numbers as what they are; one that the user saved
/// from GTKWave stays as it is. The path's extension says the format: .vcd or .fst. Cycle c's
/// rising edge is at c * 10 ns; a signal `clk` is added to the outermost scope of the first signal.
///
/// Only the window [from, to) is written: earlier changes become its initial values, later ones
/// are ignored. Throws InputError where the path, window or a scope is wrong; disk failures throw
/// HostError, and then no file is left.
class WaveWriter : public WaveSink {
public:
    struct Options {
        std::int64_t from = 0;
        std::int64_t to = std::numeric_limits<std::int64_t>::max();
        /// Patterns (fnmatch) of full names as "machine.array.row3.pe5.a"; only what matches one is
        /// shown. None: all signals but the elements.
        std::vector<std::string> scopes;
    };

    WaveWriter(const std::string& path, const Options& options);
    explicit WaveWriter(const std::string& path) : WaveWriter(path, Options{}) {}

    int declare(std::string_view scope, std::string_view name, int bits, WaveKind kind,
                WaveDetail detail = WaveDetail::block) override;
    void change(int id, std::int64_t cycle, std::int64_t value) override;
    void change(int id, std::int64_t cycle, std::string_view text) override;
    void change_all(std::int64_t cycle, const WaveChange* changes, std::size_t count) override;
    void advance(std::int64_t cycle) override;
    bool shows(std::int64_t from, std::int64_t to) const override {
        return from < options_.to && to > options_.from;
    }

    /// Everything is declared. Throws InputError where a scope shows nothing. The first change
    /// does the same.
    void end_declarations();

    /// Writes what is left and puts the files in their places.
    void close();

    /// After close(); false: the run ended before the window began, and the file shows no change.
    bool reached_window() const { return end_ >= options_.from; }

private:
    static constexpr std::int64_t never = std::numeric_limits<std::int64_t>::min();
    /// What is known of a signal so far.
    struct State {
        std::uint64_t mask;          ///< 0: a text, and its values are indices in texts_
        std::int64_t value = 0;      ///< the latest one
        std::int64_t cycle = never;  ///< when it came

        std::int64_t cut(std::int64_t number) const {
            return static_cast<std::int64_t>(static_cast<std::uint64_t>(number) & mask);
        }
    };
    using Queue = std::map<std::int64_t, std::vector<WaveChange>>;

    bool is_chosen(const std::string& name, WaveDetail detail);
    State& state_of(int id, bool is_text);
    [[noreturn]] void refuse_kind(int id) const;
    void check_order(std::int64_t cycle) const;
    void put(int id, State& state, std::int64_t cycle, std::int64_t value);
    void remember(State& state, std::int64_t cycle, std::int64_t value);
    void apply(std::int64_t cycle, const std::vector<WaveChange>& changes);
    void open_window();
    void clock_until(std::int64_t cycle);
    void set_time(std::int64_t ns);

    const Options options_;
    AtomicFile file_;
    std::optional<AtomicFile> save_;  // none: the user's own is there
    std::unique_ptr<WaveFormat> format_;

    std::set<std::string> declared_;  // full names, shown or not
    std::vector<bool> scope_used_;    // options_.scopes
    std::vector<WaveSignal> signals_;
    WaveScope root_;
    int clock_ = not_shown;
    bool declarations_ended_ = false;

    std::vector<State> states_;
    std::vector<std::string> texts_;
    std::map<std::string, std::int64_t, std::less<>> text_index_;
    Queue queue_;                    // changes in the window, by cycle
    Queue::iterator last_;           // where the latest change went
    std::vector<WaveChange> batch_;  // what goes to the format together
    std::int64_t advanced_ = never;
    std::int64_t next_edge_ = 0;  // next rising edge to write
    std::int64_t end_ = -1;       // last cycle with anything
    std::int64_t time_ = -1;      // in ns, the last that was written
    bool window_open_ = false, closed_ = false;
};

}  // namespace wagesim::trace
