// A network on the simulated machine: programs, parameters and images in the Dram, batch by batch.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "check/judge.h"
#include "compile/compile.h"
#include "machine.h"
#include "parameters.h"
#include "wagesim/network/datapath.h"
#include "wagesim/network/network.h"
#include "wagesim/program/probe.h"

namespace wagesim::app {

class Session {
public:
    /// Compiles for batches of `batch` images at once, so that what can't be compiled is refused
    /// here (InputError). One machine per process: SystemC elaborates once.
    Session(const Network& network, const Datapath& datapath, compile::BatchNorm batch_norm,
            Parameters parameters, std::int64_t batch, const rtl::MachineOptions& options);
    /// On a machine that has run something else, whose Dram is lost.
    Session(const Network& network, const Datapath& datapath, compile::BatchNorm batch_norm,
            Parameters parameters, std::shared_ptr<rtl::Machine> machine);

    /// A batch of this size comes next. Its program quantises the parameters first where the Dram
    /// does not hold them yet for this size.
    const Program& begin_batch(std::int64_t size);
    /// What the batch begun must deliver.
    std::vector<check::ExpectedTensor> expected() const;
    /// Runs it: size * C * H * W pixels in N, C, H, W order.
    rtl::Machine::Totals run(const std::vector<std::uint8_t>& pixels, Probe& probe);
    /// The batch's output (is_output), with its codes in N, C, H, W order.
    Tensor output() const;
    /// Tensors of the batch that the machine stored, with their codes in N, C, H, W order;
    /// the running statistics among them become the session's parameters.
    std::vector<std::pair<QpId, Tensor>> stored();

    const Parameters& parameters() const { return parameters_; }
    rtl::Machine& machine() { return *machine_; }

private:
    const Network& network_;
    const Datapath& datapath_;
    compile::BatchNorm batch_norm_;
    Parameters parameters_;
    std::shared_ptr<rtl::Machine> machine_;
    std::map<std::pair<std::int64_t, bool>, Program> programs_;
    const Program* program_ = nullptr;
    std::int64_t size_ = 0;
    bool prepare_ = false;
    std::int64_t loaded_size_ = 0;  ///< batch size whose quantised parameters lie in the Dram
};

}  // namespace wagesim::app
