// Waveforms as GTKWave's Fast Signal Trace: compressed, and opened without reading all of it.
#pragma once

#include <cstdint>
#include <vector>

#include "wagesim/trace/files.h"
#include "wagesim/trace/wave_format.h"

namespace wagesim::trace {

class FstFormat : public WaveFormat {
public:
    explicit FstFormat(AtomicFile& file);
    ~FstFormat() override;

    void begin(const std::vector<WaveSignal>& signals, const WaveScope& root) override;
    void time(std::int64_t ns) override;
    void numbers(const WaveChange* changes, std::size_t count) override;
    void text(int id, std::string_view text) override;
    void unknown(int id) override;
    void end() override;

private:
    struct Variable {
        std::uint32_t handle;
        std::uint32_t bits;  ///< 0: a text
    };
    void declare(const WaveScope& scope, const std::vector<WaveSignal>& signals);
    void check() const;

    AtomicFile& file_;
    void* writer_;
    std::vector<Variable> variables_;
};

}  // namespace wagesim::trace
