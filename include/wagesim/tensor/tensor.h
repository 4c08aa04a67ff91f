// Shapes and tensors of integer codes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "wagesim/format/format.h"

namespace wagesim {

/// Extents of a tensor, in the order N, C, H, W (weights: O, I, kh, kw). Vectors over channels
/// are (1, C, 1, 1).
struct Shape {
    std::int64_t n = 1, c = 1, h = 1, w = 1;

    std::int64_t size() const { return n * c * h * w; }
    /// Row-major index in N, C, H, W order: the order of tensors in files and of `Tensor::codes`.
    std::int64_t index(std::int64_t in, std::int64_t ic, std::int64_t ih, std::int64_t iw) const {
        return ((in * c + ic) * h + ih) * w + iw;
    }
    friend bool operator==(const Shape& a, const Shape& b) {
        return a.n == b.n && a.c == b.c && a.h == b.h && a.w == b.w;
    }
    friend bool operator!=(const Shape& a, const Shape& b) { return !(a == b); }
};

/// Wide enough for every register of the machine (SS has 80 bits).
__extension__ typedef __int128 Wide;

/// A tensor of integer codes in N, C, H, W order. Codes of every quantisation point but SS fit
/// 64 bits; SS is kept as two tensors of its low 64 and high bits where it goes to a file.
struct Tensor {
    Shape shape;
    Format format;
    std::vector<std::int64_t> codes;
};

/// A box of elements [n0, n0+n) x [h0, h0+h) x [w0, w0+w) x [c0, c0+c) of a tensor: one tile.
struct Box {
    std::int32_t n0 = 0, n = 1, h0 = 0, h = 1, w0 = 0, w = 1, c0 = 0, c = 1;

    std::int64_t pixels() const { return std::int64_t{n} * h * w; }
    std::int64_t size() const { return pixels() * c; }
};

}  // namespace wagesim
