// Sums of two operands' codes, each in its own unit.
#include "vector/weighted_sum.h"

#include "vector/codes.h"
#include "vector/vectorized.h"
#include "wagesim/arith/requantizer.h"
#include "wagesim/arith/saturate.h"
#include "wagesim/arith/wide.h"

namespace wagesim::rtl {
namespace {

/// `Code` holds every sum.
template <class Code, class Fit>
std::int64_t add_each(const Term& a, const Term& b, std::size_t count, Fit fit,
                      std::int64_t* sums) {
    return vectorized([=, a = a.codes, b = b.codes, a_unit = static_cast<Code>(a.unit),
                       b_unit = static_cast<Code>(b.unit)] {
        std::int64_t clipped = 0;
        for (std::size_t i = 0; i < count; ++i) {
            const auto sum =
                fit(static_cast<Code>(a[i]) * a_unit + static_cast<Code>(b[i]) * b_unit);
            clipped += sum.clipped ? 1 : 0;
            sums[i] = sum.code;
        }
        return clipped;
    });
}

Wide largest(const Term& term) { return largest_product(term.unit, term.bits); }

template <class Code>
bool holds(int bits, const Format& sum) {
    return bits <= 8 * static_cast<int>(sizeof(Code)) && arith::Fitter<Code>::holds(sum);
}

}  // namespace

Counts weighted_sum(const Term& a, const Term& b, std::size_t count, const Quantizer& sum,
                    std::int64_t* sums) {
    const int bits = arith::bit_length(arith::magnitude(largest(a) + largest(b))) + 1;
    std::int64_t clipped = 0;
    if (holds<std::int32_t>(bits, sum.format))
        clipped = add_each<std::int32_t>(
            a, b, count, arith::Fitter<std::int32_t>(sum.format, sum.overflow), sums);
    else if (holds<std::int64_t>(bits, sum.format))
        clipped = add_each<std::int64_t>(
            a, b, count, arith::Fitter<std::int64_t>(sum.format, sum.overflow), sums);
    else
        clipped = add_each<Wide>(
            a, b, count,
            [=](Wide exact) {
                const auto fitted = arith::fit(exact, sum.format, sum.overflow);
                return arith::Quantized{static_cast<std::int64_t>(fitted.value), fitted.clipped};
            },
            sums);
    Counts counts;
    counts.add_clipped(clipped, sum.overflow);
    return counts;
}

}  // namespace wagesim::rtl
