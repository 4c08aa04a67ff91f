// The golden model of a whole training step: forward pass, loss, errors, gradients, update, by
// docs/training.md.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "golden/model.h"

namespace wagesim::golden {

/// What the host gives a step besides images and labels.
struct StepRegisters {
    std::uint32_t seed = 0, step = 0;  ///< of the random streams
    int lr = 0;                        ///< code at QP lr
    int dr_log2 = 7;
};

/// Draws for the G of each layer's W in memory order, instead of the streams'.
using Draws = std::map<int, std::vector<std::uint16_t>>;

struct StepResult {
    /// Every point of the step: those of the forward pass, and what follows. W, bias, gamma, beta
    /// and what is quantised of them (Wq, bias_q, gamma_q, beta_q) are the next step's.
    Points points;
    double loss = 0;
};

class TrainingModel {
public:
    /// Throws InputError, naming the layer, where docs/training.md defines no step.
    TrainingModel(const Network& network, const Datapath& datapath,
                  Precision precision = Precision::float64);
    ~TrainingModel();
    TrainingModel(TrainingModel&&) noexcept;
    TrainingModel& operator=(TrainingModel&&) noexcept;

    /// Masters, running statistics and Accq, Accq_bias, Accq_gamma, Accq_beta (0 where missing).
    void set_state(Parameters state);
    Parameters state() const;
    /// Wq, bias_q, gamma_q and beta_q of the state: what the machine makes before the first step.
    Points quantized_state() const;

    /// Pixels 0..255 in N, C, H, W order.
    StepResult step(const std::vector<std::uint8_t>& pixels, const std::vector<int>& labels,
                    const StepRegisters& registers, const Draws* draws = nullptr);

private:
    class Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace wagesim::golden
