// The products of a pixel's operands with a tile of weights, columns side by side.
#include "array/tile_products.h"

#include <algorithm>
#include <limits>

namespace wagesim::rtl {
namespace {

/// Columns that are summed side by side: what the host's registers hold.
constexpr std::int32_t block = 16;

/// sums[c] = sum over j of operands[j] * weights[j * block + c].
template <class Sum>
void sum_products(const std::int16_t* operands, const std::int16_t* weights, std::int32_t k,
                  std::int64_t* sums) {
    Sum partial[block] = {};
    for (std::int32_t j = 0; j < k; ++j) {
        const Sum operand = operands[j];
        for (std::int32_t c = 0; c < block; ++c)
            partial[c] += operand * static_cast<Sum>(weights[j * block + c]);
    }
    std::copy(partial, partial + block, sums);
}

}  // namespace

TileProducts::TileProducts(std::int32_t k, std::int32_t columns, int operand_bytes)
    : k_(k),
      columns_(columns),
      narrow_(k * largest_product(operand_bytes) <= std::numeric_limits<std::int32_t>::max()),
      results_(static_cast<std::size_t>((columns + block - 1) / block * block)) {
    weights_.resize(results_.size() * static_cast<std::size_t>(k));
}

std::size_t TileProducts::index(std::int32_t k, std::int32_t column) const {
    return static_cast<std::size_t>((column / block * k_ + k) * block + column % block);
}

template <class Sum>
void TileProducts::sum_blocks(const std::int16_t* operands) {
    for (std::int32_t c = 0; c < columns_; c += block)
        sum_products<Sum>(operands, weights_.data() + index(0, c), k_, results_.data() + c);
}

const std::int64_t* TileProducts::sums(const std::int16_t* operands) {
    if (narrow_)
        sum_blocks<std::int32_t>(operands);
    else
        sum_blocks<std::int64_t>(operands);
    return results_.data();
}

const std::int64_t* TileProducts::products(std::int32_t k, std::int16_t operand) {
    for (std::int32_t c = 0; c < columns_; ++c)
        results_[static_cast<std::size_t>(c)] = std::int64_t{operand} * weights_[index(k, c)];
    return results_.data();
}

}  // namespace wagesim::rtl
