// The golden model's training step against two steps of an independent integer implementation.
#include "golden/training.h"

#include <gtest/gtest.h>

#include <cmath>

#include "reference_steps.h"

namespace wagesim::golden {
namespace {

using test::ReferenceRun;
using test::ReferenceStep;
using test::ReferenceTensors;

std::string name_of(const Network& network, const std::pair<int, Qp>& key) {
    return network.name_of(key.first) + "." + std::string(to_string(key.second));
}

std::vector<std::int64_t> codes_in_file_order(const Tensor& tensor) {
    std::vector<std::int64_t> codes;
    for (const double value : to_file_order(tensor.shape, tensor.values))
        codes.push_back(
            static_cast<std::int64_t>(std::ldexp(value, tensor.frac - tensor.exponent)));
    return codes;
}

class ReferenceSteps : public testing::TestWithParam<const char*> {
protected:
    ReferenceSteps()
        : run_(test::read_reference_run(GetParam())),
          datapath_(preset(run_.preset)),
          model_(run_.network, datapath_) {
        Parameters state = initial_parameters(run_.network, datapath_, 1);
        for (const auto& [layer, codes] : run_.weights) {
            std::vector<double> values;
            for (const std::int64_t code : codes)
                values.push_back(std::ldexp(static_cast<double>(code), -23));
            state[{layer, Qp::W}] = to_memory_order(shape_of_weights(layer), values);
        }
        model_.set_state(state);
    }

    Shape shape_of_weights(int layer) const {
        return weight_shape(run_.network.layers[static_cast<std::size_t>(layer)]);
    }
    Draws draws_of(const ReferenceStep& step) const {
        Draws draws;
        for (const auto& [layer, values] : step.draws)
            draws[layer] = to_memory_order(shape_of_weights(layer), values);
        return draws;
    }
    std::int64_t expect_equal(const ReferenceTensors& expected, const Points& points) const {
        std::int64_t elements = 0;
        for (const auto& [key, reference] : expected) {
            const auto found = points.find(key);
            if (found == points.end()) {
                ADD_FAILURE() << name_of(run_.network, key) << " is not there";
                continue;
            }
            const Tensor& tensor = *found->second;
            EXPECT_TRUE(tensor.certified) << reference.name << ": " << tensor.why_not;
            EXPECT_TRUE(codes_in_file_order(tensor) == reference.codes)
                << reference.name << " is not " << name_of(run_.network, key);
            if (reference.exponent) {
                EXPECT_EQ(tensor.exponent, *reference.exponent) << reference.name;
            }
            elements += static_cast<std::int64_t>(reference.codes.size());
        }
        return elements;
    }

    const ReferenceRun run_;
    const Datapath datapath_;
    TrainingModel model_;
};

TEST_P(ReferenceSteps, AreReproducedBitForBitAndCertified) {
    std::int64_t elements = 0;
    for (std::uint32_t i = 0; i < run_.steps.size(); ++i) {
        const ReferenceStep& step = run_.steps[i];
        elements += expect_equal(step.used, model_.quantized_state());
        const Draws draws = draws_of(step);
        const StepRegisters registers{1, i, test::reference_lr, test::reference_dr_log2};
        const StepResult result = model_.step(step.images, step.labels, registers, &draws);
        elements += expect_equal(step.shown, result.points);
        for (const auto& [key, tensor] : result.points)
            EXPECT_TRUE(tensor->certified) << name_of(run_.network, key) << tensor->why_not;
    }
    EXPECT_GT(elements, 1000000);
}

INSTANTIATE_TEST_SUITE_P(Training, ReferenceSteps, testing::Values("int8", "paper", "resnet8"),
                         [](const auto& name) { return std::string(name.param); });

}  // namespace
}  // namespace wagesim::golden
