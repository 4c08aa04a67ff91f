// The save file with which GTKWave opens a wave: signals in groups, numbers shown as what they are.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "wagesim/trace/wave_format.h"

namespace wagesim::trace {

/// Its first line. GTKWave writes another one.
inline constexpr char gtkwave_save_title[] = "[*] wagesim, for GTKWave";

/// `wave` lies in the save file's own directory. The view is all of [from_ns, to_ns).
std::string gtkwave_save(const std::string& wave, const std::vector<WaveSignal>& signals,
                         const WaveScope& root, std::int64_t from_ns, std::int64_t to_ns);

}  // namespace wagesim::trace
