// Where a command's tiles, bit planes and rows lie, and how many bytes cross the port.
#pragma once

#include <algorithm>
#include <cstdint>

#include "wagesim/program/command.h"

namespace wagesim::rtl {

struct Extent {
    std::int64_t first = 0, bytes = 0;
};

/// From the first to the last of a box's pixels.
template <class View>
std::int64_t reach_of_pixels(const View& view, const Box& box) {
    return (box.n - 1) * view.stride_n + (box.h - 1) * view.stride_h + (box.w - 1) * view.stride_w;
}

/// Of a tile in a buffer.
inline Extent extent_of(const TileView& view, const Box& box) {
    const std::int64_t reach = reach_of_pixels(view, box);
    if (view.flat_w == 0) {
        return {view.address, reach + std::int64_t{box.c} * view.bytes};
    }
    const std::int64_t area = std::int64_t{view.flat_h} * view.flat_w;
    const std::int64_t first = box.c0 / area, last = (box.c0 + box.c - 1) / area;
    return {view.address + first * view.bytes, reach + (view.flat_h - 1) * view.stride_h +
                                                   (view.flat_w - 1) * view.stride_w +
                                                   (last - first + 1) * view.bytes};
}

inline Extent extent_of(const BitPlane& plane, const Box& box) {
    const std::int64_t first = std::int64_t{plane.first} * plane.bits;
    const std::int64_t end = first + std::int64_t{box.c} * plane.bits;
    return {plane.address + first / 8, reach_of_pixels(plane, box) + (end + 7) / 8 - first / 8};
}

/// As a port counts bits.
inline std::int64_t bits_as_bytes(std::int64_t bits) { return (bits + 7) / 8; }

/// Every element once.
inline std::int64_t port_bytes(const TileView& view, const Box& box) {
    return box.size() * view.bytes;
}
inline std::int64_t port_bytes(const BitPlane& plane, const Box& box) {
    return box.pixels() * bits_as_bytes(std::int64_t{box.c} * plane.bits);
}

/// Accumulator rows that hold a tile.
inline std::int64_t accumulator_rows_of(const TileView& view, const Box& box) {
    if (view.turned) return std::int64_t{box.h} * box.w * box.c;
    const std::int64_t per_row = std::max(view.channels_per_row, 1);
    return box.pixels() * ((box.c + per_row - 1) / per_row);
}

/// Rows of operands that a GEMM streams.
inline std::int64_t streamed_rows(const Gemm& gemm, const Box& box) {
    return gemm.turned ? gemm.m : box.pixels();
}

/// POOL_BACK: the windows that cover something of the box (which is the input's).
inline Box windows_over(const PoolBack& pool, const Box& box) {
    struct Span {
        std::int32_t first, count;
    };
    const auto along = [](std::int32_t in0, std::int32_t ins, std::int32_t stride,
                          std::int32_t padding, std::int32_t kernel, std::int32_t outs) {
        const std::int32_t first =
            std::min(std::max(in0 + padding - kernel + stride, 0) / stride, outs);
        const std::int32_t end = std::min((in0 + ins - 1 + padding) / stride + 1, outs);
        return Span{first, std::max(end - first, 0)};
    };
    const Span rows =
        along(box.h0, box.h, pool.stride_y, pool.padding_h, pool.kernel_h, pool.out_h);
    const Span columns =
        along(box.w0, box.w, pool.stride_x, pool.padding_w, pool.kernel_w, pool.out_w);
    Box windows = box;
    windows.h0 = rows.first;
    windows.h = rows.count;
    windows.w0 = columns.first;
    windows.w = columns.count;
    return windows;
}
/// Its source tile, or the plane beside it, from the first of them on.
template <class View>
View at_windows(View view, const PoolBack& pool, const Box& windows) {
    if (windows.size() > 0)
        view.address += std::int64_t{windows.h0 - pool.h0} * view.stride_h +
                        std::int64_t{windows.w0 - pool.w0} * view.stride_w;
    return view;
}
/// Most windows that cover a place: each of them is asked.
inline std::int64_t covering_windows(const PoolBack& pool) {
    const auto along = [](std::int64_t kernel, std::int64_t stride) {
        return (kernel + stride - 1) / stride;
    };
    return along(pool.kernel_h, pool.stride_y) * along(pool.kernel_w, pool.stride_x);
}

}  // namespace wagesim::rtl
