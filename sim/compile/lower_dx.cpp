// dx: the error that a conv2d or linear layer passes on, gathered by its input's places.
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

constexpr std::int64_t dx_bytes = 5;

/// Every stride-th row of dx, from `first` on: those that the same taps of the kernel reach.
struct PhaseAxis {
    int first = 0, count = 0, stride = 1;
    int taps = 0, first_tap = 0, tap_step = 1;
    /// The outputs that row q of the phase gathers, a tap each: a window that goes backwards.
    WindowAxis window;

    static PhaseAxis make(const WindowAxis& forward, int first, std::int64_t extent) {
        PhaseAxis axis;
        axis.first = first;
        axis.stride = forward.stride;
        axis.count = i32(ceil_divide(extent - first, forward.stride));
        const int common = std::gcd(forward.stride, forward.dilation);
        axis.tap_step = forward.stride / common;
        const auto distance = [&](int tap) {
            return first + forward.padding - tap * forward.dilation;
        };
        const int candidates = std::min(forward.kernel, axis.tap_step);
        int tap = 0;
        while (tap < candidates && distance(tap) % forward.stride != 0) ++tap;
        if (tap == candidates) return axis;
        axis.first_tap = tap;
        axis.taps = i32(ceil_divide(forward.kernel - tap, axis.tap_step));
        axis.window = {axis.taps, 1, -(distance(tap) / forward.stride),
                       -(forward.dilation / common)};
        return axis;
    }
};

struct Phase2d {
    PhaseAxis h, w;
    bool has_taps() const { return h.taps > 0 && w.taps > 0; }
};

/// Channels of dx that are made together.
struct Block {
    std::int32_t c0 = 0, c = 0;       ///< channels
    std::vector<ColumnTile> columns;  ///< of them (linear: of the flattened inputs)
    std::int64_t width() const { return columns.back().c0 + columns.back().c - columns.front().c0; }
};

class DxLowering {
public:
    DxLowering(const Job& job, const DramLayout& dram, Emitter& emitter, int index, Shape dx,
               Quantizer e2)
        : job_(job),
          machine_(job.datapath.machine),
          dram_(dram),
          layer_(job.layer(index)),
          index_(index),
          dx_(dx),
          e2_(dram.at(index, Qp::E2)),
          e2_frac_(e2.format.frac),
          stream_(job, emitter, wagesim::Phase::error, index) {
        is_linear_ = layer_.type == LayerType::linear;
        weights_ = weight_shape(layer_);
        outputs_ = layer_.out_channels / layer_.groups;
        if (dram.has(index, Qp::E2, Role::flags)) flags_ = &dram.at(index, Qp::E2, Role::flags);
    }

    void lower(const DramTensor& operand_scale) {
        // A linear layer's windows are single pixels of flattened channels.
        const Window window = is_linear_ ? Window{} : window_of(layer_);
        const std::int64_t h = is_linear_ ? 1 : dx_.h, w = is_linear_ ? 1 : dx_.w;
        for (int y = 0; y < std::min<std::int64_t>(window.h.stride, h); ++y)
            for (int x = 0; x < std::min<std::int64_t>(window.w.stride, w); ++x)
                lower_phase({PhaseAxis::make(window.h, y, h), PhaseAxis::make(window.w, x, w)});
        const int frac = e2_frac_ + job_.at(index_, Qp::Wq).format.frac;
        stream_.run(operand_scale, dram_.at(index_, Qp::dx, Role::scale), frac);
    }

private:
    // ---- blocks of channels -----------------------------------------------------------------

    /// Channels that the array makes at once, of one group.
    std::int64_t column_width() const {
        return std::min<std::int64_t>(weights_.c, machine_.array_columns);
    }

    /// All of them, in blocks of so many units (conv2d: column tiles; linear: channels). A block
    /// holds parts of one group, or whole groups that a column tile holds.
    std::vector<Block> blocks(std::int64_t units) const {
        std::vector<Block> found;
        if (is_linear_) {
            const std::int64_t plane = dx_.h * dx_.w;
            for (std::int64_t c = 0; c < dx_.c; c += units) {
                Block block{i32(c), i32(std::min(units, dx_.c - c)), {}};
                const std::int64_t end = (c + block.c) * plane;
                for (std::int64_t i = c * plane; i < end; i += column_width())
                    block.columns.push_back({i32(i), i32(std::min(column_width(), end - i)), 0});
                found.push_back(block);
            }
            return found;
        }
        const bool holds_groups = weights_.c == column_width();
        Block block;
        for (std::int32_t group = 0; group < layer_.groups; ++group) {
            for (std::int64_t c = 0; c < weights_.c; c += column_width()) {
                const bool full = static_cast<std::int64_t>(block.columns.size()) == units;
                if (full || (c == 0 && group > 0 && !holds_groups)) {
                    found.push_back(block);
                    block = {};
                }
                const ColumnTile column{i32(group * weights_.c + c),
                                        i32(std::min(column_width(), weights_.c - c)), group};
                if (block.columns.empty()) block.c0 = column.c0;
                block.columns.push_back(column);
                block.c += column.c;
            }
        }
        found.push_back(block);
        return found;
    }

    std::int64_t most_units() const {
        if (is_linear_) return dx_.c;
        const std::int64_t per_group = ceil_divide(weights_.c, column_width());
        return weights_.c == column_width() ? layer_.groups : per_group;
    }

    /// Channels of E2 that a block reads, in whole bytes of the flags.
    Box e2_channels(const Block& block) const {
        Box box;
        box.c0 = block.columns.front().group * outputs_ / 8 * 8;
        const std::int32_t end = (block.columns.back().group + 1) * outputs_;
        box.c = i32(std::min<std::int64_t>(ceil_divide(end, 8) * 8, e2_.shape.c)) - box.c0;
        return box;
    }

    // ---- tiles ------------------------------------------------------------------------------

    Box dx_box(const Phase2d& phase, const Block& block, const Box& part) const {
        Box box = part;
        box.h0 = phase.h.first + part.h0 * phase.h.stride;
        box.w0 = phase.w.first + part.w0 * phase.w.stride;
        box.step_h = phase.h.stride;
        box.step_w = phase.w.stride;
        box.c0 = block.c0;
        box.c = block.c;
        if (is_linear_) {
            box.h = i32(dx_.h);
            box.w = i32(dx_.w);
        }
        return box;
    }

    /// `part`: images, and rows and columns of the phase.
    Box e2_box(const Phase2d& phase, const Block& block, const Box& part) const {
        Box box = e2_channels(block);
        box.n0 = part.n0;
        box.n = part.n;
        if (!phase.has_taps()) return box;
        const auto [h0, h] = rows_under(part.h0, part.h, phase.h.window, e2_.shape.h);
        const auto [w0, w] = rows_under(part.w0, part.w, phase.w.window, e2_.shape.w);
        box.h0 = i32(h0);
        box.h = i32(h);
        box.w0 = i32(w0);
        box.w = i32(w);
        return box;
    }

    std::int64_t codes_bytes(const Box& e2) const { return align(e2.size() * e2_.bytes); }
    std::int64_t input_bytes(const Box& e2) const {
        return codes_bytes(e2) + (flags_ != nullptr ? e2.pixels() * plane_bytes(e2.c, 1) : 0);
    }

    /// Of a part of that size, wherever it lies.
    bool fits(const Phase2d& phase, const Block& block, std::int64_t n, std::int64_t h,
              std::int64_t w) const {
        Box part;
        part.n = i32(n);
        part.h = i32(h);
        part.w = i32(w);
        Box e2 = e2_channels(block);
        e2.n = part.n;
        if (phase.has_taps()) {
            const auto reach = [](std::int64_t count, const WindowAxis& axis, std::int64_t extent) {
                return i32(std::min(count - std::int64_t{axis.kernel - 1} * axis.dilation, extent));
            };
            e2.h = reach(h, phase.h.window, e2_.shape.h);
            e2.w = reach(w, phase.w.window, e2_.shape.w);
        }
        const std::int64_t bank = bank_bytes(machine_);
        const std::int64_t rows = machine_.dataflow == Dataflow::ws ? machine_.array_rows : 1;
        return input_bytes(e2) <= bank && dx_box(phase, block, part).size() * dx_bytes <= bank &&
               part.pixels() * static_cast<std::int64_t>(block.columns.size()) <=
                   accumulator_rows(machine_) &&
               block.width() * std::min<std::int64_t>(rows, reduction(phase)) <=
                   machine_.weight_buffer_bytes / 2;
    }

    SpatialSize size_of(const Phase2d& phase, const Block& block) const {
        return largest_size({dx_.n, phase.h.count, phase.w.count},
                            [&](std::int64_t n, std::int64_t h, std::int64_t w) {
                                return fits(phase, block, n, h, w);
                            });
    }

    void lower_phase(const Phase2d& phase) {
        // Long enough that the next weights are in the array before a GEMM ends.
        const std::int64_t wanted =
            std::min(dx_.n * phase.h.count * phase.w.count,
                     std::int64_t{2} * machine_.array_rows + machine_.array_columns);
        std::int64_t chosen = 0, pixels = 0;
        for (std::int64_t units = most_units(); units >= 1 && pixels < wanted; --units) {
            const SpatialSize size = size_of(phase, blocks(units).front());
            const std::int64_t found = size.n * size.rows * size.columns;
            if (found <= pixels) continue;
            pixels = found;
            chosen = units;
        }
        if (chosen == 0)
            throw InputError("layer " + layer_.name +
                             ": training needs larger buffers: the smallest tile of its dx does "
                             "not fit a bank of the activation buffer (" +
                             std::to_string(bank_bytes(machine_)) + " bytes), a bank of " +
                             std::to_string(accumulator_rows(machine_)) +
                             " accumulator rows, or half the weight buffer");
        for (const Block& block : blocks(chosen)) lower_block(phase, block);
    }

    void lower_block(const Phase2d& phase, const Block& block) {
        const std::vector<Chunk> chunks = cut_chunks(phase, block);
        const SpatialSize size = size_of(phase, block);
        for (std::int64_t n = 0; n < dx_.n; n += size.n)
            for (std::int64_t h = 0; h < phase.h.count; h += size.rows)
                for (std::int64_t w = 0; w < phase.w.count; w += size.columns) {
                    Box part;
                    part.n0 = i32(n);
                    part.n = i32(std::min(size.n, dx_.n - n));
                    part.h0 = i32(h);
                    part.h = i32(std::min<std::int64_t>(size.rows, phase.h.count - h));
                    part.w0 = i32(w);
                    part.w = i32(std::min<std::int64_t>(size.columns, phase.w.count - w));
                    lower_tile(phase, block, chunks, part);
                }
    }

    // ---- weights ----------------------------------------------------------------------------

    /// A range of K for the columns of one group: rows of `width` bytes.
    struct Chunk {
        int index = 0;  ///< in the stream
        std::size_t first_column = 0, columns = 0;
        std::int64_t width = 0, k0 = 0, k = 0;
    };

    std::int64_t reduction(const Phase2d& phase) const {
        return phase.has_taps() ? std::int64_t{phase.h.taps} * phase.w.taps * outputs_ : 1;
    }

    std::vector<Chunk> cut_chunks(const Phase2d& phase, const Block& block) {
        const std::int64_t half = machine_.weight_buffer_bytes / 2;
        const std::int64_t least =
            machine_.dataflow == Dataflow::ws ? machine_.array_rows : std::int64_t{1};
        const std::int64_t all = reduction(phase);
        std::vector<Chunk> chunks;
        for (std::size_t first = 0; first < block.columns.size();) {
            Chunk chunk;
            chunk.first_column = first;
            const std::int32_t group = block.columns[first].group;
            for (; first < block.columns.size() && block.columns[first].group == group; ++first) {
                ++chunk.columns;
                chunk.width += block.columns[first].c;
            }
            const std::int64_t shares = ceil_divide(all, std::min(all, half / chunk.width));
            std::int64_t step = std::min(ceil_divide(ceil_divide(all, shares), least) * least, all);
            if (step * chunk.width > half) step = half / chunk.width / least * least;
            for (chunk.k0 = 0; chunk.k0 < all; chunk.k0 += step) {
                chunk.k = std::min(step, all - chunk.k0);
                chunk.index = stream_.add_chunk(
                    channel_box(block.columns[chunk.first_column].c0, chunk.width),
                    chunk_loads(phase, block, chunk));
                chunks.push_back(chunk);
            }
        }
        return chunks;
    }

    /// Rows (kh, kw, o) of the phase's taps, o fastest.
    std::vector<Transfer> chunk_loads(const Phase2d& phase, const Block& block,
                                      const Chunk& chunk) const {
        const DramTensor& weights = dram_.at(index_, Qp::Wq);
        const std::int64_t output_stride = weights_.h * weights_.w * weights_.c;
        const ColumnTile& column = block.columns[chunk.first_column];
        const std::int64_t base = weights.address + column.group * outputs_ * output_stride +
                                  column.c0 - column.group * weights_.c;
        std::vector<Transfer> loads;
        for (std::int64_t k = chunk.k0; k < chunk.k0 + chunk.k;) {
            const std::int64_t tap = k / outputs_, output = k % outputs_;
            const std::int64_t y =
                phase.h.first_tap + tap / std::max(phase.w.taps, 1) * phase.h.tap_step;
            const std::int64_t x =
                phase.w.first_tap + tap % std::max(phase.w.taps, 1) * phase.w.tap_step;
            Transfer load;
            load.buffer = Space::weights;
            load.dram_address = base + (y * weights_.w + x) * weights_.c + output * output_stride;
            load.buffer_address = (k - chunk.k0) * chunk.width;
            load.run_bytes = chunk.width;
            load.counts[2] = std::min(outputs_ - output, chunk.k0 + chunk.k - k);
            load.dram_strides[2] = output_stride;
            load.buffer_strides[2] = chunk.width;
            k += load.counts[2];
            loads.push_back(load);
        }
        return loads;
    }

    // ---- products ---------------------------------------------------------------------------

    void lower_tile(const Phase2d& phase, const Block& block, const std::vector<Chunk>& chunks,
                    const Box& part) {
        const Box dx = dx_box(phase, block, part), e2 = e2_box(phase, block, part);
        std::vector<Transfer> loads{box_transfer(e2_, e2, 0)};
        if (flags_ != nullptr) loads.push_back(box_transfer(*flags_, e2, codes_bytes(e2)));
        const int input = stream_.add_input(dx, std::move(loads));
        for (std::size_t c = 0; c < chunks.size(); ++c) {
            GemmStream::Work work;
            work.input = input;
            work.chunk = chunks[c].index;
            add_products(phase, block, chunks[c], part, e2, work.products);
            if (c + 1 == chunks.size()) work.results.push_back(result_of(block, dx));
            stream_.add(std::move(work));
        }
    }

    void add_products(const Phase2d& phase, const Block& block, const Chunk& chunk, const Box& part,
                      const Box& e2, std::vector<GemmStream::Product>& products) const {
        const std::int64_t step = machine_.dataflow == Dataflow::ws ? machine_.array_rows : chunk.k;
        const ColumnTile& first = block.columns[chunk.first_column];
        for (std::size_t c = chunk.first_column; c < chunk.first_column + chunk.columns; ++c)
            for (std::int64_t k = chunk.k0; k < chunk.k0 + chunk.k; k += step) {
                const ColumnTile& column = block.columns[c];
                GemmStream::Product product;
                product.gemm = gemm_of(phase, column.group, e2);
                product.gemm.k0 = i32(k);
                product.gemm.k = i32(std::min(step, chunk.k0 + chunk.k - k));
                product.gemm.columns = column.c;
                product.gemm.accumulator_row = static_cast<std::int64_t>(c) * part.pixels();
                product.gemm.accumulate = k > 0;
                product.gemm.weights.address = (k - chunk.k0) * chunk.width + column.c0 - first.c0;
                product.gemm.weights.row_stride = chunk.width;
                product.gemm.weights.column_stride = 1;
                product.box = dx_box(phase, block, part);
                if (is_linear_) product.box.h = product.box.w = 1;
                product.box.c0 = column.c0;
                product.box.c = column.c;
                products.push_back(product);
            }
    }

    Gemm gemm_of(const Phase2d& phase, std::int32_t group, const Box& e2) const {
        const TileView view = dense_view(0, e2_.bytes, e2_.format, e2);
        Gemm gemm;
        gemm.bytes = e2_.bytes;
        gemm.stride_n = view.stride_n;
        gemm.stride_h = view.stride_h;
        gemm.stride_w = view.stride_w;
        gemm.h0 = e2.h0;
        gemm.w0 = e2.w0;
        const std::int32_t first = group * outputs_ - e2.c0;
        gemm.address = std::int64_t{first} * e2_.bytes;
        if (flags_ != nullptr) {
            gemm.flags = dense_plane(codes_bytes(e2), 1, e2);
            gemm.flags.first = first;
        }
        gemm.channels = outputs_;
        if (!phase.has_taps()) return gemm;  // an image without pixels: zeros
        gemm.image_h = i32(e2_.shape.h);
        gemm.image_w = i32(e2_.shape.w);
        gemm.kernel_h = phase.h.window.kernel;
        gemm.kernel_w = phase.w.window.kernel;
        gemm.padding_h = phase.h.window.padding;
        gemm.padding_w = phase.w.window.padding;
        gemm.dilation_h = phase.h.window.dilation;
        gemm.dilation_w = phase.w.window.dilation;
        return gemm;
    }

    GemmStream::Result result_of(const Block& block, const Box& dx) const {
        const DramTensor& tensor = dram_.at(index_, Qp::dx);
        GemmStream::Result result;
        result.box = dx;
        Drain& drain = result.drain;
        drain.source.space = Space::accumulators;
        drain.source.bytes = dx_bytes;
        drain.source.channels_per_row = i32(column_width());
        drain.source.bits = tensor.format.bits;
        drain.source.frac = tensor.format.frac;
        drain.source.qp = tensor.qp;
        drain.destination = dense_view(0, dx_bytes, tensor.format, dx);
        if (is_linear_ && dx_.h * dx_.w > 1) {
            drain.destination.address = -std::int64_t{dx.c0} * dx_bytes;
            drain.destination.flat_h = dx.h;
            drain.destination.flat_w = dx.w;
            result.box.h = result.box.w = 1;
            result.box.c0 = block.columns.front().c0;
            result.box.c = i32(block.width());
        }
        result.store = box_transfer(tensor, dx, 0);
        return result;
    }

    const Job& job_;
    const MachineConfig& machine_;
    const DramLayout& dram_;
    const Layer& layer_;
    const int index_;
    const Shape dx_;  ///< batch included
    const DramTensor& e2_;
    const DramTensor* flags_ = nullptr;
    const int e2_frac_;
    GemmStream stream_;
    bool is_linear_ = false;
    Shape weights_;
    std::int32_t outputs_ = 0;  ///< of a group
};

}  // namespace

void BackwardLowering::lower_dx(int layer) {
    DxLowering(job_, dram_, emitter_, layer, plans_.output(job_.layer(layer).inputs[0]).shape,
               plan_.e2(layer))
        .lower(operand_scale(layer));
}

}  // namespace wagesim::compile
