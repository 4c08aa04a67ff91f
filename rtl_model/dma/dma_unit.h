// A Dma: moves runs of bytes between the Dram and the buffers.
#pragma once

#include <systemc>
#include <vector>

#include "buffer/memories.h"
#include "control/unit_shell.h"
#include "dma/transfer.h"

namespace wagesim::rtl {

/// Executes LOAD (side read) or STORE (side write). The bytes are taken from their source when the
/// command starts and written to their destination when it ends. One burst at a time is on the
/// Dram's bus; a Dma keeps up with any bus the Dram has.
class DmaUnit : public UnitShell, private DataWork {
public:
    sc_core::sc_port<DramPort> dram{"dram"};

    DmaUnit(const sc_core::sc_module_name& name, DramSide side, const UnitServices& services,
            Memories& memories);

    std::int64_t bursts() const { return bursts_; }  ///< since the machine was built

private:
    void begin(const Issued& issued) override;
    std::int64_t busy_until() override;
    void end(const Issued& issued) override;

    void execute(const Command& command, std::int64_t index, std::int64_t start,
                 const Work& work) override;
    void finish(const Command& command) override;

    Buffer& buffer_of(const Transfer& transfer);

    const DramSide side_;
    Memories& memories_;
    std::int64_t bursts_ = 0;
    std::vector<std::uint8_t> staged_;  // on the way
};

}  // namespace wagesim::rtl
