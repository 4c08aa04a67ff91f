// A data set's images at the size of a network's input.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "wagesim/network/network.h"
#include "wagesim/trace/idx.h"

namespace wagesim::app {

/// Each pixel becomes a square, the largest that fits; black around it; every channel the same.
/// 28 x 28 fits [3, 224, 224] by squares of 8 x 8, and [3, 32, 32] by a border of 2.
class ImageFit {
public:
    /// Throws InputError, naming `network` and `data`, where the input is smaller than the images.
    ImageFit(const Shape& input, const trace::Dataset& images, const std::string& network,
             const std::string& data);

    /// Images first .. first + count: pixels in N, C, H, W order.
    std::vector<std::uint8_t> operator()(const trace::Dataset& images, std::int64_t first,
                                         std::int64_t count) const;

private:
    const Shape input_;
    std::int64_t square_ = 1;
};

}  // namespace wagesim::app
