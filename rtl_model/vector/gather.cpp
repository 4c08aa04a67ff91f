// GATHER and CLEAR: the batch norm's statistics of a tile, and their zero before the first tile.
#include <algorithm>
#include <cstring>

#include "vector/bank_ports.h"
#include "vector/operations.h"
#include "vector/statistics.h"
#include "vector/tile_view.h"

namespace wagesim::rtl {

Work duration(const MachineConfig& config, const Box& box, const Gather& operation) {
    BankPorts ports(config);
    ports.move(operation.source, box);
    return {std::max(beats(config, operation.source, box), ports.cycles()),
            config.vector_depth_cycles, -1};
}

void gather(const Machinery& machinery, const Issue& issue, const Gather& operation) {
    const Box& box = issue.command.box;
    const Codes codes = read_source(machinery, operation.source, box, issue.first_element());
    show_lanes(machinery, issue, LaneWaves::in, operation.source, codes);
    add_statistics(machinery.memories.parameters, operation.statistics_address, codes, box.c);
}

Work duration(const MachineConfig& config, const Box&, const Clear& operation) {
    return {ceil_divide(operation.bytes, config.bank_bytes_per_cycle), 1, -1};
}

void clear(const Machinery& machinery, const Issue&, const Clear& operation) {
    std::uint8_t* const to =
        machinery.memories.parameters.write(operation.address, operation.bytes);
    std::memset(to, 0, static_cast<std::size_t>(operation.bytes));
}

}  // namespace wagesim::rtl
