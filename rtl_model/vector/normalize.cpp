// NORMALIZE: xhat = (y - mu) / (sigma + eps), one rounding.
#include <algorithm>
#include <string>

#include "vector/bank_ports.h"
#include "vector/codes.h"
#include "vector/operations.h"
#include "vector/tile_view.h"
#include "wagesim/arith/quantize.h"

namespace wagesim::rtl {
namespace {

Work duration(const MachineConfig& config, const Box& box, const NormalizeCmd& operation) {
    BankPorts ports(config);
    ports.move(operation.source, box);
    ports.move(operation.destination, box);
    const int quotient = operation.inverse ? 0 : operation.xhat.format.bits;
    std::int64_t cycles = beats(config, operation.source, box);
    if (config.divider == DividerKind::iterative && !operation.inverse)
        cycles *= ceil_divide(quotient, 2);
    return {std::max(cycles, ports.cycles()), config.vector_depth_cycles + quotient + 2, -1};
}

}  // namespace

Work normalize(const Machinery& machinery, const Issue& issue, const NormalizeCmd& operation) {
    const Box& box = issue.command.box;
    const Work work = duration(machinery.config, box, operation);
    const Moment moment = issue.first_element(work);

    Buffer& parameters = machinery.memories.parameters;
    const std::vector<std::int64_t> mu =
        read_codes(parameters, operation.mu_address, box.c, 4, operation.mu.format.is_signed);
    const std::vector<std::int64_t> divisor =
        operation.inverse ? read_codes(parameters, operation.sigma_address, box.c, 8, true)
                          : read_codes(parameters, operation.sigma_address, box.c, 4,
                                       operation.sigma.format.is_signed);

    for (const std::int64_t sigma : divisor)
        if (!operation.inverse && sigma < 0) throw MachineError("NORMALIZE: a negative sigma");

    const Quantizer& xhat = operation.xhat;
    const int source_frac = operation.source.frac;
    const int mu_frac = operation.mu.format.frac;
    const int frac = std::max(source_frac, mu_frac);
    const int y_shift = frac - source_frac;
    const int mu_shift = frac - mu_frac;
    // The quotient of the codes has frac - sigma.frac fraction bits.
    const int up = xhat.format.frac - (frac - operation.sigma.format.frac);
    const int numerator_shift = std::max(up, 0);
    const int divisor_shift = std::max(-up, 0);

    std::vector<std::int64_t> codes = read_source(machinery, operation.source, box, moment);
    show_lanes(machinery, issue, work, LaneWaves::in, operation.source, codes);
    Clips clips;
    auto element = codes.begin();
    for (std::int64_t p = 0; p < box.pixels(); ++p) {
        for (std::size_t c = 0; c < mu.size(); ++c, ++element) {
            const Wide centred =
                Wide{*element} * (Wide{1} << y_shift) - Wide{mu[c]} * (Wide{1} << mu_shift);
            // eps: one code of sigma, so the divisor is never 0.
            const arith::Quantized quotient =
                operation.inverse ? arith::requantize(centred * divisor[c],
                                                      frac + operation.sigma.format.bits, xhat)
                                  : arith::divide_to(centred * (Wide{1} << numerator_shift),
                                                     Wide{divisor[c] + 1} << divisor_shift, xhat);
            clips.count(quotient.clipped, xhat.overflow);
            *element = quotient.code;
        }
    }
    show_lanes(machinery, issue, work, LaneWaves::out, operation.source, codes);
    show(machinery, moment, {issue.command.layer, Qp::xhat}, box, xhat.format, codes.data(), clips);
    write_tile(machinery.memories, operation.destination, box, codes);
    return work;
}

}  // namespace wagesim::rtl
