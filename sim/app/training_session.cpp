// See training_session.h.
#include "training_session.h"

#include "host.h"

namespace wagesim::app {

TrainingSession::TrainingSession(const Network& network, const Datapath& datapath,
                                 std::int64_t batch, const rtl::MachineOptions& options)
    : programs_(compile::compile_training(network, datapath, batch)),
      points_(compile::training_points(network, datapath, batch)),
      machine_(std::make_shared<rtl::Machine>("machine", datapath.machine, options)) {
    machine_->reserve_dram(programs_.step.dram_bytes);
}

rtl::Machine::Totals TrainingSession::prepare(const Parameters& state, Probe& probe) {
    for (const DramTensor& place : programs_.step.tensors)
        if (place.from_host && place.qp.layer >= 0)
            write_tensor(*machine_, place, state.at({place.qp.layer, place.qp.qp}).codes);
    return machine_->run(programs_.prepare, probe);
}

rtl::Machine::Totals TrainingSession::step(const std::vector<std::uint8_t>& pixels,
                                           const std::vector<std::uint8_t>& labels,
                                           const StepRegisters& registers, Probe& probe) {
    for (const DramTensor& place : programs_.step.tensors) {
        if (place.qp.layer >= 0 || !place.from_host) continue;
        if (place.role == Role::labels)
            machine_->write_dram(place.address, labels.data(),
                                 static_cast<std::int64_t>(labels.size()));
        else
            show_image(*machine_, pixels, place, probe);
    }
    return machine_->run(programs_.step, probe, registers);
}

Parameters TrainingSession::state() const {
    Parameters state;
    for (const DramTensor& place : programs_.step.tensors)
        if (place.from_host && place.qp.layer >= 0)
            state[{place.qp.layer, place.qp.qp}] = {place.shape, place.format,
                                                    read_tensor(*machine_, place)};
    return state;
}

}  // namespace wagesim::app
