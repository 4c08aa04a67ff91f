// The hardware model against tensors of an independent integer implementation (traces/steps).
#include <gtest/gtest.h>

#include "experiment.h"
#include "wagesim/trace/npz.h"

namespace wagesim::test {
namespace {

using Arrays = std::map<std::string, trace::NpyArray>;

Outcome run_trace(const std::string& network, const Arrays& arrays) {
    Experiment experiment;
    experiment.network = network_file(network);
    experiment.batch_norm = compile::BatchNorm::batch;
    experiment.keep_codes = true;
    experiment.batches = {arrays.at("images").shape[0]};
    for (const auto pixel : arrays.at("images").codes)
        experiment.pixels.push_back(static_cast<std::uint8_t>(pixel));
    experiment.set_parameters = [&arrays](const Network& net, const Datapath&,
                                          app::Parameters& parameters) {
        for (auto& [key, tensor] : parameters)
            if (key.second == Qp::W)
                tensor.codes = arrays.at("init/" + net.name_of(key.first)).codes;
    };
    return run(experiment);
}

/// Compares every array of the step; `name_of` gives the tensor's name here.
void expect_all(const Outcome& outcome, const Arrays& arrays,
                const std::function<std::string(const std::string&)>& name_of,
                std::int64_t least_elements) {
    EXPECT_TRUE(outcome.clean) << outcome.story();
    std::int64_t elements = 0;
    for (const auto& [key, array] : arrays) {
        if (key.rfind("step0/", 0) != 0) continue;
        const std::string name = name_of(key.substr(6));
        ASSERT_EQ(outcome.tensors.count(name), 1U) << key << " is " << name << "?";
        EXPECT_EQ(outcome.tensors.at(name), array.codes) << key;
        elements += static_cast<std::int64_t>(array.codes.size());
    }
    EXPECT_GT(elements, least_elements);
}

TEST(Anchors, ConvnetOnTheMachineEqualsTheIndependentImplementation) {
    const Arrays arrays = trace::read_npz(WAGESIM_TRACES_DIR "/steps/int8_forward.npz");
    const std::map<std::string, std::string> points{
        {"sg", "sigma"}, {"xh", "xhat"}, {"gq", "gamma_q"}};
    expect_all(
        run_trace("convnet", arrays), arrays,
        [&](const std::string& key) -> std::string {
            if (key == "A1") return "relu1.A";
            if (key == "A2") return "relu2.A";
            const auto dot = key.find('.');
            const auto point = points.find(key.substr(dot + 1));
            return point == points.end() ? key : key.substr(0, dot + 1) + point->second;
        },
        300000);
}

TEST(Anchors, ResidualNetworkOnTheMachineEqualsTheIndependentImplementation) {
    const Arrays arrays = trace::read_npz(WAGESIM_TRACES_DIR "/steps/resnet8_forward.npz");
    expect_all(
        run_trace("resnet8", arrays), arrays,
        [](const std::string& key) -> std::string {
            if (key == "stream") return "block3.add.stream";
            // The trace names an activation after its batch norm, here it is the ReLU's.
            const auto dot = key.rfind('.');
            const std::string layer = key.substr(0, dot);
            if (key.substr(dot) != ".A" || layer == "gap") return key;
            if (layer == "bn_final") return "relu_final.A";
            return layer.substr(0, layer.find('.')) + ".relu" + layer.back() + ".A";
        },
        300000);
}

}  // namespace
}  // namespace wagesim::test
