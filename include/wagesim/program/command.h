// The commands that the layer scheduler executes: what the compiler emits and the machine obeys.
//
// A program is a list of commands. The scheduler issues them in order, one every
// `issue_cycles`, each into the queue of its unit (`queue_depth` entries). A unit executes its
// commands in order: it waits for the command's tokens, works, and gives tokens. Units meet
// nowhere else. Every operand is an address in a buffer; nothing is passed by pointer.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "wagesim/format/format.h"
#include "wagesim/tensor/tensor.h"

namespace wagesim {

/// The machine's memories. Addresses are bytes; in `accumulators`, rows.
enum class Space { dram, weights, activations, accumulators, parameters };
inline constexpr int space_count = 5;

/// Execution units, each with its own in-order command queue.
enum class Unit { dma_read, dma_write, weight_loader, array, drain, vector, update };
inline constexpr int unit_count = 7;

/// What a command belongs to, for the report.
enum class Phase { prepare, forward };

/// A counting semaphore: `wait` takes one (blocking at zero), `give` adds one. Each token has one
/// giving and one waiting unit, so the k-th wait is met by the k-th give (and the initial ones).
using Token = std::uint16_t;

/// What a unit lacks while it waits for a token.
enum class StallCause {
    weights,       ///< weight tile not in its buffer or register
    activations,   ///< input tile not in its buffer
    accumulator,   ///< no accumulator bank free, or its sum not complete
    vector,        ///< the vector unit has not delivered
    parameters,    ///< batch-norm parameters or statistics not there
    dram,          ///< a Dma transfer or its buffer space
    control,       ///< nothing issued: the queue is empty
    backpressure,  ///< random stalls of --stall-seed
};
inline constexpr int stall_cause_count = 8;

struct TokenInfo {
    std::string name;
    StallCause cause = StallCause::control;  ///< of a unit that waits for it
    int initial = 0;
};

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

/// WLOAD: brings `columns` x `rows` one-byte weights from the weight buffer to the array's shadow
/// registers. The weight for PE (r, c) is at address + c * column_stride + r. PEs beyond are 0.
struct WeightLoad {
    std::int64_t address = 0;
    std::int64_t column_stride = 0;
    std::int32_t rows = 0;     ///< K indices of this tile, <= R
    std::int32_t columns = 0;  ///< output channels of this tile, <= C
};

/// GEMM: multiplies operands, one row of K per output pixel, with a tile of weights: with
/// `dataflow: ws` those that WLOAD brought to the array, with `os` those in the weight buffer.
///
/// Output pixel p = (n, oh, ow) of the box (row-major) and reduction index k, running over
/// (kh, kw, c) with c fastest (`channel_major`: (c, kh, kw), kw fastest, for flattened inputs):
///   ih = oh * stride.h - padding.h + kh * dilation.h, iw likewise;
///   outside [0, image_h) x [0, image_w): padding, code 0;
///   else the operand's byte at address + n * stride_n + (ih - h0) * stride_h + (iw - w0) *
///   stride_w + c * bytes
/// (n counted from the box's first image).
/// The sums go to accumulator row `accumulator_row` + p, column c: ws in one addition of the K
/// tile's exact sum, os in one addition per product.
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
    std::int32_t k0 = 0, k = 0;  ///< this K tile: indices [k0, k0 + k); ws: k <= R
    std::int32_t columns = 0;    ///< output channels of this tile
    std::int64_t accumulator_row = 0;
    bool accumulate = false;         ///< add to the row; else start it from the bias, or from 0
    std::int64_t bias_address = -1;  ///< first start: 4-byte codes in `parameters`; -1: none
    /// os: the weight of column c and index k0 + j, in `weights`, is at weight_address +
    /// c * weight_stride + j.
    std::int64_t weight_address = 0, weight_stride = 0;
    /// ws: given `array_rows + array_columns - 1` cycles after the start, when the last PE has
    /// taken its new weight: the shadow registers are free.
    std::vector<Token> gives_at_swap;
};

/// A tile in a buffer: element (n, h, w, c) of the command's box, counted from the box's origin,
/// at address + n * stride_n + h * stride_h + w * stride_w + c * bytes; little-endian.
/// In `accumulators`: channel c of pixel p (row-major in the box) is column c % channels_per_row
/// of row address + (c / channels_per_row) * pixels + p, and the element is y: the low 32 bits.
struct TileView {
    Space space = Space::activations;
    std::int64_t address = 0;
    std::int32_t bytes = 1;
    bool is_signed = true;
    std::int64_t stride_n = 0, stride_h = 0, stride_w = 0;
    std::int32_t channels_per_row = 0;
    std::int32_t frac = 0;  ///< of the codes in it
    /// The quantisation point shown when an accumulator tile is read (y or z): its reader
    /// completes it.
    QpId qp;
};

/// DRAIN: accumulator rows -> 4-byte y in `activations`; optionally adds each channel's sum and
/// sum of squares to the statistics in `parameters` (see Gather).
struct Drain {
    TileView source, destination;
    std::int64_t statistics_address = -1;
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

struct Command {
    using Operands = std::variant<Fence, Transfer, WeightLoad, Gemm, Drain, Gather, Clear, BnStat,
                                  BnCoef, NormalizeCmd, Act, Add, Pool, QuantizeCmd>;
    Unit unit = Unit::dma_read;  ///< ignored for FENCE
    std::int32_t layer = -1;     ///< index in the network file, for the report
    Phase phase = Phase::forward;
    std::int32_t tile = 0;  ///< output tile of the layer's pass
    Box box;                ///< the output elements it works on, in its layer's output tensor
    Operands operands;
    std::vector<Token> waits;
    std::vector<Token> gives;  ///< at completion
};

/// LOAD, STORE, WLOAD, ... as listings and traces print it.
std::string mnemonic(const Command& command);
std::string_view to_string(Unit unit);
std::string_view to_string(Phase phase);
std::string_view to_string(StallCause cause);
std::string_view to_string(Space space);

/// Order of a tensor's elements in Dram.
enum class MemoryOrder {
    nhwc,  ///< activations
    ohwi,  ///< conv2d weights: O, kh, kw, I
    flat,  ///< linear weights (O, I), channel vectors
};

/// Where a tensor lies in the Dram image.
struct DramTensor {
    QpId qp;
    Shape shape;
    Format format;
    std::int64_t address = 0;
    std::int32_t bytes = 1;  ///< per element, little-endian two's complement
    MemoryOrder order = MemoryOrder::nhwc;
    bool from_host = false;  ///< written by the host before the program runs
};

struct Program {
    std::vector<Command> commands;
    std::vector<TokenInfo> tokens;
    std::vector<DramTensor> tensors;
    std::int64_t dram_bytes = 0;
};

}  // namespace wagesim
