// Integer codes as little-endian bytes of a buffer.
#include "vector/codes.h"

#include <algorithm>
#include <cstring>
#include <string>
#include <type_traits>

#include "vector/vectorized.h"
#include "wagesim/arith/wide.h"

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

/// Codes whose width no register has: all but the last one in one piece that is longer than they
/// are.
template <int bytes>
constexpr bool is_odd = bytes == 3 || (bytes > 4 && bytes < 8);
template <int bytes>
using Longer = std::conditional_t<bytes == 3, std::int32_t, std::int64_t>;

template <int bytes, bool is_signed>
void decode_width(const std::uint8_t* from, std::int64_t count, std::int64_t* to) {
    std::int64_t i = 0;
    if constexpr (is_odd<bytes>) {
        using Piece =
            std::conditional_t<is_signed, Longer<bytes>, std::make_unsigned_t<Longer<bytes>>>;
        constexpr int unused = 8 * (static_cast<int>(sizeof(Piece)) - bytes);
        for (; i < count - 1; ++i) {
            const auto raised = piece_at<std::make_unsigned_t<Piece>>(from + i * bytes) << unused;
            to[i] = static_cast<std::int64_t>(static_cast<Piece>(raised) >> unused);
        }
    }
    for (; i < count; ++i) to[i] = load<bytes, is_signed>(from + i * bytes);
}

/// Codes beyond `bytes` bytes leave something above the width when the lowest one is moved to 0.
template <int bytes>
bool encode_width(const std::int64_t* from, std::int64_t count, bool is_signed, std::uint8_t* to) {
    constexpr int bits = 8 * bytes;
    std::uint64_t beyond = 0;
    const std::uint64_t lowest = is_signed ? std::uint64_t{1} << (bits - 1) : 0;
    if constexpr (bits < 64)
        for (std::int64_t i = 0; i < count; ++i)
            beyond |= (static_cast<std::uint64_t>(from[i]) + lowest) >> bits;
    std::int64_t i = 0;
    if constexpr (is_odd<bytes>)
        for (; i < count - 1; ++i) put_piece<Longer<bytes>>(from[i], to + i * bytes);
    for (; i < count; ++i) store<bytes>(from[i], to + i * bytes);
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
    with_width(bytes, [=](auto width) {
        vectorized([=] {
            if (is_signed)
                decode_width<width, true>(from, count, to);
            else
                decode_width<width, false>(from, count, to);
        });
    });
}

void encode(const std::int64_t* from, std::int64_t count, int bytes, bool is_signed,
            std::uint8_t* to, const Buffer& buffer) {
    const bool fits = with_width(bytes, [=](auto width) {
        return vectorized([=] { return encode_width<width>(from, count, is_signed, to); });
    });
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

Codes read_codes(CodePool& pool, Buffer& buffer, std::int64_t address, std::int64_t count,
                 int bytes, bool is_signed) {
    Codes codes = pool.take(count);
    decode(buffer.read(address, count * bytes), count, bytes, is_signed, codes.data());
    return codes;
}

void write_codes(Buffer& buffer, std::int64_t address, const std::vector<std::int64_t>& codes,
                 int bytes, bool is_signed) {
    const auto count = static_cast<std::int64_t>(codes.size());
    encode(codes.data(), count, bytes, is_signed, buffer.write(address, count * bytes), buffer);
}

void write_codes(Buffer& buffer, std::int64_t address, const Codes& codes, int bytes,
                 bool is_signed) {
    const auto count = static_cast<std::int64_t>(codes.size());
    encode(codes.data(), count, bytes, is_signed, buffer.write(address, count * bytes), buffer);
}

int width_of(const Codes& codes) {
    const std::uint64_t used = vectorized([code = codes.data(), size = codes.size()] {
        std::uint64_t all = 0;
        for (std::size_t i = 0; i < size; ++i)
            all |= static_cast<std::uint64_t>(code[i] < 0 ? ~code[i] : code[i]);
        return all;
    });
    return arith::bit_length(used) + 1;
}

Wide largest_product(Wide factor, int bits) {
    constexpr int enough = 100;
    const arith::UnsignedWide size = arith::magnitude(factor);
    return arith::bit_length(size) + bits > enough ? Wide{1} << enough
                                                   : static_cast<Wide>(size << (bits - 1));
}

}  // namespace wagesim::rtl
