// Which images a training step takes.
#pragma once

#include <cstdint>
#include <vector>

#include "image_fit.h"
#include "wagesim/trace/idx.h"

namespace wagesim::app {

struct Batch {
    std::vector<std::uint8_t> pixels;  ///< N, C, H, W
    std::vector<std::uint8_t> labels;
};

/// An epoch takes every image once, shuffled anew (docs/training.md); what fills no batch is left
/// out. Any step may be asked for; within an epoch it costs nothing but the copy.
class Batches {
public:
    /// Throws InputError where the images fill no batch.
    Batches(trace::Dataset data, ImageFit fit, std::int64_t batch, std::uint32_t seed);

    std::int64_t steps_per_epoch() const { return data_.count / batch_; }
    /// Of the run, from 0 on.
    Batch at(std::int64_t step);

private:
    void shuffle(std::int64_t epoch);

    const trace::Dataset data_;
    const ImageFit fit_;
    const std::int64_t batch_;
    const std::uint32_t seed_;
    std::int64_t epoch_ = -1;  // whose order this is
    std::vector<std::int64_t> order_;
};

}  // namespace wagesim::app
