// The judge: the only place that sees the golden model and the hardware model together.
// It takes the hardware's codes as they are made and holds them against the golden values.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "golden/model.h"
#include "golden/tensor.h"
#include "wagesim/network/datapath.h"
#include "wagesim/network/network.h"
#include "wagesim/program/probe.h"

namespace wagesim::check {

/// A quantisation point that a batch or step must deliver, with the shape of its whole tensor.
struct ExpectedTensor {
    QpId qp;
    Shape shape;
};

enum class Cause { rounding_tie, rounding, saturation, wrap, exponent, other };
std::string_view to_string(Cause cause);

/// One element on which the models disagree.
struct Mismatch {
    QpId qp;
    std::array<std::int64_t, 4> at{};  ///< n, c, h, w (weights: o, i, kh, kw)
    std::int64_t cycle = 0;
    std::int64_t command = 0;
    std::string expected, got;          ///< codes, decimal
    std::string expected_hex, got_hex;  ///< the same in the register's width
    double expected_value = 0, got_value = 0;
    int first_bit = 0;  ///< lowest bit that differs
    Cause cause = Cause::other;
};

/// What was found at one quantisation point, over all batches.
struct TensorVerdict {
    QpId qp;
    Shape shape;    ///< of the last batch
    Format format;  ///< the hardware's
    std::int64_t checked = 0, mismatches = 0;
    std::int64_t saturations = 0, wraps = 0;  ///< the hardware's counters
    std::int64_t underflows = 0, align_rounded = 0;
    std::optional<std::pair<int, int>> exponents;  ///< least and largest, of errors and gradients
    std::int64_t differs_from_wide =
        0;  ///< outputs that an infinitely wide accumulator would change
    bool certified = true;
    std::string why_not;
    std::optional<double> sqnr_db;  ///< against the unquantised float network; of the last batch
    std::optional<double> largest_error;
    std::optional<Mismatch> first;
    std::map<Cause, std::int64_t> causes;
};

/// Something wrong that is no single element: a quantisation point that nothing delivered or
/// delivered twice, counters that differ, memory that does not hold what was computed.
struct Finding {
    std::string layer_qp;
    std::string text;
};

class Judge : public Probe {
public:
    /// `golden`: of batches (forward passes). May be null: then they (--golden none) are collected
    /// and nothing is compared; steps bring their own points.
    Judge(const Network& network, golden::Model* golden);

    /// Asked when a tensor's last element has come: does it stay until the next batch or step
    /// begins? By default all do; the others are let go at once, so that a step holds only those
    /// in the making. Of a batch with a golden model all must stay for finish().
    void on_complete(std::function<bool(const TensorVerdict&)> stays) { stays_ = std::move(stays); }

    /// Without a golden model: whether codes are kept, or only counted. By default they are kept.
    void collects(bool collects) { collects_ = collects; }

    /// `expected`: every quantisation point this batch must deliver. The golden model has begun
    /// the same batch.
    void begin_batch(const std::vector<ExpectedTensor>& expected);
    /// The same for a training step, or for what is prepared before the first: `points` has at
    /// least what is expected.
    void begin_step(const std::vector<ExpectedTensor>& expected, golden::Points points);
    void on_tap(const Tap& tap) override;
    void on_retired(const Retired& retired) override { (void)retired; }
    /// Closes the batch or step: every expected element must have come exactly once.
    void finish();
    /// Compares a stored tensor (logical N, C, H, W order) with what was shown when it was made.
    void check_stored(const QpId& qp, const std::vector<std::int64_t>& codes);

    const std::vector<TensorVerdict>& verdicts() const { return verdicts_; }
    const std::vector<Finding>& findings() const { return findings_; }
    /// The first mismatch in simulated time.
    const std::optional<Mismatch>& first_mismatch() const { return first_mismatch_; }
    std::int64_t mismatches() const;
    std::int64_t elements_checked() const;
    std::int64_t tensors_checked() const;
    std::int64_t uncertified() const;
    bool clean() const { return mismatches() == 0 && uncertified() == 0 && findings_.empty(); }

    /// The hardware's tensor of the current batch or step, in N, C, H, W order, unless it was let
    /// go; 0 where it has shown nothing. SS is kept in its low 64 bits.
    std::optional<Tensor> tensor(const QpId& qp) const;
    /// The golden model's, in the hardware's format; elements between two codes are floored.
    std::optional<Tensor> expected(const QpId& qp) const;

    std::string name_of(const QpId& qp) const;
    /// The story of a mismatch in a few lines.
    std::string describe(const Mismatch& mismatch) const;

private:
    struct Counts {
        std::int64_t saturations = 0, wraps = 0, underflows = 0, align_rounded = 0;
    };
    /// A tensor as it comes in; elements in memory order.
    struct Record {
        std::size_t verdict = 0;
        Shape shape;
        Format format;  ///< the hardware's
        bool is_prepared = false, has_two_formats = false, is_let_go = false;
        golden::SharedTensor golden;
        std::shared_ptr<const golden::CompactCodes>
            expected;                    ///< golden codes in the hardware's format
        std::vector<Wide> wide;          ///< the same beyond 64 bits (SS)
        std::vector<bool> between;       ///< no code is the golden value; empty: all are
        std::vector<std::int64_t> got;   ///< what was shown; empty: what was expected, so far
        std::vector<std::uint8_t> seen;  ///< empty before the first and after the last
        std::int64_t delivered = 0, duplicates = 0;
        Counts counts, golden_counts;

        bool is_complete() const { return delivered == shape.size(); }
        void let_go();
    };
    using Key = std::pair<std::int32_t, Qp>;

    /// What was shown: the codes of a record.
    static std::vector<std::int64_t> shown(const Record& record);
    Record& record(const QpId& qp);
    const Record* find(const QpId& qp) const;
    void begin(const std::vector<ExpectedTensor>& expected);
    void prepare(Record& record, const Format& format);
    void convert(Record& record);
    void check_format(const Record& record, const Format& format);
    void take(Record& record, std::int64_t first, std::int64_t count, const Tap& tap,
              std::int64_t offset);
    void complete(Record& record);
    void note_mismatch(Record& record, std::int64_t index, Wide got, const Tap& tap);
    void compare_with_unquantized(const Record& record);
    std::array<std::int64_t, 4> coordinates(const Record& record, std::int64_t index) const;
    Cause classify(const Record& record, std::int64_t index, Wide expected, Wide got) const;

    const Network& network_;
    golden::Model* const model_;
    std::function<bool(const TensorVerdict&)> stays_ = [](const TensorVerdict&) { return true; };
    bool collects_ = true;
    bool is_judging_ = false;
    bool is_step_ = false;
    golden::Points points_;
    std::map<Key, Record> records_;
    int model_layers_ = -2;  ///< layers whose golden tensors are here, up to this one
    std::map<Key, std::size_t> verdict_index_;
    std::vector<TensorVerdict> verdicts_;
    std::vector<Finding> findings_;
    std::optional<Mismatch> first_mismatch_;
};

}  // namespace wagesim::check
