// SCALE-Sim's configuration files.
#include "timing/config.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "wagesim/error.h"

namespace wagesim::timing {
namespace {

void expect_refused(const std::string& text, const std::vector<std::string>& words) {
    try {
        parse_scalesim_config(text, "scale.cfg");
        ADD_FAILURE() << "accepted: " << text;
    } catch (const InputError& error) {
        for (const std::string& word : words)
            EXPECT_NE(std::string(error.what()).find(word), std::string::npos)
                << error.what() << "\n  does not say: " << word;
    }
}

TEST(ScaleSimConfig, ReadsArrayDataflowAndName) {
    const auto config = parse_scalesim_config(
        "[general]\nrun_name = my_run\n\n[architecture_presets]\nArrayHeight:    32\n"
        "ArrayWidth = 8\nIfmapSramSzkB:   64\nBandwidth : 10\nDataflow : os\n\n[layout]\n"
        "IfmapCustomLayout: False\n\n[run_presets]\nInterfaceBandwidth: CALC\n",
        "scale.cfg");
    EXPECT_EQ(config.run_name, "my_run");
    EXPECT_EQ(config.array_rows, 32);
    EXPECT_EQ(config.array_columns, 8);
    EXPECT_EQ(config.dataflow, Dataflow::os);
}

TEST(ScaleSimConfig, LeavesOutWhatTheFileLeavesOut) {
    const auto empty = parse_scalesim_config("", "scale.cfg");
    EXPECT_FALSE(empty.run_name || empty.array_rows || empty.array_columns || empty.dataflow);
    // The right keys in another section are not those.
    const auto other = parse_scalesim_config("[layout]\nArrayHeight: 32\n", "scale.cfg");
    EXPECT_FALSE(other.array_rows);
}

TEST(ScaleSimConfig, TakesAnyCaseCommentsAndCrlf) {
    const auto config = parse_scalesim_config(
        "# comment\r\n[ARCHITECTURE_PRESETS]\r\n; another\r\narrayheight=4\r\nDATAFLOW: WS\r\n",
        "scale.cfg");
    EXPECT_EQ(config.array_rows, 4);
    EXPECT_EQ(config.dataflow, Dataflow::ws);
}

TEST(ScaleSimConfig, TakesIndentedKeysForKeys) {
    const auto config = parse_scalesim_config(
        "[general]\n  run_name = two\n    lines\n[architecture_presets]\n  ArrayHeight: 4\n"
        "  ArrayWidth: 8\n\tDataflow: os\n",
        "scale.cfg");
    EXPECT_EQ(config.run_name, "two\nlines");
    EXPECT_EQ(config.array_rows, 4);
    EXPECT_EQ(config.array_columns, 8);
    EXPECT_EQ(config.dataflow, Dataflow::os);
}

TEST(ScaleSimConfig, SaysWhereSparsityIsToBeReadOver) {
    EXPECT_FALSE(parse_scalesim_config("", "scale.cfg").ignore_sparsity);
    EXPECT_TRUE(
        parse_scalesim_config("[sparsity]\nSparsitySupport : false\n", "s").ignore_sparsity);
    EXPECT_FALSE(parse_scalesim_config("[sparsity]\nSparsitySupport : True\n"
                                       "OptimizedMapping: false\n",
                                       "s")
                     .ignore_sparsity);
    expect_refused("[sparsity]\nSparsitySupport: true\nOptimizedMapping : true\n",
                   {"scale.cfg:3", "OptimizedMapping", "dense"});
}

TEST(ScaleSimConfig, RefusesMalformedFilesWithTheLine) {
    const std::string section = "[architecture_presets]\n";
    expect_refused("ArrayHeight: 32\n", {"scale.cfg:1", "[section]"});
    expect_refused("\n[general\n", {"scale.cfg:2", "[section]", "[general"});
    expect_refused(section + "ArrayHeight 32\n", {"scale.cfg:2", "KEY: VALUE"});
    expect_refused(section + ": 32\n", {"scale.cfg:2", "KEY: VALUE"});
    expect_refused(section + "ArrayHeight: 0\n", {"scale.cfg:2", "ArrayHeight", "'0'"});
    expect_refused(section + "\nArrayWidth: many\n", {"scale.cfg:3", "ArrayWidth", "'many'"});
    expect_refused(section + "ArrayWidth: 70000\n", {"65536"});
    expect_refused(section + "Dataflow: rs\n", {"scale.cfg:2", "Dataflow", "ws, os or is", "'rs'"});
    expect_refused(section + "Dataflow: os\nDataflow: ws\n", {"scale.cfg:3", "line 2"});
    expect_refused(section + "ArrayHeight: 3\n  2\n", {"scale.cfg:2", "ArrayHeight"});
    EXPECT_THROW(read_scalesim_config("/nonexistent/scale.cfg"), InputError);
}

}  // namespace
}  // namespace wagesim::timing
