// What the PEs of one row do in one cycle or several, on the host's vector registers.
#pragma once

#include <cstdint>

namespace wagesim::rtl {

/// Rows of registers are a multiple of this long: whole vectors of any host.
inline constexpr int pe_lanes = 16;

constexpr int round_up_lanes(int columns) { return (columns + pe_lanes - 1) / pe_lanes * pe_lanes; }

/// Most rows of an array whose products of 16 by 8 bits sum to no more than 31 bits:
/// 2^15 * 2^7 * 2^8 = 2^30.
inline constexpr int narrow_rows = 256;

/// Weight-stationary, one cycle: the sums of row r become those of row r - 1 (row 0: 0)
/// plus operands[r * operand_stride + c] * weights[r * lanes + c]. The 64-bit one for sums that 32
/// bits do not hold.
void step_ws(const std::int32_t* operands, std::int64_t operand_stride, const std::int32_t* weights,
             std::int32_t* sums, int lanes, int rows);
void step_ws(const std::int32_t* operands, std::int64_t operand_stride, const std::int32_t* weights,
             std::int64_t* sums, int lanes, int rows);

/// Output-stationary: the accumulators of a row take one product in each of `count` cycles, in
/// order; weights of cycle i at weights[i * lanes + c]. No sum leaves 64 bits.
///   sums[c] += operands[c - i] * weights[i * lanes + c]
void step_os(const std::int32_t* operands, const std::int32_t* weights, std::int64_t* sums,
             int lanes, int count);

}  // namespace wagesim::rtl
