// The save file beside a wave: groups, and numbers shown as what they are.
#include "wagesim/trace/gtkwave_save.h"

#include <gtest/gtest.h>

#include <functional>
#include <string>

#include "support/scratch_directory.h"
#include "wagesim/trace/wave_writer.h"

namespace wagesim::trace {
namespace {

class GtkwaveSaveTest : public ::testing::Test {
protected:
    /// The lines about signals, of a wave with these declarations.
    std::string lines_of(const std::function<void(WaveSink&)>& declare) {
        WaveWriter::Options options;
        options.scopes = {"*"};
        WaveWriter wave(scratch.file("w.vcd"), options);
        declare(wave);
        wave.close();
        const std::string text = scratch.read("w.gtkw");
        return text.substr(text.find("\n@") + 1);
    }
    const test::ScratchDirectory scratch;
};

TEST_F(GtkwaveSaveTest, ShowsEachKindOfSignalAsWhatItIs) {
    EXPECT_EQ(lines_of([](WaveSink& wave) {
                  wave.declare("m", "address", 32, WaveKind::wire);
                  wave.declare("m", "busy", 1, WaveKind::wire);
                  wave.declare("m", "sum", 20, WaveKind::signed_wire);
                  wave.declare("m", "command", 32, WaveKind::integer);
                  wave.declare("m", "state", 0, WaveKind::text);
              }),
              "@28\nm.clk\n"            // binary
              "@22\nm.address[31:0]\n"  // hex
              "@28\nm.busy\n"           //
              "@420\nm.sum[19:0]\n"     // signed decimal
              "@420\nm.command\n"       //
              "@820\nm.state\n");       // text
}

TEST_F(GtkwaveSaveTest, GroupsSignalsByScope) {
    EXPECT_EQ(
        lines_of([](WaveSink& wave) {
            wave.declare("m.array.row0.pe0", "a", 1, WaveKind::wire);
            wave.declare("m.scheduler", "state", 0, WaveKind::text);
            wave.declare("m.array", "busy", 1, WaveKind::wire);
        }),
        "@28\nm.clk\n"
        "@800200\n-array\n"
        "@28\nm.array.busy\n"
        "@800200\n-row0\n@800200\n-pe0\n@28\nm.array.row0.pe0.a\n@1000200\n-pe0\n@1000200\n-row0\n"
        "@1000200\n-array\n"
        "@800200\n-scheduler\n@820\nm.scheduler.state\n@1000200\n-scheduler\n");
}

TEST_F(GtkwaveSaveTest, ClosesTheRowsOfAWholeArray) {
    const std::string lines = lines_of([](WaveSink& wave) {
        wave.declare("m.array", "busy", 1, WaveKind::wire);
        for (int i = 0; i < 200; ++i)
            wave.declare("m.array.row" + std::to_string(i / 50), "a" + std::to_string(i), 8,
                         WaveKind::signed_wire, WaveDetail::element);
    });
    EXPECT_NE(lines.find("@800200\n-array\n"), std::string::npos);
    EXPECT_NE(lines.find("@c00200\n-row0\n@420\nm.array.row0.a0[7:0]\n"), std::string::npos);
    EXPECT_NE(lines.find("@1401200\n-row3\n@1000200\n-array\n"), std::string::npos);
}

TEST_F(GtkwaveSaveTest, NamesTheWaveBesideItAndItsStart) {
    WaveWriter wave(scratch.file("w.vcd"), {50, 60, {}});
    wave.declare("m", "a", 1, WaveKind::wire);
    wave.close();
    const std::string text = scratch.read("w.gtkw");
    EXPECT_NE(text.find("[dumpfile] \"w.vcd\"\n[savefile] \"w.gtkw\"\n[timestart] 500\n"),
              std::string::npos)
        << text;
}

TEST_F(GtkwaveSaveTest, LeavesTheUsersOwnAsItIs) {
    const std::string own = "[*]\n[*] GTKWave Analyzer v3.3.118 (w)1999-2023 BSI\n@28\nm.a\n";
    const auto write = [&] {
        WaveWriter wave(scratch.file("w.vcd"));
        wave.declare("m", "a", 1, WaveKind::wire);
        wave.close();
        return scratch.read("w.gtkw");
    };
    const std::string ours = write();
    EXPECT_EQ(ours.substr(0, 11), "[*] wagesim");
    scratch.write("w.gtkw", "[*] wagesim, for GTKWave\nof an earlier run");
    EXPECT_EQ(write(), ours);
    scratch.write("w.gtkw", own);
    EXPECT_EQ(write(), own);
    EXPECT_EQ(scratch.entries(), 2u);
}

}  // namespace
}  // namespace wagesim::trace
