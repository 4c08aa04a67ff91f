// The recurrence of docs/cycles.md: durations first, then issue and start times in time order.
#include "check/cycle_recurrence.h"

#include <algorithm>
#include <array>
#include <initializer_list>
#include <optional>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <variant>

namespace wagesim::check {
namespace {

std::int64_t ceil_div(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

/// [from, to): cycles in which the data bus carries something, from a command's start.
struct Interval {
    std::int64_t from, to;
};

struct Duration {
    std::int64_t busy = 0, latency = 0;
};

[[noreturn]] void refuse(std::size_t command, const std::string& why) {
    throw std::logic_error("command " + std::to_string(command) + " of the program: " + why);
}

std::int64_t bursts(const Transfer& transfer, std::int64_t burst_bytes) {
    if (transfer.run_bytes <= 0) return 0;
    std::int64_t total = 0;
    for (std::int64_t i = 0; i < transfer.counts[0]; ++i)
        for (std::int64_t j = 0; j < transfer.counts[1]; ++j)
            for (std::int64_t k = 0; k < transfer.counts[2]; ++k) {
                const std::int64_t first = transfer.dram_address + i * transfer.dram_strides[0] +
                                           j * transfer.dram_strides[1] +
                                           k * transfer.dram_strides[2];
                const std::int64_t last = first + transfer.run_bytes - 1;
                total += last / burst_bytes - first / burst_bytes + 1;
            }
    return total;
}

/// The bursts' times on the bus for a transfer that starts at cycle 0; neighbours joined.
std::vector<Interval> bus_use(const Transfer& transfer, bool reads, const MachineConfig& machine) {
    const std::int64_t count = bursts(transfer, machine.dram_burst_bytes);
    const std::int64_t hold = ceil_div(machine.dram_burst_bytes, machine.dram_bytes_per_cycle);
    std::vector<Interval> use;
    std::vector<std::int64_t> done;  // of read bursts
    std::int64_t bus_free = 0;
    for (std::int64_t i = 0; i < count; ++i) {
        std::int64_t wanted = i;
        if (reads) {
            const std::int64_t before = i - machine.dram_outstanding;
            if (before >= 0) wanted = std::max(wanted, done[static_cast<std::size_t>(before)]);
            wanted += machine.dram_latency_cycles;
        }
        const std::int64_t from = std::max(wanted, bus_free);
        bus_free = from + hold;
        if (reads) done.push_back(bus_free);
        if (!use.empty() && use.back().to == from)
            use.back().to = bus_free;
        else
            use.push_back({from, bus_free});
    }
    return use;
}

/// Bytes through each activation bank's port.
class Ports {
public:
    explicit Ports(const MachineConfig& machine)
        : machine_(machine), bytes_(static_cast<std::size_t>(machine.activation_banks), 0) {}

    void add(std::int64_t address, std::int64_t bytes) {
        const std::int64_t bank_bytes =
            machine_.activation_buffer_bytes / machine_.activation_banks;
        bytes_.at(static_cast<std::size_t>(address / bank_bytes)) += bytes;
    }
    /// A tile that is not there (address -1) has no bytes.
    void add(const TileView& tile, std::int64_t elements) {
        if (tile.space == Space::activations && tile.address >= 0)
            add(tile.address, elements * tile.bytes);
    }
    void add(const BitPlane& plane, std::int64_t pixels, std::int64_t channels) {
        if (plane.exists()) add(plane.address, pixels * ceil_div(channels * plane.bits, 8));
    }
    std::int64_t cycles() const {
        return ceil_div(*std::max_element(bytes_.begin(), bytes_.end()),
                        machine_.bank_bytes_per_cycle);
    }

private:
    const MachineConfig& machine_;
    std::vector<std::int64_t> bytes_;
};

/// Busy and latency of every kind of command but FENCE.
class Durations {
public:
    Durations(const MachineConfig& machine, const Command& command)
        : machine_(machine), command_(command), pixels_(command.box.pixels()) {}

    Duration operator()(const Fence&) const { return {}; }

    Duration operator()(const Transfer& transfer) const {
        const auto use = bus_use(transfer, command_.unit == Unit::dma_read, machine_);
        return {use.empty() ? 0 : use.back().to, 0};
    }

    Duration operator()(const WeightLoad&) const { return {machine_.array_rows, 0}; }

    Duration operator()(const Gemm& gemm) const {
        if (machine_.dataflow == Dataflow::os) return {output_stationary(gemm), 0};
        const std::int64_t feed =
            ceil_div(std::int64_t{gemm.k} * gemm.bytes, machine_.bank_bytes_per_cycle);
        return {streamed(gemm) * std::max<std::int64_t>(1, feed),
                machine_.array_rows + machine_.array_columns - 1};
    }

    Duration operator()(const Drain& drain) const {
        const Box& box = command_.box;
        const std::int64_t rows =
            drain.source.turned ? std::int64_t{box.h} * box.w * box.c
                                : pixels_ * ceil_div(channels(), drain.source.channels_per_row);
        const std::int64_t out =
            ceil_div(drain.destination.bytes * box.size(), machine_.bank_bytes_per_cycle);
        return {std::max(rows, out), 1};
    }

    Duration operator()(const Gather& gather) const { return vector({&gather.source}); }

    Duration operator()(const Clear& clear) const {
        return {ceil_div(clear.bytes, machine_.bank_bytes_per_cycle), 1};
    }

    Duration operator()(const BnStat&) const {
        return {2 * channels() * machine_.channel_divider_cycles + machine_.sqrt_cycles, 1};
    }

    Duration operator()(const BnCoef&) const {
        return {channels() * machine_.channel_divider_cycles, 1};
    }

    Duration operator()(const NormalizeCmd& normalize) const {
        const std::int64_t quotient = normalize.inverse ? 0 : normalize.xhat.format.bits;
        const bool iterative = !normalize.inverse && machine_.divider == DividerKind::iterative;
        Duration duration = vector({&normalize.source}, &normalize.destination, {},
                                   iterative ? ceil_div(quotient, 2) : 1);
        duration.latency += quotient + 2;
        return duration;
    }

    Duration operator()(const Act& act) const {
        return vector({&act.source}, &act.destination, {&act.mask});
    }

    Duration operator()(const Add& add) const { return vector({&add.a, &add.b}, &add.destination); }

    Duration operator()(const Pool& pool) const {
        const std::int64_t window = std::int64_t{pool.kernel_h} * pool.kernel_w;
        Ports ports(machine_);
        ports.add(pool.source, window * pixels_ * channels());
        ports.add(pool.destination, pixels_ * channels());
        ports.add(pool.index, pixels_, channels());
        const std::int64_t beats = window * pixels_ * ceil_div(channels(), machine_.vector_lanes);
        return {std::max(beats, ports.cycles()), machine_.vector_depth_cycles};
    }

    Duration operator()(const QuantizeCmd& quantize) const {
        Ports ports(machine_);
        ports.add(quantize.source_address, quantize.count * quantize.source_bytes);
        ports.add(quantize.destination_address, quantize.count * quantize.destination_bytes);
        return update(quantize.count, ports);
    }

    Duration operator()(const Softmax& softmax) const {
        BitPlane labels;
        labels.address = softmax.label_address;
        labels.bits = 8;
        Ports ports(machine_);
        ports.add(softmax.source, pixels_ * channels());
        ports.add(softmax.destination, pixels_ * channels());
        ports.add(labels, pixels_, 1);
        const std::int64_t passes = softmax.squares ? 1 : 3;
        return {std::max(passes * beats(softmax.source), ports.cycles()),
                machine_.vector_depth_cycles + (softmax.squares ? 0 : 18)};
    }

    Duration operator()(const Exponent&) const { return {4, 1}; }

    Duration operator()(const ShiftQuantize& quantize) const {
        return vector({&quantize.source}, &quantize.destination, {&quantize.mask});
    }

    Duration operator()(const FlagQuantize& quantize) const {
        return vector({&quantize.source}, &quantize.destination, {&quantize.flags});
    }

    Duration operator()(const PoolBack& back) const {
        const std::int64_t windows =
            ceil_div(back.kernel_h, back.stride_y) * ceil_div(back.kernel_w, back.stride_x);
        Ports ports(machine_);
        ports.add(back.source, windows * pixels_ * channels());
        ports.add(back.index, windows * pixels_, channels());
        ports.add(back.destination, pixels_ * channels());
        return {std::max(windows * beats(back.source), ports.cycles()),
                machine_.vector_depth_cycles + (back.average ? 42 : 0)};
    }

    Duration operator()(const Reduce& reduce) const {
        if (reduce.with_xhat)
            return vector({&reduce.source, &reduce.xhat}, nullptr, {&reduce.flags});
        return vector({&reduce.source}, nullptr, {&reduce.flags});
    }

    Duration operator()(const BnBack& back) const {
        return {channels() * (back.bias ? 1 : 2 * machine_.channel_divider_cycles), 1};
    }

    Duration operator()(const BnError& error) const {
        const bool iterative = !error.inverse && machine_.divider == DividerKind::iterative;
        Duration duration =
            vector({&error.source, &error.xhat}, &error.destination, {}, iterative ? 16 : 1);
        duration.latency += error.inverse ? 0 : 34;
        return duration;
    }

    Duration operator()(const Fork& fork) const {
        Ports ports(machine_);
        for (const Fork::Operand& operand : fork.operands)
            ports.add(operand.tile, pixels_ * channels());
        ports.add(fork.destination, pixels_ * channels());
        const auto additions = static_cast<std::int64_t>(fork.operands.size()) - 1;
        return {std::max(additions * beats(fork.destination), ports.cycles()),
                machine_.vector_depth_cycles};
    }

    Duration operator()(const Update& u) const {
        Ports ports(machine_);
        ports.add(u.gradient_address, u.count * u.gradient_bytes);
        // Both are changed where they lie.
        ports.add(u.accumulator_address, 2 * u.count * u.accumulator_bytes);
        ports.add(u.master_address, 2 * u.count * u.master_bytes);
        ports.add(u.quantized_address, u.count * u.quantized_bytes);
        return update(u.count, ports);
    }

private:
    std::int64_t channels() const { return command_.box.c; }

    /// Rows of operands that stream through the array.
    std::int64_t streamed(const Gemm& gemm) const { return gemm.turned ? gemm.m : pixels_; }

    /// Folds of array_rows pixels (columns of a turned one); the last may have fewer.
    std::int64_t output_stationary(const Gemm& gemm) const {
        const std::int64_t rows = machine_.array_rows;
        const std::int64_t out = 2 * rows + machine_.array_columns - 1;
        std::int64_t cycles = rows;
        for (std::int64_t first = 0; first < streamed(gemm); first += rows) {
            const std::int64_t bytes = std::min(rows, streamed(gemm) - first) * gemm.bytes;
            const std::int64_t step =
                std::max<std::int64_t>(1, ceil_div(bytes, machine_.bank_bytes_per_cycle));
            cycles += std::max(gemm.k * step, out);
        }
        return cycles + out;
    }

    std::int64_t beats(const TileView& source) const {
        if (source.space != Space::accumulators)
            return pixels_ * ceil_div(channels(), machine_.vector_lanes);
        return pixels_ * ceil_div(channels(), source.channels_per_row) *
               ceil_div(source.channels_per_row, machine_.vector_lanes);
    }

    /// A command that streams its tiles once; of two sources the slower one sets the beats.
    Duration vector(std::initializer_list<const TileView*> sources,
                    const TileView* destination = nullptr,
                    std::initializer_list<const BitPlane*> planes = {},
                    std::int64_t cycles_per_beat = 1) const {
        Ports ports(machine_);
        std::int64_t most_beats = 0;
        for (const TileView* source : sources) {
            ports.add(*source, pixels_ * channels());
            most_beats = std::max(most_beats, beats(*source));
        }
        if (destination != nullptr) ports.add(*destination, pixels_ * channels());
        for (const BitPlane* plane : planes) ports.add(*plane, pixels_, channels());
        return {std::max(most_beats * cycles_per_beat, ports.cycles()),
                machine_.vector_depth_cycles};
    }

    Duration update(std::int64_t count, const Ports& ports) const {
        return {std::max(ceil_div(count, machine_.update_lanes), ports.cycles()), 1};
    }

    const MachineConfig& machine_;
    const Command& command_;
    const std::int64_t pixels_;
};

/// The unit that docs/cycles.md gives each kind of command; a Transfer has two.
bool is_at_home(const Command& command) {
    return std::visit(
        [unit = command.unit](const auto& operands) {
            using T = std::decay_t<decltype(operands)>;
            if constexpr (std::is_same_v<T, Fence>)
                return true;
            else if constexpr (std::is_same_v<T, Transfer>)
                return unit == Unit::dma_read || unit == Unit::dma_write;
            else if constexpr (std::is_same_v<T, WeightLoad>)
                return unit == Unit::weight_loader;
            else if constexpr (std::is_same_v<T, Gemm>)
                return unit == Unit::array;
            else if constexpr (std::is_same_v<T, Drain>)
                return unit == Unit::drain;
            else if constexpr (std::is_same_v<T, QuantizeCmd> || std::is_same_v<T, Update>)
                return unit == Unit::update;
            else
                return unit == Unit::vector;
        },
        command.operands);
}

/// Issue and start times. Of all events that may happen next the earliest is fixed first; no later
/// one can then precede it, so that a token's gives are known in the order of time.
class Schedule {
public:
    Schedule(const Program& program, const MachineConfig& machine)
        : program_(program), machine_(machine), tokens_(program.tokens.size()) {
        times_.resize(program.size());
        for (std::size_t i = 0; i < times_.size(); ++i) {
            const Command& command = program.at(i);
            if (!is_at_home(command)) refuse(i, "is not one of its unit's");
            check_tokens(i, command.waits);
            check_tokens(i, command.gives);
            if (const auto* gemm = std::get_if<Gemm>(&command.operands))
                check_tokens(i, gemm->gives_at_swap);
            const Duration d = std::visit(Durations(machine, command), command.operands);
            times_[i].busy = d.busy;
            times_[i].latency = d.latency;
        }
    }

    std::vector<CommandTime> run() {
        while (true) {
            std::optional<std::int64_t> earliest = issue_time();
            int chosen = -1;  // the scheduler
            for (int unit = 0; unit < unit_count; ++unit) {
                const auto time = start_time(units_[static_cast<std::size_t>(unit)]);
                if (time && (!earliest || *time < *earliest)) {
                    earliest = time;
                    chosen = unit;
                }
            }
            if (!earliest) break;
            if (chosen < 0)
                issue(*earliest);
            else
                start(units_[static_cast<std::size_t>(chosen)], *earliest);
        }
        if (next_issue_ < times_.size()) refuse(next_issue_, "can never be issued");
        for (const UnitState& unit : units_)
            if (unit.started < unit.commands.size())
                refuse(unit.commands[unit.started], "waits for a token that nobody gives");
        return std::move(times_);
    }

private:
    struct UnitState {
        std::vector<std::size_t> commands;  // issued so far
        std::size_t started = 0;            // of these
        std::int64_t free = 0;
    };
    struct TokenState {
        std::vector<std::int64_t> gives;  // ascending times
        std::size_t waits = 0;            // met so far
    };

    void check_tokens(std::size_t i, const Tokens& tokens) const {
        for (const Token token : tokens)
            if (token >= tokens_.size()) refuse(i, "names a token that does not exist");
    }
    bool is_fence(std::size_t i) const {
        return std::holds_alternative<Fence>(program_.at(i).operands);
    }
    UnitState& unit_of(std::size_t i) {
        return units_[static_cast<std::size_t>(program_.at(i).unit)];
    }

    /// When the next command is issued; nothing if that is not known yet.
    std::optional<std::int64_t> issue_time() {
        const std::size_t i = next_issue_;
        if (i == times_.size()) return std::nullopt;
        std::int64_t time = i == 0 ? 0 : times_[i - 1].issue + machine_.issue_cycles;
        if (is_fence(i)) {
            for (const UnitState& unit : units_)
                if (unit.started < unit.commands.size()) return std::nullopt;
            return std::max(time, last_done_);
        }
        const UnitState& unit = unit_of(i);
        const auto depth = static_cast<std::size_t>(machine_.queue_depth);
        if (unit.commands.size() >= depth) {
            const std::size_t place = unit.commands.size() - depth;
            if (place >= unit.started) return std::nullopt;
            time = std::max(time, times_[unit.commands[place]].start);
        }
        return time;
    }

    void issue(std::int64_t time) {
        const std::size_t i = next_issue_++;
        times_[i].issue = time;
        if (is_fence(i))
            times_[i].start = time;
        else
            unit_of(i).commands.push_back(i);
    }

    /// When the unit starts its next command; nothing if that is not known yet.
    std::optional<std::int64_t> start_time(const UnitState& unit) const {
        if (unit.started == unit.commands.size()) return std::nullopt;
        const std::size_t i = unit.commands[unit.started];
        const Tokens& waits = program_.at(i).waits;
        std::int64_t time = std::max(times_[i].issue, unit.free);
        for (std::size_t w = 0; w < waits.size(); ++w) {
            const TokenState& token = tokens_[waits[w]];
            // A token may stand in the list more than once.
            const auto same =
                std::count(waits.begin(), waits.begin() + static_cast<std::ptrdiff_t>(w), waits[w]);
            const auto give =
                static_cast<std::int64_t>(token.waits) + same - program_.tokens[waits[w]].initial;
            if (give < 0) continue;
            if (give >= static_cast<std::int64_t>(token.gives.size())) return std::nullopt;
            time = std::max(time, token.gives[static_cast<std::size_t>(give)]);
        }
        return time;
    }

    void start(UnitState& unit, std::int64_t time) {
        const std::size_t i = unit.commands[unit.started++];
        const Command& command = program_.at(i);
        times_[i].start = time;
        unit.free = time + times_[i].busy;
        last_done_ = std::max(last_done_, times_[i].done());
        for (const Token token : command.waits) ++tokens_[token].waits;
        for (const Token token : command.gives) give(token, times_[i].done());
        if (const auto* gemm = std::get_if<Gemm>(&command.operands))
            for (const Token token : gemm->gives_at_swap)
                give(token, time + machine_.array_rows + machine_.array_columns - 1);
    }

    void give(Token token, std::int64_t time) {
        auto& gives = tokens_[token].gives;
        gives.insert(std::upper_bound(gives.begin(), gives.end(), time), time);
    }

    const Program& program_;
    const MachineConfig& machine_;
    std::vector<CommandTime> times_;
    std::array<UnitState, unit_count> units_;
    std::vector<TokenState> tokens_;
    std::size_t next_issue_ = 0;
    std::int64_t last_done_ = 0;
};

/// Cycles that lie in an interval of both lists; each list is ascending and disjoint.
std::int64_t common_cycles(const std::vector<Interval>& a, const std::vector<Interval>& b) {
    std::int64_t common = 0;
    for (std::size_t i = 0, j = 0; i < a.size() && j < b.size();) {
        common +=
            std::max<std::int64_t>(0, std::min(a[i].to, b[j].to) - std::max(a[i].from, b[j].from));
        if (a[i].to < b[j].to)
            ++i;
        else
            ++j;
    }
    return common;
}

}  // namespace

CycleResult predict_cycles(const Program& program, const MachineConfig& machine) {
    CycleResult result;
    result.commands = Schedule(program, machine).run();
    std::vector<Interval> reads, writes;
    for (std::size_t i = 0; i < result.commands.size(); ++i) {
        const Command& command = program.at(i);
        const CommandTime& time = result.commands[i];
        result.cycles = std::max(result.cycles, time.done());
        result.serial_cycles += machine.issue_cycles + time.busy + time.latency;
        if (const auto* transfer = std::get_if<Transfer>(&command.operands)) {
            const bool is_read = command.unit == Unit::dma_read;
            for (const Interval& use : bus_use(*transfer, is_read, machine))
                (is_read ? reads : writes).push_back({time.start + use.from, time.start + use.to});
        }
    }
    result.dram_overlap_cycles = common_cycles(reads, writes);
    return result;
}

}  // namespace wagesim::check
