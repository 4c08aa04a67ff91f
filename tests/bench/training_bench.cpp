// Speed of a network's training step: the machine alone, the golden model alone, and both with the
// judge as `wagesim train` runs them. Arguments: data set, network file, images a step, rounds,
// threads.
#include <cblas.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <string>
#include <systemc>
#include <utility>
#include <vector>

#include "batches.h"
#include "check/judge.h"
#include "parameters.h"
#include "trainer.h"
#include "training_session.h"
#include "wagesim/trace/idx.h"

namespace {

using namespace wagesim;

double milliseconds_of(app::Trainer& trainer) {
    const auto begin = std::chrono::steady_clock::now();
    trainer.step();
    return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begin)
        .count();
}

double median(std::vector<double> values) {
    std::sort(values.begin(), values.end());
    return values[values.size() / 2];
}

/// Keeps SystemC's banner off the terminal; it is printed before sc_main().
const int no_banner = setenv("SYSTEMC_DISABLE_COPYRIGHT_MESSAGE", "1", 0);

}  // namespace

int sc_main(int argc, char** argv) {
    openblas_set_num_threads(1);
    if (argc < 6) {
        std::fprintf(stderr, "usage: %s DATA NETWORK IMAGES ROUNDS THREADS\n", argv[0]);
        return 2;
    }
    const std::string data = argv[1];
    const Network network = read_network(argv[2]);
    const std::int64_t images = std::atoll(argv[3]);
    const int rounds = std::atoi(argv[4]);
    rtl::MachineOptions machine_options;
    machine_options.threads = std::atoi(argv[5]);
    const Datapath datapath = read_datapath("int8");
    const app::Parameters state = app::initial_state(network, datapath, 1, "");
    trace::Dataset pixels = trace::read_idx(data, "train");
    const app::ImageFit fit(network.input, pixels, network.name, data);
    app::Batches batches(std::move(pixels), fit, images, 1);
    app::TrainingSession session(network, datapath, images, machine_options);

    app::Trainer::Options how;
    how.threads = machine_options.threads;
    how.steps = 1 << 20;
    how.registers = [](std::int64_t step) {
        return StepRegisters{1, static_cast<std::uint32_t>(step), 205, 7};
    };
    std::map<std::string, std::vector<double>> times;
    bool clean = true;
    for (int round = 0; round < rounds; ++round)
        for (const char* name : {"machine", "checked", "golden model"}) {
            check::Judge judge(network, nullptr);
            if (std::string(name) == "golden model") {
                golden::TrainingModel model(network, datapath);
                model.set_state(app::to_values(state));
                const app::Batch batch = batches.at(round);
                const auto begin = std::chrono::steady_clock::now();
                model.step(batch.pixels, {batch.labels.begin(), batch.labels.end()},
                           {1, 0, 205, 7});
                times[name].push_back(std::chrono::duration<double, std::milli>(
                                          std::chrono::steady_clock::now() - begin)
                                          .count());
                continue;
            }
            auto options = how;
            if (std::string(name) == "machine") options.golden.reset();
            app::Trainer trainer(network, datapath, session, batches, judge, nullptr, options);
            trainer.start(state, round * 3);
            trainer.step();  // the golden model is a step ahead from here on
            for (int i = 0; i < 2; ++i) times[name].push_back(milliseconds_of(trainer));
            clean = clean && judge.clean();
        }
    if (!clean) {
        std::fprintf(stderr, "not bit-exact\n");
        return 1;
    }
    const double machine = median(times["machine"]);
    std::printf("training step of %s, images: %lld, threads: %d; medians of %d rounds in turn\n",
                network.name.c_str(), static_cast<long long>(images), how.threads, rounds);
    for (const char* name : {"machine", "golden model", "checked"})
        std::printf("  %-22s %8.1f ms  %5.2fx the machine's time\n", name, median(times[name]),
                    median(times[name]) / machine);
    return 0;
}
