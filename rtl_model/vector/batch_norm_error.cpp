// BN_ERROR: the error at a batch norm's input.
#include <algorithm>

#include "vector/bank_ports.h"
#include "vector/channel_quotient.h"
#include "vector/channel_rows.h"
#include "vector/codes.h"
#include "vector/operations.h"
#include "vector/scale.h"
#include "vector/tile_view.h"
#include "vector/vectorized.h"
#include "wagesim/arith/wide.h"

namespace wagesim::rtl {
namespace {

/// The numerator gamma ((e << (fm + fx)) - (m1 << fx) - xhat m2), per channel
/// e_factor e - xhat_factor xhat - offset.
struct Numerators {
    std::vector<Wide> e_factor, xhat_factor, offset;
    std::vector<Wide> largest;  ///< magnitude of the channel's
    int frac = 0;
};

Numerators numerators_of(const Machinery& machinery, const BnError& operation, int e_frac,
                         std::int64_t channels) {
    Buffer& parameters = machinery.memories.parameters;
    const Format& gamma_format = operation.gamma.format;
    const std::vector<std::int64_t> m1 =
        read_codes(parameters, operation.m1_address, channels, 4, operation.m1.format.is_signed);
    const std::vector<std::int64_t> m2 =
        read_codes(parameters, operation.m2_address, channels, 4, operation.m2.format.is_signed);
    const std::vector<std::int64_t> gamma =
        read_codes(parameters, operation.gamma_address, channels, bytes_of(gamma_format.bits),
                   gamma_format.is_signed);
    std::vector<bool> guarded(gamma.size());
    if (operation.guard_address >= 0) {
        const std::vector<std::int64_t> sigma = read_codes(
            parameters, operation.guard_address, channels, 4, operation.sigma.format.is_signed);
        std::transform(sigma.begin(), sigma.end(), guarded.begin(),
                       [](std::int64_t code) { return code == 0; });
    }

    const int mean_frac = operation.m1.format.frac;
    if (mean_frac < e_frac || operation.m2.format.frac != mean_frac || operation.xhat_frac < 0)
        throw MachineError("BN_ERROR: the fracs of e, m1, m2 and xhat do not fit together");
    Numerators numerators;
    numerators.frac = mean_frac + operation.xhat_frac + gamma_format.frac;
    for (std::size_t c = 0; c < gamma.size(); ++c) {
        const Wide factor = guarded[c] ? 0 : gamma[c];
        const Wide e_unit = Wide{1} << (mean_frac - e_frac + operation.xhat_frac);
        numerators.e_factor.push_back(factor * e_unit);
        numerators.xhat_factor.push_back(factor * m2[c]);
        numerators.offset.push_back(factor * (m1[c] * (Wide{1} << operation.xhat_frac)));
        numerators.largest.push_back(
            largest_product(numerators.e_factor.back(), width_of(operation.source)) +
            largest_product(numerators.xhat_factor.back(), width_of(operation.xhat)) +
            largest_product(numerators.offset.back(), 1));
    }
    return numerators;
}

/// bn_err in place of e. Returns how many were clipped. `Code` holds every numerator.
template <class Code, class Quotient>
std::int64_t divide_codes(Codes& codes, const Codes& xhat, const Numerators& numerators,
                          Quotient quotient) {
    const std::vector<Code> e_factors = along_row<Code>(numerators.e_factor);
    const std::vector<Code> xhat_factors = along_row<Code>(numerators.xhat_factor);
    const std::vector<Code> offsets = along_row<Code>(numerators.offset);
    return vectorized([=, all = codes.data(), all_x = xhat.data(), size = codes.size(),
                       row = offsets.size(), e_factor = e_factors.data(),
                       xhat_factor = xhat_factors.data(), offset = offsets.data()] {
        std::int64_t clipped = 0;
        for_each_row(size, row, [&](std::size_t first, std::size_t count) {
            std::int64_t* const code = all + first;
            const std::int64_t* const x = all_x + first;
            for (std::size_t i = 0; i < count; ++i) {
                const auto e = static_cast<Code>(code[i]), normal = static_cast<Code>(x[i]);
                const auto error =
                    quotient(i, e_factor[i] * e - xhat_factor[i] * normal - offset[i]);
                clipped += error.clipped ? 1 : 0;
                code[i] = error.code;
            }
        });
        return clipped;
    });
}

}  // namespace

Work duration(const MachineConfig& config, const Box& box, const BnError& operation) {
    BankPorts ports(config);
    ports.move(operation.source, box);
    ports.move(operation.xhat, box);
    if (operation.destination.address >= 0) ports.move(operation.destination, box);
    constexpr int quotient = 32;
    std::int64_t cycles = beats(config, operation.source, box);
    if (config.divider == DividerKind::iterative && !operation.inverse) cycles *= quotient / 2;
    return {std::max(cycles, ports.cycles()),
            config.vector_depth_cycles + (operation.inverse ? 0 : quotient + 2), -1};
}

void batch_norm_error(const Machinery& machinery, const Issue& issue, const BnError& operation) {
    const Box& box = issue.command.box;
    Buffer& parameters = machinery.memories.parameters;
    const Unit unit = unit_of(parameters, operation.scale);
    const Quantizer& bn_err = operation.bn_err;
    const Numerators numerators = numerators_of(machinery, operation, unit.frac, box.c);
    const ChannelQuotient quotient(
        parameters, {operation.sigma_address, operation.inverse, operation.sigma.format},
        numerators.largest, numerators.frac, bn_err);

    Codes codes = read_tile(machinery, operation.source, box);
    const Codes xhat = read_tile(machinery, operation.xhat, box);
    show_lanes(machinery, issue, LaneWaves::in, operation.source, codes);
    show_lanes(machinery, issue, LaneWaves::in_2, operation.xhat, xhat);
    Counts counts;
    counts.add_clipped(quotient.with([&](auto zero, auto divide) {
        return divide_codes<decltype(zero)>(codes, xhat, numerators, divide);
    }),
                       bn_err.overflow);
    show(machinery, issue.first_element(), operation.qp, box,
         with_exponent(bn_err.format, unit.exponent), codes.data(), counts);
    gather_largest(parameters, operation.largest_address, codes);
    show_lanes(machinery, issue, LaneWaves::out, operation.source, codes);
    if (operation.destination.address >= 0)
        write_tile(machinery, operation.destination, box, codes);
}

}  // namespace wagesim::rtl
