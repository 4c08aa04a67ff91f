// What a unit needs to show its signals over time; where they go is the sink's matter
// (wave_writer.h).
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace wagesim::trace {

enum class WaveKind {
    wire,         ///< bits, shown in hex
    signed_wire,  ///< bits in two's complement, shown as a signed decimal number
    integer,      ///< a number that is no register, shown as a signed decimal number
    text,         ///< a state's or command's name; `bits` is ignored
};

/// How many there are of its like decides whether a signal is shown where the user chose nothing.
enum class WaveDetail {
    block,    ///< a unit's or memory's own: shown
    element,  ///< one of hundreds (PE registers, accumulators, vector lanes): not shown
};

struct WaveChange {
    int id;
    std::int64_t value;
};

/// Takes signals and their changes. Declare everything first, then report changes.
class WaveSink {
public:
    static constexpr int not_shown = -1;

    virtual ~WaveSink() = default;

    /// A signal `name` in the dotted scope ("machine.array"), 1 to 64 bits. Returns its id, or
    /// not_shown where the user does not want to see it; then its changes are ignored.
    virtual int declare(std::string_view scope, std::string_view name, int bits, WaveKind kind,
                        WaveDetail detail = WaveDetail::block) = 0;

    /// The signal has this value from the cycle's rising edge on. Changes may come out of order,
    /// and for a future cycle, but not for one before the last advance(). Of several for one cycle
    /// the last one reported counts.
    virtual void change(int id, std::int64_t cycle, std::int64_t value) = 0;
    virtual void change(int id, std::int64_t cycle, std::string_view text) = 0;

    /// The fast way for hundreds of registers (no texts) that change in the same cycle; implies
    /// advance(cycle). Others may still report changes in `cycle`, but not of the same signals.
    virtual void change_all(std::int64_t cycle, const WaveChange* changes, std::size_t count) = 0;

    /// Everything before `cycle` has been reported.
    virtual void advance(std::int64_t cycle) = 0;

    /// False: nothing of the cycles [from, to) is in the window that the user chose, so changes in
    /// them only matter as the values with which the window opens.
    virtual bool shows(std::int64_t from, std::int64_t to) const = 0;
};

}  // namespace wagesim::trace
