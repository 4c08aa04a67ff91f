// The rows of operands that a GEMM streams into the array.
#include "array/operand_rows.h"

#include <algorithm>
#include <string>

#include "control/extent.h"

namespace wagesim::rtl {

OperandRows::OperandRows(const Command& command, Memories& memories)
    : gemm_(std::get<Gemm>(command.operands)),
      box_(command.box),
      count_(streamed_rows(gemm_, box_)),
      length_((gemm_.k + 1) / 2 * 2),
      first_h_(box_.h0 / box_.step_h),
      first_w_(box_.w0 / box_.step_w),
      feeder_(gemm_, gemm_.turned ? gemm_.m0 : gemm_.k0, gemm_.turned ? gemm_.m : gemm_.k,
              memories),
      rows_(static_cast<std::size_t>((gemm_.turned ? 1 : box_.w) * length_)) {
    if (gemm_.turned) read_columns();
}

void OperandRows::read_columns() {
    if (gemm_.k0 < 0 || gemm_.k < 1 || gemm_.k0 + gemm_.k > box_.pixels())
        throw MachineError("GEMM: pixels from " + std::to_string(gemm_.k0) + " to " +
                           std::to_string(gemm_.k0 + gemm_.k) + " of " +
                           std::to_string(box_.pixels()));
    w_ = gemm_.k0 % box_.w;
    h_ = gemm_.k0 / box_.w % box_.h;
    n_ = gemm_.k0 / box_.w / box_.h;
    std::vector<std::int16_t> pixels(static_cast<std::size_t>(length_ * count_));
    for (std::int32_t k = 0; k < gemm_.k;) {
        const std::int32_t count = std::min(box_.w - w_, gemm_.k - k);
        fetch_pixels(count, pixels.data() + k * count_, count_);
        k += count;
    }
    pairs_.resize(pixels.size());
    std::int16_t* pair = pairs_.data();
    for (std::int64_t k = 0; k < length_; k += 2) {
        const std::int16_t* const even = pixels.data() + k * count_;
        const std::int16_t* const odd = even + count_;
        for (std::int64_t row = 0; row < count_; ++row) {
            *pair++ = even[row];
            *pair++ = odd[row];
        }
    }
}

const std::int16_t* OperandRows::next() {
    if (!gemm_.turned) {
        fetch_pixels(1, rows_.data(), length_);
        return rows_.data();
    }
    for (std::int64_t k = 0; k < length_; ++k)
        rows_[static_cast<std::size_t>(k)] =
            pairs_[static_cast<std::size_t>((k / 2 * count_ + next_row_) * 2 + k % 2)];
    ++next_row_;
    return rows_.data();
}

OperandBlock OperandRows::next_block() {
    if (gemm_.turned) return {pairs_.data(), count_, 2, 2 * count_};
    const std::int32_t pixels = box_.w - w_;
    fetch_pixels(pixels, rows_.data(), length_);
    return {rows_.data(), pixels, length_};
}

/// Those of a row of the box, at most.
void OperandRows::fetch_pixels(std::int32_t pixels, std::int16_t* operands, std::int64_t length) {
    feeder_.fetch({n_, first_h_ + h_, first_w_ + w_}, pixels, operands, length);
    w_ += pixels;
    if (w_ < box_.w) return;
    w_ = 0;
    if (++h_ < box_.h) return;
    h_ = 0;
    ++n_;
}

}  // namespace wagesim::rtl
