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

#ifndef WAGESIM_ADD_EACH_PRODUCT
#define WAGESIM_ADD_EACH_PRODUCT
namespace wagesim::rtl {
namespace {

template <class Sum>
void add_each_product(const OperandBlock& block, const std::int16_t* weights, int pairs, Sum* sums,
                      std::int64_t lanes) {
    for (std::int64_t r = 0; r < block.rows; ++r, sums += lanes)
        for (int j = 0; j < 2 * pairs; ++j) {
            const Sum operand = block.operands[r * block.length + j / 2 * block.distance + j % 2];
            for (int c = 0; c < pe_lanes; ++c)
                sums[c] += operand * weights[(j / 2 * pe_lanes + c) * 2 + j % 2];
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
void add_products(const OperandBlock& block, const std::int16_t* weights, int pairs,
                  std::int32_t* sums, std::int64_t lanes) {
    add_each_product(block, weights, pairs, sums, lanes);
}
#else
/// `rows` of them, 1 or 4, which share the weights that are loaded.
template <int rows>
void add_products_of(const std::int16_t* operands, const OperandBlock& block,
                     const std::int16_t* weights, int pairs, std::int32_t* sums,
                     std::int64_t lanes) {
    const hn::CappedTag<std::int32_t, pe_lanes / 2> d;
    const hn::Repartition<std::int16_t, decltype(d)> d16;
    const int step = static_cast<int>(hn::Lanes(d));
    const auto add = [&](int row, int j, auto left, auto right, auto& sum_left, auto& sum_right) {
        std::int32_t both = 0;
        std::memcpy(&both, operands + row * block.length + j * block.distance, sizeof both);
        const auto pair = hn::BitCast(d16, hn::Set(d, both));
        auto other = hn::Zero(d);  // stays so on the targets that are compiled
        sum_left = hn::ReorderWidenMulAccumulate(d, pair, left, sum_left, other);
        sum_right = hn::ReorderWidenMulAccumulate(d, pair, right, sum_right, other);
    };
    for (int c = 0; c < pe_lanes; c += 2 * step) {
        std::int32_t* const at = sums + c;
        auto left0 = hn::LoadU(d, at), right0 = hn::LoadU(d, at + step);
        auto left1 = left0, right1 = right0, left2 = left0, right2 = right0;
        auto left3 = left0, right3 = right0;
        if constexpr (rows == 4) {
            left1 = hn::LoadU(d, at + lanes), right1 = hn::LoadU(d, at + lanes + step);
            left2 = hn::LoadU(d, at + 2 * lanes), right2 = hn::LoadU(d, at + 2 * lanes + step);
            left3 = hn::LoadU(d, at + 3 * lanes), right3 = hn::LoadU(d, at + 3 * lanes + step);
        }
        for (int j = 0; j < pairs; ++j) {
            const std::int16_t* const weight = weights + (j * pe_lanes + c) * 2;
            const auto left = hn::LoadU(d16, weight), right = hn::LoadU(d16, weight + 2 * step);
            add(0, j, left, right, left0, right0);
            if constexpr (rows == 1) continue;
            add(1, j, left, right, left1, right1);
            add(2, j, left, right, left2, right2);
            add(3, j, left, right, left3, right3);
        }
        hn::StoreU(left0, d, at), hn::StoreU(right0, d, at + step);
        if constexpr (rows == 4) {
            hn::StoreU(left1, d, at + lanes), hn::StoreU(right1, d, at + lanes + step);
            hn::StoreU(left2, d, at + 2 * lanes), hn::StoreU(right2, d, at + 2 * lanes + step);
            hn::StoreU(left3, d, at + 3 * lanes), hn::StoreU(right3, d, at + 3 * lanes + step);
        }
    }
}

void add_products(const OperandBlock& block, const std::int16_t* weights, int pairs,
                  std::int32_t* sums, std::int64_t lanes) {
    const std::int16_t* operands = block.operands;
    std::int64_t r = 0;
    for (; r + 4 <= block.rows; r += 4)
        add_products_of<4>(operands + r * block.length, block, weights, pairs, sums + r * lanes,
                           lanes);
    for (; r < block.rows; ++r)
        add_products_of<1>(operands + r * block.length, block, weights, pairs, sums + r * lanes,
                           lanes);
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

#if defined(__x86_64__) && defined(__GNUC__)
#define WAGESIM_VNNI __attribute__((target("avx512vnni")))

/// As N_AVX2's, but all columns at once, and two products and their additions in one instruction,
/// which Highway 1.0 lacks.
template <int rows>
WAGESIM_VNNI void add_products_of(const std::int16_t* operands, const OperandBlock& block,
                                  const std::int16_t* weights, int pairs, std::int32_t* sums,
                                  std::int64_t lanes) {
    static_assert(pe_lanes == 16);
    __m512i row_sums[std::size_t{rows}];
    for (int r = 0; r < rows; ++r) row_sums[r] = _mm512_loadu_si512(sums + r * lanes);
    for (int j = 0; j < pairs; ++j) {
        const __m512i weight = _mm512_loadu_si512(weights + j * 2 * pe_lanes);
        for (int r = 0; r < rows; ++r) {
            std::int32_t both = 0;
            std::memcpy(&both, operands + r * block.length + j * block.distance, sizeof both);
            row_sums[r] = _mm512_dpwssd_epi32(row_sums[r], weight, _mm512_set1_epi32(both));
        }
    }
    for (int r = 0; r < rows; ++r) _mm512_storeu_si512(sums + r * lanes, row_sums[r]);
}

WAGESIM_VNNI void add_products_vnni(const OperandBlock& block, const std::int16_t* weights,
                                    int pairs, std::int32_t* sums, std::int64_t lanes) {
    const std::int16_t* operands = block.operands;
    std::int64_t r = 0;
    for (; r + 4 <= block.rows; r += 4)
        add_products_of<4>(operands + r * block.length, block, weights, pairs, sums + r * lanes,
                           lanes);
    for (; r < block.rows; ++r)
        add_products_of<1>(operands + r * block.length, block, weights, pairs, sums + r * lanes,
                           lanes);
}
#endif

std::vector<AddProducts*> add_products_kernels() {
    std::vector<AddProducts*> kernels;
#if defined(__x86_64__) && defined(__GNUC__)
    if (__builtin_cpu_supports("avx512vnni") != 0) kernels.push_back(add_products_vnni);
#endif
#if HWY_TARGETS & HWY_AVX2
    if (has_avx2) kernels.push_back(N_AVX2::add_products);
#endif
    kernels.push_back(HWY_STATIC_DISPATCH(add_products));
    return kernels;
}

void add_products(const OperandBlock& block, const std::int16_t* weights, int pairs,
                  std::int32_t* sums, std::int64_t lanes) {
    static AddProducts* const fastest = add_products_kernels().front();
    fastest(block, weights, pairs, sums, lanes);
}

void add_products(const OperandBlock& block, const std::int16_t* weights, int pairs,
                  std::int64_t* sums, std::int64_t lanes) {
    add_each_product(block, weights, pairs, sums, lanes);
}

void step_os(const std::int32_t* operands, const std::int32_t* weights, std::int64_t* sums,
             int lanes, int count) {
    WAGESIM_BEST(step_os)(operands, weights, sums, lanes, count);
}

}  // namespace wagesim::rtl
#endif
