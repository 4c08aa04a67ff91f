// BN_COEF: factors that stand for a batch norm's division, one per channel.
#include <algorithm>
#include <string>

#include "vector/codes.h"
#include "vector/operations.h"
#include "wagesim/arith/quantize.h"
#include "wagesim/arith/reciprocal.h"

namespace wagesim::rtl {
namespace {

constexpr int mantissa_bits = 16;

/// numerator * 2^sigma.frac / (sigma + 1) with a 16-bit mantissa, as a code of `frac` fraction
/// bits. eps is one code of sigma.
std::int64_t over_sigma(std::int64_t numerator, std::int64_t sigma, int sigma_frac, int frac) {
    const std::int64_t size = numerator < 0 ? -numerator : numerator;
    const arith::Mantissa16 quotient = arith::nearest16(size, sigma + 1);
    const int up = quotient.exponent + sigma_frac + frac;
    if (quotient.mantissa != 0 && (up < 0 || up > 46))
        throw MachineError("BN_COEF: a factor does not fit 8 bytes at frac " +
                           std::to_string(frac));
    const std::int64_t code = quotient.mantissa == 0 ? 0 : std::int64_t{quotient.mantissa} << up;
    return numerator < 0 ? -code : code;
}

}  // namespace

Work duration(const MachineConfig& config, const Box& box, const BnCoef&) {
    return {std::int64_t{box.c} * config.channel_divider_cycles, 1, -1};
}

void batch_norm_coefficients(const Machinery& machinery, const Issue& issue,
                             const BnCoef& operation) {
    const Box box = channels_of(issue.command.box);
    const Moment moment = issue.first_element();
    const std::int32_t layer = issue.command.layer;
    const Format& sigma_format = operation.sigma.format;

    Buffer& parameters = machinery.memories.parameters;
    const std::vector<std::int64_t> sigma =
        read_codes(parameters, operation.sigma_address, box.c, 4, sigma_format.is_signed);
    for (const std::int64_t s : sigma)
        if (s < 0) throw MachineError("BN_COEF: a negative sigma");
    std::vector<std::int64_t> factors;

    if (operation.kind == BnCoef::Kind::inverse) {
        const int frac = sigma_format.bits;
        for (const std::int64_t s : sigma)
            factors.push_back(over_sigma(1, s, sigma_format.frac, frac));
        if (operation.is_shown)
            show(machinery, moment, {layer, Qp::inv}, box,
                 Format{mantissa_bits + frac, frac, false, 0}, factors.data(), Counts{});
        write_codes(parameters, operation.out_address, factors, 8, true);
        return;
    }

    const auto read = [&](std::int64_t address, const Quantizer& quantizer, int bytes) {
        return read_codes(parameters, address, box.c, bytes, quantizer.format.is_signed);
    };
    const std::vector<std::int64_t> mu = read(operation.mu_address, operation.mu, 4);
    const std::vector<std::int64_t> gamma =
        read(operation.gamma_address, operation.gamma, bytes_of(operation.gamma.format.bits));
    const std::vector<std::int64_t> beta =
        read(operation.beta_address, operation.beta, bytes_of(operation.beta.format.bits));

    const int factor_frac = sigma_format.bits + operation.gamma.format.frac;
    const int product_frac = factor_frac + operation.mu.format.frac;
    const int frac = std::max(product_frac, operation.beta.format.frac);
    std::vector<std::int64_t> offsets;
    Counts offset_counts;
    for (std::size_t c = 0; c < sigma.size(); ++c) {
        // gamma's code: its frac is in factor_frac.
        const std::int64_t factor =
            over_sigma(gamma[c], sigma[c], sigma_format.frac, sigma_format.bits);
        const Wide product = Wide{factor} * mu[c] * (Wide{1} << (frac - product_frac));
        const Wide shifted_beta = beta[c] * (Wide{1} << (frac - operation.beta.format.frac));
        const arith::Quantized offset =
            arith::requantize(shifted_beta - product, frac, operation.fold_b);
        offset_counts.count(offset.clipped, operation.fold_b.overflow);
        factors.push_back(factor);
        offsets.push_back(offset.code);
    }
    const int factor_bits = operation.gamma.format.bits + mantissa_bits + sigma_format.bits;
    show(machinery, moment, {layer, Qp::fold_a}, box, Format{factor_bits, factor_frac, true, 0},
         factors.data(), Counts{});
    show(machinery, moment, {layer, Qp::fold_b}, box, operation.fold_b.format, offsets.data(),
         offset_counts);
    write_codes(parameters, operation.out_address, factors, 8, true);
    write_codes(parameters, operation.out_b_address, offsets, 8, true);
}

}  // namespace wagesim::rtl
