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
    const auto* const codes = reinterpret_cast<const std::int8_t*>(from);
    const auto step = static_cast<std::int32_t>(hn::Lanes(d));
    std::int32_t i = 0;
    for (; i + step <= count; i += step)
        for (std::int64_t p = 0; p < pixels; ++p)
            hn::StoreU(hn::PromoteTo(d, hn::LoadU(narrow, codes + p * stride + i)), d,
                       operands + p * length + i);
    for (; i < count; ++i)
        for (std::int64_t p = 0; p < pixels; ++p) operands[p * length + i] = codes[p * stride + i];
}

void widen_turned(const std::uint8_t* from, std::int64_t stride, std::int32_t columns,
                  std::int32_t rows, std::int16_t* to, std::int64_t length) {
    std::int32_t r = 0;
#if HWY_TARGET != HWY_SCALAR
    const hn::FixedTag<std::int8_t, 16> d;
    const hn::FixedTag<std::int16_t, 8> wide;
    for (; columns == 16 && r + 16 <= rows; r += 16) {
        // Interleaving the first half of 16 vectors with the second, four times, turns them.
        hn::VFromD<decltype(d)> a[16], b[16];
        for (int i = 0; i < 16; ++i)
            a[i] = hn::LoadU(d, reinterpret_cast<const std::int8_t*>(from) + i * stride + r);
        const auto round = [d](const auto* in, auto* out) {
            for (int i = 0; i < 8; ++i) {
                out[2 * i] = hn::InterleaveLower(d, in[i], in[i + 8]);
                out[2 * i + 1] = hn::InterleaveUpper(d, in[i], in[i + 8]);
            }
        };
        round(a, b), round(b, a), round(a, b), round(b, a);
        for (int i = 0; i < 16; ++i) {
            hn::StoreU(hn::PromoteTo(wide, hn::LowerHalf(a[i])), wide, to + (r + i) * length);
            hn::StoreU(hn::PromoteTo(wide, hn::UpperHalf(hn::Half<decltype(d)>(), a[i])), wide,
                       to + (r + i) * length + 8);
        }
    }
#endif
    for (; r < rows; ++r)
        for (std::int32_t c = 0; c < columns; ++c)
            to[r * length + c] = static_cast<std::int8_t>(from[c * stride + r]);
}

void shift_by_bits(const std::uint8_t* bits, std::int64_t first, std::int64_t stride,
                   std::int64_t pixels, std::int32_t count, std::int16_t* operands,
                   std::int64_t length) {
    const hn::CappedTag<std::int16_t, 16> d;
    const auto step = static_cast<std::int32_t>(hn::Lanes(d));
    std::int32_t i = 0;
    for (; (first | step) % 8 == 0 && i + step <= count; i += step)
        for (std::int64_t p = 0; p < pixels; ++p) {
            std::int16_t* const at = operands + p * length + i;
            const auto codes = hn::LoadU(d, at);
            const auto flags = hn::LoadMaskBits(d, bits + p * stride + (first + i) / 8);
            hn::StoreU(hn::IfThenElse(flags, hn::ShiftLeft<flag_shift>(codes), codes), d, at);
        }
    for (; i < count; ++i)
        for (std::int64_t p = 0; p < pixels; ++p)
            if ((bits[p * stride + (first + i) / 8] >> ((first + i) % 8)) & 1)
                operands[p * length + i] =
                    static_cast<std::int16_t>(operands[p * length + i] * (1 << flag_shift));
}

void interleave(const std::int16_t* even, const std::int16_t* odd, std::int64_t count,
                std::int16_t* to) {
    const hn::CappedTag<std::int16_t, 16> d;
    const auto step = static_cast<std::int64_t>(hn::Lanes(d));
    std::int64_t i = 0;
    for (; i + step <= count; i += step)
        hn::StoreInterleaved2(hn::LoadU(d, even + i), hn::LoadU(d, odd + i), d, to + 2 * i);
    for (; i < count; ++i) {
        to[2 * i] = even[i];
        to[2 * i + 1] = odd[i];
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

void widen_turned(const std::uint8_t* from, std::int64_t stride, std::int32_t columns,
                  std::int32_t rows, std::int16_t* to, std::int64_t length) {
    WAGESIM_BEST(widen_turned)(from, stride, columns, rows, to, length);
}

void shift_by_bits(const std::uint8_t* bits, std::int64_t first, std::int64_t stride,
                   std::int64_t pixels, std::int32_t count, std::int16_t* operands,
                   std::int64_t length) {
    WAGESIM_BEST(shift_by_bits)(bits, first, stride, pixels, count, operands, length);
}

void interleave(const std::int16_t* even, const std::int16_t* odd, std::int64_t count,
                std::int16_t* to) {
    WAGESIM_BEST(interleave)(even, odd, count, to);
}

}  // namespace wagesim::rtl
#endif
