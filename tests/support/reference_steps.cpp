// See reference_steps.h.
#include "reference_steps.h"

#include <stdexcept>

#include "wagesim/trace/npz.h"

namespace wagesim::test {
namespace {

using Arrays = std::map<std::string, trace::NpyArray>;

/// Where an array of one step belongs.
struct Place {
    std::string layer;
    Qp qp = Qp::y;
};

bool ends_with(const std::string& text, const std::string& end) {
    return text.size() >= end.size() &&
           text.compare(text.size() - end.size(), end.size(), end) == 0;
}

/// Names of int8.npz and paper.npz: conv1.y, bn1.e1, gamma1.acc, A1, E1_1, E1_1.masked, E2_1.
Place place_in_convnet(const std::string& key) {
    const auto dot = key.find('.');
    const std::string owner = key.substr(0, dot);
    const std::string point = dot == std::string::npos ? "" : key.substr(dot + 1);
    const std::string number = owner.substr(owner.size() - 1);
    if (owner == "softmax") return {"fc", Qp::e0};
    if (owner.rfind("gamma", 0) == 0)
        return {"bn" + number, point == "acc" ? Qp::Accq_gamma : Qp::gamma};
    if (owner.rfind("beta", 0) == 0)
        return {"bn" + number, point == "acc" ? Qp::Accq_beta : Qp::beta};
    if (owner[0] == 'A') return {"relu" + number, Qp::A};
    if (owner.rfind("E1_", 0) == 0) return {"relu" + number, point.empty() ? Qp::E1 : Qp::E1m};
    if (owner.rfind("E2_", 0) == 0) return {"conv" + number, Qp::E2};
    static const std::map<std::string, Qp> points{{"sg", Qp::sigma},   {"xh", Qp::xhat},
                                                  {"gq", Qp::gamma_q}, {"e1", Qp::bn_err},
                                                  {"acc", Qp::Accq},   {"master", Qp::W}};
    const auto known = points.find(point);
    return {owner, known != points.end() ? known->second : qp_from_string(point).value()};
}

/// Names of resnet8.npz: block1.bn1.A, block1.conv1.E2, block2.bn1.fork, gap.pool_err, stream.
/// What is at a batch norm's activation belongs to its ReLU here, a fork to the layer where the
/// errors meet.
Place place_in_resnet(const std::string& key) {
    if (key == "stream") return {"block3.add", Qp::stream};
    if (key == "block1.conv1.fork") return {"conv0", Qp::fork};
    const auto dot = key.rfind('.');
    const std::string owner = key.substr(0, dot), point = key.substr(dot + 1);
    const Qp qp = point == "master" ? Qp::W : qp_from_string(point).value();
    const auto bn = owner.find("bn");
    const bool at_activation = qp == Qp::A || qp == Qp::E1 || qp == Qp::fork;
    if (bn == std::string::npos || !at_activation) return {owner, qp};
    return {owner.substr(0, bn) + "relu" + owner.substr(bn + 2), qp};
}

int layer_index(const Network& network, const std::string& name) {
    for (std::size_t i = 0; i < network.layers.size(); ++i)
        if (network.layers[i].name == name) return static_cast<int>(i);
    throw std::runtime_error("reference steps: no layer " + name);
}

}  // namespace

ReferenceRun read_reference_run(const std::string& name) {
    const bool is_resnet = name == "resnet8";
    const Arrays arrays =
        trace::read_npz(std::string(WAGESIM_TRACES_DIR) + "/steps/" + name + ".npz");
    ReferenceRun run;
    run.preset = name == "paper" ? "paper" : "int8";
    run.network_file =
        std::string(WAGESIM_NETWORKS_DIR) + (is_resnet ? "/resnet8" : "/convnet") + ".json";
    run.network = read_network(run.network_file);
    run.batch = is_resnet ? 2 : 4;
    run.steps.resize(2);

    const auto& images = arrays.at("images").codes;
    const auto& labels = arrays.at("labels").codes;
    for (std::size_t i = 0; i < images.size(); ++i)
        run.steps[2 * i / images.size()].images.push_back(static_cast<std::uint8_t>(images[i]));
    for (std::size_t i = 0; i < labels.size(); ++i)
        run.steps[2 * i / labels.size()].labels.push_back(static_cast<int>(labels[i]));

    std::map<std::string, int> exponents;  // by the name of their tensor
    for (const auto& [key, array] : arrays)
        if (ends_with(key, ".exponent"))
            exponents[key.substr(0, key.rfind('.'))] = static_cast<int>(array.codes.front());

    for (const auto& [key, array] : arrays) {
        if (key.rfind("init/", 0) == 0) {
            run.weights[layer_index(run.network, key.substr(5))] = array.codes;
            continue;
        }
        // A flag is set where the expanded operand is 128 or more in magnitude.
        if (key.rfind("step", 0) != 0 || ends_with(key, ".exponent") || ends_with(key, ".flag"))
            continue;
        ReferenceStep& step = run.steps.at(static_cast<std::size_t>(key[4] - '0'));
        if (ends_with(key, ".rand16")) {
            const std::string owner = key.substr(6, key.rfind('.') - 6);
            auto& draws = step.draws[layer_index(run.network, owner)];
            for (const auto draw : array.codes) draws.push_back(static_cast<std::uint16_t>(draw));
            continue;
        }
        const Place place =
            is_resnet ? place_in_resnet(key.substr(6)) : place_in_convnet(key.substr(6));
        const bool is_used = place.qp == Qp::Wq || place.qp == Qp::gamma_q;
        ReferenceTensor& tensor =
            (is_used ? step.used : step.shown)[{layer_index(run.network, place.layer), place.qp}];
        if (!tensor.name.empty())
            throw std::runtime_error("reference steps: " + key + " has the place of " +
                                     tensor.name);
        tensor.name = key;
        tensor.codes = array.codes;
        // fc.gW of the small network counts in the units of E1's codes.
        if (!is_resnet && place.layer == "fc" && place.qp == Qp::gW)
            for (auto& code : tensor.codes) code *= 128;
        const std::string of = ends_with(key, ".masked") ? key.substr(0, key.rfind('.')) : key;
        if (const auto known = exponents.find(of); known != exponents.end())
            tensor.exponent = known->second;
    }
    return run;
}

}  // namespace wagesim::test
