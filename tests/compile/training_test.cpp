// Every training step that the compiler makes does each product and each code once, reads only what
// is there and what docs/training.md asks for, and leaves the next step's parameters.
#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <utility>

#include "compile/compile.h"
#include "damage.h"
#include "program_check.h"
#include "random_network.h"
#include "wagesim/error.h"

namespace wagesim::test {
namespace {

/// Pairs of a row and a tap that meet in an output, inside or not.
std::int64_t meetings(std::int64_t rows, int kernel, int stride, int padding, int dilation) {
    std::int64_t count = 0;
    for (int row = 0; row < rows; ++row)
        for (int tap = 0; tap < kernel; ++tap)
            if ((row + padding - tap * dilation) % stride == 0) ++count;
    return count;
}

std::int64_t macs_of(const Network& network, std::int64_t batch) {
    std::int64_t macs = 0;
    for (const Layer& layer : network.layers) {
        if (layer.type != LayerType::conv2d && layer.type != LayerType::linear) continue;
        const Shape weights = weight_shape(layer);
        const Shape& in = layer.in_shape;
        macs += 2 * layer.out_shape.size() * weights.c * weights.h * weights.w;  // y, gW
        if (layer.inputs[0] < 0) continue;
        const std::int64_t pairs = layer.type == LayerType::linear
                                       ? in.h * in.w * layer.groups
                                       : meetings(in.h, layer.kernel.h, layer.stride.h,
                                                  layer.padding.h, layer.dilation.h) *
                                             meetings(in.w, layer.kernel.w, layer.stride.w,
                                                      layer.padding.w, layer.dilation.w);
        macs += pairs * in.c * layer.out_channels / layer.groups;
    }
    return batch * macs;
}

std::int64_t codes_of(const Network& network, const Datapath& datapath, std::int64_t batch) {
    std::int64_t codes = 0;
    for (const auto& point : compile::training_points(network, datapath, batch).step)
        if (point.qp.layer >= 0) codes += point.shape.size();
    return codes;
}

void expect_sound(const Network& network, const Datapath& datapath, std::int64_t batch) {
    const compile::TrainingPrograms programs = compile::compile_training(
        network, datapath, batch, static_cast<std::size_t>(-1));  // all kept
    const Checked checked = check_training(programs, network, datapath, batch);
    EXPECT_EQ(checked.violation, "");
    EXPECT_EQ(checked.macs, macs_of(network, batch));
    EXPECT_EQ(checked.codes_made, codes_of(network, datapath, batch));
    for (const Program* program : {&programs.prepare, &programs.step})
        for (const int depth : {1, 8}) EXPECT_EQ(deadlock(*program, depth), -1);
}

Network shipped(const std::string& name) {
    return read_network(std::string(WAGESIM_NETWORKS) + "/" + name + ".json");
}

struct Case {
    const char *network, *preset;
    int batch, rows, columns;
    Dataflow dataflow;
    bool is_small = false;  ///< buffers
};

void PrintTo(const Case& c, std::ostream* out) {
    *out << c.network << " " << c.preset << " batch " << c.batch << " " << c.rows << "x"
         << c.columns << (c.dataflow == Dataflow::ws ? " ws" : " os")
         << (c.is_small ? " small" : "");
}

class ShippedNetworks : public testing::TestWithParam<Case> {};

TEST_P(ShippedNetworks, TrainInSoundSteps) {
    const Case& c = GetParam();
    Datapath datapath = preset(c.preset);
    MachineConfig& machine = datapath.machine;
    machine.array_rows = c.rows;
    machine.array_columns = c.columns;
    machine.dataflow = c.dataflow;
    if (c.is_small) {
        machine.activation_buffer_bytes = 16 * 1024;
        machine.weight_buffer_bytes = 4 * 1024;
        machine.accumulator_bytes = std::int64_t{10} * c.columns * 64;
        machine.parameter_bytes = 2048;
    }
    expect_sound(shipped(c.network), datapath, c.batch);
}

constexpr Dataflow ws = Dataflow::ws, os = Dataflow::os;
INSTANTIATE_TEST_SUITE_P(
    All, ShippedNetworks,
    testing::Values(
        Case{"mlp", "int8", 64, 16, 16, ws}, Case{"mlp", "paper", 1, 4, 4, os},
        Case{"mlp", "authors", 3, 32, 8, ws, true}, Case{"mlp", "int8", 3, 32, 8, os, true},
        Case{"convnet", "int8", 1, 4, 4, ws}, Case{"convnet", "paper", 3, 16, 16, os},
        Case{"convnet", "authors", 3, 32, 8, ws}, Case{"convnet", "paper", 64, 16, 16, ws},
        Case{"convnet", "int8", 3, 16, 16, ws, true}, Case{"convnet", "authors", 1, 4, 4, os, true},
        Case{"resnet8", "int8", 3, 16, 16, ws}, Case{"resnet8", "paper", 1, 32, 8, os},
        Case{"resnet8", "authors", 1, 4, 4, ws, true}));

class RandomNetworks : public testing::TestWithParam<int> {};

TEST_P(RandomNetworks, TrainInSoundSteps) {
    int compiled = 0, refused = 0;
    for (int i = 0; i < 40; ++i) {
        const int seed = GetParam() * 1000 + i;
        Random random(static_cast<std::uint64_t>(seed));
        const std::string text = random_trainable_network(random);
        const Datapath datapath = random_training_datapath(random);
        const std::int64_t batch = random.between(1, 4);
        SCOPED_TRACE("seed " + std::to_string(seed) + "\n" + text);
        const Network network = parse_network(text, "random");
        try {
            expect_sound(network, datapath, batch);
            ++compiled;
        } catch (const InputError& error) {
            // Too small a buffer or register: said with the layer.
            EXPECT_EQ(std::string(error.what()).rfind("layer l", 0), 0U) << error.what();
            ++refused;
        }
        if (HasFailure()) return;
    }
    EXPECT_GT(compiled, 20) << refused << " refused";
}

INSTANTIATE_TEST_SUITE_P(Seeds, RandomNetworks, testing::Range(0, 6));

// ---- the check itself: what it must not let pass ----------------------------------------------

class DamagedSteps : public testing::TestWithParam<Damage> {};

TEST_P(DamagedSteps, AreFound) {
    const Network network =
        parse_network(R"({"name": "n", "input": {"shape": [3, 9, 9]}, "layers": [
        {"name": "conv1", "type": "conv2d", "out_channels": 20, "kernel": 3, "padding": 1},
        {"name": "bn1", "type": "batch_norm"}, {"name": "relu1", "type": "relu"},
        {"name": "max", "type": "max_pool", "kernel": 3, "stride": 2},
        {"name": "conv2", "type": "conv2d", "out_channels": 20, "kernel": 3, "padding": 1},
        {"name": "bn2", "type": "batch_norm"},
        {"name": "add", "type": "add", "inputs": ["bn2", "max"]},
        {"name": "relu2", "type": "relu"},
        {"name": "avg", "type": "avg_pool", "kernel": 2, "stride": 1},
        {"name": "fc", "type": "linear", "out_features": 5, "bias": true}]})",
                      "test");
    Datapath datapath = preset("int8");
    datapath.machine.activation_buffer_bytes = 16 * 1024;
    datapath.machine.weight_buffer_bytes = 8 * 1024;
    datapath.machine.dataflow = GetParam().dataflow;
    datapath.training.weight_decay_log2 = -9;
    compile::TrainingPrograms programs = compile::compile_training(network, datapath, 3);
    ASSERT_EQ(check_training(programs, network, datapath, 3).violation, "");
    bool done = false;
    for (std::size_t i = programs.step.commands.size(); !done && i-- > 0;)
        done = GetParam().damage(programs.step.commands[i]);
    ASSERT_TRUE(done) << "no such command";
    EXPECT_NE(check_training(programs, network, datapath, 3).violation, "");
}

/// Of those commands for which it holds.
template <class Operands>
std::function<bool(Command&)> change_where(std::function<bool(const Operands&)> holds,
                                           std::function<void(Operands&)> damage) {
    return [=](Command& command) {
        auto* operands = std::get_if<Operands>(&command.operands);
        if (operands == nullptr || !holds(*operands)) return false;
        damage(*operands);
        return true;
    };
}

std::function<bool(Command&)> forget_wait_of(Unit unit) {
    return [unit](Command& command) {
        if (command.unit != unit || command.waits.empty()) return false;
        command.waits.clear();
        return true;
    };
}

bool is_turned(const Gemm& g) { return g.turned; }
bool has_flags(const Gemm& g) { return g.flags.exists(); }
bool is_masked(const ShiftQuantize& q) { return q.mask.exists(); }
bool is_max(const PoolBack& p) { return !p.average && p.index.exists(); }
bool is_mean(const PoolBack& p) { return p.qp.layer >= 0; }
bool is_fork(const Fork& f) { return f.qp.layer >= 0; }
bool decays(const Fork& f) { return f.qp.layer < 0; }

INSTANTIATE_TEST_SUITE_P(
    Each, DamagedSteps,
    testing::Values(
        Damage{"LabelsOfAnotherImage", change<Softmax>([](auto& s) { s.label_address += 1; })},
        Damage{"ErrorOfAnotherBatch", change<Softmax>([](auto& s) { s.exponent -= 1; })},
        Damage{"LargestForgotten", change<Softmax>([](auto& s) { s.largest_address = -1; })},
        Damage{"UnitOfTheOperand", change<Exponent>([](auto& e) {
                   if (!e.operands.empty())
                       e.operands[0].scale.quantized = !e.operands[0].scale.quantized;
               })},
        Damage{"MaskOfTheNextPixel",
               change_where<ShiftQuantize>(is_masked, [](auto& q) { q.mask.address += 1; })},
        Damage{"MaskForgotten",
               change_where<ShiftQuantize>(is_masked, [](auto& q) { q.mask.address = -1; })},
        Damage{"ScaleOfTheResult",
               change<ShiftQuantize>([](auto& q) { q.scale.address = q.largest_address; })},
        Damage{"MaskNotMade", change<Act>([](auto& a) { a.mask.address = -1; })},
        Damage{"FlagsOfTheNextPixel", change<FlagQuantize>([](auto& q) { q.flags.address += 1; })},
        Damage{"FlagsFromWithinAByte", change<FlagQuantize>([](auto& q) { q.flags.first = 1; })},
        Damage{"WindowsOfTheRowBelow", change<PoolBack>([](auto& p) { p.h0 -= 1; })},
        Damage{"PlacesOfAnotherWindow",
               change_where<PoolBack>(is_max, [](auto& p) { p.index.address += 1; })},
        Damage{"MeansNotShown", change_where<PoolBack>(is_mean, [](auto& p) { p.show_h1 -= 1; })},
        Damage{"SumsOfAnotherChannel", change<Reduce>([](auto& r) { r.sums_address += 16; })},
        Damage{"BiasGradientWithoutFlags",
               change_where<Reduce>([](const Reduce& r) { return r.flags.exists(); },
                                    [](auto& r) { r.flags.address = -1; })},
        Damage{"MeansExchanged",
               change<BnBack>([](auto& b) { std::swap(b.m1_address, b.m2_address); })},
        Damage{"GammaOfTheNextChannel", change<BnError>([](auto& b) { b.gamma_address += 1; })},
        Damage{"NoGuard", change<BnError>([](auto& b) { b.guard_address = -1; })},
        Damage{
            "OperandsExchanged",
            change_where<Fork>(is_fork, [](auto& f) { std::swap(f.operands[0], f.operands[1]); })},
        Damage{"OperandsWidth",
               change_where<Fork>(is_fork, [](auto& f) { f.operands[0].bits += 1; })},
        Damage{"AnotherDecay",
               change_where<Fork>(decays, [](auto& f) { f.operands[1].scale.exponent += 1; })},
        Damage{"DecayOfTheNextWeight", change_where<Fork>(decays,
                                                          [](auto& f) {
                                                              f.operands[1].tile.address +=
                                                                  f.operands[1].tile.bytes;
                                                          })},
        Damage{"AnotherDraw", change_where<Update>([](const Update& u) { return u.constant; },
                                                   [](auto& u) { u.stream_op += 1; })},
        Damage{"AccumulatorOfTheNext",
               change<Update>([](auto& u) { u.accumulator_address += u.accumulator_bytes; })},
        Damage{"AnotherMomentum", change<Update>([](auto& u) { u.momentum_quarter = true; })},
        Damage{"UpdateOfTheNext", change<Update>([](auto& u) { u.first += 1; })},
        Damage{"TapsOfTheNext", change_where<Gemm>(is_turned, [](auto& g) { g.m0 += 1; })},
        Damage{"PixelLeftOut", change_where<Gemm>(is_turned, [](auto& g) { g.k -= 1; })},
        Damage{"GradientStartedAgain",
               change_where<Gemm>(is_turned, [](auto& g) { g.accumulate = false; })},
        Damage{"FlagsOfTheNextError",
               change_where<Gemm>(has_flags, [](auto& g) { g.flags.first += 1; })},
        Damage{"ErrorsOfTheRowAbove",
               change_where<Gemm>(has_flags, [](auto& g) { g.padding_h += 1; })},
        Damage{
            "StationaryFlagsOfTheNext",
            change_where<WeightLoad>([](const WeightLoad& w) { return w.weights.flags.exists(); },
                                     [](auto& w) { w.weights.flags.first += 1; })},
        Damage{"OsStationaryFlagsOfTheNext",
               change_where<Gemm>([](const Gemm& g) { return g.weights.flags.exists(); },
                                  [](auto& g) { g.weights.flags.first += 1; }),
               Dataflow::os},
        Damage{"GradientOfAnotherWeight",
               change_where<Drain>([](const Drain& d) { return d.source.turned; },
                                   [](auto& d) { d.source.address += 1; })},
        Damage{"DrainsWithoutScale",
               change_where<Drain>([](const Drain& d) { return d.scale_address >= 0; },
                                   [](auto& d) { d.scale_address = d.largest_address; })},
        Damage{"UpdateTooEarly", forget_wait_of(Unit::update)},
        Damage{"DrainTooEarly", forget_wait_of(Unit::drain)},
        Damage{"VectorTooEarly", forget_wait_of(Unit::vector)},
        Damage{"LoadTooEarly", forget_wait_of(Unit::dma_read)}),
    [](const auto& parameter) { return std::string(parameter.param.name); });

}  // namespace
}  // namespace wagesim::test
