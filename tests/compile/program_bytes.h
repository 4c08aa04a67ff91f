// What a program's bytes are, which command may be over when another starts, and who wrote what.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <deque>
#include <optional>
#include <stdexcept>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "wagesim/network/datapath.h"
#include "wagesim/program/command.h"

namespace wagesim::test {

struct Violation : std::runtime_error {
    using std::runtime_error::runtime_error;
};

inline std::string name_of(Qp qp) { return std::string(to_string(qp)); }

// ---- what the network's tensors are ---------------------------------------------------------

/// A tensor in Dram or on its way: codes of a quantisation point, or what else is kept of it.
struct Place {
    int layer = -1;
    Qp qp = Qp::y;
    Role role = Role::codes;
};
inline bool operator==(const Place& a, const Place& b) {
    return a.layer == b.layer && a.qp == b.qp && a.role == b.role;
}
inline bool operator!=(const Place& a, const Place& b) { return !(a == b); }
inline bool operator<(const Place& a, const Place& b) {
    return std::tie(a.layer, a.qp, a.role) < std::tie(b.layer, b.qp, b.role);
}

/// One code: its index in memory order (n, h, w, c; weights O, kh, kw, I). Of a plane: one byte. Of
/// a scale's record: twice the elements gathered, and 1 where it is complete.
struct Element {
    int layer = -1;
    Qp qp = Qp::y;
    std::int64_t index = 0;
    Role role = Role::codes;
    bool is_next = false;  ///< a parameter or running statistic after this step's update

    Place place() const { return {layer, qp, role}; }
    std::uint64_t id(int byte) const {
        return (static_cast<std::uint64_t>(layer + 2) << 52) |
               (static_cast<std::uint64_t>(qp) << 46) | (static_cast<std::uint64_t>(role) << 43) |
               (std::uint64_t{is_next} << 42) | (static_cast<std::uint64_t>(index) << 4) |
               static_cast<std::uint64_t>(byte);
    }
};

/// 0 is the id of what CLEAR leaves.
inline Element element_of(std::uint64_t id) {
    return {static_cast<int>(id >> 52) - 2, static_cast<Qp>((id >> 46) & 63),
            static_cast<std::int64_t>((id >> 4) & ((std::uint64_t{1} << 38) - 1)),
            static_cast<Role>((id >> 43) & 7), ((id >> 42) & 1) != 0};
}
inline int byte_of(std::uint64_t id) { return static_cast<int>(id & 15); }

inline std::int64_t index_in(const Shape& shape, std::int64_t n, std::int64_t h, std::int64_t w,
                             std::int64_t c) {
    return ((n * shape.h + h) * shape.w + w) * shape.c + c;
}

/// Bytes of a plane's pixel.
inline std::int64_t plane_bytes_of(std::int64_t channels, int bits) {
    return (channels * bits + 7) / 8;
}

struct TensorRule {
    Qp qp = Qp::y;
    int frac = 0, bytes = 1;
    bool is_signed = true;
    Shape shape;  ///< with the batch

    std::int64_t index(std::int64_t n, std::int64_t h, std::int64_t w, std::int64_t c) const {
        return index_in(shape, n, h, w, c);
    }
};

class Rules {
public:
    Rules(const Network& network, const Datapath& datapath, std::int64_t batch)
        : network_(network), datapath_(datapath) {
        for (int i = -1; i < static_cast<int>(network.layers.size()); ++i) {
            outputs_.push_back(output_rule(i));
            outputs_.back().shape = network.shape_of(i);
            outputs_.back().shape.n = batch;
        }
    }
    const TensorRule& output(int producer) const {
        return outputs_[static_cast<std::size_t>(producer + 1)];
    }
    const Layer& layer(int index) const { return network_.layers[static_cast<std::size_t>(index)]; }
    const Quantizer& at(int index, Qp qp) const { return datapath_.at(layer(index).name, qp); }

    // ---- errors (docs/training.md)

    bool is_last(int index) const {
        return static_cast<std::size_t>(index) + 1 == network_.layers.size();
    }
    bool is_array_layer(int index) const {
        return layer(index).type == LayerType::conv2d || layer(index).type == LayerType::linear;
    }
    bool is_relu(int index) const {
        return layer(index).type == LayerType::relu || layer(index).type == LayerType::relu6;
    }
    bool is_pool(int index) const {
        return layer(index).type == LayerType::max_pool ||
               layer(index).type == LayerType::avg_pool ||
               layer(index).type == LayerType::global_avg_pool;
    }
    /// Those of a layer's output; one that reads it twice stands twice.
    std::vector<int> readers(int producer) const {
        std::vector<int> found;
        for (const int reader : layer(producer).readers)
            for (const int input : layer(reader).inputs)
                if (input == producer) found.push_back(reader);
        return found;
    }
    /// What a reader delivers to its input.
    Place delivered_by(int reader) const {
        if (is_array_layer(reader)) return {reader, Qp::dx};
        if (is_relu(reader)) return {reader, Qp::E1m};
        if (is_pool(reader)) return {reader, Qp::pool_err, Role::back};
        if (layer(reader).type == LayerType::batch_norm) return {reader, Qp::bn_err};
        return error_at(reader);
    }
    /// The error at a layer's output.
    Place error_at(int producer) const {
        if (is_last(producer)) return {producer, Qp::E1};
        const std::vector<int> all = readers(producer);
        return all.size() == 1 ? delivered_by(all.front()) : Place{producer, Qp::fork};
    }
    bool has_mask(int index) const {
        return is_relu(index) ||
               (layer(index).type == LayerType::batch_norm && output(index).qp == Qp::A);
    }
    /// E1 of a ReLU, a batch norm or the last layer, after its mask if it has one.
    Place masked_error(int index) const { return {index, has_mask(index) ? Qp::E1m : Qp::E1}; }
    /// Whose masked error is a batch norm's e: its ReLU's, where that is its only reader.
    int error_layer(int batch_norm) const {
        const std::vector<int> all = readers(batch_norm);
        return all.size() == 1 && is_relu(all.front()) ? all.front() : batch_norm;
    }
    Extent2 kernel(int index) const {
        const Layer& l = layer(index);
        if (l.type != LayerType::linear && l.type != LayerType::global_avg_pool) return l.kernel;
        return {static_cast<int>(l.in_shape.h), static_cast<int>(l.in_shape.w)};
    }
    Extent2 stride(int pool) const {
        return layer(pool).type == LayerType::global_avg_pool ? kernel(pool) : layer(pool).stride;
    }
    /// Most windows of a pool that an element lies in.
    std::int64_t overlaps(int pool) const {
        const Extent2 k = kernel(pool), s = stride(pool);
        return std::int64_t{(k.h + s.h - 1) / s.h} * ((k.w + s.w - 1) / s.w);
    }
    /// An error's, a gradient's or xhat's.
    Shape shape(const Place& place) const {
        switch (place.qp) {
            case Qp::dx:
                return output(layer(place.layer).inputs[0]).shape;
            case Qp::pool_err:
                if (place.role == Role::index) return output(place.layer).shape;
                return output(layer(place.layer).inputs[0]).shape;
            case Qp::gW:
            case Qp::G:
            case Qp::W:
                return weight_shape(layer(place.layer));
            default:
                return output(place.layer).shape;
        }
    }
    int index_bits(int pool) const {
        const Extent2 k = kernel(pool);
        int bits = 1;
        while (std::int64_t{1} << bits < std::int64_t{k.h} * k.w) bits *= 2;
        return bits;
    }
    const TrainingConfig& training() const { return datapath_.training; }
    bool is_sq16() const { return training().e2 == ErrorQuantizer::sq16; }
    /// E2's register.
    Format e2(int index) const {
        return is_sq16() ? Format{16, 15, true, 0} : at(index, Qp::E2).format;
    }
    std::int64_t batch() const { return output(-1).shape.n; }

private:
    TensorRule of_format(Qp qp, const Format& format) const {
        return {qp, format.frac, (format.bits + 7) / 8, format.is_signed, {}};
    }
    TensorRule output_rule(int i) const {
        if (i < 0) return of_format(Qp::image, datapath_.quantizers.at(Qp::image).format);
        const Layer& l = layer(i);
        const TensorRule& input = output(l.inputs[0]);
        const bool to_a = quantizes_output(network_, i);
        switch (l.type) {
            case LayerType::conv2d:
            case LayerType::linear: {
                return {is_last(i) ? Qp::z : Qp::y,
                        input.frac + at(i, Qp::Wq).format.frac,
                        4,
                        true,
                        {}};
            }
            case LayerType::batch_norm: {
                if (to_a) return of_format(Qp::A, at(i, Qp::A).format);
                TensorRule rule = of_format(Qp::x2, at(i, Qp::x2).format);
                rule.frac = at(i, Qp::gamma_q).format.frac + at(i, Qp::xhat).format.frac;
                return rule;
            }
            case LayerType::add:
                if (to_a) return of_format(Qp::A, at(i, Qp::A).format);
                return {Qp::stream, std::max(input.frac, output(l.inputs[1]).frac), 4, true, {}};
            case LayerType::max_pool: {
                TensorRule rule = input;
                rule.qp = input.qp == Qp::A || input.qp == Qp::image ? Qp::A : Qp::y;
                return rule;
            }
            default:
                return of_format(Qp::A, at(i, Qp::A).format);
        }
    }

    const Network& network_;
    const Datapath& datapath_;
    std::vector<TensorRule> outputs_;
};

// ---- order ----------------------------------------------------------------------------------

inline constexpr int swap_clock = unit_count;  ///< weight swaps happen within a GEMM
using Clock = std::array<std::int32_t, unit_count + 1>;

/// Which commands are over when another starts, by tokens and queues alone.
class Order {
public:
    explicit Order(const Program& program) : program_(program) {
        struct Given {
            Clock clock;
        };
        std::vector<std::deque<Given>> given(program.tokens.size());
        for (std::size_t t = 0; t < given.size(); ++t)
            given[t].resize(static_cast<std::size_t>(program.tokens[t].initial));
        std::vector<std::optional<Unit>> giver(given.size()), waiter(given.size());
        const auto claim = [&](std::optional<Unit>& side, Unit unit, Token token) {
            if (side && *side != unit)
                throw Violation("token " + program_.tokens[token].name +
                                " has two units on one side");
            side = unit;
        };
        Clock counts{}, floor{};
        std::array<Clock, unit_count> last{};
        for (std::size_t i = 0; i < program.commands.size(); ++i) {
            const Command& command = program.commands[i];
            if (std::holds_alternative<Fence>(command.operands)) {
                floor = counts;
                last.fill(floor);
                for (std::size_t t = 0; t < given.size(); ++t)
                    if (given[t].size() != static_cast<std::size_t>(program.tokens[t].initial))
                        throw Violation("token " + program.tokens[t].name +
                                        " is not back at its start at command " +
                                        std::to_string(i));
                clocks_.push_back(floor);
                sequence_.push_back(0);
                continue;
            }
            const auto unit = static_cast<std::size_t>(command.unit);
            Clock clock = last[unit];
            for (const Token token : command.waits) {
                claim(waiter[token], command.unit, token);
                if (given[token].empty())
                    throw Violation("command " + std::to_string(i) + " waits for " +
                                    program.tokens[token].name + " before it is given");
                join(clock, given[token].front().clock);
                given[token].pop_front();
            }
            clocks_.push_back(clock);
            sequence_.push_back(counts[unit]);
            const auto* gemm = std::get_if<Gemm>(&command.operands);
            Clock swapped = clock;
            if (gemm != nullptr) swapped[swap_clock] = ++counts[swap_clock];
            Clock after = swapped;
            after[unit] = ++counts[unit];
            last[unit] = after;
            for (const Token token : command.gives) {
                claim(giver[token], command.unit, token);
                given[token].push_back({after});
            }
            if (gemm != nullptr)
                for (const Token token : gemm->gives_at_swap) {
                    claim(giver[token], command.unit, token);
                    given[token].push_back({swapped});
                }
        }
        if (program.commands.empty() ||
            !std::holds_alternative<Fence>(program.commands.back().operands))
            throw Violation("the program does not end in a FENCE");
    }

    bool before(std::int32_t earlier, std::int32_t later) const {
        const auto unit =
            static_cast<std::size_t>(program_.commands[static_cast<std::size_t>(earlier)].unit);
        return clocks_[static_cast<std::size_t>(later)][unit] >
               sequence_[static_cast<std::size_t>(earlier)];
    }
    /// Weight swaps that are over when a command starts.
    std::int32_t swaps(std::int32_t command) const {
        return clocks_[static_cast<std::size_t>(command)][swap_clock];
    }

private:
    static void join(Clock& a, const Clock& b) {
        for (std::size_t u = 0; u < a.size(); ++u) a[u] = std::max(a[u], b[u]);
    }
    const Program& program_;
    std::vector<Clock> clocks_;           // what is over when a command starts
    std::vector<std::int32_t> sequence_;  // of a command in its unit
};

// ---- memories -------------------------------------------------------------------------------

class Memory {
public:
    /// `slots`: units that read it, told apart by index (1: all one).
    Memory(std::string name, std::int64_t size, std::size_t slots, const Program& program,
           const Order& order)
        : name_(std::move(name)),
          slots_(slots),
          program_(program),
          order_(order),
          ids_(static_cast<std::size_t>(size), 0),
          writers_(ids_.size(), -1),
          readers_(ids_.size() * slots, -1) {}

    void from_host(std::int64_t address, std::uint64_t id) {
        ids_[cell(address, -1)] = id;
        writers_[static_cast<std::size_t>(address)] = host;
    }
    /// What lies there, for whoever reads it or not; 0: nothing.
    std::uint64_t peek(std::int64_t address) const {
        const bool is_inside = address >= 0 && address < static_cast<std::int64_t>(ids_.size());
        return is_inside && written(address) ? ids_[static_cast<std::size_t>(address)] : 0;
    }
    bool written(std::int64_t address) const {
        return writers_[static_cast<std::size_t>(address)] != -1;
    }
    std::uint64_t read(std::int32_t command, std::int64_t address) {
        const std::size_t at = cell(address, command);
        std::int32_t& reader = readers_[at * slots_ + slot(command)];
        if (reader == command) return ids_[at];
        const std::int32_t writer = writers_[at];
        if (writer == -1) fail(command, address, "reads what nobody wrote");
        if (writer >= 0 && !order_.before(writer, command))
            fail(command, address, "may read before command " + std::to_string(writer) + " wrote");
        reader = command;
        return ids_[at];
    }
    void write(std::int32_t command, std::int64_t address, std::uint64_t id) {
        const std::size_t at = cell(address, command);
        const std::int32_t writer = writers_[at];
        if (writer >= 0 && writer != command && !order_.before(writer, command))
            fail(command, address, "may write before command " + std::to_string(writer));
        for (std::size_t s = 0; s < slots_; ++s) {
            const std::int32_t reader = readers_[at * slots_ + s];
            if (reader >= 0 && reader != command && !order_.before(reader, command))
                fail(command, address,
                     "may overwrite what command " + std::to_string(reader) + " still reads");
        }
        ids_[at] = id;
        writers_[at] = command;
    }
    void forget() {
        std::fill(writers_.begin(), writers_.end(), -1);
        std::fill(readers_.begin(), readers_.end(), -1);
    }

private:
    static constexpr std::int32_t host = -2;

    std::size_t cell(std::int64_t address, std::int32_t command) const {
        if (address < 0 || address >= static_cast<std::int64_t>(ids_.size()))
            fail(command, address, "is out of range");
        return static_cast<std::size_t>(address);
    }
    std::size_t slot(std::int32_t command) const {
        if (slots_ == 1) return 0;
        return static_cast<std::size_t>(program_.commands[static_cast<std::size_t>(command)].unit);
    }
    [[noreturn]] void fail(std::int32_t, std::int64_t address, const std::string& what) const {
        throw Violation(name_ + " " + std::to_string(address) + " " + what);
    }

    std::string name_;
    std::size_t slots_;
    const Program& program_;
    const Order& order_;
    std::vector<std::uint64_t> ids_;
    std::vector<std::int32_t> writers_, readers_;
};

/// One partial sum: which, and up to which K.
struct Sum {
    Element element;
    std::int64_t next_k = 0, all_k = 0;
    bool has_bias = false;
    std::int32_t writer = -1, reader = -1;
};

}  // namespace wagesim::test
