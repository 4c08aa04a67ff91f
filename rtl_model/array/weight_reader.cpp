// Reads a tile of weights from its buffer, for WLOAD and for output-stationary GEMMs.
#include "array/weight_reader.h"

#include "array/multiplier.h"
#include "array/operand_kernels.h"
#include "vector/tile_view.h"

namespace wagesim::rtl {
namespace {

std::int16_t weight_at(const std::uint8_t* from, std::int32_t bytes) {
    return bytes == 1 ? static_cast<std::int8_t>(from[0])
                      : static_cast<std::int16_t>(from[0] | (from[1] << 8));
}

}  // namespace

void read_weights(Memories& memories, const WeightView& view, std::int32_t rows,
                  std::int32_t columns, std::int16_t* weights, std::int64_t stride) {
    multiplier_bits(view.bytes, view.flags);
    const Buffer& buffer = memories.weights;
    if (view.bytes == 1 && view.column_stride == 1) {
        widen_codes(buffer.read_runs(view.address, columns, view.row_stride, rows), view.row_stride,
                    rows, columns, weights, stride);
    } else if (view.bytes == 1 && view.row_stride == 1) {
        for (std::int32_t c = 0; c < columns; ++c)
            buffer.read(view.address + c * view.column_stride, rows);
        widen_turned(buffer.read(view.address, 0), view.column_stride, columns, rows, weights,
                     stride);
    } else {
        for (std::int32_t r = 0; r < rows; ++r)
            for (std::int32_t c = 0; c < columns; ++c)
                weights[r * stride + c] = weight_at(
                    buffer.read(view.address + r * view.row_stride + c * view.column_stride,
                                view.bytes),
                    view.bytes);
    }
    const BitPlane& plane = view.flags;  // a row of weights is one of its pixels
    if (!plane.exists()) return;
    const std::int64_t first = plane.first % 8;
    const std::uint8_t* const bits =
        buffer_of(memories, plane.space)
            .read_runs(plane.address + plane.first / 8, (first + columns + 7) / 8, plane.stride_w,
                       rows);
    shift_by_bits(bits, first, plane.stride_w, rows, columns, weights, stride);
}

}  // namespace wagesim::rtl
