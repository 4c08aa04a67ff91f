// Data that lag behind time: on a second thread, everything happens in the order of simulated time,
// and errors end the run as they do without it.
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <stdexcept>
#include <thread>

#include "machine_fixture.h"

namespace wagesim::rtl {
namespace {

class EffectsTest : public testing::MachineTest {
protected:
    void SetUp() override {
        options.threads = 2;
        config.queue_depth = 3;
        action = [this](Memories&, const Command&, std::int64_t index) { begun.push_back(index); };
    }
    /// Of all five compute units, busy for 1 to 7 cycles, in parts that end with a FENCE.
    void add_commands(int count) {
        constexpr std::array units{Unit::weight_loader, Unit::array, Unit::drain, Unit::vector,
                                   Unit::update};
        for (int i = 0; i < count; ++i) {
            if (i % 1000 == 999)
                add_fence();
            else
                add(units[static_cast<std::size_t>(i * 7 % 5)], 1 + i * 5 % 7, i % 3);
        }
    }

    std::vector<std::int64_t> begun;
};

TEST_F(EffectsTest, AreInTheOrderOfStarts) {
    add_commands(20000);
    run_fake();
    EXPECT_EQ(recorder.count, 20000);
    ASSERT_EQ(begun.size(), 20000U - 20);  // a FENCE is nobody's
    const auto start = [this](std::int64_t i) { return times(static_cast<std::size_t>(i))[1]; };
    EXPECT_TRUE(std::is_sorted(begun.begin(), begun.end(),
                               [&](auto a, auto b) { return start(a) < start(b); }));
}

TEST_F(EffectsTest, TheProbeHearsOfACommandAfterItsWork) {
    add_commands(3000);
    struct Listener : Probe {
        explicit Listener(const std::vector<std::int64_t>& begun_so_far) : begun(begun_so_far) {}
        void on_tap(const Tap&) override {}
        void on_retired(const Retired& retired) override {
            const bool is_fence = retired.command % 1000 == 999;
            missing += !is_fence && std::count(begun.begin(), begun.end(), retired.command) != 1;
        }
        const std::vector<std::int64_t>& begun;
        int missing = 0;
    } listener(begun);
    fake().run(program, listener);
    EXPECT_EQ(listener.missing, 0);
}

TEST_F(EffectsTest, AFenceWaitsBeforeItForgets) {
    action = [](Memories& memories, const Command& command, std::int64_t) {
        std::this_thread::sleep_for(std::chrono::milliseconds(5));
        if (command.unit == Unit::array) *memories.activations.write(7, 1) = 1;
        if (command.unit == Unit::drain) memories.activations.read(7, 1);
    };
    add(Unit::array, 1, 0);
    for (int i = 0; i < 3; ++i) add(Unit::drain, 10, 0);
    add_fence();
    EXPECT_EQ(error_of_run(), "no MachineError");
    program.commands.clear();
    add(Unit::drain, 1, 0);
    EXPECT_NE(error_of_run().find("activations"), std::string::npos) << "forgotten at the FENCE";
}

TEST_F(EffectsTest, AnErrorEndsTheRunAndWhatComesAfterItDoesNotHappen) {
    add_commands(20000);
    action = [this](Memories&, const Command&, std::int64_t index) {
        if (index == 700) throw MachineError("spoiled");
        begun.push_back(index);
    };
    EXPECT_EQ(error_of_run(), "spoiled");
    const auto before = begun.size();
    EXPECT_GT(before, 600U);
    EXPECT_LT(before, 800U);  // queues: other units are a few commands ahead
    EXPECT_THROW(run_fake(), MachineError);
    EXPECT_EQ(begun.size(), before);
}

TEST_F(EffectsTest, AnErrorOfTheLastCommandIsNotLost) {
    add(Unit::array, 1, 0);
    action = [](Memories&, const Command&, std::int64_t) { throw MachineError("spoiled"); };
    EXPECT_EQ(error_of_run(), "spoiled");
}

TEST_F(EffectsTest, OfTwoErrorsTheEarlierCounts) {
    add(Unit::array, 10, 0);
    add(Unit::vector, 1, 0, {token("never", StallCause::vector)});
    action = [](Memories&, const Command&, std::int64_t) { throw MachineError("spoiled"); };
    EXPECT_EQ(error_of_run(), "spoiled");  // then nothing gives the token
}

TEST_F(EffectsTest, AnExceptionOfTheProbeReachesTheCaller) {
    recorder.throws_at = 1;
    for (int i = 0; i < 3; ++i) add(Unit::array, 10, 0);
    EXPECT_THROW(run_fake(), std::domain_error);
    EXPECT_EQ(recorder.count, 1);
}

TEST_F(EffectsTest, ASecondRunGoesOn) {
    add_commands(500);
    run_fake();
    const auto first = begun.size();
    run_fake();
    EXPECT_EQ(begun.size(), 2 * first);
}

}  // namespace
}  // namespace wagesim::rtl
