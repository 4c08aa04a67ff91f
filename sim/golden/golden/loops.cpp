// See loops.h. Plain loops: Highway compiles this file once for each of the processors below.
#include "golden/loops.h"

#include <algorithm>
#include <cmath>
#include <type_traits>

#include "golden/quantize.h"
#include "wagesim/error.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "golden/loops.cpp"
#include <hwy/detect_targets.h>
#undef HWY_DISABLED_TARGETS
#define HWY_DISABLED_TARGETS (HWY_SSSE3 | HWY_SSE4 | (HWY_AVX2 - 1))  // all above AVX2
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace wagesim::golden::HWY_NAMESPACE {
namespace {

template <class Integer>
double largest_code(const Integer* codes, std::size_t count) {
    Integer low = 0, high = 0;
#pragma omp simd reduction(min : low) reduction(max : high)
    for (std::size_t i = 0; i < count; ++i) {
        low = codes[i] < low ? codes[i] : low;
        high = codes[i] > high ? codes[i] : high;
    }
    return std::max(-static_cast<double>(low), static_cast<double>(high));
}

template <class Integer>
bool equal(const Integer* codes, const std::int64_t* others, std::size_t count) {
    std::int64_t differing = 0;
    for (std::size_t i = 0; i < count; ++i) differing |= codes[i] ^ others[i];
    return differing == 0;
}

template <class Integer, class Real>
void scale(const Integer* codes, std::size_t count, Real unit, Real* to) {
    for (std::size_t i = 0; i < count; ++i) to[i] = static_cast<Real>(codes[i]) * unit;
}

template <class Integer>
void from_reals(const double* codes, std::size_t count, Integer* to) {
    using Between = std::conditional_t<sizeof(Integer) == 8, std::int64_t, std::int32_t>;
    for (std::size_t i = 0; i < count; ++i)
        to[i] = static_cast<Integer>(static_cast<Between>(codes[i]));
}

template <class Real>
Real largest(const Real* x, std::size_t count) {
    Real result = 0;
#pragma omp simd reduction(max : result)
    for (std::size_t i = 0; i < count; ++i)
        result = std::abs(x[i]) > result ? std::abs(x[i]) : result;
    return result;
}

template <class Real, Rounding rounding>
Rounded round_with(Real* x, std::size_t count, Real to_code, CodeRange range, bool saturates,
                   Real* codes, std::uint8_t* tie) {
    const Real low = static_cast<Real>(range.low), high = static_cast<Real>(range.high);
    Real ties = 0, outside = 0, underflows = 0;  // counts
    Real lowest = 0, highest = 0;
#pragma omp simd reduction(+ : ties, underflows) reduction(min : lowest) reduction(max : highest)
    for (std::size_t i = 0; i < count; ++i) {
        x[i] *= to_code;
        const Real code = round_to_integer(x[i], rounding);
        ties += is_tie(x[i]) ? Real{1} : Real{0};
        underflows += code == 0 && x[i] != 0 ? Real{1} : Real{0};
        lowest = code < lowest ? code : lowest;
        highest = code > highest ? code : highest;
        codes[i] = code;
    }
    if (ties != 0)
        for (std::size_t i = 0; i < count; ++i) tie[i] = is_tie(x[i]);
    if (lowest < low || highest > high) {
#pragma omp simd reduction(+ : outside)
        for (std::size_t i = 0; i < count; ++i)
            outside += codes[i] < low || codes[i] > high ? Real{1} : Real{0};
        if (saturates)
            for (std::size_t i = 0; i < count; ++i) {
                const Real from_below = codes[i] < low ? low : codes[i];
                codes[i] = from_below > high ? high : from_below;
            }
    }
    return {static_cast<std::int64_t>(ties), static_cast<std::int64_t>(outside),
            static_cast<std::int64_t>(underflows)};
}

template <class Real>
Rounded round(Real* x, std::size_t count, Real to_code, Rounding rounding, CodeRange range,
              bool saturates, Real* codes, std::uint8_t* tie) {
    switch (rounding) {
        case Rounding::half_even:
            return round_with<Real, Rounding::half_even>(x, count, to_code, range, saturates, codes,
                                                         tie);
        case Rounding::half_up:
            return round_with<Real, Rounding::half_up>(x, count, to_code, range, saturates, codes,
                                                       tie);
        case Rounding::half_away:
            return round_with<Real, Rounding::half_away>(x, count, to_code, range, saturates, codes,
                                                         tie);
        case Rounding::floor:
            return round_with<Real, Rounding::floor>(x, count, to_code, range, saturates, codes,
                                                     tie);
        case Rounding::toward_zero:
            return round_with<Real, Rounding::toward_zero>(x, count, to_code, range, saturates,
                                                           codes, tie);
        case Rounding::stochastic:
            break;
    }
    throw InputError("rounding 'stochastic' is not deterministic here");
}

template <class Real>
void round_by_draws(Real* x, std::size_t count, const std::uint16_t* draws) {
    for (std::size_t i = 0; i < count; ++i) {
        const Real whole = std::floor(x[i]);
        const Real top_bits = std::floor((x[i] - whole) * 65536);
        x[i] = top_bits > static_cast<Real>(draws[i]) ? whole + 1 : whole;
    }
}

}  // namespace

template <class Integer>
inline constexpr CodeLoops<Integer> of_codes{largest_code<Integer>, equal<Integer>,
                                             scale<Integer, double>, scale<Integer, float>,
                                             from_reals<Integer>};
template <class Real>
inline constexpr RealLoops<Real> of_reals{largest<Real>, round<Real>, round_by_draws<Real>};

}  // namespace wagesim::golden::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace wagesim::golden {
namespace {

#if HWY_TARGETS & HWY_AVX2
namespace Widest = N_AVX2;
bool has_widest() {
    static const bool has = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
                            __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2");
    return has;
}
#else
namespace Widest = HWY_NAMESPACE;
bool has_widest() { return true; }
#endif

}  // namespace

template <class Integer>
const CodeLoops<Integer>& code_loops() {
    return has_widest() ? Widest::of_codes<Integer> : HWY_NAMESPACE::of_codes<Integer>;
}
template const CodeLoops<std::int8_t>& code_loops();
template const CodeLoops<std::int16_t>& code_loops();
template const CodeLoops<std::int32_t>& code_loops();
template const CodeLoops<std::int64_t>& code_loops();
template <class Real>
const RealLoops<Real>& real_loops() {
    return has_widest() ? Widest::of_reals<Real> : HWY_NAMESPACE::of_reals<Real>;
}
template const RealLoops<double>& real_loops();
template const RealLoops<float>& real_loops();

}  // namespace wagesim::golden
#endif  // HWY_ONCE
