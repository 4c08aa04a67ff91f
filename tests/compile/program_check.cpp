// Follows every byte of a program: where it came from, who may use it and when.
#include "program_check.h"

#include <algorithm>
#include <array>
#include <deque>
#include <map>
#include <optional>
#include <stdexcept>
#include <vector>

namespace wagesim::test {
namespace {

using compile::BatchNorm;

struct Violation : std::runtime_error {
    using std::runtime_error::runtime_error;
};

std::string name_of(Qp qp) { return std::string(to_string(qp)); }

// ---- what the network's tensors are ---------------------------------------------------------

/// One code: element in memory order (n, h, w, c; weights O, kh, kw, I).
struct Element {
    int layer = -1;
    Qp qp = Qp::y;
    std::int64_t index = 0;

    std::uint64_t id(int byte) const {
        return (static_cast<std::uint64_t>(layer + 1) << 52) |
               (static_cast<std::uint64_t>(qp) << 46) | (static_cast<std::uint64_t>(index) << 4) |
               static_cast<std::uint64_t>(byte);
    }
};

Element element_of(std::uint64_t id) {
    return {static_cast<int>(id >> 52) - 1, static_cast<Qp>((id >> 46) & 63),
            static_cast<std::int64_t>((id >> 4) & ((std::uint64_t{1} << 42) - 1))};
}

struct TensorRule {
    Qp qp = Qp::y;
    int frac = 0, bytes = 1;
    bool is_signed = true;
    Shape shape;  ///< with the batch

    std::int64_t index(std::int64_t n, std::int64_t h, std::int64_t w, std::int64_t c) const {
        return ((n * shape.h + h) * shape.w + w) * shape.c + c;
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
                const bool last = static_cast<std::size_t>(i) + 1 == network_.layers.size();
                return {last ? Qp::z : Qp::y, input.frac + at(i, Qp::Wq).format.frac, 4, true, {}};
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

constexpr int swap_clock = unit_count;  ///< weight swaps happen within a GEMM
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
    int layer = -1;
    std::int64_t index = -1;
    std::int64_t next_k = 0;
    bool has_bias = false;
    std::int32_t writer = -1, reader = -1;
};

// ---- the check ------------------------------------------------------------------------------

class ProgramCheck {
public:
    ProgramCheck(const Program& program, const Network& network, const Datapath& datapath,
                 std::int64_t batch, BatchNorm batch_norm, Checked& checked)
        : program_(program),
          network_(network),
          machine_(datapath.machine),
          rules_(network, datapath, batch),
          order_(program),
          dram_("dram", program.dram_bytes, 1, program, order_),
          weights_("weights", machine_.weight_buffer_bytes, unit_count, program, order_),
          activations_("activations", machine_.activation_buffer_bytes, unit_count, program,
                       order_),
          parameters_("parameters", machine_.parameter_bytes, unit_count, program, order_),
          sums_(static_cast<std::size_t>(machine_.accumulator_bytes / 5 / machine_.array_columns *
                                         machine_.array_columns)),
          checked_(checked) {
        for (const compile::Expected& point :
             compile::quantisation_points(network, datapath, batch, batch_norm))
            if (point.qp.layer >= 0)
                made_[{point.qp.layer, point.qp.qp}].resize(
                    static_cast<std::size_t>(point.shape.size()));
        for (const DramTensor& tensor : program.tensors) {
            if (tensor.address < dram_end_) fail("tensors overlap in Dram");
            dram_end_ = tensor.address + tensor.shape.size() * tensor.bytes;
            if (tensor.address % 64 != 0) fail("a tensor is not 64-byte aligned");
            tensors_[{tensor.qp.layer, tensor.qp.qp}] = &tensor;
            if (!tensor.from_host) continue;
            for (std::int64_t e = 0; e < tensor.shape.size(); ++e)
                for (int b = 0; b < tensor.bytes; ++b)
                    dram_.from_host(tensor.address + e * tensor.bytes + b,
                                    Element{tensor.qp.layer, tensor.qp.qp, e}.id(b));
        }
        for (auto& users : bank_users_) users.fill(-1);
    }

    void run() {
        for (i_ = 0; i_ < static_cast<std::int32_t>(program_.commands.size()); ++i_) {
            try {
                std::visit([this](const auto& operands) { execute(operands); }, command().operands);
            } catch (const Violation& violation) {
                throw Violation("command " + std::to_string(i_) + " (" + mnemonic(command()) +
                                " of " + network_.name_of(command().layer) +
                                "): " + violation.what());
            }
        }
        for (const auto& [qp, counts] : made_)
            for (std::size_t e = 0; e < counts.size(); ++e)
                if (counts[e] != 1)
                    fail(network_.name_of(qp.first) + "." + name_of(qp.second) + " element " +
                         std::to_string(e) + " was made " + std::to_string(counts[e]) + " times");
        for (const DramTensor& tensor : program_.tensors)
            for (std::int64_t b = 0; b < tensor.shape.size() * tensor.bytes; ++b)
                if (!dram_.written(tensor.address + b))
                    fail(network_.name_of(tensor.qp.layer) + "." + name_of(tensor.qp.qp) +
                         " is incomplete in Dram");
    }

private:
    const Command& command() const { return program_.commands[static_cast<std::size_t>(i_)]; }
    const Box& box() const { return command().box; }
    [[noreturn]] static void fail(const std::string& what) { throw Violation(what); }
    static void require(bool holds, const char* what) {
        if (!holds) fail(what);
    }

    std::string text(const Element& e) const {
        return network_.name_of(e.layer) + "." + name_of(e.qp) + "[" + std::to_string(e.index) +
               "]";
    }

    void make(const Element& element) {
        const auto entry = made_.find({element.layer, element.qp});
        if (entry == made_.end()) fail("makes " + text(element) + ", which nobody expects");
        std::uint8_t& count = entry->second.at(static_cast<std::size_t>(element.index));
        if (count < 255) ++count;
        ++checked_.codes_made;
    }

    // ---- buffers

    Memory& memory(Space space) {
        switch (space) {
            case Space::dram:
                return dram_;
            case Space::weights:
                return weights_;
            case Space::activations:
                return activations_;
            case Space::parameters:
                return parameters_;
            case Space::accumulators:
                break;
        }
        fail("the accumulators have no bytes");
    }

    /// Units take turns in a bank.
    void touch(Space space, std::int64_t address) {
        if (space != Space::activations) return;
        const std::int64_t bank =
            address / (machine_.activation_buffer_bytes / machine_.activation_banks);
        auto& users = bank_users_.at(static_cast<std::size_t>(bank));
        const auto unit = static_cast<std::size_t>(command().unit);
        if (users[unit] == i_) return;
        for (std::size_t u = 0; u < users.size(); ++u)
            if (u != unit && users[u] >= 0 && !order_.before(users[u], i_))
                fail("meets command " + std::to_string(users[u]) + " in bank " +
                     std::to_string(bank));
        users[unit] = i_;
    }

    void in_one_bank(const TileView& view, const Box& b) const {
        if (view.space != Space::activations) return;
        const std::int64_t bank = machine_.activation_buffer_bytes / machine_.activation_banks;
        const std::int64_t last = view.address + (b.n - 1) * view.stride_n +
                                  (b.h - 1) * view.stride_h + (b.w - 1) * view.stride_w +
                                  std::int64_t{b.c} * view.bytes - 1;
        if (view.address / bank != last / bank) fail("a tile straddles a bank");
    }

    std::uint64_t read_byte(Space space, std::int64_t address) {
        touch(space, address);
        ++checked_.bytes_read;
        return memory(space).read(i_, address);
    }
    void write_byte(Space space, std::int64_t address, std::uint64_t id) {
        touch(space, address);
        memory(space).write(i_, address, id);
    }

    void read_element(Space space, std::int64_t address, int bytes, const Element& expected) {
        for (int b = 0; b < bytes; ++b) {
            const std::uint64_t id = read_byte(space, address + b);
            if (id != expected.id(b))
                fail("reads " + text(element_of(id)) + " byte " + std::to_string(id & 15) + " at " +
                     std::string(to_string(space)) + " " + std::to_string(address + b) +
                     ", expected " + text(expected) + " byte " + std::to_string(b));
        }
    }
    void write_element(Space space, std::int64_t address, int bytes, const Element& element) {
        for (int b = 0; b < bytes; ++b) write_byte(space, address + b, element.id(b));
    }

    void read_vector(int layer, Qp qp, std::int64_t address, int bytes) {
        for (int c = 0; c < box().c; ++c)
            read_element(Space::parameters, address + std::int64_t{c} * bytes, bytes,
                         {layer, qp, box().c0 + c});
    }
    void make_vector(int layer, Qp qp, std::int64_t address, int bytes) {
        for (int c = 0; c < box().c; ++c) {
            const Element element{layer, qp, box().c0 + c};
            make(element);
            write_element(Space::parameters, address + std::int64_t{c} * bytes, bytes, element);
        }
    }

    template <class Function>
    static void for_each(const Box& b, Function f) {
        for (int n = 0; n < b.n; ++n)
            for (int h = 0; h < b.h; ++h)
                for (int w = 0; w < b.w; ++w)
                    for (int c = 0; c < b.c; ++c) f(n, h, w, c);
    }
    static std::int64_t at(const TileView& v, int n, int h, int w, int c) {
        return v.address + n * v.stride_n + h * v.stride_h + w * v.stride_w +
               std::int64_t{c} * v.bytes;
    }

    /// Reads a box of a producer's output.
    void read_tile(const TileView& view, int producer, const Box& b) {
        const TensorRule& rule = rules_.output(producer);
        require(
            view.bytes == rule.bytes && view.is_signed == rule.is_signed && view.frac == rule.frac,
            "a source's format is not its tensor's");
        if (view.space == Space::accumulators) {
            read_sums(view, producer, b);
            return;
        }
        in_one_bank(view, b);
        for_each(b, [&](int n, int h, int w, int c) {
            read_element(view.space, at(view, n, h, w, c), view.bytes,
                         {producer, rule.qp, rule.index(b.n0 + n, b.h0 + h, b.w0 + w, b.c0 + c)});
        });
    }

    void read_sums(const TileView& view, int producer, const Box& b) {
        const TensorRule& rule = rules_.output(producer);
        const Layer& layer = rules_.layer(producer);
        require(view.qp.layer == producer && view.qp.qp == rule.qp, "shows another layer's sums");
        const Shape weights = weight_shape(layer);
        std::int64_t p = 0;
        for (int n = 0; n < b.n; ++n)
            for (int h = 0; h < b.h; ++h)
                for (int w = 0; w < b.w; ++w, ++p)
                    for (int c = 0; c < b.c; ++c) {
                        const std::int64_t row =
                            view.address + c / view.channels_per_row * b.pixels() + p;
                        Sum& sum = sum_at(row, c % view.channels_per_row);
                        const Element expected{producer, rule.qp,
                                               rule.index(b.n0 + n, b.h0 + h, b.w0 + w, b.c0 + c)};
                        if (sum.layer != producer || sum.index != expected.index)
                            fail("reads another sum than " + text(expected));
                        require(sum.next_k == weights.c * weights.h * weights.w,
                                "reads a sum that is not complete");
                        require(sum.has_bias == layer.bias, "a bias is missing or too many");
                        require(order_.before(sum.writer, i_), "may read a sum too early");
                        sum.reader = i_;
                        make(expected);
                    }
    }

    /// Writes a box of codes of one quantisation point.
    void write_tile(const TileView& view, int layer, Qp qp, const TensorRule& rule,
                    const Format& format, const Box& b) {
        require(view.bytes == rule.bytes && view.is_signed == format.is_signed &&
                    view.frac == format.frac,
                "a destination's format is not its quantiser's");
        in_one_bank(view, b);
        for_each(b, [&](int n, int h, int w, int c) {
            write_element(view.space, at(view, n, h, w, c), view.bytes,
                          {layer, qp, rule.index(b.n0 + n, b.h0 + h, b.w0 + w, b.c0 + c)});
        });
    }
    void write_output(const TileView& view, int producer, const Box& b) {
        const TensorRule& rule = rules_.output(producer);
        write_tile(view, producer, rule.qp, rule, Format{0, rule.frac, rule.is_signed, 0}, b);
    }
    void make_tile(int layer, Qp qp, const Box& b) {
        const TensorRule& rule = rules_.output(layer);
        for_each(b, [&](int n, int h, int w, int c) {
            make({layer, qp, rule.index(b.n0 + n, b.h0 + h, b.w0 + w, b.c0 + c)});
        });
    }

    // ---- commands

    void execute(const Fence&) {
        weights_.forget();
        activations_.forget();
        parameters_.forget();
        sums_.assign(sums_.size(), Sum{});
        shadow_loaded_by_ = -1;
        statistics_.clear();
        for (auto& users : bank_users_) users.fill(-1);
    }

    void execute(const Transfer& t) {
        const bool stores = command().unit == Unit::dma_write;
        require(stores || command().unit == Unit::dma_read, "is no Dma's");
        for (std::int64_t a = 0; a < t.counts[0]; ++a)
            for (std::int64_t b = 0; b < t.counts[1]; ++b)
                for (std::int64_t c = 0; c < t.counts[2]; ++c)
                    for (std::int64_t byte = 0; byte < t.run_bytes; ++byte) {
                        const std::int64_t dram = t.dram_address + a * t.dram_strides[0] +
                                                  b * t.dram_strides[1] + c * t.dram_strides[2] +
                                                  byte;
                        const std::int64_t buffer = t.buffer_address + a * t.buffer_strides[0] +
                                                    b * t.buffer_strides[1] +
                                                    c * t.buffer_strides[2] + byte;
                        if (stores)
                            store(dram, read_byte(t.buffer, buffer));
                        else
                            write_byte(t.buffer, buffer, dram_.read(i_, dram));
                    }
    }

    void store(std::int64_t address, std::uint64_t id) {
        const Element element = element_of(id);
        const auto tensor = tensors_.find({element.layer, element.qp});
        if (tensor == tensors_.end()) fail("stores " + text(element) + ", which has no place");
        const std::int64_t place = tensor->second->address + element.index * tensor->second->bytes +
                                   static_cast<std::int64_t>(id & 15);
        if (place != address) fail("stores " + text(element) + " where it does not belong");
        dram_.write(i_, address, id);
    }

    void execute(const WeightLoad& w) {
        require(machine_.dataflow == Dataflow::ws, "loads registers that the array does not have");
        require(w.rows >= 1 && w.rows <= machine_.array_rows && w.columns >= 1 &&
                    w.columns <= machine_.array_columns,
                "is larger than the array");
        require(shadow_loaded_by_ < 0, "overwrites weights that no GEMM took");
        require(order_.swaps(i_) >= swaps_, "may overwrite the shadow registers too early");
        shadow_loaded_by_ = i_;
        shadow_rows_ = w.rows;
        shadow_.assign(static_cast<std::size_t>(w.columns), {});
        for (int c = 0; c < w.columns; ++c)
            for (int r = 0; r < w.rows; ++r)
                shadow_[static_cast<std::size_t>(c)].push_back(
                    read_byte(Space::weights, w.address + c * w.column_stride + r));
    }

    Sum& sum_at(std::int64_t row, std::int64_t column) {
        const std::int64_t cell = row * machine_.array_columns + column;
        if (row < 0 || cell >= static_cast<std::int64_t>(sums_.size()))
            fail("accumulator row " + std::to_string(row) + " is out of range");
        return sums_[static_cast<std::size_t>(cell)];
    }

    void execute(const Gemm& g) {
        const int layer_index = command().layer;
        const Layer& layer = rules_.layer(layer_index);
        const TensorRule& input = rules_.output(layer.inputs[0]);
        const TensorRule& out = rules_.output(layer_index);
        const Shape weights = weight_shape(layer);
        const std::int64_t reduction = weights.c * weights.h * weights.w;
        const bool linear = layer.type == LayerType::linear;
        const int kernel_h = linear ? static_cast<int>(layer.in_shape.h) : layer.kernel.h;
        const int kernel_w = linear ? static_cast<int>(layer.in_shape.w) : layer.kernel.w;
        const int channels = static_cast<int>(layer.in_shape.c) / layer.groups;
        require(g.bytes == input.bytes, "operands of another size");
        require(g.kernel_h == kernel_h && g.kernel_w == kernel_w && g.channels == channels &&
                    g.channel_major == linear && g.image_h == layer.in_shape.h &&
                    g.image_w == layer.in_shape.w,
                "is not its layer's product");
        require(g.columns == box().c && g.columns <= machine_.array_columns, "wrong columns");
        require(g.k0 >= 0 && g.k0 + g.k <= reduction, "reaches beyond K");
        const int per_group = layer.out_channels / layer.groups;
        const int group = box().c0 / per_group;
        require((box().c0 + box().c - 1) / per_group == group, "crosses a group");
        if (machine_.dataflow == Dataflow::ws)
            take_shadow(g);
        else
            require(g.gives_at_swap.empty(), "swaps no weights");
        for (int c = 0; c < g.columns; ++c)
            for (int j = 0; j < g.k; ++j)
                if (weight(g, c, j) !=
                    Element{layer_index, Qp::Wq, (box().c0 + c) * reduction + g.k0 + j}.id(0))
                    fail("has another weight in row " + std::to_string(j) + ", column " +
                         std::to_string(c));
        if (g.bias_address >= 0) {
            require(!g.accumulate, "adds a bias in the middle");
            read_vector(layer_index, Qp::bias_q, g.bias_address, 4);
        }
        std::int64_t p = 0;
        for (int n = 0; n < box().n; ++n)
            for (int oh = box().h0; oh < box().h0 + box().h; ++oh)
                for (int ow = box().w0; ow < box().w0 + box().w; ++ow, ++p) {
                    read_operands(g, layer, input, group, n, oh, ow);
                    for (int c = 0; c < g.columns; ++c)
                        add_products(g, sum_at(g.accumulator_row + p, c), layer_index,
                                     out.index(box().n0 + n, oh, ow, box().c0 + c));
                }
    }

    void take_shadow(const Gemm& g) {
        require(shadow_loaded_by_ >= 0 && order_.before(shadow_loaded_by_, i_),
                "may start before its weights are there");
        require(shadow_rows_ == g.k && static_cast<int>(shadow_.size()) == g.columns,
                "has weights of another shape");
        shadow_loaded_by_ = -1;
        ++swaps_;
    }

    /// ws: that WLOAD brought; os: in the weight buffer.
    std::uint64_t weight(const Gemm& g, int column, int j) {
        if (machine_.dataflow == Dataflow::ws)
            return shadow_[static_cast<std::size_t>(column)][static_cast<std::size_t>(j)];
        return read_byte(Space::weights, g.weight_address + column * g.weight_stride + j);
    }

    void read_operands(const Gemm& g, const Layer& layer, const TensorRule& input, int group, int n,
                       int oh, int ow) {
        const bool linear = layer.type == LayerType::linear;
        for (std::int64_t k = g.k0; k < g.k0 + g.k; ++k) {
            std::int64_t kh = 0, kw = 0, c = 0;
            if (linear) {  // flattened C, H, W
                kw = k % layer.in_shape.w;
                kh = k / layer.in_shape.w % layer.in_shape.h;
                c = k / (layer.in_shape.w * layer.in_shape.h);
            } else {
                c = k % g.channels;
                kw = k / g.channels % layer.kernel.w;
                kh = k / g.channels / layer.kernel.w;
            }
            const std::int64_t ih =
                linear ? kh : oh * layer.stride.h - layer.padding.h + kh * layer.dilation.h;
            const std::int64_t iw =
                linear ? kw : ow * layer.stride.w - layer.padding.w + kw * layer.dilation.w;
            require(ih == oh * g.stride_y - g.padding_h + kh * g.dilation_h &&
                        iw == ow * g.stride_x - g.padding_w + kw * g.dilation_w,
                    "slides its window otherwise");
            if (ih < 0 || ih >= layer.in_shape.h || iw < 0 || iw >= layer.in_shape.w) continue;
            read_element(Space::activations,
                         g.address + n * g.stride_n + (ih - g.h0) * g.stride_h +
                             (iw - g.w0) * g.stride_w + c * g.bytes,
                         g.bytes,
                         {layer.inputs[0], input.qp,
                          input.index(box().n0 + n, ih, iw, group * g.channels + c)});
        }
    }

    void add_products(const Gemm& g, Sum& sum, int layer, std::int64_t index) {
        if (sum.reader >= 0 && !order_.before(sum.reader, i_))
            fail("may overwrite a sum that is still read");
        if (!g.accumulate) {
            require(g.k0 == 0, "starts a sum in the middle of K");
            sum = {layer, index, 0, g.bias_address >= 0, i_, -1};
        } else {
            require(sum.layer == layer && sum.index == index, "adds to another sum");
            require(sum.reader < 0, "adds to a sum that was read");
        }
        require(sum.next_k == g.k0, "leaves the order of K");
        sum.next_k = g.k0 + g.k;
        sum.writer = i_;
        checked_.macs += g.k;
    }

    void execute(const Drain& d) {
        require(d.source.space == Space::accumulators, "drains no accumulators");
        read_tile(d.source, command().layer, box());
        write_output(d.destination, command().layer, box());
        if (d.statistics_address >= 0) gather(d.statistics_address, command().layer);
    }

    void execute(const Clear& c) {
        for (std::int64_t b = 0; b < c.bytes; ++b) {
            write_byte(Space::parameters, c.address + b, 0);
            if (b % 16 == 0) statistics_[c.address + b] = {};
        }
    }

    struct Statistics {
        int tensor = -2;
        std::int64_t channel = -1, count = 0;
    };

    void gather(std::int64_t address, int tensor) {
        for (int c = 0; c < box().c; ++c) {
            const auto entry = statistics_.find(address + std::int64_t{c} * 16);
            if (entry == statistics_.end()) fail("gathers where nothing was cleared");
            Statistics& s = entry->second;
            if (s.count > 0)
                require(s.tensor == tensor && s.channel == box().c0 + c,
                        "gathers two channels in one place");
            s = {tensor, box().c0 + c, s.count + box().pixels()};
            for (int b = 0; b < 16; ++b) {
                read_byte(Space::parameters, entry->first + b);
                write_byte(Space::parameters, entry->first + b, 0);
            }
        }
    }

    void execute(const Gather& g) {
        const int tensor = rules_.layer(command().layer).inputs[0];
        read_tile(g.source, tensor, box());
        gather(g.statistics_address, tensor);
    }

    void execute(const BnStat& s) {
        const int index = command().layer;
        const int input = rules_.layer(index).inputs[0];
        const TensorRule& rule = rules_.output(input);
        const std::int64_t count = rule.shape.n * rule.shape.h * rule.shape.w;
        require(s.count == count && s.source_frac == rule.frac, "counts another tensor");
        for (int c = 0; c < box().c; ++c) {
            const auto entry = statistics_.find(s.statistics_address + std::int64_t{c} * 16);
            require(entry != statistics_.end() && entry->second.tensor == input &&
                        entry->second.channel == box().c0 + c && entry->second.count == count,
                    "its statistics are of something else, or not complete");
            for (int b = 0; b < 16; ++b) read_byte(Space::parameters, entry->first + b);
            make({index, Qp::S, box().c0 + c});
            make({index, Qp::SS, box().c0 + c});
            make({index, Qp::var, box().c0 + c});
        }
        read_vector(index, Qp::run_mu, s.run_mu_address, 4);
        read_vector(index, Qp::run_sigma, s.run_sigma_address, 4);
        make_vector(index, Qp::mu, s.mu_address, 4);
        make_vector(index, Qp::sigma, s.sigma_address, 4);
        make_vector(index, Qp::run_mu, s.run_mu_address, 4);
        make_vector(index, Qp::run_sigma, s.run_sigma_address, 4);
    }

    int code_bytes(int layer, Qp qp) const { return (rules_.at(layer, qp).format.bits + 7) / 8; }

    void execute(const BnCoef& b) {
        const int index = command().layer;
        read_vector(index, Qp::sigma, b.sigma_address, 4);
        if (b.kind == BnCoef::Kind::inverse) {
            make_vector(index, Qp::inv, b.out_address, 8);
            return;
        }
        read_vector(index, Qp::mu, b.mu_address, 4);
        read_vector(index, Qp::gamma_q, b.gamma_address, code_bytes(index, Qp::gamma_q));
        read_vector(index, Qp::beta_q, b.beta_address, code_bytes(index, Qp::beta_q));
        make_vector(index, Qp::fold_a, b.out_address, 8);
        make_vector(index, Qp::fold_b, b.out_b_address, 8);
    }

    TensorRule xhat_rule(int index) const {
        TensorRule rule = rules_.output(index);
        const Format& format = rules_.at(index, Qp::xhat).format;
        rule.qp = Qp::xhat;
        rule.bytes = (format.bits + 7) / 8;
        rule.frac = format.frac;
        rule.is_signed = format.is_signed;
        return rule;
    }

    void execute(const NormalizeCmd& n) {
        const int index = command().layer;
        read_vector(index, Qp::mu, n.mu_address, 4);
        read_vector(index, n.inverse ? Qp::inv : Qp::sigma, n.sigma_address, n.inverse ? 8 : 4);
        read_tile(n.source, rules_.layer(index).inputs[0], box());
        make_tile(index, Qp::xhat, box());
        write_tile(n.destination, index, Qp::xhat, xhat_rule(index),
                   rules_.at(index, Qp::xhat).format, box());
    }

    void execute(const Act& a) {
        const int index = command().layer;
        const Layer& layer = rules_.layer(index);
        const Clip clip = layer.type == LayerType::relu    ? Clip::relu
                          : layer.type == LayerType::relu6 ? Clip::relu6
                                                           : Clip::none;
        require(a.clip == clip, "clips otherwise than its layer");
        if (a.kind == Act::Kind::plain) {
            read_tile(a.source, layer.inputs[0], box());
        } else {
            const int norm = layer.type == LayerType::batch_norm ? index : layer.inputs[0];
            require(rules_.layer(norm).type == LayerType::batch_norm, "has no batch norm");
            if (a.kind == Act::Kind::fold) {
                read_vector(norm, Qp::fold_a, a.gamma_address, 8);
                read_vector(norm, Qp::fold_b, a.beta_address, 8);
                require(a.gamma.format.frac == rules_.at(norm, Qp::sigma).format.bits +
                                                   rules_.at(norm, Qp::gamma_q).format.frac,
                        "takes fold_a at another frac");
                read_tile(a.source, rules_.layer(norm).inputs[0], box());
            } else {
                read_vector(norm, Qp::gamma_q, a.gamma_address, code_bytes(norm, Qp::gamma_q));
                read_vector(norm, Qp::beta_q, a.beta_address, code_bytes(norm, Qp::beta_q));
                const TensorRule xhat = xhat_rule(norm);
                require(a.source.bytes == xhat.bytes && a.source.frac == xhat.frac,
                        "takes xhat in another format");
                for_each(box(), [&](int n, int h, int w, int c) {
                    read_element(
                        a.source.space, at(a.source, n, h, w, c), a.source.bytes,
                        {norm, Qp::xhat,
                         xhat.index(box().n0 + n, box().h0 + h, box().w0 + w, box().c0 + c)});
                });
                require(a.show_x && a.x_qp.layer == norm && a.x_qp.qp == Qp::x2, "hides x2");
                require(a.x.format.frac == rules_.at(norm, Qp::gamma_q).format.frac + xhat.frac,
                        "x2's register has another frac");
                make_tile(norm, Qp::x2, box());
            }
        }
        if (a.quantize) {
            require(a.a_qp.layer == index && a.a_qp.qp == Qp::A &&
                        a.a.format == rules_.at(index, Qp::A).format,
                    "quantises to another layer's A");
            make_tile(index, Qp::A, box());
        }
        require(a.quantize == (rules_.output(index).qp == Qp::A), "A or not A");
        write_output(a.destination, index, box());
    }

    void execute(const Add& a) {
        const int index = command().layer;
        const auto& inputs = rules_.layer(index).inputs;
        // The operands may stand in either order.
        const bool swapped = a.a.space == Space::accumulators ? a.a.qp.layer != inputs[0]
                                                              : holds_other(a.a, inputs[0]);
        read_tile(a.a, inputs[swapped ? 1 : 0], box());
        read_tile(a.b, inputs[swapped ? 0 : 1], box());
        require(a.stream_qp.layer == index && a.stream_qp.qp == Qp::stream, "hides its sum");
        require(a.stream.format.frac ==
                    std::max(rules_.output(inputs[0]).frac, rules_.output(inputs[1]).frac),
                "the stream is not at the finest frac");
        make_tile(index, Qp::stream, box());
        if (a.quantize) make_tile(index, Qp::A, box());
        write_output(a.destination, index, box());
    }
    bool holds_other(const TileView& view, int producer) {
        return element_of(read_byte(view.space, view.address)).layer != producer;
    }

    void execute(const Pool& p) {
        const int index = command().layer;
        const Layer& layer = rules_.layer(index);
        const int input = layer.inputs[0];
        const TensorRule& rule = rules_.output(input);
        const bool global = layer.type == LayerType::global_avg_pool;
        const Extent2 kernel =
            global ? Extent2{static_cast<int>(layer.in_shape.h), static_cast<int>(layer.in_shape.w)}
                   : layer.kernel;
        require(p.average == (layer.type != LayerType::max_pool) && p.kernel_h == kernel.h &&
                    p.kernel_w == kernel.w && p.image_h == layer.in_shape.h &&
                    p.image_w == layer.in_shape.w && p.padding_h == layer.padding.h &&
                    p.padding_w == layer.padding.w,
                "is not its layer's pool");
        require(global || (p.stride_y == layer.stride.h && p.stride_x == layer.stride.w),
                "has another stride");
        require(p.source.bytes == rule.bytes && p.source.frac == rule.frac,
                "takes its source in another format");
        for_each(box(), [&](int n, int oh, int ow, int c) {
            for (int kh = 0; kh < kernel.h; ++kh)
                for (int kw = 0; kw < kernel.w; ++kw) {
                    const int ih = (box().h0 + oh) * p.stride_y - layer.padding.h + kh;
                    const int iw = (box().w0 + ow) * p.stride_x - layer.padding.w + kw;
                    if (ih < 0 || ih >= layer.in_shape.h || iw < 0 || iw >= layer.in_shape.w)
                        continue;
                    read_element(p.source.space, at(p.source, n, ih - p.h0, iw - p.w0, c),
                                 p.source.bytes,
                                 {input, rule.qp, rule.index(box().n0 + n, ih, iw, box().c0 + c)});
                }
        });
        require(p.qp.layer == index && p.qp.qp == rules_.output(index).qp, "shows another point");
        require(p.quantizer.format.frac == rules_.output(index).frac, "pools to another frac");
        make_tile(index, rules_.output(index).qp, box());
        write_output(p.destination, index, box());
    }

    void execute(const QuantizeCmd& q) {
        static const std::map<Qp, Qp> masters{{Qp::Wq, Qp::W},          {Qp::bias_q, Qp::bias},
                                              {Qp::gamma_q, Qp::gamma}, {Qp::beta_q, Qp::beta},
                                              {Qp::mu, Qp::run_mu},     {Qp::sigma, Qp::run_sigma}};
        const Qp master = masters.at(q.qp.qp);
        const int layer = q.qp.layer;
        require(q.source_frac == rules_.at(layer, master).format.frac &&
                    q.source_signed == rules_.at(layer, master).format.is_signed,
                "takes a master in another format");
        const int frac = q.qp.qp == Qp::bias_q ? rules_.output(layer).frac
                                               : rules_.at(layer, q.qp.qp).format.frac;
        require(q.quantizer.format.frac == frac, "quantises to another frac");
        require(box().c == q.count && box().c0 == q.first && box().pixels() == 1, "wrong box");
        for (std::int64_t e = 0; e < q.count; ++e) {
            read_element(Space::activations, q.source_address + e * q.source_bytes, q.source_bytes,
                         {layer, master, q.first + e});
            const Element element{layer, q.qp.qp, q.first + e};
            make(element);
            write_element(Space::activations, q.destination_address + e * q.destination_bytes,
                          q.destination_bytes, element);
        }
    }

    const Program& program_;
    const Network& network_;
    const MachineConfig& machine_;
    Rules rules_;
    Order order_;
    Memory dram_, weights_, activations_, parameters_;
    std::vector<Sum> sums_;
    Checked& checked_;
    std::map<std::pair<int, Qp>, std::vector<std::uint8_t>> made_;
    std::map<std::pair<int, Qp>, const DramTensor*> tensors_;
    std::int64_t dram_end_ = 0;
    std::array<std::array<std::int32_t, unit_count>, 4> bank_users_{};
    std::vector<std::vector<std::uint64_t>> shadow_;  // column, row
    std::int32_t shadow_loaded_by_ = -1;
    int shadow_rows_ = 0;
    std::int32_t swaps_ = 0;
    std::map<std::int64_t, Statistics> statistics_;
    std::int32_t i_ = 0;
};

}  // namespace

Checked check_program(const Program& program, const Network& network, const Datapath& datapath,
                      std::int64_t batch, BatchNorm batch_norm) {
    Checked checked;
    try {
        ProgramCheck(program, network, datapath, batch, batch_norm, checked).run();
    } catch (const Violation& violation) {
        checked.violation = violation.what();
    }
    return checked;
}

std::int64_t deadlock(const Program& program, int queue_depth) {
    std::vector<int> tokens;
    for (const TokenInfo& token : program.tokens) tokens.push_back(token.initial);
    std::array<std::deque<const Command*>, unit_count> queues;
    const auto step = [&](std::deque<const Command*>& queue) {
        if (queue.empty()) return false;
        const Command& head = *queue.front();
        for (const Token token : head.waits)
            if (tokens[token] == 0) return false;
        for (const Token token : head.waits) --tokens[token];
        for (const Token token : head.gives) ++tokens[token];
        if (const auto* gemm = std::get_if<Gemm>(&head.operands))
            for (const Token token : gemm->gives_at_swap) ++tokens[token];
        queue.pop_front();
        return true;
    };
    const auto run_units = [&] {
        for (bool any = true; any;) {
            any = false;
            for (auto& queue : queues)
                while (step(queue)) any = true;
        }
    };
    for (std::size_t i = 0; i < program.commands.size(); ++i) {
        const Command& command = program.commands[i];
        const bool fence = std::holds_alternative<Fence>(command.operands);
        auto& queue = queues[static_cast<std::size_t>(command.unit)];
        // Units run only when the scheduler can't go on: the fullest that the queues ever are.
        if (fence || queue.size() == static_cast<std::size_t>(queue_depth)) run_units();
        if (fence) {
            for (const auto& q : queues)
                if (!q.empty()) return static_cast<std::int64_t>(i);
            continue;
        }
        if (queue.size() == static_cast<std::size_t>(queue_depth))
            return static_cast<std::int64_t>(i);
        queue.push_back(&command);
    }
    return -1;
}

}  // namespace wagesim::test
