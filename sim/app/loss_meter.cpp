// See loss_meter.h.
#include "loss_meter.h"

#include <algorithm>
#include <cmath>

namespace wagesim::app {

void LossMeter::on_tap(const Tap& tap) {
    next_.on_tap(tap);
    if (tap.qp.qp != (squares_ ? Qp::e0 : Qp::p) || labels_ == nullptr) return;
    const Box& box = tap.box;
    const std::int64_t* code = tap.codes;
    for (std::int32_t n = box.n0; n < box.n0 + box.n; ++n)
        for (std::int32_t c = box.c0; c < box.c0 + box.c; ++c, ++code) {
            // e0's exponent is the batch's mean, which loss() takes itself.
            const double value = std::ldexp(static_cast<double>(*code), -tap.format.frac);
            if (squares_)
                sum_ += value * value / 2;
            else if (c == (*labels_)[static_cast<std::size_t>(n)])
                sum_ -= std::log(std::max(value, 0x1p-16));
        }
}

}  // namespace wagesim::app
