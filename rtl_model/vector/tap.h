// Shows codes to the probe at the moment a unit makes them.
#pragma once

#include <cstdint>

#include "buffer/memories.h"
#include "control/executor.h"
#include "vector/code_pool.h"
#include "wagesim/network/datapath.h"
#include "wagesim/program/probe.h"

namespace wagesim::rtl {

class LaneWaves;

/// What every compute unit is connected to.
struct Machinery {
    MachineConfig config;
    Memories& memories;
    Watch& watch;
    CodePool& pool;
    LaneWaves* lanes = nullptr;  ///< vector unit; null: nobody watches its lanes
};

/// Which command makes a value, and when its first element is ready.
struct Moment {
    std::int64_t command = 0;
    std::int64_t cycle = 0;
};

/// Codes that did not become what they stand for.
struct Counts {
    std::int64_t saturations = 0, wraps = 0;  ///< changed because they did not fit
    std::int64_t underflows = 0;              ///< became 0
    std::int64_t align_rounded = 0;           ///< lost bits on the way to a common unit

    void count(bool clipped, Overflow overflow) {
        (overflow == Overflow::wrap ? wraps : saturations) += clipped ? 1 : 0;
    }
    /// So many codes at once.
    void add_clipped(std::int64_t codes, Overflow overflow) {
        (overflow == Overflow::wrap ? wraps : saturations) += codes;
    }
};

/// Points without a layer are not shown. `first`: as in Tap.
inline void show(const Machinery& machinery, const Moment& moment, const QpId& qp, const Box& box,
                 const Format& format, const std::int64_t* codes, const Counts& counts,
                 std::int64_t first = -1, const Wide* wide = nullptr) {
    if (machinery.watch.probe == nullptr || qp.layer < 0) return;
    Tap tap;
    tap.qp = qp;
    tap.box = box;
    tap.format = format;
    tap.wide = wide;
    tap.codes = codes;
    tap.first = first;
    tap.cycle = moment.cycle;
    tap.command = moment.command;
    tap.saturations = counts.saturations;
    tap.wraps = counts.wraps;
    tap.underflows = counts.underflows;
    tap.align_rounded = counts.align_rounded;
    machinery.watch.probe->on_tap(tap);
}

inline void show_wide(const Machinery& machinery, const Moment& moment, const QpId& qp,
                      const Box& box, const Format& format, const Wide* codes) {
    show(machinery, moment, qp, box, format, nullptr, Counts{}, -1, codes);
}

/// The format of codes with a tensor's exponent.
inline Format with_exponent(Format format, int exponent) {
    format.exponent = exponent;
    return format;
}

/// The box of a vector over the channels of `box`.
inline Box channels_of(const Box& box) {
    Box channels;
    channels.c0 = box.c0;
    channels.c = box.c;
    return channels;
}

}  // namespace wagesim::rtl
