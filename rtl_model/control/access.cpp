// Which memory bytes a command touches: for bank claims, waves and the traffic report.
#include "control/access.h"

#include <algorithm>

#include "control/extent.h"

namespace wagesim::rtl {

namespace {

constexpr std::int64_t sum_bytes = 16;         // S and SS of a channel
constexpr std::int64_t code_bytes = 4;         // mu, sigma and their running values
constexpr std::int64_t coefficient_bytes = 8;  // inv, fold_a, fold_b
constexpr std::int64_t accumulator_bytes = 5;
constexpr std::int64_t largest_bytes = 8;  // of a scale's record

/// os: rows of operands come in folds of array rows.
std::int64_t folds(std::int64_t rows, const MachineConfig& config) {
    return (rows + config.array_rows - 1) / config.array_rows;
}

struct Span {
    std::int64_t first = 0, count = 0;
};

// Input rows (or columns) inside the image that windows at outputs [first, first + count) touch.
Span touched(std::int64_t first, std::int64_t count, std::int64_t kernel, std::int64_t stride,
             std::int64_t padding, std::int64_t dilation, std::int64_t image) {
    const std::int64_t reach = (kernel - 1) * dilation;
    const std::int64_t low =
        std::max<std::int64_t>(0, first * stride - padding + std::min<std::int64_t>(reach, 0));
    const std::int64_t high = std::min<std::int64_t>(
        image, (first + count - 1) * stride - padding + std::max<std::int64_t>(reach, 0) + 1);
    return {low, std::max<std::int64_t>(0, high - low)};
}

class Collector {
public:
    Collector(const Command& command, const MachineConfig& config, std::vector<Access>& accesses)
        : box_(command.box),
          config_(config),
          columns_(config.array_columns),
          is_store_(command.unit == Unit::dma_write),
          accesses_(accesses) {}

    void operator()(const Fence&) {}
    void operator()(const Transfer& t) {
        transfer(Space::dram, is_store_, t.dram_address, t.dram_strides, t);
        transfer(t.buffer, !is_store_, t.buffer_address, t.buffer_strides, t);
    }
    void operator()(const WeightLoad& w) { weights(w.weights, w.rows, w.columns, 1); }
    void operator()(const Gemm& g) {
        operands(g);
        const std::int64_t rows = streamed_rows(g, box_);
        if (config_.dataflow == Dataflow::os)
            weights(g.weights, g.k, g.columns, folds(rows, config_));
        accumulator_rows(false, g.accumulate, g.accumulator_row, rows, g.columns);
        accumulator_rows(true, true, g.accumulator_row, rows, g.columns);
        if (!g.accumulate && g.bias_address >= 0) channels(false, g.bias_address, code_bytes);
    }
    void operator()(const Drain& d) {
        tile(false, d.source);
        tile(true, d.destination);
        if (d.statistics_address >= 0) statistics(d.statistics_address);
        largest(d.largest_address);
        scale(d.scale_address);
    }
    void operator()(const Gather& g) {
        tile(false, g.source);
        statistics(g.statistics_address);
    }
    void operator()(const Clear& c) { add(Space::parameters, true, c.address, c.bytes, c.bytes); }
    void operator()(const BnStat& s) {
        channels(false, s.statistics_address, sum_bytes);
        channels(true, s.mu_address, code_bytes);
        channels(true, s.sigma_address, code_bytes);
        for (const bool is_write : {false, true}) {
            channels(is_write, s.run_mu_address, code_bytes);
            channels(is_write, s.run_sigma_address, code_bytes);
        }
    }
    void operator()(const BnCoef& b) {
        channels(false, b.sigma_address, code_bytes);
        if (b.kind == BnCoef::Kind::fold) {
            channels(false, b.mu_address, code_bytes);
            channels(false, b.gamma_address, width(b.gamma));
            channels(false, b.beta_address, width(b.beta));
            channels(true, b.out_b_address, coefficient_bytes);
        }
        channels(true, b.out_address, coefficient_bytes);
    }
    void operator()(const NormalizeCmd& n) {
        tile(false, n.source);
        channels(false, n.mu_address, code_bytes);
        channels(false, n.sigma_address, n.inverse ? coefficient_bytes : code_bytes);
        tile(true, n.destination);
    }
    void operator()(const Act& a) {
        tile(false, a.source);
        if (a.kind != Act::Kind::plain) {
            const bool fold = a.kind == Act::Kind::fold;
            channels(false, a.gamma_address, fold ? coefficient_bytes : width(a.gamma));
            channels(false, a.beta_address, fold ? coefficient_bytes : width(a.beta));
        }
        tile(true, a.destination);
        plane(true, a.mask);
    }
    void operator()(const Add& a) {
        tile(false, a.a);
        tile(false, a.b);
        tile(true, a.destination);
    }
    void operator()(const Pool& p) {
        const Span rows =
            touched(box_.h0, box_.h, p.kernel_h, p.stride_y, p.padding_h, 1, p.image_h);
        const Span columns =
            touched(box_.w0, box_.w, p.kernel_w, p.stride_x, p.padding_w, 1, p.image_w);
        if (rows.count > 0 && columns.count > 0) {
            const TileView& s = p.source;
            const std::int64_t first =
                s.address + (rows.first - p.h0) * s.stride_h + (columns.first - p.w0) * s.stride_w;
            const std::int64_t extent = (box_.n - 1) * s.stride_n + (rows.count - 1) * s.stride_h +
                                        (columns.count - 1) * s.stride_w +
                                        std::int64_t{box_.c} * s.bytes;
            add(s.space, false, first, extent,
                std::int64_t{p.kernel_h} * p.kernel_w * box_.size() * s.bytes);
        }
        tile(true, p.destination);
        plane(true, p.index);
    }
    void operator()(const QuantizeCmd& q) {
        run(false, q.source_address, q.count * q.source_bytes);
        run(true, q.destination_address, q.count * q.destination_bytes);
    }
    void operator()(const Softmax& s) {
        tile(false, s.source);
        run(false, s.label_address, box_.pixels());
        tile(true, s.destination);
        largest(s.largest_address);
    }
    void operator()(const Exponent& e) {
        for (const Exponent::Operand& operand : e.operands) unit(operand);
        add(Space::parameters, false, e.scale_address, largest_bytes, largest_bytes);
        add(Space::parameters, true, e.scale_address, scale_bytes, scale_bytes);
    }
    void operator()(const ShiftQuantize& s) {
        tile(false, s.source);
        scale(s.scale.address);
        plane(false, s.mask);
        tile(true, s.destination);
        largest(s.largest_address);
    }
    void operator()(const FlagQuantize& f) {
        tile(false, f.source);
        scale(f.scale.address);
        tile(true, f.destination);
        plane(true, f.flags);
    }
    void operator()(const PoolBack& p) {
        const Box windows = windows_over(p, box_);
        const std::int64_t covering = covering_windows(p);
        if (windows.size() > 0) {
            const TileView source = at_windows(p.source, p, windows);
            const Extent tile = extent_of(source, windows);
            add(source.space, false, tile.first, tile.bytes, covering * port_bytes(source, box_));
            if (p.index.exists() && !p.average) {
                const BitPlane index = at_windows(p.index, p, windows);
                const Extent bits = extent_of(index, windows);
                add(index.space, false, bits.first, bits.bytes, covering * port_bytes(index, box_));
            }
        }
        scale(p.scale.address);
        tile(true, p.destination);
        largest(p.largest_address);
    }
    void operator()(const Reduce& r) {
        tile(false, r.source);
        plane(false, r.flags);
        if (r.with_xhat) tile(false, r.xhat);
        statistics(r.sums_address);
    }
    void operator()(const BnBack& b) {
        channels(false, b.sums_address, sum_bytes);
        scale(b.scale.address);
        channels(true, b.beta_address, code_bytes);
        if (b.bias) return;
        channels(true, b.gamma_address, code_bytes);
        channels(true, b.m1_address, code_bytes);
        channels(true, b.m2_address, code_bytes);
    }
    void operator()(const BnError& b) {
        tile(false, b.source);
        tile(false, b.xhat);
        channels(false, b.m1_address, code_bytes);
        channels(false, b.m2_address, code_bytes);
        channels(false, b.gamma_address, width(b.gamma));
        channels(false, b.sigma_address, b.inverse ? coefficient_bytes : code_bytes);
        if (b.guard_address >= 0) channels(false, b.guard_address, code_bytes);
        scale(b.scale.address);
        if (b.destination.address >= 0) tile(true, b.destination);
        largest(b.largest_address);
    }
    void operator()(const Fork& f) {
        for (const Fork::Operand& operand : f.operands) {
            tile(false, operand.tile);
            unit(operand);
        }
        tile(true, f.destination);
        largest(f.largest_address);
    }
    void operator()(const Update& u) {
        run(false, u.gradient_address, u.count * u.gradient_bytes);
        for (const bool is_write : {false, true}) {
            run(is_write, u.accumulator_address, u.count * u.accumulator_bytes);
            run(is_write, u.master_address, u.count * u.master_bytes);
        }
        run(true, u.quantized_address, u.count * u.quantized_bytes);
        if (u.constant) scale(u.scale.address);
    }

private:
    static std::int64_t width(const Quantizer& quantizer) {
        return (quantizer.format.bits + 7) / 8;
    }
    void add(Space space, bool is_write, std::int64_t first, std::int64_t extent,
             std::int64_t bytes) {
        if (bytes > 0) accesses_.push_back({space, is_write, first, first + extent, bytes});
    }
    void channels(bool is_write, std::int64_t address, std::int64_t bytes) {
        add(Space::parameters, is_write, address, box_.c * bytes, box_.c * bytes);
    }
    void statistics(std::int64_t address) {
        channels(false, address, sum_bytes);
        channels(true, address, sum_bytes);
    }
    /// In `activations`.
    void run(bool is_write, std::int64_t address, std::int64_t bytes) {
        add(Space::activations, is_write, address, bytes, bytes);
    }
    /// Address -1: none.
    void scale(std::int64_t address) {
        if (address >= 0) add(Space::parameters, false, address, scale_bytes, scale_bytes);
    }
    void unit(const Exponent::Operand& operand) {
        scale(operand.scale.address);
        if (operand.bits <= 0 && operand.width_address >= 0)
            add(Space::parameters, false, operand.width_address, largest_bytes, largest_bytes);
    }
    void largest(std::int64_t address) {
        if (address < 0) return;
        for (const bool is_write : {false, true})
            add(Space::parameters, is_write, address, largest_bytes, largest_bytes);
    }
    void operands(const Gemm& g) {
        const Span rows = touched(box_.h0 / box_.step_h, box_.h, g.kernel_h, g.stride_y,
                                  g.padding_h, g.dilation_h, g.image_h);
        const Span columns = touched(box_.w0 / box_.step_w, box_.w, g.kernel_w, g.stride_x,
                                     g.padding_w, g.dilation_w, g.image_w);
        if (rows.count == 0 || columns.count == 0) return;
        Box image = box_;
        image.h = static_cast<std::int32_t>(rows.count);
        image.w = static_cast<std::int32_t>(columns.count);
        image.c = g.channels;
        const auto first = [&](const auto& view, std::int64_t address) {
            return address + (rows.first - g.h0) * view.stride_h +
                   (columns.first - g.w0) * view.stride_w;
        };
        const std::int64_t streamed = streamed_rows(g, box_);
        add(Space::activations, false, first(g, g.address),
            reach_of_pixels(g, image) + std::int64_t{g.channels} * g.bytes,
            streamed * g.k * g.bytes);
        if (!g.flags.exists()) return;
        const Extent bits = extent_of(g.flags, image);
        add(g.flags.space, false, first(g.flags, bits.first), bits.bytes,
            streamed * bits_as_bytes(g.k));
    }
    void weights(const WeightView& w, std::int64_t rows, std::int64_t columns, std::int64_t times) {
        add(Space::weights, false, w.address,
            (rows - 1) * w.row_stride + (columns - 1) * w.column_stride + w.bytes,
            times * rows * columns * w.bytes);
        if (!w.flags.exists()) return;
        Box box;
        box.w = static_cast<std::int32_t>(rows);
        box.c = static_cast<std::int32_t>(columns);
        const Extent bits = extent_of(w.flags, box);
        add(w.flags.space, false, bits.first, bits.bytes, times * port_bytes(w.flags, box));
    }
    void accumulator_rows(bool is_write, bool wanted, std::int64_t row, std::int64_t rows,
                          std::int64_t columns) {
        if (!wanted) return;
        add(Space::accumulators, is_write, row * columns_ * accumulator_bytes,
            rows * columns_ * accumulator_bytes, rows * columns * accumulator_bytes);
    }
    void tile(bool is_write, const TileView& view) {
        if (view.space == Space::accumulators) {
            add(view.space, is_write, view.address * columns_ * accumulator_bytes,
                accumulator_rows_of(view, box_) * columns_ * accumulator_bytes,
                box_.size() * accumulator_bytes);
            return;
        }
        const Extent extent = extent_of(view, box_);
        add(view.space, is_write, extent.first, extent.bytes, port_bytes(view, box_));
    }
    void plane(bool is_write, const BitPlane& plane) {
        if (!plane.exists()) return;
        const Extent extent = extent_of(plane, box_);
        add(plane.space, is_write, extent.first, extent.bytes, port_bytes(plane, box_));
    }
    void transfer(Space space, bool is_write, std::int64_t address,
                  const std::array<std::int64_t, 3>& strides, const Transfer& t) {
        std::int64_t low = address, high = address + t.run_bytes;
        for (std::size_t i = 0; i < 3; ++i) {
            if (t.counts[i] <= 0) return;
            const std::int64_t reach = (t.counts[i] - 1) * strides[i];
            (reach < 0 ? low : high) += reach;
        }
        add(space, is_write, low, high - low,
            t.counts[0] * t.counts[1] * t.counts[2] * t.run_bytes);
    }

    const Box& box_;
    const MachineConfig& config_;
    const std::int64_t columns_;
    const bool is_store_;
    std::vector<Access>& accesses_;
};

}  // namespace

void find_accesses(const Command& command, const MachineConfig& config,
                   std::vector<Access>& accesses) {
    accesses.clear();
    std::visit(Collector(command, config, accesses), command.operands);
}

PeSlots slots_of(const Command& command, const MachineConfig& config) {
    PeSlots slots;
    if (const auto* gemm = std::get_if<Gemm>(&command.operands)) {
        const std::int64_t rows = streamed_rows(*gemm, command.box);
        slots.macs = rows * gemm->k * gemm->columns;
        const std::int64_t streamed =
            config.dataflow == Dataflow::os ? folds(rows, config) * gemm->k : rows;
        slots.padding = streamed * config.array_rows * config.array_columns - slots.macs;
    }
    return slots;
}

}  // namespace wagesim::rtl
