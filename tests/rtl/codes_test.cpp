// How codes and planes of bits lie in bytes.
#include "vector/codes.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <vector>

#include "vector/bit_plane.h"

namespace wagesim::rtl {
namespace {

TEST(CodesTest, OfEveryWidthLieInTheirBytesLowOnesFirst) {
    const Buffer buffer("activations", 64);
    for (int bytes = 1; bytes <= 8; ++bytes)
        for (const bool is_signed : {true, false}) {
            SCOPED_TRACE(::testing::Message() << bytes << (is_signed ? " signed" : " unsigned"));
            const auto most = static_cast<std::int64_t>(
                ~std::uint64_t{0} >> (64 - 8 * bytes + (is_signed || bytes == 8 ? 1 : 0)));
            const std::int64_t least = is_signed ? -most - 1 : 0;
            const std::vector<std::int64_t> codes{least, most, 0, most / 3, least, 1, most};
            const auto count = static_cast<std::int64_t>(codes.size());
            std::vector<std::uint8_t> at(codes.size() * static_cast<std::size_t>(bytes) + 1, 0xA5);
            encode(codes.data(), count, bytes, is_signed, at.data(), buffer);
            std::vector<std::uint8_t> expected;
            for (const std::int64_t code : codes)
                for (int byte = 0; byte < bytes; ++byte)
                    expected.push_back(static_cast<std::uint8_t>(code >> (8 * byte)));
            expected.push_back(0xA5);  // the next one's
            EXPECT_EQ(at, expected);
            std::vector<std::int64_t> back(codes.size());
            decode(at.data(), count, bytes, is_signed, back.data());
            EXPECT_EQ(back, codes);
        }
}

TEST(CodesTest, RefuseWhatIsOneBeyondAnyWidth) {
    const Buffer buffer("activations", 64);
    const auto fits = [&](std::int64_t code, int bytes, bool is_signed) {
        const std::vector<std::int64_t> codes{0, code, 0};
        std::vector<std::uint8_t> at(24);
        try {
            encode(codes.data(), 3, bytes, is_signed, at.data(), buffer);
        } catch (const MachineError&) {
            return false;
        }
        return true;
    };
    for (int bytes = 1; bytes <= 7; ++bytes) {
        const std::int64_t half = std::int64_t{1} << (8 * bytes - 1);
        EXPECT_TRUE(fits(half - 1, bytes, true) && fits(-half, bytes, true)) << bytes;
        EXPECT_FALSE(fits(half, bytes, true) || fits(-half - 1, bytes, true)) << bytes;
        EXPECT_TRUE(fits(2 * half - 1, bytes, false)) << bytes;
        EXPECT_FALSE(fits(2 * half, bytes, false) || fits(-1, bytes, false)) << bytes;
    }
    EXPECT_TRUE(fits(-1, 8, true));
    EXPECT_FALSE(fits(-1, 8, false));
}

TEST(BitPlaneTest, ValuesOfEveryWidthAreFoundFromEveryFirst) {
    constexpr std::int64_t count = 20;
    for (int bits = 1; bits <= 8; ++bits)
        for (std::int64_t first = 0; first < 17; ++first) {
            std::vector<std::uint8_t> at(static_cast<std::size_t>(((first + count) * bits + 7) / 8),
                                         0xFF);
            std::vector<std::uint8_t> values, found(count);
            for (std::int64_t i = 0; i < count; ++i) {
                values.push_back(static_cast<std::uint8_t>((i * 37 + 11) % (1 << bits)));
                for (std::int64_t bit = 0; bit < bits; ++bit) {
                    const std::int64_t place = (first + i) * bits + bit;
                    if ((values.back() >> bit & 1) == 0)
                        at[static_cast<std::size_t>(place / 8)] &=
                            static_cast<std::uint8_t>(~(1U << (place % 8)));
                }
            }
            unpack(at.data(), first, count, bits, found.data());
            ASSERT_EQ(found, values) << bits << " bits from " << first;
        }
}

}  // namespace
}  // namespace wagesim::rtl
