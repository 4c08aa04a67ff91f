// What enters and leaves the vector unit's lanes over time, for a wave file.
#include "vector/lane_waves.h"

#include <string>

#include "control/waves.h"
#include "vector/bank_ports.h"

namespace wagesim::rtl {

LaneWaves::LaneWaves(Waves& waves, const MachineConfig& config)
    : sink_(waves.sink()), lanes_(config.vector_lanes) {
    for (const char* port : {"in", "in_2", "out"})
        for (std::int64_t lane = 0; lane < lanes_; ++lane) {
            ids_.push_back(sink_.declare("machine.vector.lane" + std::to_string(lane), port, 64,
                                         trace::WaveKind::signed_wire, trace::WaveDetail::element));
            is_shown_ = is_shown_ || ids_.back() != trace::WaveSink::not_shown;
        }
}

void LaneWaves::put(Port port, std::int64_t lane, std::int64_t beat, std::int64_t beats,
                    std::int64_t code, const Work& work, std::int64_t start) {
    const std::int64_t cycle = start + beat * work.busy / beats + (port == out ? work.latency : 0);
    sink_.change(ids_[static_cast<std::size_t>(port * lanes_ + lane)], cycle, code);
}

void LaneWaves::show(Port port, const Box& box, const TileView& view, const std::int64_t* code,
                     const Work& work, std::int64_t start) {
    if (!sink_.shows(start, start + work.busy + work.latency)) return;
    // The accumulators come row by row, each with some of the channels of one pixel.
    const std::int64_t channels_per_row =
        view.space == Space::accumulators ? view.channels_per_row : box.c;
    const std::int64_t beats_per_row = ceil_divide(channels_per_row, lanes_);
    const std::int64_t pixels = box.pixels();
    const std::int64_t beats = ceil_divide(box.c, channels_per_row) * pixels * beats_per_row;
    for (std::int64_t p = 0; p < pixels; ++p)
        for (std::int64_t c = 0; c < box.c; ++c, ++code) {
            const std::int64_t row = c / channels_per_row * pixels + p,
                               in_row = c % channels_per_row;
            put(port, in_row % lanes_, row * beats_per_row + in_row / lanes_, beats, *code, work,
                start);
        }
}

void LaneWaves::show_windows(Port port, const Box& box, std::int64_t taps, const std::int64_t* code,
                             const Work& work, std::int64_t start) {
    if (!sink_.shows(start, start + work.busy + work.latency)) return;
    const std::int64_t beats_per_tap = ceil_divide(box.c, lanes_), pixels = box.pixels();
    const std::int64_t beats = pixels * taps * beats_per_tap;
    for (std::int64_t p = 0; p < pixels; ++p)
        for (std::int64_t tap = port == out ? taps - 1 : 0; tap < taps; ++tap)
            for (std::int64_t c = 0; c < box.c; ++c, ++code)
                put(port, c % lanes_, (p * taps + tap) * beats_per_tap + c / lanes_, beats, *code,
                    work, start);
}

}  // namespace wagesim::rtl
