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
    std::vector<double> layer(int index, const Parameters& parameters);

private:
    std::vector<double> compute(int index, const Parameters& parameters) const;
    std::vector<double> normalize(int index, const Parameters& parameters,
                                  const std::vector<double>& in) const;

    const Network& network_;
    const Datapath& datapath_;
    const BatchNorm statistics_;
    std::int64_t batch_ = 0;
    int done_ = -1;
    std::map<int, std::vector<double>> outputs_;
};

/// The last layer that reads `producer`'s output (-1: the input); `producer` itself if none does.
int last_reader(const Network& network, int producer);

}  // namespace wagesim::golden
