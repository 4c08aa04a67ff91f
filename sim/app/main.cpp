// The command line. SystemC's library owns main() and calls sc_main().
#include <CLI/CLI.hpp>
#include <cstdlib>
#include <iostream>
#include <systemc>

#include "compile/compile.h"
#include "cycles_command.h"
#include "inspect.h"
#include "machine.h"
#include "run.h"
#include "train.h"
#include "wagesim/error.h"
#include "wagesim/network/datapath.h"
#include "wagesim/network/network.h"
#include "wagesim/version.h"

namespace {

/// Keeps SystemC's banner out of the user's terminal; it is printed before sc_main().
const int no_banner = setenv("SYSTEMC_DISABLE_COPYRIGHT_MESSAGE", "1", 0);

constexpr int exit_finding = 1, exit_bad_input = 2, exit_host_failed = 3;

/// "FROM:TO" in cycles; either side may be empty.
void parse_window(const std::string& text, wagesim::app::RunOptions& options) {
    const auto colon = text.find(':');
    const auto number = [&](const std::string& part, std::int64_t otherwise) {
        if (part.empty()) return otherwise;
        std::size_t used = 0;
        std::int64_t value = -1;
        try {
            value = std::stoll(part, &used);
        } catch (const std::exception&) {
            used = std::string::npos;
        }
        if (used != part.size() || value < 0)
            throw wagesim::InputError("--wave-window " + text + ": '" + part +
                                      "' is not a cycle; expected FROM:TO");
        return value;
    };
    if (colon == std::string::npos)
        throw wagesim::InputError("--wave-window " + text + ": expected FROM:TO in cycles");
    options.wave_from = number(text.substr(0, colon), options.wave_from);
    options.wave_to = number(text.substr(colon + 1), options.wave_to);
    if (options.wave_to <= options.wave_from)
        throw wagesim::InputError("--wave-window " + text + ": it ends before it begins");
}

const CLI::Validator at_least_one(
    [](std::string& text) {
        const bool is_number =
            !text.empty() && text.find_first_not_of("0123456789") == std::string::npos;
        return is_number && text.find_first_not_of('0') != std::string::npos
                   ? std::string()
                   : "expected a whole number from 1 on, found " + text;
    },
    "NUMBER FROM 1");

int command_line(int argc, char** argv) {
    CLI::App app{"wagesim: bit-accurate simulator of an integer accelerator for WAGEUBN networks"};
    app.set_version_flag("--version", wagesim::version);
    app.require_subcommand(1);
    app.get_formatter()->column_width(34);

    wagesim::app::RunOptions options;
    std::string mode = "infer", window;
    auto* run =
        app.add_subcommand("run", "run a network on the simulated machine, every tensor checked");
    run->add_option("network", options.network, "network file (JSON)")->required();
    run->add_option("--mode", mode, "what to run")
        ->check(CLI::IsMember({"infer", "train"}))
        ->capture_default_str();
    run->add_option("--steps", options.steps, "training steps")
        ->check(at_least_one)
        ->capture_default_str();
    run->add_option("--lr", options.lr, "learning rate, a multiple of 1/512")
        ->capture_default_str();
    run->add_option("--dr", options.dr, "levels of CQ: a power of two up to 128")
        ->capture_default_str();
    run->add_option("--fidelity", options.fidelity,
                    "the array: a tile at a time, or every PE register in every cycle")
        ->check(CLI::IsMember({"tile", "register"}))
        ->capture_default_str();
    run->add_option(
           "--quantum", options.quantum,
           "cycles that registers may lag behind simulated time; changes nothing but speed")
        ->check(CLI::Range(1, 1'000'000))
        ->capture_default_str();
    run->add_option("--data", options.data, "directory of IDX files")->capture_default_str();
    run->add_option("--count", options.count, "test images to run")
        ->check(at_least_one)
        ->capture_default_str();
    run->add_option("--batch", options.batch, "images at a time")
        ->check(at_least_one)
        ->capture_default_str();
    run->add_option("--weights", options.weights, "master codes (.npz); default: from the seed");
    run->add_option("--bn", options.batch_norm,
                    "batch-norm statistics; batch updates the running ones")
        ->check(CLI::IsMember({"running", "batch"}))
        ->capture_default_str();
    run->add_option("--datapath", options.datapath, "preset or JSON file")->capture_default_str();
    run->add_option("--golden", options.golden, "the model to check against")
        ->check(CLI::IsMember({"float64", "float32", "none"}))
        ->capture_default_str();
    run->add_option("--dump", options.dump,
                    "tensors for --out: none, mismatch, last, all, or a pattern as 'conv*.y'")
        ->capture_default_str();
    run->add_option("--inject", options.inject, "flip one bit: BUFFER:ADDRESS:BIT@CYCLE");
    run->add_option("--stall-seed", options.stall_seed, "random back-pressure; 0: none")
        ->capture_default_str();
    auto* wave = run->add_option("--wave", options.wave,
                                 "write a waveform, FILE.vcd or FILE.fst, and FILE.gtkw beside it; "
                                 "a bare name goes into --out");
    run->add_option("--wave-window", window, "FROM:TO in cycles")->needs(wave);
    run->add_option("--wave-scope", options.wave_scopes,
                    "show only signals of this pattern, as 'machine.array.row3.*', down to single "
                    "registers; may be repeated")
        ->needs(wave)
        ->allow_extra_args(false);
    run->add_option("--out", options.out, "run directory to write");
    run->add_option("--seed", options.seed, "of the start weights")->capture_default_str();
    run->add_option("--threads", options.threads,
                    "at most; 1: everything in turn; default: the cores. The results are the same")
        ->check(CLI::Range(1, 1024));
    run->add_flag("--json", options.json, "print one JSON object");
    run->add_flag("--quiet", options.quiet, "print nothing but findings");

    wagesim::app::TrainOptions training;
    auto* train = app.add_subcommand(
        "train", "train a network on the machine, step by step beside the golden model");
    train->add_option("network", training.network, "network file (JSON)")->required();
    train
        ->add_option(
            "--out", training.out,
            "directory of the run: checkpoints, epochs, at last weights.npz and manifest.json")
        ->required();
    train->add_flag("--resume", training.resume,
                    "go on from the checkpoint in --out: the same bits as without interruption");
    train->add_option("--data", training.data, "directory of IDX files")->capture_default_str();
    train->add_option("--epochs", training.epochs, "over the training images")
        ->check(at_least_one)
        ->capture_default_str();
    train->add_option("--steps", training.steps, "instead of --epochs")->check(at_least_one);
    train->add_option("--batch", training.batch, "images a step")
        ->check(at_least_one)
        ->capture_default_str();
    train
        ->add_option("--lr", training.lr,
                     "learning rates, multiples of 1/512; default: 0.4,0.1,0.03 "
                     "(from five epochs on 0.4,0.1,0.03,0.008)")
        ->delimiter(',');
    train
        ->add_option("--lr-at", training.lr_at,
                     "where each but the first begins, in percent of all steps; default: 60,85 "
                     "(50,75,90)")
        ->delimiter(',');
    train->add_option("--dr", training.dr, "levels of CQ: a power of two up to 128")
        ->capture_default_str();
    train->add_option("--datapath", training.datapath, "preset or JSON file")
        ->capture_default_str();
    train->add_option("--weights", training.weights, "master codes (.npz); default: from the seed");
    train->add_option("--golden", training.golden, "the model to check against")
        ->check(CLI::IsMember({"float64", "float32", "none"}))
        ->capture_default_str();
    train
        ->add_option("--check-every", training.check_every,
                     "check only each N-th step; the golden model then takes the machine's state")
        ->check(at_least_one)
        ->capture_default_str();
    train->add_option("--checkpoint-every", training.checkpoint_every, "steps")
        ->check(at_least_one)
        ->capture_default_str();
    train->add_option("--test-count", training.test_count, "test images for the accuracy")
        ->check(at_least_one)
        ->capture_default_str();
    train->add_option("--seed", training.seed, "of start weights, shuffling and rounding")
        ->capture_default_str();
    train->add_option("--stall-seed", training.stall_seed, "random back-pressure; 0: none")
        ->capture_default_str();
    train
        ->add_option("--threads", training.threads,
                     "at most; 1: everything in turn; default: the cores. The results are the same")
        ->check(CLI::Range(1, 1024));
    train->add_flag("--json", training.json, "print one JSON object");
    train->add_flag("--quiet", training.quiet, "print nothing but findings");

    std::string network_file, datapath_file = "int8";
    std::int64_t batch = 1;
    std::string batch_norm = "running";
    bool listing = false;
    auto* compile = app.add_subcommand("compile", "compile a network to the machine's program");
    compile->add_option("network", network_file, "network file (JSON)")->required();
    compile->add_option("--datapath", datapath_file, "preset or JSON file")->capture_default_str();
    compile->add_option("--batch", batch, "images at a time")
        ->check(at_least_one)
        ->capture_default_str();
    compile->add_option("--bn", batch_norm, "batch-norm statistics")
        ->check(CLI::IsMember({"running", "batch"}))
        ->capture_default_str();
    compile->add_flag("--listing", listing, "print every command with its addresses and tokens");

    wagesim::app::CyclesCommand cycles(app);

    std::string preset = "int8";
    auto* config = app.add_subcommand("config", "print all settings of a datapath as JSON");
    config->add_option("datapath", preset, "preset or JSON file")->capture_default_str();

    std::string run_a, run_b, tensor, as = "code";
    auto* show = app.add_subcommand("show", "print a tensor of a run, or a slice of it");
    show->add_option("run", run_a, "run directory")->required();
    show->add_option("tensor", tensor,
                     "LAYER.QP, LAYER.QP[n] ... LAYER.QP[n,c,h,w]; none: list them");
    show->add_option("--as", as, "how to print the codes")
        ->check(CLI::IsMember({"code", "hex", "real", "bin"}))
        ->capture_default_str();
    auto* diff = app.add_subcommand("diff", "compare the tensors of two runs");
    diff->add_option("run_a", run_a, "run directory")->required();
    diff->add_option("run_b", run_b, "run directory")->required();
    auto* report = app.add_subcommand("report", "print a run's table again");
    report->add_option("run", run_a, "run directory")->required();

    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
        // The library only says that a command is missing where it is misspelt.
        if (app.get_subcommands().empty() && argc > 1 && argv[1][0] != '-')
            throw wagesim::InputError("there is no command '" + std::string(argv[1]) +
                                      "' (wagesim --help lists them)");
        return app.exit(error) == 0 ? 0 : exit_bad_input;
    }
    for (const char* option : {"--out", "--wave", "--weights", "--inject"})
        if (run->count(option) > 0 && run->get_option(option)->as<std::string>().empty())
            throw wagesim::InputError(std::string(option) +
                                      ": expected a value, found an empty one");

    if (run->parsed()) {
        if (!window.empty()) parse_window(window, options);
        options.trains = mode == "train";
        return wagesim::app::run(options);
    }
    if (train->parsed()) return wagesim::app::train(training);
    if (compile->parsed())
        return wagesim::app::print_program(network_file, datapath_file, batch, batch_norm, listing);
    if (cycles.parsed()) return cycles.run();
    if (config->parsed()) {
        std::cout << wagesim::to_json(wagesim::read_datapath(preset)) << "\n";
        return 0;
    }
    if (show->parsed()) return wagesim::app::show(run_a, tensor, as);
    if (diff->parsed()) return wagesim::app::diff(run_a, run_b);
    return wagesim::app::print_report(run_a);
}

}  // namespace

int sc_main(int argc, char** argv) {
    try {
        const int status = command_line(argc, argv);
        if (!std::cout.flush()) throw wagesim::HostError("cannot write to standard output");
        return status;
    } catch (const wagesim::InputError& error) {
        std::cerr << "wagesim: " << error.what() << "\n";
        return exit_bad_input;
    } catch (const wagesim::HostError& error) {
        std::cerr << "wagesim: " << error.what() << "\n";
        return exit_host_failed;
    } catch (const std::bad_alloc&) {
        std::cerr << "wagesim: out of memory\n";
        return exit_host_failed;
    } catch (const std::exception& error) {
        std::cerr << "wagesim: internal error: " << error.what() << "\n";
        return exit_finding;
    }
}
