// The products of a row of operands with a tile of weights, columns side by side.
#include "array/tile_products.h"

#include <limits>

namespace wagesim::rtl {

TileProducts::TileProducts(std::int32_t k, std::int32_t columns, std::int64_t largest_product)
    : columns_(columns),
      pairs_((k + 1) / 2),
      narrow_(k * largest_product <= std::numeric_limits<std::int32_t>::max()) {
    const auto lanes = static_cast<std::size_t>(round_up_lanes(columns));
    weights_.resize(lanes * static_cast<std::size_t>(2 * pairs_));
    narrow_sums_.resize(lanes);
    sums_.resize(lanes);
}

std::size_t TileProducts::index(std::int32_t k, std::int32_t column) const {
    return static_cast<std::size_t>(
        ((column / pe_lanes * pairs_ + k / 2) * pe_lanes + column % pe_lanes) * 2 + k % 2);
}

void TileProducts::add_sums(const std::int16_t* operands, Accumulators& accumulators,
                            std::int64_t row, bool start, const std::int64_t* bias) {
    for (std::int32_t c = 0; c < columns_; c += pe_lanes) {
        const std::int16_t* const weights = weights_.data() + index(0, c);
        if (narrow_)
            sum_products(operands, weights, pairs_, narrow_sums_.data() + c);
        else
            sum_products(operands, weights, pairs_, sums_.data() + c);
    }
    if (narrow_)
        accumulators.add_row(row, columns_, narrow_sums_.data(), start, bias);
    else
        accumulators.add_row(row, columns_, sums_.data(), start, bias);
}

const std::int64_t* TileProducts::products(std::int32_t k, std::int16_t operand) {
    for (std::int32_t c = 0; c < columns_; ++c)
        sums_[static_cast<std::size_t>(c)] = std::int64_t{operand} * weights_[index(k, c)];
    return sums_.data();
}

}  // namespace wagesim::rtl
