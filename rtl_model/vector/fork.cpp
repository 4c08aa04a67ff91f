// FORK: the sum of the errors that meet, in their common unit.
#include <algorithm>
#include <string>

#include "vector/bank_ports.h"
#include "vector/operations.h"
#include "vector/scale.h"
#include "vector/tile_view.h"
#include "wagesim/arith/rounding.h"
#include "wagesim/arith/saturate.h"

namespace wagesim::rtl {
namespace {

constexpr int fork_bits = 64;

}  // namespace

Work fork(const Machinery& machinery, const Issue& issue, const Fork& operation) {
    const Box& box = issue.command.box;
    BankPorts ports(machinery.config);
    std::vector<Exponent::Operand> operands;
    std::int64_t slowest = 0;
    for (const Fork::Operand& operand : operation.operands) {
        ports.move(operand.tile, box);
        operands.push_back(operand);
        slowest = std::max(slowest, beats(machinery.config, operand.tile, box));
    }
    ports.move(operation.destination, box);
    const auto additions =
        std::max<std::int64_t>(1, static_cast<std::int64_t>(operation.operands.size()) - 1);
    const Work work{std::max(additions * slowest, ports.cycles()),
                    machinery.config.vector_depth_cycles, -1};

    Buffer& parameters = machinery.memories.parameters;
    const CommonUnit common = common_unit(parameters, operands);
    std::vector<Wide> exact(static_cast<std::size_t>(box.size()));
    Counts counts;
    LaneWaves::Port port = LaneWaves::in;
    for (std::size_t operand = 0; operand < operands.size(); ++operand) {
        const TileView& tile = operation.operands[operand].tile;
        const Codes codes = read_tile(machinery, tile, box);
        if (operand < 2) show_lanes(machinery, issue, work, port, tile, codes);
        port = LaneWaves::in_2;
        if (!common.shifts[operand].takes_part) continue;
        const int left = common.shifts[operand].left;
        if (left >= 0) {
            const Wide unit = Wide{1} << std::min(left, fork_bits);
            for (std::size_t i = 0; i < codes.size(); ++i) exact[i] += codes[i] * unit;
            continue;
        }
        for (std::size_t i = 0; i < codes.size(); ++i) {
            const Wide shifted = arith::shift_right(Wide{codes[i]}, -left, Rounding::half_even);
            const bool is_exact =
                -left < fork_bits ? shifted * (Wide{1} << -left) == codes[i] : codes[i] == 0;
            counts.align_rounded += is_exact ? 0 : 1;
            exact[i] += shifted;
        }
    }
    Codes sums = machinery.pool.take(box.size());
    for (std::size_t i = 0; i < exact.size(); ++i) {
        sums[i] = arith::wrap(exact[i], fork_bits, true);
        counts.wraps += sums[i] != exact[i] ? 1 : 0;
    }
    const Format format{fork_bits, common.unit.frac, true, common.unit.exponent};
    show(machinery, issue.first_element(work), operation.qp, box, format, sums.data(), counts);
    gather_largest(parameters, operation.largest_address, sums);
    show_lanes(machinery, issue, work, LaneWaves::out, operation.operands.front().tile, sums);
    write_tile(machinery, operation.destination, box, sums);
    return work;
}

}  // namespace wagesim::rtl
