// ADD: a residual's sum, exact at the finer of its operands' fracs.
#include <algorithm>
#include <string>

#include "vector/bank_ports.h"
#include "vector/operations.h"
#include "vector/tile_view.h"
#include "wagesim/arith/quantize.h"

namespace wagesim::rtl {

Work add(const Machinery& machinery, const Issue& issue, const Add& operation) {
    const Box& box = issue.command.box;
    BankPorts ports(machinery.config);
    ports.move(operation.a, box);
    ports.move(operation.b, box);
    ports.move(operation.destination, box);
    const bool b_is_slower =
        beats(machinery.config, operation.b, box) > beats(machinery.config, operation.a, box);
    const TileView& slower = b_is_slower ? operation.b : operation.a;
    const Work work{std::max(beats(machinery.config, slower, box), ports.cycles()),
                    machinery.config.vector_depth_cycles, -1};
    const Moment moment = issue.first_element(work);

    const int frac = std::max(operation.a.frac, operation.b.frac);
    const Quantizer& stream = operation.stream;
    if (stream.format.frac != frac)
        throw MachineError("the stream's register has frac " + std::to_string(stream.format.frac) +
                           ", the sum " + std::to_string(frac));
    const Wide a_unit = Wide{1} << (frac - operation.a.frac);
    const Wide b_unit = Wide{1} << (frac - operation.b.frac);

    const std::vector<std::int64_t> a = read_source(machinery, operation.a, box, moment);
    const std::vector<std::int64_t> b = read_source(machinery, operation.b, box, moment);
    show_lanes(machinery, issue, work, LaneWaves::in, slower, a);
    show_lanes(machinery, issue, work, LaneWaves::in_2, slower, b);
    std::vector<std::int64_t> sums(a.size());
    Clips stream_clips;
    for (std::size_t i = 0; i < sums.size(); ++i) {
        const Wide exact = a[i] * a_unit + b[i] * b_unit;
        const arith::Clipped<Wide> sum = arith::fit(exact, stream.format, stream.overflow);
        stream_clips.count(sum.clipped, stream.overflow);
        sums[i] = static_cast<std::int64_t>(sum.value);
    }
    show(machinery, moment, operation.stream_qp, box, stream.format, sums.data(), stream_clips);
    if (operation.quantize) {
        const Quantizer& quantizer = operation.a_quantizer;
        Clips clips;
        for (std::int64_t& code : sums) {
            const arith::Quantized quantized = arith::requantize(code, frac, quantizer);
            clips.count(quantized.clipped, quantizer.overflow);
            code = quantized.code;
        }
        show(machinery, moment, operation.a_qp, box, quantizer.format, sums.data(), clips);
    }
    show_lanes(machinery, issue, work, LaneWaves::out, slower, sums);
    write_tile(machinery.memories, operation.destination, box, sums);
    return work;
}

}  // namespace wagesim::rtl
