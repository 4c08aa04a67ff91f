// The array's operands by vectors, against one element after the other.
#include "array/operand_kernels.h"

#include <gtest/gtest.h>

#include <random>
#include <vector>

namespace wagesim::rtl {
namespace {

TEST(OperandKernels, WidenAndShiftEveryLengthLikeOneElementAfterTheOther) {
    std::mt19937 random(1);
    for (std::int32_t count = 1; count <= 70; ++count) {
        const std::int64_t pixels = 3, stride = count + 5, bit_stride = count / 8 + 2,
                           length = count + 3;
        std::vector<std::uint8_t> codes(static_cast<std::size_t>(pixels * stride));
        std::vector<std::uint8_t> bits(static_cast<std::size_t>(pixels * bit_stride));
        for (auto& code : codes) code = static_cast<std::uint8_t>(random());
        for (auto& bit : bits) bit = static_cast<std::uint8_t>(random());

        std::vector<std::int16_t> operands(static_cast<std::size_t>(pixels * length), 77);
        std::vector<std::int16_t> expected = operands;
        for (std::int64_t p = 0; p < pixels; ++p)
            for (std::int64_t i = 0; i < count; ++i) {
                const int byte = codes[static_cast<std::size_t>(p * stride + i)];
                const int code = byte < 128 ? byte : byte - 256;
                const int flag =
                    bits[static_cast<std::size_t>(p * bit_stride + i / 8)] >> (i % 8) & 1;
                expected[static_cast<std::size_t>(p * length + i)] =
                    static_cast<std::int16_t>(flag == 1 ? code * 128 : code);
            }
        widen_codes(codes.data(), stride, pixels, count, operands.data(), length);
        shift_by_bits(bits.data(), bit_stride, pixels, count, operands.data(), length);
        ASSERT_EQ(operands, expected) << count << " operands a pixel";
    }
}

}  // namespace
}  // namespace wagesim::rtl
