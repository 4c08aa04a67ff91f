// The products of rows of operands with a tile of weights, columns side by side.
#pragma once

#include <cstdint>
#include <vector>

#include "array/pe_kernels.h"
#include "buffer/accumulators.h"
#include "buffer/aligned.h"

namespace wagesim::rtl {

/// `k` x `columns` weights, laid out for the host's vector registers.
class TileProducts {
public:
    /// Weight (r, c) at [r * stride + c]. `largest_product`: of an operand and a weight, in
    /// magnitude.
    void set(std::int32_t k, std::int32_t columns, const std::int16_t* weights, std::int64_t stride,
             std::int64_t largest_product);

    /// The exact sums of all k products of each row, added to accumulator rows from `row` on.
    void add_sums(const OperandBlock& block, Accumulators& accumulators, std::int64_t row,
                  bool start, const std::int64_t* bias);
    /// The products of one reduction index, one a column, until the next call.
    const std::int64_t* products(std::int32_t k, std::int16_t operand);

private:
    template <class Sum>
    void add_sums(std::vector<Sum>& sums, const OperandBlock& block, Accumulators& accumulators,
                  std::int64_t row, bool start, const std::int64_t* bias);
    /// Of an even k and the first of pe_lanes columns.
    std::size_t index(std::int32_t k, std::int32_t column) const {
        return static_cast<std::size_t>(column * pairs_ + k / 2 * pe_lanes) * 2;
    }

    std::int32_t columns_ = 0, lanes_ = 0, pairs_ = 0;  // reduction indices two by two
    std::int64_t most_ = 0;                             // no sum of k products is larger
    AlignedVector<std::int16_t> weights_;  // blocks of pe_lanes columns, each [pair][column][2]
    std::vector<std::int32_t> narrow_sums_;
    std::vector<std::int64_t> sums_;
};

}  // namespace wagesim::rtl
