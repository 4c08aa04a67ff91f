// The compiler: network + datapath + batch size -> program of tile commands.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "wagesim/network/datapath.h"
#include "wagesim/network/network.h"
#include "wagesim/program/command.h"

namespace wagesim::compile {

/// Where a batch norm's mu and sigma come from: the running averages, or this batch (which also
/// moves the running averages).
enum class BatchNorm { running, batch };

/// A program of more commands than this is made pass by pass while it runs (Program::source).
inline constexpr std::size_t most_kept_commands = 600000;  // 360 MB

/// `prepare`: begin with the quantisation of the parameters; without it the same Dram layout, the
/// quantised parameters still in it from an earlier run.
/// Throws InputError naming the layer where it can't be tiled into the buffers, or where an exact
/// register's bound does not fit.
Program compile(const Network& network, const Datapath& datapath, std::int64_t batch,
                BatchNorm batch_norm, bool prepare, std::size_t most_kept = most_kept_commands);

/// A training step, and what has to run once before the first: the quantisation of the parameters.
/// Both have the same Dram layout.
struct TrainingPrograms {
    Program prepare, step;
};

/// Throws InputError as compile() does, and where the network can't be trained.
TrainingPrograms compile_training(const Network& network, const Datapath& datapath,
                                  std::int64_t batch, std::size_t most_kept = most_kept_commands);

/// The program as text: the Dram's tensors, the tokens, and one command a line.
std::string listing(const Program& program, const Network& network);

/// A tensor of codes that a run makes and a judge compares.
struct Expected {
    QpId qp;
    Shape shape;  ///< batch included
};

/// All of them, by layer, from the network alone.
std::vector<Expected> quantisation_points(const Network& network, const Datapath& datapath,
                                          std::int64_t batch, BatchNorm batch_norm);

/// Those of TrainingPrograms: the prepared parameters, and those of a step.
struct TrainingPoints {
    std::vector<Expected> prepare, step;
};
TrainingPoints training_points(const Network& network, const Datapath& datapath,
                               std::int64_t batch);

}  // namespace wagesim::compile
