// The wave files themselves: VCD and FST of one run show the same, and appear whole or not at all.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <random>
#include <regex>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "support/scratch_directory.h"
#include "support/vcd_parser.h"
#include "wagesim/error.h"
#include "wagesim/trace/wave_writer.h"

namespace wagesim::trace {
namespace {

namespace fs = std::filesystem;
using test::parse_vcd_file;
using test::Vcd;

bool has_fst() {
    const test::ScratchDirectory scratch;
    try {
        WaveWriter wave(scratch.file("w.fst"));
    } catch (const InputError&) {
        return false;
    }
    return true;
}

#define SKIP_WITHOUT_FST() \
    if (!has_fst()) GTEST_SKIP() << "built without FST (package verilator)"
#define SKIP_WITHOUT(tool)                                       \
    if (std::system("command -v " tool " >/dev/null 2>&1") != 0) \
    GTEST_SKIP() << tool " (package gtkwave) is not installed"

/// What GTKWave's reader finds in an FST.
Vcd parse_fst_file(const std::string& path) {
    const std::string back = path + ".vcd";
    const std::string command = "fst2vcd " + path + " >" + back + " 2>/dev/null";
    EXPECT_EQ(std::system(command.c_str()), 0);
    return parse_vcd_file(back);
}

std::set<std::string> names_in(const std::string& directory) {
    std::set<std::string> names;
    for (const auto& entry : fs::directory_iterator(directory))
        names.insert(entry.path().filename().string());
    return names;
}

/// Digits as a number in binary, however many zeros or x an author puts before it.
std::string without_padding(const std::string& digits) {
    if (digits.find_first_not_of('x') == std::string::npos) return "x";
    return digits.substr(std::min(digits.find_first_not_of('0'), digits.size() - 1));
}

/// The values over time of a signal: the same for files that say the same in other words.
std::map<std::int64_t, std::string> values_of(const test::VcdSignal& signal) {
    std::map<std::int64_t, std::string> values;
    std::string latest;
    for (const auto& [time, digits] : signal.changes) {
        const std::string value = signal.type == "string" ? digits : without_padding(digits);
        if (value != latest) values[time] = value;
        latest = value;
    }
    return values;
}

/// A machine of every kind of signal that reports in every allowed order; returns what an onlooker
/// who knows all would see: signal -> cycle -> value.
using Seen = std::map<std::string, std::map<std::int64_t, std::int64_t>>;
Seen report_a_run(WaveSink& wave, unsigned seed) {
    std::mt19937 random(seed);
    const auto below = [&](int n) { return static_cast<int>(random() % static_cast<unsigned>(n)); };
    Seen seen;
    std::vector<int> registers, slow;
    std::vector<std::string> register_names, slow_names;
    for (int r = 0; r < 3; ++r)
        for (int c = 0; c < 3; ++c) {
            const std::string scope = "m.array.row" + std::to_string(r) + ".pe" + std::to_string(c);
            const std::pair<const char*, int> all[] = {
                {"a", 8}, {"valid", 1}, {"sum", 20 + 11 * r}};
            for (const auto& [name, bits] : all) {
                registers.push_back(wave.declare(scope, name, bits, WaveKind::signed_wire));
                register_names.push_back(scope + "." + name);
            }
        }
    const std::pair<const char*, WaveKind> all[] = {
        {"busy", WaveKind::wire}, {"address", WaveKind::wire}, {"command", WaveKind::integer}};
    for (const auto& [name, kind] : all) {
        slow.push_back(wave.declare("m.unit", name, name[0] == 'b' ? 1 : 32, kind));
        slow_names.push_back(std::string("m.unit.") + name);
    }
    const int never = wave.declare("m.unit", "never", 17, WaveKind::wire);
    EXPECT_GE(never, 0);
    const int state = wave.declare("m", "state", 1, WaveKind::text);
    for (std::int64_t cycle = 0; cycle < 300; ++cycle) {
        for (int i = below(3); i > 0; --i) {
            const auto which = static_cast<std::size_t>(below(3));
            const std::int64_t when = cycle + below(20), value = below(100) - 50;
            wave.change(slow[which], when, value);
            seen[slow_names[which]][when] = value;
        }
        if (below(4) != 0) continue;
        std::vector<WaveChange> changes;
        for (std::size_t i = 0; i < registers.size(); ++i)
            if (below(3) == 0) {
                const std::int64_t value = below(2) * (below(1 << 18) - (1 << 17));
                changes.push_back({registers[i], value});
                seen[register_names[i]][cycle] = value;
            }
        wave.change_all(cycle, changes.data(), changes.size());
        wave.change(state, cycle, "state " + std::to_string(cycle % 7));
        seen["m.state"][cycle] = cycle % 7;
    }
    wave.advance(320);
    return seen;
}

class Formats : public ::testing::TestWithParam<const char*> {
protected:
    void SetUp() override {
        if (std::string(GetParam()) == ".fst") SKIP_WITHOUT_FST();
        fs::current_path(scratch.path());  // a file of a bare name would be seen as well
    }
    void TearDown() override { fs::current_path("/"); }
    std::string path() const { return scratch.file(std::string("w") + GetParam()); }
    Vcd read() const {
        return std::string(GetParam()) == ".vcd" ? parse_vcd_file(path()) : parse_fst_file(path());
    }
    const test::ScratchDirectory scratch;
};

TEST_P(Formats, ShowWhatWasReportedAndNothingElse) {
    if (std::string(GetParam()) == ".fst") SKIP_WITHOUT("fst2vcd");
    const std::pair<std::int64_t, std::int64_t> windows[] = {
        {0, 1000}, {0, 320}, {0, 1}, {7, 8}, {100, 200}, {299, 5000}, {319, 320}, {320, 400}};
    for (const auto& [from, to] : windows) {
        SCOPED_TRACE("window " + std::to_string(from) + ":" + std::to_string(to));
        WaveWriter wave(path(), {from, to, {}});
        const Seen seen = report_a_run(wave, 1);
        wave.close();
        const Vcd vcd = read();
        EXPECT_EQ(vcd.signals.size(), 27u + 3u + 3u);
        EXPECT_EQ(vcd.start, 10 * from);
        EXPECT_EQ(vcd.end, 10 * std::min<std::int64_t>(to, std::max<std::int64_t>(320, from + 1)));
        int compared = 0;
        for (const auto& [name, values] : seen) {
            const test::VcdSignal& signal = vcd.at(name);
            for (std::int64_t cycle = from; cycle < std::min<std::int64_t>(to, 320); ++cycle) {
                const auto after = values.upper_bound(cycle);
                const std::string shown = signal.at(10 * cycle);
                ++compared;
                if (after == values.begin()) {
                    EXPECT_TRUE(shown.empty() || without_padding(shown) == "x") << name;
                } else if (const std::int64_t value = std::prev(after)->second; name == "m.state") {
                    EXPECT_EQ(shown, "state_" + std::to_string(value)) << name << " in " << cycle;
                } else {
                    const auto mask = ~std::uint64_t{0} >> (64 - signal.bits);
                    EXPECT_EQ(signal.number_at(10 * cycle),
                              static_cast<std::uint64_t>(value) & mask)
                        << name << " in " << cycle;
                }
            }
        }
        EXPECT_EQ(compared, 31 * std::max<std::int64_t>(0, std::min<std::int64_t>(to, 320) - from));
        EXPECT_EQ(values_of(vcd.at("m.unit.never")),
                  (std::map<std::int64_t, std::string>{{10 * from, "x"}}));
    }
}

TEST_P(Formats, LeaveNothingUnlessClosed) {
    {
        WaveWriter wave(path());
        report_a_run(wave, 1);
        EXPECT_FALSE(fs::exists(path()));
    }
    EXPECT_EQ(scratch.entries(), 0u);
}

TEST_P(Formats, LeaveTheWaveAndItsSaveFileOnly) {
    WaveWriter wave(path());
    report_a_run(wave, 1);
    wave.close();
    const std::set<std::string> expected{std::string("w") + GetParam(), "w.gtkw"};
    EXPECT_EQ(names_in(scratch.path()), expected);
}

TEST_P(Formats, AreTheSameBytesForTheSameRun) {
    std::string bytes[2];
    for (std::string& run : bytes) {
        WaveWriter wave(path());
        report_a_run(wave, 1);
        wave.close();
        run = scratch.read(fs::path(path()).filename());
    }
    EXPECT_GT(bytes[0].size(), 1000u);
    EXPECT_EQ(bytes[0], bytes[1]);
    EXPECT_FALSE(std::regex_search(bytes[0], std::regex("\\d\\d:\\d\\d:\\d\\d"))) << "a date";
}

/// 500 changes a cycle.
void write_much(const std::string& path, std::int64_t cycles = 2000) {
    WaveWriter wave(path);
    std::vector<WaveChange> all;
    for (int i = 0; i < 500; ++i)
        all.push_back({wave.declare("m", "a" + std::to_string(i), 32, WaveKind::wire), 0});
    std::mt19937 random(1);
    for (std::int64_t cycle = 0; cycle < cycles; ++cycle) {
        for (WaveChange& one : all) one.value = static_cast<std::int64_t>(random());
        wave.change_all(cycle, all.data(), all.size());
    }
    wave.close();
}

TEST_P(Formats, ReportAFullDiskAndLeaveNothing) {
    if (!test::put_on_a_full_disk(path())) GTEST_SKIP() << "no /dev/full here";
    try {
        write_much(path());
        FAIL() << "written to a full disk";
    } catch (const HostError& error) {
        EXPECT_NE(std::string(error.what()).find("No space left"), std::string::npos)
            << error.what();
    }
    EXPECT_EQ(scratch.entries(), 0u);
}

TEST_P(Formats, LeaveNothingWhereTheSaveFileHasNoRoom) {
    if (!test::put_on_a_full_disk(scratch.file("w.gtkw"))) GTEST_SKIP() << "no /dev/full here";
    WaveWriter wave(path());
    report_a_run(wave, 1);
    EXPECT_THROW(wave.close(), HostError);
    EXPECT_FALSE(fs::exists(path()));
}

TEST_P(Formats, ReportAFileThatCannotGrowAndLeaveNothing) {
    for (const rlim_t bytes : {0u, 100u, 5000u, 400'000u}) {
        {
            const test::FileSizeLimit limit(bytes);
            EXPECT_THROW(write_much(path()), HostError) << bytes;
        }
        EXPECT_EQ(scratch.entries(), 0u) << bytes;
    }
}

TEST_P(Formats, LeavePartialFilesOnlyWhenKilled) {
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
        WaveWriter wave(path());
        report_a_run(wave, 1);
        ::raise(SIGKILL);
    }
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFSIGNALED(status));
    const std::set<std::string> expected{std::string("w") + GetParam() + ".partial",
                                         "w.gtkw.partial"};
    EXPECT_EQ(names_in(scratch.path()), expected);
}

TEST_P(Formats, RefuseAPlaceThatCannotBeWritten) {
    EXPECT_THROW(WaveWriter(scratch.file(std::string("absent/w") + GetParam())), InputError);
    fs::create_directory(path());
    EXPECT_THROW(WaveWriter{path()}, InputError);
    EXPECT_EQ(names_in(scratch.path()), std::set<std::string>{fs::path(path()).filename()});
}

INSTANTIATE_TEST_SUITE_P(Wave, Formats, ::testing::Values(".vcd", ".fst"),
                         [](const auto& test) { return std::string(test.param + 1); });

TEST(Fst, ReadsBackAsTheVcdOfTheSameRun) {
    SKIP_WITHOUT_FST();
    SKIP_WITHOUT("fst2vcd");
    const test::ScratchDirectory scratch;
    for (unsigned seed = 1; seed <= 5; ++seed) {
        for (const char* name : {"w.vcd", "w.fst"}) {
            WaveWriter wave(scratch.file(name), {20 * seed, 60 * seed, {}});
            report_a_run(wave, seed);
            wave.close();
        }
        const Vcd ours = parse_vcd_file(scratch.file("w.vcd"));
        const Vcd theirs = parse_fst_file(scratch.file("w.fst"));
        EXPECT_EQ(std::pair(theirs.start, theirs.end), std::pair(ours.start, ours.end));
        ASSERT_EQ(theirs.signals.size(), ours.signals.size());
        for (const auto& [name, signal] : ours.signals) {
            const test::VcdSignal& same = theirs.at(name);
            EXPECT_EQ(same.type, signal.type) << name;
            EXPECT_EQ(same.bits, signal.type == "string" ? 0 : signal.bits) << name;
            EXPECT_EQ(values_of(same), values_of(signal)) << name << ", seed " << seed;
        }
    }
}

TEST(Fst, KeepsEveryValueOfALongRun) {
    SKIP_WITHOUT_FST();
    SKIP_WITHOUT("fst2vcd");
    const test::ScratchDirectory scratch;
    for (const char* name : {"w.vcd", "w.fst"}) write_much(scratch.file(name), 400);
    const Vcd ours = parse_vcd_file(scratch.file("w.vcd"));
    const Vcd theirs = parse_fst_file(scratch.file("w.fst"));
    std::size_t compared = 0;
    for (const auto& [name, signal] : ours.signals) {
        EXPECT_EQ(values_of(theirs.at(name)), values_of(signal)) << name;
        compared += signal.changes.size();
    }
    EXPECT_GT(compared, 200'000u);  // over several of the parts in which an FST is written
}

TEST(Vcd, IsReadByGtkwavesConverter) {
    SKIP_WITHOUT("vcd2fst");
    const test::ScratchDirectory scratch;
    WaveWriter wave(scratch.file("w.vcd"));
    report_a_run(wave, 1);
    wave.close();
    const std::string fst = scratch.file("w.fst"), log = scratch.file("log");
    const std::string command =
        "vcd2fst " + scratch.file("w.vcd") + " " + fst + " >" + log + " 2>&1";
    ASSERT_EQ(std::system(command.c_str()), 0) << scratch.read("log");
    const Vcd ours = parse_vcd_file(scratch.file("w.vcd"));
    const Vcd theirs = parse_fst_file(fst);
    ASSERT_EQ(theirs.signals.size(), ours.signals.size());
    for (const auto& [name, signal] : ours.signals)
        EXPECT_EQ(values_of(theirs.at(name)), values_of(signal)) << name;
}

}  // namespace
}  // namespace wagesim::trace
