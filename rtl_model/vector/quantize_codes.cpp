// Q of a tile's codes.
#include "vector/quantize_codes.h"

#include "vector/vectorized.h"
#include "wagesim/arith/quantize.h"
#include "wagesim/arith/requantizer.h"

namespace wagesim::rtl {
namespace {

template <class Code, class Quantize>
Counts quantize_each(std::int64_t* codes, std::size_t count, Overflow overflow, Quantize quantize) {
    return vectorized([=] {
        std::int64_t clipped = 0, zeroed = 0;
        for (std::size_t i = 0; i < count; ++i) {
            const auto code = static_cast<Code>(codes[i]);
            const auto quantized = quantize(code);
            clipped += quantized.clipped ? 1 : 0;
            zeroed += (quantized.code == 0) & (code != 0) ? 1 : 0;
            codes[i] = quantized.code;
        }
        Counts counts;
        counts.add_clipped(clipped, overflow);
        counts.underflows = zeroed;
        return counts;
    });
}

}  // namespace

Counts quantize_codes(std::int64_t* codes, std::size_t count, int from_frac,
                      const Quantizer& quantizer, int bits) {
    const arith::Requantizer<std::int32_t> narrow(from_frac, quantizer, bits);
    if (narrow.fits()) return quantize_each<std::int32_t>(codes, count, quantizer.overflow, narrow);
    const arith::Requantizer<std::int64_t> wider(from_frac, quantizer, bits);
    if (wider.fits()) return quantize_each<std::int64_t>(codes, count, quantizer.overflow, wider);
    return quantize_each<Wide>(codes, count, quantizer.overflow, [=](Wide code) {
        return arith::requantize(code, from_frac, quantizer);
    });
}

}  // namespace wagesim::rtl
