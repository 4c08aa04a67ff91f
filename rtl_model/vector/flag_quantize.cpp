// FQ: an error to 8-bit codes, each in one of two units by its flag: E2.
#include <algorithm>

#include "vector/bank_ports.h"
#include "vector/bit_plane.h"
#include "vector/operations.h"
#include "vector/scale.h"
#include "vector/tile_view.h"
#include "wagesim/arith/block_scale.h"
#include "wagesim/arith/requantizer.h"
#include "wagesim/arith/wide.h"

namespace wagesim::rtl {
namespace {

/// arith::quantize_flag in 64 bits.
class FlagQuantizer {
public:
    /// `from_frac`: of the code of x / 2^s.
    FlagQuantizer(int from_frac, const Quantizer& quantizer, int bits)
        : one_(std::int64_t{1} << quantizer.format.frac),
          large_(from_frac - quantizer.format.frac),
          flagged_(from_frac, quantizer, bits),
          plain_(from_frac, with_frac(quantizer, 2 * quantizer.format.frac), bits),
          threshold_(std::int64_t{1} << std::clamp(large_, 0, arith::most_narrow_bits)) {}

    bool fits() const {
        return flagged_.fits() && plain_.fits() && large_ <= arith::most_narrow_bits;
    }
    arith::Flagged operator()(std::int64_t code) const {
        if (code >= threshold_ || code <= -threshold_) {
            const arith::Quantized large = flagged_(code);
            return {large.code, true, large.clipped};
        }
        const std::int64_t small = plain_.round(code);
        if (small >= one_) return {1, true, false};
        if (small <= -one_) return {-1, true, false};
        return {small, false, false};
    }

private:
    static Quantizer with_frac(Quantizer quantizer, int frac) {
        quantizer.format.frac = frac;
        return quantizer;
    }
    std::int64_t one_;  // of the larger unit, in the smaller one
    int large_;         // log2 of the larger unit, in units of the code
    arith::Requantizer flagged_, plain_;
    std::int64_t threshold_;  // of a code's magnitude
};

struct Results {
    std::vector<std::uint8_t> flags;
    Counts counts;
};

template <class Quantize>
Results quantize_each(Codes& codes, Overflow overflow, Quantize quantize) {
    Results results;
    results.flags.resize(codes.size());
    std::int64_t clipped = 0, zeroed = 0;
    for (std::size_t i = 0; i < codes.size(); ++i) {
        const arith::Flagged flagged = quantize(codes[i]);
        clipped += flagged.clipped ? 1 : 0;
        zeroed += (flagged.code == 0) & (codes[i] != 0) ? 1 : 0;
        codes[i] = flagged.code;
        results.flags[i] = flagged.flag ? 1 : 0;
    }
    results.counts.add_clipped(clipped, overflow);
    results.counts.underflows = zeroed;
    return results;
}

/// Shows the codes as multipliers see them.
void show_operands(const Machinery& machinery, const Moment& moment, const FlagQuantize& operation,
                   const Box& box, int s, const Codes& codes, const Results& results) {
    if (machinery.watch.probe == nullptr || operation.qp.layer < 0) return;
    const Format& format = operation.quantizer.format;
    Codes operands = machinery.pool.take(box.size());
    for (std::size_t i = 0; i < codes.size(); ++i)
        operands[i] = arith::flag_operand(codes[i], results.flags[i] != 0, format.bits);
    show(machinery, moment, operation.qp, box,
         Format{2 * format.bits - 1, 2 * format.frac, true, s}, operands.data(), results.counts);
}

}  // namespace

Work flag_quantize(const Machinery& machinery, const Issue& issue, const FlagQuantize& operation) {
    const Box& box = issue.command.box;
    BankPorts ports(machinery.config);
    ports.move(operation.source, box);
    ports.move(operation.destination, box);
    ports.move(operation.flags, box);
    const Work work{std::max(beats(machinery.config, operation.source, box), ports.cycles()),
                    machinery.config.vector_depth_cycles, -1};

    Buffer& parameters = machinery.memories.parameters;
    const Unit unit = unit_of(parameters, operation.scale);
    const int s = read_scale(parameters, operation.scale.address).s;
    const Quantizer& quantizer = operation.quantizer;

    Codes codes = read_tile(machinery, operation.source, box);
    show_lanes(machinery, issue, work, LaneWaves::in, operation.source, codes);
    const FlagQuantizer narrow(s - unit.log2(), quantizer, width_of(operation.source, codes));
    const Results results =
        narrow.fits()
            ? quantize_each(codes, quantizer.overflow, narrow)
            : quantize_each(codes, quantizer.overflow, [&](std::int64_t code) {
                  return arith::quantize_flag(code, unit.frac, unit.exponent, s, quantizer);
              });
    show_operands(machinery, issue.first_element(work), operation, box, s, codes, results);
    show_lanes(machinery, issue, work, LaneWaves::out, operation.source, codes);
    write_tile(machinery, operation.destination, box, codes);
    write_plane(machinery.memories, operation.flags, box, results.flags);
    return work;
}

}  // namespace wagesim::rtl
