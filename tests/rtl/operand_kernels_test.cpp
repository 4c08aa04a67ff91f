// The array's operands by vectors, against one element after the other.
#include "array/operand_kernels.h"

#include <gtest/gtest.h>

#include <random>
#include <vector>

namespace wagesim::rtl {
namespace {

std::int16_t code_of(std::uint8_t byte) {
    return static_cast<std::int16_t>(byte < 128 ? byte : byte - 256);
}

std::vector<std::uint8_t> random_bytes(std::int64_t count, std::mt19937& random) {
    std::vector<std::uint8_t> bytes(static_cast<std::size_t>(count));
    for (auto& byte : bytes) byte = static_cast<std::uint8_t>(random());
    return bytes;
}

TEST(OperandKernels, WidenAndShiftEveryLengthLikeOneElementAfterTheOther) {
    std::mt19937 random(1);
    for (std::int32_t count = 1; count <= 70; ++count) {
        const std::int64_t pixels = 3, first = count % 4 == 0 ? 0 : count % 17, stride = count + 5,
                           bit_stride = count / 8 + 4, length = count + 3;
        const std::vector<std::uint8_t> codes = random_bytes(pixels * stride, random);
        const std::vector<std::uint8_t> bits = random_bytes(pixels * bit_stride, random);

        std::vector<std::int16_t> operands(static_cast<std::size_t>(pixels * length), 77);
        std::vector<std::int16_t> expected = operands;
        for (std::int64_t p = 0; p < pixels; ++p)
            for (std::int64_t i = 0; i < count; ++i) {
                const int code = code_of(codes[static_cast<std::size_t>(p * stride + i)]);
                const std::int64_t place = first + i;
                const int flag =
                    bits[static_cast<std::size_t>(p * bit_stride + place / 8)] >> (place % 8) & 1;
                expected[static_cast<std::size_t>(p * length + i)] =
                    static_cast<std::int16_t>(flag == 1 ? code * 128 : code);
            }
        widen_codes(codes.data(), stride, pixels, count, operands.data(), length);
        shift_by_bits(bits.data(), first, bit_stride, pixels, count, operands.data(), length);
        ASSERT_EQ(operands, expected) << count << " operands a pixel, from bit " << first;
    }
}

TEST(OperandKernels, TurnTilesOfEverySize) {
    std::mt19937 random(1);
    for (std::int32_t rows = 1; rows <= 33; ++rows)
        for (std::int32_t columns = 1; columns <= 17; ++columns) {
            const std::int64_t stride = rows + 3, length = columns + 2;
            const std::vector<std::uint8_t> codes = random_bytes(columns * stride, random);
            std::vector<std::int16_t> tile(static_cast<std::size_t>(rows * length), 77);
            std::vector<std::int16_t> expected = tile;
            for (std::int64_t c = 0; c < columns; ++c)
                for (std::int64_t r = 0; r < rows; ++r)
                    expected[static_cast<std::size_t>(r * length + c)] =
                        code_of(codes[static_cast<std::size_t>(c * stride + r)]);
            widen_turned(codes.data(), stride, columns, rows, tile.data(), length);
            ASSERT_EQ(tile, expected) << rows << " x " << columns;
        }
}

TEST(OperandKernels, InterleaveEveryLength) {
    for (std::int64_t count = 1; count <= 50; ++count) {
        std::vector<std::int16_t> even, odd, expected;
        for (std::int64_t i = 0; i < count; ++i) {
            even.push_back(static_cast<std::int16_t>(1000 + i));
            odd.push_back(static_cast<std::int16_t>(-1000 - i));
            expected.push_back(even.back());
            expected.push_back(odd.back());
        }
        expected.push_back(77);
        std::vector<std::int16_t> pairs(expected.size(), 77);
        interleave(even.data(), odd.data(), count, pairs.data());
        ASSERT_EQ(pairs, expected);
    }
}

}  // namespace
}  // namespace wagesim::rtl
