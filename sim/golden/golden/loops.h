// Loops over elements, compiled for the widest vectors of the processor at hand.
#pragma once

#include <cstddef>
#include <cstdint>

#include "golden/values.h"
#include "wagesim/format/format.h"

namespace wagesim::golden {

template <class Integer>
struct CodeLoops {
    /// Largest absolute value.
    double (*largest)(const Integer* codes, std::size_t count);
    bool (*equal)(const Integer* codes, const std::int64_t* others, std::size_t count);
    void (*scale)(const Integer* codes, std::size_t count, double unit, double* to);
    void (*scale_to_float)(const Integer* codes, std::size_t count, float unit, float* to);
    void (*from_reals)(const double* codes, std::size_t count, Integer* to);
};

/// What happened to elements that were rounded.
struct Rounded {
    std::int64_t ties = 0, outside = 0, underflows = 0;
};

template <class Real>
struct RealLoops {
    Real (*largest)(const Real* x, std::size_t count);
    /// x times to_code rounded to integers by `rounding` (not stochastic); where there are ties,
    /// `tie` tells which. Codes outside the range are counted, and brought to its ends if
    /// `saturates`. Works on x itself.
    Rounded (*round)(Real* x, std::size_t count, Real to_code, Rounding rounding, CodeRange range,
                     bool saturates, Real* codes, std::uint8_t* tie);
    /// Magnitudes rounded up where the first 16 bits of their fraction are above the draw.
    void (*round_by_draws)(Real* x, std::size_t count, const std::uint16_t* draws);
};

template <class Integer>
const CodeLoops<Integer>& code_loops();
template <class Real>
const RealLoops<Real>& real_loops();

}  // namespace wagesim::golden
