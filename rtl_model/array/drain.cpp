// The drain: accumulators -> activation buffer, with sums and the largest magnitude on the way.
#include "array/drain.h"

#include <algorithm>
#include <string>
#include <variant>

#include "vector/bank_ports.h"
#include "vector/scale.h"
#include "vector/statistics.h"
#include "vector/tile_view.h"

namespace wagesim::rtl {

DrainUnit::DrainUnit(const MachineConfig& config, Memories& memories, Watch& watch)
    : machinery_{config, memories, watch, pool_} {}

Work DrainUnit::duration(const Command& command) const {
    const auto* const drain = std::get_if<Drain>(&command.operands);
    if (drain == nullptr)
        throw MachineError("drain: a " + mnemonic(command) + " is another unit's");
    if (drain->source.space != Space::accumulators)
        throw MachineError("DRAIN: its source is the accumulators");
    BankPorts ports(machinery_.config);
    ports.move(drain->destination, command.box);
    return {std::max(rows_of(drain->source, command.box), ports.cycles()), 1, -1};
}

void DrainUnit::execute(const Command& command, std::int64_t index, std::int64_t start,
                        const Work& work) {
    const auto& drain = std::get<Drain>(command.operands);
    const Box& box = command.box;
    Buffer& parameters = machinery_.memories.parameters;
    const int exponent =
        drain.scale_address < 0 ? 0 : read_scale(parameters, drain.scale_address).s;
    const Codes codes =
        read_source(machinery_, drain.source, box, Moment{index, start + work.latency}, exponent);
    if (drain.statistics_address >= 0)
        add_statistics(parameters, drain.statistics_address, codes, box.c);
    gather_largest(parameters, drain.largest_address, codes);
    write_tile(machinery_, drain.destination, box, codes);
}

}  // namespace wagesim::rtl
