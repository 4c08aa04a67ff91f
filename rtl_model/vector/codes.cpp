// Integer codes as little-endian bytes of a buffer.
#include "vector/codes.h"

#include <algorithm>
#include <cstring>
#include <string>
#include <type_traits>

namespace wagesim::rtl {
namespace {

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the host loads codes as they lie");

template <class Piece>
Piece piece_at(const std::uint8_t* from) {
    Piece piece;
    std::memcpy(&piece, from, sizeof piece);
    return piece;
}
template <class Piece>
void put_piece(std::int64_t code, std::uint8_t* to) {
    const auto piece = static_cast<Piece>(code);
    std::memcpy(to, &piece, sizeof piece);
}

/// In pieces of 8, 4, 2 and 1 bytes; only the last one has a sign.
template <int bytes, bool is_signed>
std::int64_t load(const std::uint8_t* from) {
    constexpr int piece = bytes >= 8 ? 8 : bytes >= 4 ? 4 : bytes >= 2 ? 2 : 1;
    using Unsigned = std::conditional_t<
        piece == 8, std::uint64_t,
        std::conditional_t<piece == 4, std::uint32_t,
                           std::conditional_t<piece == 2, std::uint16_t, std::uint8_t>>>;
    if constexpr (piece < bytes)
        return static_cast<std::int64_t>(piece_at<Unsigned>(from)) |
               load<bytes - piece, is_signed>(from + piece) * (std::int64_t{1} << (8 * piece));
    else if constexpr (is_signed)
        return static_cast<std::make_signed_t<Unsigned>>(piece_at<Unsigned>(from));
    else
        return static_cast<std::int64_t>(piece_at<Unsigned>(from));
}

template <int bytes>
void store(std::int64_t code, std::uint8_t* to) {
    if constexpr (bytes >= 8) {
        put_piece<std::uint64_t>(code, to);
    } else if constexpr (bytes >= 4) {
        put_piece<std::uint32_t>(code, to);
        if constexpr (bytes > 4) store<bytes - 4>(code >> 32, to + 4);
    } else if constexpr (bytes >= 2) {
        put_piece<std::uint16_t>(code, to);
        if constexpr (bytes > 2) store<1>(code >> 16, to + 2);
    } else {
        *to = static_cast<std::uint8_t>(code);
    }
}

/// Codes beyond `bytes` bytes leave something above the width when the lowest one is moved to 0.
template <int bytes>
bool encode_width(const std::int64_t* from, std::int64_t count, bool is_signed, std::uint8_t* to) {
    constexpr int bits = 8 * bytes;
    std::uint64_t beyond = 0;
    const std::uint64_t lowest = is_signed ? std::uint64_t{1} << (bits - 1) : 0;
    for (std::int64_t i = 0; i < count; ++i) {
        if constexpr (bits < 64) beyond |= (static_cast<std::uint64_t>(from[i]) + lowest) >> bits;
        store<bytes>(from[i], to + i * bytes);
    }
    if constexpr (bits == 64)
        return is_signed || std::all_of(from, from + count, [](auto code) { return code >= 0; });
    return beyond == 0;
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
    with_width(bytes, [&](auto width) {
        if (is_signed)
            for (std::int64_t i = 0; i < count; ++i) to[i] = load<width, true>(from + i * width);
        else
            for (std::int64_t i = 0; i < count; ++i) to[i] = load<width, false>(from + i * width);
    });
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
