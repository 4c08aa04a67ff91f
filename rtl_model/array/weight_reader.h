// Reads a tile of weights from its buffer, for WLOAD and for output-stationary GEMMs.
#pragma once

#include <cstdint>
#include <vector>

#include "buffer/memories.h"
#include "wagesim/program/command.h"

namespace wagesim::rtl {

/// The weight of row r and column c at [r * columns + c], shifted where its flag is set.
std::vector<std::int16_t> read_weights(Memories& memories, const WeightView& view,
                                       std::int32_t rows, std::int32_t columns);

}  // namespace wagesim::rtl
