// gW: the gradient of a conv2d or linear layer's weights, activations times errors.
#include <algorithm>
#include <numeric>
#include <string>

#include "compile/backward.h"
#include "compile/gemm_stream.h"
#include "compile/lowering.h"
#include "compile/placement.h"
#include "compile/spatial.h"
#include "compile/tiling.h"
#include "wagesim/error.h"

namespace wagesim::compile {
namespace {

constexpr std::int64_t gradient_bytes = 5;
constexpr std::int64_t channel_step = 16;

/// A block of weights whose gradients stand in the accumulators: rows (kh, kw, i), a column an
/// output channel.
struct Entry {
    std::int32_t group = 0;
    std::int64_t i0 = 0, i = 0;  ///< input channels of the group (linear: flattened inputs)
    std::int64_t o0 = 0, o = 0;  ///< output channels
    std::int64_t row = 0;
};

/// Entries that are summed up at once: the tensors stream by once for them.
struct Round {
    std::vector<Entry> entries;
    Box a, e2;  ///< their channels of the two tensors
};

class WeightGradientLowering {
public:
    WeightGradientLowering(const Job& job, const TensorPlans& plans, const DramLayout& dram,
                           Emitter& emitter, int index)
        : job_(job),
          machine_(job.datapath.machine),
          dram_(dram),
          layer_(job.layer(index)),
          index_(index),
          input_(dram.output(layer_.inputs[0])),
          e2_(dram.at(index, Qp::E2)),
          out_(plans.output(index).shape),
          window_(window_of(layer_)),
          weights_(weight_shape(layer_)),
          stream_(job, emitter, Phase::gradient, index) {
        is_linear_ = layer_.type == LayerType::linear;
        outputs_ = layer_.out_channels / layer_.groups;
        taps_ = weights_.h * weights_.w;
        const std::int64_t image = out_.h * out_.w;
        if (machine_.dataflow == Dataflow::ws) {
            images_ = std::max<std::int64_t>(1, machine_.array_rows / image);
            row_unit_ = machine_.array_rows / std::gcd<std::int64_t>(out_.w, machine_.array_rows);
        }
        if (dram.has(index, Qp::E2, Role::flags)) flags_ = &dram.at(index, Qp::E2, Role::flags);
    }

    void lower(const DramTensor& operand_scale) {
        for (const Round& round : plan_rounds()) lower_round(round);
        stream_.run(operand_scale, dram_.at(index_, Qp::gW, Role::scale),
                    dram_.at(index_, Qp::gW).format.frac);
    }

private:
    // ---- rounds -----------------------------------------------------------------------------

    std::int64_t column_width() const {
        return std::min<std::int64_t>(outputs_, machine_.array_columns);
    }

    /// Rounds of so many inputs and column tiles of one group, or of several whole groups.
    std::vector<Round> rounds(std::int64_t inputs, std::int64_t columns,
                              std::int64_t groups) const {
        std::vector<Round> found;
        for (std::int32_t group = 0; group < layer_.groups; ++group) {
            const std::int64_t begin = group * outputs_, end = begin + outputs_;
            for (std::int64_t i = 0; i < weights_.c; i += inputs)
                for (std::int64_t o = begin; o < end; o += columns * column_width()) {
                    if (groups == 1 || group % groups == 0) found.emplace_back();
                    std::vector<Entry>& entries = found.back().entries;
                    const std::int64_t last = std::min(o + columns * column_width(), end);
                    for (std::int64_t c = o; c < last; c += column_width()) {
                        Entry entry;
                        entry.group = group;
                        entry.i0 = i;
                        entry.i = std::min(inputs, weights_.c - i);
                        entry.o0 = c;
                        entry.o = std::min(column_width(), last - c);
                        if (!entries.empty())
                            entry.row = entries.back().row + taps_ * entries.back().i;
                        entries.push_back(entry);
                    }
                }
        }
        for (Round& round : found) set_channels(round);
        return found;
    }

    void set_channels(Round& round) const {
        const Entry &first = round.entries.front(), &last = round.entries.back();
        const std::int64_t plane = is_linear_ ? layer_.in_shape.h * layer_.in_shape.w : 1;
        const std::int64_t begin = first.group * weights_.c + first.i0;
        const std::int64_t end = last.group * weights_.c + last.i0 + last.i;
        round.a.c0 = i32(begin / plane);
        round.a.c = i32(ceil_divide(end, plane)) - round.a.c0;
        // In whole bytes of the flags.
        round.e2.c0 = i32(first.o0 / 8 * 8);
        round.e2.c = i32(std::min(ceil_divide(last.o0 + last.o, 8) * 8, e2_.shape.c)) - round.e2.c0;
    }

    std::int64_t rows(const Round& round) const {
        const Entry& last = round.entries.back();
        return last.row + taps_ * last.i;
    }

    /// Those with the least traffic of the ones that fit.
    std::vector<Round> plan_rounds() const {
        std::vector<Round> best;
        std::int64_t least = 0;
        const auto consider = [&](std::int64_t inputs, std::int64_t columns, std::int64_t groups) {
            const std::vector<Round> candidate = rounds(inputs, columns, groups);
            for (const Round& round : candidate)
                if (!fits(round)) return false;
            std::int64_t bytes = 0;
            for (const Round& round : candidate)
                bytes +=
                    input_.shape.n * input_.shape.h * input_.shape.w * round.a.c * input_.bytes +
                    out_.n * out_.h * out_.w * round.e2.c * e2_.bytes;
            if (best.empty() || bytes < least) {
                best = candidate;
                least = bytes;
            }
            return true;
        };
        const std::int64_t columns = ceil_divide(outputs_, column_width());
        for (std::int64_t groups = 2; groups <= layer_.groups; ++groups)
            if (groups * columns * taps_ * weights_.c <= accumulator_rows(machine_))
                consider(weights_.c, columns, groups);
        for (std::int64_t c = columns; c >= 1; --c) {
            const std::int64_t most =
                std::min(weights_.c, accumulator_rows(machine_) / (taps_ * c));
            std::int64_t inputs = most > channel_step ? most / channel_step * channel_step : most;
            if (most == weights_.c) inputs = most;
            // Fewer where the activations of so many do not fit.
            while (inputs >= 1 && !consider(inputs, c, 1))
                inputs =
                    inputs > channel_step ? (inputs - 1) / channel_step * channel_step : inputs / 2;
        }
        if (best.empty())
            throw InputError("layer " + layer_.name +
                             ": training needs larger buffers: the smallest tile of its gW does "
                             "not fit a bank of the activation buffer (" +
                             std::to_string(bank_bytes(machine_)) + " bytes), a bank of " +
                             std::to_string(accumulator_rows(machine_)) +
                             " accumulator rows, or half the weight buffer");
        return best;
    }

    // ---- tiles of pixels --------------------------------------------------------------------

    /// Output pixels are taken in units that end where a tile of K does: groups of images, and of
    /// rows. A box of so many units, from there on.
    Box pixel_box(std::int64_t n, std::int64_t row, std::int64_t images, std::int64_t rows) const {
        Box box;
        box.n0 = i32(n * images_);
        box.n = i32(std::min((n + images) * images_, out_.n)) - box.n0;
        box.h0 = i32(row * row_unit_);
        box.h = i32(std::min((row + rows) * row_unit_, out_.h)) - box.h0;
        box.w = i32(out_.w);
        return box;
    }

    Box a_box(const Round& round, const Box& pixels) const {
        Box box = round.a;
        box.n0 = pixels.n0;
        box.n = pixels.n;
        const auto [h0, h] = rows_under(pixels.h0, pixels.h, window_.h, input_.shape.h);
        const auto [w0, w] = rows_under(pixels.w0, pixels.w, window_.w, input_.shape.w);
        box.h0 = i32(h0);
        box.h = i32(h);
        box.w0 = i32(w0);
        box.w = i32(w);
        return box;
    }

    Box e2_box(const Round& round, const Box& pixels) const {
        Box box = pixels;
        box.c0 = round.e2.c0;
        box.c = round.e2.c;
        return box;
    }

    std::int64_t codes_bytes(const Box& e2) const { return align(e2.size() * e2_.bytes); }

    SpatialSize size_of(const Round& round) const {
        const std::int64_t bank = bank_bytes(machine_);
        return largest_size(
            {ceil_divide(out_.n, images_), ceil_divide(out_.h, row_unit_), 1},
            [&](std::int64_t n, std::int64_t rows, std::int64_t) {
                const Box pixels = pixel_box(0, 0, n, rows);
                Box a = round.a;
                a.n = pixels.n;
                const auto reach = [](std::int64_t count, const WindowAxis& axis,
                                      std::int64_t extent) {
                    return i32(std::min((count - 1) * axis.stride +
                                            std::int64_t{axis.kernel - 1} * axis.dilation + 1,
                                        extent));
                };
                a.h = reach(pixels.h, window_.h, input_.shape.h);
                a.w = reach(pixels.w, window_.w, input_.shape.w);
                const Box e2 = e2_box(round, pixels);
                const std::int64_t flags =
                    flags_ != nullptr ? e2.pixels() * plane_bytes(e2.c, 1) : 0;
                return a.size() * input_.bytes <= bank &&
                       codes_bytes(e2) + flags <= machine_.weight_buffer_bytes / 2;
            });
    }

    bool fits(const Round& round) const {
        const Entry& largest = round.entries.front();
        const std::int64_t tap = largest.o * largest.i * gradient_bytes;
        return rows(round) <= accumulator_rows(machine_) && tap <= bank_bytes(machine_) &&
               size_of(round).n > 0;
    }

    // ---- products ---------------------------------------------------------------------------

    void lower_round(const Round& round) {
        const SpatialSize size = size_of(round);
        const std::int64_t images = ceil_divide(out_.n, images_);
        const std::int64_t rows = ceil_divide(out_.h, row_unit_);
        for (std::int64_t n = 0; n < images; n += size.n)
            for (std::int64_t row = 0; row < rows; row += size.rows) {
                const Box pixels = pixel_box(n, row, size.n, size.rows);
                const bool first = n == 0 && row == 0;
                GemmStream::Work work = work_of(round, pixels, first);
                if (n + size.n >= images && row + size.rows >= rows) add_results(round, work);
                stream_.add(std::move(work));
            }
    }

    /// The K tiles of a box of pixels.
    std::vector<std::pair<std::int64_t, std::int64_t>> tiles_of_k(const Box& pixels) const {
        if (machine_.dataflow == Dataflow::os) return {{0, pixels.pixels()}};
        std::vector<std::pair<std::int64_t, std::int64_t>> tiles;
        const std::int64_t image = std::int64_t{pixels.h} * pixels.w;
        for (std::int64_t n = 0; n < pixels.n; n += images_) {
            const std::int64_t k = std::min<std::int64_t>(images_, pixels.n - n) * image;
            for (std::int64_t k0 = 0; k0 < k; k0 += machine_.array_rows)
                tiles.emplace_back(n * image + k0,
                                   std::min<std::int64_t>(machine_.array_rows, k - k0));
        }
        return tiles;
    }

    GemmStream::Work work_of(const Round& round, const Box& pixels, bool first) {
        const Box a = a_box(round, pixels), e2 = e2_box(round, pixels);
        GemmStream::Work work;
        work.input = stream_.add_input(pixels, {box_transfer(input_, a, 0)});
        std::vector<Transfer> loads{box_transfer(e2_, e2, 0)};
        if (flags_ != nullptr) loads.push_back(box_transfer(*flags_, e2, codes_bytes(e2)));
        for (Transfer& load : loads) load.buffer = Space::weights;
        work.chunk = stream_.add_chunk(pixels, std::move(loads));
        for (const Entry& entry : round.entries)
            for (const auto& [k0, k] : tiles_of_k(pixels)) {
                GemmStream::Product product;
                product.box = pixels;
                product.box.c0 = i32(entry.o0);
                product.box.c = i32(entry.o);
                product.gemm = gemm_of(entry, a);
                product.gemm.k0 = i32(k0);
                product.gemm.k = i32(k);
                product.gemm.accumulate = !first || k0 > 0;
                WeightView& weights = product.gemm.weights;
                const std::int64_t column = entry.o0 - e2.c0;
                weights.bytes = e2_.bytes;
                weights.row_stride = std::int64_t{e2.c} * e2_.bytes;
                weights.column_stride = e2_.bytes;
                weights.address = k0 * weights.row_stride + column * e2_.bytes;
                if (flags_ != nullptr) {
                    weights.flags.stride_w = plane_bytes(e2.c, 1);
                    weights.flags.address = codes_bytes(e2) + k0 * weights.flags.stride_w;
                    weights.flags.first = i32(column);
                }
                work.products.push_back(product);
            }
        return work;
    }

    Gemm gemm_of(const Entry& entry, const Box& a) const {
        const TileView view = dense_view(0, input_.bytes, input_.format, a);
        Gemm gemm;
        gemm.bytes = input_.bytes;
        gemm.stride_n = view.stride_n;
        gemm.stride_h = view.stride_h;
        gemm.stride_w = view.stride_w;
        gemm.h0 = a.h0;
        gemm.w0 = a.w0;
        gemm.image_h = i32(input_.shape.h);
        gemm.image_w = i32(input_.shape.w);
        gemm.kernel_h = window_.h.kernel;
        gemm.kernel_w = window_.w.kernel;
        gemm.stride_y = window_.h.stride;
        gemm.stride_x = window_.w.stride;
        gemm.padding_h = window_.h.padding;
        gemm.padding_w = window_.w.padding;
        gemm.dilation_h = window_.h.dilation;
        gemm.dilation_w = window_.w.dilation;
        gemm.turned = true;
        gemm.columns = i32(entry.o);
        gemm.accumulator_row = entry.row;
        if (is_linear_) {
            gemm.channel_major = true;
            gemm.channels = a.c;
            gemm.m0 = i32(entry.i0 - a.c0 * input_.shape.h * input_.shape.w);
            gemm.m = i32(entry.i);
        } else {
            gemm.channels = i32(entry.i);
            gemm.address = (entry.group * weights_.c + entry.i0 - a.c0) * input_.bytes;
            gemm.m = i32(taps_ * entry.i);
        }
        return gemm;
    }

    // ---- results ----------------------------------------------------------------------------

    /// As many of an entry's taps at once as a bank holds: rows of the kernel, or parts of one.
    void add_results(const Round& round, GemmStream::Work& work) const {
        for (const Entry& entry : round.entries) {
            const std::int64_t most = bank_bytes(machine_) / (gradient_bytes * entry.o * entry.i);
            const std::int64_t h = std::clamp<std::int64_t>(most / weights_.w, 1, weights_.h);
            const std::int64_t w = std::min(most, weights_.w);
            for (std::int64_t y = 0; y < weights_.h; y += h)
                for (std::int64_t x = 0; x < weights_.w; x += w) {
                    Box box;
                    box.n0 = i32(entry.o0);
                    box.n = i32(entry.o);
                    box.h0 = i32(y);
                    box.h = i32(std::min(h, weights_.h - y));
                    box.w0 = i32(x);
                    box.w = i32(std::min(w, weights_.w - x));
                    box.c0 = i32(entry.i0);
                    box.c = i32(entry.i);
                    work.results.push_back(
                        result_of(box, entry.row + (y * weights_.w + x) * entry.i));
                }
        }
    }

    GemmStream::Result result_of(const Box& box, std::int64_t row) const {
        const DramTensor& tensor = dram_.at(index_, Qp::gW);
        GemmStream::Result result;
        result.box = box;
        TileView& source = result.drain.source;
        source.space = Space::accumulators;
        source.address = row;
        source.bytes = gradient_bytes;
        source.turned = true;
        source.bits = tensor.format.bits;
        source.frac = tensor.format.frac;
        source.qp = tensor.qp;
        result.drain.destination = dense_view(0, gradient_bytes, tensor.format, box);
        result.store = box_transfer(tensor, box, 0);
        return result;
    }

    const Job& job_;
    const MachineConfig& machine_;
    const DramLayout& dram_;
    const Layer& layer_;
    const int index_;
    const DramTensor &input_, &e2_;
    const DramTensor* flags_ = nullptr;
    const Shape out_;  ///< batch included
    const Window window_;
    const Shape weights_;
    GemmStream stream_;
    bool is_linear_ = false;
    std::int64_t outputs_ = 0;  ///< of a group
    std::int64_t taps_ = 1;
    std::int64_t images_ = 1, row_unit_ = 1;  ///< where a tile of K ends
};

}  // namespace

void BackwardLowering::lower_weight_gradient(int layer) {
    WeightGradientLowering(job_, plans_, dram_, emitter_, layer).lower(operand_scale(layer));
}

}  // namespace wagesim::compile
