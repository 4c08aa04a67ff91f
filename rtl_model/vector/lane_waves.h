// What enters and leaves the vector unit's lanes over time, for a wave file.
#pragma once

#include <cstdint>
#include <vector>

#include "control/element_waves.h"
#include "control/executor.h"
#include "wagesim/network/datapath.h"
#include "wagesim/program/command.h"

namespace wagesim::rtl {

/// The lanes' ports: in, in_2 (an add's second operand) and out. A command's beats are spread
/// evenly over the cycles in which it is busy; what enters in a beat leaves `latency` cycles later.
class LaneWaves {
public:
    LaneWaves(Waves& waves, const MachineConfig& config);

    bool is_shown() const { return is_shown_; }

    enum Port { in, in_2, out };
    /// The codes of a tile (pixels x channels), each of which passes a lane once. `view`: of the
    /// tile that sets the beats.
    void show(Port port, const Box& box, const TileView& view, const std::int64_t* codes,
              const Work& work, std::int64_t start);
    /// The same for windows: `codes` has, pixel by pixel, one set of channels for each of `taps`;
    /// only the last one leaves.
    void show_windows(Port port, const Box& box, std::int64_t taps, const std::int64_t* codes,
                      const Work& work, std::int64_t start);

private:
    void put(Port port, std::int64_t lane, std::int64_t beat, std::int64_t beats, std::int64_t code,
             const Work& work, std::int64_t start);

    trace::WaveSink& sink_;
    const std::int64_t lanes_;
    bool is_shown_ = false;
    std::vector<int> ids_;  // port by port
};

}  // namespace wagesim::rtl
