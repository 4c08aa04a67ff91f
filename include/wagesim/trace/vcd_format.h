// Waveforms as Value Change Dump (IEEE 1364), for GTKWave and Surfer.
#pragma once

#include <string>
#include <vector>

#include "wagesim/trace/files.h"
#include "wagesim/trace/wave_format.h"

namespace wagesim::trace {

class VcdFormat : public WaveFormat {
public:
    explicit VcdFormat(AtomicFile& file);

    void begin(const std::vector<WaveSignal>& signals, const WaveScope& root) override;
    void time(std::int64_t ns) override;
    void numbers(const WaveChange* changes, std::size_t count) override;
    void text(int id, std::string_view text) override;
    void unknown(int id) override;
    void end() override;

private:
    /// What ends a signal's line: its code, with a space before it unless the signal is a scalar.
    struct Code {
        char text[8];
        std::uint8_t length;
        bool is_scalar;
    };
    void put(std::string_view text);
    void put_code(int id);
    void flush();

    AtomicFile& file_;
    std::vector<Code> codes_;
    std::vector<char> buffer_;
    char* at_;  // the free part of buffer_
    enum class Dump { none, open, closed } dump_ = Dump::none;
};

}  // namespace wagesim::trace
