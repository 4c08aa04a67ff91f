// Waveforms as Value Change Dump (IEEE 1364), for GTKWave and Surfer; vcd2fst makes them small.
#pragma once

#include <cstdint>
#include <limits>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "wagesim/trace/files.h"
#include "wagesim/trace/wave.h"

namespace wagesim::trace {

/// Writes a VCD that appears at `path` on close(). Time is in ns, cycle c's rising edge at
/// c * period_ns; a signal `clk` is added to the outermost scope of the first signal.
///
/// Only the window [from, to) is written: earlier changes become its initial values, later ones
/// are ignored. Disk failures throw HostError, and then no file is left.
class VcdWriter : public WaveSink {
public:
    struct Options {
        std::int64_t from = 0;
        std::int64_t to = std::numeric_limits<std::int64_t>::max();
        std::int64_t period_ns = 10;  ///< even: clk falls in the middle. Not the machine's clock_hz
        bool clock = true;            ///< write clk
    };

    VcdWriter(const std::string& path, const Options& options);
    explicit VcdWriter(const std::string& path) : VcdWriter(path, Options{}) {}

    int declare(std::string_view scope, std::string_view name, int bits, WaveKind kind) override;
    void change(int id, std::int64_t cycle, std::int64_t value) override;
    void change(int id, std::int64_t cycle, std::string_view text) override;
    void advance(std::int64_t cycle) override;

    /// Writes what is left and puts the file in its place.
    void close();

    /// After close(); false: the run ended before the window began, and the file shows nothing.
    bool reached_window() const { return reached_window_; }

private:
    struct Signal {
        std::string scope, name, code;
        int bits = 1;
        WaveKind kind = WaveKind::wire;
        bool known = false, pending = false;
        std::int64_t value = 0, next = 0;  // text: index in texts_
    };
    struct Event {
        int id;
        std::int64_t value;
    };
    using Queue = std::map<std::int64_t, std::vector<Event>>;

    void enqueue(int id, std::int64_t cycle, std::int64_t value);
    void apply(std::int64_t cycle, const std::vector<Event>& events);
    void start();
    void clock_until(std::int64_t cycle);
    void write_header();
    void write_value(const Signal& signal);
    void write_time(std::int64_t cycle);

    AtomicFile file_;
    Options options_;
    std::vector<Signal> signals_;
    std::set<std::string> declared_;
    std::string clock_code_;
    std::vector<std::string> texts_;
    std::unordered_map<std::string, std::int64_t> text_index_;
    Queue queue_;               // changes not yet written, by cycle
    Queue::iterator last_;      // where the latest change went
    std::vector<int> changed_;  // scratch of apply()
    std::int64_t advanced_ = std::numeric_limits<std::int64_t>::min();
    std::int64_t next_edge_ = 0;  // next rising edge to write
    std::int64_t end_ = 0;        // last cycle with anything
    std::int64_t time_ = -1;      // last cycle whose time was written
    bool header_written_ = false, started_ = false, closed_ = false;
    bool reached_window_ = false;
    std::string line_;
};

}  // namespace wagesim::trace
