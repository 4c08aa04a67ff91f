// Random networks on random machines with random datapaths, as files a user could write.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "experiment.h"

namespace wagesim::test {

class RandomCase {
public:
    using Json = nlohmann::ordered_json;

    explicit RandomCase(std::uint64_t seed) : random_(seed) {
        batch_statistics = random_.chance(40);
        folded = !batch_statistics && random_.chance(35);
        reciprocal = random_.chance(30);
        make_network(seed);
        make_datapath();
        wild_weights = random_.chance(30);
        batch = random_.between(1, 3);
        second_batch = random_.chance(40) ? random_.between(1, 3) : 0;
        output_stationary = random_.chance(50);
        datapath["machine"]["dataflow"] = output_stationary ? "os" : "ws";
    }

    Json network, datapath;
    bool batch_statistics = false, folded = false, reciprocal = false;
    bool output_stationary = false;
    bool wild_weights = false;  ///< over the whole range: sums that overflow short accumulators
    std::int64_t batch = 1, second_batch = 0;

    Experiment experiment(std::uint32_t seed) const {
        Experiment e;
        e.network = network.dump();
        e.datapath = datapath.dump();
        e.batch_norm = batch_statistics ? compile::BatchNorm::batch : compile::BatchNorm::running;
        e.batches = {batch};
        if (second_batch > 0) e.batches.push_back(second_batch);
        e.seed = seed;
        e.set_parameters = [wild = wild_weights, seed](const Network&, const Datapath&,
                                                       app::Parameters& parameters) {
            Random random(seed + 1000);
            for (auto& [key, tensor] : parameters)
                for (auto& code : tensor.codes) switch (key.second) {
                        case Qp::W:
                            if (wild) code = random.between(-(1 << 23) + 1, (1 << 23) - 1);
                            break;
                        case Qp::run_sigma:
                            // Now and then 0: only eps keeps the division defined.
                            code = random.chance(5) ? 0 : random.between(1 << 18, 1 << 23);
                            break;
                        case Qp::run_mu:
                            code = random.between(-(1 << 22), 1 << 22);
                            break;
                        default:
                            code = random.between(-(1 << 24) + 1, (1 << 24) - 1);
                            break;
                    }
        };
        return e;
    }

private:
    struct Extents {
        std::int64_t c = 1, h = 1, w = 1;
    };

    // ---- network: `last_` gives codes that the array takes, after every block ----------------

    std::string add(Json layer) {
        const std::string name = "l" + std::to_string(layers_.size());
        Json named{{"name", name}};
        named.update(layer);
        if (!named.contains("inputs")) named["inputs"] = {last_};
        layers_.push_back(named);
        return last_ = name;
    }

    void make_network(std::uint64_t seed) {
        shape_ = {random_.pick({1, 1, 2, 3, 5, 17}), random_.between(5, 12),
                  random_.between(5, 12)};
        network["name"] = "random" + std::to_string(seed);
        network["input"]["shape"] = {shape_.c, shape_.h, shape_.w};
        const auto blocks = random_.between(2, 5);
        for (std::int64_t i = 0; i < blocks; ++i) {
            const auto kind = random_.between(1, 10);
            if (kind <= 5 || (needs_array_ && kind > 8))
                convolution_block();
            else if (kind <= 8)
                residual_block();
            else if (kind == 9)
                pool();
            else
                normalise_again();
        }
        const auto end = random_.between(1, 10);
        if (end <= 7 || needs_array_) {
            if (random_.chance(40) && !needs_array_) add({{"type", "global_avg_pool"}});
            add({{"type", "linear"},
                 {"out_features", random_.between(1, 20)},
                 {"bias", random_.chance(50)}});
        } else if (end <= 9) {
            convolution(random_.between(1, 20));
        }
        network["layers"] = layers_;
    }

    void convolution(std::int64_t out_channels) {
        const auto kernel = [&](std::int64_t length) {
            return random_.between(1,
                                   std::min<std::int64_t>(length, random_.pick({1, 2, 3, 3, 5})));
        };
        const std::int64_t kh = kernel(shape_.h), kw = kernel(shape_.w);
        const std::int64_t ph = random_.between(0, kh / 2 + (random_.chance(10) ? 1 : 0));
        const std::int64_t pw = random_.between(0, kw / 2);
        const std::int64_t sh = random_.pick({1, 1, 2, 3}), sw = random_.pick({1, 1, 2});
        std::int64_t dilation = random_.pick({1, 1, 1, 2});
        if (dilation * (kh - 1) + 1 > shape_.h || dilation * (kw - 1) + 1 > shape_.w) dilation = 1;
        std::int64_t groups = random_.chance(30) ? random_.pick<std::int64_t>({2, 3, shape_.c}) : 1;
        if (shape_.c % groups != 0) groups = 1;
        out_channels = (out_channels + groups - 1) / groups * groups;
        add({{"type", "conv2d"},
             {"out_channels", out_channels},
             {"kernel", {kh, kw}},
             {"stride", {sh, sw}},
             {"padding", {ph, pw}},
             {"dilation", dilation},
             {"groups", groups},
             {"bias", random_.chance(40)}});
        shape_ = {out_channels, (shape_.h + 2 * ph - dilation * (kh - 1) - 1) / sh + 1,
                  (shape_.w + 2 * pw - dilation * (kw - 1) - 1) / sw + 1};
        needs_array_ = false;
    }

    std::string relu() { return add({{"type", random_.pick({"relu", "relu", "relu6"})}}); }

    void pool(const char* type = nullptr) {
        const std::int64_t kh = random_.between(1, std::min<std::int64_t>(3, shape_.h));
        const std::int64_t kw = random_.between(1, std::min<std::int64_t>(3, shape_.w));
        const std::int64_t stride = random_.between(1, 2), padding = random_.chance(30) ? 1 : 0;
        const std::int64_t ph = kh > 1 ? padding : 0, pw = kw > 1 ? padding : 0;
        add({{"type", type != nullptr ? type : random_.pick({"max_pool", "avg_pool"})},
             {"kernel", {kh, kw}},
             {"stride", stride},
             {"padding", {ph, pw}}});
        shape_.h = (shape_.h + 2 * ph - kh) / stride + 1;
        shape_.w = (shape_.w + 2 * pw - kw) / stride + 1;
    }

    void convolution_block() {
        convolution(random_.pick({1, 3, 4, 8, 13, 16, 18, 33}));
        switch (random_.between(1, 9)) {
            case 1:
            case 2:
            case 3:
                add({{"type", "batch_norm"}});
                relu();
                break;
            case 4:
                add({{"type", "batch_norm"}});
                needs_array_ = true;
                break;
            case 5:
                relu();
                break;
            case 6:
                pool("max_pool");
                add({{"type", "batch_norm"}});
                relu();
                break;
            case 7:
                pool("avg_pool");
                break;
            case 8:
                add({{"type", "batch_norm"}});
                pool("max_pool");
                needs_array_ = true;
                break;
            default:
                add({{"type", "batch_norm"}});
                if (!folded) pool(random_.pick({"max_pool", "avg_pool"}));
                relu();
        }
    }

    /// conv (- batch norm) + what stood there before, then one of the ways on.
    void residual_block() {
        const std::string skip = last_;
        add({{"type", "conv2d"}, {"out_channels", shape_.c}, {"kernel", 3}, {"padding", 1}});
        needs_array_ = false;
        if (random_.chance(40)) {
            add({{"type", "batch_norm"}});
            if (folded) relu();
        }
        const bool swap = random_.chance(50);
        add({{"type", "add"}, {"inputs", {swap ? skip : last_, swap ? last_ : skip}}});
        switch (random_.between(1, 5)) {
            case 1:
                relu();
                break;
            case 2:
                add({{"type", "batch_norm"}});
                relu();
                break;
            case 3:
                needs_array_ = true;
                break;
            case 4:
                pool("avg_pool");
                break;
            default:
                pool("max_pool");
                relu();
        }
    }

    void normalise_again() {
        add({{"type", "batch_norm"}});
        relu();
    }

    // ---- datapath and machine ----------------------------------------------------------------

    const char* rounding() {
        return random_.pick({"half_even", "half_up", "half_away", "floor", "toward_zero"});
    }
    const char* overflow() { return random_.pick({"saturate", "full", "wrap"}); }

    void make_datapath() {
        const auto array = random_.pick<std::pair<int, int>>(
            {{1, 1}, {4, 4}, {8, 16}, {16, 16}, {32, 8}, {3, 5}, {16, 16}});
        Json& m = datapath["machine"];
        m["array_rows"] = array.first;
        m["array_columns"] = array.second;
        m["vector_lanes"] = random_.pick({8, 16, 32, 5});
        m["update_lanes"] = random_.pick({1, 16});
        m["activation_buffer_bytes"] = random_.pick({16, 32, 128}) * 1024;
        m["accumulator_bytes"] = random_.pick({2 * 5 * 40 * array.second, 128 * 1024});
        m["weight_buffer_bytes"] = random_.pick({2 * array.first * array.second * 4, 64 * 1024});
        m["bank_bytes_per_cycle"] = random_.pick({4, 16});
        m["dram_bytes_per_cycle"] = random_.pick({1, 4, 16});
        m["dram_burst_bytes"] = random_.pick({16, 64});
        m["dram_latency_cycles"] = random_.pick({0, 7, 100});
        m["queue_depth"] = random_.pick({1, 2, 8});
        m["divider"] = random_.pick({"pipelined", "iterative"});
        m["accumulator_bits"] = random_.pick({40, 40, 20, 18, 16});
        m["accumulator_overflow"] = random_.pick({"wrap", "saturate"});
        datapath["normalize"] = reciprocal ? "reciprocal" : "divide";
        datapath["bn_inference"] = folded ? "folded" : "normalize";
        datapath["running_shift"] = random_.pick({0, 1, 4});

        Json& q = datapath["quantizers"];
        for (const char* point : {"Wq", "bias_q", "gamma_q", "beta_q", "mu", "sigma", "var",
                                  "run_mu", "run_sigma", "xhat", "A", "fold_b"}) {
            if (random_.chance(60)) q[point]["rounding"] = rounding();
            if (random_.chance(40)) q[point]["overflow"] = overflow();
        }
        if (random_.chance(25)) {
            q["xhat"]["bits"] = 10;
            q["xhat"]["frac"] = 7;
            q["x2"]["bits"] = 24;
        }
        if (random_.chance(25)) {
            q["A"]["bits"] = random_.between(4, 7);
            q["A"]["frac"] = random_.between(2, 5);
        }
        if (random_.chance(25)) {
            q["Wq"]["bits"] = random_.between(3, 7);
            q["Wq"]["frac"] = random_.between(2, 6);
        }
        if (random_.chance(25)) {
            q["mu"]["bits"] = 12;
            q["mu"]["frac"] = 8;
        }
        for (const auto& layer : layers_)
            if (layer["type"] == "relu" && random_.chance(20))
                datapath["layers"][layer["name"].get<std::string>()]["A"] = {
                    {"bits", random_.between(5, 8)}, {"frac", random_.between(2, 6)}};
    }

    Random random_;
    Json layers_ = Json::array();
    std::string last_ = "input";
    Extents shape_;
    bool needs_array_ = false;  ///< the last layer's exact output is codes only for an array layer
};

}  // namespace wagesim::test
