// What the PEs of one row do in one cycle or several, on the host's vector registers.
//
// Compiled by foreach_target.h once for the compiler's own instruction set and once for AVX2.
// Highway's run-time choice among them lives in a library whose loading alone takes 5 ms; asking
// the processor takes none.
#include "array/pe_kernels.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "array/pe_kernels.cpp"
#include <hwy/detect_targets.h>
#undef HWY_TARGETS
#define HWY_TARGETS ((HWY_ATTAINABLE_TARGETS & HWY_AVX2) | HWY_STATIC_TARGET)
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace wagesim::rtl::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

void add_products(const std::int32_t* operands, const std::int32_t* weights,
                  const std::int32_t* above, std::int32_t* below, int lanes, int count) {
    const hn::CappedTag<std::int32_t, pe_lanes> d;
    const int step = static_cast<int>(hn::Lanes(d));
    for (int c = 0; c < lanes; c += step) {
        const auto weight = hn::LoadU(d, weights + c);
        for (int i = 0; i < count; ++i) {
            const auto product = hn::Mul(hn::LoadU(d, operands + (c - i)), weight);
            hn::StoreU(hn::Add(hn::LoadU(d, above + i * lanes + c), product), d,
                       below + i * lanes + c);
        }
    }
}

void accumulate_products(const std::int32_t* operands, const std::int32_t* weights,
                         std::int64_t* sums, int lanes, int count) {
    const hn::CappedTag<std::int64_t, pe_lanes> d;
    const hn::Rebind<std::int32_t, decltype(d)> half;
    const int step = static_cast<int>(hn::Lanes(d));
    for (int c = 0; c < lanes; c += step) {
        auto sum = hn::LoadU(d, sums + c);
        for (int i = 0; i < count; ++i) {
            const auto product = hn::Mul(hn::LoadU(half, operands + (c - i)),
                                         hn::LoadU(half, weights + i * lanes + c));
            sum = hn::Add(sum, hn::PromoteTo(d, product));
        }
        hn::StoreU(sum, d, sums + c);
    }
}

}  // namespace wagesim::rtl::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace wagesim::rtl {

#if HWY_TARGETS & HWY_AVX2
const bool has_avx2 = __builtin_cpu_supports("avx2") != 0;
#define WAGESIM_BEST(function) (has_avx2 ? N_AVX2::function : HWY_STATIC_DISPATCH(function))
#else
#define WAGESIM_BEST(function) HWY_STATIC_DISPATCH(function)
#endif

void add_products(const std::int32_t* operands, const std::int32_t* weights,
                  const std::int32_t* above, std::int32_t* below, int lanes, int count) {
    WAGESIM_BEST(add_products)(operands, weights, above, below, lanes, count);
}

void add_products(const std::int32_t* operands, const std::int32_t* weights,
                  const std::int64_t* above, std::int64_t* below, int lanes, int count) {
    for (int i = 0; i < count; ++i)
        for (int c = 0; c < lanes; ++c)
            below[i * lanes + c] =
                above[i * lanes + c] + std::int64_t{operands[c - i]} * weights[c];
}

void accumulate_products(const std::int32_t* operands, const std::int32_t* weights,
                         std::int64_t* sums, int lanes, int count) {
    WAGESIM_BEST(accumulate_products)(operands, weights, sums, lanes, count);
}

}  // namespace wagesim::rtl
#endif
