// The command `wagesim cycles`: cycles by closed formulas, without a simulation.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace wagesim::app {

/// Registers the command's options with `app`, which then fills them in.
class CyclesCommand {
public:
    explicit CyclesCommand(CLI::App& app);
    CyclesCommand(const CyclesCommand&) = delete;  // the options point at the members
    CyclesCommand& operator=(const CyclesCommand&) = delete;

    bool parsed() const { return command_->parsed(); }
    /// Prints the table; the command's exit status. Throws InputError.
    int run() const;

private:
    struct Swept {
        std::string value, origin;
    };
    /// The values of --sweep by key; none where a key is not swept.
    std::map<std::string, std::vector<Swept>> read_sweeps() const;

    CLI::App* command_;
    std::string workload_, config_, datapath_ = "int8", convention_ = "wagesim", array_, dataflow_,
                                    topology_ = "detect", out_;
    std::vector<std::string> sweeps_;
    std::int64_t batch_ = 1;
    bool json_ = false;
};

}  // namespace wagesim::app
