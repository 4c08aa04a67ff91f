// Integer codes as little-endian bytes of a buffer.
#include "vector/codes.h"

#include <string>
#include <type_traits>

namespace wagesim::rtl {
namespace {

template <int bytes>
void decode_width(const std::uint8_t* from, std::int64_t count, bool is_signed, std::int64_t* to) {
    constexpr int unused = 64 - 8 * bytes;
    for (std::int64_t i = 0; i < count; ++i) {
        std::uint64_t raw = 0;
        for (int byte = 0; byte < bytes; ++byte)
            raw |= std::uint64_t{from[i * bytes + byte]} << (8 * byte);
        to[i] = is_signed ? static_cast<std::int64_t>(raw << unused) >> unused
                          : static_cast<std::int64_t>(raw);
    }
}

template <int bytes>
bool encode_width(const std::int64_t* from, std::int64_t count, bool is_signed, std::uint8_t* to) {
    constexpr int bits = 8 * bytes;
    std::int64_t low = INT64_MIN, high = INT64_MAX;
    if constexpr (bits < 64) {
        low = is_signed ? -(std::int64_t{1} << (bits - 1)) : 0;
        high = is_signed ? (std::int64_t{1} << (bits - 1)) - 1 : (std::int64_t{1} << bits) - 1;
    } else if (!is_signed) {
        low = 0;
    }
    bool fits = true;
    for (std::int64_t i = 0; i < count; ++i) {
        fits = fits && from[i] >= low && from[i] <= high;
        const auto raw = static_cast<std::uint64_t>(from[i]);
        for (int byte = 0; byte < bytes; ++byte)
            to[i * bytes + byte] = static_cast<std::uint8_t>(raw >> (8 * byte));
    }
    return fits;
}

/// Calls f(integral_constant<int, bytes>).
template <class Function>
auto with_width(int bytes, Function f) {
    switch (bytes) {
        case 1:
            return f(std::integral_constant<int, 1>{});
        case 2:
            return f(std::integral_constant<int, 2>{});
        case 3:
            return f(std::integral_constant<int, 3>{});
        case 4:
            return f(std::integral_constant<int, 4>{});
        case 5:
            return f(std::integral_constant<int, 5>{});
        case 6:
            return f(std::integral_constant<int, 6>{});
        case 7:
            return f(std::integral_constant<int, 7>{});
        case 8:
            return f(std::integral_constant<int, 8>{});
        default:
            throw MachineError("codes of " + std::to_string(bytes) + " bytes; 1 to 8 exist");
    }
}

}  // namespace

void decode(const std::uint8_t* from, std::int64_t count, int bytes, bool is_signed,
            std::int64_t* to) {
    with_width(bytes, [&](auto width) { decode_width<width>(from, count, is_signed, to); });
}

void encode(const std::int64_t* from, std::int64_t count, int bytes, bool is_signed,
            std::uint8_t* to, const Buffer& buffer) {
    const bool fits = with_width(
        bytes, [&](auto width) { return encode_width<width>(from, count, is_signed, to); });
    if (!fits)
        throw MachineError(std::string(buffer.name()) + ": a code does not fit its " +
                           std::to_string(bytes) + (is_signed ? " signed" : " unsigned") +
                           " bytes");
}

std::vector<std::int64_t> read_codes(Buffer& buffer, std::int64_t address, std::int64_t count,
                                     int bytes, bool is_signed) {
    std::vector<std::int64_t> codes(static_cast<std::size_t>(count));
    decode(buffer.read(address, count * bytes), count, bytes, is_signed, codes.data());
    return codes;
}

void write_codes(Buffer& buffer, std::int64_t address, const std::vector<std::int64_t>& codes,
                 int bytes, bool is_signed) {
    const auto count = static_cast<std::int64_t>(codes.size());
    encode(codes.data(), count, bytes, is_signed, buffer.write(address, count * bytes), buffer);
}

}  // namespace wagesim::rtl
