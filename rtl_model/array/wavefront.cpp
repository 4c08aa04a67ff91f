// The valid bits of the array, and the PE operations that they stand for.
#include "array/wavefront.h"

namespace wagesim::rtl {

Wavefront::Wavefront(int rows, int columns, int block) : rows_(rows), columns_(columns) {
    std::size_t size = 1;
    while (size < static_cast<std::size_t>(rows + columns + block + 1)) size *= 2;
    mask_ = size - 1;
    entered_.assign(size, -1);
    row_width_.assign(size, 0);
}

void Wavefront::advance(std::int64_t cycle) {
    for (; now_ < cycle; ++now_) {
        // Row 0 is a window of `columns` entries; the array is a window of `rows` such rows.
        in_row_ += (entered(now_) ? 1 : 0) - (entered(now_ - columns_) ? 1 : 0);
        in_array_ += in_row_ - (now_ >= rows_ ? row_width_[slot(now_ - rows_)] : 0);
        row_width_[slot(now_)] = in_row_;
        pe_operations_ += in_array_;
    }
}

void Wavefront::idle_until(std::int64_t cycle) {
    row_width_.assign(row_width_.size(), 0);
    now_ = cycle;
}

}  // namespace wagesim::rtl
