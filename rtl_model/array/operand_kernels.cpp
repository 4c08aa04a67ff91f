// Operands as the array takes them, on the host's vector registers. Compiled as pe_kernels.cpp is.
#include "array/operand_kernels.h"

#include "array/multiplier.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "array/operand_kernels.cpp"
#include <hwy/detect_targets.h>
#undef HWY_TARGETS
#define HWY_TARGETS ((HWY_ATTAINABLE_TARGETS & HWY_AVX2) | HWY_STATIC_TARGET)
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace wagesim::rtl::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

void widen_codes(const std::uint8_t* from, std::int64_t stride, std::int64_t pixels,
                 std::int32_t count, std::int16_t* operands, std::int64_t length) {
    const hn::CappedTag<std::int16_t, 16> d;
    const hn::Rebind<std::int8_t, decltype(d)> narrow;
    const auto step = static_cast<std::int32_t>(hn::Lanes(d));
    for (std::int64_t p = 0; p < pixels; ++p, from += stride, operands += length) {
        const auto* const codes = reinterpret_cast<const std::int8_t*>(from);
        std::int32_t i = 0;
        for (; i + step <= count; i += step)
            hn::StoreU(hn::PromoteTo(d, hn::LoadU(narrow, codes + i)), d, operands + i);
        for (; i < count; ++i) operands[i] = codes[i];
    }
}

void shift_by_bits(const std::uint8_t* bits, std::int64_t stride, std::int64_t pixels,
                   std::int32_t count, std::int16_t* operands, std::int64_t length) {
    const hn::CappedTag<std::int16_t, 16> d;
    const auto step = static_cast<std::int32_t>(hn::Lanes(d));
    for (std::int64_t p = 0; p < pixels; ++p, bits += stride, operands += length) {
        std::int32_t i = 0;
        for (; step % 8 == 0 && i + step <= count; i += step) {
            const auto codes = hn::LoadU(d, operands + i);
            const auto flags = hn::LoadMaskBits(d, bits + i / 8);
            hn::StoreU(hn::IfThenElse(flags, hn::ShiftLeft<flag_shift>(codes), codes), d,
                       operands + i);
        }
        for (; i < count; ++i)
            if ((bits[i / 8] >> (i % 8)) & 1)
                operands[i] = static_cast<std::int16_t>(operands[i] * (1 << flag_shift));
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

void widen_codes(const std::uint8_t* from, std::int64_t stride, std::int64_t pixels,
                 std::int32_t count, std::int16_t* operands, std::int64_t length) {
    WAGESIM_BEST(widen_codes)(from, stride, pixels, count, operands, length);
}

void shift_by_bits(const std::uint8_t* bits, std::int64_t stride, std::int64_t pixels,
                   std::int32_t count, std::int16_t* operands, std::int64_t length) {
    WAGESIM_BEST(shift_by_bits)(bits, stride, pixels, count, operands, length);
}

}  // namespace wagesim::rtl
#endif
