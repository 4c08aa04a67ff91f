// BN_STAT: mean, variance and standard deviation of a batch norm's channels, and their running
// averages.
#include <algorithm>
#include <string>

#include "vector/channel_vector.h"
#include "vector/codes.h"
#include "vector/operations.h"
#include "vector/statistics.h"
#include "wagesim/arith/isqrt.h"
#include "wagesim/arith/quantize.h"

namespace wagesim::rtl {
namespace {

/// numerator * 2^up / denominator with two bits beyond the quotient: the last is set if anything
/// is left, so that one rounding of the result is the rounding of the exact quotient. A serial
/// divider: the numerator times 2^up may need more bits than any register has.
Wide divide_serially(Wide numerator, int up, Wide denominator) {
    const bool negative = numerator < 0;
    const Wide size = negative ? -numerator : numerator;
    Wide quotient = size / denominator;
    Wide remainder = size % denominator;
    for (int bit = 0; bit < up + 1; ++bit) {
        if ((quotient >> 124) != 0) throw MachineError("BN_STAT: a variance beyond 124 bits");
        remainder *= 2;
        quotient *= 2;
        if (remainder >= denominator) {
            remainder -= denominator;
            quotient += 1;
        }
    }
    quotient = quotient * 2 + (remainder != 0 ? 1 : 0);
    return negative ? -quotient : quotient;
}

/// (n SS - S^2) / n^2.
arith::Quantized variance(const ChannelStatistics& channel, std::int64_t count, int source_frac,
                          const Quantizer& var) {
    if (channel.sum_of_squares > 0 &&
        arith::bit_length(static_cast<arith::UnsignedWide>(channel.sum_of_squares)) +
                arith::bit_length(static_cast<arith::UnsignedWide>(count)) >
            126)
        throw MachineError("BN_STAT: n SS needs more than 126 bits");
    const Wide scatter = count * channel.sum_of_squares - Wide{channel.sum} * channel.sum;
    const Wide squared_count = Wide{count} * count;
    const int up = var.format.frac - 2 * source_frac;
    const Wide quotient = divide_serially(scatter, std::max(up, 0), squared_count);
    return arith::requantize(quotient, 2 + var.format.frac + std::max(-up, 0), var);
}

/// The root of var's code; its frac is half of var's.
arith::Quantized standard_deviation(std::int64_t var, const Quantizer& sigma) {
    const auto code = static_cast<std::uint64_t>(std::max<std::int64_t>(var, 0));
    // No root is a tie, so all roundings to nearest are one.
    const bool truncates =
        sigma.rounding == Rounding::floor || sigma.rounding == Rounding::toward_zero;
    const auto root = static_cast<std::int64_t>(truncates ? arith::isqrt_floor(code)
                                                          : arith::isqrt_rounded(code));
    return arith::requantize(root, sigma.format.frac, sigma);
}

/// r + RNE((m - r) / 2^t).
arith::Quantized move_average(std::int64_t running, std::int64_t measured, int up, int shift,
                              const Quantizer& quantizer) {
    const Wide difference = Wide{measured} * (Wide{1} << up) - running;
    const Wide moved = running + arith::shift_right(difference, shift, quantizer.rounding);
    const arith::Clipped<Wide> fitted = arith::fit(moved, quantizer.format, quantizer.overflow);
    return {static_cast<std::int64_t>(fitted.value), fitted.clipped};
}

/// Places by which a measured value goes up to its running average's frac.
int places_up(const Quantizer& running, const Quantizer& measured, const char* what) {
    const int up = running.format.frac - measured.format.frac;
    if (up < 0)
        throw MachineError(std::string("BN_STAT: ") + what +
                           " has fewer fraction bits than what it averages");
    return up;
}

}  // namespace

Work duration(const MachineConfig& config, const Box& box, const BnStat&) {
    return {2 * std::int64_t{box.c} * config.channel_divider_cycles + config.sqrt_cycles, 1, -1};
}

void batch_norm_statistics(const Machinery& machinery, const Issue& issue,
                           const BnStat& operation) {
    const Box box = channels_of(issue.command.box);
    const Moment moment = issue.first_element();
    if (operation.count < 1) throw MachineError("BN_STAT: statistics of no elements");
    if (operation.var.format.frac != 2 * operation.sigma.format.frac)
        throw MachineError("BN_STAT: var's frac " + std::to_string(operation.var.format.frac) +
                           " is not twice sigma's");
    const int mu_up = places_up(operation.run_mu, operation.mu, "run_mu");
    const int sigma_up = places_up(operation.run_sigma, operation.sigma, "run_sigma");

    Buffer& parameters = machinery.memories.parameters;
    const auto read = [&](std::int64_t address, const Quantizer& quantizer) {
        return read_codes(parameters, address, box.c, 4, quantizer.format.is_signed);
    };
    const std::vector<std::int64_t> old_mu = read(operation.run_mu_address, operation.run_mu);
    const std::vector<std::int64_t> old_sigma =
        read(operation.run_sigma_address, operation.run_sigma);

    std::vector<std::int64_t> sums;
    std::vector<Wide> sums_of_squares;
    ChannelVector mu, var, sigma, run_mu, run_sigma;
    for (std::int64_t c = 0; c < box.c; ++c) {
        const ChannelStatistics channel =
            read_statistics(parameters, operation.statistics_address + c * statistics_bytes);
        sums.push_back(channel.sum);
        sums_of_squares.push_back(channel.sum_of_squares);

        const int up = operation.mu.format.frac - operation.source_frac;
        mu.take(arith::divide_to(channel.sum * (Wide{1} << std::max(up, 0)),
                                 Wide{operation.count} << std::max(-up, 0), operation.mu),
                operation.mu.overflow);
        var.take(variance(channel, operation.count, operation.source_frac, operation.var),
                 operation.var.overflow);
        sigma.take(standard_deviation(var.codes.back(), operation.sigma), operation.sigma.overflow);

        const auto i = static_cast<std::size_t>(c);
        run_mu.take(
            move_average(old_mu[i], mu.codes[i], mu_up, operation.running_shift, operation.run_mu),
            operation.run_mu.overflow);
        run_sigma.take(move_average(old_sigma[i], sigma.codes[i], sigma_up, operation.running_shift,
                                    operation.run_sigma),
                       operation.run_sigma.overflow);
    }

    const auto show_vector = [&](Qp qp, const Quantizer& quantizer, const ChannelVector& vector) {
        show(machinery, moment, {issue.command.layer, qp}, box, quantizer.format,
             vector.codes.data(), vector.counts);
    };
    show(machinery, moment, {issue.command.layer, Qp::S}, box,
         Format{sum_bits, operation.source_frac, true, 0}, sums.data(), Counts{});
    show_wide(machinery, moment, {issue.command.layer, Qp::SS}, box,
              Format{sum_of_squares_bits, 2 * operation.source_frac, false, 0},
              sums_of_squares.data());
    show_vector(Qp::mu, operation.mu, mu);
    show_vector(Qp::var, operation.var, var);
    show_vector(Qp::sigma, operation.sigma, sigma);
    show_vector(Qp::run_mu, operation.run_mu, run_mu);
    show_vector(Qp::run_sigma, operation.run_sigma, run_sigma);

    const auto write = [&](std::int64_t address, const Quantizer& quantizer,
                           const ChannelVector& vector) {
        write_codes(parameters, address, vector.codes, 4, quantizer.format.is_signed);
    };
    write(operation.mu_address, operation.mu, mu);
    write(operation.sigma_address, operation.sigma, sigma);
    write(operation.run_mu_address, operation.run_mu, run_mu);
    write(operation.run_sigma_address, operation.run_sigma, run_sigma);
}

}  // namespace wagesim::rtl
