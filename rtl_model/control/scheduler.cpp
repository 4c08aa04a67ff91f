// The layer scheduler: issues a program's commands in order into the units' queues.
#include "control/scheduler.h"

#include "control/clock.h"

namespace wagesim::rtl {

Scheduler::Scheduler(const sc_core::sc_module_name& name, const MachineConfig& config,
                     Memories& memories, Watch& watch, Waves* waves)
    : sc_module(name),
      issue_cycles_(config.issue_cycles),
      memories_(memories),
      watch_(watch),
      waves_(waves) {
    control.bind(*this);
    SC_HAS_PROCESS(Scheduler);
    SC_THREAD(run);
    set_stack_size(thread_stack_bytes);
}

void Scheduler::load(const Program& program) {
    program_ = &program;
    next_ = 0;
    loaded_.notify(sc_core::SC_ZERO_TIME);
}

void Scheduler::run() {
    for (;;) {
        while (program_ == nullptr) wait(loaded_);
        try {
            run_program();
        } catch (const sc_core::sc_unwind_exception&) {
            throw;
        } catch (...) {
            failed(std::current_exception());
        }
        program_ = nullptr;
        sc_core::sc_pause();
    }
}

void Scheduler::run_program() {
    std::int64_t earliest = present_cycle();
    for (next_ = 0; next_ < program_->commands.size(); ++next_) {
        show(Waves::State::issue);
        if (present_cycle() < earliest) wait(cycles(earliest - present_cycle()));
        const Command& command = program_->commands[next_];
        const auto index = static_cast<std::int64_t>(next_);
        if (std::holds_alternative<Fence>(command.operands)) {
            show(Waves::State::fence);
            wait_until_idle();
            memories_.forget();
            if (watch_.probe != nullptr) {
                const std::int64_t now = present_cycle();
                watch_.probe->on_retired({index, now, now, now, {}});
            }
        } else {
            auto& queue = queues[static_cast<std::size_t>(command.unit)];
            while (!queue->has_room()) {
                show(Waves::State::blocked);
                wait(queue->room_made());
            }
            ++outstanding_;
            queue->push({&command, index, present_cycle()});
        }
        if (waves_ != nullptr) waves_->issued(present_cycle(), index, command);
        last_progress_ = present_cycle();
        earliest = last_progress_ + issue_cycles_;
    }
    show(Waves::State::fence);
    wait_until_idle();
    show(Waves::State::idle);
}

void Scheduler::wait_until_idle() {
    while (outstanding_ > 0) wait(idle_);
}

void Scheduler::retired(const Retired& retired) {
    last_progress_ = present_cycle();
    if (--outstanding_ == 0) idle_.notify(sc_core::SC_ZERO_TIME);
    if (watch_.probe != nullptr) watch_.probe->on_retired(retired);
}

void Scheduler::failed(std::exception_ptr error) {
    if (error_ == nullptr) error_ = error;
    sc_core::sc_pause();
}

void Scheduler::show(Waves::State state) {
    if (waves_ != nullptr) waves_->scheduler(present_cycle(), state);
}

std::string Scheduler::waiting() const {
    if (program_ == nullptr || next_ == program_->commands.size()) return {};
    const Command& command = program_->commands[next_];
    const std::string what =
        "scheduler: command " + std::to_string(next_) + " " + mnemonic(command) + " waits for ";
    if (std::holds_alternative<Fence>(command.operands))
        return what + std::to_string(outstanding_) + " commands to be done";
    return what + "room in the queue of " + std::string(to_string(command.unit));
}

}  // namespace wagesim::rtl
