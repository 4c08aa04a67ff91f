// GATHER and CLEAR: the batch norm's statistics of a tile, and their zero before the first tile.
#include <algorithm>
#include <cstring>

#include "vector/bank_ports.h"
#include "vector/operations.h"
#include "vector/statistics.h"
#include "vector/tile_view.h"

namespace wagesim::rtl {

Work gather(const Machinery& machinery, const Issue& issue, const Gather& operation) {
    const Box& box = issue.command.box;
    BankPorts ports(machinery.config);
    ports.move(operation.source, box);
    const Work work{std::max(beats(machinery.config, operation.source, box), ports.cycles()),
                    machinery.config.vector_depth_cycles, -1};
    const Codes codes = read_source(machinery, operation.source, box, issue.first_element(work));
    show_lanes(machinery, issue, work, LaneWaves::in, operation.source, codes);
    add_statistics(machinery.memories.parameters, operation.statistics_address, codes, box.c);
    return work;
}

Work clear(const Machinery& machinery, const Issue&, const Clear& operation) {
    std::uint8_t* const to =
        machinery.memories.parameters.write(operation.address, operation.bytes);
    std::memset(to, 0, static_cast<std::size_t>(operation.bytes));
    return {ceil_divide(operation.bytes, machinery.config.bank_bytes_per_cycle), 1, -1};
}

}  // namespace wagesim::rtl
