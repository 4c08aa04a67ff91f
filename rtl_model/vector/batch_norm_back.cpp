// BN_BACK: what the sums of a batch norm's error (or a bias') become.
#include <algorithm>

#include "vector/channel_vector.h"
#include "vector/codes.h"
#include "vector/error_sums.h"
#include "vector/operations.h"
#include "vector/scale.h"
#include "wagesim/arith/quantize.h"

namespace wagesim::rtl {
namespace {

constexpr int sum_bits = 48;

/// sum / count, from `frac` fraction bits, rounded once.
arith::Quantized mean(std::int64_t sum, std::int64_t count, int frac, const Quantizer& quantizer) {
    const int up = quantizer.format.frac - frac;
    return arith::divide_to(Wide{sum} * (Wide{1} << std::max(up, 0)),
                            Wide{count} << std::max(-up, 0), quantizer);
}

}  // namespace

Work duration(const MachineConfig& config, const Box& box, const BnBack& operation) {
    const std::int64_t quotients = operation.bias ? 1 : 2;
    return {quotients * box.c * config.channel_divider_cycles, 1, -1};
}

void batch_norm_back(const Machinery& machinery, const Issue& issue, const BnBack& operation) {
    const Box box = channels_of(issue.command.box);
    if (operation.count < 1) throw MachineError("BN_BACK: means of no elements");

    Buffer& parameters = machinery.memories.parameters;
    const int exponent = unit_of(parameters, operation.scale).exponent;
    const int frac = operation.e_frac, product_frac = frac + operation.xhat_frac;
    const auto show_vector = [&](Qp qp, const Format& format,
                                 const std::vector<std::int64_t>& codes, const Counts& counts) {
        show(machinery, issue.first_element(), {issue.command.layer, qp}, box, format, codes.data(),
             counts);
    };
    const auto deliver = [&](Qp qp, const Quantizer& quantizer, const ChannelVector& vector,
                             int with, std::int64_t address) {
        show_vector(qp, with_exponent(quantizer.format, with), vector.codes, vector.counts);
        write_codes(parameters, address, vector.codes, 4, quantizer.format.is_signed);
    };

    std::vector<std::int64_t> errors, products;
    ChannelVector m1, m2, g_gamma, g_beta;
    for (const ErrorSums& sums : read_error_sums(parameters, operation.sums_address, box.c)) {
        errors.push_back(sums.errors);
        g_beta.take(arith::requantize(Wide{sums.errors}, frac - exponent, operation.g_beta),
                    operation.g_beta.overflow);
        if (operation.bias) continue;
        products.push_back(sums.products);
        g_gamma.take(
            arith::requantize(Wide{sums.products}, product_frac - exponent, operation.g_gamma),
            operation.g_gamma.overflow);
        m1.take(mean(sums.errors, operation.count, frac, operation.m1), operation.m1.overflow);
        m2.take(mean(sums.products, operation.count, product_frac, operation.m2),
                operation.m2.overflow);
    }
    if (operation.bias) {
        deliver(Qp::gBias, operation.g_beta, g_beta, 0, operation.beta_address);
        return;
    }
    show_vector(Qp::g_beta, Format{sum_bits, frac, true, exponent}, errors, Counts{});
    show_vector(Qp::g_gamma, Format{sum_bits, product_frac, true, exponent}, products, Counts{});
    deliver(Qp::m1, operation.m1, m1, exponent, operation.m1_address);
    deliver(Qp::m2, operation.m2, m2, exponent, operation.m2_address);
    deliver(Qp::gBN_beta, operation.g_beta, g_beta, 0, operation.beta_address);
    deliver(Qp::gBN_gamma, operation.g_gamma, g_gamma, 0, operation.gamma_address);
}

}  // namespace wagesim::rtl
