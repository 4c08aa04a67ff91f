// The signals that the control and the memories show.
#include <gtest/gtest.h>

#include <map>
#include <string>

#include "machine_fixture.h"

namespace wagesim::rtl {
namespace {

class Sink : public trace::WaveSink {
public:
    int declare(std::string_view scope, std::string_view name, int, trace::WaveKind,
                trace::WaveDetail) override {
        names.push_back(std::string(scope) + "." + std::string(name));
        return static_cast<int>(names.size()) - 1;
    }
    void change(int id, std::int64_t cycle, std::int64_t value) override {
        put(id, cycle, std::to_string(value));
    }
    void change(int id, std::int64_t cycle, std::string_view text) override {
        put(id, cycle, std::string(text));
    }
    void change_all(std::int64_t cycle, const trace::WaveChange* all, std::size_t count) override {
        for (const auto* one = all; one != all + count; ++one) change(one->id, cycle, one->value);
    }
    void advance(std::int64_t cycle) override { advanced = std::max(advanced, cycle); }
    bool shows(std::int64_t, std::int64_t) const override { return true; }

    /// The signal's value in a cycle.
    std::string at(const std::string& name, std::int64_t cycle) const {
        const auto signal = changes.find(name);
        if (signal == changes.end()) return "never";
        const auto after = signal->second.upper_bound(cycle);
        return after == signal->second.begin() ? "none yet" : std::prev(after)->second;
    }
    std::vector<std::string> names;
    std::map<std::string, std::map<std::int64_t, std::string>> changes;
    std::int64_t advanced = 0;

private:
    void put(int id, std::int64_t cycle, const std::string& value) {
        EXPECT_GE(cycle, advanced);
        changes[names.at(static_cast<std::size_t>(id))][cycle] = value;
    }
};

class WavesTest : public testing::MachineTest {};

TEST_F(WavesTest, ShowSchedulerUnitsPortsAndBus) {
    Sink sink;
    options.wave = &sink;
    config.queue_depth = 1;
    fake();
    host_fills(0, 64);
    const Token loaded = token("loaded", StallCause::dram);
    add_transfer(Unit::dma_read, Space::parameters, 0, 256, 64, {}, {loaded});  // 0..104
    Command& first = add(Unit::vector, 10, 3, {loaded});                        // 104..114
    first.operands = Clear{256, 64};
    add(Unit::vector, 10, 0);  // issued at 104: the queue of one is full before
    add_fence();
    run_fake();

    EXPECT_EQ(sink.at("machine.scheduler.state", 50), "blocked");
    EXPECT_EQ(sink.at("machine.scheduler.state", 110), "fence");
    EXPECT_EQ(sink.at("machine.scheduler.state", 124), "idle");
    EXPECT_EQ(sink.at("machine.scheduler.command", 3), "1");
    EXPECT_EQ(sink.at("machine.scheduler.layer", 3), "10");
    EXPECT_EQ(sink.at("machine.scheduler.tile", 3), "3");

    EXPECT_EQ(sink.at("machine.dma_read.busy", 103), "1");
    EXPECT_EQ(sink.at("machine.dma_read.busy", 104), "0");
    EXPECT_EQ(sink.at("machine.dma_read.opcode", 0), "LOAD");
    EXPECT_EQ(sink.at("machine.vector.stall", 50), "dram");
    EXPECT_EQ(sink.at("machine.vector.stall", 105), "none");
    EXPECT_EQ(sink.at("machine.vector.opcode", 105), "CLEAR");
    EXPECT_EQ(sink.at("machine.vector.command", 105), "1");
    EXPECT_EQ(sink.at("machine.vector.command", 115), "2");
    EXPECT_EQ(sink.at("machine.vector.busy", 114), "1");  // the next follows at once
    EXPECT_EQ(sink.at("machine.vector.busy", 124), "0");

    EXPECT_EQ(sink.at("machine.parameters.write_busy", 50), "1");
    EXPECT_EQ(sink.at("machine.parameters.write_address", 50), "256");
    EXPECT_EQ(sink.at("machine.parameters.write_bytes", 50), "64");
    EXPECT_EQ(sink.at("machine.parameters.write_busy", 115), "0");
    EXPECT_EQ(sink.at("machine.weights.read_busy", 124), "never");

    EXPECT_EQ(sink.at("machine.dram.bus_read", 99), "none yet");
    EXPECT_EQ(sink.at("machine.dram.bus_read", 100), "1");
    EXPECT_EQ(sink.at("machine.dram.bus_read", 104), "0");
    EXPECT_EQ(sink.advanced, 124);
}

}  // namespace
}  // namespace wagesim::rtl
