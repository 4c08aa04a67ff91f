// The compiler: network + datapath + batch size -> program of tile commands.
#include "compile/compile.h"

#include <iterator>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "compile/backward.h"
#include "compile/lowering.h"
#include "compile/pass_source.h"
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

/// All that passes refer to.
struct Plans {
    Plans(const Network& a_network, const Datapath& a_datapath, std::int64_t batch,
          BatchNorm batch_norm, bool trains)
        : network(a_network),
          datapath(a_datapath),
          job{network, datapath, batch, batch_norm, trains} {
        check_machine(job);
        tensors.emplace(job);
        if (trains) training.emplace(job, *tensors);
        std::vector<bool> stored;
        passes = plan_passes(job, *tensors, stored);
        dram.emplace(job, *tensors, stored,
                     trains ? training->tensors() : std::vector<DramTensor>{});
    }

    const Network network;
    const Datapath datapath;
    const Job job;
    std::optional<TensorPlans> tensors;
    std::optional<TrainingPlan> training;
    std::vector<Planned> passes;
    std::optional<DramLayout> dram;
};

void add_prologue(const Plans& plans, std::vector<LowerPass>& passes) {
    passes.emplace_back([&plans](Emitter& emitter) {
        lower_prologue(plans.job, *plans.tensors, *plans.dram, emitter);
    });
}

void add_forward(const Plans& plans, std::vector<LowerPass>& passes) {
    for (const Planned& planned : plans.passes)
        passes.emplace_back([&plans, &planned](Emitter& emitter) {
            emitter.begin_phase(Phase::forward);
            const bool multiplies = planned.pass.array_layer >= 0;
            (multiplies ? lower_gemm_pass : lower_vector_pass)(
                plans.job, *plans.tensors, *plans.dram, planned.pass, planned.tiling, emitter);
        });
}

Program make_program(const std::shared_ptr<const Plans>& plans, std::vector<LowerPass> passes,
                     std::size_t most_kept) {
    Program program;
    Emitter emitter;
    TokenCheck tokens;
    std::vector<std::size_t> lowered;
    bool keeps = true;
    std::size_t total = 0;
    std::vector<Command> commands;
    for (const LowerPass& lower : passes) {
        lower(emitter);
        emitter.take_commands(commands);
        tokens.check(commands, emitter.tokens());
        lowered.push_back(commands.size());
        total += commands.size();
        keeps = keeps && total <= most_kept;
        if (keeps)
            std::move(commands.begin(), commands.end(), std::back_inserter(program.commands));
        else
            program.commands = {};
    }
    program.tokens = emitter.tokens();
    if (!keeps)
        program.source = std::make_shared<PassSource>(std::move(passes), std::move(lowered),
                                                      std::move(emitter), plans);
    program.tensors = plans->dram->tensors();
    program.dram_bytes = plans->dram->bytes();
    return program;
}

}  // namespace

Program compile(const Network& network, const Datapath& datapath, std::int64_t batch,
                BatchNorm batch_norm, bool prepare, std::size_t most_kept) {
    const auto plans = std::make_shared<const Plans>(network, datapath, batch, batch_norm, false);
    std::vector<LowerPass> passes;
    if (prepare) add_prologue(*plans, passes);
    add_forward(*plans, passes);
    return make_program(plans, std::move(passes), most_kept);
}

TrainingPrograms compile_training(const Network& network, const Datapath& datapath,
                                  std::int64_t batch, std::size_t most_kept) {
    const auto plans =
        std::make_shared<const Plans>(network, datapath, batch, BatchNorm::batch, true);
    std::vector<LowerPass> prepare, step;
    add_prologue(*plans, prepare);
    add_forward(*plans, step);
    for (LowerPass& pass :
         BackwardLowering::passes(plans->job, *plans->tensors, *plans->training, *plans->dram))
        step.push_back(std::move(pass));
    return {make_program(plans, std::move(prepare), most_kept),
            make_program(plans, std::move(step), most_kept)};
}

}  // namespace wagesim::compile
