// The network without quantisers: what the same masters compute in real numbers (float64).
#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "golden/model.h"

namespace wagesim::golden {

class Unquantized {
public:
    Unquantized(const Network& network, const Datapath& datapath, BatchNorm statistics)
        : network_(network), datapath_(datapath), statistics_(statistics) {}

    void begin(const std::vector<std::uint8_t>& pixels, std::int64_t batch);
    /// Output of layer `index` (-1: the input); ascending.
    std::vector<double> layer(int index, const Masters& masters);

private:
    std::vector<double> compute(int index, const Masters& masters) const;
    std::vector<double> normalize(int index, const Masters& masters,
                                  const std::vector<double>& in) const;

    const Network& network_;
    const Datapath& datapath_;
    const BatchNorm statistics_;
    std::int64_t batch_ = 0;
    int done_ = -1;
    std::map<int, std::vector<double>> outputs_;
};

/// The loss of a batch in the network without quantisers, and its derivatives by the masters (W,
/// bias, gamma, beta): what golden gradients stand for. Batch norm with the batch's statistics, its
/// eps taken as a constant beside sigma, as docs/training.md does.
struct RealGradients {
    double loss = 0;
    Parameters gradients;
};
RealGradients real_gradients(const Network& network, const Datapath& datapath,
                             const Parameters& parameters, const std::vector<std::uint8_t>& pixels,
                             const std::vector<int>& labels);

/// The last layer that reads `producer`'s output (-1: the input); `producer` itself if none does.
int last_reader(const Network& network, int producer);

}  // namespace wagesim::golden
