// The whole accelerator: scheduler, seven units, their memories and the Dram.
#include "machine.h"

#include <algorithm>
#include <cstring>

#include "control/clock.h"
#include "wagesim/error.h"

namespace wagesim::rtl {

Machine::Machine(const sc_core::sc_module_name& name, const MachineConfig& config,
                 const MachineOptions& options, const ExecutorFactory& make_executors)
    : sc_module(name),
      config_(config),
      injection_(options.injection),
      memories_(config_),
      claims_(config_),
      waves_(options.wave == nullptr ? nullptr : std::make_unique<Waves>(*options.wave)),
      watch_{nullptr, waves_.get()},
      executors_(make_executors(config_, options, memories_, watch_)),
      effects_(memories_, watch_,
               options.threads > 1 && options.fidelity == Fidelity::tile && waves_ == nullptr &&
                   !injection_),
      dram_("dram", config_, options.stall_seed),
      tokens_("tokens"),
      scheduler_("scheduler", config_, memories_, effects_, tokens_, waves_.get()),
      flip_watch_(memories_.actor, injection_ ? injection_->address : 0) {
    const UnitServices services{config_, effects_, claims_, waves_.get(), options.stall_seed};
    const std::array<Executor*, unit_count> executors{nullptr,
                                                      nullptr,
                                                      executors_.weight_loader.get(),
                                                      executors_.array.get(),
                                                      executors_.drain.get(),
                                                      executors_.vector.get(),
                                                      executors_.update.get()};
    for (int i = 0; i < unit_count; ++i) {
        const auto unit = static_cast<Unit>(i);
        const std::string title(to_string(unit));
        queues_.push_back(
            std::make_unique<CommandQueue>((title + "_queue").c_str(), config_.queue_depth));
        if (unit == Unit::dma_read || unit == Unit::dma_write) {
            const bool reads = unit == Unit::dma_read;
            auto dma = std::make_unique<DmaUnit>(
                title.c_str(), reads ? DramSide::read : DramSide::write, services, memories_);
            dma->dram(dram_);
            (reads ? dma_read_ : dma_write_) = dma.get();
            units_.push_back(std::move(dma));
        } else {
            units_.push_back(std::make_unique<ComputeUnit>(
                title.c_str(), unit, services, *executors[static_cast<std::size_t>(i)]));
        }
        scheduler_.queues[static_cast<std::size_t>(i)](*queues_.back());
        units_.back()->commands(*queues_.back());
        units_.back()->tokens(tokens_);
        units_.back()->control(scheduler_.control);
    }
    if (waves_ != nullptr) {
        waves_->array_lags = [this](std::int64_t cycle) { executors_.array->settle(cycle); };
        waves_->bus_lags = [this](std::int64_t cycle) { dram_.bus().settle(cycle); };
        dram_.bus().show_grants([this](DramSide side, std::int64_t first, std::int64_t end) {
            waves_->bus(side, first, end);
        });
    }
    if (injection_) {
        SC_HAS_PROCESS(Machine);
        SC_METHOD(inject);
        sensitive << injection_due_;
        dont_initialize();
        if (injection_->cycle > 0) injection_due_.notify(before_cycle(injection_->cycle));
    }
}

Machine::~Machine() = default;

std::int64_t Machine::cycle() const { return present_cycle(); }

void Machine::reserve_dram(std::int64_t bytes) {
    if (bytes > config_.dram_bytes)
        throw InputError("machine.dram_bytes: the program needs " + std::to_string(bytes) +
                         " bytes of Dram, but there are " + std::to_string(config_.dram_bytes));
    dram_.image().reserve(bytes);
}

void Machine::write_dram(std::int64_t address, const std::uint8_t* data, std::int64_t bytes) {
    memories_.actor = {-1, present_cycle()};
    std::uint8_t* to = dram_.image().write(address, bytes);
    if (bytes > 0) std::memcpy(to, data, static_cast<std::size_t>(bytes));
}

void Machine::read_dram(std::int64_t address, std::uint8_t* data, std::int64_t bytes) const {
    memories_.actor = {-1, present_cycle()};
    const std::uint8_t* from = dram_.image().read(address, bytes);
    if (bytes > 0) std::memcpy(data, from, static_cast<std::size_t>(bytes));
}

Machine::Totals Machine::run(const Program& program, Probe& probe, const StepRegisters& step) {
    if (failed_) throw MachineError("the machine failed in an earlier run");
    reserve_dram(program.dram_bytes);
    memories_.step = step;

    Totals totals;
    totals.dram_read_bursts = -dma_read_->bursts();
    totals.dram_write_bursts = -dma_write_->bursts();

    const auto pe_operations = [this] {
        return executors_.pe_operations ? executors_.pe_operations() : 0;
    };
    totals.pe_operations = -pe_operations();

    const std::int64_t begin = present_cycle();
    for (auto& unit : units_) unit->begin_run(begin);
    if (injection_ && injection_->cycle == 0 && !injection_reached_) inject();
    watch_.probe = &probe;
    scheduler_.load(program);
    sc_core::sc_start();  // to the scheduler's pause, or until nothing can happen any more
    std::exception_ptr error = scheduler_.error();
    try {
        effects_.settle();
    } catch (...) {
        error = std::current_exception();  // it lags behind: it came first
    }
    watch_.probe = nullptr;
    dram_.bus().settle(present_cycle());
    if (waves_ != nullptr) waves_->advance(present_cycle());
    note_first_touch(program);

    failed_ = error != nullptr || !scheduler_.finished();
    if (error != nullptr) std::rethrow_exception(error);
    if (!scheduler_.finished()) throw MachineError(deadlock());

    totals.cycles = present_cycle() - begin;
    const Retired& done = scheduler_.done();
    totals.macs = done.macs;
    totals.padding_slots = done.padding_slots;
    totals.bytes_read = done.bytes_read;
    totals.bytes_written = done.bytes_written;
    totals.dram_read_bytes = done.bytes_read[static_cast<std::size_t>(Space::dram)];
    totals.dram_write_bytes = done.bytes_written[static_cast<std::size_t>(Space::dram)];
    totals.pe_operations += pe_operations();
    totals.dram_read_bursts += dma_read_->bursts();
    totals.dram_write_bursts += dma_write_->bursts();
    for (std::size_t i = 0; i < units_.size(); ++i) totals.busy[i] = units_[i]->busy_cycles();
    return totals;
}

std::string Machine::deadlock() const {
    std::string text = "the program cannot end: nothing can happen after cycle " +
                       std::to_string(scheduler_.last_progress());
    const auto add = [&text](const std::string& line) {
        if (!line.empty()) text += "\n  " + line;
    };
    add(scheduler_.waiting());
    for (const auto& unit : units_) add(unit->waiting());
    return text;
}

void Machine::inject() {
    injection_reached_ = true;
    try {
        executors_.array->settle(injection_->cycle);
    } catch (...) {
        scheduler_.control->failed(std::current_exception());
        return;
    }
    const std::int64_t address = injection_->address;
    const auto flip = [&](auto& memory, std::int64_t watched) {
        injection_hit_ = memory.flip(address, injection_->bit);
        flip_watch_ = FlipWatch(memories_.actor, watched);
        if (injection_hit_) memory.watch(&flip_watch_);
    };
    switch (injection_->space) {
        case Space::dram:
            flip(dram_.image(), address);
            break;
        case Space::weights:
            flip(memories_.weights, address);
            break;
        case Space::activations:
            flip(memories_.activations, address);
            break;
        case Space::parameters:
            flip(memories_.parameters, address);
            break;
        case Space::accumulators:
            flip(memories_.accumulators, address / Accumulators::bytes_per_element);
            break;
    }
}

// Indices are of the run's own program: they become words before the next run.
void Machine::note_first_touch(const Program& program) {
    const Actor& by = flip_watch_.by();
    if (flip_watch_.state() == FlipWatch::State::unread || !first_touch_.empty()) return;
    if (by.command < 0) return;
    first_touch_ = "command " + std::to_string(by.command) + " " +
                   mnemonic(program.at(static_cast<std::size_t>(by.command)));
}

std::optional<InjectionFate> Machine::fate() const {
    if (!injection_) return std::nullopt;
    const std::string place = "byte " + std::to_string(injection_->address) + " of " +
                              std::string(to_string(injection_->space));
    const std::string cycle = "cycle " + std::to_string(injection_->cycle);
    if (!injection_reached_)
        return InjectionFate{false, cycle + " was not reached: the program ended at cycle " +
                                        std::to_string(present_cycle())};
    if (!injection_hit_) return InjectionFate{false, place + " held no data in " + cycle};
    const Actor& by = flip_watch_.by();
    const std::string who =
        (by.command < 0 ? "the host" : first_touch_) + " in cycle " + std::to_string(by.cycle);
    switch (flip_watch_.state()) {
        case FlipWatch::State::unread:
            break;
        case FlipWatch::State::overwritten:
            return InjectionFate{true,
                                 place + " was overwritten by " + who + " before anyone read it"};
        case FlipWatch::State::read: {
            const std::int64_t more = flip_watch_.further_readers();
            return InjectionFate{
                true, place + " was first read by " + who +
                          (more == 0 ? "" : ", then by " + std::to_string(more) + " more")};
        }
    }
    return InjectionFate{
        true, place + (flip_watch_.gone() ? " was forgotten at a FENCE before anyone read it"
                                          : " was never read again")};
}

}  // namespace wagesim::rtl
