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

/// `flags`: 0 or 1 each.
inline void shift_flagged(const std::uint8_t* flags, std::int64_t count, std::int16_t* codes) {
    for (std::int64_t i = 0; i < count; ++i)
        codes[i] = static_cast<std::int16_t>(codes[i] * (1 + flags[i] * ((1 << flag_shift) - 1)));
}

}  // namespace wagesim::rtl
