// See image_fit.h.
#include "image_fit.h"

#include <algorithm>

#include "wagesim/error.h"

namespace wagesim::app {

ImageFit::ImageFit(const Shape& input, const trace::Dataset& images, const std::string& network,
                   const std::string& data)
    : input_(input), square_(std::min(input.h / images.rows, input.w / images.columns)) {
    if (square_ < 1)
        throw InputError(network + ": input.shape is [" + std::to_string(input.c) + ", " +
                         std::to_string(input.h) + ", " + std::to_string(input.w) +
                         "], but the images in " + data + " are " + std::to_string(images.rows) +
                         " x " + std::to_string(images.columns) +
                         "; expected at least their height and width");
}

std::vector<std::uint8_t> ImageFit::operator()(const trace::Dataset& images, std::int64_t first,
                                               std::int64_t count) const {
    const std::int64_t rows = images.rows * square_, columns = images.columns * square_;
    const std::int64_t top = (input_.h - rows) / 2, left = (input_.w - columns) / 2;
    std::vector<std::uint8_t> pixels(static_cast<std::size_t>(count * input_.size()));
    for (std::int64_t n = 0; n < count; ++n)
        for (std::int64_t c = 0; c < input_.c; ++c)
            for (std::int64_t h = 0; h < rows; ++h) {
                const auto from = images.images.begin() +
                                  ((first + n) * images.rows + h / square_) * images.columns;
                const auto to = pixels.begin() + input_.index(n, c, top + h, left);
                for (std::int64_t w = 0; w < columns; ++w) to[w] = from[w / square_];
            }
    return pixels;
}

}  // namespace wagesim::app
