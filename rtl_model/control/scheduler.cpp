// The layer scheduler: issues a program's commands in order into the units' queues.
#include "control/scheduler.h"

#include <algorithm>

#include "control/clock.h"

namespace wagesim::rtl {

Scheduler::Scheduler(const sc_core::sc_module_name& name, const MachineConfig& config,
                     Memories& memories, Effects& effects, TokenFile& tokens, Waves* waves)
    : sc_module(name),
      issue_cycles_(config.issue_cycles),
      memories_(memories),
      effects_(effects),
      tokens_(tokens),
      waves_(waves) {
    control.bind(*this);
    SC_HAS_PROCESS(Scheduler);
    SC_METHOD(run);
}

void Scheduler::load(const Program& program) {
    program_ = &program;
    next_ = 0;
    done_ = {};
    tokens_.load(program);
    earliest_ = present_cycle();
    loaded_.notify(sc_core::SC_ZERO_TIME);
}

void Scheduler::run() {
    try {
        while (advance()) {
        }
    } catch (...) {
        failed(std::current_exception());
    }
}

/// A command whose queue has room is issued in its cycle whatever happens until then: it is pushed
/// ahead of time, except where waves show the scheduler.
bool Scheduler::advance() {
    if (program_ == nullptr) {
        next_trigger(loaded_);
        return false;
    }
    const bool at_end = next_ == program_->size();
    const std::int64_t now = present_cycle();
    const Command* command = at_end ? nullptr : &program_->at(next_);
    if (at_end || std::holds_alternative<Fence>(command->operands)) {
        if (!at_end && !comes(earliest_)) return false;
        if (outstanding_ > 0) {
            show(Waves::State::fence);
            next_trigger(idle_);
            return false;
        }
        if (at_end) {
            show(Waves::State::idle);
            program_ = nullptr;
            sc_core::sc_pause();
            return true;
        }
        tokens_.admit(*command, next_);
        execute_fence();
        issued(*command, now);
        return true;
    }
    if (waves_ != nullptr && !comes(earliest_)) return false;
    auto& queue = queues[static_cast<std::size_t>(command->unit)];
    if (!queue->has_room()) {
        show(Waves::State::blocked);
        next_trigger(queue->room_made());
        return false;
    }
    tokens_.admit(*command, next_);
    ++outstanding_;
    const std::int64_t cycle = std::max(now, earliest_);
    queue->push({command, static_cast<std::int64_t>(next_), cycle});
    issued(*command, cycle);
    return true;
}

bool Scheduler::comes(std::int64_t cycle) {
    const std::int64_t now = present_cycle();
    if (now >= cycle) return true;
    show(Waves::State::issue);
    next_trigger(cycles(cycle - now));
    return false;
}

void Scheduler::issued(const Command& command, std::int64_t cycle) {
    if (waves_ != nullptr) waves_->issued(cycle, static_cast<std::int64_t>(next_), command);
    ++next_;
    last_progress_ = cycle;
    earliest_ = cycle + issue_cycles_;
}

void Scheduler::execute_fence() {
    effects_.settle();
    memories_.forget();
    Retired fence;
    fence.command = static_cast<std::int64_t>(next_);
    fence.issued = fence.started = fence.finished = present_cycle();
    effects_.happens(fence);
}

void Scheduler::retired(const Retired& retired) {
    last_progress_ = std::max(last_progress_, present_cycle());
    for (std::size_t space = 0; space < space_count; ++space) {
        done_.bytes_read[space] += retired.bytes_read[space];
        done_.bytes_written[space] += retired.bytes_written[space];
    }
    done_.macs += retired.macs;
    done_.padding_slots += retired.padding_slots;
    if (--outstanding_ == 0) idle_.notify(sc_core::SC_ZERO_TIME);
    effects_.happens(retired);
}

void Scheduler::failed(std::exception_ptr error) {
    if (error_ == nullptr) error_ = error;
    sc_core::sc_pause();
}

void Scheduler::show(Waves::State state) {
    if (waves_ != nullptr) waves_->scheduler(present_cycle(), state);
}

std::string Scheduler::waiting() const {
    if (program_ == nullptr || next_ == program_->size()) return {};
    const Command& command = program_->at(next_);
    const std::string what =
        "scheduler: command " + std::to_string(next_) + " " + mnemonic(command) + " waits for ";
    if (std::holds_alternative<Fence>(command.operands))
        return what + std::to_string(outstanding_) + " commands to be done";
    return what + "room in the queue of " + std::string(to_string(command.unit));
}

}  // namespace wagesim::rtl
