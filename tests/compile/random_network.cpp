// Random networks and machines, the same for a seed on every platform.
#include "random_network.h"

#include <algorithm>

namespace wagesim::test {
namespace {

struct Extents {
    std::int64_t c = 1, h = 1, w = 1;
};

/// Grows a network from layer to layer; `codes_` tells whether the last output can go to an array
/// layer (or would be quantised for it).
class Grower {
public:
    Grower(Random& random, bool folded, bool trains)
        : random_(random), folded_(folded), trains_(trains) {
        extents_ = {random.between(1, 9), random.between(3, 13), random.between(3, 13)};
        head_ = "{\"name\": \"random\", \"input\": {\"shape\": [" + std::to_string(extents_.c) +
                ", " + std::to_string(extents_.h) + ", " + std::to_string(extents_.w) +
                "]}, \"layers\": [";
    }

    std::string grow() {
        const std::int64_t blocks = random_.between(2, 6);
        for (std::int64_t b = 0; b < blocks; ++b) block();
        if (!codes_) relu();
        switch (random_.between(0, 3)) {
            case 0:
                add("global_avg_pool");
                [[fallthrough]];
            case 1:
            case 2:
                linear();
                break;
            default:
                convolution(1 + random_.between(0, 20), trains_);
                break;
        }
        if (!trains_ && random_.chance(20)) relu();
        std::string text = head_;
        for (std::size_t i = 0; i < layers_.size(); ++i)
            text += (i > 0 ? ",\n" : "\n") + layers_[i];
        return text + "]}";
    }

private:
    std::string name(std::size_t index) const { return "l" + std::to_string(index); }
    std::string last() const { return layers_.empty() ? "input" : name(layers_.size() - 1); }

    void add(const std::string& type, const std::string& more = "",
             const std::string& inputs = "") {
        layers_.push_back("{\"name\": \"" + name(layers_.size()) + "\", \"type\": \"" + type +
                          "\", \"inputs\": [" + (inputs.empty() ? "\"" + last() + "\"" : inputs) +
                          "]" + more + "}");
    }
    void relu() {
        add(random_.chance(70) ? "relu" : "relu6");
        codes_ = true;
    }
    static std::string pair(std::int64_t h, std::int64_t w) {
        return "[" + std::to_string(h) + ", " + std::to_string(w) + "]";
    }

    void block() {
        if (trains_ && random_.chance(20)) {
            residual();
            return;
        }
        switch (random_.between(0, 9)) {
            case 0:
            case 1:
            case 2:
                pool();
                break;
            case 3:
                branch();
                break;
            case 4:
                normalise();
                break;
            default:
                if (!codes_) relu();
                convolution(random_.pick<std::int64_t>({1, 3, 4, 8, 13, 17, 24, 40}));
                if (random_.chance(70)) normalise();
                if (random_.chance(15)) pool();
                if (random_.chance(60)) relu();
                if (random_.chance(40)) pool();
                break;
        }
    }

    void normalise() {
        add("batch_norm");
        codes_ = false;
        if (folded_ || random_.chance(60)) relu();
    }

    /// `whole`: one window sees all.
    void convolution(std::int64_t out, bool whole = false) {
        const auto axis = [&](std::int64_t extent, std::int64_t& kernel, std::int64_t& stride,
                              std::int64_t& padding, std::int64_t& dilation) {
            kernel = random_.between(1, 4);
            stride = random_.between(1, 3);
            padding = random_.chance(60) ? random_.between(0, kernel) : 0;
            dilation = random_.chance(20) ? 2 : 1;
            while (dilation * (kernel - 1) + 1 > extent + 2 * padding) --kernel;
            if (whole) kernel = extent + 2 * padding, dilation = 1;
            return (extent + 2 * padding - dilation * (kernel - 1) - 1) / stride + 1;
        };
        std::int64_t kh = 0, kw = 0, sh = 0, sw = 0, ph = 0, pw = 0, dh = 0, dw = 0;
        const std::int64_t h = axis(extents_.h, kh, sh, ph, dh);
        const std::int64_t w = axis(extents_.w, kw, sw, pw, dw);
        std::int64_t groups = 1;
        if (random_.chance(30)) {
            groups = random_.chance(50) ? extents_.c : 2;
            if (extents_.c % groups != 0) groups = 1;
            out = std::max<std::int64_t>(out / groups, 1) * groups;
        }
        add("conv2d", ", \"out_channels\": " + std::to_string(out) +
                          ", \"kernel\": " + pair(kh, kw) + ", \"stride\": " + pair(sh, sw) +
                          ", \"padding\": " + pair(ph, pw) + ", \"dilation\": " + pair(dh, dw) +
                          ", \"groups\": " + std::to_string(groups) +
                          ", \"bias\": " + (random_.chance(40) ? "true" : "false"));
        extents_ = {out, h, w};
        codes_ = false;
    }

    void linear() {
        const std::int64_t out = random_.between(1, 40);
        add("linear", ", \"out_features\": " + std::to_string(out) +
                          ", \"bias\": " + (random_.chance(40) ? "true" : "false"));
        extents_ = {out, 1, 1};
        codes_ = false;
    }

    void pool() {
        const bool average = random_.chance(40);
        const auto axis = [&](std::int64_t extent, std::int64_t& kernel, std::int64_t& stride,
                              std::int64_t& padding) {
            kernel = random_.between(1, 3);
            stride = random_.chance(60) ? kernel : random_.between(1, 3);
            padding = random_.chance(25) ? random_.between(0, kernel - 1) : 0;
            while (kernel > extent + 2 * padding || (kernel > 1 && padding >= kernel)) --kernel;
            padding = std::min(padding, kernel - 1);
            if (kernel > extent + 2 * padding) kernel = extent, padding = 0;
            return (extent + 2 * padding - kernel) / stride + 1;
        };
        std::int64_t kh = 0, kw = 0, sh = 0, sw = 0, ph = 0, pw = 0;
        const std::int64_t h = axis(extents_.h, kh, sh, ph);
        const std::int64_t w = axis(extents_.w, kw, sw, pw);
        add(average ? "avg_pool" : "max_pool", ", \"kernel\": " + pair(kh, kw) + ", \"stride\": " +
                                                   pair(sh, sw) + ", \"padding\": " + pair(ph, pw));
        extents_.h = h;
        extents_.w = w;
        if (average) codes_ = true;
    }

    /// Two ways from one tensor that meet in an add.
    void branch() {
        if (!codes_) relu();
        const std::string from = last();
        const Extents start = extents_;
        const std::int64_t out = random_.pick<std::int64_t>({1, 5, 16, 20});
        const auto same = [&](std::int64_t kernel) {
            add("conv2d",
                ", \"out_channels\": " + std::to_string(out) + ", \"kernel\": " +
                    std::to_string(kernel) + ", \"padding\": " + std::to_string(kernel / 2),
                "\"" + from + "\"");
            codes_ = false;
        };
        same(3);
        extents_ = {out, start.h, start.w};
        if (random_.chance(50)) normalise();
        const std::string one = last();
        std::string other = from;
        if (start.c != out || random_.chance(50)) {
            same(1);
            if (random_.chance(30)) normalise();
            other = last();
        } else if (trains_ && random_.chance(50)) {
            const std::string kernel = std::to_string(random_.chance(50) ? 1 : 3);
            add(random_.chance(50) ? "max_pool" : "avg_pool",
                ", \"kernel\": " + kernel +
                    ", \"stride\": 1, \"padding\": " + (kernel == "3" ? "1" : "0"),
                "\"" + from + "\"");
            other = last();
        }
        const std::string inputs = random_.chance(50) ? "\"" + one + "\", \"" + other + "\""
                                                      : "\"" + other + "\", \"" + one + "\"";
        add("add", "", inputs);
        // An array layer may follow: the add quantises for it.
        codes_ = !trains_ && random_.chance(30);
        if (!codes_ && random_.chance(50)) normalise();
    }

    /// What is added has not been activated.
    void residual() {
        if (layers_.empty()) return;
        const std::string from = last();
        const std::int64_t blocks = random_.between(1, 2);
        for (std::int64_t b = 0; b < blocks; ++b) {
            if (random_.chance(70)) normalise();
            if (!codes_ || random_.chance(50)) relu();
            add("conv2d", ", \"out_channels\": " + std::to_string(extents_.c) +
                              ", \"kernel\": 3, \"padding\": 1");
            codes_ = false;
        }
        add("add", "", "\"" + last() + "\", \"" + from + "\"");
    }

    Random& random_;
    bool folded_, trains_;
    bool codes_ = true;
    Extents extents_;
    std::string head_;
    std::vector<std::string> layers_;
};

}  // namespace

std::string random_network(Random& random, bool folded) {
    return Grower(random, folded, false).grow();
}

std::string random_trainable_network(Random& random) { return Grower(random, false, true).grow(); }

Datapath random_datapath(Random& random) {
    Datapath datapath = preset("int8");
    MachineConfig& machine = datapath.machine;
    struct Array {
        int rows, columns;
    };
    const Array array = random.pick<Array>({{1, 1}, {4, 4}, {8, 16}, {16, 16}, {32, 8}, {3, 5}});
    machine.array_rows = array.rows;
    machine.array_columns = array.columns;
    const std::int64_t least_weights = 2 * std::int64_t{array.rows} * array.columns;
    machine.weight_buffer_bytes =
        random.pick<std::int64_t>({least_weights, least_weights * 3, 1024, 64 * 1024});
    machine.weight_buffer_bytes = std::max(machine.weight_buffer_bytes, least_weights);
    machine.activation_buffer_bytes = random.pick<std::int64_t>({1600, 4096, 16384, 131072});
    machine.accumulator_bytes =
        std::int64_t{10} * array.columns * random.pick<std::int64_t>({30, 100, 819});
    machine.parameter_bytes = random.pick<std::int64_t>({320, 800, 2048, 16384});
    machine.vector_lanes = random.pick<int>({8, 16, 32});
    machine.dataflow = random.chance(50) ? Dataflow::os : Dataflow::ws;
    datapath.normalize = random.chance(30) ? Normalize::reciprocal : Normalize::divide;
    return datapath;
}

Datapath random_training_datapath(Random& random) {
    const Datapath odd = random_datapath(random);
    Datapath datapath = preset(random.pick({"int8", "paper", "authors"}));
    datapath.machine = odd.machine;
    datapath.machine.activation_buffer_bytes *= 2;
    datapath.normalize = odd.normalize;
    TrainingConfig& training = datapath.training;
    training.loss = random.chance(30) ? Loss::sse : Loss::softmax;
    training.e2 = random.chance(30) ? ErrorQuantizer::sq16 : ErrorQuantizer::flag8;
    training.masks_overflow = random.chance(70);
    training.sigma_guard = random.chance(70);
    training.momentum_quarter = random.chance(30);
    training.random_source = random.chance(30) ? RandomSource::lfsr : RandomSource::xorshift;
    if (random.chance(30)) training.weight_decay_log2 = static_cast<int>(random.between(-14, -4));
    return datapath;
}

}  // namespace wagesim::test
