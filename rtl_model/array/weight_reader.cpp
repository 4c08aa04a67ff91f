// Reads a tile of weights from its buffer, for WLOAD and for output-stationary GEMMs.
#include "array/weight_reader.h"

#include "array/multiplier.h"
#include "vector/bit_plane.h"

namespace wagesim::rtl {
namespace {

std::int16_t weight_at(const std::uint8_t* from, std::int32_t bytes) {
    return bytes == 1 ? static_cast<std::int8_t>(from[0])
                      : static_cast<std::int16_t>(from[0] | (from[1] << 8));
}

}  // namespace

std::vector<std::int16_t> read_weights(Memories& memories, const WeightView& view,
                                       std::int32_t rows, std::int32_t columns) {
    multiplier_bits(view.bytes, view.flags);
    std::vector<std::int16_t> weights(static_cast<std::size_t>(rows) *
                                      static_cast<std::size_t>(columns));
    // Runs of what lies side by side: rows of a column, columns of a row, or single codes.
    const bool by_column = view.row_stride == view.bytes;
    const bool by_row = !by_column && view.column_stride == view.bytes;
    const std::int32_t run_rows = by_column ? rows : 1, run_columns = by_row ? columns : 1;
    const std::int32_t run = by_column ? rows : run_columns;
    for (std::int32_t c = 0; c < columns; c += run_columns)
        for (std::int32_t r = 0; r < rows; r += run_rows) {
            const std::uint8_t* const from =
                memories.weights.read(view.address + r * view.row_stride + c * view.column_stride,
                                      std::int64_t{run} * view.bytes);
            const std::int32_t step = by_column ? columns : 1;  // in `weights`
            std::int16_t* const to = weights.data() + std::int64_t{r} * columns + c;
            for (std::int32_t i = 0; i < run; ++i)
                to[std::int64_t{i} * step] =
                    weight_at(from + std::int64_t{i} * view.bytes, view.bytes);
        }
    if (!view.flags.exists()) return weights;
    Box box;  // a row of weights is a pixel of their plane
    box.w = rows;
    box.c = columns;
    const std::vector<std::uint8_t> flags = read_plane(memories, view.flags, box);
    shift_flagged(flags.data(), static_cast<std::int64_t>(flags.size()), weights.data());
    return weights;
}

}  // namespace wagesim::rtl
