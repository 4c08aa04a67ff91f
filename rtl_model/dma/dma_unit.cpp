// A Dma: moves runs of bytes between the Dram and the buffers.
#include "dma/dma_unit.h"

#include <cstring>
#include <string>

namespace wagesim::rtl {

DmaUnit::DmaUnit(const sc_core::sc_module_name& name, DramSide side, const UnitServices& services,
                 Memories& memories)
    : UnitShell(name, side == DramSide::read ? Unit::dma_read : Unit::dma_write, services),
      side_(side),
      memories_(memories) {}

Buffer& DmaUnit::buffer_of(const Transfer& transfer) {
    switch (transfer.buffer) {
        case Space::weights:
            return memories_.weights;
        case Space::activations:
            return memories_.activations;
        case Space::parameters:
            return memories_.parameters;
        case Space::accumulators:
        case Space::dram:
            break;
    }
    throw MachineError("a Dma cannot reach the " + std::string(to_string(transfer.buffer)));
}

void DmaUnit::begin(const Issued& issued) {
    const auto* transfer = std::get_if<Transfer>(&issued.command->operands);
    if (transfer == nullptr) throw MachineError(describe(issued) + " is not for a Dma");
    Buffer& buffer = buffer_of(*transfer);
    runs_ = runs_of(*transfer);
    require_separate_runs(*transfer, side_ == DramSide::write);
    const std::int64_t size = transfer->run_bytes;
    const auto bytes = static_cast<std::size_t>(size);

    if (staged_.size() < runs_.size() * bytes) staged_.resize(runs_.size() * bytes);
    std::uint8_t* to = staged_.data();
    for (const Run& run : runs_) {
        std::memcpy(to,
                    side_ == DramSide::read ? dram->read(run.dram_address, size)
                                            : buffer.read(run.buffer_address, size),
                    bytes);
        to += bytes;
    }

    const std::int64_t burst_count = rtl::burst_count(*transfer, services_.config.dram_burst_bytes);
    bursts_ += burst_count;
    dram->begin(side_, burst_count);
    if (services_.waves != nullptr) services_.waves->advance(now());
    services_.claims.claim(unit_, issued, accesses_, now(), dram->finish(side_));
}

std::int64_t DmaUnit::busy_until() {
    const std::int64_t until = dram->finish(side_);
    services_.claims.extend(unit_, now(), until);
    return until;
}

void DmaUnit::end(const Issued& issued) {
    const auto& transfer = std::get<Transfer>(issued.command->operands);
    const std::int64_t size = transfer.run_bytes;
    const auto bytes = static_cast<std::size_t>(size);
    Buffer& buffer = buffer_of(transfer);
    acts(issued.index);
    const std::uint8_t* from = staged_.data();
    for (const Run& run : runs_) {
        std::memcpy(side_ == DramSide::read ? buffer.write(run.buffer_address, size)
                                            : dram->write(run.dram_address, size),
                    from, bytes);
        from += bytes;
    }
    complete_at(now(), 0);
}

}  // namespace wagesim::rtl
