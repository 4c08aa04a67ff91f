// What every layer's output is made of: quantisation point, format, bytes, largest code.
#pragma once

#include <cstdint>
#include <vector>

#include "compile/compile.h"

namespace wagesim::compile {

/// What is compiled, and how.
struct Job {
    const Network& network;
    const Datapath& datapath;
    std::int64_t batch = 1;
    BatchNorm batch_norm = BatchNorm::running;
    bool training = false;  ///< what the backward pass needs is kept

    const Layer& layer(int index) const { return network.layers[static_cast<std::size_t>(index)]; }
    int layer_count() const { return static_cast<int>(network.layers.size()); }
    bool is_output(int index) const { return index + 1 == layer_count(); }
    const Quantizer& at(int index, Qp qp) const { return datapath.at(layer(index).name, qp); }
    /// Batch norms act as one factor and one offset per channel.
    bool folded() const {
        return batch_norm == BatchNorm::running && datapath.bn_inference == BnInference::folded;
    }
    bool reciprocal() const { return datapath.normalize == Normalize::reciprocal; }
};

bool is_array_layer(const Layer& layer);
bool is_relu(const Layer& layer);
bool is_pool(const Layer& layer);

/// The ReLU that is a batch norm's only reader and clips its x2 before anything is stored; -1:
/// none.
int fused_relu(const Network& network, int batch_norm);

/// Codes in memory.
struct TensorPlan {
    QpId qp;
    Format format;
    int bytes = 1;   ///< per code
    Wide bound = 0;  ///< largest magnitude of a code
    Shape shape;     ///< batch included
};

/// Formats that follow from a layer's operands.
struct DerivedFormats {
    Quantizer sum;     ///< conv2d, linear: y or z
    Quantizer bias_q;  ///< conv2d, linear: at the sum's frac
    Quantizer x2;      ///< batch_norm: exact
    Quantizer stream;  ///< add: exact
};

/// The tensors of a network, checked.
class TensorPlans {
public:
    /// Throws InputError naming the layer, the register, and the bits that it needs and has.
    explicit TensorPlans(const Job& job);

    /// A layer's output as its readers see it; -1: the network's input. (A batch norm whose only
    /// reader is its ReLU has one only if the two are parted: x2.)
    const TensorPlan& output(int producer) const {
        return outputs_[static_cast<std::size_t>(producer + 1)];
    }
    const DerivedFormats& formats(int layer) const {
        return formats_[static_cast<std::size_t>(layer)];
    }

private:
    void plan_array_layer(const Job& job, int index);
    void plan_batch_norm(const Job& job, int index);
    void plan_add(const Job& job, int index);
    void plan_pool(const Job& job, int index);
    void check_statistics(const Job& job, int index) const;

    std::vector<TensorPlan> outputs_;  // [0]: the input
    std::vector<DerivedFormats> formats_;
};

int bytes_of(const Format& format);

}  // namespace wagesim::compile
