// What the PEs of one row do in one cycle or several, on the host's vector registers.
// Compiled once per instruction set; the best one of the host is taken at run time.
#include "array/pe_kernels.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "array/pe_kernels.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace wagesim::rtl::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

void add_products_32(const std::int32_t* operands, const std::int32_t* weights,
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

void accumulate_products_64(const std::int32_t* operands, const std::int32_t* weights,
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

HWY_EXPORT(add_products_32);
HWY_EXPORT(accumulate_products_64);

void add_products(const std::int32_t* operands, const std::int32_t* weights,
                  const std::int32_t* above, std::int32_t* below, int lanes, int count) {
    HWY_DYNAMIC_DISPATCH(add_products_32)(operands, weights, above, below, lanes, count);
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
    HWY_DYNAMIC_DISPATCH(accumulate_products_64)(operands, weights, sums, lanes, count);
}

}  // namespace wagesim::rtl
#endif
