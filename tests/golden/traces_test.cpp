// The golden model against tensors of an independent integer implementation (traces/steps).
#include <set>
#include <stdexcept>
#include <string>

#include "golden_case.h"
#include "wagesim/trace/npz.h"

namespace wagesim::golden {
namespace {

struct Expected {
    const char* layer;
    Qp qp;
    const char* key;
};

class Trace {
public:
    Trace(const std::string& file, const std::string& input, const std::string& layers)
        : case_(input, layers),
          arrays_(trace::read_npz(std::string(WAGESIM_TRACES_DIR) + "/steps/" + file)) {
        case_.options.batch_norm = BatchNorm::batch;
        for (const std::int64_t pixel : at("images").codes)
            case_.pixels.push_back(static_cast<std::uint8_t>(pixel));
        case_.batch = at("images").shape.at(0);
        for (const auto& [key, values] : case_.parameters)
            if (key.second == Qp::W) {
                const std::string& name =
                    case_.network.layers[static_cast<std::size_t>(key.first)].name;
                case_.set(name, Qp::W, at("init/" + name).codes, 23);
            }
    }

    const trace::NpyArray& at(const std::string& key) {
        const auto found = arrays_.find(key);
        if (found == arrays_.end()) throw std::runtime_error("no array " + key);
        used_.insert(key);
        return found->second;
    }

    void expect_all(const std::vector<Expected>& expected) {
        std::map<std::string, std::map<Qp, Tensor>> points;
        CaseModel model = case_.model();
        for (std::size_t i = 0; i < case_.network.layers.size(); ++i)
            points[case_.network.layers[i].name] = model.layer(static_cast<int>(i));
        for (const Expected& e : expected) {
            const auto& layer = points[e.layer];
            ASSERT_EQ(layer.count(e.qp), 1U) << e.key;
            const Tensor& tensor = layer.at(e.qp);
            EXPECT_TRUE(tensor.certified) << e.key << ": " << tensor.why_not;
            EXPECT_EQ(codes_of(tensor), at(std::string("step0/") + e.key).codes) << e.key;
            elements += tensor.values.size();
        }
        for (const auto& [key, array] : arrays_) {
            const bool is_expected = key.rfind("step0/", 0) == 0;
            EXPECT_TRUE(!is_expected || used_.count(key) == 1) << key << " was not compared";
        }
    }

    std::size_t elements = 0;

private:
    Case case_;
    std::map<std::string, trace::NpyArray> arrays_;
    std::set<std::string> used_;
};

TEST(Traces, ConvnetForwardIsReproducedBitForBit) {
    Trace trace("int8_forward.npz", "[1, 28, 28]", R"(
        {"name": "conv1", "type": "conv2d", "out_channels": 16, "kernel": 3, "padding": 1},
        {"name": "bn1", "type": "batch_norm"}, {"name": "relu1", "type": "relu"},
        {"name": "pool1", "type": "max_pool", "kernel": 2},
        {"name": "conv2", "type": "conv2d", "out_channels": 32, "kernel": 3, "padding": 1},
        {"name": "bn2", "type": "batch_norm"}, {"name": "relu2", "type": "relu"},
        {"name": "pool2", "type": "max_pool", "kernel": 2},
        {"name": "fc", "type": "linear", "out_features": 10})");
    trace.expect_all({
        {"conv1", Qp::Wq, "conv1.Wq"},
        {"conv1", Qp::y, "conv1.y"},
        {"bn1", Qp::mu, "bn1.mu"},
        {"bn1", Qp::sigma, "bn1.sg"},
        {"bn1", Qp::gamma_q, "bn1.gq"},
        {"bn1", Qp::xhat, "bn1.xh"},
        {"bn1", Qp::x2, "bn1.x2"},
        {"relu1", Qp::A, "A1"},
        {"conv2", Qp::Wq, "conv2.Wq"},
        {"conv2", Qp::y, "conv2.y"},
        {"bn2", Qp::mu, "bn2.mu"},
        {"bn2", Qp::sigma, "bn2.sg"},
        {"bn2", Qp::gamma_q, "bn2.gq"},
        {"bn2", Qp::xhat, "bn2.xh"},
        {"bn2", Qp::x2, "bn2.x2"},
        {"relu2", Qp::A, "A2"},
        {"fc", Qp::Wq, "fc.Wq"},
        {"fc", Qp::z, "fc.z"},
    });
    EXPECT_GT(trace.elements, 300000U);
}

TEST(Traces, ResidualNetworkForwardIsReproducedBitForBit) {
    Trace trace("resnet8_forward.npz", "[1, 28, 28]", R"(
        {"name": "conv0", "type": "conv2d", "out_channels": 16, "kernel": 3, "padding": 1},
        {"name": "block1.bn1", "type": "batch_norm"}, {"name": "block1.relu1", "type": "relu"},
        {"name": "block1.conv1", "type": "conv2d", "out_channels": 16, "kernel": 3, "padding": 1},
        {"name": "block1.bn2", "type": "batch_norm"}, {"name": "block1.relu2", "type": "relu"},
        {"name": "block1.conv2", "type": "conv2d", "out_channels": 16, "kernel": 3, "padding": 1},
        {"name": "block1.add", "type": "add", "inputs": ["conv0", "block1.conv2"]},
        {"name": "block2.bn1", "type": "batch_norm"}, {"name": "block2.relu1", "type": "relu"},
        {"name": "block2.conv1", "type": "conv2d", "out_channels": 32, "kernel": 3, "stride": 2,
         "padding": 1},
        {"name": "block2.bn2", "type": "batch_norm"}, {"name": "block2.relu2", "type": "relu"},
        {"name": "block2.conv2", "type": "conv2d", "out_channels": 32, "kernel": 3, "padding": 1},
        {"name": "block2.short", "type": "conv2d", "inputs": ["block2.relu1"], "out_channels": 32,
         "kernel": 1, "stride": 2},
        {"name": "block2.add", "type": "add", "inputs": ["block2.conv2", "block2.short"]},
        {"name": "block3.bn1", "type": "batch_norm"}, {"name": "block3.relu1", "type": "relu"},
        {"name": "block3.conv1", "type": "conv2d", "out_channels": 64, "kernel": 3, "stride": 2,
         "padding": 1},
        {"name": "block3.bn2", "type": "batch_norm"}, {"name": "block3.relu2", "type": "relu"},
        {"name": "block3.conv2", "type": "conv2d", "out_channels": 64, "kernel": 3, "padding": 1},
        {"name": "block3.short", "type": "conv2d", "inputs": ["block3.relu1"], "out_channels": 64,
         "kernel": 1, "stride": 2},
        {"name": "block3.add", "type": "add", "inputs": ["block3.conv2", "block3.short"]},
        {"name": "bn_final", "type": "batch_norm"}, {"name": "relu_final", "type": "relu"},
        {"name": "gap", "type": "global_avg_pool"},
        {"name": "fc", "type": "linear", "out_features": 10})");
    const std::vector<Expected> expected{
        {"conv0", Qp::Wq, "conv0.Wq"},
        {"conv0", Qp::y, "conv0.y"},
        {"block1.bn1", Qp::sigma, "block1.bn1.sigma"},
        {"block1.bn1", Qp::xhat, "block1.bn1.xhat"},
        {"block1.relu1", Qp::A, "block1.bn1.A"},
        {"block1.conv1", Qp::Wq, "block1.conv1.Wq"},
        {"block1.conv1", Qp::y, "block1.conv1.y"},
        {"block1.bn2", Qp::sigma, "block1.bn2.sigma"},
        {"block1.bn2", Qp::xhat, "block1.bn2.xhat"},
        {"block1.relu2", Qp::A, "block1.bn2.A"},
        {"block1.conv2", Qp::Wq, "block1.conv2.Wq"},
        {"block1.conv2", Qp::y, "block1.conv2.y"},
        {"block2.bn1", Qp::sigma, "block2.bn1.sigma"},
        {"block2.bn1", Qp::xhat, "block2.bn1.xhat"},
        {"block2.relu1", Qp::A, "block2.bn1.A"},
        {"block2.conv1", Qp::Wq, "block2.conv1.Wq"},
        {"block2.conv1", Qp::y, "block2.conv1.y"},
        {"block2.bn2", Qp::sigma, "block2.bn2.sigma"},
        {"block2.bn2", Qp::xhat, "block2.bn2.xhat"},
        {"block2.relu2", Qp::A, "block2.bn2.A"},
        {"block2.conv2", Qp::Wq, "block2.conv2.Wq"},
        {"block2.conv2", Qp::y, "block2.conv2.y"},
        {"block2.short", Qp::Wq, "block2.short.Wq"},
        {"block2.short", Qp::y, "block2.short.y"},
        {"block3.bn1", Qp::sigma, "block3.bn1.sigma"},
        {"block3.bn1", Qp::xhat, "block3.bn1.xhat"},
        {"block3.relu1", Qp::A, "block3.bn1.A"},
        {"block3.conv1", Qp::Wq, "block3.conv1.Wq"},
        {"block3.conv1", Qp::y, "block3.conv1.y"},
        {"block3.bn2", Qp::sigma, "block3.bn2.sigma"},
        {"block3.bn2", Qp::xhat, "block3.bn2.xhat"},
        {"block3.relu2", Qp::A, "block3.bn2.A"},
        {"block3.conv2", Qp::Wq, "block3.conv2.Wq"},
        {"block3.conv2", Qp::y, "block3.conv2.y"},
        {"block3.short", Qp::Wq, "block3.short.Wq"},
        {"block3.short", Qp::y, "block3.short.y"},
        {"block3.add", Qp::stream, "stream"},
        {"bn_final", Qp::sigma, "bn_final.sigma"},
        {"bn_final", Qp::xhat, "bn_final.xhat"},
        {"relu_final", Qp::A, "bn_final.A"},
        {"gap", Qp::A, "gap.A"},
        {"fc", Qp::Wq, "fc.Wq"},
        {"fc", Qp::z, "fc.z"},
    };
    trace.expect_all(expected);
    EXPECT_GT(trace.elements, 300000U);
}

}  // namespace
}  // namespace wagesim::golden
