// `wagesim train`: a whole training run on the machine, the golden model beside it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "threads.h"

namespace wagesim::app {

/// The command line's options, checked one by one but not yet against files.
struct TrainOptions {
    std::string network;
    std::string data = "/usr/share/datasets/fashion-mnist";
    std::string weights;  ///< .npz of master codes; empty: from the seed
    std::string datapath = "int8";
    std::string golden = "float64";
    std::string out;
    std::int64_t epochs = 2, steps = 0;  ///< steps: instead of epochs, if > 0
    std::int64_t batch = 64;
    std::vector<double> lr, lr_at;  ///< empty: see Schedule
    int dr = 128;
    std::int64_t check_every = 1, checkpoint_every = 100;
    std::int64_t test_count = 10000;
    std::uint32_t seed = 1, stall_seed = 0;
    int threads = cores();
    bool resume = false, json = false, quiet = false;
};

/// Returns the exit status: 0; 1 with a finding; 130 where a signal stopped it after a checkpoint.
/// Throws InputError, HostError.
int train(const TrainOptions& options);

}  // namespace wagesim::app
