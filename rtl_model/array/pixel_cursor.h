// Walks through a box's output pixels.
#pragma once

#include <cstdint>

#include "array/operand_feeder.h"
#include "wagesim/tensor/tensor.h"

namespace wagesim::rtl {

/// In row-major order, image by image.
class PixelCursor {
public:
    explicit PixelCursor(const Box& box) : box_(box), oh_(box.h0), ow_(box.w0) {}

    /// The operands of the present pixel; then the next one is the present one.
    void fetch(OperandFeeder& feeder, std::int16_t* operands) {
        feeder.fetch(n_, oh_, ow_, operands);
        if (++ow_ < box_.w0 + box_.w) return;
        ow_ = box_.w0;
        if (++oh_ < box_.h0 + box_.h) return;
        oh_ = box_.h0;
        ++n_;
    }

private:
    Box box_;
    std::int32_t n_ = 0, oh_, ow_;
};

}  // namespace wagesim::rtl
