// The products of a row of operands with a tile of weights, columns side by side.
#pragma once

#include <cstdint>
#include <vector>

#include "array/pe_kernels.h"
#include "buffer/accumulators.h"

namespace wagesim::rtl {

/// `k` x `columns` weights, laid out for the host's vector registers.
class TileProducts {
public:
    /// `largest_product`: of an operand and a weight, in magnitude.
    TileProducts(std::int32_t k, std::int32_t columns, std::int64_t largest_product);

    void set_weight(std::int32_t k, std::int32_t column, std::int16_t weight) {
        weights_[index(k, column)] = weight;
    }

    /// The exact sums of all k products, added to an accumulator row. Behind an odd k must be a 0.
    void add_sums(const std::int16_t* operands, Accumulators& accumulators, std::int64_t row,
                  bool start, const std::int64_t* bias);
    /// The products of one reduction index, one a column, until the next call.
    const std::int64_t* products(std::int32_t k, std::int16_t operand);

private:
    std::size_t index(std::int32_t k, std::int32_t column) const;

    const std::int32_t columns_, pairs_;  // reduction indices two by two
    const bool narrow_;                   // a sum fits 32 bits
    std::vector<std::int16_t> weights_;   // blocks of pe_lanes columns, each [pair][column][2]
    std::vector<std::int32_t> narrow_sums_;
    std::vector<std::int64_t> sums_;
};

}  // namespace wagesim::rtl
