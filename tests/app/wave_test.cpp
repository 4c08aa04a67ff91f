// Registers in a wave: those that a window of a tile run re-creates are those of a register run,
// and what they hold is what the tensors are made of.
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include "experiment.h"
#include "scratch_directory.h"
#include "vcd_parser.h"

namespace wagesim::test {
namespace {

constexpr std::int64_t period = 10;  // of a cycle in the wave's time

Vcd read_vcd(const std::string& path) {
    std::ifstream in(path);
    return parse_vcd(in);
}

struct Setting {
    const char* name;
    const char* network;
    const char* machine;
    std::uint32_t stall_seed;
};
void PrintTo(const Setting& s, std::ostream* out) { *out << s.name; }

class WaveWindows : public ::testing::TestWithParam<Setting> {
protected:
    ScratchDirectory scratch_;
};

TEST_P(WaveWindows, OfATileRunAreThoseOfARegisterRun) {
    const Setting s = GetParam();
    Experiment experiment;
    experiment.network = network_file(s.network);
    experiment.datapath = std::string("{\"machine\": {") + s.machine + "}}";
    experiment.batches = {1, 1};
    experiment.pixels = test_images(2);
    experiment.stall_seed = s.stall_seed;
    experiment.wave_options.scopes = {"*"};
    const std::int64_t cycles = run(experiment).cycles;

    // Where nothing has begun, in the middle of commands, behind the last one.
    Random random(3);
    std::vector<std::pair<std::int64_t, std::int64_t>> windows{{0, 90}, {cycles - 500, cycles + 9}};
    for (int i = 0; i < 8; ++i) {
        const std::int64_t from = random.between(0, cycles);
        windows.emplace_back(from, from + random.pick({1, 40, 400}));
    }
    std::size_t signals = 0, changes = 0;
    for (const auto& [from, to] : windows) {
        experiment.wave_options.from = from;
        experiment.wave_options.to = to;
        std::vector<Vcd> waves;
        for (const auto fidelity : {rtl::Fidelity::tile, rtl::Fidelity::register_accurate}) {
            experiment.fidelity = fidelity;
            experiment.wave = scratch_.file("wave.vcd");
            ASSERT_TRUE(run(experiment).clean);
            waves.push_back(read_vcd(experiment.wave));
        }
        ASSERT_EQ(waves[0].signals.size(), waves[1].signals.size());
        for (const auto& [name, signal] : waves[1].signals) {
            ASSERT_TRUE(waves[0].at(name).changes == signal.changes)
                << name << " in window " << from << ":" << to;
            changes += signal.changes.size();
            ++signals;
        }
    }
    EXPECT_GT(signals, 1000U);
    EXPECT_GT(changes, 3 * signals / 2) << "something must happen in the windows";
}

INSTANTIATE_TEST_SUITE_P(
    Machines, WaveWindows,
    ::testing::Values(
        Setting{"ws", "convnet", R"("accumulator_bytes": 8192)", 0},
        Setting{"ws_partial_tiles", "zoo",
                R"("array_rows": 5, "array_columns": 7, "accumulator_bytes": 4900)", 0},
        Setting{"ws_stalls", "zoo",
                R"("array_rows": 8, "array_columns": 4, "accumulator_bytes": 4000)", 7},
        Setting{"os", "convnet", R"("accumulator_bytes": 8192, "dataflow": "os")", 0},
        Setting{
            "os_partial_folds", "zoo",
            R"("array_rows": 5, "array_columns": 7, "accumulator_bytes": 4900, "dataflow": "os")",
            0},
        Setting{
            "os_stalls", "zoo",
            R"("array_rows": 8, "array_columns": 4, "accumulator_bytes": 4000, "dataflow": "os")",
            7}),
    [](const auto& test) { return std::string(test.param.name); });

/// A run of a small network with all its registers, and which command ran when.
class WaveValues : public ::testing::Test {
protected:
    struct Run {
        Outcome outcome;
        Vcd wave;
        struct Line {
            std::string what;
            std::vector<std::int64_t> numbers;
        };
        std::vector<Line> lines;  // of inspect()
    };

    Run run_with(const std::string& machine, const std::vector<std::string>& scopes,
                 std::function<std::string(const Program&, const std::vector<Retired>&)> inspect) {
        Experiment experiment;
        experiment.network = R"({"name": "small", "input": {"shape": [1, 6, 6]}, "layers": [
            {"name": "conv", "type": "conv2d", "out_channels": 11, "kernel": 3, "padding": 1},
            {"name": "relu", "type": "relu"},
            {"name": "last", "type": "conv2d", "out_channels": 5, "kernel": 3}]})";
        experiment.datapath = "{\"machine\": {" + machine + "}}";
        experiment.batches = {2};
        experiment.keep_codes = true;
        experiment.fidelity = rtl::Fidelity::register_accurate;
        experiment.wave = scratch_.file("values.vcd");
        experiment.wave_options.scopes = scopes;
        experiment.inspect = [&](const Program& program, const std::vector<Retired>& retired,
                                 const Network&) { return inspect(program, retired); };
        Run result;
        result.outcome = run(experiment);
        EXPECT_TRUE(result.outcome.clean) << result.outcome.story();
        result.wave = read_vcd(experiment.wave);
        std::istringstream lines(result.outcome.note);
        for (std::string text; std::getline(lines, text);) {
            std::istringstream words(text);
            Run::Line line;
            words >> line.what;
            for (std::int64_t number; words >> number;) line.numbers.push_back(number);
            result.lines.push_back(line);
        }
        return result;
    }

    ScratchDirectory scratch_;
};

// y lies in the accumulators when the vector unit reads it.
TEST_F(WaveValues, OfAccumulatorsAreY) {
    for (const char* dataflow : {"ws", "os"}) {
        const Run run = run_with(
            std::string(R"("array_rows": 4, "array_columns": 4, "dataflow": ")") + dataflow + "\"",
            {"machine.accumulators.*"},
            [](const Program& program, const std::vector<Retired>& retired) {
                std::ostringstream out;
                for (const Retired& r : retired) {
                    const Command& command = program.commands[static_cast<std::size_t>(r.command)];
                    const auto* act = std::get_if<Act>(&command.operands);
                    if (act == nullptr || act->source.space != Space::accumulators) continue;
                    const Box& b = command.box;
                    out << "act " << r.started << ' ' << act->source.address << ' '
                        << act->source.channels_per_row << ' ' << b.n0 << ' ' << b.n << ' ' << b.h0
                        << ' ' << b.h << ' ' << b.w0 << ' ' << b.w << ' ' << b.c0 << ' ' << b.c
                        << '\n';
                }
                return out.str();
            });
        const auto& y = run.outcome.tensors.at("conv.y");  // 2 x 11 x 6 x 6
        std::int64_t compared = 0;
        for (const auto& line : run.lines) {
            const auto& v = line.numbers;
            const std::int64_t pixels = v[4] * v[6] * v[8];
            for (std::int64_t p = 0; p < pixels; ++p)
                for (std::int64_t c = 0; c < v[10]; ++c) {
                    const std::int64_t n = v[3] + p / (v[6] * v[8]);
                    const std::int64_t h = v[5] + p / v[8] % v[6], w = v[7] + p % v[8];
                    const std::int64_t row = v[1] + c / v[2] * pixels + p;
                    const std::string name = "machine.accumulators.row" + std::to_string(row) +
                                             ".c" + std::to_string(c % v[2]);
                    ASSERT_EQ(run.wave.at(name).integer_at(v[0] * period),
                              y[static_cast<std::size_t>(((n * 11 + v[9] + c) * 6 + h) * 6 + w)])
                        << dataflow << " " << name << " in cycle " << v[0];
                    ++compared;
                }
        }
        EXPECT_EQ(compared, 2 * 11 * 36);
    }
}

// In a weight-stationary array, column c's partial sum of a row that entered in cycle e stands in
// the last PE in cycle e + R + c (docs/array.md).
TEST_F(WaveValues, OfTheLastPesAreDotProductsOfOperandsAndWeights) {
    constexpr std::int64_t R = 4;
    const Run run = run_with(
        R"("array_rows": 4, "array_columns": 4)", {"machine.array.row3.*"},
        [](const Program& program, const std::vector<Retired>& retired) {
            std::ostringstream out;
            for (const Retired& r : retired) {
                const Command& command = program.commands[static_cast<std::size_t>(r.command)];
                const auto* gemm = std::get_if<Gemm>(&command.operands);
                if (gemm == nullptr || command.layer != 2) continue;
                const Box& b = command.box;
                out << "gemm " << r.started << ' ' << gemm->k0 << ' ' << gemm->k << ' ' << b.n0
                    << ' ' << b.n << ' ' << b.h0 << ' ' << b.h << ' ' << b.w0 << ' ' << b.w << ' '
                    << b.c0 << ' ' << b.c << '\n';
            }
            return out.str();
        });
    const auto& a = run.outcome.tensors.at("relu.A");    // 2 x 11 x 6 x 6
    const auto& wq = run.outcome.tensors.at("last.Wq");  // 5 x 11 x 3 x 3
    std::int64_t compared = 0, nonzero = 0;
    for (const auto& line : run.lines) {
        const auto& v = line.numbers;
        std::int64_t row = 0;
        for (std::int64_t n = v[3]; n < v[3] + v[4]; ++n)
            for (std::int64_t h = v[5]; h < v[5] + v[6]; ++h)
                for (std::int64_t w = v[7]; w < v[7] + v[8]; ++w, ++row)
                    for (std::int64_t c = 0; c < v[10]; ++c) {
                        std::int64_t sum = 0;
                        for (std::int64_t k = v[1]; k < v[1] + v[2]; ++k) {
                            const std::int64_t i = k % 11, kw = k / 11 % 3, kh = k / 33;
                            sum += a[static_cast<std::size_t>(((n * 11 + i) * 6 + h + kh) * 6 + w +
                                                              kw)] *
                                   wq[static_cast<std::size_t>(
                                       (((v[9] + c) * 11 + i) * 3 + kh) * 3 + kw)];
                        }
                        const std::int64_t cycle = v[0] + row + R + c;
                        const std::string pe = "machine.array.row3.pe" + std::to_string(c);
                        ASSERT_EQ(run.wave.at(pe + ".sum").integer_at(cycle * period), sum)
                            << pe << " in cycle " << cycle;
                        EXPECT_EQ(run.wave.at(pe + ".valid").number_at(cycle * period), 1U);
                        ++compared;
                        nonzero += sum != 0;
                    }
    }
    EXPECT_EQ(compared, 2 * 16 * 5 * 25);  // 25 K tiles of 99 products
    EXPECT_GT(nonzero, compared / 3);
}

// What leaves the lanes is A, `latency` cycles after y entered them.
TEST_F(WaveValues, OfLanesAreWhatTheVectorUnitReadsAndMakes) {
    const Run run = run_with(
        R"("array_rows": 4, "array_columns": 4, "vector_lanes": 4)", {"machine.vector.lane*"},
        [](const Program& program, const std::vector<Retired>& retired) {
            std::ostringstream out;
            for (const Retired& r : retired) {
                const Command& command = program.commands[static_cast<std::size_t>(r.command)];
                const auto* act = std::get_if<Act>(&command.operands);
                if (act == nullptr || act->source.space != Space::accumulators) continue;
                const Box& b = command.box;
                out << "act " << r.started << ' ' << r.busy << ' ' << b.n0 << ' ' << b.n << ' '
                    << b.c0 << ' ' << b.c << '\n';
            }
            return out.str();
        });
    const auto& y = run.outcome.tensors.at("conv.y");
    const auto& a = run.outcome.tensors.at("relu.A");
    constexpr std::int64_t latency = 4, plane = 36;
    std::int64_t compared = 0;
    for (const auto& line : run.lines) {
        const auto& v = line.numbers;
        const std::int64_t pixels = v[3] * plane, rows = (v[5] + 3) / 4;
        for (std::int64_t p = 0; p < pixels; ++p)
            for (std::int64_t c = 0; c < v[5]; ++c) {
                const std::int64_t beat = c / 4 * pixels + p;
                const std::int64_t cycle = v[0] + beat * v[1] / (rows * pixels);
                const auto i = static_cast<std::size_t>(
                    ((v[2] + p / plane) * 11 + v[4] + c) * plane + p % plane);
                const std::string lane = "machine.vector.lane" + std::to_string(c % 4);
                ASSERT_EQ(run.wave.at(lane + ".in").integer_at(cycle * period), y[i]) << cycle;
                ASSERT_EQ(run.wave.at(lane + ".out").integer_at((cycle + latency) * period), a[i]);
                ++compared;
            }
    }
    EXPECT_EQ(compared, 2 * 11 * 36);
}

}  // namespace
}  // namespace wagesim::test
