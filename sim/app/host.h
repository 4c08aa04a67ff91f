// The host's side of the Dram: tensors to bytes and back, in the order the program expects.
#pragma once

#include <cstdint>
#include <vector>

#include "machine.h"
#include "wagesim/program/command.h"
#include "wagesim/program/probe.h"
#include "wagesim/tensor/tensor.h"

namespace wagesim::app {

/// Writes codes (N, C, H, W order) to a tensor's place in the Dram.
void write_tensor(rtl::Machine& machine, const DramTensor& place,
                  const std::vector<std::int64_t>& codes);

/// Writes a batch of pixels (N, C, H, W order) to the image's place in the Dram, and shows it.
void show_image(rtl::Machine& machine, const std::vector<std::uint8_t>& pixels,
                const DramTensor& place, Probe& probe);

/// Reads a tensor back, in N, C, H, W order.
std::vector<std::int64_t> read_tensor(const rtl::Machine& machine, const DramTensor& place);

}  // namespace wagesim::app
