// The im2col feeder: addresses and reads the operands of one output pixel.
#include "array/operand_feeder.h"

#include <algorithm>
#include <string>

#include "array/multiplier.h"
#include "vector/bit_plane.h"
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
        run.offset =
            run.dh * gemm.stride_h + run.dw * gemm.stride_w + std::int64_t{channel} * gemm.bytes;
        run.length = gemm.channel_major ? 1 : std::min(gemm.channels - channel, first + count - k);
        runs_.push_back(run);
        k += run.length;
    }
}

void OperandFeeder::read(std::int64_t address, std::int64_t count, std::int16_t* operands) {
    if (gemm_.bytes == 1) {
        const std::uint8_t* const from = activations_.read(address, count);
        for (std::int64_t i = 0; i < count; ++i) operands[i] = static_cast<std::int8_t>(from[i]);
    } else {
        const std::uint8_t* const from = activations_.read(address, 2 * count);
        for (std::int64_t i = 0; i < count; ++i)
            operands[i] = static_cast<std::int16_t>(from[2 * i] | (from[2 * i + 1] << 8));
    }
}

/// Of one run's operands, which have been read.
void OperandFeeder::apply_flags(std::int64_t n, std::int32_t ih, std::int32_t iw, const Run& run,
                                std::int16_t* operands) {
    const BitPlane& plane = gemm_.flags;
    const std::int64_t first = plane.first + run.channel;
    const std::int64_t address = plane.address + n * plane.stride_n +
                                 (ih - gemm_.h0) * plane.stride_h +
                                 (iw - gemm_.w0) * plane.stride_w + first / 8;
    const std::uint8_t* const bytes = flags_->read(address, (first % 8 + run.length + 7) / 8);
    flag_values_.resize(static_cast<std::size_t>(run.length));
    unpack(bytes, first % 8, run.length, 1, flag_values_.data());
    shift_flagged(flag_values_.data(), run.length, operands);
}

bool OperandFeeder::is_inside(std::int32_t ih, std::int32_t iw) const {
    const bool inside = ih >= 0 && ih < gemm_.image_h && iw >= 0 && iw < gemm_.image_w;
    if (inside && (ih < gemm_.h0 || iw < gemm_.w0))
        throw MachineError("GEMM: image row " + std::to_string(ih) + ", column " +
                           std::to_string(iw) + " is not in the tile, which begins at row " +
                           std::to_string(gemm_.h0) + ", column " + std::to_string(gemm_.w0));
    return inside;
}

void OperandFeeder::fetch(std::int64_t n, std::int32_t oh, std::int32_t ow,
                          std::int16_t* operands) {
    const std::int32_t top = oh * gemm_.stride_y - gemm_.padding_h;
    const std::int32_t left = ow * gemm_.stride_x - gemm_.padding_w;
    const std::int64_t corner = gemm_.address + n * gemm_.stride_n +
                                (top - gemm_.h0) * gemm_.stride_h +
                                (left - gemm_.w0) * gemm_.stride_w;
    std::int64_t pending_address = 0;  // operands whose read waits for more of their run
    std::int64_t pending = 0;
    std::int16_t* to = operands;
    const auto read_pending = [&] {
        if (pending == 0) return;
        read(pending_address, pending, to);
        to += pending;
        pending = 0;
    };
    for (const Run& run : runs_) {
        const std::int64_t address = corner + run.offset;
        if (!is_inside(top + run.dh, left + run.dw)) {
            read_pending();
            std::fill(to, to + run.length, std::int16_t{0});
            to += run.length;
            continue;
        }
        if (address != pending_address + pending * gemm_.bytes) read_pending();
        if (pending == 0) pending_address = address;
        pending += run.length;
        if (flags_ == nullptr) continue;
        std::int16_t* const flagged = to;
        read_pending();
        apply_flags(n, top + run.dh, left + run.dw, run, flagged);
    }
    read_pending();
}

}  // namespace wagesim::rtl
