// Training steps on the machine, each beside the golden model's.
#pragma once

#include <cstdint>
#include <functional>
#include <future>
#include <optional>

#include "batches.h"
#include "check/judge.h"
#include "golden/training.h"
#include "loss_meter.h"
#include "parameters.h"
#include "report/recorder.h"
#include "training_session.h"

namespace wagesim::app {

/// Where the machine's step and the golden model's go their own ways from the first on, both from
/// their own state: the golden model then works one step ahead, on a thread of its own. Elsewhere
/// (float32, or not every step checked) it takes the machine's state before each step it checks.
class Trainer {
public:
    struct Options {
        std::optional<golden::Precision> golden = golden::Precision::float64;
        int threads = 2;  ///< 1: the golden model's step in turn with the machine's
        std::int64_t check_every = 1;
        std::int64_t steps = 1;  ///< of the run
        std::function<StepRegisters(std::int64_t step)> registers;
    };
    /// `probe`: between the machine and `judge`; null: the judge alone.
    Trainer(const Network& network, const Datapath& datapath, TrainingSession& session,
            Batches& batches, check::Judge& judge, report::Recorder* recorder, Options options);

    /// The state before `step`: written to the machine, and its parameters quantised.
    void start(const Parameters& state, std::int64_t step);
    /// The next step; its loss.
    double step();

    std::int64_t next_step() const { return step_; }

private:
    void begin_judging(const std::vector<compile::Expected>& points, golden::Points golden);
    bool works_ahead() const;
    bool checks(std::int64_t step) const;
    void look_ahead();
    golden::StepResult golden_step(const Batch& batch, std::int64_t step);

    TrainingSession& session_;
    Batches& batches_;
    check::Judge& judge_;
    report::Recorder* const recorder_;
    const Options options_;
    std::optional<golden::TrainingModel> golden_;
    LossMeter checked_, unchecked_;
    std::int64_t step_ = 0;
    Batch batch_;                             // of step_
    std::future<golden::StepResult> result_;  // of step_, where the golden model works ahead
};

}  // namespace wagesim::app
