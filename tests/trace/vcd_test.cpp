// Waveforms: what a viewer will show, read back with the tests' own parser and with GTKWave's.
#include "wagesim/trace/vcd.h"

#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>

#include "support/scratch_directory.h"
#include "support/vcd_parser.h"
#include "wagesim/error.h"

namespace wagesim::trace {
namespace {

using test::parse_vcd_file;
using test::Vcd;
using Changes = std::vector<std::pair<std::int64_t, std::string>>;

VcdWriter::Options window(std::int64_t from, std::int64_t to) {
    VcdWriter::Options options;
    options.from = from;
    options.to = to;
    return options;
}

class VcdTest : public ::testing::Test {
protected:
    std::string path() const { return scratch.file("w.vcd"); }
    const test::ScratchDirectory scratch;
};

TEST_F(VcdTest, ShowsEachValueFromItsCycleOn) {
    VcdWriter wave(path());
    const int busy = wave.declare("machine.array", "busy", 1, WaveKind::wire);
    const int row = wave.declare("machine.array", "row", 8, WaveKind::wire);
    const int sum = wave.declare("machine.accumulators", "sum", 40, WaveKind::integer);
    const int state = wave.declare("machine", "state", 0, WaveKind::text);
    wave.change(busy, 0, 0);
    wave.change(busy, 3, 1);
    wave.change(row, 3, 5);
    wave.change(row, 4, 255);
    wave.change(sum, 2, -3);
    wave.change(sum, 5, 1'000'000'000'000 / 4);
    wave.change(state, 0, "idle");
    wave.change(state, 3, "GEMM conv1");
    wave.close();

    const Vcd vcd = parse_vcd_file(path());
    EXPECT_EQ(vcd.timescale, "1 ns");
    EXPECT_EQ(vcd.at("machine.array.busy").changes, (Changes{{0, "0"}, {30, "1"}}));
    EXPECT_EQ(vcd.at("machine.array.row").changes,
              (Changes{{0, "x"}, {30, "101"}, {40, "11111111"}}));
    EXPECT_EQ(vcd.at("machine.array.row").bits, 8);
    EXPECT_EQ(vcd.at("machine.accumulators.sum").integer_at(25), -3);
    EXPECT_EQ(vcd.at("machine.accumulators.sum").integer_at(50), 250'000'000'000);
    EXPECT_EQ(vcd.at("machine.state").changes, (Changes{{0, "idle"}, {30, "GEMM_conv1"}}));
    EXPECT_EQ(vcd.end, 60);
}

TEST_F(VcdTest, RunsTheClockThroughQuietCycles) {
    VcdWriter wave(path());
    const int a = wave.declare("machine", "a", 4, WaveKind::wire);
    wave.change(a, 1, 2);
    wave.change(a, 4, 3);
    wave.advance(6);
    wave.close();
    const Vcd vcd = parse_vcd_file(path());
    Changes expected;
    for (int cycle = 0; cycle <= 6; ++cycle) {
        if (cycle > 0) expected.emplace_back(10 * cycle - 5, "0");
        expected.emplace_back(10 * cycle, "1");
    }
    EXPECT_EQ(vcd.at("machine.clk").changes, expected);
}

TEST_F(VcdTest, SortsChangesThatComeOutOfOrder) {
    VcdWriter wave(path());
    const int a = wave.declare("m", "a", 8, WaveKind::wire);
    const int b = wave.declare("m", "b", 1, WaveKind::wire);
    wave.change(b, 0, 0);
    wave.change(a, 9, 9);  // a unit that knows its end already
    wave.change(a, 2, 2);
    wave.change(b, 5, 1);
    wave.advance(4);
    wave.change(a, 4, 4);
    wave.change(b, 9, 0);
    wave.advance(20);
    wave.close();
    const Vcd vcd = parse_vcd_file(path());
    EXPECT_EQ(vcd.at("m.a").changes, (Changes{{0, "x"}, {20, "10"}, {40, "100"}, {90, "1001"}}));
    EXPECT_EQ(vcd.at("m.b").changes, (Changes{{0, "0"}, {50, "1"}, {90, "0"}}));
    EXPECT_EQ(vcd.end, 200);
}

TEST_F(VcdTest, TakesTheLastOfSeveralValuesOfACycleAndDropsRepetitions) {
    VcdWriter wave(path());
    const int a = wave.declare("m", "a", 8, WaveKind::wire);
    wave.change(a, 0, 1);
    wave.change(a, 2, 7);
    wave.change(a, 2, 3);
    wave.change(a, 4, 3);
    wave.change(a, 6, 8);
    wave.change(a, 6, 3);
    wave.close();
    EXPECT_EQ(parse_vcd_file(path()).at("m.a").changes, (Changes{{0, "1"}, {20, "11"}}));
}

TEST_F(VcdTest, WritesOnlyTheWindow) {
    VcdWriter wave(path(), window(10, 20));
    const int a = wave.declare("m", "a", 8, WaveKind::wire);
    const int b = wave.declare("m", "b", 8, WaveKind::wire);
    for (int cycle = 0; cycle < 40; ++cycle) {
        wave.change(a, cycle, cycle);
        if (cycle == 3) wave.change(b, cycle, 99);
        wave.advance(cycle);
    }
    wave.close();
    EXPECT_TRUE(wave.reached_window());
    const Vcd vcd = parse_vcd_file(path());
    EXPECT_EQ(vcd.start, 100);
    EXPECT_EQ(vcd.end, 200);
    EXPECT_EQ(vcd.at("m.a").changes.size(), 10u);
    EXPECT_EQ(vcd.at("m.a").number_at(100), 10u);
    EXPECT_EQ(vcd.at("m.a").number_at(200), 19u);
    EXPECT_EQ(vcd.at("m.b").changes, (Changes{{100, "1100011"}}));  // from before the window
    EXPECT_EQ(vcd.at("m.clk").changes.front(), (std::pair<std::int64_t, std::string>{100, "1"}));
    EXPECT_EQ(vcd.at("m.clk").changes.back(), (std::pair<std::int64_t, std::string>{195, "0"}));
}

TEST_F(VcdTest, SaysWhenTheRunEndedBeforeTheWindow) {
    VcdWriter wave(path(), window(100, 200));
    const int a = wave.declare("m", "a", 8, WaveKind::wire);
    wave.change(a, 3, 1);
    wave.advance(50);
    wave.close();
    EXPECT_FALSE(wave.reached_window());
    EXPECT_EQ(parse_vcd_file(path()).at("m.a").changes, (Changes{{1000, "1"}}));
}

TEST_F(VcdTest, RefusesAnEmptyWindowAsTheUsersError) {
    for (const auto& [from, to] : {std::pair{5, 5}, {7, 3}, {-1, 3}}) {
        try {
            VcdWriter wave(path(), window(from, to));
            FAIL() << from << ":" << to;
        } catch (const InputError& error) {
            EXPECT_NE(std::string(error.what()).find("expected FROM:TO"), std::string::npos);
        }
    }
    EXPECT_EQ(scratch.entries(), 0u);
}

TEST_F(VcdTest, KeepsManySignalsApart) {
    VcdWriter wave(path());
    std::vector<int> ids;
    for (int i = 0; i < 20000; ++i)
        ids.push_back(wave.declare("m.pe" + std::to_string(i / 100), "r" + std::to_string(i % 100),
                                   24, WaveKind::integer));
    for (int i = 0; i < 20000; ++i) wave.change(ids[static_cast<std::size_t>(i)], 1, i);
    wave.close();
    const Vcd vcd = parse_vcd_file(path());  // refuses two signals of one code
    for (int i = 0; i < 20000; i += 37)
        EXPECT_EQ(vcd.at("m.pe" + std::to_string(i / 100) + ".r" + std::to_string(i % 100))
                      .integer_at(10),
                  i);
}

TEST_F(VcdTest, KeepsAllOf64Bits) {
    VcdWriter wave(path());
    const int a = wave.declare("m", "a", 64, WaveKind::integer);
    wave.change(a, 1, std::numeric_limits<std::int64_t>::min());
    wave.change(a, 2, -1);
    wave.change(a, 3, std::numeric_limits<std::int64_t>::max());
    wave.change(a, 4, 0);
    wave.close();
    const Vcd vcd = parse_vcd_file(path());
    EXPECT_EQ(vcd.at("m.a").integer_at(10), std::numeric_limits<std::int64_t>::min());
    EXPECT_EQ(vcd.at("m.a").integer_at(20), -1);
    EXPECT_EQ(vcd.at("m.a").integer_at(30), std::numeric_limits<std::int64_t>::max());
    EXPECT_EQ(vcd.at("m.a").integer_at(40), 0);
}

TEST_F(VcdTest, RefusesMistakesOfOurs) {
    VcdWriter wave(path());
    const int a = wave.declare("m", "a", 8, WaveKind::wire);
    const int t = wave.declare("m", "t", 0, WaveKind::text);
    EXPECT_THROW(wave.declare("m", "a", 8, WaveKind::wire), std::logic_error);
    EXPECT_THROW(wave.declare("m", "wide", 65, WaveKind::wire), std::logic_error);
    EXPECT_THROW(wave.change(a, 1, "text"), std::logic_error);
    EXPECT_THROW(wave.change(t, 1, 3), std::logic_error);
    wave.advance(10);
    EXPECT_THROW(wave.change(a, 9, 1), std::logic_error);
    wave.change(a, 10, 1);
    EXPECT_THROW(wave.declare("m", "late", 8, WaveKind::wire), std::logic_error);
}

TEST_F(VcdTest, IsReadByGtkwavesConverter) {
    if (std::system("command -v vcd2fst fst2vcd >/dev/null 2>&1") != 0)
        GTEST_SKIP() << "vcd2fst (package gtkwave) is not installed";
    VcdWriter wave(path(), window(5, 50));
    const int a = wave.declare("machine.array", "a", 8, WaveKind::wire);
    const int s = wave.declare("machine.array", "s", 16, WaveKind::integer);
    const int t = wave.declare("machine", "t", 0, WaveKind::text);
    wave.change(t, 0, "idle");
    for (int cycle = 0; cycle < 60; ++cycle) {
        wave.change(a, cycle, cycle * 3);
        if (cycle % 7 == 0) wave.change(s, cycle, -cycle);
        if (cycle == 20) wave.change(t, cycle, "busy");
    }
    wave.close();
    const std::string fst = scratch.file("w.fst"), back = scratch.file("back.vcd");
    ASSERT_EQ(std::system(("vcd2fst " + path() + " " + fst + " >" + scratch.file("log") +
                           " 2>&1 && fst2vcd " + fst + " >" + back + " 2>/dev/null")
                              .c_str()),
              0)
        << scratch.read("log");
    const Vcd ours = parse_vcd_file(path()), theirs = parse_vcd_file(back);
    EXPECT_EQ(theirs.signals.size(), 4u);
    for (const char* name : {"machine.clk", "machine.array.a", "machine.array.s"})
        for (std::int64_t time = 50; time < 500; ++time) {
            // fst2vcd writes all digits of a vector; a viewer extends ours with zeros.
            ASSERT_EQ(theirs.at(name).number_at(time), ours.at(name).number_at(time))
                << name << " at " << time;
        }
    EXPECT_EQ(theirs.at("machine.t").at(199), "idle");
    EXPECT_EQ(theirs.at("machine.t").at(200), "busy");
}

TEST_F(VcdTest, LeavesNothingUnlessClosed) {
    {
        VcdWriter wave(path());
        wave.change(wave.declare("m", "a", 1, WaveKind::wire), 1, 1);
        EXPECT_FALSE(std::filesystem::exists(path()));
    }
    EXPECT_EQ(scratch.entries(), 0u);
}

TEST_F(VcdTest, ReportsAFullDiskAndLeavesNothing) {
    if (!test::put_on_a_full_disk(path())) GTEST_SKIP() << "no /dev/full here";
    EXPECT_THROW(
        {
            VcdWriter wave(path());
            const int a = wave.declare("m", "a", 32, WaveKind::wire);
            for (int cycle = 0; cycle < 100'000; ++cycle) {
                wave.change(a, cycle, cycle);
                wave.advance(cycle);
            }
            wave.close();
        },
        HostError);
    EXPECT_EQ(scratch.entries(), 0u);
}

TEST_F(VcdTest, KeepsUpWithAnArrayThatChangesEveryCycle) {
    const auto start = std::chrono::steady_clock::now();
    VcdWriter wave(path());
    std::vector<int> ids;
    for (int i = 0; i < 512; ++i)
        ids.push_back(wave.declare("m", "r" + std::to_string(i), 24, WaveKind::integer));
    for (int cycle = 0; cycle < 2000; ++cycle) {
        for (std::size_t i = 0; i < ids.size(); ++i)
            wave.change(ids[i], cycle, static_cast<std::int64_t>(i) * cycle);
        wave.advance(cycle);
    }
    wave.close();
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
    std::cout << "a million changes in " << seconds.count() << " s\n";
    EXPECT_LT(seconds.count(), 10.0) << "generous: the machine may be busy";
    EXPECT_GT(std::filesystem::file_size(path()), 10'000'000u);
}

}  // namespace
}  // namespace wagesim::trace
