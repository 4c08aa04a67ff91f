// See trainer.h.
#include "trainer.h"

#include <utility>

namespace wagesim::app {
namespace {

NoProbe nobody;

std::vector<check::ExpectedTensor> expected(const std::vector<compile::Expected>& points) {
    std::vector<check::ExpectedTensor> tensors;
    for (const compile::Expected& point : points) tensors.push_back({point.qp, point.shape});
    return tensors;
}

}  // namespace

Trainer::Trainer(const Network& network, const Datapath& datapath, TrainingSession& session,
                 Batches& batches, check::Judge& judge, report::Recorder* recorder, Options options)
    : session_(session),
      batches_(batches),
      judge_(judge),
      recorder_(recorder),
      options_(std::move(options)),
      checked_(recorder != nullptr ? static_cast<Probe&>(*recorder) : judge,
               datapath.training.loss == Loss::sse),
      unchecked_(nobody, datapath.training.loss == Loss::sse) {
    if (options_.golden) golden_.emplace(network, datapath, *options_.golden);
}

void Trainer::start(const Parameters& state, std::int64_t step) {
    result_ = {};  // waits for its thread
    step_ = step;
    golden::Points prepared;
    if (golden_) {
        golden_->set_state(to_values(state));
        prepared = golden_->quantized_state();
    }
    begin_judging(session_.points().prepare, std::move(prepared));
    if (recorder_ != nullptr) recorder_->begin_batch(session_.programs().prepare);
    session_.prepare(state, checked_);
    if (recorder_ != nullptr) recorder_->end_batch();
    judge_.finish();
    look_ahead();
}

double Trainer::step() {
    const StepRegisters registers = options_.registers(step_);
    const bool is_checked = checks(step_);
    golden::StepResult result;
    if (is_checked && works_ahead()) {
        result = result_.get();
    } else if (is_checked && golden_) {
        golden_->set_state(to_values(session_.state()));
        result = golden_step(batch_, step_);
    }
    const Batch batch = std::move(batch_);
    ++step_;
    look_ahead();

    LossMeter& meter = is_checked ? checked_ : unchecked_;
    meter.begin(batch.labels);
    if (is_checked) {
        begin_judging(session_.points().step, std::move(result.points));
        if (recorder_ != nullptr) recorder_->begin_batch(session_.programs().step);
    }
    session_.step(batch.pixels, batch.labels, registers, meter);
    if (is_checked) {
        if (recorder_ != nullptr) recorder_->end_batch();
        judge_.finish();
    }
    return meter.loss();
}

/// Without a golden model, tensors are collected only.
void Trainer::begin_judging(const std::vector<compile::Expected>& points, golden::Points golden) {
    if (golden_)
        judge_.begin_step(expected(points), std::move(golden));
    else
        judge_.begin_batch(expected(points));
}

bool Trainer::works_ahead() const {
    return options_.golden == golden::Precision::float64 && options_.check_every == 1;
}

bool Trainer::checks(std::int64_t step) const {
    return recorder_ != nullptr || (golden_ && step % options_.check_every == 0);
}

void Trainer::look_ahead() {
    if (step_ >= options_.steps) return;
    batch_ = batches_.at(step_);
    if (works_ahead())
        result_ =
            std::async(options_.threads > 1 ? std::launch::async : std::launch::deferred,
                       [this, batch = batch_, step = step_] { return golden_step(batch, step); });
}

golden::StepResult Trainer::golden_step(const Batch& batch, std::int64_t step) {
    const StepRegisters registers = options_.registers(step);
    return golden_->step(batch.pixels, {batch.labels.begin(), batch.labels.end()},
                         {registers.seed, registers.step, registers.lr, registers.dr_log2});
}

}  // namespace wagesim::app
