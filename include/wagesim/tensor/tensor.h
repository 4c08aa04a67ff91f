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
    /// The same in memory order: N, H, W, C.
    std::int64_t memory_index(std::int64_t in, std::int64_t ic, std::int64_t ih,
                              std::int64_t iw) const {
        return ((in * h + ih) * w + iw) * c + ic;
    }
    friend bool operator==(const Shape& a, const Shape& b) {
        return a.n == b.n && a.c == b.c && a.h == b.h && a.w == b.w;
    }
    friend bool operator!=(const Shape& a, const Shape& b) { return !(a == b); }
};

/// Elements in memory order as files have them (N, C, H, W), and back.
template <class T>
std::vector<T> to_file_order(const Shape& shape, const std::vector<T>& memory) {
    std::vector<T> file(memory.size());
    auto element = memory.begin();
    for (std::int64_t n = 0; n < shape.n; ++n)
        for (std::int64_t h = 0; h < shape.h; ++h)
            for (std::int64_t w = 0; w < shape.w; ++w)
                for (std::int64_t c = 0; c < shape.c; ++c)
                    file[static_cast<std::size_t>(shape.index(n, c, h, w))] = *element++;
    return file;
}
template <class T>
std::vector<T> to_memory_order(const Shape& shape, const std::vector<T>& file) {
    std::vector<T> memory;
    memory.reserve(file.size());
    for (std::int64_t n = 0; n < shape.n; ++n)
        for (std::int64_t h = 0; h < shape.h; ++h)
            for (std::int64_t w = 0; w < shape.w; ++w)
                for (std::int64_t c = 0; c < shape.c; ++c)
                    memory.push_back(file[static_cast<std::size_t>(shape.index(n, c, h, w))]);
    return memory;
}

/// Wide enough for every register of the machine (SS has 80 bits).
__extension__ typedef __int128 Wide;

/// A tensor of integer codes in N, C, H, W order. Codes of every quantisation point but SS fit
/// 64 bits; SS is kept as two tensors of its low 64 and high bits where it goes to a file.
struct Tensor {
    Shape shape;
    Format format;
    std::vector<std::int64_t> codes;
};

/// A box of n x h x w x c elements of a tensor, from (n0, h0, w0, c0) on: one tile. Its rows are
/// h0 + i * step_h, its columns w0 + i * step_w.
struct Box {
    std::int32_t n0 = 0, n = 1, h0 = 0, h = 1, w0 = 0, w = 1, c0 = 0, c = 1;
    std::int32_t step_h = 1, step_w = 1;

    std::int64_t pixels() const { return std::int64_t{n} * h * w; }
    std::int64_t size() const { return pixels() * c; }
};

}  // namespace wagesim
