// A machine whose compute units do what a test tells them, and one that records what happens.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <systemc>
#include <utility>
#include <vector>

#include "machine.h"

namespace wagesim::rtl::testing {

/// Does as the command's numbers say: busy `layer` cycles, latency `tile`, swap after R + C - 1.
/// `action` sees every command at its start.
class FakeUnit : public Executor {
public:
    using Action = std::function<void(Memories&, const Command&, std::int64_t index)>;
    FakeUnit(Memories& memories, const Action& action) : memories_(memories), action_(action) {}
    Work duration(const Command& command) const override {
        return {command.layer, command.tile, 31};
    }
    void execute(const Command& command, std::int64_t index, std::int64_t, const Work&) override {
        if (action_) action_(memories_, command, index);
    }

private:
    Memories& memories_;
    const Action& action_;
};

class Recorder : public Probe {
public:
    void on_tap(const Tap&) override {}
    void on_retired(const Retired& retired) override {
        if (throws_at == retired.command) throw std::domain_error("the probe's own");
        const auto i = static_cast<std::size_t>(retired.command);
        if (by_command.size() <= i) by_command.resize(i + 1);
        by_command[i] = retired;
        ++count;
    }
    std::vector<Retired> by_command;
    std::int64_t count = 0, throws_at = -1;
};

/// Every test here is a process of its own (SystemC elaborates once); any SystemC report of a
/// warning or worse fails it.
class MachineTest : public ::testing::Test {
protected:
    void TearDown() override {
        EXPECT_EQ(sc_core::sc_report_handler::get_count(sc_core::SC_WARNING), 0);
        EXPECT_EQ(sc_core::sc_report_handler::get_count(sc_core::SC_ERROR), 0);
    }

    /// With fake compute units; the Dmas are real.
    Machine& fake() {
        if (machine_ == nullptr)
            machine_ = std::make_unique<Machine>(
                "machine", config, options,
                [this](const MachineConfig&, const MachineOptions&, Memories& memories, Watch&) {
                    const auto unit = [&] { return std::make_unique<FakeUnit>(memories, action); };
                    Executors executors;
                    executors.weight_loader = unit();
                    executors.array = unit();
                    executors.drain = unit();
                    executors.vector = unit();
                    executors.update = unit();
                    return executors;
                });
        return *machine_;
    }
    Machine& real() {
        if (machine_ == nullptr) machine_ = std::make_unique<Machine>("machine", config, options);
        return *machine_;
    }
    Machine::Totals run_fake() { return fake().run(program, recorder); }

    Token token(std::string name, StallCause cause, int initial = 0) {
        program.tokens.push_back({std::move(name), cause, initial});
        return static_cast<Token>(program.tokens.size() - 1);
    }
    /// A command of a fake unit. Its operands touch no memory that has banks.
    Command& add(Unit unit, std::int32_t busy, std::int32_t latency, Tokens waits = {},
                 Tokens gives = {}) {
        Command command;
        command.unit = unit;
        command.layer = busy;
        command.tile = latency;
        command.operands = Clear{};
        command.waits = std::move(waits);
        command.gives = std::move(gives);
        program.commands.push_back(command);
        return program.commands.back();
    }
    /// A one-run LOAD (dma_read) or STORE (dma_write).
    Command& add_transfer(Unit unit, Space space, std::int64_t dram_address,
                          std::int64_t buffer_address, std::int64_t bytes, Tokens waits = {},
                          Tokens gives = {}) {
        Command& command = add(unit, 0, 0, std::move(waits), std::move(gives));
        Transfer transfer;
        transfer.buffer = space;
        transfer.dram_address = dram_address;
        transfer.buffer_address = buffer_address;
        transfer.run_bytes = bytes;
        command.operands = transfer;
        return command;
    }
    void add_fence() {
        program.commands.emplace_back();
        program.commands.back().operands = Fence{};
    }
    void host_fills(std::int64_t address, std::int64_t bytes) {
        std::vector<std::uint8_t> data(static_cast<std::size_t>(bytes));
        for (std::size_t i = 0; i < data.size(); ++i)
            data[i] = pattern(address + static_cast<std::int64_t>(i));
        machine_->write_dram(address, data.data(), bytes);
    }
    static std::uint8_t pattern(std::int64_t address) {
        return static_cast<std::uint8_t>(address * 37 + 11);
    }

    /// issue, start, end of a command.
    using Times = std::array<std::int64_t, 3>;
    Times times(std::size_t command) const {
        const Retired& r = recorder.by_command.at(command);
        return {r.issued, r.started, r.finished};
    }
    std::int64_t stall(std::size_t command, StallCause cause) const {
        return recorder.by_command.at(command).stalls[static_cast<std::size_t>(cause)];
    }
    std::string error_of_run() {
        try {
            run_fake();
        } catch (const MachineError& error) {
            return error.what();
        }
        return "no MachineError";
    }

    MachineConfig config;
    MachineOptions options;
    FakeUnit::Action action;
    Program program;
    Recorder recorder;
    std::unique_ptr<Machine> machine_;
};

}  // namespace wagesim::rtl::testing
