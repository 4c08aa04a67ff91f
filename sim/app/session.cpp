// See session.h.
#include "session.h"

#include <stdexcept>

#include "accuracy.h"
#include "host.h"

namespace wagesim::app {
namespace {

/// Points that only a program's prologue makes.
bool made_by_prologue(Qp qp, compile::BatchNorm batch_norm) {
    switch (qp) {
        case Qp::Wq:
        case Qp::bias_q:
        case Qp::gamma_q:
        case Qp::beta_q:
            return true;
        case Qp::mu:
        case Qp::sigma:
            return batch_norm == compile::BatchNorm::running;
        default:
            return false;
    }
}

}  // namespace

Session::Session(const Network& network, const Datapath& datapath, compile::BatchNorm batch_norm,
                 Parameters parameters, std::int64_t batch, const rtl::MachineOptions& options)
    : network_(network),
      datapath_(datapath),
      batch_norm_(batch_norm),
      parameters_(std::move(parameters)) {
    programs_.emplace(std::pair{batch, true},
                      compile::compile(network, datapath, batch, batch_norm, true));
    machine_ = std::make_shared<rtl::Machine>("machine", datapath_.machine, options);
    machine_->reserve_dram(programs_.at({batch, true}).dram_bytes);
}

Session::Session(const Network& network, const Datapath& datapath, compile::BatchNorm batch_norm,
                 Parameters parameters, std::shared_ptr<rtl::Machine> machine)
    : network_(network),
      datapath_(datapath),
      batch_norm_(batch_norm),
      parameters_(std::move(parameters)),
      machine_(std::move(machine)) {}

const Program& Session::begin_batch(std::int64_t size) {
    size_ = size;
    prepare_ = size != loaded_size_;
    const std::pair key{size, prepare_};
    auto found = programs_.find(key);
    if (found == programs_.end())
        found =
            programs_
                .emplace(key, compile::compile(network_, datapath_, size, batch_norm_, prepare_))
                .first;
    program_ = &found->second;
    return *program_;
}

std::vector<check::ExpectedTensor> Session::expected() const {
    std::vector<check::ExpectedTensor> points;
    for (const auto& point : compile::quantisation_points(network_, datapath_, size_, batch_norm_))
        if (prepare_ || !made_by_prologue(point.qp.qp, batch_norm_))
            points.push_back({point.qp, point.shape});
    return points;
}

rtl::Machine::Totals Session::run(const std::vector<std::uint8_t>& pixels, Probe& probe) {
    for (const DramTensor& place : program_->tensors) {
        if (!place.from_host) continue;
        if (place.qp.layer < 0)
            show_image(*machine_, pixels, place, probe);
        else if (prepare_)
            write_tensor(*machine_, place, parameters_.at({place.qp.layer, place.qp.qp}).codes);
    }
    loaded_size_ = size_;
    return machine_->run(*program_, probe);
}

Tensor Session::output() const {
    for (const DramTensor& place : program_->tensors)
        if (is_output(network_, place.qp) && place.role == Role::codes)
            return {place.shape, place.format, read_tensor(*machine_, place)};
    throw std::logic_error("session: the program stores no output");
}

std::vector<std::pair<QpId, Tensor>> Session::stored() {
    std::vector<std::pair<QpId, Tensor>> tensors;
    for (const DramTensor& place : program_->tensors) {
        const bool running = place.qp.qp == Qp::run_mu || place.qp.qp == Qp::run_sigma;
        const bool updated = running && batch_norm_ == compile::BatchNorm::batch;
        if (place.from_host && !updated) continue;
        if (made_by_prologue(place.qp.qp, batch_norm_) && !prepare_) continue;
        Tensor tensor{place.shape, place.format, read_tensor(*machine_, place)};
        if (updated) parameters_.at({place.qp.layer, place.qp.qp}).codes = tensor.codes;
        tensors.emplace_back(place.qp, std::move(tensor));
    }
    return tensors;
}

}  // namespace wagesim::app
