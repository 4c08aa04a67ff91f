// Waveforms: what a viewer will show, read back with the tests' own parser.
#include "wagesim/trace/wave_writer.h"

#include <gtest/gtest.h>

#include "support/scratch_directory.h"
#include "support/vcd_parser.h"
#include "wagesim/error.h"

namespace wagesim::trace {
namespace {

using test::parse_vcd_file;
using test::Vcd;
using Changes = std::vector<std::pair<std::int64_t, std::string>>;

WaveWriter::Options window(std::int64_t from, std::int64_t to) { return {from, to, {}}; }

WaveWriter::Options scopes(std::vector<std::string> patterns) {
    WaveWriter::Options options;
    options.scopes = std::move(patterns);
    return options;
}

class WaveWriterTest : public ::testing::Test {
protected:
    std::string path() const { return scratch.file("w.vcd"); }
    const test::ScratchDirectory scratch;
};

TEST_F(WaveWriterTest, ShowsEachValueFromItsCycleOn) {
    WaveWriter wave(path());
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

TEST_F(WaveWriterTest, RunsTheClockThroughQuietCycles) {
    WaveWriter wave(path());
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

TEST_F(WaveWriterTest, SortsChangesThatComeOutOfOrder) {
    WaveWriter wave(path());
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

TEST_F(WaveWriterTest, TakesTheLastOfSeveralValuesOfACycleAndDropsRepetitions) {
    WaveWriter wave(path());
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

TEST_F(WaveWriterTest, WritesOnlyTheWindow) {
    WaveWriter wave(path(), window(10, 20));
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

TEST_F(WaveWriterTest, SaysWhenTheRunEndedBeforeTheWindow) {
    WaveWriter wave(path(), window(100, 200));
    const int a = wave.declare("m", "a", 8, WaveKind::wire);
    wave.change(a, 3, 1);
    wave.advance(50);
    wave.close();
    EXPECT_FALSE(wave.reached_window());
    EXPECT_EQ(parse_vcd_file(path()).at("m.a").changes, (Changes{{1000, "1"}}));
}

TEST_F(WaveWriterTest, RefusesAnEmptyWindowAsTheUsersError) {
    for (const auto& [from, to] : {std::pair{5, 5}, {7, 3}, {-1, 3}}) {
        try {
            WaveWriter wave(path(), window(from, to));
            FAIL() << from << ":" << to;
        } catch (const InputError& error) {
            EXPECT_NE(std::string(error.what()).find("expected FROM:TO"), std::string::npos);
        }
    }
    EXPECT_EQ(scratch.entries(), 0u);
}

TEST_F(WaveWriterTest, BeginsTheWindowWithTheLatestValuesHoweverTheyCame) {
    WaveWriter wave(path(), window(10, 20));
    const int a = wave.declare("m", "a", 8, WaveKind::wire);
    const int b = wave.declare("m", "b", 8, WaveKind::wire);
    const int c = wave.declare("m", "c", 0, WaveKind::text);
    wave.change(a, 8, 80);
    wave.change(a, 3, 30);
    wave.change(c, 9, "late");
    wave.change(c, 4, "early");
    const WaveChange row[] = {{b, 7}};
    wave.change_all(5, row, 1);
    wave.change(b, 10, 100);
    wave.change(b, 12, 120);
    wave.change(a, 20, 1);
    wave.change_all(21, row, 1);
    wave.close();
    const Vcd vcd = parse_vcd_file(path());
    EXPECT_EQ(vcd.at("m.a").changes, (Changes{{100, "1010000"}}));
    EXPECT_EQ(vcd.at("m.b").changes, (Changes{{100, "1100100"}, {120, "1111000"}}));
    EXPECT_EQ(vcd.at("m.c").changes, (Changes{{100, "late"}}));
}

TEST_F(WaveWriterTest, SaysWhichCyclesAreShown) {
    const WaveWriter wave(path(), window(10, 20));
    EXPECT_FALSE(wave.shows(0, 10));
    EXPECT_TRUE(wave.shows(0, 11));
    EXPECT_TRUE(wave.shows(12, 13));
    EXPECT_TRUE(wave.shows(19, 30));
    EXPECT_FALSE(wave.shows(20, 30));
}

TEST_F(WaveWriterTest, TakesARowOfRegistersAmongOtherChanges) {
    WaveWriter wave(path());
    const int state = wave.declare("m", "state", 0, WaveKind::text);
    const int a = wave.declare("m", "a", 8, WaveKind::signed_wire);
    const int b = wave.declare("m", "b", 8, WaveKind::signed_wire);
    const int later = wave.declare("m", "later", 4, WaveKind::wire);
    wave.change(later, 7, 9);
    wave.change(state, 1, "load");
    const WaveChange first[] = {{a, 1}, {b, -1}};
    wave.change_all(2, first, 2);
    wave.change(state, 2, "run");  // after the row, in its cycle
    const WaveChange second[] = {{a, 1}, {b, -2}, {WaveSink::not_shown, 5}};
    wave.change_all(3, second, 3);
    const WaveChange third[] = {{a, 2}, {b, -2}};
    wave.change_all(8, third, 2);
    EXPECT_THROW(wave.change(later, 7, 1), std::logic_error);
    wave.close();
    const Vcd vcd = parse_vcd_file(path());
    EXPECT_EQ(vcd.at("m.state").changes, (Changes{{10, "load"}, {20, "run"}}));
    EXPECT_EQ(vcd.at("m.a").changes, (Changes{{0, "x"}, {20, "1"}, {80, "10"}}));
    EXPECT_EQ(vcd.at("m.b").changes, (Changes{{0, "x"}, {20, "11111111"}, {30, "11111110"}}));
    EXPECT_EQ(vcd.at("m.later").changes, (Changes{{0, "x"}, {70, "1001"}}));
}

TEST_F(WaveWriterTest, ShowsNoElementsUnasked) {
    WaveWriter wave(path());
    const int busy = wave.declare("m.array", "busy", 1, WaveKind::wire);
    const int a =
        wave.declare("m.array.row0.pe0", "a", 8, WaveKind::signed_wire, WaveDetail::element);
    EXPECT_NE(busy, WaveSink::not_shown);
    EXPECT_EQ(a, WaveSink::not_shown);
    wave.change(busy, 1, 1);
    wave.change(a, 1, 1);
    wave.change(a, 1, "ignored as well");
    wave.close();
    EXPECT_EQ(parse_vcd_file(path()).signals.size(), 2u);  // and clk
}

TEST_F(WaveWriterTest, ShowsExactlyWhatTheScopesMatch) {
    WaveWriter wave(path(), scopes({"m.array.row1.*", "*.sum"}));
    const auto declare = [&](const char* scope, const char* name, WaveDetail detail) {
        return wave.declare(scope, name, 8, WaveKind::wire, detail) != WaveSink::not_shown;
    };
    EXPECT_FALSE(declare("m.array", "busy", WaveDetail::block));
    EXPECT_FALSE(declare("m.array.row0.pe0", "a", WaveDetail::element));
    EXPECT_TRUE(declare("m.array.row0.pe0", "sum", WaveDetail::element));
    EXPECT_TRUE(declare("m.array.row1.pe0", "a", WaveDetail::element));
    EXPECT_TRUE(declare("m.array.row1", "busy", WaveDetail::block));
    EXPECT_FALSE(declare("m.array.row10.pe0", "a", WaveDetail::element));
    wave.close();
    std::vector<std::string> names;
    for (const auto& [name, signal] : parse_vcd_file(path()).signals) names.push_back(name);
    EXPECT_EQ(names, (std::vector<std::string>{"m.array.row0.pe0.sum", "m.array.row1.busy",
                                               "m.array.row1.pe0.a", "m.clk"}));
}

TEST_F(WaveWriterTest, RefusesAScopeThatShowsNothing) {
    const auto message = [&](const std::string& scope) -> std::string {
        WaveWriter wave(path(), scopes({"m.array.*", scope}));
        const int a = wave.declare("m.array", "a", 8, WaveKind::wire);
        try {
            wave.change(a, 0, 1);
        } catch (const InputError& error) {
            return error.what();
        }
        return "";
    };
    EXPECT_EQ(message("m.*.a"), "");
    EXPECT_EQ(message("m.array"),
              "w.vcd: no signal matches the wave scope 'm.array'; expected 'm.array.*'");
    EXPECT_EQ(message("array.a"),
              "w.vcd: no signal matches the wave scope 'array.a'; expected a pattern of full "
              "names, such as m.array.a");
    EXPECT_EQ(scratch.entries(), 0u);
}

TEST_F(WaveWriterTest, RefusesAFileThatIsNoWave) {
    for (const char* name : {"w", "w.vcd.gz", "w.VCD", "w.gtkw"}) {
        try {
            WaveWriter wave(scratch.file(name));
            FAIL() << name;
        } catch (const InputError& error) {
            EXPECT_EQ(std::string(error.what()),
                      std::string(name) +
                          ": expected the name of a wave file, which ends in .vcd or .fst");
        }
    }
    EXPECT_EQ(scratch.entries(), 0u);
}

TEST_F(WaveWriterTest, KeepsManySignalsApart) {
    WaveWriter wave(path());
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

TEST_F(WaveWriterTest, KeepsAllOf64Bits) {
    WaveWriter wave(path());
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

TEST_F(WaveWriterTest, RefusesMistakesOfOurs) {
    WaveWriter wave(path());
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

}  // namespace
}  // namespace wagesim::trace
