// The reference training steps on the machine: every tensor, bit for bit.
#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "child_process.h"
#include "compile/compile.h"
#include "machine.h"
#include "reference_steps.h"

namespace wagesim::rtl {
namespace {

using test::ReferenceRun;
using test::ReferenceTensors;

using Point = std::pair<int, Qp>;

/// Index in file order of the k-th element in memory.
std::int64_t file_index(const Shape& s, MemoryOrder order, std::int64_t k) {
    if (order == MemoryOrder::flat) return k;
    const std::int64_t c = k % s.c, w = k / s.c % s.w, h = k / (s.c * s.w) % s.h;
    return s.index(k / (s.c * s.w * s.h), c, h, w);
}

/// Collects what is shown, in file order.
class Collector : public Probe {
public:
    struct Shown {
        std::vector<std::int64_t> codes;
        std::vector<bool> present;
        std::set<int> exponents;
    };
    std::map<Point, Shown> shown;
    std::string complaint;

    Collector(const Network& network, const Program& program, const ReferenceTensors& wanted)
        : network_(network) {
        for (const auto& [point, tensor] : wanted) {
            Shown& place = shown[point];
            place.codes.resize(tensor.codes.size());
            place.present.resize(tensor.codes.size());
        }
        for (const DramTensor& tensor : program.tensors)
            if (tensor.role == Role::codes) tensors_[{tensor.qp.layer, tensor.qp.qp}] = &tensor;
    }

    void on_tap(const Tap& tap) override {
        const Point point{tap.qp.layer, tap.qp.qp};
        const auto found = shown.find(point);
        if (found == shown.end()) return;
        Shown& tensor = found->second;
        tensor.exponents.insert(tap.format.exponent);
        if (tap.first >= 0) {
            // G has the order of its weights.
            const auto memory =
                tensors_.find({point.first, point.second == Qp::G ? Qp::W : point.second});
            const bool is_known = memory != tensors_.end();
            for (std::int32_t i = 0; i < tap.box.c; ++i)
                put(tensor, point,
                    is_known
                        ? file_index(memory->second->shape, memory->second->order, tap.first + i)
                        : tap.first + i,
                    tap.codes[i]);
            return;
        }
        const Shape shape = shape_of(point);
        std::size_t i = 0;
        const Box& b = tap.box;
        for (std::int32_t n = 0; n < b.n; ++n)
            for (std::int32_t h = 0; h < b.h; ++h)
                for (std::int32_t w = 0; w < b.w; ++w)
                    for (std::int32_t c = 0; c < b.c; ++c, ++i)
                        put(tensor, point,
                            shape.index(b.n0 + n, b.c0 + c, b.h0 + h * b.step_h,
                                        b.w0 + w * b.step_w),
                            tap.codes[i]);
    }
    void on_retired(const Retired&) override {}

private:
    /// In which the box lies.
    Shape shape_of(const Point& point) const {
        const Layer& layer = network_.layers[static_cast<std::size_t>(point.first)];
        const auto size = static_cast<std::int64_t>(shown.at(point).codes.size());
        const Shape out = layer.out_shape, in = layer.in_shape;
        switch (point.second) {
            case Qp::gW:
                return weight_shape(layer);
            case Qp::dx:  // a linear layer's is flattened
                if (layer.type == LayerType::linear) return {size, in.c * in.h * in.w, 1, 1};
                return {size, in.c, in.h, in.w};
            case Qp::mu:
            case Qp::sigma:
            case Qp::g_beta:
            case Qp::g_gamma:
                return {1, out.c, 1, 1};
            default:
                return {size, out.c, out.h, out.w};
        }
    }
    void put(Shown& tensor, const Point& point, std::int64_t index, std::int64_t code) {
        const auto i = static_cast<std::size_t>(index);
        if (index < 0 || i >= tensor.codes.size() || tensor.present[i]) {
            complaint = std::string(to_string(point.second)) + " of layer " +
                        std::to_string(point.first) + ": element " + std::to_string(index) +
                        (index < 0 || i >= tensor.codes.size() ? " does not exist" : " twice");
            return;
        }
        tensor.present[i] = true;
        tensor.codes[i] = code;
    }

    const Network& network_;
    std::map<Point, const DramTensor*> tensors_;
};

/// Every difference, a line a tensor; empty: there is none.
std::string differences(const Collector& collector, const ReferenceTensors& wanted) {
    std::string text = collector.complaint.empty() ? "" : collector.complaint + "\n";
    for (const auto& [point, expected] : wanted) {
        const Collector::Shown& shown = collector.shown.at(point);
        std::size_t wrong = 0, missing = 0, first = 0;
        for (std::size_t i = expected.codes.size(); i-- > 0;) {
            if (shown.present[i] && shown.codes[i] == expected.codes[i]) continue;
            ++(shown.present[i] ? wrong : missing);
            first = i;
        }
        if (wrong + missing > 0)
            text += expected.name + ": " + std::to_string(wrong) + " wrong, " +
                    std::to_string(missing) + " missing of " +
                    std::to_string(expected.codes.size()) + ", first at " + std::to_string(first) +
                    ": expected " + std::to_string(expected.codes[first]) + ", shown " +
                    std::to_string(shown.codes[first]) + "\n";
        if (!expected.exponent) continue;
        if (shown.exponents != std::set<int>{*expected.exponent}) {
            text += expected.name + ": expected exponent " + std::to_string(*expected.exponent) +
                    ", shown";
            for (const int exponent : shown.exponents) text += " " + std::to_string(exponent);
            text += "\n";
        }
    }
    return text;
}

struct Setting {
    std::string file;
    Dataflow dataflow = Dataflow::ws;
    int rows = 16, columns = 16;
    std::uint32_t stall_seed = 0;
};

/// A machine, its Dram as the host fills it, and two steps.
class Steps {
public:
    Steps(const Setting& setting, Fidelity fidelity)
        : run_(test::read_reference_run(setting.file)), datapath_(preset(run_.preset)) {
        datapath_.machine.dataflow = setting.dataflow;
        datapath_.machine.array_rows = setting.rows;
        datapath_.machine.array_columns = setting.columns;
        programs_ = compile::compile_training(run_.network, datapath_, run_.batch);
        MachineOptions options;
        options.fidelity = fidelity;
        options.stall_seed = setting.stall_seed;
        options.draws = [this](std::uint32_t op, std::int64_t i) { return draw(op, i); };
        machine_ = std::make_unique<Machine>("machine", datapath_.machine, options);
    }

    /// The cycles of each run, and what differs.
    std::string report() {
        for (const DramTensor& tensor : programs_.step.tensors)
            if (tensor.from_host && tensor.qp.layer >= 0) write(tensor, start_codes(tensor));
        std::string text, wrong;
        const ReferenceTensors& used = run_.steps[0].used;
        Collector prepare(run_.network, programs_.prepare, used);
        text += std::to_string(machine_->run(programs_.prepare, prepare).cycles);
        wrong += differences(prepare, used);
        for (step_ = 0; step_ < run_.steps.size(); ++step_) {
            for (const DramTensor& tensor : programs_.step.tensors)
                if (tensor.from_host && tensor.qp.layer < 0) write(tensor, start_codes(tensor));
            ReferenceTensors wanted = run_.steps[step_].shown;
            if (step_ + 1 < run_.steps.size())
                for (const auto& [point, tensor] : run_.steps[step_ + 1].used)
                    wanted[point] = tensor;
            Collector collector(run_.network, programs_.step, wanted);
            StepRegisters registers;
            registers.step = static_cast<std::uint32_t>(step_);
            registers.lr = test::reference_lr;
            registers.dr_log2 = test::reference_dr_log2;
            text +=
                " " + std::to_string(machine_->run(programs_.step, collector, registers).cycles);
            wrong += differences(collector, wanted);
        }
        return text + " cycles\n" + wrong;
    }

private:
    std::vector<std::int64_t> start_codes(const DramTensor& tensor) const {
        std::vector<std::int64_t> codes(static_cast<std::size_t>(tensor.shape.size()), 0);
        const auto& step = run_.steps[step_];
        switch (tensor.qp.qp) {
            case Qp::image:
                if (tensor.role == Role::labels)
                    codes.assign(step.labels.begin(), step.labels.end());
                else
                    for (std::size_t i = 0; i < codes.size(); ++i)
                        codes[i] = std::int64_t{step.images[i]} - 128;
                break;
            case Qp::W:
                codes = run_.weights.at(tensor.qp.layer);
                break;
            case Qp::gamma:
            case Qp::run_sigma:
                codes.assign(codes.size(), std::int64_t{1} << tensor.format.frac);
                break;
            default:
                break;
        }
        return codes;
    }
    void write(const DramTensor& tensor, const std::vector<std::int64_t>& codes) {
        std::vector<std::uint8_t> bytes;
        for (std::int64_t k = 0; k < tensor.shape.size(); ++k) {
            const std::int64_t code =
                codes[static_cast<std::size_t>(file_index(tensor.shape, tensor.order, k))];
            for (int b = 0; b < tensor.bytes; ++b)
                bytes.push_back(static_cast<std::uint8_t>(code >> (8 * b)));
        }
        machine_->write_dram(tensor.address, bytes.data(), static_cast<std::int64_t>(bytes.size()));
    }
    std::uint32_t draw(std::uint32_t op, std::int64_t i) const {
        const auto index = static_cast<int>(op / 16);
        const Layer& layer = run_.network.layers[static_cast<std::size_t>(index)];
        const MemoryOrder order =
            layer.type == LayerType::linear ? MemoryOrder::flat : MemoryOrder::ohwi;
        return run_.steps[step_].draws.at(index).at(
            static_cast<std::size_t>(file_index(weight_shape(layer), order, i)));
    }

    const ReferenceRun run_;
    Datapath datapath_;
    compile::TrainingPrograms programs_;
    std::unique_ptr<Machine> machine_;
    std::size_t step_ = 0;
};

std::string report_of(const Setting& setting, Fidelity fidelity) {
    return testing::in_child([&] { return Steps(setting, fidelity).report(); });
}

class ReferenceSteps : public ::testing::TestWithParam<Setting> {};

TEST_P(ReferenceSteps, AreTheMachinesBitForBitInBothFidelities) {
    const std::string tile = report_of(GetParam(), Fidelity::tile);
    const std::size_t line = tile.find('\n');
    ASSERT_NE(line, std::string::npos) << tile;
    EXPECT_EQ(tile.substr(line + 1), "") << "after " << tile.substr(0, line);
    EXPECT_EQ(report_of(GetParam(), Fidelity::register_accurate), tile);
}

std::vector<Setting> settings() {
    std::vector<Setting> all;
    for (const char* file : {"int8", "paper", "resnet8"}) {
        all.push_back({file, Dataflow::ws, 16, 16, 0});
        all.push_back({file, Dataflow::os, 16, 16, 0});
        all.push_back({file, Dataflow::ws, 32, 8, 7});
    }
    all.push_back({"int8", Dataflow::os, 5, 32, 3});
    return all;
}

std::string name_of(const ::testing::TestParamInfo<Setting>& info) {
    const Setting& s = info.param;
    return s.file + (s.dataflow == Dataflow::ws ? "_ws_" : "_os_") + std::to_string(s.rows) + "x" +
           std::to_string(s.columns) + "_stalls" + std::to_string(s.stall_seed);
}

INSTANTIATE_TEST_SUITE_P(Training, ReferenceSteps, ::testing::ValuesIn(settings()), name_of);

}  // namespace
}  // namespace wagesim::rtl
