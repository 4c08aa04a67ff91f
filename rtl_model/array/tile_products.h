// The products of a pixel's operands with a tile of weights, columns side by side.
#pragma once

#include <cstdint>
#include <vector>

namespace wagesim::rtl {

/// |operand * weight| is at most this, weights having one byte.
constexpr std::int64_t largest_product(int operand_bytes) {
    return std::int64_t{1} << (8 * operand_bytes - 1 + 7);
}

/// `k` x `columns` weights, laid out for the host's vector registers.
class TileProducts {
public:
    TileProducts(std::int32_t k, std::int32_t columns, int operand_bytes);

    void set_weight(std::int32_t k, std::int32_t column, std::int16_t weight) {
        weights_[index(k, column)] = weight;
    }

    // One a column, until the next call.
    /// The exact sums of all k products.
    const std::int64_t* sums(const std::int16_t* operands);
    /// The products of one reduction index.
    const std::int64_t* products(std::int32_t k, std::int16_t operand);

private:
    std::size_t index(std::int32_t k, std::int32_t column) const;
    template <class Sum>
    void sum_blocks(const std::int16_t* operands);

    const std::int32_t k_, columns_;
    const bool narrow_;                  // a sum fits 32 bits
    std::vector<std::int16_t> weights_;  // blocks of columns, each [k][block]
    std::vector<std::int64_t> results_;
};

}  // namespace wagesim::rtl
