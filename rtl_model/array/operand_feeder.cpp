// The im2col feeder: addresses and reads the K operands of one output pixel.
#include "array/operand_feeder.h"

#include <algorithm>
#include <string>

namespace wagesim::rtl {

OperandFeeder::OperandFeeder(const Gemm& gemm, Buffer& activations)
    : gemm_(gemm), activations_(activations) {
    const std::int64_t taps = std::int64_t{gemm.kernel_h} * gemm.kernel_w;
    if (gemm.bytes < 1 || gemm.bytes > 2)
        throw MachineError("GEMM: operands of " + std::to_string(gemm.bytes) +
                           " bytes; 1 and 2 exist");
    if (gemm.k0 < 0 || gemm.k < 1 || gemm.k0 + gemm.k > taps * gemm.channels)
        throw MachineError("GEMM: reduction indices from " + std::to_string(gemm.k0) + " to " +
                           std::to_string(gemm.k0 + gemm.k) + " of " +
                           std::to_string(taps * gemm.channels));
    for (std::int32_t k = gemm.k0; k < gemm.k0 + gemm.k;) {
        const std::int32_t channel =
            gemm.channel_major ? k / static_cast<std::int32_t>(taps) : k % gemm.channels;
        const std::int32_t tap =
            gemm.channel_major ? k % static_cast<std::int32_t>(taps) : k / gemm.channels;
        Run run;
        run.dh = tap / gemm.kernel_w * gemm.dilation_h;
        run.dw = tap % gemm.kernel_w * gemm.dilation_w;
        run.offset =
            run.dh * gemm.stride_h + run.dw * gemm.stride_w + std::int64_t{channel} * gemm.bytes;
        run.length =
            gemm.channel_major ? 1 : std::min(gemm.channels - channel, gemm.k0 + gemm.k - k);
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

void OperandFeeder::fetch(std::int64_t n, std::int32_t oh, std::int32_t ow,
                          std::int16_t* operands) {
    const std::int32_t top = oh * gemm_.stride_y - gemm_.padding_h;
    const std::int32_t left = ow * gemm_.stride_x - gemm_.padding_w;
    const std::int64_t corner = gemm_.address + n * gemm_.stride_n +
                                (top - gemm_.h0) * gemm_.stride_h +
                                (left - gemm_.w0) * gemm_.stride_w;
    std::int64_t pending_address = 0;  // operands whose read waits for more of their run
    std::int64_t pending = 0;
    for (const Run& run : runs_) {
        const std::int32_t ih = top + run.dh;
        const std::int32_t iw = left + run.dw;
        const bool inside = ih >= 0 && ih < gemm_.image_h && iw >= 0 && iw < gemm_.image_w;
        if (inside && (ih < gemm_.h0 || iw < gemm_.w0))
            throw MachineError("GEMM: image row " + std::to_string(ih) + ", column " +
                               std::to_string(iw) + " is not in the tile, which begins at row " +
                               std::to_string(gemm_.h0) + ", column " + std::to_string(gemm_.w0));
        const std::int64_t address = corner + run.offset;
        if (pending != 0 && (!inside || address != pending_address + pending * gemm_.bytes)) {
            read(pending_address, pending, operands);
            operands += pending;
            pending = 0;
        }
        if (!inside) {
            std::fill(operands, operands + run.length, std::int16_t{0});
            operands += run.length;
        } else {
            if (pending == 0) pending_address = address;
            pending += run.length;
        }
    }
    if (pending != 0) read(pending_address, pending, operands);
}

}  // namespace wagesim::rtl
