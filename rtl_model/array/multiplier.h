// How wide the codes are that enter a multiplier, and what products they make.
#pragma once

#include <cstdint>
#include <string>

#include "buffer/buffer.h"
#include "wagesim/program/command.h"

namespace wagesim::rtl {

/// A set flag shifts a code so far to the left.
inline constexpr int flag_shift = 7;

/// Bits of an operand or a weight. Throws MachineError for bytes that no port has.
inline int multiplier_bits(int bytes, const BitPlane& flags) {
    if (bytes < 1 || bytes > 2 || (bytes == 2 && flags.exists()))
        throw MachineError("GEMM: codes of " + std::to_string(bytes) + " bytes" +
                           (flags.exists() ? " with flags; 1 exists" : "; 1 and 2 exist"));
    return 8 * bytes + (flags.exists() ? flag_shift : 0);
}

/// |operand * weight| is at most this.
constexpr std::int64_t largest_product(int operand_bits, int weight_bits) {
    return std::int64_t{1} << (operand_bits - 1 + weight_bits - 1);
}

}  // namespace wagesim::rtl
