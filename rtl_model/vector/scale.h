// Scale records of block-scaled tensors, and the units that they give to codes.
#pragma once

#include <cstdint>
#include <vector>

#include "buffer/buffer.h"
#include "vector/code_pool.h"
#include "wagesim/program/command.h"

namespace wagesim::rtl {

/// As it lies in the parameter RAM (program/operands.h).
struct ScaleRecord {
    std::uint64_t largest = 0;  ///< magnitude of the tensor's codes
    int exponent = 0, frac = 0;
    int s = 0;  ///< round(log2 of the largest value)
};

std::uint64_t read_largest(Buffer& parameters, std::int64_t address);
ScaleRecord read_scale(Buffer& parameters, std::int64_t address);
/// Throws MachineError where a number does not fit its bytes.
void write_scale(Buffer& parameters, std::int64_t address, const ScaleRecord& record);

/// The largest magnitude among the record's and the codes'; address -1: nobody asks for it.
void gather_largest(Buffer& parameters, std::int64_t address, const Codes& codes);

/// A code's value is code * 2^(exponent - frac).
struct Unit {
    int exponent = 0, frac = 0;
    int log2() const { return exponent - frac; }
};
Unit unit_of(Buffer& parameters, const ScaleView& view);

/// The operands of a fork in their common unit (docs/training.md, fork).
struct CommonUnit {
    Unit unit;  ///< none takes part: exponent -128, the first operand's frac
    /// Of each operand's codes: to the left; negative: to the right, rounded. Operands that are all
    /// zero take no part.
    struct Shift {
        bool takes_part = false;
        int left = 0;
    };
    std::vector<Shift> shifts;
};
CommonUnit common_unit(Buffer& parameters, const std::vector<Exponent::Operand>& operands);

}  // namespace wagesim::rtl
