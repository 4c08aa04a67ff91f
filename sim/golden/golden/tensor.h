// A tensor of real values at a quantisation point, with what the golden model knows about it.
#pragma once

#include <algorithm>
#include <cstdint>
#include <initializer_list>
#include <map>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "golden/values.h"
#include "wagesim/tensor/tensor.h"

namespace wagesim::golden {

/// Values in memory order (docs/datapath.md), exact multiples of 2^(exponent - frac).
struct Tensor {
    Shape shape;
    Values values;
    /// The format the golden model derived for itself. `inv` and `fold_a` have one exponent per
    /// channel: there `frac` is the finest channel's and `bits` counts the mantissa (and sign).
    int frac = 0;
    int bits = 0;
    bool is_signed = true;
    int exponent = 0;
    /// Elements whose exact value lay on a rounding tie; empty: none.
    std::vector<bool> ties;
    std::int64_t saturations = 0;    ///< elements clipped at this point
    std::int64_t wraps = 0;          ///< elements wrapped at this point
    std::int64_t underflows = 0;     ///< E1, E2, G: zeros made of what is not zero
    std::int64_t align_rounded = 0;  ///< fork: operands' elements that the alignment rounded
    /// y, z, dx, gW: outputs that differ from those of an infinitely wide accumulator.
    std::int64_t differs_from_wide = 0;
    /// False where float64 is not proven exact on the data at hand, or an operand was not
    /// certified; then the values must not be compared. Always true in float32, which is there to
    /// be measured against the hardware and not to be right.
    bool certified = true;
    std::string why_not;
    /// Every element's code, where one of them reaches 2^53; then `values` are the nearest
    /// doubles. Otherwise empty.
    std::vector<Wide> exact;
};

/// Handed out and kept at once; it does not change any more.
using SharedTensor = std::shared_ptr<const Tensor>;
/// One layer's points.
using LayerPoints = std::map<Qp, SharedTensor>;
/// A step's: (layer index, -1 for the input; quantisation point) -> tensor.
using Points = std::map<std::pair<int, Qp>, SharedTensor>;

/// The masters: (layer index, W | bias | gamma | beta | run_mu | run_sigma) -> values on their
/// grids.
using Masters = std::map<std::pair<int, Qp>, Values>;

inline SharedTensor share(Tensor tensor) {
    return std::make_shared<const Tensor>(std::move(tensor));
}
inline Shape per_channel(const Tensor& tensor) { return {1, tensor.shape.c, 1, 1}; }

inline int unit_log2(const Tensor& tensor) { return tensor.exponent - tensor.frac; }

/// Largest absolute value; 0 of none.
inline double largest(const Values& values) { return values.largest(); }
/// The same in the tensor's codes.
double largest_code(const Tensor& tensor);

// Where float64 is exact (docs/datapath.md, the golden model's own exactness).
inline constexpr double integer_limit = 9007199254740992.0;   // 2^53: sums and products
inline constexpr double float32_limit = 16777216.0;           // 2^24: the same in float32
inline constexpr double quotient_limit = 4503599627370496.0;  // 2^52: numerators of rint(a / b)
inline constexpr double root_limit = 281474976710656.0;       // 2^48: v of rint(sqrt(v))
inline constexpr double logarithm_limit = 140737488355328.0;  // 2^47: m of rint(log2(m))

/// Float64 has to prove itself; float32 is only measured.
template <class Real>
inline constexpr bool is_exact = std::is_same_v<Real, double>;

/// The tensor's values are not proven exact; the first reason is kept.
void uncertify(Tensor& tensor, const std::string& why);
/// A tensor computed from an uncertified one is not certified either.
void inherit(Tensor& tensor, std::initializer_list<const Tensor*> operands);

/// Runs that stay in the nearest cache, for inner loops over elements whose channels have their own
/// numbers: calls use(first element, count) for `size` elements, each run beginning at channel 0
/// and at most `run_length(channels)` long.
inline std::size_t run_length(std::size_t channels) {
    return channels >= 512 ? channels : channels * (512 / channels);
}
template <class Use>
void for_each_run(std::size_t size, std::size_t channels, Use use) {
    const std::size_t run = run_length(channels);
    for (std::size_t first = 0; first < size; first += run) use(first, std::min(run, size - first));
}
template <class Use>
void for_each_run(const Tensor& tensor, Use use) {
    for_each_run(tensor.values.size(), static_cast<std::size_t>(tensor.shape.c), use);
}
/// A channel vector repeated along such a run.
template <class Real>
std::vector<Real> along_run(const Values& channels) {
    std::vector<Real> run(run_length(channels.size()));
    for (std::size_t i = 0; i < run.size(); ++i)
        run[i] = static_cast<Real>(channels[i % channels.size()]);
    return run;
}

}  // namespace wagesim::golden
