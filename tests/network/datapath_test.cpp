// Datapath files: the preset, what a file changes, and what is said about every mistake in one.
#include "wagesim/network/datapath.h"

#include <gtest/gtest.h>

#include "wagesim/error.h"

namespace wagesim {
namespace {

std::string message_for(const std::string& text) {
    try {
        parse_datapath(text, "dp.json");
    } catch (const InputError& error) {
        return error.what();
    }
    return "";
}

bool same(const Quantizer& a, const Quantizer& b) {
    return a.format == b.format && a.rounding == b.rounding && a.overflow == b.overflow;
}

TEST(Datapath, HasEveryQuantisationPointInThePreset) {
    const Datapath int8 = preset("int8");
    for (const QpName& entry : qp_names)
        EXPECT_EQ(int8.quantizers.count(entry.qp), 1u) << entry.name;
    EXPECT_EQ(int8.at("any", Qp::A).format, (Format{8, 5, true, 0}));
    EXPECT_EQ(int8.at("any", Qp::sigma).format, (Format{18, 15, false, 0}));
    EXPECT_EQ(int8.at("any", Qp::SS).format.bits, 80);
    EXPECT_EQ(int8.at("any", Qp::y).overflow, Overflow::wrap);
    EXPECT_EQ(int8.at("any", Qp::Wq).overflow, Overflow::saturate);
    for (const auto& [qp, quantizer] : int8.quantizers)
        EXPECT_EQ(quantizer.rounding, qp == Qp::G ? Rounding::stochastic : Rounding::half_even)
            << to_string(qp);
}

TEST(Datapath, HoldsWhatInt8NeedsToBeExact) {
    const Datapath int8 = preset("int8");
    const auto format = [&](Qp qp) { return int8.at("", qp).format; };
    // gamma_q xhat + beta_q: 127 * 127 + (127 << 5) at most, so 16 bits and a sign.
    EXPECT_EQ(format(Qp::x2).frac, format(Qp::gamma_q).frac + format(Qp::xhat).frac);
    EXPECT_GT(std::int64_t{1} << (format(Qp::x2).bits - 1), 127 * 127 + (127 << 5));
    // 1 / eps = 2^15 is the largest reciprocal.
    EXPECT_GT(std::int64_t{1} << format(Qp::inv).bits,
              std::int64_t{1} << (15 + format(Qp::inv).frac));
    EXPECT_EQ(format(Qp::var).frac, 2 * format(Qp::sigma).frac);
}

TEST(Datapath, PrintsWhatReadsBackTheSame) {
    Datapath mine = preset("int8");
    mine.name = "mine";
    mine.machine.array_rows = 8;
    mine.machine.accumulator_overflow = Overflow::full;
    mine.machine.divider = DividerKind::iterative;
    mine.quantizers[Qp::A] = {{7, -2, true, 0}, Rounding::floor, Overflow::wrap};
    mine.layer_quantizers["conv1"][Qp::y] = {
        {20, 12, true, 0}, Rounding::half_even, Overflow::full};
    mine.normalize = Normalize::reciprocal;
    mine.bn_inference = BnInference::folded;
    mine.running_shift = 7;
    for (const Datapath& datapath : {preset("int8"), mine}) {
        const std::string text = to_json(datapath);
        const Datapath back = parse_datapath(text, "back");
        EXPECT_EQ(to_json(back), text);
        EXPECT_EQ(back.name, datapath.name);
        ASSERT_EQ(back.quantizers.size(), datapath.quantizers.size());
        for (const auto& [qp, quantizer] : datapath.quantizers)
            EXPECT_TRUE(same(back.at("", qp), quantizer)) << to_string(qp);
        EXPECT_EQ(back.machine.array_rows, datapath.machine.array_rows);
        EXPECT_EQ(back.machine.dram_bytes, datapath.machine.dram_bytes);
        EXPECT_EQ(back.machine.accumulator_overflow, datapath.machine.accumulator_overflow);
        EXPECT_EQ(back.machine.divider, datapath.machine.divider);
        EXPECT_EQ(back.normalize, datapath.normalize);
        EXPECT_EQ(back.bn_inference, datapath.bn_inference);
        EXPECT_EQ(back.running_shift, datapath.running_shift);
        EXPECT_EQ(back.layer_quantizers.size(), datapath.layer_quantizers.size());
    }
    EXPECT_EQ(parse_datapath(to_json(mine), "back").at("conv1", Qp::y).format.bits, 20);
    EXPECT_NE(to_json(preset("int8")), to_json(mine));
}

TEST(Datapath, TellsUnitAndProvenanceOfMachineSettings) {
    Datapath mine = preset("int8");
    mine.machine.vector_lanes = 8;
    const std::string text = to_json(mine);
    const auto flat = [&] {
        std::string out;
        for (const char c : text)
            if (c != ' ' && c != '\n') out += c;
        return out;
    }();
    EXPECT_NE(flat.find(R"("array_rows":{"value":16,"unit":"PEs","source":"Gemmini"})"),
              std::string::npos);
    EXPECT_NE(flat.find(R"("vector_lanes":{"value":8,"unit":"elements/cycle","source":"user"})"),
              std::string::npos);
}

TEST(Datapath, ExtendsThePresetByWhatTheFileSays) {
    const Datapath mine = parse_datapath(R"({
        "name": "mine", "extends": "int8",
        "machine": {"array_rows": 8, "dram_latency_cycles": {"value": 0, "unit": "cycles"}},
        "quantizers": {"A": {"frac": 4}},
        "layers": {"conv1": {"A": {"bits": 6}}}})",
                                         "dp.json");
    EXPECT_EQ(mine.machine.array_rows, 8);
    EXPECT_EQ(mine.machine.dram_latency_cycles, 0);
    EXPECT_EQ(mine.machine.array_columns, 16);
    EXPECT_EQ(mine.at("other", Qp::A).format, (Format{8, 4, true, 0}));
    EXPECT_EQ(mine.at("conv1", Qp::A).format, (Format{6, 4, true, 0}));  // over this file's own A
    EXPECT_EQ(mine.at("conv1", Qp::Wq).format, (Format{8, 7, true, 0}));
}

TEST(Datapath, TakesAPresetsNameOrAFile) {
    EXPECT_EQ(read_datapath("int8").name, "int8");
    try {
        read_datapath("itn8");
        FAIL();
    } catch (const InputError& error) {
        EXPECT_STREQ(error.what(),
                     "itn8: expected a preset (int8, paper, authors) or a file, found neither; did "
                     "you mean \"int8\"?");
    }
    EXPECT_THROW(preset("papper"), InputError);
}

struct BadDatapath {
    const char* text;
    const char* message;
};

void PrintTo(const BadDatapath& bad, std::ostream* out) { *out << bad.text; }

class BadDatapaths : public ::testing::TestWithParam<BadDatapath> {};

TEST_P(BadDatapaths, AreRefusedWithThePlaceAndTheExpectation) {
    const std::string message = message_for(GetParam().text);
    EXPECT_EQ(message.rfind("dp.json: ", 0), 0u) << message;
    EXPECT_NE(message.find(GetParam().message), std::string::npos)
        << "message:  " << message << "\nexpected: " << GetParam().message;
}

INSTANTIATE_TEST_SUITE_P(
    All, BadDatapaths,
    ::testing::Values(
        BadDatapath{R"({"name": "a",})", "not valid JSON: line 1, column 14"},
        BadDatapath{"3", "expected a datapath file (an object), found 3"},
        BadDatapath{R"({"extend": "int8"})", "did you mean \"extends\"?"},
        BadDatapath{R"({"extends": "int9"})",
                    "extends: expected one of int8, paper, authors, found \"int9\"; did you mean "
                    "\"int8\"?"},
        BadDatapath{R"({"name": ""})", "name: expected a name"},
        BadDatapath{R"({"machine": 3})", "machine: expected the machine (an object), found 3"},
        BadDatapath{R"({"machine": {"array_row": 3}})",
                    "machine.array_row: unknown key; did you mean \"array_rows\"?"},
        BadDatapath{R"({"machine": {"array_rows": 0}})",
                    "machine.array_rows: expected an integer from 1 to 1024, found 0"},
        BadDatapath{R"({"machine": {"array_rows": 2000}})", "found 2000"},
        BadDatapath{R"({"machine": {"array_rows": "16"}})",
                    "machine.array_rows: expected an integer from 1 to 1024, found \"16\""},
        BadDatapath{R"({"machine": {"array_rows": {"unit": "PEs"}}})",
                    "machine.array_rows.value: is missing"},
        BadDatapath{R"({"machine": {"clock_hz": {"value": 1, "unit": "MHz"}}})",
                    "machine.clock_hz.unit: expected \"Hz\", found \"MHz\""},
        BadDatapath{R"({"machine": {"array_rows": {"value": 1, "vaule": 2}}})",
                    "machine.array_rows.vaule: unknown key; did you mean \"value\"?"},
        BadDatapath{R"({"machine": {"dram_latency_cycles": -1}})", "expected an integer from 0"},
        BadDatapath{R"({"machine": {"dram_burst_bytes": 48}})",
                    "machine.dram_burst_bytes: expected a power of two, found 48"},
        BadDatapath{R"({"machine": {"activation_banks": 8}})",
                    "expected an integer from 4 to 4, found 8"},
        BadDatapath{R"({"machine": {"activation_buffer_bytes": 1001}})",
                    "expected a multiple of activation_banks (4), found 1001"},
        BadDatapath{R"({"machine": {"weight_buffer_bytes": 510}})",
                    "machine.weight_buffer_bytes: expected at least 512"},
        BadDatapath{R"({"machine": {"weight_buffer_bytes": 1023}})", "expected an even number"},
        BadDatapath{R"({"machine": {"array_rows": 1024, "array_columns": 1024}})",
                    "weight_buffer_bytes: expected at least 2097152"},
        BadDatapath{R"({"machine": {"accumulator_bytes": 159}})",
                    "machine.accumulator_bytes: expected at least 160"},
        BadDatapath{R"({"machine": {"accumulator_bits": 64}})",
                    "expected an integer from 8 to 63, found 64"},
        BadDatapath{R"({"machine": {"accumulator_overflow": "full"}})",
                    "expected one of wrap, saturate, found \"full\""},
        BadDatapath{R"({"machine": {"divider": "serial"}})",
                    "expected one of pipelined, iterative"},
        BadDatapath{R"({"quantizers": {"a": {}}})",
                    "quantizers.a: unknown key; did you mean \"A\"?"},
        BadDatapath{R"({"quantizers": {"A": 8}})",
                    "quantizers.A: expected a quantisation point (an object), found 8"},
        BadDatapath{R"({"quantizers": {"A": {"bit": 8}}})",
                    "quantizers.A.bit: unknown key; did you mean \"bits\"?"},
        BadDatapath{R"({"quantizers": {"A": {"bits": 65}}})",
                    "quantizers.A.bits: expected an integer from 1 to 64, found 65"},
        BadDatapath{R"({"quantizers": {"SS": {"bits": 81}}})",
                    "expected an integer from 1 to 80, found 81"},
        BadDatapath{R"({"quantizers": {"A": {"bits": 1}}})",
                    "quantizers.A: expected at least 2 bits for a signed number"},
        BadDatapath{R"({"quantizers": {"A": {"frac": 65}}})",
                    "quantizers.A.frac: expected an integer from -64 to 64, found 65"},
        BadDatapath{R"({"quantizers": {"A": {"frac": 5.0}}})", "found 5.0"},
        BadDatapath{R"({"quantizers": {"y": {"frac": 10}}})",
                    "quantizers.y.frac: the unit of y follows from its operands"},
        BadDatapath{R"({"quantizers": {"A": {"frac": "derived"}}})", "found \"derived\""},
        BadDatapath{R"({"quantizers": {"A": {"signed": 1}}})",
                    "quantizers.A.signed: expected true or false, found 1"},
        BadDatapath{R"({"quantizers": {"A": {"rounding": "halfeven"}}})",
                    "did you mean \"half_even\"?"},
        BadDatapath{R"({"quantizers": {"A": {"rounding": "stochastic"}}})",
                    "only G rounds stochastically"},
        BadDatapath{R"({"quantizers": {"A": {"overflow": "clip"}}})",
                    "expected one of saturate, full, wrap, found \"clip\""},
        BadDatapath{
            R"({"layers": []})",
            "layers: expected quantisation points by layer name (an object), found an array of 0"},
        BadDatapath{R"({"layers": {"conv1": {"A": {"frac": "x"}}}})",
                    "layers.conv1.A.frac: expected an integer"},
        BadDatapath{R"({"layers": {"c": {}, "c": {}}})", "layers.c: this key stands here twice"},
        BadDatapath{R"({"normalize": "multiply"})",
                    "normalize: expected one of divide, reciprocal, found \"multiply\""},
        BadDatapath{R"({"bn_inference": true})",
                    "bn_inference: expected one of normalize, folded, found true"},
        BadDatapath{R"({"running_shift": 24})",
                    "running_shift: expected an integer from 0 to 23, found 24"}));

class CheckAgainst : public ::testing::Test {
protected:
    std::string message_for_layers(const std::string& layers) const {
        try {
            check_against(parse_datapath(R"({"layers": {)" + layers + "}}", "dp.json"), network,
                          "dp.json");
        } catch (const InputError& error) {
            return error.what();
        }
        return "";
    }

    const Network network =
        parse_network(R"({"name": "n", "input": {"shape": [1, 4, 4]}, "layers": [
        {"name": "conv1", "type": "conv2d", "out_channels": 2, "kernel": 1},
        {"name": "bn1", "type": "batch_norm"},
        {"name": "relu1", "type": "relu"},
        {"name": "fc", "type": "linear", "out_features": 2, "bias": true}]})",
                      "n");
};

TEST_F(CheckAgainst, AcceptsWhatTheLayersHave) {
    EXPECT_EQ(message_for_layers(R"("conv1": {"y": {}, "Wq": {}}, "bn1": {"xhat": {}},
                                    "relu1": {"A": {}}, "fc": {"z": {}, "bias_q": {}})"),
              "");
}

TEST_F(CheckAgainst, NamesTheLayerThatMayHaveBeenMeant) {
    EXPECT_EQ(
        message_for_layers(R"("conv2": {"y": {}})"),
        "dp.json: layers.conv2: network n has no layer of that name; did you mean \"conv1\"?");
}

TEST_F(CheckAgainst, RefusesQuantisationPointsThatALayerDoesNotHave) {
    EXPECT_EQ(
        message_for_layers(R"("relu1": {"xhat": {}})"),
        "dp.json: layers.relu1.xhat: a layer of type relu has no such quantisation point here; "
        "expected one of A, E1, E1m");
    EXPECT_NE(message_for_layers(R"("fc": {"y": {}})"), "");        // the output is called z
    EXPECT_NE(message_for_layers(R"("conv1": {"bias": {}})"), "");  // it has none
    EXPECT_NE(message_for_layers(R"("bn1": {"A": {}})"), "");       // relu1 makes it
}

TEST(Datapath, SurvivesEveryTruncation) {
    const std::string text = to_json(preset("int8"));
    const std::size_t end = text.find_last_of('}');
    for (std::size_t length = 0; length <= end; ++length)
        ASSERT_THROW(parse_datapath(text.substr(0, length), "cut.json"), InputError) << length;
}

}  // namespace
}  // namespace wagesim
