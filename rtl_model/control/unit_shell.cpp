// What every execution unit has in common: its queue, its tokens, its stalls.
#include "control/unit_shell.h"

#include <algorithm>
#include <iterator>

#include "control/clock.h"

namespace wagesim::rtl {

UnitShell::UnitShell(const sc_core::sc_module_name& name, Unit unit, const UnitServices& services)
    : sc_module(name),
      services_(services),
      unit_(unit),
      stalls_(services.stall_seed, static_cast<std::uint32_t>(unit)) {
    SC_HAS_PROCESS(UnitShell);
    SC_METHOD(run);
    SC_METHOD(hand_out);
    sensitive << due_;
    dont_initialize();
}

std::int64_t UnitShell::now() { return present_cycle(); }

void UnitShell::begin_run(std::int64_t cycle) {
    free_ = cycle;
    busy_cycles_ = 0;
}

std::string UnitShell::waiting() const {
    const Issued* head = commands->head();
    if (head == nullptr) return {};
    const TokenInfo* token = tokens->lacking(head->command->waits);
    return std::string(to_string(unit_)) + ": " + describe(*head) +
           (token == nullptr ? "" : " waits for token '" + token->name + "'");
}

void UnitShell::run() {
    try {
        while (advance()) {
        }
    } catch (...) {
        control->failed(std::current_exception());
    }
}

bool UnitShell::advance() {
    switch (step_) {
        case Step::fetch:
            if (commands->head() == nullptr) {
                next_trigger(commands->pushed());
                return false;
            }
            if (const std::int64_t issue = commands->head()->cycle; issue > now()) {
                next_trigger(cycles(issue - now()));
                return false;
            }
            fetched();
            step_ = Step::tokens;
            return true;
        case Step::tokens:
            if (!has_tokens()) {
                next_trigger(tokens->next_given(unit_));
                return false;
            }
            step_ = Step::start;
            if (const std::int64_t delay = stalls_.draw(4, 8); delay > 0) {
                stall(StallCause::backpressure);
                retired_.stalls[static_cast<std::size_t>(StallCause::backpressure)] += delay;
                next_trigger(cycles(delay));
                return false;
            }
            return true;
        case Step::start:
            start();
            step_ = Step::busy;
            return true;
        case Step::busy:
            if (const std::int64_t until = busy_until(); until > now()) {
                next_trigger(cycles(until - now()));
                return false;
            }
            finish();
            step_ = Step::fetch;
            return true;
    }
    return false;
}

void UnitShell::fetched() {
    current_ = *commands->head();
    retired_ = Retired{};
    retired_.command = current_.index;
    retired_.issued = current_.cycle;
    retired_.stalls[static_cast<std::size_t>(StallCause::control)] =
        std::max<std::int64_t>(0, current_.cycle - free_);
}

bool UnitShell::has_tokens() {
    if (lacking_) retired_.stalls[static_cast<std::size_t>(*lacking_)] += now() - lacking_since_;
    const TokenInfo* token = tokens->lacking(current_.command->waits);
    lacking_.reset();
    if (token == nullptr) return true;
    lacking_ = token->cause;
    lacking_since_ = now();
    stall(token->cause);
    return false;
}

void UnitShell::start() {
    const Command& command = *current_.command;
    tokens->take(command.waits);
    commands->pop();
    retired_.started = now();
    find_accesses(command, services_.config, accesses_);
    count(command);
    if (services_.waves != nullptr) {
        services_.waves->stalled(unit_, now(), "none");
        services_.waves->started(unit_, now(), current_.index, command, accesses_);
    }
    begin(current_);
}

void UnitShell::count(const Command& command) {
    for (const Access& access : accesses_) {
        auto& bytes = access.is_write ? retired_.bytes_written : retired_.bytes_read;
        bytes[static_cast<std::size_t>(access.space)] += access.bytes;
    }
    const PeSlots slots = slots_of(command, services_.config);
    retired_.macs = slots.macs;
    retired_.padding_slots = slots.padding;
}

void UnitShell::finish() {
    end(current_);
    free_ = now();
    busy_cycles_ += free_ - retired_.started;
    if (services_.waves != nullptr) {
        services_.waves->ended(unit_, free_);
        services_.waves->stalled(unit_, free_, to_string(StallCause::control));
    }
    hand_out();
}

void UnitShell::stall(StallCause cause) {
    if (services_.waves != nullptr) services_.waves->stalled(unit_, now(), to_string(cause));
}

void UnitShell::complete_at(std::int64_t free, std::int64_t latency) {
    retired_.busy = free - retired_.started;
    retired_.finished = free + latency;
    Gift& gift = gift_at(retired_.finished, latency > 0);  // without: finish() hands it out
    gift.tokens = &current_.command->gives;
    gift.retires = true;
    gift.retired = retired_;
}

void UnitShell::give_at(std::int64_t cycle, const Tokens& tokens_given) {
    gift_at(cycle, true).tokens = &tokens_given;
}

UnitShell::Gift& UnitShell::gift_at(std::int64_t cycle, bool needs_event) {
    auto place = gifts_.end();
    while (place != gifts_.begin() && std::prev(place)->cycle > cycle) --place;
    const bool is_first = place == gifts_.begin();
    place = gifts_.emplace(place);
    place->cycle = cycle;
    if (is_first && needs_event) due_.notify(cycles(cycle - now()));
    return *place;
}

void UnitShell::hand_out() {
    try {
        while (!gifts_.empty() && gifts_.front().cycle <= now()) {
            settle();
            const Gift& gift = gifts_.front();
            tokens->give(*gift.tokens);
            if (gift.retires) control->retired(gift.retired);
            gifts_.pop_front();
        }
        if (!gifts_.empty()) due_.notify(cycles(gifts_.front().cycle - now()));
    } catch (...) {
        control->failed(std::current_exception());
    }
}

ComputeUnit::ComputeUnit(const sc_core::sc_module_name& name, Unit unit,
                         const UnitServices& services, Executor& executor)
    : UnitShell(name, unit, services), executor_(executor) {
    if (executor_.quantum() == 0) return;
    SC_HAS_PROCESS(ComputeUnit);
    SC_METHOD(clock);
    sensitive << begun_;
    dont_initialize();
}

void ComputeUnit::begin(const Issued& issued) {
    const std::int64_t start = now();
    const Work work = executor_.duration(*issued.command);
    services_.effects.happens(
        Effects::Start{&executor_, issued.command, issued.index, start, work});
    until_ = start + work.busy;
    services_.claims.claim(unit_, issued, accesses_, start, until_);
    if (const auto* gemm = std::get_if<Gemm>(&issued.command->operands))
        if (!gemm->gives_at_swap.empty()) give_at(start + work.swap, gemm->gives_at_swap);
    done_ = until_ + work.latency;
    complete_at(until_, work.latency);
    if (executor_.quantum() > 0 && !clocked_) begun_.notify(sc_core::SC_ZERO_TIME);
    clocked_ = executor_.quantum() > 0;
}

/// The unit's own clock, asleep while no command runs.
void ComputeUnit::clock() {
    try {
        executor_.settle(now());
    } catch (...) {
        control->failed(std::current_exception());
    }
    clocked_ = now() < done_;
    if (clocked_) next_trigger(cycles(std::min<std::int64_t>(executor_.quantum(), done_ - now())));
}

}  // namespace wagesim::rtl
