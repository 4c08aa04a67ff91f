// The on-chip memories, sized by the configuration.
#pragma once

#include "buffer/accumulators.h"
#include "buffer/buffer.h"
#include "wagesim/network/datapath.h"
#include "wagesim/program/command.h"

namespace wagesim::rtl {

struct Memories {
    explicit Memories(const MachineConfig& config)
        : weights("weights", config.weight_buffer_bytes),
          activations("activations", config.activation_buffer_bytes),
          parameters("parameters", config.parameter_bytes),
          accumulators(
              config.accumulator_bytes / (config.array_columns * Accumulators::bytes_per_element),
              config.array_columns, config.accumulator_bits, config.accumulator_overflow) {}

    /// A FENCE: every read needs a new write before it.
    void forget() {
        weights.forget();
        activations.forget();
        parameters.forget();
        accumulators.forget();
    }

    Buffer weights, activations, parameters;
    Accumulators accumulators;
    StepRegisters step;   ///< as the host wrote them
    mutable Actor actor;  ///< who touches them, or the Dram, at the moment
};

}  // namespace wagesim::rtl
