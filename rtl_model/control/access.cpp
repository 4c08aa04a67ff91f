// Which memory bytes a command touches: for bank claims, waves and the traffic report.
#include "control/access.h"

#include <algorithm>

namespace wagesim::rtl {

namespace {

constexpr std::int64_t sum_bytes = 16;         // S and SS of a channel
constexpr std::int64_t code_bytes = 4;         // mu, sigma and their running values
constexpr std::int64_t coefficient_bytes = 8;  // inv, fold_a, fold_b
constexpr std::int64_t accumulator_bytes = 5;

/// os: pixels come in folds of array rows.
std::int64_t folds(std::int64_t pixels, const MachineConfig& config) {
    return (pixels + config.array_rows - 1) / config.array_rows;
}

struct Span {
    std::int64_t first = 0, count = 0;
};

// Input rows (or columns) inside the image that windows at outputs [first, first + count) touch.
Span touched(std::int64_t first, std::int64_t count, std::int64_t kernel, std::int64_t stride,
             std::int64_t padding, std::int64_t dilation, std::int64_t image) {
    const std::int64_t low = std::max<std::int64_t>(0, first * stride - padding);
    const std::int64_t high = std::min<std::int64_t>(
        image, (first + count - 1) * stride - padding + (kernel - 1) * dilation + 1);
    return {low, std::max<std::int64_t>(0, high - low)};
}

class Collector {
public:
    Collector(const Command& command, const MachineConfig& config)
        : box_(command.box),
          config_(config),
          columns_(config.array_columns),
          is_store_(command.unit == Unit::dma_write) {}

    std::vector<Access> take() { return std::move(accesses_); }

    void operator()(const Fence&) {}
    void operator()(const Transfer& t) {
        transfer(Space::dram, is_store_, t.dram_address, t.dram_strides, t);
        transfer(t.buffer, !is_store_, t.buffer_address, t.buffer_strides, t);
    }
    void operator()(const WeightLoad& w) {
        add(Space::weights, false, w.address, (w.columns - 1) * w.column_stride + w.rows,
            std::int64_t{w.rows} * w.columns);
    }
    void operator()(const Gemm& g) {
        const Span rows =
            touched(box_.h0, box_.h, g.kernel_h, g.stride_y, g.padding_h, g.dilation_h, g.image_h);
        const Span columns =
            touched(box_.w0, box_.w, g.kernel_w, g.stride_x, g.padding_w, g.dilation_w, g.image_w);
        if (rows.count > 0 && columns.count > 0) {
            const std::int64_t first =
                g.address + (rows.first - g.h0) * g.stride_h + (columns.first - g.w0) * g.stride_w;
            const std::int64_t extent = (box_.n - 1) * g.stride_n + (rows.count - 1) * g.stride_h +
                                        (columns.count - 1) * g.stride_w +
                                        std::int64_t{g.channels} * g.bytes;
            add(Space::activations, false, first, extent, box_.pixels() * g.k * g.bytes);
        }
        if (config_.dataflow == Dataflow::os)
            add(Space::weights, false, g.weight_address, (g.columns - 1) * g.weight_stride + g.k,
                folds(box_.pixels(), config_) * g.k * g.columns);
        accumulator_rows(false, g.accumulate, g.accumulator_row, box_.pixels(), g.columns);
        accumulator_rows(true, true, g.accumulator_row, box_.pixels(), g.columns);
        if (!g.accumulate && g.bias_address >= 0) channels(false, g.bias_address, code_bytes);
    }
    void operator()(const Drain& d) {
        tile(false, d.source);
        tile(true, d.destination);
        if (d.statistics_address >= 0) statistics(d.statistics_address);
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
    }
    void operator()(const QuantizeCmd& q) {
        add(Space::activations, false, q.source_address, q.count * q.source_bytes,
            q.count * q.source_bytes);
        add(Space::activations, true, q.destination_address, q.count * q.destination_bytes,
            q.count * q.destination_bytes);
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
    void accumulator_rows(bool is_write, bool wanted, std::int64_t row, std::int64_t rows,
                          std::int64_t columns) {
        if (!wanted) return;
        add(Space::accumulators, is_write, row * columns_ * accumulator_bytes,
            rows * columns_ * accumulator_bytes, rows * columns * accumulator_bytes);
    }
    void tile(bool is_write, const TileView& view) {
        if (view.space == Space::accumulators) {
            const std::int64_t per_row = std::max(view.channels_per_row, 1);
            const std::int64_t rows = (box_.c + per_row - 1) / per_row * box_.pixels();
            add(view.space, is_write, view.address * columns_ * accumulator_bytes,
                rows * columns_ * accumulator_bytes, box_.size() * accumulator_bytes);
            return;
        }
        const std::int64_t extent = (box_.n - 1) * view.stride_n + (box_.h - 1) * view.stride_h +
                                    (box_.w - 1) * view.stride_w +
                                    std::int64_t{box_.c} * view.bytes;
        add(view.space, is_write, view.address, extent, box_.size() * view.bytes);
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
    std::vector<Access> accesses_;
};

}  // namespace

std::vector<Access> accesses_of(const Command& command, const MachineConfig& config) {
    Collector collector(command, config);
    std::visit(collector, command.operands);
    return collector.take();
}

PeSlots slots_of(const Command& command, const MachineConfig& config) {
    PeSlots slots;
    if (const auto* gemm = std::get_if<Gemm>(&command.operands)) {
        const std::int64_t pixels = command.box.pixels();
        slots.macs = pixels * gemm->k * gemm->columns;
        const std::int64_t streamed =
            config.dataflow == Dataflow::os ? folds(pixels, config) * gemm->k : pixels;
        slots.padding = streamed * config.array_rows * config.array_columns - slots.macs;
    }
    return slots;
}

}  // namespace wagesim::rtl
