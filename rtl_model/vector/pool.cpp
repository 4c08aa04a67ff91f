// POOL: maximum or average of windows over a source tile.
#include <algorithm>
#include <string>

#include "vector/bank_ports.h"
#include "vector/bit_plane.h"
#include "vector/operations.h"
#include "vector/tile_view.h"
#include "vector/vectorized.h"
#include "wagesim/arith/quantize.h"

namespace wagesim::rtl {
namespace {

/// The image rows (or columns) that the windows of a box touch: [first, end), padding left out.
struct Span {
    std::int32_t first = 0, end = 0;
};

Span span_of(std::int32_t out0, std::int32_t outs, std::int32_t stride, std::int32_t padding,
             std::int32_t kernel, std::int32_t image) {
    const std::int32_t first = out0 * stride - padding;
    const std::int32_t end = (out0 + outs - 1) * stride - padding + kernel;
    return {std::max(first, 0), std::min(end, image)};
}

/// What passes the lanes: tap by tap of every window; padding as 0. `covered` holds image rows from
/// rows.first and columns from columns.first.
std::vector<std::int64_t> window_codes(const Pool& operation, const Box& box, const Box& covered,
                                       const Span& rows, const Span& columns, const Codes& codes) {
    std::vector<std::int64_t> windows;
    for (std::int64_t p = 0; p < box.pixels(); ++p) {
        const std::int64_t n = p / (box.w * box.h);
        const auto oh = static_cast<std::int32_t>(box.h0 + p / box.w % box.h);
        const auto ow = static_cast<std::int32_t>(box.w0 + p % box.w);
        for (std::int32_t tap = 0; tap < operation.kernel_h * operation.kernel_w; ++tap) {
            const std::int32_t ih =
                oh * operation.stride_y - operation.padding_h + tap / operation.kernel_w;
            const std::int32_t iw =
                operation.stride_x * ow - operation.padding_w + tap % operation.kernel_w;
            const bool inside =
                ih >= rows.first && ih < rows.end && iw >= columns.first && iw < columns.end;
            const std::int64_t pixel =
                (n * covered.h + (ih - rows.first)) * covered.w + (iw - columns.first);
            for (std::int64_t c = 0; c < box.c; ++c)
                windows.push_back(inside ? codes[static_cast<std::size_t>(pixel * box.c + c)] : 0);
        }
    }
    return windows;
}

/// The larger of each channel's code in `window` and `from`; where it is `from`'s, `place` won.
/// Places are as wide as codes, so that vectors hold both alike.
void keep_larger(const std::int64_t* from, std::int64_t place, std::int32_t channels,
                 std::int64_t* window, std::int64_t* winners) {
    for (std::int32_t c = 0; c < channels; ++c) {
        const bool wins = from[c] > window[c];
        window[c] = wins ? from[c] : window[c];
        winners[c] = wins ? place : winners[c];
    }
}

/// The part of the source tile that the windows cover.
struct Covered {
    Span rows, columns;
    Box box;
    TileView source;
};

Covered covered_by(const Pool& operation, const Box& box) {
    const Span rows = span_of(box.h0, box.h, operation.stride_y, operation.padding_h,
                              operation.kernel_h, operation.image_h);
    const Span columns = span_of(box.w0, box.w, operation.stride_x, operation.padding_w,
                                 operation.kernel_w, operation.image_w);
    if (rows.first < operation.h0 || columns.first < operation.w0)
        throw MachineError("POOL: a window begins above or left of its source tile");
    if (rows.first >= rows.end || columns.first >= columns.end)
        throw MachineError("POOL: windows that hold padding only");
    if (operation.source.space == Space::accumulators)
        throw MachineError("POOL: the accumulators have no window port");

    Covered covered{rows, columns, box, operation.source};
    covered.box.h = rows.end - rows.first;
    covered.box.w = columns.end - columns.first;
    covered.source.address += std::int64_t{rows.first - operation.h0} * covered.source.stride_h +
                              std::int64_t{columns.first - operation.w0} * covered.source.stride_w;
    return covered;
}

std::int64_t area_of(const Pool& operation) {
    return std::int64_t{operation.kernel_h} * operation.kernel_w;
}

}  // namespace

Work duration(const MachineConfig& config, const Box& box, const Pool& operation) {
    const Covered covered = covered_by(operation, box);
    const TileView& source = covered.source;
    const std::int64_t area = area_of(operation);
    const std::int64_t extent =
        (covered.box.n - 1) * source.stride_n + (covered.box.h - 1) * source.stride_h +
        (covered.box.w - 1) * source.stride_w + std::int64_t{covered.box.c} * source.bytes;
    BankPorts ports(config);
    ports.move(source.space, source.address, extent, area * box.size() * source.bytes);
    ports.move(operation.destination, box);
    ports.move(operation.index, box);
    return {std::max(area * box.pixels() * ceil_divide(box.c, config.vector_lanes), ports.cycles()),
            config.vector_depth_cycles, -1};
}

void pool(const Machinery& machinery, const Issue& issue, const Pool& operation) {
    const Box& box = issue.command.box;
    const auto [rows, columns, covered, source] = covered_by(operation, box);
    const std::int64_t area = area_of(operation);
    const Moment moment = issue.first_element();

    const Quantizer& quantizer = operation.quantizer;
    const int up = quantizer.format.frac - source.frac;
    if (!operation.average && up != 0)
        throw MachineError("POOL: a maximum keeps its codes' frac " + std::to_string(source.frac) +
                           ", asked for " + std::to_string(quantizer.format.frac));
    if (operation.index.exists() && (area - 1) >> operation.index.bits != 0)
        throw MachineError("POOL: a place in " + std::to_string(area) + " does not fit " +
                           std::to_string(operation.index.bits) + " bits");
    const Wide sum_unit = Wide{1} << std::max(up, 0);
    const Wide divisor = Wide{area} << std::max(-up, 0);

    const Codes codes = read_tile(machinery, source, covered);
    Codes out = machinery.pool.take(box.size());
    std::vector<std::uint8_t> index(operation.index.exists() ? static_cast<std::size_t>(box.size())
                                                             : 0);
    Counts counts;
    std::vector<std::int64_t> winners(static_cast<std::size_t>(box.c));
    const auto pool_image = [&](std::int32_t n) {
        std::int64_t* window = out.data() + n * (box.size() / box.n);
        for (std::int32_t oh = box.h0; oh < box.h0 + box.h; ++oh) {
            for (std::int32_t ow = box.w0; ow < box.w0 + box.w; ++ow, window += box.c) {
                // Padding never wins; in an average it counts as zeros.
                std::fill(window, window + box.c, operation.average ? 0 : INT64_MIN);
                const std::int32_t top = oh * operation.stride_y - operation.padding_h;
                const std::int32_t left = ow * operation.stride_x - operation.padding_w;
                const std::int32_t ih_end = std::min(top + operation.kernel_h, rows.end);
                const std::int32_t iw_end = std::min(left + operation.kernel_w, columns.end);
                if (!operation.average &&
                    (std::max(top, 0) >= ih_end || std::max(left, 0) >= iw_end))
                    throw MachineError("POOL: a maximum over padding only");
                for (std::int32_t ih = std::max(top, 0); ih < ih_end; ++ih) {
                    for (std::int32_t iw = std::max(left, 0); iw < iw_end; ++iw) {
                        const std::int64_t pixel =
                            (std::int64_t{n} * covered.h + (ih - rows.first)) * covered.w +
                            (iw - columns.first);
                        const std::int64_t* const from = codes.data() + pixel * box.c;
                        const std::int64_t place = (ih - top) * operation.kernel_w + (iw - left);
                        if (operation.average)
                            for (std::int32_t c = 0; c < box.c; ++c) window[c] += from[c];
                        else
                            keep_larger(from, place, box.c, window, winners.data());
                    }
                }
                if (operation.average) {
                    for (std::int32_t c = 0; c < box.c; ++c) {
                        const arith::Quantized average =
                            arith::divide_to(window[c] * sum_unit, divisor, quantizer);
                        counts.count(average.clipped, quantizer.overflow);
                        window[c] = average.code;
                    }
                }
                if (!index.empty())
                    std::transform(winners.begin(), winners.end(),
                                   index.begin() + (window - out.data()),
                                   [](auto place) { return static_cast<std::uint8_t>(place); });
            }
        }
    };
    vectorized([&] {
        for (std::int32_t n = 0; n < box.n; ++n) pool_image(n);
    });
    if (machinery.lanes != nullptr) {
        machinery.lanes->show_windows(
            LaneWaves::in, box, area,
            window_codes(operation, box, covered, rows, columns, codes).data(), issue.work,
            issue.start);
        machinery.lanes->show_windows(LaneWaves::out, box, area, out.data(), issue.work,
                                      issue.start);
    }
    show(machinery, moment, operation.qp, box, quantizer.format, out.data(), counts);
    write_tile(machinery, operation.destination, box, out);
    if (operation.index.exists()) write_plane(machinery.memories, operation.index, box, index);
}

}  // namespace wagesim::rtl
