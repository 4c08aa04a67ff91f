// SOFTMAX: logits and labels -> the loss error (docs/training.md, Loss).
#include <algorithm>
#include <array>
#include <string>

#include "vector/bank_ports.h"
#include "vector/codes.h"
#include "vector/operations.h"
#include "vector/scale.h"
#include "vector/tile_view.h"
#include "wagesim/arith/isqrt.h"
#include "wagesim/arith/quantize.h"

namespace wagesim::rtl {
namespace {

constexpr int x_frac = 15;              // of T and of x
constexpr std::int64_t log2_e = 47274;  // at frac 15
constexpr int table_bits = 8;
constexpr std::int64_t table_size = std::int64_t{1} << table_bits;

/// T[i] = round(2^(i / 256) 2^15). Each bit of i stands for a root: the square root of 2, its
/// square root, and so on; they are multiplied with 62 fraction bits, of which rounding takes far
/// less than the distance of any T[i] from a tie.
constexpr std::array<std::int32_t, table_size> powers_of_two() {
    constexpr int frac = 62;
    std::array<std::uint64_t, table_bits> roots{};  // [j]: 2^(2^j / 256)
    arith::UnsignedWide power = arith::UnsignedWide{2} << frac;
    for (int j = table_bits - 1; j >= 0; --j) {
        roots[static_cast<std::size_t>(j)] = arith::isqrt_rounded(power << frac);
        power = roots[static_cast<std::size_t>(j)];
    }
    std::array<std::int32_t, table_size> table{};
    for (std::size_t i = 0; i < table.size(); ++i) {
        arith::UnsignedWide product = arith::UnsignedWide{1} << frac;
        for (std::size_t j = 0; j < roots.size(); ++j)
            if ((i >> j & 1U) != 0) product = (product * roots[j]) >> frac;
        constexpr int dropped = frac - x_frac;
        table[i] = static_cast<std::int32_t>(
            (product + (arith::UnsignedWide{1} << (dropped - 1))) >> dropped);
    }
    return table;
}
constexpr std::array<std::int32_t, table_size> table = powers_of_two();

/// 2^u, at frac 15, for u <= 0 of `frac` fraction bits.
std::int64_t power_of_two(std::int64_t u, int frac) {
    const std::int64_t floor = u >> frac;
    const std::int64_t fraction = u - floor * (std::int64_t{1} << frac);
    const std::int64_t i =
        frac >= table_bits ? fraction >> (frac - table_bits) : fraction << (table_bits - frac);
    return -floor > x_frac ? 0 : table[static_cast<std::size_t>(i)] >> -floor;
}

/// p of one image's logits.
void softmax_of(const std::int64_t* z, std::int64_t classes, int z_frac, const Quantizer& p,
                std::int64_t* out, Counts& counts) {
    const std::int64_t largest = *std::max_element(z, z + classes);
    std::int64_t sum = 0;
    for (std::int64_t c = 0; c < classes; ++c) {
        out[c] = power_of_two(log2_e * (z[c] - largest), z_frac + x_frac);
        sum += out[c];
    }
    for (std::int64_t c = 0; c < classes; ++c) {
        const arith::Quantized quantized = arith::divide_to(Wide{out[c]} << p.format.frac, sum, p);
        counts.count(quantized.clipped, p.overflow);
        out[c] = quantized.code;
    }
}

}  // namespace

Work duration(const MachineConfig& config, const Box& box, const Softmax& operation) {
    const bool squares = operation.squares;
    BankPorts ports(config);
    ports.move(operation.source, box);
    ports.move(operation.destination, box);
    ports.move(Space::activations, operation.label_address, box.pixels(), box.pixels());
    const std::int64_t passes = squares ? 1 : 3;  // the largest, the sum, the quotients
    constexpr int quotient = 16;
    return {std::max(passes * beats(config, operation.source, box), ports.cycles()),
            config.vector_depth_cycles + (squares ? 0 : quotient + 2), -1};
}

void softmax(const Machinery& machinery, const Issue& issue, const Softmax& operation) {
    const Box& box = issue.command.box;
    const bool squares = operation.squares;
    const Moment moment = issue.first_element();

    const int z_frac = operation.source.frac;
    const int p_frac = squares ? z_frac : operation.p.format.frac;
    if (p_frac < 0 || p_frac > 60 || z_frac + x_frac < 0)
        throw MachineError("SOFTMAX: 1 does not exist at frac " + std::to_string(p_frac));
    if (width_of(operation.source) > 40)
        throw MachineError("SOFTMAX: logits of " + std::to_string(operation.source.bytes) +
                           " bytes");
    const Codes z = read_source(machinery, operation.source, box, moment);
    const std::vector<std::int64_t> labels =
        read_codes(machinery.memories.activations, operation.label_address, box.pixels(), 1, false);
    show_lanes(machinery, issue, LaneWaves::in, operation.source, z);

    Codes codes = machinery.pool.take(box.size());
    if (squares) {
        std::copy(z.begin(), z.end(), codes.begin());
    } else {
        Counts counts;
        for (std::int64_t i = 0; i < box.size(); i += box.c)
            softmax_of(z.data() + i, box.c, z_frac, operation.p, codes.data() + i, counts);
        show(machinery, moment, operation.p_qp, box, operation.p.format, codes.data(), counts);
    }
    Counts counts;
    for (std::int64_t i = 0; i < box.size(); ++i) {
        const auto at = static_cast<std::size_t>(i);
        const bool is_hot = labels[at / static_cast<std::size_t>(box.c)] == box.c0 + i % box.c;
        const arith::Quantized error = arith::requantize(
            codes[at] - (is_hot ? std::int64_t{1} << p_frac : 0), p_frac, operation.e0);
        counts.count(error.clipped, operation.e0.overflow);
        codes[at] = error.code;
    }
    show(machinery, moment, operation.e0_qp, box,
         with_exponent(operation.e0.format, operation.exponent), codes.data(), counts);
    gather_largest(machinery.memories.parameters, operation.largest_address, codes);
    show_lanes(machinery, issue, LaneWaves::out, operation.source, codes);
    write_tile(machinery, operation.destination, box, codes);
}

}  // namespace wagesim::rtl
