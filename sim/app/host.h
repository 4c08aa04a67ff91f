// The host's side of the Dram: tensors to bytes and back, in the order the program expects.
#pragma once

#include <cstdint>
#include <vector>

#include "machine.h"
#include "wagesim/program/command.h"
#include "wagesim/tensor/tensor.h"

namespace wagesim::app {

/// Writes codes (N, C, H, W order) to a tensor's place in the Dram.
void write_tensor(rtl::Machine& machine, const DramTensor& place,
                  const std::vector<std::int64_t>& codes);

/// Reads a tensor back, in N, C, H, W order.
std::vector<std::int64_t> read_tensor(const rtl::Machine& machine, const DramTensor& place);

}  // namespace wagesim::app
