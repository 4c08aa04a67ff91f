// SQ: an error to its tensor's scale, E1 (or E2 as sq16), and what its mask leaves of it.
#include <algorithm>

#include "vector/bank_ports.h"
#include "vector/bit_plane.h"
#include "vector/operations.h"
#include "vector/quantize_codes.h"
#include "vector/scale.h"
#include "vector/tile_view.h"
#include "vector/vectorized.h"

namespace wagesim::rtl {
namespace {

/// To +-1, where the register has room for more. Returns how many were beyond.
std::int64_t clip_to_one(Codes& codes, const Format& format) {
    const std::int64_t one = std::int64_t{1} << format.frac;
    std::int64_t clipped = 0;
    for (std::int64_t& code : codes) {
        const std::int64_t kept = std::clamp(code, -one, one);
        clipped += kept != code ? 1 : 0;
        code = kept;
    }
    return clipped;
}

}  // namespace

Work duration(const MachineConfig& config, const Box& box, const ShiftQuantize& operation) {
    BankPorts ports(config);
    ports.move(operation.source, box);
    ports.move(operation.mask, box);
    ports.move(operation.destination, box);
    return {std::max(beats(config, operation.source, box), ports.cycles()),
            config.vector_depth_cycles, -1};
}

void shift_quantize(const Machinery& machinery, const Issue& issue,
                    const ShiftQuantize& operation) {
    const Box& box = issue.command.box;
    const Moment moment = issue.first_element();

    Buffer& parameters = machinery.memories.parameters;
    const Unit unit = unit_of(parameters, operation.scale);
    const int s = read_scale(parameters, operation.scale.address).s;
    const Format format = with_exponent(operation.quantizer.format, s);

    Codes codes = read_tile(machinery, operation.source, box);
    show_lanes(machinery, issue, LaneWaves::in, operation.source, codes);
    // x / 2^s has log2 of its unit less by s.
    Counts counts = quantize_codes(codes.data(), codes.size(), s - unit.log2(), operation.quantizer,
                                   width_of(operation.source, codes));
    if (format.bits - 1 > format.frac)
        counts.add_clipped(clip_to_one(codes, format), operation.quantizer.overflow);
    show(machinery, moment, operation.qp, box, format, codes.data(), counts);
    if (operation.mask.exists()) {
        const std::vector<std::uint8_t> mask = read_plane(machinery.memories, operation.mask, box);
        vectorized([code = codes.data(), mask = mask.data(), size = codes.size()] {
            for (std::size_t i = 0; i < size; ++i) code[i] = mask[i] != 0 ? code[i] : 0;
        });
        show(machinery, moment, operation.masked_qp, box, format, codes.data(), Counts{});
    }
    gather_largest(parameters, operation.largest_address, codes);
    show_lanes(machinery, issue, LaneWaves::out, operation.source, codes);
    write_tile(machinery, operation.destination, box, codes);
}

}  // namespace wagesim::rtl
