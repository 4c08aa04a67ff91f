// POOL_BACK: the error at a pool's output -> at its input.
#include <algorithm>
#include <string>

#include "control/extent.h"
#include "vector/bank_ports.h"
#include "vector/bit_plane.h"
#include "vector/operations.h"
#include "vector/scale.h"
#include "vector/tile_view.h"
#include "vector/vectorized.h"
#include "wagesim/arith/quantize.h"

namespace wagesim::rtl {
namespace {

/// Adds the windows' errors to the places of the box that they cover: to all of them, or to the one
/// that won (`winners`).
void scatter(const PoolBack& operation, const Box& box, const Box& windows, const Codes& errors,
             const std::vector<std::uint8_t>& winners, Codes& sums) {
    const std::int64_t* error = errors.data();
    const std::uint8_t* winner = winners.data();
    const auto scatter_window = [&](std::int32_t n, std::int32_t top, std::int32_t left) {
        for (std::int32_t h = std::max(top, 0); h < std::min(top + operation.kernel_h, box.h); ++h)
            for (std::int32_t w = std::max(left, 0); w < std::min(left + operation.kernel_w, box.w);
                 ++w) {
                std::int64_t* const sum =
                    sums.data() + ((std::int64_t{n} * box.h + h) * box.w + w) * box.c;
                const std::int32_t place = (h - top) * operation.kernel_w + (w - left);
                if (operation.average)
                    for (std::int32_t c = 0; c < box.c; ++c) sum[c] += error[c];
                else
                    for (std::int32_t c = 0; c < box.c; ++c)
                        sum[c] += error[c] & -std::int64_t{winner[c] == place};
            }
    };
    std::fill(sums.begin(), sums.end(), 0);
    const auto scatter_image = [&](std::int32_t n) {
        for (std::int32_t oh = windows.h0; oh < windows.h0 + windows.h; ++oh)
            for (std::int32_t ow = windows.w0; ow < windows.w0 + windows.w; ++ow) {
                scatter_window(n, oh * operation.stride_y - operation.padding_h - box.h0,
                               ow * operation.stride_x - operation.padding_w - box.w0);
                error += box.c;
                if (!operation.average) winner += box.c;
            }
    };
    vectorized([&] {
        for (std::int32_t n = 0; n < box.n; ++n) scatter_image(n);
    });
}

constexpr int more_bits = 8;  // of pool_err's fraction

/// errors / area, in place. Returns which were clipped.
std::vector<std::uint8_t> divide_errors(Codes& errors, std::int64_t area,
                                        const Quantizer& quantizer) {
    std::vector<std::uint8_t> clipped(errors.size());
    for (std::size_t i = 0; i < errors.size(); ++i) {
        const arith::Quantized average =
            arith::divide_to(errors[i] * (Wide{1} << more_bits), Wide{area}, quantizer);
        errors[i] = average.code;
        clipped[i] = average.clipped ? 1 : 0;
    }
    return clipped;
}

/// pool_err of the windows that this command shows, in its unit.
void show_windows(const Machinery& machinery, const Moment& moment, const PoolBack& operation,
                  const Box& windows, const Unit& unit, const Codes& errors,
                  const std::vector<std::uint8_t>& clipped) {
    Box shown = windows;
    shown.h0 = operation.show_h0;
    shown.h = operation.show_h1 - operation.show_h0;
    shown.w0 = operation.show_w0;
    shown.w = operation.show_w1 - operation.show_w0;
    if (operation.qp.layer < 0 || shown.h <= 0 || shown.w <= 0) return;
    if (shown.h0 < windows.h0 || shown.h0 + shown.h > windows.h0 + windows.h ||
        shown.w0 < windows.w0 || shown.w0 + shown.w > windows.w0 + windows.w)
        throw MachineError("POOL_BACK: shows a window that it does not read");
    Codes codes = machinery.pool.take(shown.size());
    Counts counts;
    std::int64_t* to = codes.data();
    for (std::int64_t n = 0; n < shown.n; ++n)
        for (std::int64_t h = shown.h0 - windows.h0; h < shown.h0 - windows.h0 + shown.h; ++h) {
            const std::int64_t first =
                ((n * windows.h + h) * windows.w + shown.w0 - windows.w0) * windows.c;
            const std::int64_t count = std::int64_t{shown.w} * shown.c;
            to = std::copy_n(errors.data() + first, count, to);
            counts.add_clipped(std::count(clipped.begin() + first, clipped.begin() + first + count,
                                          std::uint8_t{1}),
                               operation.quantizer.overflow);
        }
    const Format format{operation.quantizer.format.bits, unit.frac, true, unit.exponent};
    show(machinery, moment, operation.qp, shown, format, codes.data(), counts);
}

/// What the box takes from.
struct Sources {
    Box windows;
    TileView errors;
    BitPlane index;
};

Sources sources_of(const PoolBack& operation, const Box& box) {
    const Box windows = windows_over(operation, box);
    if (windows.size() > 0 && (windows.h0 < operation.h0 || windows.w0 < operation.w0))
        throw MachineError("POOL_BACK: a window begins above or left of its source tile");
    return {windows, at_windows(operation.source, operation, windows),
            operation.average ? BitPlane{} : at_windows(operation.index, operation, windows)};
}

}  // namespace

Work duration(const MachineConfig& config, const Box& box, const PoolBack& operation) {
    const Sources sources = sources_of(operation, box);
    const std::int64_t covering = covering_windows(operation);
    BankPorts ports(config);
    const auto move = [&](const auto& view) {
        const Extent read = extent_of(view, sources.windows);
        const bool reads = sources.windows.size() > 0;
        ports.move(view.space, reads ? read.first : view.address, reads ? read.bytes : 1,
                   covering * port_bytes(view, box));
    };
    move(sources.errors);
    if (sources.index.exists()) move(sources.index);
    ports.move(operation.destination, box);
    constexpr int quotient = 40;
    return {std::max(covering * beats(config, operation.source, box), ports.cycles()),
            config.vector_depth_cycles + (operation.average ? quotient + 2 : 0), -1};
}

void pool_back(const Machinery& machinery, const Issue& issue, const PoolBack& operation) {
    const Box& box = issue.command.box;
    const auto [windows, source, index] = sources_of(operation, box);
    Buffer& parameters = machinery.memories.parameters;
    Codes errors = read_tile(machinery, source, windows);
    std::vector<std::uint8_t> winners;
    if (operation.average) {
        const std::vector<std::uint8_t> clipped = divide_errors(
            errors, std::int64_t{operation.kernel_h} * operation.kernel_w, operation.quantizer);
        Unit unit = unit_of(parameters, operation.scale);
        unit.frac += more_bits;
        show_windows(machinery, issue.first_element(), operation, windows, unit, errors, clipped);
    } else {
        winners = read_plane(machinery.memories, index, windows);
    }
    Codes sums = machinery.pool.take(box.size());
    scatter(operation, box, windows, errors, winners, sums);
    show_lanes(machinery, issue, LaneWaves::out, operation.destination, sums);
    gather_largest(parameters, operation.largest_address, sums);
    write_tile(machinery, operation.destination, box, sums);
}

}  // namespace wagesim::rtl
