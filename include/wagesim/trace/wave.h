// What a unit needs to show its signals over time; where they go is the sink's matter (vcd.h).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace wagesim::trace {

enum class WaveKind {
    wire,     ///< bits, shown in binary or hex
    integer,  ///< two's complement number
    text,     ///< a state's or command's name; `bits` is ignored
};

/// Takes signals and their changes. Declare everything first, then report changes.
class WaveSink {
public:
    virtual ~WaveSink() = default;

    /// A signal `name` in the dotted scope ("machine.array"), 1 to 64 bits; returns its id.
    virtual int declare(std::string_view scope, std::string_view name, int bits, WaveKind kind) = 0;

    /// The signal has this value from the cycle's rising edge on. Changes may come out of order,
    /// and for a future cycle, but not for one before the last advance(). Of several for one cycle
    /// the last one reported counts.
    virtual void change(int id, std::int64_t cycle, std::int64_t value) = 0;
    virtual void change(int id, std::int64_t cycle, std::string_view text) = 0;

    /// Everything before `cycle` has been reported.
    virtual void advance(std::int64_t cycle) = 0;
};

}  // namespace wagesim::trace
