// Q of a tile's codes.
#pragma once

#include <cstdint>

#include "vector/tap.h"
#include "wagesim/format/format.h"

namespace wagesim::rtl {

/// In place, for codes of at most `bits` bits. Counts saturations, wraps and underflows.
Counts quantize_codes(std::int64_t* codes, std::size_t count, int from_frac,
                      const Quantizer& quantizer, int bits);

}  // namespace wagesim::rtl
