// The weight-stationary array at register fidelity.
#include <algorithm>
#include <deque>
#include <limits>
#include <optional>
#include <vector>

#include "array/multiplier.h"
#include "array/operand_rows.h"
#include "array/register_array.h"
#include "array/ws_registers.h"
#include "vector/bank_ports.h"

namespace wagesim::rtl {
namespace {

/// A GEMM whose rows enter, or are on their way.
struct Stream {
    Stream(std::int64_t cycle, const Command& command, std::int64_t place, Memories& memories)
        : start(cycle),
          index(place),
          gemm(std::get<Gemm>(command.operands)),
          operands(command, memories, storage) {}

    const std::int64_t start;
    const std::int64_t index;  // of the command in the program
    const Gemm& gemm;
    AlignedVector<std::int16_t> storage;
    OperandRows operands;
    std::int64_t cycles_per_row = 1;
    std::int64_t entered = 0, left = 0;  // rows
    bool is_wide = false;                // its sums need more than 32 bits
    std::vector<std::int64_t> bias;      // empty: none

    std::int64_t entry(std::int64_t row) const { return start + (row + 1) * cycles_per_row - 1; }
};

/// What a PE holds, in a wave.
class WsWaves : public ArrayWaves {
public:
    WsWaves(Waves& waves, const MachineConfig& config, const Accumulators& memory,
            const PortWidths& widths)
        : ArrayWaves(waves, config, memory),
          columns_(config.array_columns),
          a_(pe_register("a", widths.operand, trace::WaveKind::signed_wire)),
          weight_(pe_register("weight", widths.weight, trace::WaveKind::signed_wire)),
          next_weight_(pe_register("next_weight", widths.weight, trace::WaveKind::signed_wire)),
          sum_(pe_register("sum", sum_bits(widths, config.array_rows),
                           trace::WaveKind::signed_wire)),
          valid_(pe_register("valid", 1, trace::WaveKind::wire)),
          swap_(pe_register("swap", 1, trace::WaveKind::wire)),
          values_(static_cast<std::size_t>(columns_)) {}

    bool is_shown() const {
        for (const ElementWaves* waves : {&a_, &weight_, &next_weight_, &sum_, &valid_, &swap_})
            if (waves->is_shown()) return true;
        return shows_accumulators();
    }

    void take_row(int r, const WsRegisters& registers) {
        a_.take(r, registers.a(r), changes);
        weight_.take(r, registers.weight(r), changes);
        next_weight_.take(r, registers.next_weight(r), changes);
        const auto take = [&](ElementWaves& waves, auto value) {
            if (!waves.shows_row(r)) return;
            for (int c = 0; c < columns_; ++c) values_[static_cast<std::size_t>(c)] = value(c);
            waves.take(r, values_.data(), changes);
        };
        take(sum_, [&](int c) { return registers.sum(r, c); });
        take(valid_, [&](int c) { return registers.valid(r, c) ? 1 : 0; });
        take(swap_, [&](int c) { return registers.swap_bit(r, c) ? 1 : 0; });
    }

private:
    static int sum_bits(const PortWidths& widths, int rows) {
        int bits = widths.operand + widths.weight;
        while (rows > 1) {
            ++bits;
            rows = (rows + 1) / 2;
        }
        return bits;
    }

    const int columns_;
    ElementWaves a_, weight_, next_weight_, sum_, valid_, swap_;
    std::vector<std::int64_t> values_;
};

class WsRegisterArray : public RegisterArray {
public:
    WsRegisterArray(const MachineConfig& config, Memories& memories, Waves* waves,
                    const PortWidths& widths)
        : RegisterArray(memories),
          config_(config),
          registers_(config.array_rows, config.array_columns),
          operands_(static_cast<std::size_t>(config.array_rows)),
          sums_(static_cast<std::size_t>(config.array_columns)) {
        if (waves == nullptr) return;
        waves_.emplace(*waves, config, memories.accumulators, widths);
        if (!waves_->is_shown()) waves_.reset();
    }

    void load(const ArrayWeights::TileRegisters& tile) override {
        loading_ = tile.weights;
        loading_bits_ = tile.bits;
        rows_to_load_ = config_.array_rows;
    }

    void multiply(const Command& command, std::int64_t index, const std::int64_t* bias) override {
        registers_.swap();
        Stream& stream = streams_.emplace_back(registers_.now(), command, index, memories_);
        stream.cycles_per_row =
            std::max<std::int64_t>(1, ceil_divide(std::int64_t{stream.gemm.k} * stream.gemm.bytes,
                                                  config_.bank_bytes_per_cycle));
        if (bias != nullptr) stream.bias.assign(bias, bias + stream.gemm.columns);
        std::fill(operands_.begin(), operands_.end(), 0);  // those beyond k stay 0
        const int operand_bits = multiplier_bits(stream.gemm.bytes, stream.gemm.flags);
        stream.is_wide = config_.array_rows * largest_product(operand_bits, loading_bits_) >
                         std::numeric_limits<std::int32_t>::max();
        registers_.set_wide(std::any_of(streams_.begin(), streams_.end(),
                                        [](const Stream& other) { return other.is_wide; }));
    }

    void advance(std::int64_t cycle) override {
        while (registers_.now() < cycle) {
            if (streams_.empty() && rows_to_load_ == 0)
                registers_.idle_until(cycle);
            else
                step(cycles_at_once(cycle));
        }
    }

    void finish() override {
        while (!streams_.empty() || rows_to_load_ > 0)
            settle(registers_.now() + registers_.most_cycles);
    }

    void resume(std::int64_t cycle, const ArrayWeights& weights) override {
        registers_.idle_until(cycle);
        registers_.set_weights(weights.active().weights.data(), weights.shadow().weights.data());
        if (!waves_) return;
        waves_->take_accumulators();
        show();
    }

    bool is_shown() const override { return waves_.has_value(); }

    std::int64_t pe_operations() const override { return registers_.pe_operations(); }

private:
    int cycles_at_once(std::int64_t end) const {
        const std::int64_t now = registers_.now();
        const std::int64_t cycles = std::min<std::int64_t>(end - now, registers_.most_cycles);
        return waves_ && waves_->shows(now, now + cycles + 1) ? 1 : static_cast<int>(cycles);
    }

    /// At most so many cycles, in all of which the loader is at work or in none.
    void step(int cycles) {
        const std::int64_t begin = registers_.now();
        if (rows_to_load_ > 0) {
            cycles = std::min(cycles, rows_to_load_);
            for (int i = 0; i < cycles; ++i)
                registers_.load(loading_.data() + --rows_to_load_ * config_.array_columns);
        }
        if (!streams_.empty()) {
            Stream& stream = streams_.back();  // the one before it has entered
            for (; stream.entered < stream.operands.count(); ++stream.entered) {
                const std::int64_t entry = stream.entry(stream.entered);
                if (entry >= begin + cycles) break;
                memories_.actor = {stream.index, entry};
                std::copy_n(stream.operands.next(), stream.gemm.k, operands_.begin());
                registers_.enter(entry, operands_.data());
            }
        }
        registers_.advance(cycles);
        for (std::int64_t cycle = begin; cycle < begin + cycles; ++cycle)
            if (registers_.has_output(cycle)) accumulate(cycle);
        if (waves_) show();
    }

    void show() {
        for (int r = 0; r < config_.array_rows; ++r) waves_->take_row(r, registers_);
        waves_->report(registers_.now());
    }

    void accumulate(std::int64_t cycle) {
        Stream& stream = streams_.front();
        memories_.actor = {stream.index, cycle};
        registers_.output(cycle, sums_.data());
        const std::int64_t row = stream.gemm.accumulator_row + stream.left;
        memories_.accumulators.add_row(row, stream.gemm.columns, sums_.data(),
                                       !stream.gemm.accumulate,
                                       stream.bias.empty() ? nullptr : stream.bias.data());
        if (waves_) waves_->take_accumulator_row(row);
        if (++stream.left == stream.operands.count()) streams_.pop_front();
    }

    const MachineConfig config_;
    WsRegisters registers_;
    std::vector<std::int16_t> loading_;  // the tile that WLOAD brings
    int loading_bits_ = 8;               // of its weights
    int rows_to_load_ = 0;
    std::deque<Stream> streams_;
    std::vector<std::int16_t> operands_;
    std::vector<std::int64_t> sums_;
    std::optional<WsWaves> waves_;
};

}  // namespace

std::unique_ptr<RegisterArray> make_ws_register_array(const MachineConfig& config,
                                                      Memories& memories, Waves* waves,
                                                      const PortWidths& widths) {
    return std::make_unique<WsRegisterArray>(config, memories, waves, widths);
}

}  // namespace wagesim::rtl
