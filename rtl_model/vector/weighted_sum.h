// Sums of two operands' codes, each in its own unit.
#pragma once

#include <cstddef>
#include <cstdint>

#include "vector/tap.h"
#include "wagesim/format/format.h"

namespace wagesim::rtl {

/// Codes of at most `bits` bits, of which one stands for `unit` in the sum.
struct Term {
    const std::int64_t* codes;
    Wide unit;
    int bits;
};

/// a + b, exact, fitted to a register. `sums` may be the codes of a. Counts what did not fit.
Counts weighted_sum(const Term& a, const Term& b, std::size_t count, const Quantizer& sum,
                    std::int64_t* sums);

}  // namespace wagesim::rtl
