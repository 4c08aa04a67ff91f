// The Dram: one byte image behind one bus.
#pragma once

#include <cstdint>
#include <systemc>

#include "buffer/buffer.h"
#include "control/interfaces.h"
#include "dma/dram_bus.h"
#include "wagesim/network/datapath.h"

namespace wagesim::rtl {

/// Dmas reach it through DramPort; the host through image(), outside simulated time.
class Dram : public sc_core::sc_module, public DramPort {
public:
    Dram(const sc_core::sc_module_name& name, const MachineConfig& config,
         std::uint32_t stall_seed);

    void begin(DramSide side, std::int64_t bursts) override;
    std::int64_t finish(DramSide side) const override { return bus_.finish(side); }
    const std::uint8_t* read(std::int64_t address, std::int64_t bytes) override {
        return image_.read(address, bytes);
    }
    std::uint8_t* write(std::int64_t address, std::int64_t bytes) override {
        return image_.write(address, bytes);
    }

    Buffer& image() { return image_; }
    const Buffer& image() const { return image_; }
    DramBus& bus() { return bus_; }

private:
    Buffer image_;
    DramBus bus_;
};

}  // namespace wagesim::rtl
