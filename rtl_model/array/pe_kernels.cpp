// What many PEs do, on the host's vector registers.
//
// Compiled by foreach_target.h once for the compiler's own instruction set and once for AVX2.
// Highway's run-time choice among them lives in a library whose loading alone takes 5 ms; asking
// the processor takes none.
#include "array/pe_kernels.h"

#include <cstring>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "array/pe_kernels.cpp"
#include <hwy/detect_targets.h>
#undef HWY_TARGETS
#define HWY_TARGETS ((HWY_ATTAINABLE_TARGETS & HWY_AVX2) | HWY_STATIC_TARGET)
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#ifndef WAGESIM_SUM_EACH_PRODUCT
#define WAGESIM_SUM_EACH_PRODUCT
namespace wagesim::rtl {
namespace {

template <class Sum>
void sum_each_product(const OperandBlock& block, const std::int16_t* weights, int pairs, Sum* sums,
                      int lanes) {
    const std::int16_t* operands = block.operands;
    for (std::int64_t r = 0; r < block.rows; ++r, operands += block.length, sums += lanes) {
        for (int c = 0; c < pe_lanes; ++c) sums[c] = 0;
        for (int j = 0; j < 2 * pairs; ++j)
            for (int c = 0; c < pe_lanes; ++c)
                sums[c] += Sum{operands[j]} * weights[(j / 2 * pe_lanes + c) * 2 + j % 2];
    }
}

}  // namespace
}  // namespace wagesim::rtl
#endif

HWY_BEFORE_NAMESPACE();
namespace wagesim::rtl::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

void step_ws(const std::int32_t* operands, std::int64_t operand_stride, const std::int32_t* weights,
             std::int32_t* sums, int lanes, int rows) {
    const hn::CappedTag<std::int32_t, pe_lanes> d;
    const int step = static_cast<int>(hn::Lanes(d));
    for (int r = rows - 1; r >= 0; --r)
        for (int c = 0; c < lanes; c += step) {
            const auto product = hn::Mul(hn::LoadU(d, operands + r * operand_stride + c),
                                         hn::LoadU(d, weights + r * lanes + c));
            const auto above = r == 0 ? hn::Zero(d) : hn::LoadU(d, sums + (r - 1) * lanes + c);
            hn::StoreU(hn::Add(above, product), d, sums + r * lanes + c);
        }
}

void step_os(const std::int32_t* operands, const std::int32_t* weights, std::int64_t* sums,
             int lanes, int count) {
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

#if HWY_TARGET == HWY_SCALAR
void sum_products(const OperandBlock& block, const std::int16_t* weights, int pairs,
                  std::int32_t* sums, int lanes) {
    sum_each_product(block, weights, pairs, sums, lanes);
}
#else
/// `rows` of them, 1 or 4, which share the weights that are loaded.
template <int rows>
void sum_products_of(const std::int16_t* operands, std::int64_t length, const std::int16_t* weights,
                     int pairs, std::int32_t* sums, int lanes) {
    const hn::CappedTag<std::int32_t, pe_lanes> d;
    const hn::Repartition<std::int16_t, decltype(d)> d16;
    const int step = static_cast<int>(hn::Lanes(d));
    for (int c = 0; c < pe_lanes; c += step) {
        auto sum0 = hn::Zero(d), sum1 = sum0, sum2 = sum0, sum3 = sum0;
        auto other0 = hn::Zero(d), other1 = other0, other2 = other0, other3 = other0;
        for (int j = 0; j < pairs; ++j) {
            const auto two = hn::LoadU(d16, weights + (j * pe_lanes + c) * 2);
            const auto add = [&](int row, auto& sum, auto& other) {
                std::int32_t pair = 0;
                std::memcpy(&pair, operands + row * length + 2 * j, sizeof pair);
                sum = hn::ReorderWidenMulAccumulate(d, hn::BitCast(d16, hn::Set(d, pair)), two, sum,
                                                    other);
            };
            add(0, sum0, other0);
            if constexpr (rows == 1) continue;
            add(1, sum1, other1);
            add(2, sum2, other2);
            add(3, sum3, other3);
        }
        const auto store = [&](int row, auto sum, auto other) {
            hn::StoreU(hn::RearrangeToOddPlusEven(sum, other), d, sums + row * lanes + c);
        };
        store(0, sum0, other0);
        if constexpr (rows == 1) continue;
        store(1, sum1, other1);
        store(2, sum2, other2);
        store(3, sum3, other3);
    }
}

void sum_products(const OperandBlock& block, const std::int16_t* weights, int pairs,
                  std::int32_t* sums, int lanes) {
    const std::int16_t* operands = block.operands;
    std::int64_t r = 0;
    for (; r + 4 <= block.rows; r += 4)
        sum_products_of<4>(operands + r * block.length, block.length, weights, pairs,
                           sums + r * lanes, lanes);
    for (; r < block.rows; ++r)
        sum_products_of<1>(operands + r * block.length, block.length, weights, pairs,
                           sums + r * lanes, lanes);
}
#endif

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

void step_ws(const std::int32_t* operands, std::int64_t operand_stride, const std::int32_t* weights,
             std::int32_t* sums, int lanes, int rows) {
    WAGESIM_BEST(step_ws)(operands, operand_stride, weights, sums, lanes, rows);
}

void step_ws(const std::int32_t* operands, std::int64_t operand_stride, const std::int32_t* weights,
             std::int64_t* sums, int lanes, int rows) {
    for (int r = rows - 1; r >= 0; --r)
        for (int c = 0; c < lanes; ++c)
            sums[r * lanes + c] =
                (r == 0 ? 0 : sums[(r - 1) * lanes + c]) +
                std::int64_t{operands[r * operand_stride + c]} * weights[r * lanes + c];
}

void sum_products(const OperandBlock& block, const std::int16_t* weights, int pairs,
                  std::int32_t* sums, int lanes) {
    WAGESIM_BEST(sum_products)(block, weights, pairs, sums, lanes);
}

void sum_products(const OperandBlock& block, const std::int16_t* weights, int pairs,
                  std::int64_t* sums, int lanes) {
    sum_each_product(block, weights, pairs, sums, lanes);
}

void step_os(const std::int32_t* operands, const std::int32_t* weights, std::int64_t* sums,
             int lanes, int count) {
    WAGESIM_BEST(step_os)(operands, weights, sums, lanes, count);
}

}  // namespace wagesim::rtl
#endif
