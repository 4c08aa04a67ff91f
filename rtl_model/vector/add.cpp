// ADD: a residual's sum, exact at the finer of its operands' fracs.
#include <algorithm>
#include <string>

#include "vector/bank_ports.h"
#include "vector/operations.h"
#include "vector/quantize_codes.h"
#include "vector/tile_view.h"
#include "wagesim/arith/requantizer.h"
#include "wagesim/arith/saturate.h"

namespace wagesim::rtl {
namespace {

/// a * a_unit + b * b_unit, fitted to the stream's register, in place of a. Returns how many did
/// not fit. `Code` holds every sum.
template <class Code, class Fit>
std::int64_t add_codes(Codes& a, const Codes& b, Code a_unit, Code b_unit, Fit fit) {
    std::int64_t clipped = 0;
    for (std::size_t i = 0; i < a.size(); ++i) {
        const auto sum = fit(a[i] * a_unit + b[i] * b_unit);
        clipped += sum.clipped ? 1 : 0;
        a[i] = sum.code;
    }
    return clipped;
}

}  // namespace

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
    const int a_shift = frac - operation.a.frac, b_shift = frac - operation.b.frac;
    const int bits = std::max(width_of(operation.a) + a_shift, width_of(operation.b) + b_shift) + 1;

    Codes sums = read_source(machinery, operation.a, box, moment);
    const Codes b = read_source(machinery, operation.b, box, moment);
    show_lanes(machinery, issue, work, LaneWaves::in, slower, sums);
    show_lanes(machinery, issue, work, LaneWaves::in_2, slower, b);
    Counts stream_counts;
    const bool narrow =
        bits <= arith::most_narrow_bits && stream.format.bits <= arith::most_narrow_bits;
    stream_counts.add_clipped(
        narrow ? add_codes(sums, b, std::int64_t{1} << a_shift, std::int64_t{1} << b_shift,
                           arith::Fitter(stream.format, stream.overflow))
               : add_codes(
                     sums, b, Wide{1} << a_shift, Wide{1} << b_shift,
                     [&](Wide exact) {
                         const auto sum = arith::fit(exact, stream.format, stream.overflow);
                         return arith::Quantized{static_cast<std::int64_t>(sum.value), sum.clipped};
                     }),
        stream.overflow);
    show(machinery, moment, operation.stream_qp, box, stream.format, sums.data(), stream_counts);
    if (operation.quantize) {
        const Quantizer& quantizer = operation.a_quantizer;
        Counts counts =
            quantize_codes(sums.data(), sums.size(), frac, quantizer, stream.format.bits);
        counts.underflows = 0;  // they are counted for errors only
        show(machinery, moment, operation.a_qp, box, quantizer.format, sums.data(), counts);
    }
    show_lanes(machinery, issue, work, LaneWaves::out, slower, sums);
    write_tile(machinery, operation.destination, box, sums);
    return work;
}

}  // namespace wagesim::rtl
