// The layer scheduler: issues a program's commands in order into the units' queues.
#pragma once

#include <cstdint>
#include <exception>
#include <string>
#include <systemc>

#include "buffer/memories.h"
#include "control/effects.h"
#include "control/interfaces.h"
#include "control/token_file.h"
#include "control/waves.h"

namespace wagesim::rtl {

/// One command every `issue_cycles` [assumed], in program order, each when its unit's queue has
/// room; a FENCE when every unit is idle (docs/cycles.md). Pauses the simulation when the
/// program's last command is done, or a unit failed.
class Scheduler : public sc_core::sc_module, private ControlPort {
public:
    sc_core::sc_vector<sc_core::sc_port<CommandSink>> queues{"queues", unit_count};
    sc_core::sc_export<ControlPort> control{"control"};

    Scheduler(const sc_core::sc_module_name& name, const MachineConfig& config, Memories& memories,
              Effects& effects, TokenFile& tokens, Waves* waves);

    /// The next sc_start runs this program, which must live until then.
    void load(const Program& program);
    bool finished() const { return program_ == nullptr; }
    std::exception_ptr error() const { return error_; }
    /// The last cycle in which a command was issued or done.
    std::int64_t last_progress() const { return last_progress_; }
    /// Sums over the commands of the program that are done.
    const Retired& done() const { return done_; }
    /// What it waits for, for the message of a program that cannot end.
    std::string waiting() const;

private:
    void run();
    bool advance();                  // false: it waits, and a next_trigger is set
    bool comes(std::int64_t cycle);  // likewise
    void issued(const Command& command, std::int64_t cycle);
    void execute_fence();
    void retired(const Retired& retired) override;
    void failed(std::exception_ptr error) override;
    void show(Waves::State state);

    const std::int64_t issue_cycles_;
    Memories& memories_;
    Effects& effects_;
    TokenFile& tokens_;
    Waves* const waves_;

    const Program* program_ = nullptr;
    std::size_t next_ = 0;          // the command to issue
    std::int64_t earliest_ = 0;     // cycle of its issue
    std::int64_t outstanding_ = 0;  // issued and not done
    std::int64_t last_progress_ = 0;
    Retired done_;
    std::exception_ptr error_;
    sc_core::sc_event loaded_{"loaded"}, idle_{"idle"};
};

}  // namespace wagesim::rtl
