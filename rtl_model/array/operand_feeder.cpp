// The im2col feeder: addresses and reads the operands of one output pixel.
#include "array/operand_feeder.h"

#include <algorithm>
#include <string>

#include "array/multiplier.h"
#include "array/operand_kernels.h"
#include "vector/tile_view.h"

namespace wagesim::rtl {

OperandFeeder::OperandFeeder(const Gemm& gemm, std::int32_t first, std::int32_t count,
                             Memories& memories)
    : gemm_(gemm), activations_(memories.activations) {
    const std::int64_t taps = std::int64_t{gemm.kernel_h} * gemm.kernel_w;
    multiplier_bits(gemm.bytes, gemm.flags);
    if (gemm.flags.exists()) flags_ = &buffer_of(memories, gemm.flags.space);
    if (first < 0 || count < 1 || first + count > taps * gemm.channels)
        throw MachineError("GEMM: reduction indices from " + std::to_string(first) + " to " +
                           std::to_string(first + count) + " of " +
                           std::to_string(taps * gemm.channels));
    for (std::int32_t k = first; k < first + count;) {
        const std::int32_t channel =
            gemm.channel_major ? k / static_cast<std::int32_t>(taps) : k % gemm.channels;
        const std::int32_t tap =
            gemm.channel_major ? k % static_cast<std::int32_t>(taps) : k / gemm.channels;
        Run run;
        run.dh = tap / gemm.kernel_w * gemm.dilation_h;
        run.dw = tap % gemm.kernel_w * gemm.dilation_w;
        run.channel = channel;
        run.length = gemm.channel_major ? 1 : std::min(gemm.channels - channel, first + count - k);
        runs_.push_back(run);
        k += run.length;
    }
}

void OperandFeeder::read(const Run& run, std::int64_t n, std::int32_t ih, std::int32_t iw,
                         std::int32_t pixels, std::int16_t* operands, std::int64_t length) {
    if (ih < gemm_.h0 || iw < gemm_.w0)
        throw MachineError("GEMM: image row " + std::to_string(ih) + ", column " +
                           std::to_string(iw) + " is not in the tile, which begins at row " +
                           std::to_string(gemm_.h0) + ", column " + std::to_string(gemm_.w0));
    const std::int64_t address =
        gemm_.address + n * gemm_.stride_n + (ih - gemm_.h0) * gemm_.stride_h +
        (iw - gemm_.w0) * gemm_.stride_w + std::int64_t{run.channel} * gemm_.bytes;
    const std::int64_t stride = gemm_.stride_x * gemm_.stride_w;
    const std::uint8_t* from =
        activations_.read_runs(address, std::int64_t{run.length} * gemm_.bytes, stride, pixels);
    if (gemm_.bytes == 1) {
        widen_codes(from, stride, pixels, run.length, operands, length);
        return;
    }
    for (std::int32_t p = 0; p < pixels; ++p, from += stride, operands += length)
        for (std::int32_t i = 0; i < run.length; ++i)
            operands[i] = static_cast<std::int16_t>(from[2 * i] | (from[2 * i + 1] << 8));
}

void OperandFeeder::apply_flags(const Run& run, std::int64_t n, std::int32_t ih, std::int32_t iw,
                                std::int32_t pixels, std::int16_t* operands, std::int64_t length) {
    const BitPlane& plane = gemm_.flags;
    const std::int64_t first = plane.first + run.channel;
    const std::int64_t address = plane.address + n * plane.stride_n +
                                 (ih - gemm_.h0) * plane.stride_h +
                                 (iw - gemm_.w0) * plane.stride_w + first / 8;
    const std::int64_t stride = gemm_.stride_x * plane.stride_w;
    const std::uint8_t* const bits =
        flags_->read_runs(address, (first % 8 + run.length + 7) / 8, stride, pixels);
    shift_by_bits(bits, first % 8, stride, pixels, run.length, operands, length);
}

void OperandFeeder::fetch(const Pixel& first, std::int32_t pixels, std::int16_t* operands,
                          std::int64_t length) {
    const std::int32_t step = gemm_.stride_x;
    const std::int32_t top = first.oh * gemm_.stride_y - gemm_.padding_h;
    const std::int32_t left = first.ow * step - gemm_.padding_w;
    for (const Run& run : runs_) {
        const std::int32_t ih = top + run.dh, iw = left + run.dw;
        // Those inside the image: pixels [begin, end). Nearly always all.
        std::int32_t begin = 0, end = 0;
        if (ih >= 0 && ih < gemm_.image_h) {
            const std::int32_t columns = gemm_.image_w - iw;  // from the first one's on
            if (iw < 0) begin = std::min(pixels, (step - 1 - iw) / step);
            end = pixels;
            if (columns <= (pixels - 1) * step)
                end = std::max(begin, columns > 0 ? (columns - 1) / step + 1 : 0);
        }
        const auto pad = [&](std::int32_t from, std::int32_t to) {
            for (std::int32_t p = from; p < to; ++p)
                std::fill_n(operands + p * length, run.length, std::int16_t{0});
        };
        pad(0, begin);
        pad(end, pixels);
        if (begin < end) {
            std::int16_t* const inside = operands + begin * length;
            read(run, first.n, ih, iw + begin * step, end - begin, inside, length);
            if (flags_ != nullptr)
                apply_flags(run, first.n, ih, iw + begin * step, end - begin, inside, length);
        }
        operands += run.length;
    }
}

}  // namespace wagesim::rtl
