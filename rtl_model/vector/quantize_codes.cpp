// Q of a tile's codes.
#include "vector/quantize_codes.h"

#include "wagesim/arith/quantize.h"
#include "wagesim/arith/requantizer.h"

namespace wagesim::rtl {
namespace {

template <class Quantize>
Counts quantize_each(std::int64_t* codes, std::size_t count, Overflow overflow, Quantize quantize) {
    std::int64_t clipped = 0, zeroed = 0;
    for (std::size_t i = 0; i < count; ++i) {
        const arith::Quantized quantized = quantize(codes[i]);
        clipped += quantized.clipped ? 1 : 0;
        zeroed += (quantized.code == 0) & (codes[i] != 0) ? 1 : 0;
        codes[i] = quantized.code;
    }
    Counts counts;
    counts.add_clipped(clipped, overflow);
    counts.underflows = zeroed;
    return counts;
}

}  // namespace

Counts quantize_codes(std::int64_t* codes, std::size_t count, int from_frac,
                      const Quantizer& quantizer, int bits) {
    const arith::Requantizer narrow(from_frac, quantizer, bits);
    if (narrow.fits()) return quantize_each(codes, count, quantizer.overflow, narrow);
    return quantize_each(codes, count, quantizer.overflow, [&](std::int64_t code) {
        return arith::requantize(Wide{code}, from_frac, quantizer);
    });
}

}  // namespace wagesim::rtl
