// FQ: an error to 8-bit codes, each in one of two units by its flag: E2.
#include <algorithm>

#include "vector/bank_ports.h"
#include "vector/bit_plane.h"
#include "vector/operations.h"
#include "vector/scale.h"
#include "vector/tile_view.h"
#include "vector/vectorized.h"
#include "wagesim/arith/block_scale.h"
#include "wagesim/arith/requantizer.h"
#include "wagesim/arith/wide.h"

namespace wagesim::rtl {
namespace {

/// arith::quantize_flag in a lane of 32 or 64 bits.
template <class Code>
class FlagQuantizer {
public:
    /// `from_frac`: of the code of x / 2^s.
    FlagQuantizer(int from_frac, const Quantizer& quantizer, int bits)
        : step_(quantizer.format.frac),
          large_(from_frac - step_),
          one_(Code{1} << std::clamp(step_, 0, most)),
          flagged_(from_frac, quantizer, bits),
          plain_(from_frac, with_frac(quantizer, 2 * quantizer.format.frac), bits),
          threshold_(Code{1} << std::clamp(large_, 0, most)) {}

    bool fits() const {
        return flagged_.fits() && plain_.fits() && step_ <= most && large_ <= most;
    }
    struct Flagged {
        Code code, flag, clipped;
    };
    Flagged operator()(Code code) const {
        const auto large = flagged_(code);
        const Code small = plain_.round(code);
        const Code one = (small >> (8 * sizeof(Code) - 1)) | 1;  // with the sign of small
        const Code is_large = size_of(code) >= threshold_;
        const Code is_one = size_of(small) >= one_;
        const Code plain = small ^ ((small ^ one) & -is_one);
        return {plain ^ ((plain ^ large.code) & -is_large), is_large | is_one,
                large.clipped & is_large};
    }

private:
    static Code size_of(Code code) { return code < 0 ? -code : code; }
    static constexpr int most = arith::most_bits<Code>;
    static Quantizer with_frac(Quantizer quantizer, int frac) {
        quantizer.format.frac = frac;
        return quantizer;
    }
    int step_;   // log2 of the ratio of the two units
    int large_;  // log2 of the larger unit, in units of the code
    Code one_;   // of the larger unit, in the smaller one
    arith::Requantizer<Code> flagged_, plain_;
    Code threshold_;  // of a code's magnitude
};

struct Results {
    std::vector<std::uint8_t> flags;
    Counts counts;
};

template <class Code, class Quantize>
Results quantize_each(Codes& all, Overflow overflow, Quantize quantize) {
    Results results;
    results.flags.resize(all.size());
    results.counts =
        vectorized([=, all = all.data(), size = all.size(), all_flags = results.flags.data()] {
            std::int64_t* __restrict const codes = all;
            std::uint8_t* __restrict const flags = all_flags;
            std::int64_t clipped = 0, zeroed = 0;
            for (std::size_t i = 0; i < size; ++i) {
                const auto code = static_cast<Code>(codes[i]);
                const auto flagged = quantize(code);
                clipped += flagged.clipped ? 1 : 0;
                zeroed += (flagged.code == 0) & (code != 0) ? 1 : 0;
                codes[i] = flagged.code;
                flags[i] = flagged.flag ? 1 : 0;
            }
            Counts counts;
            counts.add_clipped(clipped, overflow);
            counts.underflows = zeroed;
            return counts;
        });
    return results;
}

Results quantize_flags(Codes& codes, const Unit& unit, int s, const Quantizer& quantizer,
                       int bits) {
    const int from_frac = s - unit.log2();
    const FlagQuantizer<std::int32_t> narrow(from_frac, quantizer, bits);
    if (narrow.fits()) return quantize_each<std::int32_t>(codes, quantizer.overflow, narrow);
    const FlagQuantizer<std::int64_t> wider(from_frac, quantizer, bits);
    if (wider.fits()) return quantize_each<std::int64_t>(codes, quantizer.overflow, wider);
    return quantize_each<std::int64_t>(codes, quantizer.overflow, [=](std::int64_t code) {
        return arith::quantize_flag(code, unit.frac, unit.exponent, s, quantizer);
    });
}

/// Shows the codes as multipliers see them.
void show_operands(const Machinery& machinery, const Moment& moment, const FlagQuantize& operation,
                   const Box& box, int s, const Codes& codes, const Results& results) {
    if (machinery.watch.probe == nullptr || operation.qp.layer < 0) return;
    const Format& format = operation.quantizer.format;
    Codes operands = machinery.pool.take(box.size());
    vectorized([to = operands.data(), code = codes.data(), flags = results.flags.data(),
                size = codes.size(), bits = format.bits] {
        for (std::size_t i = 0; i < size; ++i)
            to[i] = arith::flag_operand(code[i], flags[i] != 0, bits);
    });
    show(machinery, moment, operation.qp, box,
         Format{2 * format.bits - 1, 2 * format.frac, true, s}, operands.data(), results.counts);
}

}  // namespace

Work duration(const MachineConfig& config, const Box& box, const FlagQuantize& operation) {
    BankPorts ports(config);
    ports.move(operation.source, box);
    ports.move(operation.destination, box);
    ports.move(operation.flags, box);
    return {std::max(beats(config, operation.source, box), ports.cycles()),
            config.vector_depth_cycles, -1};
}

void flag_quantize(const Machinery& machinery, const Issue& issue, const FlagQuantize& operation) {
    const Box& box = issue.command.box;
    Buffer& parameters = machinery.memories.parameters;
    const Unit unit = unit_of(parameters, operation.scale);
    const int s = read_scale(parameters, operation.scale.address).s;
    const Quantizer& quantizer = operation.quantizer;

    Codes codes = read_tile(machinery, operation.source, box);
    show_lanes(machinery, issue, LaneWaves::in, operation.source, codes);
    const Results results =
        quantize_flags(codes, unit, s, quantizer, width_of(operation.source, codes));
    show_operands(machinery, issue.first_element(), operation, box, s, codes, results);
    show_lanes(machinery, issue, LaneWaves::out, operation.source, codes);
    write_tile(machinery, operation.destination, box, codes);
    write_plane(machinery.memories, operation.flags, box, results.flags);
}

}  // namespace wagesim::rtl
