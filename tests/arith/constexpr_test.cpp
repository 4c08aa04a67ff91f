// The arithmetic is usable at compile time, with nothing undefined on the way.
#include <gtest/gtest.h>

#include "wagesim/arith/block_scale.h"
#include "wagesim/arith/constant_quantize.h"
#include "wagesim/arith/isqrt.h"
#include "wagesim/arith/quantize.h"
#include "wagesim/arith/random.h"
#include "wagesim/arith/reciprocal.h"
#include "wagesim/arith/rounding.h"
#include "wagesim/arith/saturate.h"

namespace wagesim::arith {
namespace {

constexpr Quantizer to_s8{Format{8, 7, true, 0}, Rounding::half_even, Overflow::saturate};

static_assert(shift_right(-5, 1, Rounding::half_even) == -2);
static_assert(shift_right(Wide{-5}, 1, Rounding::half_away) == -3);
static_assert(shift_right(-1, 200, Rounding::floor) == -1);
static_assert(shift_right_stochastic(-5, 1, 0x7FFF) == -3);
static_assert(divide(-7, 2, Rounding::half_even) == -4);
static_assert(wrap(-129, 8, true) == 127);
static_assert(fit(-128, to_s8.format, Overflow::saturate).value == -127);
static_assert(fit(Wide{1} << 100, to_s8.format, Overflow::full).clipped);
static_assert(isqrt_rounded(7) == 3 && isqrt_floor(8) == 2);
static_assert(requantize(3, 8, to_s8).code == 2);
static_assert(requantize(1, -200, to_s8).code == 127);
static_assert(scale_exponent(3, 0, 0) == 2);
static_assert(quantize_shift(3, 0, 0, 2, to_s8).code == 96);
static_assert(quantize_flag(-510, 0, 0, 16, to_s8).code == -1);
static_assert(quantize_constant(3, 1, 0, 1, 1, Rounding::stochastic, 0).code == 1);
static_assert(nearest16(1, 3).mantissa == 43691 && nearest16(1, 3).exponent == -17);

constexpr std::uint32_t draw_of_element_sixteen() {
    RandomStreams<> streams(5, 9, 16);
    streams.draw16(16);
    return streams.draw16(0) == 0x6078 ? streams.draw16(16) : 0;
}
static_assert(draw_of_element_sixteen() == 0x7D3B);

TEST(Arithmetic, IsEvaluatedByTheCompiler) {
    constexpr auto code = requantize(1234, 10, to_s8).code;
    EXPECT_EQ(code, 127);
}

}  // namespace
}  // namespace wagesim::arith
