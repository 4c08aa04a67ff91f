// A vector over the channels on its way to a quantisation point.
#pragma once

#include <cstdint>
#include <vector>

#include "vector/tap.h"
#include "wagesim/arith/quantize.h"

namespace wagesim::rtl {

struct ChannelVector {
    std::vector<std::int64_t> codes;
    Counts counts;

    void take(const arith::Quantized& quantized, Overflow overflow) {
        counts.count(quantized.clipped, overflow);
        codes.push_back(quantized.code);
    }
};

}  // namespace wagesim::rtl
