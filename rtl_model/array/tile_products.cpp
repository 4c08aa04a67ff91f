// The products of rows of operands with a tile of weights, columns side by side.
#include "array/tile_products.h"

#include <algorithm>
#include <array>
#include <limits>

#include "array/operand_kernels.h"

namespace wagesim::rtl {

void TileProducts::set(std::int32_t k, std::int32_t columns, const std::int16_t* weights,
                       std::int64_t stride, std::int64_t largest_product) {
    columns_ = columns;
    lanes_ = round_up_lanes(columns);
    pairs_ = (k + 1) / 2;
    most_ = k * largest_product;
    weights_.resize(static_cast<std::size_t>(lanes_) * static_cast<std::size_t>(2 * pairs_));
    if (columns < lanes_) std::fill(weights_.begin(), weights_.end(), std::int16_t{0});
    static constexpr std::array<std::int16_t, pe_lanes> zeros{};  // behind an odd k
    for (std::int32_t c = 0; c < columns; c += pe_lanes)
        for (std::int32_t r = 0; r < k; r += 2) {
            const std::int16_t* const even = weights + r * stride + c;
            interleave(even, r + 1 < k ? even + stride : zeros.data(),
                       std::min(pe_lanes, columns - c), weights_.data() + index(r, c));
        }
}

template <class Sum>
void TileProducts::add_sums(std::vector<Sum>& sums, const OperandBlock& block,
                            Accumulators& accumulators, std::int64_t row, bool start,
                            const std::int64_t* bias) {
    sums.assign(static_cast<std::size_t>(block.rows * lanes_), 0);
    for (std::int32_t c = 0; c < columns_; c += pe_lanes)
        add_products(block, weights_.data() + index(0, c), pairs_, sums.data() + c, lanes_);
    accumulators.add_rows(row, block.rows, columns_, sums.data(), lanes_, start, bias);
}

void TileProducts::add_sums(const OperandBlock& block, Accumulators& accumulators, std::int64_t row,
                            bool start, const std::int64_t* bias) {
    static_assert(Accumulators::narrow_lanes % pe_lanes == 0);
    std::int32_t* const sums =
        accumulators.narrow_rows(row, block.rows, columns_, most_, start, bias);
    if (sums != nullptr)
        for (std::int32_t c = 0; c < columns_; c += pe_lanes)
            add_products(block, weights_.data() + index(0, c), pairs_, sums + c,
                         accumulators.narrow_distance());
    else if (most_ <= std::numeric_limits<std::int32_t>::max())
        add_sums(narrow_sums_, block, accumulators, row, start, bias);
    else
        add_sums(sums_, block, accumulators, row, start, bias);
}

const std::int64_t* TileProducts::products(std::int32_t k, std::int16_t operand) {
    sums_.resize(static_cast<std::size_t>(lanes_));
    for (std::int32_t c = 0; c < columns_; ++c)
        sums_[static_cast<std::size_t>(c)] =
            std::int64_t{operand} * weights_[index(k, c / pe_lanes * pe_lanes) +
                                             static_cast<std::size_t>(c % pe_lanes * 2 + k % 2)];
    return sums_.data();
}

}  // namespace wagesim::rtl
