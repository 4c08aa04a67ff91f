// The output-stationary array at register fidelity.
#include <algorithm>
#include <limits>
#include <optional>
#include <vector>

#include "array/multiplier.h"
#include "array/operand_rows.h"
#include "array/os_registers.h"
#include "array/register_array.h"
#include "array/weight_reader.h"
#include "vector/bank_ports.h"

namespace wagesim::rtl {
namespace {

constexpr std::int64_t never = std::numeric_limits<std::int64_t>::max();

/// What a PE holds, in a wave.
class OsWaves : public ArrayWaves {
public:
    OsWaves(Waves& waves, const MachineConfig& config, const Accumulators& memory,
            const PortWidths& widths)
        : ArrayWaves(waves, config, memory),
          columns_(config.array_columns),
          a_(pe_register("a", widths.operand, trace::WaveKind::signed_wire)),
          b_(pe_register("b", widths.weight, trace::WaveKind::signed_wire)),
          acc_(pe_register("acc", config.accumulator_bits, trace::WaveKind::signed_wire)),
          next_acc_(pe_register("next_acc", config.accumulator_bits, trace::WaveKind::signed_wire)),
          acc_overflow_(pe_register("acc_overflow", 1, trace::WaveKind::wire)),
          next_acc_overflow_(pe_register("next_acc_overflow", 1, trace::WaveKind::wire)),
          valid_(pe_register("valid", 1, trace::WaveKind::wire)),
          swap_(pe_register("swap", 1, trace::WaveKind::wire)),
          values_(static_cast<std::size_t>(columns_)) {}

    bool is_shown() const {
        for (const ElementWaves* waves :
             {&a_, &b_, &acc_, &next_acc_, &acc_overflow_, &next_acc_overflow_, &valid_, &swap_})
            if (waves->is_shown()) return true;
        return shows_accumulators();
    }

    void take_row(int r, const OsRegisters& registers) {
        a_.take(r, registers.a(r), changes);
        b_.take(r, registers.b(r), changes);
        const auto take = [&](ElementWaves& waves, auto value) {
            if (!waves.shows_row(r)) return;
            for (int c = 0; c < columns_; ++c) values_[static_cast<std::size_t>(c)] = value(c);
            waves.take(r, values_.data(), changes);
        };
        take(acc_, [&](int c) { return registers.acc(r, c).value; });
        take(next_acc_, [&](int c) { return registers.next_acc(r, c).value; });
        take(acc_overflow_, [&](int c) { return registers.acc(r, c).overflowed ? 1 : 0; });
        take(next_acc_overflow_,
             [&](int c) { return registers.next_acc(r, c).overflowed ? 1 : 0; });
        take(valid_, [&](int c) { return registers.valid(r, c) ? 1 : 0; });
        take(swap_, [&](int c) { return registers.swap_bit(r, c) ? 1 : 0; });
    }

private:
    const int columns_;
    ElementWaves a_, b_, acc_, next_acc_, acc_overflow_, next_acc_overflow_, valid_, swap_;
    std::vector<std::int64_t> values_;
};

class OsRegisterArray : public RegisterArray {
public:
    OsRegisterArray(const MachineConfig& config, Memories& memories, Waves* waves,
                    const PortWidths& widths)
        : RegisterArray(memories),
          config_(config),
          rows_(config.array_rows),
          columns_(config.array_columns),
          registers_(rows_, columns_, config.accumulator_bits, config.accumulator_overflow),
          initial_(static_cast<std::size_t>(columns_)),
          result_(initial_.size()) {
        if (waves == nullptr) return;
        waves_.emplace(*waves, config, memories.accumulators, widths);
        if (!waves_->is_shown()) waves_.reset();
    }

    void load(const ArrayWeights::TileRegisters&) override {
        throw MachineError("WLOAD: an output-stationary array has no weight registers");
    }

    void multiply(const Command& command, std::int64_t index, const std::int64_t* bias) override {
        job_.emplace(command, index, memories_, bias, rows_, columns_);
        const Gemm& gemm = job_->gemm;
        growth_ = gemm.k * largest_product(multiplier_bits(gemm.bytes, gemm.flags),
                                           multiplier_bits(gemm.weights.bytes, gemm.weights.flags));
        may_overflow_ = false;
        fold_ = -1;
        next_fold_ = registers_.now() + rows_;
        shift_ = registers_.now();
    }

    void advance(std::int64_t cycle) override {
        while (registers_.now() < cycle) {
            if (!job_)
                registers_.idle_until(cycle);
            else
                step(cycle);
        }
    }

    void finish() override {
        while (job_) settle(registers_.now() + registers_.most_cycles);
    }

    void resume(std::int64_t cycle, const ArrayWeights&) override {
        registers_.idle_until(cycle);
        if (!waves_) return;
        waves_->take_accumulators();
        show();
    }

    bool is_shown() const override { return waves_.has_value(); }

    std::int64_t pe_operations() const override { return registers_.pe_operations(); }

private:
    /// The GEMM that is carried out.
    struct Job {
        Job(const Command& command, std::int64_t place, Memories& memories,
            const std::int64_t* biases, int rows, int columns)
            : index(place),
              gemm(std::get<Gemm>(command.operands)),
              stream(command, memories, storage),
              folds(ceil_divide(stream.count(), rows)),
              operands(static_cast<std::size_t>(gemm.k * rows)),
              weights(static_cast<std::size_t>(gemm.k * columns)) {
            if (biases != nullptr) bias.assign(biases, biases + gemm.columns);
            read_weights(memories, gemm.weights, gemm.k, gemm.columns, weights.data(), columns);
        }
        const std::int64_t index;  // of the command in the program
        const Gemm& gemm;
        AlignedVector<std::int16_t> storage;
        OperandRows stream;
        const std::int64_t folds;
        std::vector<std::int64_t> bias;      // empty: none
        std::vector<std::int16_t> operands;  // of the fold: step, array row
        std::vector<std::int16_t> weights;   // step, column
    };

    std::int64_t pixels_of(std::int64_t fold) const {
        return std::clamp<std::int64_t>(job_->stream.count() - fold * rows_, 0, rows_);
    }

    /// Until `cycle`, or until the next thing that happens at once.
    void step(std::int64_t cycle) {
        if (registers_.now() == next_fold_) begin_fold();
        const std::int64_t begin = registers_.now();
        const bool shifts = begin >= shift_ && begin < shift_ + rows_;
        std::int64_t end = std::min<std::int64_t>(cycle, begin + OsRegisters::most_cycles);
        if (waves_ && waves_->shows(begin, end + 1)) end = begin + 1;
        end = std::min(end, next_fold_);
        if (shift_ > begin) end = std::min(end, shift_);
        if (shifts) end = std::min(end, shift_ + rows_);
        for (std::int64_t x = begin; shifts && x < end; ++x)
            shift(rows_ - 1 - static_cast<int>(x - shift_), x);
        for (; steps_ < steps_in_fold_; ++steps_) {
            const std::int64_t entry = fold_begin_ + (steps_ + 1) * cycles_per_step_ - 1;
            if (entry >= end) break;
            registers_.enter(entry, job_->operands.data() + steps_ * rows_,
                             job_->weights.data() + steps_ * columns_);
        }
        registers_.advance(static_cast<int>(end - begin), may_overflow_);
        if (fold_ == job_->folds && registers_.now() == shift_ + rows_) job_.reset();
        if (waves_) show();
    }

    void show() {
        for (int r = 0; r < rows_; ++r) waves_->take_row(r, registers_);
        waves_->report(registers_.now());
    }

    /// The next swap enters; behind it the fold's operands, if there is one.
    void begin_fold() {
        ++fold_;
        fold_begin_ = registers_.now();
        registers_.swap();
        steps_ = 0;
        const std::int64_t pixels = pixels_of(fold_);
        const std::int64_t wave = rows_ + columns_ - 1;
        if (pixels == 0) {  // the last swap
            steps_in_fold_ = 0;
            next_fold_ = never;
            shift_ = fold_begin_ + wave;
            return;
        }
        const Gemm& gemm = job_->gemm;
        steps_in_fold_ = gemm.k;
        cycles_per_step_ = std::max<std::int64_t>(
            1, ceil_divide(pixels * gemm.bytes, config_.bank_bytes_per_cycle));
        next_fold_ = fold_begin_ + std::max(gemm.k * cycles_per_step_, wave + rows_);
        if (job_->folds > 1) shift_ = fold_begin_ + wave;
        fetch_operands(pixels);
    }

    void fetch_operands(std::int64_t pixels) {
        memories_.actor = {job_->index, fold_begin_};
        std::vector<std::int16_t>& operands = job_->operands;
        std::fill(operands.begin(), operands.end(), 0);

        for (std::int64_t r = 0; r < pixels; ++r) {
            const std::int16_t* const row = job_->stream.next();
            for (std::int32_t j = 0; j < job_->gemm.k; ++j)
                operands[static_cast<std::size_t>(std::int64_t{j} * rows_ + r)] = row[j];
        }
    }

    /// The sums of an array row move between the PEs' chain and the accumulators: those of the
    /// fold before leave, those of the next one enter.
    void shift(int row, std::int64_t cycle) {
        memories_.actor = {job_->index, cycle};
        const Gemm& gemm = job_->gemm;
        const bool enters = row < pixels_of(fold_ + 1);
        if (enters) {
            initial_sums(gemm.accumulator_row + (fold_ + 1) * rows_ + row);
            const std::int64_t most =
                (std::int64_t{1} << (config_.accumulator_bits - 1)) - 1 - growth_;
            for (const FlaggedSum& sum : initial_)
                if (sum.value > most || sum.value < -most) may_overflow_ = true;
        }
        registers_.shift(enters ? initial_.data() : nullptr, result_.data());
        if (fold_ < 1 || row >= pixels_of(fold_ - 1)) return;
        const std::int64_t to = gemm.accumulator_row + (fold_ - 1) * rows_ + row;
        memories_.accumulators.store(to, gemm.columns, result_.data());
        if (waves_) waves_->take_accumulator_row(to);
    }

    void initial_sums(std::int64_t row) {
        const Gemm& gemm = job_->gemm;
        std::fill(initial_.begin(), initial_.end(), FlaggedSum{});
        if (gemm.accumulate) {
            memories_.accumulators.load(row, gemm.columns, initial_.data());
            return;
        }
        for (std::size_t c = 0; c < job_->bias.size(); ++c)
            initial_[c] = memories_.accumulators.first_value(job_->bias[c]);
    }

    const MachineConfig config_;
    const int rows_, columns_;
    OsRegisters registers_;
    std::vector<FlaggedSum> initial_, result_;

    std::optional<Job> job_;
    std::int64_t growth_ = 0;  // what a fold's products can add to a sum at most
    bool may_overflow_ = false;
    std::int64_t fold_ = -1;  // whose operands enter; `folds`: all have
    std::int64_t fold_begin_ = 0, next_fold_ = never;
    std::int64_t steps_ = 0, steps_in_fold_ = 0, cycles_per_step_ = 1;
    std::int64_t shift_ = 0;  // `shift` from here on, for R cycles
    std::optional<OsWaves> waves_;
};

}  // namespace

std::unique_ptr<RegisterArray> make_os_register_array(const MachineConfig& config,
                                                      Memories& memories, Waves* waves,
                                                      const PortWidths& widths) {
    return std::make_unique<OsRegisterArray>(config, memories, waves, widths);
}

}  // namespace wagesim::rtl
