// The loss of a training step as people read it; no quantisation point.
#pragma once

#include <cstdint>
#include <vector>

#include "wagesim/program/probe.h"

namespace wagesim::app {

/// Sits between the machine and another probe, and reads p or e0 of the last layer.
class LossMeter : public Probe {
public:
    /// `squares`: sse.
    LossMeter(Probe& next, bool squares) : next_(next), squares_(squares) {}

    void begin(const std::vector<std::uint8_t>& labels) {
        labels_ = &labels;
        sum_ = 0;
    }
    /// The mean over the batch: of -ln p(label), p at least 2^-16; or of half the sum of e0^2.
    double loss() const { return sum_ / static_cast<double>(labels_->size()); }

    void on_tap(const Tap& tap) override;
    void on_retired(const Retired& retired) override { next_.on_retired(retired); }

private:
    Probe& next_;
    const bool squares_;
    const std::vector<std::uint8_t>* labels_ = nullptr;
    double sum_ = 0;
};

}  // namespace wagesim::app
