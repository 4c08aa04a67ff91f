// One flipped bit in each of the five memories: found where it matters, explained where it doesn't.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <set>

#include "experiment.h"

namespace wagesim::test {
namespace {

using nlohmann::json;

Experiment convnet() {
    Experiment experiment;
    experiment.network = network_file("convnet");
    experiment.batches = {4};
    experiment.pixels = test_images(4);
    return experiment;
}

/// A command of the program and when it starts.
struct Site {
    const Command* command = nullptr;
    std::int64_t start = -1;
};

/// The first command of the layer with these operands that `accept` takes.
template <class Operands, class Accept>
Site find(const Program& program, const std::vector<Retired>& retired, const Network& network,
          const std::string& layer, const Accept& accept) {
    for (const Retired& done : retired) {
        const Command& command = program.commands[static_cast<std::size_t>(done.command)];
        if (command.phase != Phase::forward || network.name_of(command.layer) != layer) continue;
        const auto* operands = std::get_if<Operands>(&command.operands);
        if (operands != nullptr && accept(*operands)) return {&command, done.started};
    }
    throw std::runtime_error("no such command of " + layer);
}

template <class Operands>
Site find(const Program& program, const std::vector<Retired>& retired, const Network& network,
          const std::string& layer) {
    return find<Operands>(program, retired, network, layer, [](const Operands&) { return true; });
}

json place(Space space, std::int64_t address, int bit, std::int64_t cycle) {
    return {
        {"space", static_cast<int>(space)}, {"address", address}, {"bit", bit}, {"cycle", cycle}};
}

Experiment with(Experiment experiment, const json& at) {
    experiment.injection = rtl::Injection{static_cast<Space>(at["space"].get<int>()),
                                          at["address"].get<std::int64_t>(), at["bit"].get<int>(),
                                          at["cycle"].get<std::int64_t>()};
    return experiment;
}

bool has(const std::string& text, const std::string& part) {
    return text.find(part) != std::string::npos;
}

/// Places in the untouched run where a flip matters, or doesn't; by name.
json places_in(const Program& program, const std::vector<Retired>& retired,
               const Network& network) {
    json places;
    // The second tile: the first starts in the very cycle in which its bytes arrive.
    const auto wload = find<WeightLoad>(program, retired, network, "conv2",
                                        [](const WeightLoad& w) { return w.weights.address > 0; });
    places["weights"] =
        place(Space::weights, std::get<WeightLoad>(wload.command->operands).weights.address, 5,
              wload.start);

    const auto gemm = find<Gemm>(program, retired, network, "conv2");
    places["activations"] =
        place(Space::activations, std::get<Gemm>(gemm.command->operands).address, 6, gemm.start);

    const auto norm = find<NormalizeCmd>(program, retired, network, "bn2");
    const auto& normalize = std::get<NormalizeCmd>(norm.command->operands);
    // Bit 3 of the second byte of the first element: bit 11 of its sum.
    places["accumulators"] =
        place(Space::accumulators,
              normalize.source.address * normalize.source.channels_per_row * 5 + 1, 3, norm.start);
    places["parameters"] = place(Space::parameters, normalize.mu_address + 1, 4, norm.start);

    const auto load = find<Transfer>(program, retired, network, "conv2",
                                     [](const Transfer& t) { return t.buffer == Space::weights; });
    places["dram"] =
        place(Space::dram, std::get<Transfer>(load.command->operands).dram_address, 5, load.start);

    const auto act = find<Act>(program, retired, network, "relu2");
    places["vector"] = place(Space::activations,
                             std::get<Act>(act.command->operands).source.address, 5, act.start);

    // The tile buffer of an earlier tile, just before its next use.
    std::set<std::int64_t> used;
    const auto again = find<NormalizeCmd>(
        program, retired, network, "bn1",
        [&](const NormalizeCmd& n) { return !used.insert(n.destination.address).second; });
    places["overwritten"] =
        place(Space::activations,
              std::get<NormalizeCmd>(again.command->operands).destination.address, 0, again.start);

    // Within the last command before a pass's FENCE, its weights have done their work.
    std::int64_t fence = -1;
    for (const Retired& done : retired) {
        const Command& command = program.commands[static_cast<std::size_t>(done.command)];
        if (std::holds_alternative<Fence>(command.operands) && command.phase == Phase::forward &&
            fence < 0)
            fence = done.started;
    }
    const auto first_weights =
        find<Transfer>(program, retired, network, "conv1",
                       [](const Transfer& t) { return t.buffer == Space::weights; });
    places["forgotten"] =
        place(Space::weights, std::get<Transfer>(first_weights.command->operands).buffer_address, 1,
              fence - 1);

    std::int64_t last = 0;
    for (const Retired& done : retired) last = std::max(last, done.started);
    for (const DramTensor& tensor : program.tensors)
        if (tensor.qp.layer < 0) places["unread"] = place(Space::dram, tensor.address, 0, last);

    const auto pooling = find<Pool>(program, retired, network, "pool1");
    const auto& pool = std::get<Pool>(pooling.command->operands);
    places["pool"] = {{"address", pool.source.address},
                      {"stride_h", pool.source.stride_h},
                      {"stride_w", pool.source.stride_w},
                      {"cycle", pooling.start}};
    return places;
}

const json& places() {
    static const json found = [] {
        Experiment experiment = convnet();
        experiment.inspect = [](const Program& program, const std::vector<Retired>& retired,
                                const Network& network) {
            return places_in(program, retired, network).dump();
        };
        return json::parse(run(experiment).note);
    }();
    return found;
}

struct Hit {
    const char* where;
    const char* tensor;
    const char* reader;
};

void PrintTo(const Hit& hit, std::ostream* out) { *out << hit.where; }

class FlippedBit : public ::testing::TestWithParam<Hit> {};

TEST_P(FlippedBit, IsFoundInTheFirstTensorThatItReaches) {
    const json& at = places()[GetParam().where];
    const Outcome outcome = run(with(convnet(), at));
    EXPECT_TRUE(outcome.injection_hit);
    EXPECT_FALSE(outcome.clean);
    EXPECT_GT(outcome.mismatches, 0);
    EXPECT_EQ(outcome.first.tensor, GetParam().tensor) << outcome.story();
    EXPECT_GE(outcome.first.cycle, at["cycle"].get<std::int64_t>());
    EXPECT_TRUE(has(outcome.injection_story, "first read by command")) << outcome.injection_story;
    EXPECT_TRUE(has(outcome.injection_story, GetParam().reader)) << outcome.injection_story;
}

INSTANTIATE_TEST_SUITE_P(Memories, FlippedBit,
                         ::testing::Values(Hit{"weights", "conv2.y", "WLOAD"},
                                           Hit{"activations", "conv2.y", "GEMM"},
                                           Hit{"accumulators", "conv2.y", "NORMALIZE"},
                                           Hit{"parameters", "bn2.xhat", "NORMALIZE"},
                                           Hit{"dram", "conv2.y", "LOAD"},
                                           Hit{"vector", "bn2.x2", "ACT"}),
                         [](const auto& test) { return std::string(test.param.where); });

TEST(FlippedBits, OfAPartialSumIsThatBitOfY) {
    const Outcome outcome = run(with(convnet(), places()["accumulators"]));
    EXPECT_EQ(outcome.first.at, (std::vector<std::int64_t>{0, 0, 0, 0}));
    EXPECT_EQ(outcome.first.first_bit, 11);
    EXPECT_EQ(std::abs(std::stoll(outcome.first.expected) - std::stoll(outcome.first.got)),
              1 << 11);
}

TEST(FlippedBits, AreReportedWhereTheyAreOverwrittenForgottenOrNeverRead) {
    const std::vector<std::pair<const char*, const char*>> ends{
        {"overwritten", "was overwritten by command"},
        {"forgotten", "was forgotten at a FENCE"},
        {"unread", "was never read again"}};
    for (const auto& [name, words] : ends) {
        const Outcome outcome = run(with(convnet(), places()[name]));
        EXPECT_TRUE(outcome.clean) << name << ": " << outcome.story();
        EXPECT_TRUE(outcome.injection_hit) << name << ": " << outcome.injection_story;
        EXPECT_TRUE(has(outcome.injection_story, words)) << name << ": " << outcome.injection_story;
    }
}

TEST(FlippedBits, ThatLoseInAMaxPoolAreReadAndMasked) {
    Experiment plain = convnet();
    plain.keep_codes = true;
    const auto codes = run(plain).tensors.at("relu1.A");  // 4 x 16 x 28 x 28
    const json& pool = places()["pool"];
    // Image 0: an element that its window's maximum exceeds by 2 at least.
    for (std::int64_t c = 0; c < 16; ++c)
        for (std::int64_t h = 0; h < 28; ++h)
            for (std::int64_t w = 0; w < 28; ++w) {
                const auto at = [&](std::int64_t y, std::int64_t x) {
                    return codes[static_cast<std::size_t>((c * 28 + y) * 28 + x)];
                };
                const std::int64_t top = h / 2 * 2, left = w / 2 * 2;
                const std::int64_t most = std::max(
                    {at(top, left), at(top, left + 1), at(top + 1, left), at(top + 1, left + 1)});
                if (at(h, w) + 2 > most) continue;
                const Outcome outcome =
                    run(with(convnet(), place(Space::activations,
                                              pool["address"].get<std::int64_t>() +
                                                  h * pool["stride_h"].get<std::int64_t>() +
                                                  w * pool["stride_w"].get<std::int64_t>() + c,
                                              0, pool["cycle"].get<std::int64_t>())));
                EXPECT_TRUE(outcome.clean) << outcome.story();
                EXPECT_TRUE(outcome.injection_hit);
                EXPECT_TRUE(has(outcome.injection_story, "first read by"))
                    << outcome.injection_story;
                EXPECT_TRUE(has(outcome.injection_story, "POOL")) << outcome.injection_story;
                return;
            }
    FAIL() << "no window with such an element";
}

TEST(FlippedBits, NeedDataToHitAndARunThatReachesTheirCycle) {
    const Outcome early = run(with(convnet(), place(Space::parameters, 16383, 0, 0)));
    EXPECT_FALSE(early.injection_hit);
    EXPECT_TRUE(has(early.injection_story, "held no data")) << early.injection_story;
    const Outcome late = run(with(convnet(), place(Space::weights, 0, 0, 1000000000)));
    EXPECT_FALSE(late.injection_hit);
    EXPECT_TRUE(has(late.injection_story, "was not reached")) << late.injection_story;
    EXPECT_TRUE(early.clean && late.clean);
}

TEST(FlippedBits, BeyondAMemorysEndHitNothing) {
    for (const Space space : {Space::dram, Space::weights, Space::activations, Space::accumulators,
                              Space::parameters}) {
        const Outcome outcome = run(with(convnet(), place(space, std::int64_t{1} << 40, 0, 100)));
        EXPECT_FALSE(outcome.injection_hit) << static_cast<int>(space);
        EXPECT_TRUE(outcome.clean);
    }
}

}  // namespace
}  // namespace wagesim::test
