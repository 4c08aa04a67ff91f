// See batches.h.
#include "batches.h"

#include <numeric>
#include <string>
#include <utility>

#include "wagesim/arith/random.h"
#include "wagesim/error.h"

namespace wagesim::app {

Batches::Batches(trace::Dataset data, ImageFit fit, std::int64_t batch, std::uint32_t seed)
    : data_(std::move(data)), fit_(std::move(fit)), batch_(batch), seed_(seed) {
    if (data_.count < batch)
        throw InputError("--batch " + std::to_string(batch) + ": expected at most the " +
                         std::to_string(data_.count) + " training images");
}

Batch Batches::at(std::int64_t step) {
    if (const std::int64_t epoch = step / steps_per_epoch(); epoch != epoch_) shuffle(epoch);
    const std::int64_t first = step % steps_per_epoch() * batch_;
    Batch batch;
    for (std::int64_t i = first; i < first + batch_; ++i) {
        const std::int64_t image = order_[static_cast<std::size_t>(i)];
        const std::vector<std::uint8_t> pixels = fit_(data_, image, 1);
        batch.pixels.insert(batch.pixels.end(), pixels.begin(), pixels.end());
        batch.labels.push_back(data_.labels[static_cast<std::size_t>(image)]);
    }
    return batch;
}

void Batches::shuffle(std::int64_t epoch) {
    order_.resize(static_cast<std::size_t>(data_.count));
    std::iota(order_.begin(), order_.end(), 0);
    arith::XorShift32 random(arith::mix(seed_, static_cast<std::uint32_t>(epoch), 0xFFFFFFFFU, 0));
    for (std::size_t i = order_.size() - 1; i > 0; --i) {
        const auto j = static_cast<std::size_t>((std::uint64_t{random.next()} * (i + 1)) >> 32);
        std::swap(order_[i], order_[j]);
    }
    epoch_ = epoch;
}

}  // namespace wagesim::app
