// Every kernel for sums of products that this host has, against the definition.
#include <gtest/gtest.h>

#include <array>
#include <random>
#include <vector>

#include "array/pe_kernels.h"

namespace wagesim::rtl {
namespace {

using Matrix = std::vector<std::vector<std::int16_t>>;

/// rows x k and k x pe_lanes.
struct Product {
    Matrix operands, weights;
};

/// Operands row by row, or in pairs of columns as a gradient's are.
void expect_sums(const Product& product, bool turned, const std::string& what) {
    const auto rows = static_cast<std::int64_t>(product.operands.size());
    const auto k = static_cast<std::int64_t>(product.weights.size());
    const std::int64_t pairs = (k + 1) / 2, lanes = 2 * pe_lanes;
    OperandBlock block;
    block.rows = rows;
    block.length = turned ? 2 : 2 * pairs;
    block.distance = turned ? 2 * rows : 2;
    std::vector<std::int16_t> operands(static_cast<std::size_t>(rows * 2 * pairs), 77);
    std::vector<std::int16_t> weights(static_cast<std::size_t>(2 * pairs * pe_lanes));
    std::vector<std::int32_t> first(static_cast<std::size_t>(rows * lanes)), expected;
    for (std::size_t i = 0; i < first.size(); ++i) first[i] = static_cast<std::int32_t>(i) - 40;
    expected = first;
    for (std::int64_t j = 0; j < k; ++j) {
        const std::vector<std::int16_t>& weight = product.weights[static_cast<std::size_t>(j)];
        for (int c = 0; c < pe_lanes; ++c)
            weights[static_cast<std::size_t>((j / 2 * pe_lanes + c) * 2 + j % 2)] =
                weight[static_cast<std::size_t>(c)];
        for (std::int64_t r = 0; r < rows; ++r) {
            const std::int16_t operand =
                product.operands[static_cast<std::size_t>(r)][static_cast<std::size_t>(j)];
            operands[static_cast<std::size_t>(r * block.length + j / 2 * block.distance + j % 2)] =
                operand;
            for (int c = 0; c < pe_lanes; ++c)
                expected[static_cast<std::size_t>(r * lanes + c)] +=
                    operand * weight[static_cast<std::size_t>(c)];
        }
    }
    block.operands = operands.data();
    const std::vector<AddProducts*> kernels = add_products_kernels();
    for (std::size_t i = 0; i < kernels.size(); ++i) {
        std::vector<std::int32_t> sums = first;
        kernels[i](block, weights.data(), static_cast<int>(pairs), sums.data(), lanes);
        ASSERT_EQ(sums, expected) << what << (turned ? ", turned" : "") << ", kernel " << i;
    }
}

TEST(ProductKernels, MultiplyEveryTwoCodesOfEightBits) {
    for (int w = -128; w < 128; w += pe_lanes) {
        Product product;
        for (int a = -128; a < 128; ++a) product.operands.push_back({static_cast<std::int16_t>(a)});
        product.weights.resize(1);
        for (int c = 0; c < pe_lanes; ++c)
            product.weights[0].push_back(static_cast<std::int16_t>(w + c));
        expect_sums(product, false, "weights from " + std::to_string(w));
    }
}

TEST(ProductKernels, AddEveryNumberOfRowsAndProductsOfTheExtremes) {
    // Codes of 8 bits; those with a flag, 15; those of 16, which only 8 may meet.
    const std::array<std::int16_t, 5> narrow{-128, -127, -1, 0, 127};
    const std::array<std::int16_t, 7> flagged{-128 * 128, 127 * 128, -128, -1, 0, 1, 127};
    const std::array<std::int16_t, 4> wide{-32768, 32767, 1, 0};
    std::mt19937 random(1);
    const auto matrix = [&](std::size_t rows, std::size_t columns, const auto& values) {
        Matrix made(rows, std::vector<std::int16_t>(columns));
        for (auto& row : made)
            for (auto& value : row) value = values[random() % values.size()];
        return made;
    };
    for (std::size_t k = 1; k <= 18; ++k)
        for (std::size_t rows = 1; rows <= 9; ++rows)
            for (const bool turned : {false, true}) {
                const std::string what = std::to_string(rows) + " rows, k " + std::to_string(k);
                expect_sums({matrix(rows, k, narrow), matrix(k, pe_lanes, narrow)}, turned, what);
                expect_sums({matrix(rows, k, flagged), matrix(k, pe_lanes, narrow)}, turned, what);
                expect_sums({matrix(rows, k, narrow), matrix(k, pe_lanes, flagged)}, turned, what);
                expect_sums({matrix(rows, k, wide), matrix(k, pe_lanes, narrow)}, turned, what);
            }
}

TEST(ProductKernels, KeepTheSmallestCodesApart) {
    // As large as a sum in 32 bits may be: one pair of products, and one product of 16 bits.
    expect_sums({{{-16384, -16384}},
                 {std::vector<std::int16_t>(pe_lanes, -16384),
                  std::vector<std::int16_t>(pe_lanes, -16384)}},
                false, "flagged");
    expect_sums({{{-32768}}, {std::vector<std::int16_t>(pe_lanes, -32768)}}, false, "16 bits");
}

}  // namespace
}  // namespace wagesim::rtl
