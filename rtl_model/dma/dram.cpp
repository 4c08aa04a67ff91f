// The Dram: one byte image behind one bus.
#include "dma/dram.h"

#include "control/clock.h"

namespace wagesim::rtl {

Dram::Dram(const sc_core::sc_module_name& name, const MachineConfig& config,
           std::uint32_t stall_seed)
    : sc_module(name), image_("dram", config.dram_bytes), bus_(config, stall_seed) {}

void Dram::begin(DramSide side, std::int64_t bursts) { bus_.begin(side, present_cycle(), bursts); }

}  // namespace wagesim::rtl
