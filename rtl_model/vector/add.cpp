// ADD: a residual's sum, exact at the finer of its operands' fracs.
#include <algorithm>
#include <string>

#include "vector/bank_ports.h"
#include "vector/operations.h"
#include "vector/quantize_codes.h"
#include "vector/tile_view.h"
#include "vector/weighted_sum.h"

namespace wagesim::rtl {
namespace {

/// The operand that sets the beats.
const TileView& slower_of(const MachineConfig& config, const Box& box, const Add& operation) {
    const bool b_is_slower = beats(config, operation.b, box) > beats(config, operation.a, box);
    return b_is_slower ? operation.b : operation.a;
}

}  // namespace

Work duration(const MachineConfig& config, const Box& box, const Add& operation) {
    BankPorts ports(config);
    ports.move(operation.a, box);
    ports.move(operation.b, box);
    ports.move(operation.destination, box);
    return {std::max(beats(config, slower_of(config, box, operation), box), ports.cycles()),
            config.vector_depth_cycles, -1};
}

void add(const Machinery& machinery, const Issue& issue, const Add& operation) {
    const Box& box = issue.command.box;
    const TileView& slower = slower_of(machinery.config, box, operation);
    const Moment moment = issue.first_element();

    const int frac = std::max(operation.a.frac, operation.b.frac);
    const Quantizer& stream = operation.stream;
    if (stream.format.frac != frac)
        throw MachineError("the stream's register has frac " + std::to_string(stream.format.frac) +
                           ", the sum " + std::to_string(frac));
    const int a_shift = frac - operation.a.frac, b_shift = frac - operation.b.frac;

    Codes sums = read_source(machinery, operation.a, box, moment);
    const Codes b = read_source(machinery, operation.b, box, moment);
    show_lanes(machinery, issue, LaneWaves::in, slower, sums);
    show_lanes(machinery, issue, LaneWaves::in_2, slower, b);
    const Counts stream_counts = weighted_sum(
        {sums.data(), Wide{1} << a_shift, width_of(operation.a, sums)},
        {b.data(), Wide{1} << b_shift, width_of(operation.b, b)}, sums.size(), stream, sums.data());
    show(machinery, moment, operation.stream_qp, box, stream.format, sums.data(), stream_counts);
    if (operation.quantize) {
        const Quantizer& quantizer = operation.a_quantizer;
        Counts counts =
            quantize_codes(sums.data(), sums.size(), frac, quantizer, stream.format.bits);
        counts.underflows = 0;  // they are counted for errors only
        show(machinery, moment, operation.a_qp, box, quantizer.format, sums.data(), counts);
    }
    show_lanes(machinery, issue, LaneWaves::out, slower, sums);
    write_tile(machinery, operation.destination, box, sums);
}

}  // namespace wagesim::rtl
