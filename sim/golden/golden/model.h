// The golden model: a network's forward pass by definition, every quantisation point as real
// values.
//
// It says each operation as docs/datapath.md defines it - the exact quotient, rounded; the exact
// sum, wrapped - in float64 "fake quantisation", and proves on the data at hand that float64 was
// exact. It shares formats and networks with the hardware model and no arithmetic.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "golden/tensor.h"
#include "wagesim/network/datapath.h"
#include "wagesim/network/network.h"

namespace wagesim::golden {

enum class Precision {
    float64,  ///< exact, or says that it is not
    float32,  ///< every operation rounded to float32, as a PyTorch emulation: to measure it
};
enum class BatchNorm {
    running,  ///< the running statistics
    batch,    ///< the batch's own, which the running ones then follow
};

struct Options {
    Precision precision = Precision::float64;
    BatchNorm batch_norm = BatchNorm::running;
};

/// The masters: (layer index, W | bias | gamma | beta | run_mu | run_sigma) -> real values in
/// memory order.
using Parameters = std::map<std::pair<int, Qp>, std::vector<double>>;

/// Start values: W from the seed's streams, gamma 1, beta and bias 0, run_mu 0, run_sigma 1.
Parameters initial_parameters(const Network& network, const Datapath& datapath, std::uint32_t seed);

class Model {
public:
    /// Throws InputError, naming the layer, where the network and the datapath have no defined
    /// result: array operands that are not A codes, stochastic rounding, an x2 that does not fit
    /// its register, a folded batch norm whose exact output something else than a ReLU reads.
    Model(const Network& network, const Datapath& datapath, Options options);
    ~Model();
    Model(Model&&) noexcept;
    Model& operator=(Model&&) noexcept;

    /// The quantisation point of what a producer's readers read (-1: the input).
    Qp output_point(int producer) const;
    /// frac of its codes.
    int output_frac(int producer) const;

    /// Brings each value to its master's format. Throws InputError naming the layer and the
    /// quantisation point that is missing, has the wrong size or is not a number.
    void set_parameters(Parameters parameters);
    /// With batch statistics, run_mu and run_sigma move with each layer() that computes them.
    Parameters parameters() const;
    const Masters& masters() const;
    /// Replaces masters by values that are on their grids.
    void update(const Masters& masters);

    /// Starts a batch: pixels 0..255 in N, C, H, W order.
    void begin(const std::vector<std::uint8_t>& pixels, std::int64_t batch);

    /// The tensors of layer `index` (-1: the input, Qp::image); computes what is needed. Ask in
    /// ascending order: an output is kept until its last reader is done, the rest is handed over.
    LayerPoints layer(int index);

    /// The output of the same layer in the unquantised network, in memory order: the same masters
    /// and kind of statistics, float64 real numbers, no quantiser anywhere. Ascending, independent
    /// of layer().
    std::vector<double> unquantized(int index);

private:
    class Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace wagesim::golden
