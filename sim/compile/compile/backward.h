// The backward pass and the update, layer by layer from the last one (docs/training.md).
#pragma once

#include <vector>

#include "compile/dram_layout.h"
#include "compile/emitter.h"
#include "compile/stream_pass.h"
#include "compile/training_plan.h"

namespace wagesim::compile {

class BackwardLowering {
public:
    /// In order; they refer to the arguments.
    static std::vector<LowerPass> passes(const Job& job, const TensorPlans& plans,
                                         const TrainingPlan& plan, const DramLayout& dram);

private:
    BackwardLowering(const Job& job, const TensorPlans& plans, const TrainingPlan& plan,
                     const DramLayout& dram, Emitter& emitter)
        : job_(job), plans_(plans), plan_(plan), dram_(dram), emitter_(emitter) {}

    using Action = StreamPass::Action;
    using Actions = std::vector<Action>;

    /// An error on its way into a pass.
    struct ErrorInput {
        ErrorSource source;
        int tensor = -1, index = -1, spread = -1;  ///< of the pass: loads and a result
        int scale_before = -1, scale = -1;  ///< of the tensor; of what has come through the pool
    };
    /// What a batch norm's backward pass needs, as parts of a pass.
    struct BatchNormInput {
        const Job* job = nullptr;
        int layer = -1;
        bool shows = true;
        int error = -1, xhat = -1, scale = -1;
        int m1 = -1, m2 = -1, gamma = -1, sigma = -1, inv = -1;  ///< inv -1: it divides

        /// BN_ERROR, but its destination.
        BnError command(const StreamPass::Tile& tile) const;
        /// BN_COEF, where it does not divide.
        StreamPass::Work begin() const;
    };
    /// `measures`: the pass finds out what scale is behind the pool.
    ErrorInput take_error(StreamPass& pass, const ErrorSource& source, bool measures = false) const;
    /// Where the error lies in a tile, after what has to be done for that.
    TileView error_view(const StreamPass::Tile& tile, const ErrorInput& error,
                        Actions& actions) const;
    PoolBack pool_back(const StreamPass::Tile& tile, const ErrorInput& error, bool shows) const;

    // lower_error.cpp
    void lower_loss();
    void lower_fork(int producer);
    void lower_pool(int pool);
    void quantise_error(int layer);
    void quantise_operand(int layer);
    // lower_batch_norm_error.cpp
    void measure_batch_norm_error(int layer);
    BatchNormInput take_batch_norm(StreamPass& pass, int layer, bool shows) const;
    // lower_dx.cpp, lower_weight_gradient.cpp
    void lower_dx(int layer);
    void lower_weight_gradient(int layer);
    // lower_update.cpp
    void lower_decay(int layer);
    /// What the momentum step of a kind of parameters reads and makes.
    struct Parameters {
        Qp gradient, acc, accq, master, quantized;
    };
    void lower_update(int layer, const Parameters& parameters);

    /// The record whose s is the exponent of a layer's E2.
    const DramTensor& operand_scale(int layer) const;

    const DramTensor& at(QpId qp, Role role = Role::codes) const {
        return dram_.at(qp.layer, qp.qp, role);
    }

    const Job& job_;
    const TensorPlans& plans_;
    const TrainingPlan& plan_;
    const DramLayout& dram_;
    Emitter& emitter_;
};

/// Signed codes whose unit a scale's record tells.
inline constexpr Format scaled_codes{64, 0, true, 0};

}  // namespace wagesim::compile
