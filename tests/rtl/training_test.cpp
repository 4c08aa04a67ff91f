// Training steps of random networks: the same bits on every array, at any buffer sizes, under any
// stalls; and in both fidelities the same cycles too.
#include <gtest/gtest.h>

#include <cstdlib>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "child_process.h"
#include "compile/compile.h"
#include "machine.h"
#include "random_network.h"
#include "wagesim/error.h"

namespace wagesim::rtl {
namespace {

using test::Random;

/// A number for all that is shown of each point, in whatever tiles and order.
class Digest : public Probe {
public:
    void on_tap(const Tap& tap) override {
        std::uint64_t& sum = sums_[{tap.qp.layer, tap.qp.qp}];
        const auto take = [&](std::uint64_t place, std::int64_t code) {
            std::uint64_t x = place * 0x9E3779B97F4A7C15U + static_cast<std::uint64_t>(code);
            x = (x ^ (x >> 29)) * 0xBF58476D1CE4E5B9U;
            sum += x ^ (x >> 32);
        };
        const std::int64_t format =
            tap.format.bits * 65536 + tap.format.frac * 256 + tap.format.exponent;
        const Box& b = tap.box;
        std::size_t i = 0;
        for (std::int32_t n = 0; n < b.n; ++n)
            for (std::int32_t h = 0; h < b.h; ++h)
                for (std::int32_t w = 0; w < b.w; ++w)
                    for (std::int32_t c = 0; c < b.c; ++c, ++i) {
                        const auto place = static_cast<std::uint64_t>(
                            tap.first >= 0
                                ? tap.first + c
                                : ((std::int64_t{b.n0 + n} * 512 + b.h0 + h * b.step_h) * 512 +
                                   b.w0 + w * b.step_w) *
                                          65536 +
                                      b.c0 + c);
                        take(place, format);
                        take(place, tap.codes != nullptr ? tap.codes[i]
                                                         : static_cast<std::int64_t>(tap.wide[i]));
                    }
        const std::int64_t counts[]{tap.saturations, tap.wraps, tap.underflows, tap.align_rounded};
        for (std::size_t k = 0; k < 4; ++k)
            sum += static_cast<std::uint64_t>(counts[k]) * (0x94D049BB133111EBU << k);
    }
    void on_retired(const Retired&) override {}

    std::string text(const Network& network) const {
        std::string text;
        for (const auto& [point, sum] : sums_)
            text += (point.first < 0 ? "input"
                                     : network.layers[static_cast<std::size_t>(point.first)].name) +
                    "." + std::string(to_string(point.second)) + " " + std::to_string(sum) + "\n";
        return text;
    }

private:
    std::map<std::pair<int, Qp>, std::uint64_t> sums_;
};

struct Case {
    Network network;
    Datapath datapath;
    std::int64_t batch = 1;
    MachineOptions options;
};

/// Two steps from start values of the case's seed: cycles, then a line for every point.
std::string train(const Case& a_case, std::uint64_t seed) {
    const auto [prepare, step] =
        compile::compile_training(a_case.network, a_case.datapath, a_case.batch);
    Machine machine("machine", a_case.datapath.machine, a_case.options);
    Random random(seed);
    const auto fill = [&](const DramTensor& tensor) {
        const auto code = [&]() -> std::int64_t {
            switch (tensor.qp.qp) {
                case Qp::image:
                    if (tensor.role == Role::labels)
                        return random.between(0, a_case.network.layers.back().out_shape.c - 1);
                    return random.between(-128, 127);
                case Qp::W:
                    return random.between(-400'000, 400'000) * random.between(0, 4);
                case Qp::bias:
                    return random.between(-400'000, 400'000);
                case Qp::gamma:
                case Qp::run_sigma:
                    return std::int64_t{1} << tensor.format.frac;
                default:
                    return 0;
            }
        };
        std::vector<std::uint8_t> bytes;
        for (std::int64_t i = 0; i < tensor.shape.size(); ++i) {
            const std::int64_t value = code();
            for (int b = 0; b < tensor.bytes; ++b)
                bytes.push_back(static_cast<std::uint8_t>(value >> (8 * b)));
        }
        machine.write_dram(tensor.address, bytes.data(), static_cast<std::int64_t>(bytes.size()));
    };
    for (const DramTensor& tensor : step.tensors)
        if (tensor.from_host && tensor.qp.layer >= 0) fill(tensor);
    Digest digest;
    std::string cycles = std::to_string(machine.run(prepare, digest).cycles);
    for (std::uint32_t number = 0; number < 2; ++number) {
        for (const DramTensor& tensor : step.tensors)
            if (tensor.from_host && tensor.qp.layer < 0) fill(tensor);
        cycles += " " + std::to_string(machine.run(step, digest, {3, number, 205, 7}).cycles);
    }
    return cycles + "\n" + digest.text(a_case.network);
}

std::string without_cycles(const std::string& text) { return text.substr(text.find('\n') + 1); }

/// The same network and data on the preset's machine and on a random one.
struct Cases {
    Case plain, odd;
};
Cases random_cases(std::uint64_t seed) {
    Random random(seed);
    Cases cases;
    cases.plain.network = parse_network(test::random_network(random, false), "random");
    cases.plain.batch = random.between(1, 3);
    Datapath& plain = cases.plain.datapath;
    plain = preset(random.pick({"int8", "int8", "paper", "authors"}));
    TrainingConfig& training = plain.training;
    training.loss = random.chance(30) ? Loss::sse : Loss::softmax;
    training.e2 = random.chance(30) ? ErrorQuantizer::sq16 : ErrorQuantizer::flag8;
    training.masks_overflow = random.chance(70);
    training.sigma_guard = random.chance(70);
    training.random_source = random.chance(30) ? RandomSource::lfsr : RandomSource::xorshift;
    if (random.chance(30)) training.weight_decay_log2 = static_cast<int>(random.between(-14, -4));
    const Datapath odd = test::random_datapath(random);
    plain.normalize = odd.normalize;
    cases.odd = cases.plain;
    cases.odd.datapath.machine = odd.machine;
    cases.odd.options.stall_seed = random.chance(50) ? static_cast<std::uint32_t>(seed) : 0;
    return cases;
}

/// WAGESIM_RANDOM_NETWORKS=N tries seeds 1 to N: for a soak.
std::uint64_t random_networks() {
    const char* count = std::getenv("WAGESIM_RANDOM_NETWORKS");
    return count == nullptr ? 60 : std::strtoull(count, nullptr, 10);
}

TEST(Training, OfRandomNetworksIsTheSameOnEveryMachine) {
    int compared = 0;
    for (std::uint64_t seed = 1; seed <= random_networks() && !HasFailure(); ++seed) {
        Cases cases = random_cases(seed);
        try {
            for (const Case* a_case : {&cases.plain, &cases.odd})
                compile::compile_training(a_case->network, a_case->datapath, a_case->batch);
        } catch (const InputError&) {
            continue;  // not to be trained, or not on so small a machine
        }
        const auto run = [&](const Case& a_case) {
            return testing::in_child([&] { return train(a_case, seed); });
        };
        const std::string plain = run(cases.plain), odd = run(cases.odd);
        EXPECT_EQ(without_cycles(plain), without_cycles(odd)) << "seed " << seed;
        cases.odd.options.fidelity = Fidelity::register_accurate;
        cases.odd.options.quantum = static_cast<int>(1 + seed * 37 % 150);
        EXPECT_EQ(run(cases.odd), odd) << "seed " << seed;
        EXPECT_NE(odd.find(".Wq "), std::string::npos) << "seed " << seed << "\n" << odd;
        ++compared;
    }
    EXPECT_GT(compared, random_networks() / 8);
    RecordProperty("networks", compared);
}

}  // namespace
}  // namespace wagesim::rtl
