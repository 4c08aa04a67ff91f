// Integer codes as little-endian bytes of a buffer.
#pragma once

#include <cstdint>
#include <vector>

#include "buffer/buffer.h"
#include "vector/code_pool.h"
#include "wagesim/tensor/tensor.h"

namespace wagesim::rtl {

/// Two's complement (or unsigned) codes of 1..8 bytes each.
void decode(const std::uint8_t* from, std::int64_t count, int bytes, bool is_signed,
            std::int64_t* to);

/// Throws MachineError naming `buffer` if a code does not fit `bytes` bytes.
void encode(const std::int64_t* from, std::int64_t count, int bytes, bool is_signed,
            std::uint8_t* to, const Buffer& buffer);

/// `count` consecutive codes.
std::vector<std::int64_t> read_codes(Buffer& buffer, std::int64_t address, std::int64_t count,
                                     int bytes, bool is_signed);
Codes read_codes(CodePool& pool, Buffer& buffer, std::int64_t address, std::int64_t count,
                 int bytes, bool is_signed);
void write_codes(Buffer& buffer, std::int64_t address, const std::vector<std::int64_t>& codes,
                 int bytes, bool is_signed);
void write_codes(Buffer& buffer, std::int64_t address, const Codes& codes, int bytes,
                 bool is_signed);

/// Bits of the widest code, sign included.
int width_of(const Codes& codes);
/// The largest magnitude of `factor` times a code of `bits` bits; 2^100, which no lane holds, where
/// it is more.
Wide largest_product(Wide factor, int bits);

/// Bytes that a code of `bits` bits takes in the parameter RAM where its width decides.
inline int bytes_of(int bits) { return (bits + 7) / 8; }

}  // namespace wagesim::rtl
