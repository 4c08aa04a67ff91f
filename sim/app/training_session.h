// Training steps on the simulated machine: programs, state and batches in the Dram.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "compile/compile.h"
#include "machine.h"
#include "parameters.h"
#include "wagesim/network/datapath.h"
#include "wagesim/network/network.h"
#include "wagesim/program/probe.h"

namespace wagesim::app {

class TrainingSession {
public:
    /// Compiles for batches of `batch` images, so that what can't be trained is refused here
    /// (InputError). One machine per process: SystemC elaborates once.
    TrainingSession(const Network& network, const Datapath& datapath, std::int64_t batch,
                    const rtl::MachineOptions& options);

    /// Writes the masters, Accq and running statistics to the Dram and quantises what a step starts
    /// from. Needed before the first step, and after anything else ran on the machine.
    rtl::Machine::Totals prepare(const Parameters& state, Probe& probe);
    /// batch * C * H * W pixels in N, C, H, W order, and as many labels.
    rtl::Machine::Totals step(const std::vector<std::uint8_t>& pixels,
                              const std::vector<std::uint8_t>& labels,
                              const StepRegisters& registers, Probe& probe);
    /// What prepare() takes, as the last step left it.
    Parameters state() const;

    const compile::TrainingPrograms& programs() const { return programs_; }
    const compile::TrainingPoints& points() const { return points_; }
    const std::shared_ptr<rtl::Machine>& machine() const { return machine_; }

private:
    compile::TrainingPrograms programs_;
    compile::TrainingPoints points_;
    std::shared_ptr<rtl::Machine> machine_;
};

}  // namespace wagesim::app
