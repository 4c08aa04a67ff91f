// NORMALIZE: xhat = (y - mu) / (sigma + eps), one rounding.
#include <algorithm>
#include <string>

#include "vector/bank_ports.h"
#include "vector/channel_quotient.h"
#include "vector/channel_rows.h"
#include "vector/codes.h"
#include "vector/operations.h"
#include "vector/tile_view.h"
#include "vector/vectorized.h"
#include "wagesim/arith/wide.h"

namespace wagesim::rtl {
namespace {

/// y * y_unit - mean[c], at the finer frac of y and mu.
struct Centring {
    std::vector<Wide> mean, largest;  ///< largest magnitude of each channel's results
    Wide y_unit = 1;
    int frac = 0;
};

Centring centring_of(const NormalizeCmd& operation, const std::vector<std::int64_t>& mu,
                     int y_bits) {
    Centring centring;
    const int y_frac = operation.source.frac, mu_frac = operation.mu.format.frac;
    centring.frac = std::max(y_frac, mu_frac);
    centring.y_unit = Wide{1} << (centring.frac - y_frac);
    const Wide largest_y = largest_product(centring.y_unit, y_bits);
    for (const std::int64_t code : mu) {
        centring.mean.push_back(Wide{code} * (Wide{1} << (centring.frac - mu_frac)));
        centring.largest.push_back(largest_y + largest_product(centring.mean.back(), 1));
    }
    return centring;
}

/// Codes to quotients, in place. Returns how many were clipped. `Code` holds what is centred.
template <class Code, class Quotient>
std::int64_t divide_codes(Codes& codes, const Centring& centring, Quotient quotient) {
    const std::vector<Code> means = along_row<Code>(centring.mean);
    const auto unit = static_cast<Code>(centring.y_unit);
    return vectorized(
        [=, all = codes.data(), size = codes.size(), row = means.size(), mean = means.data()] {
            std::int64_t clipped = 0;
            for_each_row(size, row, [&](std::size_t first, std::size_t count) {
                std::int64_t* const code = all + first;
                for (std::size_t i = 0; i < count; ++i) {
                    const auto xhat = quotient(i, static_cast<Code>(code[i]) * unit - mean[i]);
                    clipped += xhat.clipped ? 1 : 0;
                    code[i] = xhat.code;
                }
            });
            return clipped;
        });
}

}  // namespace

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

void normalize(const Machinery& machinery, const Issue& issue, const NormalizeCmd& operation) {
    const Box& box = issue.command.box;
    const Moment moment = issue.first_element();

    Buffer& parameters = machinery.memories.parameters;
    const Quantizer& xhat = operation.xhat;
    Codes codes = read_source(machinery, operation.source, box, moment);
    const Centring centring = centring_of(
        operation,
        read_codes(parameters, operation.mu_address, box.c, 4, operation.mu.format.is_signed),
        width_of(operation.source, codes));
    const ChannelQuotient quotient(
        parameters, {operation.sigma_address, operation.inverse, operation.sigma.format},
        centring.largest, centring.frac, xhat);
    show_lanes(machinery, issue, LaneWaves::in, operation.source, codes);
    Counts counts;
    counts.add_clipped(quotient.with([&](auto zero, auto divide) {
        return divide_codes<decltype(zero)>(codes, centring, divide);
    }),
                       xhat.overflow);
    show_lanes(machinery, issue, LaneWaves::out, operation.source, codes);
    show(machinery, moment, {issue.command.layer, Qp::xhat}, box, xhat.format, codes.data(),
         counts);
    write_tile(machinery, operation.destination, box, codes);
}

}  // namespace wagesim::rtl
