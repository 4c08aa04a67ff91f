// The rows of operands that a GEMM streams into the array.
#include "array/operand_rows.h"

#include <algorithm>
#include <string>

#include "array/operand_kernels.h"
#include "control/extent.h"

namespace wagesim::rtl {
namespace {

constexpr std::int64_t block_operands = 4096;  // stay in the host's nearest cache

}  // namespace

OperandRows::OperandRows(const Command& command, Memories& memories,
                         AlignedVector<std::int16_t>& storage)
    : gemm_(std::get<Gemm>(command.operands)),
      box_(command.box),
      count_(streamed_rows(gemm_, box_)),
      length_((gemm_.k + 1) / 2 * 2),
      first_h_(box_.h0 / box_.step_h),
      first_w_(box_.w0 / box_.step_w),
      feeder_(gemm_, gemm_.turned ? gemm_.m0 : gemm_.k0, gemm_.turned ? gemm_.m : gemm_.k,
              memories),
      storage_(storage) {
    if (gemm_.turned) read_columns();
}

std::int16_t* OperandRows::room_for(std::int64_t operands) {
    const auto size = static_cast<std::size_t>(operands);
    if (storage_.size() < size) storage_.resize(size);
    return storage_.data();
}

void OperandRows::read_columns() {
    if (gemm_.k0 < 0 || gemm_.k < 1 || gemm_.k0 + gemm_.k > box_.pixels())
        throw MachineError("GEMM: pixels from " + std::to_string(gemm_.k0) + " to " +
                           std::to_string(gemm_.k0 + gemm_.k) + " of " +
                           std::to_string(box_.pixels()));
    w_ = gemm_.k0 % box_.w;
    h_ = gemm_.k0 / box_.w % box_.h;
    n_ = gemm_.k0 / box_.w / box_.h;
    std::int16_t* const pairs = room_for(2 * length_ * count_);
    std::int16_t* const pixels = pairs + length_ * count_;
    for (std::int32_t k = 0; k < gemm_.k;) {
        const std::int32_t count = std::min(box_.w - w_, gemm_.k - k);
        fetch_pixels(count, pixels + k * count_, count_);
        k += count;
    }
    for (std::int64_t k = 0; k < length_; k += 2)
        interleave(pixels + k * count_, pixels + (k + 1) * count_, count_, pairs + k * count_);
}

const std::int16_t* OperandRows::next() {
    if (!gemm_.turned) {
        std::int16_t* const row = room_for(length_);
        fetch_pixels(1, row, length_);
        return row;
    }
    const std::int16_t* pair = storage_.data() + 2 * next_row_++;
    std::int16_t* const row = storage_.data() + length_ * count_;
    for (std::int64_t k = 0; k < length_; k += 2, pair += 2 * count_) {
        row[k] = pair[0];
        row[k + 1] = pair[1];
    }
    return row;
}

OperandBlock OperandRows::next_block() {
    if (gemm_.turned) return {storage_.data(), count_, 2, 2 * count_};
    const std::int64_t rows =
        std::min(count_ - next_row_, std::max<std::int64_t>(1, block_operands / length_));
    std::int16_t* const operands = room_for(rows * length_);
    for (std::int64_t row = 0; row < rows;) {
        const auto pixels =
            static_cast<std::int32_t>(std::min<std::int64_t>(box_.w - w_, rows - row));
        fetch_pixels(pixels, operands + row * length_, length_);
        row += pixels;
    }
    next_row_ += rows;
    return {operands, rows, length_};
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
