// What the backward pass needs: where errors come from, and what is kept or made for it.
#pragma once

#include <vector>

#include "compile/tensor_plan.h"

namespace wagesim::compile {

/// An error tensor in Dram.
struct ErrorTensor {
    QpId qp;
    Role role = Role::codes;
    int bytes = 5;
    /// Of its register. 0 or less: -bits more than the codes of the fork `width` need (a fork's
    /// sum, scattered by pools or not).
    int bits = 40;
    QpId scale;  ///< whose record tells its unit and its s
    QpId width;
};

/// How the error at a layer's output reaches a pass: a tensor, which may still have to go back
/// through a pool.
struct ErrorSource {
    ErrorTensor tensor;
    int pool = -1;
};

class TrainingPlan {
public:
    /// Throws InputError naming the layer that can't be trained, or an exact register that its
    /// bound does not fit.
    TrainingPlan(const Job& job, const TensorPlans& plans);

    /// The error at a producer's output (a layer's).
    ErrorSource error_at(int producer) const;
    /// What meets there; one: no fork.
    std::vector<ErrorTensor> operands_at(int producer) const;
    bool forks_at(int producer) const { return reader_count(producer) > 1; }
    /// A pool's error is spread over its input in Dram: it meets others there, or another pool
    /// takes it.
    bool spreads(int pool) const;
    /// The largest error behind a pool is not that before it.
    bool changes_scale(int pool) const;

    bool makes_dx(int layer) const { return job_.layer(layer).inputs[0] >= 0; }
    /// bn_err lies in Dram; else the pass that quantises it to E2 makes it again.
    bool stores_bn_err(int layer) const;
    bool needs_bn_err(int layer) const { return job_.layer(layer).inputs[0] >= 0; }
    /// E1m (a ReLU's; a batch norm's without one), or E1 where nothing masks it.
    QpId masked_error(int layer) const;
    /// The layer whose masked error a batch norm takes.
    int error_layer(int batch_norm) const;

    /// Everything that the backward pass needs in Dram.
    std::vector<DramTensor> tensors() const;

    Format dx_format(int layer) const;
    Format gradient_format(int layer) const;
    Quantizer e2(int layer) const;
    Quantizer e0() const;
    bool is_sq16() const { return job_.datapath.training.e2 == ErrorQuantizer::sq16; }

private:
    int reader_count(int producer) const;
    void check_layer(int index) const;
    void check_batch_norm(int index) const;
    std::vector<ErrorSource> contributions(int producer) const;
    ErrorSource contribution(int producer, int reader) const;

    const Job& job_;
    const TensorPlans& plans_;
};

/// Bits of a place in a pool's window: a power of two.
int index_bits(const Layer& pool);

/// A layer whose error is masked: a ReLU, or a batch norm with an A.
bool has_mask(const Job& job, int layer);

}  // namespace wagesim::compile
