// What many PEs do, on the host's vector registers.
#pragma once

#include <cstdint>
#include <vector>

namespace wagesim::rtl {

/// Rows of registers are a multiple of this long: whole vectors of any host.
inline constexpr int pe_lanes = 16;

constexpr int round_up_lanes(int columns) { return (columns + pe_lanes - 1) / pe_lanes * pe_lanes; }

/// Weight-stationary, one cycle: the sums of row r become those of row r - 1 (row 0: 0)
/// plus operands[r * operand_stride + c] * weights[r * lanes + c]. The 64-bit one for sums that 32
/// bits do not hold.
void step_ws(const std::int32_t* operands, std::int64_t operand_stride, const std::int32_t* weights,
             std::int32_t* sums, int lanes, int rows);
void step_ws(const std::int32_t* operands, std::int64_t operand_stride, const std::int32_t* weights,
             std::int64_t* sums, int lanes, int rows);

/// Rows of operands in pairs: operands 2 j and 2 j + 1 of row r at [r * length + j * distance].
struct OperandBlock {
    const std::int16_t* operands = nullptr;
    std::int64_t rows = 0, length = 0, distance = 2;
};

/// Adds exact sums of products to `pe_lanes` columns, row by row: to sums[r * lanes + c] the sum
/// over j < pairs and i < 2 of operand 2 j + i of row r times weights[(j * pe_lanes + c) * 2 + i].
void add_products(const OperandBlock& block, const std::int16_t* weights, int pairs,
                  std::int32_t* sums, std::int64_t lanes);
void add_products(const OperandBlock& block, const std::int16_t* weights, int pairs,
                  std::int64_t* sums, std::int64_t lanes);
/// The kernels that this host has, the fastest first, which is the one that is used.
using AddProducts = void(const OperandBlock&, const std::int16_t*, int, std::int32_t*,
                         std::int64_t);
std::vector<AddProducts*> add_products_kernels();

/// Output-stationary: the accumulators of a row take one product in each of `count` cycles, in
/// order; weights of cycle i at weights[i * lanes + c]. No sum leaves 64 bits.
///   sums[c] += operands[c - i] * weights[i * lanes + c]
void step_os(const std::int32_t* operands, const std::int32_t* weights, std::int64_t* sums,
             int lanes, int count);

}  // namespace wagesim::rtl
