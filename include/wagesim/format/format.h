// Names of number formats, roundings, overflow rules and quantisation points.
// Pure vocabulary: the golden model and the hardware model share this page and no arithmetic.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>

namespace wagesim {

/// Where a discarded fraction goes. Ties are exact halves of the last kept place.
enum class Rounding { half_even, half_up, half_away, floor, toward_zero, stochastic };

/// What happens to a code that does not fit its width.
enum class Overflow {
    saturate,  ///< symmetric: [-(2^(bits-1)-1), 2^(bits-1)-1]; unsigned [0, 2^bits-1]
    full,      ///< two's complement range: [-2^(bits-1), 2^(bits-1)-1]
    wrap,      ///< keep the low bits
};

/// Codes of `bits` bits; value = code * 2^(exponent - frac).
struct Format {
    int bits = 8;
    int frac = 7;
    bool is_signed = true;
    int exponent = 0;  ///< 0 except for errors and gradients (docs/training.md)

    friend bool operator==(const Format& a, const Format& b) {
        return a.bits == b.bits && a.frac == b.frac && a.is_signed == b.is_signed &&
               a.exponent == b.exponent;
    }
    friend bool operator!=(const Format& a, const Format& b) { return !(a == b); }
};

/// A quantisation point's rule: the format it delivers, and how it gets there.
struct Quantizer {
    Format format;
    Rounding rounding = Rounding::half_even;
    Overflow overflow = Overflow::saturate;
};

/// The places in the datapath where both models must agree on every bit.
/// The names are those of files, options and manifests (docs/datapath.md explains each).
enum class Qp {
    image,      ///< the network's input
    W,          ///< master weight
    Wq,         ///< forward weight
    bias,       ///< master bias
    bias_q,     ///< bias in the accumulator
    y,          ///< convolution / fully connected output
    z,          ///< the same, where it is the network's output (logits)
    S,          ///< batch norm: sum over the batch
    SS,         ///< batch norm: sum of squares over the batch
    mu,         ///< batch norm: mean
    var,        ///< batch norm: variance
    sigma,      ///< batch norm: standard deviation
    inv,        ///< batch norm: reciprocal of sigma (normalize: reciprocal)
    xhat,       ///< batch norm: normalised input
    gamma,      ///< master scale
    beta,       ///< master shift
    gamma_q,    ///< forward scale
    beta_q,     ///< forward shift
    x2,         ///< batch norm: output, exact
    fold_a,     ///< folded batch norm: factor (bn_inference: folded)
    fold_b,     ///< folded batch norm: offset
    A,          ///< activation
    stream,     ///< exact sum of a residual add
    run_mu,     ///< running mean
    run_sigma,  ///< running standard deviation
    // The rest of a training step (docs/training.md).
    p,          ///< loss: softmax
    e0,         ///< loss error
    E1,         ///< error at an activation
    E1m,        ///< the same after its mask
    g_beta,     ///< batch norm: sum of the error
    g_gamma,    ///< batch norm: sum of error times xhat
    gBN_gamma,  ///< gradient of gamma
    gBN_beta,   ///< gradient of beta
    gBias,      ///< gradient of a bias
    m1,         ///< batch norm: mean of the error
    m2,         ///< batch norm: mean of error times xhat
    P,          ///< batch norm: numerator, exact
    num,        ///< batch norm: the same times gamma_q, exact
    bn_err,     ///< batch norm: error at its input
    pool_err,   ///< average pool: an output's error, divided
    fork,       ///< sum of errors that meet
    E2,         ///< operand of the backward products
    dx,         ///< error to the layer below
    gW,         ///< weight gradient
    G,          ///< quantised weight gradient
    Acc,        ///< momentum of W
    Accq,       ///< what is kept of it
    Acc_bias,
    Accq_bias,
    Acc_gamma,
    Accq_gamma,
    Acc_beta,
    Accq_beta,
    lr,  ///< learning rate
};

struct QpName {
    Qp qp;
    std::string_view name;
};

inline constexpr std::array<QpName, 54> qp_names{{
    {Qp::image, "image"},
    {Qp::W, "W"},
    {Qp::Wq, "Wq"},
    {Qp::bias, "bias"},
    {Qp::bias_q, "bias_q"},
    {Qp::y, "y"},
    {Qp::z, "z"},
    {Qp::S, "S"},
    {Qp::SS, "SS"},
    {Qp::mu, "mu"},
    {Qp::var, "var"},
    {Qp::sigma, "sigma"},
    {Qp::inv, "inv"},
    {Qp::xhat, "xhat"},
    {Qp::gamma, "gamma"},
    {Qp::beta, "beta"},
    {Qp::gamma_q, "gamma_q"},
    {Qp::beta_q, "beta_q"},
    {Qp::x2, "x2"},
    {Qp::fold_a, "fold_a"},
    {Qp::fold_b, "fold_b"},
    {Qp::A, "A"},
    {Qp::stream, "stream"},
    {Qp::run_mu, "run_mu"},
    {Qp::run_sigma, "run_sigma"},
    {Qp::p, "p"},
    {Qp::e0, "e0"},
    {Qp::E1, "E1"},
    {Qp::E1m, "E1m"},
    {Qp::g_beta, "g_beta"},
    {Qp::g_gamma, "g_gamma"},
    {Qp::gBN_gamma, "gBN_gamma"},
    {Qp::gBN_beta, "gBN_beta"},
    {Qp::gBias, "gBias"},
    {Qp::m1, "m1"},
    {Qp::m2, "m2"},
    {Qp::P, "P"},
    {Qp::num, "num"},
    {Qp::bn_err, "bn_err"},
    {Qp::pool_err, "pool_err"},
    {Qp::fork, "fork"},
    {Qp::E2, "E2"},
    {Qp::dx, "dx"},
    {Qp::gW, "gW"},
    {Qp::G, "G"},
    {Qp::Acc, "Acc"},
    {Qp::Accq, "Accq"},
    {Qp::Acc_bias, "Acc_bias"},
    {Qp::Accq_bias, "Accq_bias"},
    {Qp::Acc_gamma, "Acc_gamma"},
    {Qp::Accq_gamma, "Accq_gamma"},
    {Qp::Acc_beta, "Acc_beta"},
    {Qp::Accq_beta, "Accq_beta"},
    {Qp::lr, "lr"},
}};

inline constexpr std::string_view to_string(Qp qp) {
    for (const auto& entry : qp_names)
        if (entry.qp == qp) return entry.name;
    return "?";
}

inline std::optional<Qp> qp_from_string(std::string_view name) {
    for (const auto& entry : qp_names)
        if (entry.name == name) return entry.qp;
    return std::nullopt;
}

inline constexpr std::array<std::string_view, 6> rounding_names{
    "half_even", "half_up", "half_away", "floor", "toward_zero", "stochastic"};
inline constexpr std::array<std::string_view, 3> overflow_names{"saturate", "full", "wrap"};

inline constexpr std::string_view to_string(Rounding rounding) {
    return rounding_names[static_cast<std::size_t>(rounding)];
}
inline constexpr std::string_view to_string(Overflow overflow) {
    return overflow_names[static_cast<std::size_t>(overflow)];
}

}  // namespace wagesim
