// Speed of the simulator's inference, as ratios measured side by side in one run. Arguments:
// network file, images (the convnet, 16). Not a test: nothing here fails by the clock.
#include <benchmark/benchmark.h>
#include <cblas.h>

#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <map>
#include <memory>
#include <string>
#include <systemc>
#include <vector>

#include "golden/model.h"
#include "parameters.h"
#include "report/recorder.h"
#include "session.h"

#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>
#endif

namespace {

using namespace wagesim;

std::string network_file = WAGESIM_NETWORKS_DIR "/convnet.json";
std::int64_t images = 16;

struct Workload {
    Network network = read_network(network_file);
    Datapath datapath = preset("int8");
    app::Parameters parameters = app::initial_parameters(network, datapath, 1);
    app::Session session{network, datapath, compile::BatchNorm::running, parameters, images, {}};
    std::vector<std::uint8_t> pixels;
    std::int64_t macs = 0, cycles = 0;

    Workload() : pixels(static_cast<std::size_t>(images * network.input.size())) {
        std::uint32_t state = 1;
        for (auto& pixel : pixels)
            pixel = static_cast<std::uint8_t>((state = state * 1664525U + 1013904223U) >> 24);
        NoProbe silent;
        session.begin_batch(images);
        session.run(pixels, silent);  // parameters are quantised once
        session.begin_batch(images);
        const auto totals = session.run(pixels, silent);
        macs = totals.macs;
        cycles = totals.cycles;
    }
};

Workload& workload() {
    static Workload only;
    return only;
}

/// Hardware model, tile fidelity, nobody watching.
void machine_tile(benchmark::State& state) {
    Workload& w = workload();
    NoProbe silent;
    for (auto _ : state) {
        w.session.begin_batch(images);
        benchmark::DoNotOptimize(w.session.run(w.pixels, silent));
    }
}

/// The golden model, every tensor.
void golden_float64(benchmark::State& state) {
    Workload& w = workload();
    golden::Model model(w.network, w.datapath, {});
    model.set_parameters(app::to_values(w.parameters));
    for (auto _ : state) {
        model.begin(w.pixels, images);
        for (int i = -1; i < static_cast<int>(w.network.layers.size()); ++i)
            benchmark::DoNotOptimize(model.layer(i));
    }
}

/// Machine, golden model and judge: what `wagesim run` does.
void checked_run(benchmark::State& state) {
    Workload& w = workload();
    golden::Model model(w.network, w.datapath, {});
    model.set_parameters(app::to_values(w.parameters));
    for (auto _ : state) {
        check::Judge judge(w.network, &model);
        model.begin(w.pixels, images);
        w.session.begin_batch(images);
        judge.begin_batch(w.session.expected());
        w.session.run(w.pixels, judge);
        judge.finish();
        if (!judge.clean()) state.SkipWithError("not bit-exact");
    }
}

/// The convnet's products as plain loops over int8 and int32: what a C programmer writes first.
void plain_loop(benchmark::State& state) {
    Workload& w = workload();
    struct Conv {
        int cin, hw, cout, kernel, padding;
    };
    const Conv layers[] = {{1, 28, 16, 3, 1}, {16, 14, 32, 3, 1}, {1568, 1, 10, 1, 0}};
    std::vector<std::int8_t> in(16 * 28 * 28, 3), weights(32 * 1568, 5);
    std::vector<std::int32_t> out(16 * 28 * 28);
    for (auto _ : state)
        for (std::int64_t n = 0; n < images; ++n)
            for (const Conv& l : layers) {
                for (int o = 0; o < l.cout; ++o)
                    for (int y = 0; y < l.hw; ++y)
                        for (int x = 0; x < l.hw; ++x) {
                            std::int32_t sum = 0;
                            for (int c = 0; c < l.cin; ++c)
                                for (int i = 0; i < l.kernel; ++i)
                                    for (int j = 0; j < l.kernel; ++j) {
                                        const int h = y + i - l.padding, v = x + j - l.padding;
                                        if (h < 0 || h >= l.hw || v < 0 || v >= l.hw) continue;
                                        sum +=
                                            in[static_cast<std::size_t>((c * l.hw + h) * l.hw +
                                                                        v)] *
                                            weights[static_cast<std::size_t>(
                                                ((o * l.cin + c) * l.kernel + i) * l.kernel + j)];
                                    }
                            out[static_cast<std::size_t>((o * l.hw + y) * l.hw + x)] = sum;
                        }
                benchmark::DoNotOptimize(out.data());
                benchmark::ClobberMemory();
            }
    (void)w;
}

#if defined(__x86_64__) && defined(__GNUC__)
const bool has_avx2 = __builtin_cpu_supports("avx2") != 0;
constexpr int ceiling_rounds = 100000;
constexpr std::int64_t ceiling_macs = std::int64_t{16 * 8} * ceiling_rounds;

/// What AVX2 can do at most: products of 16 bits in pairs, added to sums of 32 bits, nothing
/// loaded or stored. Eight sums: more than an addition's latency times those that start in a cycle.
__attribute__((target("avx2"))) void add_products_to_registers() {
    __m256i operand = _mm256_set1_epi16(3), weight = _mm256_set1_epi16(-5);
    __m256i sum0{}, sum1{}, sum2{}, sum3{}, sum4{}, sum5{}, sum6{}, sum7{};
    for (int round = 0; round < ceiling_rounds; ++round)
        for (__m256i* const sum : {&sum0, &sum1, &sum2, &sum3, &sum4, &sum5, &sum6, &sum7}) {
            *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(operand, weight));
            // So that no product is the one before, and every sum is used.
            asm volatile("" : "+x"(operand), "+x"(weight), "+x"(*sum));
        }
}

void avx2_ceiling(benchmark::State& state) {
    for (auto _ : state) add_products_to_registers();
}
#else
constexpr bool has_avx2 = false;
#endif

/// Keeps the medians, prints the usual lines, then the ratios.
class Ratios : public benchmark::ConsoleReporter {
public:
    void ReportRuns(const std::vector<Run>& runs) override {
        for (const Run& run : runs)
            if (run.aggregate_name == "median")
                medians_[run.run_name.function_name] = run.GetAdjustedRealTime();  // ms
        ConsoleReporter::ReportRuns(runs);
    }
    void Finalize() override {
        ConsoleReporter::Finalize();
        if (medians_.count("machine_tile") == 0) return;
        const Workload& w = workload();
        const double tile = medians_["machine_tile"];
        std::printf("\n%s, images: %lld, %lld MACs, %lld simulated cycles; medians, one thread\n",
                    w.network.name.c_str(), static_cast<long long>(images),
                    static_cast<long long>(w.macs), static_cast<long long>(w.cycles));
        std::printf("  machine, tile fidelity   %8.2f ms  %8.1f MMAC/s  %8.2f Mcycles/s\n", tile,
                    static_cast<double>(w.macs) / tile / 1e3,
                    static_cast<double>(w.cycles) / tile / 1e3);
        for (const char* other : {"golden_float64", "checked_run", "plain_loop"})
            if (medians_.count(other) != 0)
                std::printf("  %-24s %8.2f ms  %8.1f MMAC/s  takes %.2fx the machine's time\n",
                            other, medians_[other],
                            static_cast<double>(w.macs) / medians_[other] / 1e3,
                            medians_[other] / tile);
        if (medians_.count("avx2_ceiling") != 0) {
            const double ceiling = static_cast<double>(ceiling_macs) / medians_["avx2_ceiling"];
            std::printf("  %-24s %8.2f GMAC/s, of which the machine reaches %.1f %%\n",
                        "AVX2's products and sums", ceiling / 1e6,
                        100 * static_cast<double>(w.macs) / tile / ceiling);
        } else {
            std::printf("  AVX2's products and sums were not measured: this host has none\n");
        }
    }

private:
    std::map<std::string, double> medians_;
};

BENCHMARK(machine_tile)->Unit(benchmark::kMillisecond);
BENCHMARK(golden_float64)->Unit(benchmark::kMillisecond);
BENCHMARK(checked_run)->Unit(benchmark::kMillisecond);

/// Keeps SystemC's banner off the terminal; it is printed before sc_main().
const int no_banner = setenv("SYSTEMC_DISABLE_COPYRIGHT_MESSAGE", "1", 0);

}  // namespace

int sc_main(int argc, char** argv) {
    openblas_set_num_threads(1);
    // Rounds in turn, so that a slower minute of the machine meets all of them.
    std::vector<char*> arguments(argv, argv + argc);
    std::string repetitions = "--benchmark_repetitions=9",
                mixed = "--benchmark_enable_random_interleaving=true",
                brief = "--benchmark_report_aggregates_only=true",
                least = "--benchmark_min_time=0.2";
    for (auto* option : {&repetitions, &mixed, &brief, &least})
        arguments.insert(arguments.begin() + 1, option->data());
    int count = static_cast<int>(arguments.size());
    benchmark::Initialize(&count, arguments.data());
    if (count > 2) {
        network_file = arguments[1];
        images = std::atoll(arguments[2]);
    } else {
        benchmark::RegisterBenchmark("plain_loop", plain_loop)->Unit(benchmark::kMillisecond);
    }
#if defined(__x86_64__) && defined(__GNUC__)
    if (has_avx2)
        benchmark::RegisterBenchmark("avx2_ceiling", avx2_ceiling)->Unit(benchmark::kMillisecond);
#endif
    Ratios reporter;
    benchmark::RunSpecifiedBenchmarks(&reporter);
    return 0;
}
