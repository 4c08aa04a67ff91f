// Issue, queues, tokens, fences: cycles worked out by hand from docs/cycles.md, a command's life.
#include <gtest/gtest.h>

#include "machine_fixture.h"
#include "wagesim/error.h"

namespace wagesim::rtl {
namespace {

class ControlTest : public testing::MachineTest {};

constexpr auto has = ::std::string::npos;

TEST_F(ControlTest, IssuesACommandEveryTwoCycles) {
    add(Unit::array, 10, 3);
    add(Unit::drain, 10, 3);
    add(Unit::vector, 10, 3);
    EXPECT_EQ(run_fake().cycles, 17);
    EXPECT_EQ(times(0), (Times{0, 0, 13}));
    EXPECT_EQ(recorder.by_command[0].busy, 10);
    EXPECT_EQ(times(1), (Times{2, 2, 15}));
    EXPECT_EQ(times(2), (Times{4, 4, 17}));
}

TEST_F(ControlTest, StartsTheNextCommandOfAUnitWhenItIsFreeNotWhenItIsDone) {
    for (int i = 0; i < 3; ++i) add(Unit::array, 10, 3);
    const Machine::Totals totals = run_fake();
    EXPECT_EQ(times(1), (Times{2, 10, 23}));
    EXPECT_EQ(times(2), (Times{4, 20, 33}));
    EXPECT_EQ(totals.cycles, 33);
    EXPECT_EQ(totals.busy[static_cast<std::size_t>(Unit::array)], 30);
}

TEST_F(ControlTest, AQueueOfOneHoldsTheSchedulerUntilItsCommandStarts) {
    config.queue_depth = 1;
    for (int i = 0; i < 4; ++i) add(Unit::array, 10, 0);
    add(Unit::vector, 1, 0);
    EXPECT_EQ(run_fake().cycles, 40);
    EXPECT_EQ(times(1), (Times{2, 10, 20}));
    EXPECT_EQ(times(2), (Times{10, 20, 30}));  // entry free again in cycle 10
    EXPECT_EQ(times(3), (Times{20, 30, 40}));
    EXPECT_EQ(times(4), (Times{22, 22, 23}));  // in order: it waits behind
}

TEST_F(ControlTest, AQueueOfTwoTakesOneMore) {
    config.queue_depth = 2;
    for (int i = 0; i < 4; ++i) add(Unit::array, 10, 0);
    EXPECT_EQ(run_fake().cycles, 40);
    EXPECT_EQ(times(2), (Times{4, 20, 30}));
    EXPECT_EQ(times(3), (Times{10, 30, 40}));
}

TEST_F(ControlTest, OtherIssueIntervals) {
    config.issue_cycles = 5;
    add(Unit::array, 1, 0);
    add(Unit::drain, 1, 0);
    add(Unit::array, 1, 0);
    EXPECT_EQ(run_fake().cycles, 11);
    EXPECT_EQ(times(2), (Times{10, 10, 11}));
    EXPECT_EQ(stall(2, StallCause::control), 9);  // free since 1, nothing issued
}

TEST_F(ControlTest, ATokenArrivesWhenItsGiverIsDone) {
    const Token sums = token("sums", StallCause::accumulator);
    add(Unit::array, 10, 31, {}, {sums});
    add(Unit::drain, 5, 1, {sums});
    EXPECT_EQ(run_fake().cycles, 47);
    EXPECT_EQ(times(1), (Times{2, 41, 47}));
    EXPECT_EQ(stall(1, StallCause::accumulator), 39);
    EXPECT_EQ(stall(1, StallCause::control), 2);
}

TEST_F(ControlTest, ResultsOfALaterCommandMayComeBeforeAnEarlierOnes) {
    // Done at 11 + 50 and at 20 + 1: the second giver's token is there first.
    const Token slow = token("slow", StallCause::vector), fast = token("fast", StallCause::vector);
    add(Unit::vector, 10, 50, {}, {slow});
    add(Unit::vector, 10, 1, {}, {fast});
    add(Unit::dma_write, 0, 0, {fast}).operands = Transfer{};
    add(Unit::drain, 1, 0, {slow});
    EXPECT_EQ(run_fake().cycles, 61);
    EXPECT_EQ(times(2)[1], 21);
    EXPECT_EQ(times(3)[1], 60);
}

TEST_F(ControlTest, DoubleBufferingLetsTheProducerRunTwoAhead) {
    const Token room = token("room", StallCause::dram, 2);
    const Token data = token("data", StallCause::weights);
    for (int i = 0; i < 3; ++i) {
        add(Unit::weight_loader, 5, 0, {room}, {data});
        add(Unit::array, 20, 0, {data}, {room});
    }
    // Issued at 0, 2, 4, 6, 8, 10.
    EXPECT_EQ(run_fake().cycles, 65);
    EXPECT_EQ(times(0), (Times{0, 0, 5}));
    EXPECT_EQ(times(2), (Times{4, 5, 10}));
    EXPECT_EQ(times(4), (Times{8, 25, 30}));
    EXPECT_EQ(times(1), (Times{2, 5, 25}));
    EXPECT_EQ(times(3), (Times{6, 25, 45}));
    EXPECT_EQ(times(5), (Times{10, 45, 65}));
    EXPECT_EQ(stall(4, StallCause::dram), 15);  // ready at 10
    EXPECT_EQ(stall(1, StallCause::weights), 3);
    EXPECT_EQ(stall(3, StallCause::weights), 0);
}

TEST_F(ControlTest, AStallCountsForTheFirstTokenLacking) {
    const Token weights = token("w", StallCause::weights);
    const Token input = token("x", StallCause::activations);
    add(Unit::weight_loader, 20, 0, {}, {weights});
    add(Unit::vector, 50, 0, {}, {input});  // 2..52
    add(Unit::array, 1, 0, {weights, input});
    run_fake();
    EXPECT_EQ(times(2), (Times{4, 52, 53}));
    EXPECT_EQ(stall(2, StallCause::weights), 16);
    EXPECT_EQ(stall(2, StallCause::activations), 32);
    EXPECT_EQ(stall(2, StallCause::control), 4);
}

TEST_F(ControlTest, ACommandMayTakeATokenTwice) {
    const Token sums = token("sums", StallCause::accumulator);
    add(Unit::array, 10, 0, {}, {sums});
    add(Unit::array, 10, 0, {}, {sums});
    add(Unit::drain, 1, 0, {sums, sums});
    run_fake();
    EXPECT_EQ(times(2)[1], 20);
}

TEST_F(ControlTest, TheShadowRegistersAreFreeBeforeTheGemmIsDone) {
    const Token loaded = token("loaded", StallCause::weights);
    const Token free = token("free", StallCause::weights, 1);
    for (int i = 0; i < 2; ++i) {
        add(Unit::weight_loader, 16, 0, {free}, {loaded});
        Gemm gemm;
        gemm.gives_at_swap = {free};
        add(Unit::array, 100, 31, {loaded}).operands = gemm;
    }
    EXPECT_EQ(run_fake().cycles, 16 + 200 + 31);
    EXPECT_EQ(times(1), (Times{2, 16, 147}));
    EXPECT_EQ(times(2), (Times{4, 47, 63}));  // 16 + 31
    EXPECT_EQ(times(3), (Times{6, 116, 247}));
}

TEST_F(ControlTest, AFenceWaitsForEveryUnit) {
    add(Unit::array, 10, 31);
    add(Unit::vector, 5, 0);
    add_fence();
    add(Unit::vector, 1, 0);
    EXPECT_EQ(run_fake().cycles, 44);
    EXPECT_EQ(times(2), (Times{41, 41, 41}));
    EXPECT_EQ(times(3), (Times{43, 43, 44}));
}

TEST_F(ControlTest, AProgramMayEndWithAFence) {
    add(Unit::vector, 1, 0);
    add_fence();
    add_fence();
    EXPECT_EQ(run_fake().cycles, 4);  // 0, then 2, then 4
    EXPECT_EQ(recorder.count, 3);
}

TEST_F(ControlTest, AnEmptyProgramTakesNoTime) { EXPECT_EQ(run_fake().cycles, 0); }

TEST_F(ControlTest, AFenceForgetsTheBuffers) {
    action = [](Memories& memories, const Command&, std::int64_t index) {
        if (index == 0) {
            *memories.activations.write(7, 1) = 1;
            memories.accumulators.start(0, 1, nullptr);
        } else if (index == 1) {
            memories.activations.read(7, 1);
            memories.accumulators.value(0, 0);
        } else if (index == 3) {
            EXPECT_THROW(memories.accumulators.value(0, 0), MachineError);
            memories.activations.read(7, 1);
        }
    };
    add(Unit::vector, 1, 0);
    add(Unit::vector, 1, 0);
    add_fence();
    add(Unit::vector, 1, 0);
    const std::string error = error_of_run();
    EXPECT_NE(error.find("activations: read of byte 7"), has) << error;
    EXPECT_EQ(recorder.count, 3);
}

TEST_F(ControlTest, ATokenNobodyGivesIsReportedWithWhoWaits) {
    const Token never = token("never", StallCause::vector);
    add(Unit::array, 10, 0);
    add(Unit::vector, 1, 0, {never});
    add_fence();
    const std::string error = error_of_run();
    EXPECT_NE(error.find("cycle 10"), has) << error;
    EXPECT_NE(error.find("vector: command 1 CLEAR waits for token 'never'"), has) << error;
    EXPECT_NE(error.find("scheduler: command 2 FENCE waits for 1 commands"), has) << error;
    EXPECT_THROW(run_fake(), MachineError);  // not usable any more
}

TEST_F(ControlTest, AFullQueueThatNeverMovesIsReported) {
    config.queue_depth = 1;
    const Token never = token("never", StallCause::vector);
    add(Unit::vector, 1, 0, {never});
    add(Unit::vector, 1, 0);
    const std::string error = error_of_run();
    EXPECT_NE(error.find("scheduler: command 1 CLEAR waits for room in the queue of vector"), has)
        << error;
}

struct OwnError : std::runtime_error {
    explicit OwnError(int n) : std::runtime_error("own"), number(n) {}
    int number;
};

TEST_F(ControlTest, AnExceptionInAUnitReachesTheCallerIntact) {
    action = [](Memories&, const Command&, std::int64_t index) {
        if (index == 2) throw OwnError(42);
    };
    for (int i = 0; i < 5; ++i) add(Unit::array, 10, 0);
    try {
        run_fake();
        FAIL() << "no exception";
    } catch (const OwnError& error) {
        EXPECT_EQ(error.number, 42);
    }
    EXPECT_EQ(recorder.count, 2);
}

TEST_F(ControlTest, AnExceptionOfTheProbeReachesTheCaller) {
    recorder.throws_at = 1;
    for (int i = 0; i < 3; ++i) add(Unit::array, 10, 0);
    EXPECT_THROW(run_fake(), std::domain_error);
}

TEST_F(ControlTest, ASecondRunGoesOnInTime) {
    const Token sums = token("sums", StallCause::accumulator);
    add(Unit::array, 10, 31, {}, {sums});
    add(Unit::drain, 5, 1, {sums});
    EXPECT_EQ(run_fake().cycles, 47);
    const Machine::Totals second = run_fake();
    EXPECT_EQ(second.cycles, 47);
    EXPECT_EQ(second.busy[static_cast<std::size_t>(Unit::array)], 10);
    EXPECT_EQ(times(0), (Times{47, 47, 88}));
    EXPECT_EQ(times(1), (Times{49, 88, 94}));
    EXPECT_EQ(stall(0, StallCause::control), 0);
    EXPECT_EQ(fake().cycle(), 94);
}

TEST_F(ControlTest, ATokenHasOneWaitingUnit) {
    const Token shared = token("shared", StallCause::vector, 2);
    add(Unit::vector, 1, 0, {shared});
    add(Unit::array, 1, 0, {shared});
    const std::string error = error_of_run();
    EXPECT_NE(error.find("token 'shared' has two waiting units, vector and array"), has) << error;
}

TEST_F(ControlTest, AnUnknownTokenIsRefused) {
    add(Unit::vector, 1, 0, {3});
    EXPECT_NE(error_of_run().find("command 0 CLEAR names token 3"), has);
}

TEST_F(ControlTest, MoreDramThanConfiguredIsTheUsersError) {
    config.dram_bytes = 1000;
    program.dram_bytes = 1001;
    try {
        run_fake();
        FAIL() << "no InputError";
    } catch (const InputError& error) {
        EXPECT_NE(std::string(error.what()).find("dram_bytes"), has) << error.what();
    }
}

// An ACT from and to the activation buffer at this address, 16 bytes each.
Act act_at(std::int64_t address) {
    Act act;
    act.source.address = address;
    act.destination.address = address + 16;
    return act;
}

class BankTest : public testing::MachineTest {
protected:
    // Banks are 32 KiB.
    void two_acts(std::int64_t first, std::int64_t second, std::int32_t busy) {
        for (const auto& [unit, address] :
             {std::pair{Unit::vector, first}, std::pair{Unit::update, second}}) {
            Command& command = add(unit, busy, 0);
            command.operands = act_at(address);
            command.box.c = 16;
        }
    }
};

TEST_F(BankTest, TwoUnitsInOneBankAreAnError) {
    two_acts(0, 32736, 10);
    const std::string error = error_of_run();
    EXPECT_NE(error.find("bank 0"), has) << error;
    EXPECT_NE(error.find("cycle 2"), has) << error;
    EXPECT_NE(error.find("command 0 ACT"), has) << error;
    EXPECT_NE(error.find("command 1 ACT"), has) << error;
}

TEST_F(BankTest, TwoUnitsInTwoBanksAreNot) {
    two_acts(32736, 32768, 10);
    EXPECT_EQ(run_fake().cycles, 12);
}

TEST_F(BankTest, ATileOverTheEdgeHoldsBothBanks) {
    two_acts(32752, 32768 + 100, 10);
    EXPECT_NE(error_of_run().find("bank 1"), has);
}

TEST_F(BankTest, OneAfterTheOtherIsNoMeeting) {
    two_acts(0, 0, 2);  // 0..2 and 2..4
    EXPECT_EQ(run_fake().cycles, 4);
}

TEST_F(BankTest, ADmaHoldsItsBankUntilItsLastBurst) {
    fake();
    host_fills(0, 64);
    add_transfer(Unit::dma_read, Space::activations, 0, 0, 64);
    add(Unit::weight_loader, 101, 0);  // 2..103
    Command& act = add(Unit::vector, 1, 0);
    act.operands = act_at(100);
    act.box.c = 16;
    const Token late = token("late", StallCause::weights);
    program.commands[1].gives = {late};
    act.waits = {late};
    const std::string error = error_of_run();  // the LOAD holds it in 0..104
    EXPECT_NE(error.find("cycle 103: command 0 LOAD and command 2 ACT"), has) << error;
}

TEST_F(BankTest, ADmaGivesItsBankBackInItsLastCycle) {
    fake();
    host_fills(0, 64);
    add_transfer(Unit::dma_read, Space::activations, 0, 0, 64);
    const Token late = token("late", StallCause::weights);
    add(Unit::weight_loader, 102, 0, {}, {late});  // 2..104
    Command& act = add(Unit::vector, 1, 0, {late});
    act.operands = act_at(100);
    act.box.c = 16;
    EXPECT_EQ(run_fake().cycles, 105);
}

TEST_F(BankTest, ADmaThatContentionDelaysHoldsItsBankLonger) {
    config.dram_latency_cycles = 0;
    fake();
    host_fills(0, 4096);
    const Token filled = token("filled", StallCause::dram);
    const Token store = token("store", StallCause::dram);
    const Token late = token("late", StallCause::weights);
    add_transfer(Unit::dma_read, Space::weights, 0, 0, 640, {}, {filled});  // 0..40
    add_transfer(Unit::dma_read, Space::activations, 1024, 0, 1280);        // 40..120, if alone
    add(Unit::drain, 46, 0, {}, {store});                                   // 4..50
    add_transfer(Unit::dma_write, Space::weights, 8192, 0, 640, {filled, store});
    add(Unit::weight_loader, 122, 0, {}, {late});  // 8..130
    Command& act = add(Unit::vector, 1, 0, {late});
    act.operands = act_at(100);
    act.box.c = 16;
    const std::string error = error_of_run();  // 10 bursts of the STORE: the LOAD ends at 160
    EXPECT_NE(error.find("cycle 130: command 1 LOAD and command 5 ACT"), has) << error;
}

}  // namespace
}  // namespace wagesim::rtl
