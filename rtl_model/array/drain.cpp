// The drain: accumulators -> y in the activation buffer, with the batch norm's sums on the way.
#include "array/drain.h"

#include <algorithm>
#include <string>
#include <variant>

#include "vector/bank_ports.h"
#include "vector/statistics.h"
#include "vector/tile_view.h"

namespace wagesim::rtl {

DrainUnit::DrainUnit(const MachineConfig& config, Memories& memories, Watch& watch)
    : machinery_{config, memories, watch} {}

Work DrainUnit::execute(const Command& command, std::int64_t index, std::int64_t start) {
    const auto* const drain = std::get_if<Drain>(&command.operands);
    if (drain == nullptr)
        throw MachineError("drain: command " + std::to_string(index) + " is another unit's");
    if (drain->source.space != Space::accumulators || drain->destination.bytes != 4)
        throw MachineError("DRAIN: moves accumulators to 4-byte y");
    const Box& box = command.box;
    BankPorts ports(machinery_.config);
    ports.move(drain->destination, box);
    const Work work{std::max(box.pixels() * rows_per_pixel(drain->source, box), ports.cycles()), 1,
                    -1};

    const std::vector<std::int64_t> y =
        read_source(machinery_, drain->source, box, Moment{index, start + work.latency});
    if (drain->statistics_address >= 0)
        add_statistics(machinery_.memories.parameters, drain->statistics_address, y, box.c);
    write_tile(machinery_.memories, drain->destination, box, y);
    return work;
}

}  // namespace wagesim::rtl
