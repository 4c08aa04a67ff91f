// `wagesim run`: a network through the machine, the golden model beside it.
#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "threads.h"

namespace wagesim::app {

/// The command line's options, checked one by one but not yet against files.
struct RunOptions {
    std::string network;
    bool trains = false;
    std::string data = "/usr/share/datasets/fashion-mnist";
    std::string weights;  ///< .npz of master codes; empty: from the seed
    std::string datapath = "int8";
    std::string golden = "float64";
    std::string fidelity = "tile";
    std::string batch_norm = "running";
    std::string dump = "last";
    std::string inject, wave, out;
    std::vector<std::string> wave_scopes;
    std::int64_t count = 16, batch = 64;
    std::int64_t steps = 1;  ///< training
    double lr = 0.4;
    int dr = 128;
    std::int64_t wave_from = 0, wave_to = std::numeric_limits<std::int64_t>::max();
    std::uint32_t seed = 1, stall_seed = 0;
    int threads = cores(), quantum = 64;
    bool json = false, quiet = false;
};

/// Returns the exit status: 0, or 1 with a finding. Throws InputError, HostError.
int run(const RunOptions& options);

}  // namespace wagesim::app
