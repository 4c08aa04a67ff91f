// Operands of the commands that the machine executes: tiles, bit planes, and what is done to them.
#pragma once

#include <array>
#include <boost/container/static_vector.hpp>
#include <cstdint>
#include <string>
#include <vector>

#include "wagesim/format/format.h"
#include "wagesim/tensor/tensor.h"

namespace wagesim {

/// The machine's memories. Addresses are bytes; in `accumulators`, rows.
enum class Space { dram, weights, activations, accumulators, parameters };
inline constexpr int space_count = 5;

/// A counting semaphore: `wait` takes one (blocking at zero), `give` adds one. Each token has one
/// giving and one waiting unit, so the k-th wait is met by the k-th give (and the initial ones).
using Token = std::uint16_t;
/// A token may stand in it more than once. They lie in the command: no allocation, no detour.
using Tokens = boost::container::static_vector<Token, 12>;

/// Quantisation point of one layer. layer = -1: the network's input.
struct QpId {
    std::int32_t layer = -1;
    Qp qp = Qp::y;
};

/// LOAD, STORE: contiguous runs in three nested loops (counts[0] is the outermost).
struct Transfer {
    Space buffer = Space::activations;
    std::int64_t dram_address = 0;
    std::int64_t buffer_address = 0;
    std::int64_t run_bytes = 0;
    std::array<std::int64_t, 3> counts{1, 1, 1};
    std::array<std::int64_t, 3> dram_strides{};
    std::array<std::int64_t, 3> buffer_strides{};
};

/// One bit (or a few) per element, beside a tile or on its own: those of pixel (n, h, w) begin at
/// address + n * stride_n + h * stride_h + w * stride_w, channel c's at bit (first + c) * bits of
/// that, low bits first. A pixel's bits fill whole bytes; a command that writes a plane has first =
/// 0 and leaves 0 in the rest of the last byte.
struct BitPlane {
    Space space = Space::activations;
    std::int64_t address = -1;  ///< -1: there is none
    std::int64_t stride_n = 0, stride_h = 0, stride_w = 0;
    std::int32_t bits = 1, first = 0;

    bool exists() const { return address >= 0; }
};

/// Stationary operands in the weight buffer: that of reduction index r and column c is at address +
/// r * row_stride + c * column_stride. Where there are `flags`, a set one makes it code << 7: row r
/// is the plane's pixel (0, 0, r).
struct WeightView {
    std::int64_t address = 0;
    std::int64_t row_stride = 1, column_stride = 0;
    std::int32_t bytes = 1;
    BitPlane flags{Space::weights, -1, 0, 0, 0, 1, 0};
};

/// WLOAD: brings `rows` x `columns` weights to the array's shadow registers. PEs beyond are 0.
struct WeightLoad {
    WeightView weights;
    std::int32_t rows = 0;     ///< K indices of this tile, <= R
    std::int32_t columns = 0;  ///< columns of this tile, <= C
};

/// GEMM: multiplies operands, one row of K per output pixel, with a tile of weights: with
/// `dataflow: ws` those that WLOAD brought to the array, with `os` those in the weight buffer.
///
/// Output pixel p = (n, oh, ow) of the box (row-major; rows and columns counted in the box's steps:
/// the one at height h is oh = h / step_h) and reduction index k, running over (kh, kw, c) with c
/// fastest (`channel_major`: (c, kh, kw), kw fastest, for flattened inputs), make an element of the
/// operands' matrix:
///   ih = oh * stride.h - padding.h + kh * dilation.h, iw likewise (a dilation may be negative);
///   outside [0, image_h) x [0, image_w): padding, code 0;
///   else the operand's byte at address + n * stride_n + (ih - h0) * stride_h + (iw - w0) *
///   stride_w + c * bytes (n counted from the box's first image), << 7 where its flag is set.
/// Rows of the matrix are streamed, K runs along them; or, for a weight's gradient (`turned`), its
/// columns [m0, m0 + m) are, and K runs over the pixels [k0, k0 + k).
/// The sums go to accumulator row `accumulator_row` + (streamed row), column c: ws in one addition
/// of the K tile's exact sum, os in one addition per product.
struct Gemm {
    std::int64_t address = 0;  ///< in `activations`, of (first image, h0, w0, first channel)
    std::int32_t bytes = 1;    ///< per operand
    std::int64_t stride_n = 0, stride_h = 0, stride_w = 0;
    std::int32_t h0 = 0, w0 = 0;            ///< image coordinates of `address`
    std::int32_t image_h = 0, image_w = 0;  ///< extents of the input image
    std::int32_t kernel_h = 1, kernel_w = 1, stride_y = 1, stride_x = 1;
    std::int32_t padding_h = 0, padding_w = 0, dilation_h = 1, dilation_w = 1;
    std::int32_t channels = 0;  ///< input channels of the reduction (of the group)
    bool channel_major = false;
    BitPlane flags;  ///< of the operands: its address is that of the pixel at `address`
    bool turned = false;
    std::int32_t m0 = 0, m = 0;  ///< turned
    std::int32_t k0 = 0, k = 0;  ///< this K tile: indices [k0, k0 + k); ws: k <= R
    std::int32_t columns = 0;    ///< output channels of this tile
    std::int64_t accumulator_row = 0;
    bool accumulate = false;         ///< add to the row; else start it from the bias, or from 0
    std::int64_t bias_address = -1;  ///< first start: 4-byte codes in `parameters`; -1: none
    WeightView weights;              ///< os: row j is index k0 + j
    /// ws: given `array_rows + array_columns - 1` cycles after the start, when the last PE has
    /// taken its new weight: the shadow registers are free.
    Tokens gives_at_swap;
};

/// A tile in a buffer: element (n, h, w, c) of the command's box, counted from the box's origin,
/// at address + n * stride_n + h * stride_h + w * stride_w + c * bytes; little-endian.
/// Where `flat_w` is set, box.c0 + c = (ch * flat_h +
/// h) * flat_w + w is a flattened index, and the element is at address + n * stride_n + ch * bytes
/// + h * stride_h + w * stride_w. In `accumulators`: channel c of pixel p (row-major in the box) is
/// column c % channels_per_row of row address + (c / channels_per_row) * pixels + p, and the
/// element its low `bits` bits; where it is `turned` (gW), image n is the column, and (h, w, c),
/// row-major, the row.
struct TileView {
    Space space = Space::activations;
    std::int64_t address = 0;
    std::int32_t bytes = 1;
    bool is_signed = true;
    std::int64_t stride_n = 0, stride_h = 0, stride_w = 0;
    std::int32_t flat_h = 0, flat_w = 0;
    std::int32_t channels_per_row = 0;
    bool turned = false;
    std::int32_t bits = 32;  ///< in `accumulators`
    std::int32_t frac = 0;   ///< of the codes in it
    /// The quantisation point shown when an accumulator tile is read (y, z, dx, gW): its reader
    /// completes it.
    QpId qp;
};

/// What is known of a block-scaled tensor, 16 bytes in `parameters` and in Dram: the largest
/// magnitude of its codes (8 bytes, unsigned), their frac (2 bytes), their exponent, s = round(log2
/// of the largest value) (a signed byte each; docs/training.md), 4 bytes unused.
inline constexpr int scale_bytes = 16;

/// The unit of an error tile's codes. `quantized`: they are what SQ or FQ made of the tensor that
/// the record tells of, with exponent s and the given frac; else the record's own. Without a
/// record: the given ones (codes that are no error).
struct ScaleView {
    std::int64_t address = -1;  ///< of the record, in `parameters`; -1: exponent and frac are given
    bool quantized = false;
    std::int32_t frac = 0;
    std::int32_t exponent = 0;  ///< without a record: the codes take part even if all are 0
};

/// DRAIN: accumulator rows -> y (4 bytes), dx or gW (5) in `activations`; optionally adds each
/// channel's sum and sum of squares to the statistics in `parameters` (see Gather), and gathers the
/// codes' largest magnitude in a scale's record. `scale`: of E2, whose s is the codes' exponent.
struct Drain {
    TileView source, destination;
    std::int64_t statistics_address = -1;
    std::int64_t largest_address = -1;
    std::int64_t scale_address = -1;
};

/// GATHER: adds a tile's sums and sums of squares to the statistics in `parameters`: 16 bytes a
/// channel of the box, S in the first 6 (48 bits, signed), SS in 10 (80 bits, unsigned).
struct Gather {
    TileView source;
    std::int64_t statistics_address = 0;
};

/// CLEAR (vector unit): sets bytes of `parameters` to 0 (statistics before their first tile).
struct Clear {
    std::int64_t address = 0;
    std::int64_t bytes = 0;
};

/// BN_STAT: S, SS -> mu, var, sigma of box.c channels, 4-byte codes; running statistics updated in
/// place (4-byte codes). Channel c of the box is entry c of each address.
struct BnStat {
    std::int64_t count = 1;  ///< elements per channel
    std::int32_t source_frac = 0;
    std::int64_t statistics_address = 0;
    std::int64_t mu_address = 0, sigma_address = 0;
    std::int64_t run_mu_address = 0, run_sigma_address = 0;
    std::int32_t running_shift = 4;
    Quantizer mu, var, sigma, run_mu, run_sigma;
};

/// BN_COEF: per-channel factors from sigma (and mu, gamma_q, beta_q), 8-byte codes.
///   inverse: inv = 1 / (sigma + eps) as a 16-bit mantissa and an exponent, code at frac sigma.bits
///   fold: fold_a = gamma_q / (sigma + eps) likewise, code at frac sigma.bits + gamma_q.frac;
///         fold_b = RNE(beta_q - fold_a mu), 8 bytes, at fold_b's frac
struct BnCoef {
    enum class Kind { inverse, fold } kind = Kind::inverse;
    std::int64_t mu_address = 0, sigma_address = 0, gamma_address = 0, beta_address = 0;
    std::int64_t out_address = 0, out_b_address = 0;
    Quantizer mu, sigma, gamma, beta, fold_b;
    bool is_shown = true;  ///< inv is a quantisation point of this command
};

/// NORMALIZE: (y - mu) / (sigma + eps) -> xhat. With `inverse`: multiply by inv.
struct NormalizeCmd {
    TileView source, destination;
    bool inverse = false;
    std::int64_t mu_address = 0;
    std::int64_t sigma_address = 0;  ///< inverse: of inv (8-byte codes)
    Quantizer mu, sigma, xhat;
};

enum class Clip { none, relu, relu6 };

/// ACT: x = source, or gamma_q * source + beta_q (affine), or fold_a * source + fold_b (fold);
/// then max(0, x) or min(max(0, x), 6); then QP A (`quantize`), or x as it is.
struct Act {
    enum class Kind { plain, affine, fold } kind = Kind::plain;
    TileView source, destination;
    std::int64_t gamma_address = 0;  ///< affine: 1..4-byte codes of gamma_q's width; fold: fold_a
    std::int64_t beta_address = 0;   ///< affine: of beta_q; fold: fold_b
    Quantizer gamma, beta;           ///< formats (fold: of fold_a, fold_b)
    Quantizer x;                     ///< affine: x2's register, at the exact sum's frac
    Clip clip = Clip::none;
    bool quantize = true;
    Quantizer a;
    QpId x_qp;  ///< affine: the batch norm's x2
    QpId a_qp;
    bool show_x = false;  ///< x is a quantisation point of its own
    /// Training: 1 where an error passes. 0 where x <= 0 (clip), x > 6 (relu6), or A's code did
    /// not fit (`masks_overflow`).
    BitPlane mask;
    bool masks_overflow = true;
};

/// ADD: both operands aligned to the finer frac, added exactly, kept as `stream`; with `quantize`
/// brought to A's format.
struct Add {
    TileView a, b, destination;
    Quantizer stream;
    bool quantize = false;
    Quantizer a_quantizer;
    QpId stream_qp, a_qp;
};

/// POOL: windows over the source tile, which holds image rows from h0 and columns from w0.
/// max: the first maximum in row-major order; padding never wins. avg: sum / (kernel area),
/// rounded once to `quantizer` (padding counts as zeros).
struct Pool {
    bool average = false;
    TileView source, destination;
    std::int32_t kernel_h = 1, kernel_w = 1, stride_y = 1, stride_x = 1;
    std::int32_t padding_h = 0, padding_w = 0;
    std::int32_t h0 = 0, w0 = 0, image_h = 0, image_w = 0;
    Quantizer quantizer;  ///< max: only its format, which is the source's
    QpId qp;
    BitPlane index;  ///< training, max: the place in the window that won, kh * kernel_w + kw
};

/// SOFTMAX: logits and labels (a byte each) -> p (softmax only: shown) and the loss error e0
/// (docs/training.md, Loss), whose largest magnitude is gathered. One pixel an image.
struct Softmax {
    TileView source, destination;
    std::int64_t label_address = 0;  ///< of the box's first image, in `activations`
    bool squares = false;            ///< sse
    Quantizer p, e0;
    std::int32_t exponent = 0;  ///< of e0: -round(log2 B)
    std::int64_t largest_address = 0;
    QpId p_qp, e0_qp;
};

/// EXPONENT: completes a scale's record, whose largest magnitude has been gathered: exponent, frac,
/// s. The codes' exponent is the given one; or that of the one operand; or of several operands'
/// common unit (fork).
struct Exponent {
    std::int64_t scale_address = 0;
    std::int32_t exponent = 0, frac = 0;
    struct Operand {
        ScaleView scale;
        /// Fork: of its register. 0 or less: one more than the largest code of `width_address` (-1:
        /// of the scale's record) needs, and -bits more: a fork's own sum, scattered by pools or
        /// not.
        std::int32_t bits = 40;
        std::int64_t width_address = -1;
    };
    std::vector<Operand> operands;
    bool is_fork = false;       ///< the operands' common unit gives frac and exponent
    std::int32_t add_frac = 0;  ///< one operand: frac is the operand's and this (pool_err)
    bool keeps_frac = true;     ///< one operand: `frac` as given
};

/// SHIFT_QUANTIZE (SQ): an error tile -> E1, then the mask -> E1m. Their exponent is the s of
/// `scale`. As `sq16` of E2 without a mask.
struct ShiftQuantize {
    TileView source, destination;
    ScaleView scale;
    BitPlane mask;
    Quantizer quantizer;
    QpId qp, masked_qp;                 ///< masked_qp.layer -1: there is no mask
    std::int64_t largest_address = -1;  ///< of the destination's codes
};

/// FLAG_QUANTIZE (FQ): an error tile -> codes of 8 bits and their flags: E2.
struct FlagQuantize {
    TileView source, destination;
    ScaleView scale;
    BitPlane flags;
    Quantizer quantizer;  ///< 8 bits, frac 7
    QpId qp;
};

/// POOL_BACK: the error at a pool's output -> at its input; the box is of the input, the source
/// tile holds window rows from h0 and columns from w0. avg: the codes times 2^8 / (kernel area),
/// rounded once (pool_err), at every place of the window; max: at the place that won.
struct PoolBack {
    bool average = false;
    TileView source, destination;
    BitPlane index;  ///< max: beside the source tile
    std::int32_t kernel_h = 1, kernel_w = 1, stride_y = 1, stride_x = 1;
    std::int32_t padding_h = 0, padding_w = 0;
    std::int32_t h0 = 0, w0 = 0, out_h = 0, out_w = 0;
    Quantizer quantizer;  ///< avg
    ScaleView scale;      ///< of the source
    QpId qp;              ///< avg: shown for the windows in [show_h0, show_h1) x [show_w0, show_w1)
    std::int32_t show_h0 = 0, show_h1 = 0, show_w0 = 0, show_w1 = 0;
    std::int64_t largest_address = -1;
};

/// REDUCE: adds a tile's sums to those in `parameters`, 16 bytes a channel of the box: of e (8
/// bytes) and, with xhat, of e xhat (8 bytes).
struct Reduce {
    TileView source;
    BitPlane flags;  ///< of E2 (bias gradient)
    TileView xhat;
    bool with_xhat = false;
    std::int64_t sums_address = 0;
};

/// BN_BACK: the sums -> m1, m2 (4-byte codes) and the gradients of gamma and beta (4-byte codes).
/// `bias`: only gBias, of the first sum.
struct BnBack {
    bool bias = false;
    std::int64_t count = 1;  ///< elements per channel
    std::int64_t sums_address = 0;
    std::int64_t m1_address = 0, m2_address = 0;
    std::int64_t gamma_address = 0, beta_address = 0;  ///< of the gradients; bias: beta's
    ScaleView scale;                                   ///< of e (bias: of E2)
    std::int32_t e_frac = 7, xhat_frac = 5;            ///< bias: E2's
    Quantizer m1, m2, g_gamma, g_beta;                 ///< of gBN_gamma, gBN_beta (bias: gBias)
};

/// BN_ERROR: E1m and xhat -> bn_err.
struct BnError {
    TileView source, xhat;
    TileView destination;  ///< address -1: only its largest magnitude is wanted
    std::int64_t m1_address = 0, m2_address = 0, gamma_address = 0;
    std::int64_t sigma_address = 0;  ///< inverse: of inv (8-byte codes)
    bool inverse = false;
    std::int64_t guard_address = -1;  ///< of sigma: channels where it is 0 get 0; -1: no guard
    ScaleView scale;                  ///< of E1m
    Quantizer m1, m2, gamma, sigma, bn_err;
    std::int32_t xhat_frac = 5;
    QpId qp;  ///< layer -1: it has been shown already
    std::int64_t largest_address = -1;
};

/// FORK: the sum of errors that meet (docs/training.md), 8-byte codes.
struct Fork {
    struct Operand : Exponent::Operand {
        TileView tile;
    };
    std::vector<Operand> operands;
    TileView destination;
    QpId qp;
    std::int64_t largest_address = -1;
};

/// UPDATE (update unit): a momentum step of `count` consecutive parameters, all in `activations`.
/// The gradient is CQ's of gW (`constant`), with the step's random draws and dr, or as it is.
struct Update {
    std::int64_t count = 0, first = 0;  ///< elements, and the first's index in memory order
    bool constant = false;
    std::int64_t gradient_address = 0, accumulator_address = 0, master_address = 0;
    std::int64_t quantized_address = 0;  ///< of the forward codes that are made
    std::int32_t gradient_bytes = 5, accumulator_bytes = 2, master_bytes = 3, quantized_bytes = 1;
    std::int32_t gradient_frac = 14;  ///< not constant
    ScaleView scale;                  ///< constant: of gW
    std::uint32_t stream_op = 0;      ///< of the random streams
    bool momentum_quarter = false;    ///< 1/4 instead of 3/4
    bool lfsr = false;                ///< the other random source
    Quantizer g, acc, accq, master, quantized;
    QpId g_qp, acc_qp, accq_qp, master_qp, quantized_qp;  ///< g_qp.layer -1: shown before
};

/// QUANTIZE (update unit): `count` master codes -> codes at a quantiser, in `activations`.
struct QuantizeCmd {
    std::int64_t source_address = 0, destination_address = 0;
    std::int32_t source_bytes = 3, source_frac = 23;
    bool source_signed = true;
    std::int32_t destination_bytes = 1;
    std::int64_t count = 0;
    Quantizer quantizer;
    QpId qp;
    std::int64_t first = 0;  ///< index of the first element in the tensor's memory order
};

/// FENCE: the scheduler issues nothing more until every unit is idle; then forgets what the
/// on-chip buffers hold (a later read of a byte not written again is an error).
struct Fence {};

}  // namespace wagesim
