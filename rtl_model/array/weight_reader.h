// Reads a tile of weights from its buffer, for WLOAD and for output-stationary GEMMs.
#pragma once

#include <cstdint>

#include "buffer/memories.h"
#include "wagesim/program/command.h"

namespace wagesim::rtl {

/// The weight of row r and column c to [r * stride + c], shifted where its flag is set.
void read_weights(Memories& memories, const WeightView& view, std::int32_t rows,
                  std::int32_t columns, std::int16_t* weights, std::int64_t stride);

}  // namespace wagesim::rtl
