// The network's parameters as master codes: from the seed, or from a weights file.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "golden/model.h"
#include "wagesim/network/datapath.h"
#include "wagesim/network/network.h"
#include "wagesim/program/command.h"

namespace wagesim::app {

/// (layer, W | bias | gamma | beta | run_mu | run_sigma) -> codes in N, C, H, W order (weights
/// O, I, kh, kw).
using Parameters = std::map<std::pair<int, Qp>, Tensor>;

/// A tensor's shape in files: conv2d weights (O, I, kh, kw), activations (N, C, H, W), those of a
/// linear layer (O, I) and (N, C), vectors over channels (C).
std::vector<std::int64_t> file_shape(const Network& network, const QpId& qp, const Shape& shape);

/// Start values: W from the seeded streams, gamma 1, beta and bias 0, running mean 0, deviation 1
/// (docs/datapath.md, Start).
Parameters initial_parameters(const Network& network, const Datapath& datapath, std::uint32_t seed);

/// Reads every parameter from an .npz: LAYER.QP (conv1.W, bn1.gamma, bn1.run_mu, ...), master
/// codes. Throws InputError naming the file, the key, and what was expected (shape, range).
void read_parameters(const std::string& path, const Network& network, const Datapath& datapath,
                     Parameters& parameters);

/// What training starts from: parameters from the seed or a file, and the momentum of each, 0 or
/// from the file (conv1.Accq, bn1.Accq_gamma, ...: a checkpoint's).
Parameters initial_state(const Network& network, const Datapath& datapath, std::uint32_t seed,
                         const std::string& weights);

/// Without the momenta.
Parameters parameters_of(const Parameters& state);

void write_parameters(const std::string& path, const Network& network,
                      const Parameters& parameters);

golden::Parameters to_values(const Parameters& parameters);

}  // namespace wagesim::app
