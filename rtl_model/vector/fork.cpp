// FORK: the sum of the errors that meet, in their common unit.
#include <algorithm>
#include <string>

#include "vector/bank_ports.h"
#include "vector/codes.h"
#include "vector/operations.h"
#include "vector/scale.h"
#include "vector/tile_view.h"
#include "vector/vectorized.h"
#include "wagesim/arith/rounding.h"
#include "wagesim/arith/saturate.h"
#include "wagesim/arith/wide.h"

namespace wagesim::rtl {
namespace {

constexpr int fork_bits = 64;

/// `Sum` holds every sum.
template <class Sum>
void add_operands(const std::vector<Codes>& operands, const CommonUnit& common, Codes& sums,
                  Counts& counts) {
    std::vector<Sum> exact(sums.size());
    for (std::size_t operand = 0; operand < operands.size(); ++operand) {
        const Codes& codes = operands[operand];
        if (!common.shifts[operand].takes_part) continue;
        const int left = common.shifts[operand].left;
        if (left >= 0) {
            const auto unit = static_cast<Sum>(Wide{1} << std::min(left, fork_bits));
            vectorized([=, sum = exact.data(), size = codes.size(), codes = codes.data()] {
                for (std::size_t i = 0; i < size; ++i) sum[i] += codes[i] * unit;
            });
            continue;
        }
        for (std::size_t i = 0; i < codes.size(); ++i) {
            const Wide shifted = arith::shift_right(Wide{codes[i]}, -left, Rounding::half_even);
            const bool is_exact =
                -left < fork_bits ? shifted * (Wide{1} << -left) == codes[i] : codes[i] == 0;
            counts.align_rounded += is_exact ? 0 : 1;
            exact[i] += static_cast<Sum>(shifted);
        }
    }
    for (std::size_t i = 0; i < exact.size(); ++i) {
        sums[i] = arith::wrap(exact[i], fork_bits, true);
        counts.wraps += sums[i] != exact[i] ? 1 : 0;
    }
}

/// Bits of the longest sum.
int bits_of_sum(const std::vector<Codes>& operands, const CommonUnit& common) {
    int longest = 0;
    for (std::size_t operand = 0; operand < operands.size(); ++operand) {
        const int left = common.shifts[operand].takes_part ? common.shifts[operand].left : 0;
        longest = std::max(longest, width_of(operands[operand]) + std::max(left, 0));
    }
    return longest + arith::bit_length(operands.size());
}

}  // namespace

Work duration(const MachineConfig& config, const Box& box, const Fork& operation) {
    BankPorts ports(config);
    std::int64_t slowest = 0;
    for (const Fork::Operand& operand : operation.operands) {
        ports.move(operand.tile, box);
        slowest = std::max(slowest, beats(config, operand.tile, box));
    }
    ports.move(operation.destination, box);
    const auto additions =
        std::max<std::int64_t>(1, static_cast<std::int64_t>(operation.operands.size()) - 1);
    return {std::max(additions * slowest, ports.cycles()), config.vector_depth_cycles, -1};
}

void fork(const Machinery& machinery, const Issue& issue, const Fork& operation) {
    const Box& box = issue.command.box;
    const std::vector<Exponent::Operand> operands(operation.operands.begin(),
                                                  operation.operands.end());
    Buffer& parameters = machinery.memories.parameters;
    const CommonUnit common = common_unit(parameters, operands);
    std::vector<Codes> codes;
    for (std::size_t operand = 0; operand < operands.size(); ++operand) {
        const TileView& tile = operation.operands[operand].tile;
        codes.push_back(read_tile(machinery, tile, box));
        if (operand < 2)
            show_lanes(machinery, issue, operand == 0 ? LaneWaves::in : LaneWaves::in_2, tile,
                       codes.back());
    }
    Codes sums = machinery.pool.take(box.size());
    Counts counts;
    if (bits_of_sum(codes, common) <= fork_bits)
        add_operands<std::int64_t>(codes, common, sums, counts);
    else
        add_operands<Wide>(codes, common, sums, counts);
    const Format format{fork_bits, common.unit.frac, true, common.unit.exponent};
    show(machinery, issue.first_element(), operation.qp, box, format, sums.data(), counts);
    gather_largest(parameters, operation.largest_address, sums);
    show_lanes(machinery, issue, LaneWaves::out, operation.operands.front().tile, sums);
    write_tile(machinery, operation.destination, box, sums);
}

}  // namespace wagesim::rtl
