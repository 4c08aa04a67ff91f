// The compiler: network + datapath + batch size -> program of tile commands.
#include "compile/compile.h"

#include <optional>
#include <string>
#include <utility>

#include "compile/backward.h"
#include "compile/lowering.h"
#include "wagesim/error.h"

namespace wagesim::compile {
namespace {

/// A pass and its tiles.
struct Planned {
    Pass pass;
    Tiling tiling;
};

/// The longest chain from `first` that the buffers hold.
Planned plan_pass(const Job& job, const TensorPlans& plans, int first,
                  const std::vector<bool>& stored) {
    std::optional<InputError> refusal;
    for (const std::vector<int>& chain : possible_chains(job, first, stored)) {
        try {
            Pass pass = make_pass(job, plans, chain);
            Tiling tiling = tile_pass(job, plans, pass);
            return {std::move(pass), std::move(tiling)};
        } catch (const InputError& error) {
            refusal = error;
        }
    }
    throw *refusal;
}

std::vector<Planned> plan_passes(const Job& job, const TensorPlans& plans,
                                 std::vector<bool>& stored) {
    std::vector<Planned> planned;
    stored.assign(job.network.layers.size() + 1, false);
    stored[0] = true;
    if (Pass pass = make_statistics_pass(job); !pass.statistics.empty()) {
        Tiling tiling = tile_pass(job, plans, pass);
        planned.push_back({std::move(pass), std::move(tiling)});
    }
    std::vector<bool> done(job.network.layers.size(), false);
    for (int i = 0; i < job.layer_count(); ++i) {
        if (done[static_cast<std::size_t>(i)]) continue;
        planned.push_back(plan_pass(job, plans, i, stored));
        const Pass& pass = planned.back().pass;
        for (const int layer : pass.layers) done[static_cast<std::size_t>(layer)] = true;
        stored[static_cast<std::size_t>(pass.result + 1)] = true;
    }
    return planned;
}

void check_machine(const Job& job) {
    if (job.batch < 1)
        throw InputError("batch: expected at least 1, found " + std::to_string(job.batch));
    const MachineConfig& machine = job.datapath.machine;
    if (machine.activation_banks != 4)
        throw InputError("activation_banks: expected 4 (two for inputs, two for outputs), found " +
                         std::to_string(machine.activation_banks));
    if (machine.activation_buffer_bytes % machine.activation_banks != 0)
        throw InputError(
            "activation_buffer_bytes: expected a multiple of activation_banks, found " +
            std::to_string(machine.activation_buffer_bytes));
}

void lower_forward(const Job& job, const TensorPlans& plans, const std::vector<Planned>& passes,
                   const DramLayout& dram, Emitter& emitter) {
    for (const Planned& planned : passes) {
        const bool multiplies = planned.pass.array_layer >= 0;
        (multiplies ? lower_gemm_pass : lower_vector_pass)(job, plans, dram, planned.pass,
                                                           planned.tiling, emitter);
    }
}

Program finish(Emitter& emitter, const DramLayout& dram) {
    Program program = emitter.take();
    program.tensors = dram.tensors();
    program.dram_bytes = dram.bytes();
    check_tokens(program);
    return program;
}

}  // namespace

Program compile(const Network& network, const Datapath& datapath, std::int64_t batch,
                BatchNorm batch_norm, bool prepare) {
    const Job job{network, datapath, batch, batch_norm};
    check_machine(job);
    const TensorPlans plans(job);
    std::vector<bool> stored;
    const std::vector<Planned> passes = plan_passes(job, plans, stored);
    const DramLayout dram(job, plans, stored, {});
    Emitter emitter;
    if (prepare) lower_prologue(job, plans, dram, emitter);
    lower_forward(job, plans, passes, dram, emitter);
    return finish(emitter, dram);
}

TrainingPrograms compile_training(const Network& network, const Datapath& datapath,
                                  std::int64_t batch) {
    const Job job{network, datapath, batch, BatchNorm::batch, true};
    check_machine(job);
    const TensorPlans plans(job);
    const TrainingPlan training(job, plans);
    std::vector<bool> stored;
    const std::vector<Planned> passes = plan_passes(job, plans, stored);
    const DramLayout dram(job, plans, stored, training.tensors());
    Emitter prepare, step;
    lower_prologue(job, plans, dram, prepare);
    lower_forward(job, plans, passes, dram, step);
    BackwardLowering(job, plans, training, dram, step).lower();
    return {finish(prepare, dram), finish(step, dram)};
}

}  // namespace wagesim::compile
