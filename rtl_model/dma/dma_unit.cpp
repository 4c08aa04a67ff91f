// A Dma: moves runs of bytes between the Dram and the buffers.
#include "dma/dma_unit.h"

#include <algorithm>
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
    buffer_of(*transfer);  // there is one
    require_separate_runs(*transfer, side_ == DramSide::write);
    services_.effects.happens(Effects::Start{this, issued.command, issued.index, now(), {}});

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
    services_.effects.happens(Effects::End{this, issued.command, issued.index, now()});
    complete_at(now(), 0);
}

void DmaUnit::execute(const Command& command, std::int64_t, std::int64_t, const Work&) {
    const auto& transfer = std::get<Transfer>(command.operands);
    Buffer& buffer = buffer_of(transfer);
    const std::int64_t size = transfer.run_bytes;
    staged_.clear();
    for_each_run(transfer, [&](const Run& run) {
        const std::uint8_t* const from = side_ == DramSide::read
                                             ? dram->read(run.dram_address, size)
                                             : buffer.read(run.buffer_address, size);
        staged_.insert(staged_.end(), from, from + size);
    });
}

void DmaUnit::finish(const Command& command) {
    const auto& transfer = std::get<Transfer>(command.operands);
    Buffer& buffer = buffer_of(transfer);
    const std::int64_t size = transfer.run_bytes;
    const std::uint8_t* from = staged_.data();
    for_each_run(transfer, [&](const Run& run) {
        std::copy_n(from, size,
                    side_ == DramSide::read ? buffer.write(run.buffer_address, size)
                                            : dram->write(run.dram_address, size));
        from += size;
    });
}

}  // namespace wagesim::rtl
