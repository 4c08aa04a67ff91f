// Follows every byte of a program: where it came from, who may use it and when.
#include "program_check.h"

#include <algorithm>
#include <array>
#include <deque>
#include <map>
#include <vector>

#include "program_checker.h"

namespace wagesim::test {

using compile::BatchNorm;

ProgramChecker::ProgramChecker(const Program& program, const Network& network,
                               const Datapath& datapath, std::int64_t batch, const Task& task,
                               Checked& checked)
    : program_(program),
      network_(network),
      machine_(datapath.machine),
      task_(task),
      rules_(network, datapath, batch),
      order_(program),
      dram_("dram", program.dram_bytes, 1, program, order_),
      weights_("weights", machine_.weight_buffer_bytes, unit_count, program, order_),
      activations_("activations", machine_.activation_buffer_bytes, unit_count, program, order_),
      parameters_("parameters", machine_.parameter_bytes, unit_count, program, order_),
      sums_(static_cast<std::size_t>(machine_.accumulator_bytes / 5 / machine_.array_columns *
                                     machine_.array_columns)),
      checked_(checked) {
    for (const compile::Expected& point : task.makes)
        if (point.qp.layer >= 0)
            made_[{point.qp.layer, point.qp.qp}].resize(
                static_cast<std::size_t>(point.shape.size()));
    for (const DramTensor& tensor : program.tensors) {
        const Place place{tensor.qp.layer, tensor.qp.qp, tensor.role};
        if (tensor.address < dram_end_) fail("tensors overlap in Dram");
        dram_end_ = tensor.address + size_of(tensor);
        if (tensor.address % 64 != 0) fail("a tensor is not 64-byte aligned");
        tensors_[place] = &tensor;
        if (!tensor.from_host && task.starts_with.count(place) == 0) continue;
        for (std::int64_t b = 0; b < size_of(tensor); ++b)
            dram_.from_host(tensor.address + b,
                            Element{place.layer, place.qp, b / tensor.bytes, place.role}.id(
                                static_cast<int>(b % tensor.bytes)));
    }
    for (auto& users : bank_users_) users.fill(-1);
}

void ProgramChecker::run() {
    for (i_ = 0; i_ < static_cast<std::int32_t>(program_.commands.size()); ++i_) {
        try {
            std::visit([this](const auto& operands) { execute(operands); }, command().operands);
        } catch (const Violation& violation) {
            throw Violation("command " + std::to_string(i_) + " (" + mnemonic(command()) + " of " +
                            network_.name_of(command().layer) + "): " + violation.what());
        }
    }
    for (const auto& [qp, counts] : made_)
        for (std::size_t e = 0; e < counts.size(); ++e)
            if (counts[e] != 1)
                fail(network_.name_of(qp.first) + "." + name_of(qp.second) + " element " +
                     std::to_string(e) + " was made " + std::to_string(counts[e]) + " times");
    for (const auto& [place, tensor] : tensors_) check_left(place, *tensor);
}

/// What lies in Dram after the program.
void ProgramChecker::check_left(const Place& place, const DramTensor& tensor) const {
    const bool is_made = made_.count({place.layer, place.qp}) > 0;
    if (!task_.leaves_all && !(is_made && place.role == Role::codes)) return;
    const bool was_there = tensor.from_host || task_.starts_with.count(place) > 0;
    for (std::int64_t b = 0; b < size_of(tensor); ++b) {
        const std::string name = network_.name_of(place.layer) + "." + name_of(place.qp);
        if (!dram_.written(tensor.address + b)) fail(name + " is incomplete in Dram");
        const Element element = element_of(dram_.peek(tensor.address + b));
        if (was_there && is_made && place.role == Role::codes && !element.is_next)
            fail(name + " is not updated in Dram");
        if (place.role == Role::scale &&
            element.index != 2 * rules_.shape({place.layer, place.qp}).size() + 1)
            fail("the scale of " + name + " is not complete in Dram");
    }
}

std::string ProgramChecker::text(const Element& e) const {
    static const std::array<const char*, 7> roles{"",       " mask", " index", " flags",
                                                  " scale", " back", " labels"};
    if (e.layer < -1) return "nothing";
    return network_.name_of(e.layer) + "." + name_of(e.qp) +
           roles[static_cast<std::size_t>(e.role)] + "[" + std::to_string(e.index) + "]" +
           (e.is_next ? " of the next step" : "");
}

std::int64_t ProgramChecker::size_of(const DramTensor& tensor) {
    const Shape& s = tensor.shape;
    if (tensor.plane_bits > 0) return s.n * s.h * s.w * plane_bytes_of(s.c, tensor.plane_bits);
    return s.size() * tensor.bytes;
}

void ProgramChecker::make(const Element& element) {
    const auto entry = made_.find({element.layer, element.qp});
    if (entry == made_.end()) fail("makes " + text(element) + ", which nobody expects");
    std::uint8_t& count = entry->second.at(static_cast<std::size_t>(element.index));
    if (count < 255) ++count;
    ++checked_.codes_made;
}

// ---- buffers --------------------------------------------------------------------------------

Memory& ProgramChecker::memory(Space space) {
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
void ProgramChecker::touch(Space space, std::int64_t address) {
    if (space != Space::activations) return;
    const std::int64_t bank =
        address / (machine_.activation_buffer_bytes / machine_.activation_banks);
    auto& users = bank_users_.at(static_cast<std::size_t>(bank));
    const auto unit = static_cast<std::size_t>(command().unit);
    if (users[unit] == i_) return;
    for (std::size_t u = 0; u < users.size(); ++u)
        if (u != unit && users[u] >= 0 && !order_.before(users[u], i_))
            fail("meets command " + std::to_string(users[u]) + " in bank " + std::to_string(bank));
    users[unit] = i_;
}

void ProgramChecker::in_one_bank(const TileView& view, const Box& b) const {
    if (view.space != Space::activations) return;
    const std::int64_t bank = machine_.activation_buffer_bytes / machine_.activation_banks;
    std::int64_t first = view.address, last = std::int64_t{b.c} * view.bytes - 1;
    Extent2 extent{b.h, b.w};
    if (view.flat_w > 0) {
        const std::int64_t plane = std::int64_t{view.flat_h} * view.flat_w;
        first += b.c0 / plane * view.bytes;
        last = b.c / plane * view.bytes - 1;
        extent = {view.flat_h, view.flat_w};
    }
    last += first + (b.n - 1) * view.stride_n + (extent.h - 1) * view.stride_h +
            (extent.w - 1) * view.stride_w;
    if (first / bank != last / bank) fail("a tile straddles a bank");
}

std::uint64_t ProgramChecker::read_byte(Space space, std::int64_t address) {
    touch(space, address);
    ++checked_.bytes_read;
    return memory(space).read(i_, address);
}

void ProgramChecker::write_byte(Space space, std::int64_t address, std::uint64_t id) {
    touch(space, address);
    memory(space).write(i_, address, id);
}

void ProgramChecker::read_element(Space space, std::int64_t address, int bytes,
                                  const Element& expected) {
    for (int b = 0; b < bytes; ++b) {
        const std::uint64_t id = read_byte(space, address + b);
        if (id != expected.id(b))
            fail("reads " + text(element_of(id)) + " byte " + std::to_string(byte_of(id)) + " at " +
                 std::string(to_string(space)) + " " + std::to_string(address + b) + ", expected " +
                 text(expected) + " byte " + std::to_string(b));
    }
    if (memory(space).peek(address + bytes) == expected.id(bytes))
        fail("reads only " + std::to_string(bytes) + " bytes of " + text(expected));
}
void ProgramChecker::write_element(Space space, std::int64_t address, int bytes,
                                   const Element& element) {
    for (int b = 0; b < bytes; ++b) write_byte(space, address + b, element.id(b));
}

void ProgramChecker::read_vector(int layer, Qp qp, std::int64_t address, int bytes) {
    for (int c = 0; c < box().c; ++c)
        read_element(Space::parameters, address + std::int64_t{c} * bytes, bytes,
                     {layer, qp, box().c0 + c});
}

void ProgramChecker::write_vector(int layer, Qp qp, std::int64_t address, int bytes, bool is_next) {
    for (int c = 0; c < box().c; ++c)
        write_element(Space::parameters, address + std::int64_t{c} * bytes, bytes,
                      {layer, qp, box().c0 + c, Role::codes, is_next});
}
void ProgramChecker::make_vector(int layer, Qp qp, std::int64_t address, int bytes, bool is_next) {
    for (int c = 0; c < box().c; ++c) make({layer, qp, box().c0 + c});
    write_vector(layer, qp, address, bytes, is_next);
}

// ---- tiles ----------------------------------------------------------------------------------

/// Reads a box of a producer's output.
void ProgramChecker::read_tile(const TileView& view, int producer, const Box& b) {
    const TensorRule& rule = rules_.output(producer);
    require(view.bytes == rule.bytes && view.is_signed == rule.is_signed && view.frac == rule.frac,
            "a source's format is not its tensor's");
    if (view.space == Space::accumulators) {
        read_sums(view, {producer, rule.qp}, rule.shape, b);
        return;
    }
    in_one_bank(view, b);
    for_each(b, [&](int n, int h, int w, int c) {
        read_element(view.space, at(view, n, h, w, c), view.bytes,
                     {producer, rule.qp, rule.index(b.n0 + n, b.h0 + h, b.w0 + w, b.c0 + c)});
    });
}

void ProgramChecker::read_sums(const TileView& view, const Place& place, const Shape& shape,
                               const Box& b) {
    require(view.qp.layer == place.layer && view.qp.qp == place.qp, "shows another layer's sums");
    std::int64_t p = 0;
    for (int n = 0; n < b.n; ++n)
        for (int h = 0; h < b.h; ++h)
            for (int w = 0; w < b.w; ++w, ++p)
                for (int c = 0; c < b.c; ++c)
                    complete_sum(view.address + c / view.channels_per_row * b.pixels() + p,
                                 c % view.channels_per_row,
                                 element_at(place, shape, b, n, h, w, c));
}

/// Shows a sum that its reader takes.
Sum& ProgramChecker::complete_sum(std::int64_t row, int column, const Element& element) {
    Sum& sum = sum_at(row, column);
    if (sum.element.place() != element.place() || sum.element.index != element.index)
        fail("reads another sum than " + text(element) + ": " + text(sum.element));
    require(sum.next_k == sum.all_k, "reads a sum that is not complete");
    const bool has_bias =
        (element.qp == Qp::y || element.qp == Qp::z) && rules_.layer(element.layer).bias;
    require(sum.has_bias == has_bias, "a bias is missing or too many");
    require(order_.before(sum.writer, i_), "may read a sum too early");
    sum.reader = i_;
    make(element);
    return sum;
}

/// Writes a box of codes of one quantisation point.
void ProgramChecker::write_tile(const TileView& view, int layer, Qp qp, const TensorRule& rule,
                                const Format& format, const Box& b) {
    require(
        view.bytes == rule.bytes && view.is_signed == format.is_signed && view.frac == format.frac,
        "a destination's format is not its quantiser's");
    in_one_bank(view, b);
    for_each(b, [&](int n, int h, int w, int c) {
        write_element(view.space, at(view, n, h, w, c), view.bytes,
                      {layer, qp, rule.index(b.n0 + n, b.h0 + h, b.w0 + w, b.c0 + c)});
    });
}

void ProgramChecker::write_output(const TileView& view, int producer, const Box& b) {
    const TensorRule& rule = rules_.output(producer);
    write_tile(view, producer, rule.qp, rule, Format{0, rule.frac, rule.is_signed, 0}, b);
}

void ProgramChecker::make_tile(int layer, Qp qp, const Box& b) {
    const TensorRule& rule = rules_.output(layer);
    for_each(b, [&](int n, int h, int w, int c) {
        make({layer, qp, rule.index(b.n0 + n, b.h0 + h, b.w0 + w, b.c0 + c)});
    });
}

// ---- commands -------------------------------------------------------------------------------

void ProgramChecker::execute(const Fence&) {
    weights_.forget();
    activations_.forget();
    parameters_.forget();
    sums_.assign(sums_.size(), Sum{});
    shadow_loaded_by_ = -1;
    statistics_.clear();
    for (auto& users : bank_users_) users.fill(-1);
}

void ProgramChecker::execute(const Transfer& t) {
    const bool stores = command().unit == Unit::dma_write;
    require(stores || command().unit == Unit::dma_read, "is no Dma's");
    for (std::int64_t a = 0; a < t.counts[0]; ++a)
        for (std::int64_t b = 0; b < t.counts[1]; ++b)
            for (std::int64_t c = 0; c < t.counts[2]; ++c)
                for (std::int64_t byte = 0; byte < t.run_bytes; ++byte) {
                    const std::int64_t dram = t.dram_address + a * t.dram_strides[0] +
                                              b * t.dram_strides[1] + c * t.dram_strides[2] + byte;
                    const std::int64_t buffer = t.buffer_address + a * t.buffer_strides[0] +
                                                b * t.buffer_strides[1] + c * t.buffer_strides[2] +
                                                byte;
                    if (stores)
                        store(dram, read_byte(t.buffer, buffer));
                    else
                        write_byte(t.buffer, buffer, dram_.read(i_, dram));
                }
}

void ProgramChecker::store(std::int64_t address, std::uint64_t id) {
    const Element element = element_of(id);
    const auto tensor = tensors_.find(element.place());
    if (tensor == tensors_.end()) fail("stores " + text(element) + ", which has no place");
    const DramTensor& to = *tensor->second;
    const std::int64_t index = element.role == Role::scale ? 0 : element.index;
    require(byte_of(id) < to.bytes, "stores more bytes of a code than its place has");
    if (to.address + index * to.bytes + byte_of(id) != address)
        fail("stores " + text(element) + " where it does not belong");
    dram_.write(i_, address, id);
}

void ProgramChecker::execute(const WeightLoad& w) {
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
            shadow_[static_cast<std::size_t>(c)].push_back(read_weight(w.weights, r, c));
}

Sum& ProgramChecker::sum_at(std::int64_t row, std::int64_t column) {
    const std::int64_t cell = row * machine_.array_columns + column;
    if (row < 0 || cell >= static_cast<std::int64_t>(sums_.size()))
        fail("accumulator row " + std::to_string(row) + " is out of range");
    return sums_[static_cast<std::size_t>(cell)];
}

void ProgramChecker::execute(const Gemm& g) {
    require(g.columns == box().c && g.columns <= machine_.array_columns, "wrong columns");
    if (machine_.dataflow == Dataflow::ws)
        take_shadow(g);
    else
        require(g.gives_at_swap.empty(), "swaps no weights");
    if (g.turned)
        multiply_gradient(g);
    else if (command().phase == Phase::error)
        multiply_error(g);
    else
        multiply_forward(g);
}

void ProgramChecker::multiply_forward(const Gemm& g) {
    const int layer_index = command().layer;
    const Layer& layer = rules_.layer(layer_index);
    const TensorRule& input = rules_.output(layer.inputs[0]);
    const TensorRule& out = rules_.output(layer_index);
    const Shape weights = weight_shape(layer);
    const std::int64_t reduction = weights.c * weights.h * weights.w;
    const bool linear = layer.type == LayerType::linear;
    const Extent2 kernel = rules_.kernel(layer_index);
    const int channels = static_cast<int>(layer.in_shape.c) / layer.groups;
    require(g.bytes == input.bytes && !g.flags.exists(), "operands of another size");
    require(g.kernel_h == kernel.h && g.kernel_w == kernel.w && g.channels == channels &&
                g.channel_major == linear && g.image_h == layer.in_shape.h &&
                g.image_w == layer.in_shape.w,
            "is not its layer's product");
    const int per_group = layer.out_channels / layer.groups;
    const int group = box().c0 / per_group;
    require((box().c0 + box().c - 1) / per_group == group, "crosses a group");
    check_operands_order(g, g.k0, reduction);
    for (int c = 0; c < g.columns; ++c)
        for (int j = 0; j < g.k; ++j)
            if (weight(g, j, c) !=
                Element{layer_index, Qp::Wq, (box().c0 + c) * reduction + g.k0 + j}.id(0))
                fail("has another weight in row " + std::to_string(j) + ", column " +
                     std::to_string(c));
    read_bias(g);
    std::int64_t p = 0;
    for (int n = 0; n < box().n; ++n)
        for (int oh = box().h0; oh < box().h0 + box().h; ++oh)
            for (int ow = box().w0; ow < box().w0 + box().w; ++ow, ++p) {
                read_operands(g, layer, input, group, n, oh, ow);
                for (int c = 0; c < g.columns; ++c)
                    add_products(
                        g, g.accumulator_row + p, c,
                        {layer_index, out.qp, out.index(box().n0 + n, oh, ow, box().c0 + c)}, g.k0,
                        reduction);
            }
}

/// ws: K is cut into tiles of R.
void ProgramChecker::check_operands_order(const Gemm& g, std::int64_t first,
                                          std::int64_t all) const {
    require(first >= 0 && g.k >= 1 && first + g.k <= all, "reaches beyond K");
    if (machine_.dataflow != Dataflow::ws) return;
    const std::int64_t rows = machine_.array_rows;
    require(first % rows == 0 && (g.k == rows || first + g.k == all), "is no tile of K");
}

void ProgramChecker::read_bias(const Gemm& g) {
    if (g.bias_address < 0) return;
    require(!g.accumulate, "adds a bias in the middle");
    read_vector(command().layer, Qp::bias_q, g.bias_address, 4);
}

void ProgramChecker::take_shadow(const Gemm& g) {
    require(shadow_loaded_by_ >= 0 && order_.before(shadow_loaded_by_, i_),
            "may start before its weights are there");
    require(shadow_rows_ == g.k && static_cast<int>(shadow_.size()) == g.columns,
            "has weights of another shape");
    shadow_loaded_by_ = -1;
    ++swaps_;
}

std::uint64_t ProgramChecker::read_weight(const WeightView& view, int row, int column) {
    const std::int64_t address = view.address + row * view.row_stride + column * view.column_stride;
    const std::uint64_t id = read_byte(Space::weights, address);
    const Element element = element_of(id);
    read_element(Space::weights, address, view.bytes, element);
    const bool has_flags = element.qp == Qp::E2 && !rules_.is_sq16();
    require(view.flags.exists() == has_flags, "flags too many or missing");
    if (has_flags) {
        const std::int64_t channels = rules_.output(element.layer).shape.c;
        read_bits(view.flags, plane_address(view.flags, 0, 0, row), column,
                  {element.layer, Qp::E2, Role::flags}, static_cast<int>(channels),
                  element.index / channels, element.index % channels);
    }
    return id;
}

/// ws: that WLOAD brought; os: in the weight buffer.
std::uint64_t ProgramChecker::weight(const Gemm& g, int row, int column) {
    if (machine_.dataflow == Dataflow::ws)
        return shadow_[static_cast<std::size_t>(column)][static_cast<std::size_t>(row)];
    return read_weight(g.weights, row, column);
}

void ProgramChecker::read_operands(const Gemm& g, const Layer& layer, const TensorRule& input,
                                   int group, int n, int oh, int ow) {
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
        read_element(
            Space::activations,
            g.address + n * g.stride_n + (ih - g.h0) * g.stride_h + (iw - g.w0) * g.stride_w +
                c * g.bytes,
            g.bytes,
            {layer.inputs[0], input.qp, input.index(box().n0 + n, ih, iw, group * g.channels + c)});
    }
}

void ProgramChecker::add_products(const Gemm& g, std::int64_t row, int column,
                                  const Element& element, std::int64_t first_k,
                                  std::int64_t all_k) {
    Sum& sum = sum_at(row, column);
    if (sum.reader >= 0 && !order_.before(sum.reader, i_))
        fail("may overwrite a sum that is still read");
    if (!g.accumulate) {
        require(first_k == 0, "starts a sum in the middle of K");
        sum = {element, 0, all_k, g.bias_address >= 0, i_, -1};
    } else {
        if (sum.element.place() != element.place() || !same_sum(sum.element, element))
            fail("adds " + text(element) + " to another sum: " + text(sum.element));
        require(sum.reader < 0, "adds to a sum that was read");
        if (sum.element.index < 0) sum.element.index = element.index;
    }
    require(sum.next_k == first_k, "leaves the order of K");
    sum.next_k = first_k + g.k;
    sum.writer = i_;
    checked_.macs += g.k;
}

void ProgramChecker::execute(const Drain& d) {
    require(d.source.space == Space::accumulators, "drains no accumulators");
    if (d.source.turned) {
        drain_gradient(d);
    } else if (command().phase == Phase::error) {
        drain_dx(d);
    } else {
        const int layer = command().layer;
        read_tile(d.source, layer, box());
        write_output(d.destination, layer, box());
        if (d.statistics_address >= 0)
            gather(d.statistics_address, {layer, rules_.output(layer).qp});
    }
}

void ProgramChecker::execute(const Clear& c) {
    for (std::int64_t b = 0; b < c.bytes; ++b) {
        write_byte(Space::parameters, c.address + b, 0);
        if (b % 16 == 0) statistics_[c.address + b] = {};
    }
}

void ProgramChecker::gather(std::int64_t address, const Place& tensor) {
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

void ProgramChecker::check_statistics(std::int64_t address, const Place& tensor,
                                      std::int64_t count) {
    for (int c = 0; c < box().c; ++c) {
        const auto entry = statistics_.find(address + std::int64_t{c} * 16);
        require(entry != statistics_.end() && entry->second.tensor == tensor &&
                    entry->second.channel == box().c0 + c && entry->second.count == count,
                "its statistics are of something else, or not complete");
        for (int b = 0; b < 16; ++b) read_byte(Space::parameters, entry->first + b);
    }
}

void ProgramChecker::execute(const Gather& g) {
    const int tensor = rules_.layer(command().layer).inputs[0];
    read_tile(g.source, tensor, box());
    gather(g.statistics_address, {tensor, rules_.output(tensor).qp});
}

void ProgramChecker::execute(const BnStat& s) {
    const int index = command().layer;
    const int input = rules_.layer(index).inputs[0];
    const TensorRule& rule = rules_.output(input);
    const std::int64_t count = rule.shape.n * rule.shape.h * rule.shape.w;
    require(s.count == count && s.source_frac == rule.frac, "counts another tensor");
    check_statistics(s.statistics_address, {input, rule.qp}, count);
    for (int c = 0; c < box().c; ++c)
        for (const Qp qp : {Qp::S, Qp::SS, Qp::var}) make({index, qp, box().c0 + c});
    read_vector(index, Qp::run_mu, s.run_mu_address, 4);
    read_vector(index, Qp::run_sigma, s.run_sigma_address, 4);
    make_vector(index, Qp::mu, s.mu_address, 4);
    make_vector(index, Qp::sigma, s.sigma_address, 4);
    make_vector(index, Qp::run_mu, s.run_mu_address, 4, true);
    make_vector(index, Qp::run_sigma, s.run_sigma_address, 4, true);
}

void ProgramChecker::execute(const BnCoef& b) {
    const int index = command().layer;
    read_vector(index, Qp::sigma, b.sigma_address, 4);
    if (b.kind == BnCoef::Kind::inverse) {
        if (b.is_shown)
            make_vector(index, Qp::inv, b.out_address, 8);
        else
            write_vector(index, Qp::inv, b.out_address, 8);
        return;
    }
    read_vector(index, Qp::mu, b.mu_address, 4);
    read_vector(index, Qp::gamma_q, b.gamma_address, code_bytes(index, Qp::gamma_q));
    read_vector(index, Qp::beta_q, b.beta_address, code_bytes(index, Qp::beta_q));
    make_vector(index, Qp::fold_a, b.out_address, 8);
    make_vector(index, Qp::fold_b, b.out_b_address, 8);
}

TensorRule ProgramChecker::xhat_rule(int index) const {
    TensorRule rule = rules_.output(index);
    const Format& format = rules_.at(index, Qp::xhat).format;
    rule.qp = Qp::xhat;
    rule.bytes = (format.bits + 7) / 8;
    rule.frac = format.frac;
    rule.is_signed = format.is_signed;
    return rule;
}

void ProgramChecker::execute(const NormalizeCmd& n) {
    const int index = command().layer;
    read_vector(index, Qp::mu, n.mu_address, 4);
    read_vector(index, n.inverse ? Qp::inv : Qp::sigma, n.sigma_address, n.inverse ? 8 : 4);
    read_tile(n.source, rules_.layer(index).inputs[0], box());
    make_tile(index, Qp::xhat, box());
    write_tile(n.destination, index, Qp::xhat, xhat_rule(index), rules_.at(index, Qp::xhat).format,
               box());
}

void ProgramChecker::execute(const Act& a) {
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
                read_element(a.source.space, at(a.source, n, h, w, c), a.source.bytes,
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
    if (!a.mask.exists()) return;
    require(a.masks_overflow == rules_.training().masks_overflow, "masks otherwise");
    write_plane(a.mask, {index, Qp::E1m, Role::mask}, box(), 1);
}

void ProgramChecker::execute(const Add& a) {
    const int index = command().layer;
    const auto& inputs = rules_.layer(index).inputs;
    // The operands may stand in either order.
    const bool swapped =
        a.a.space == Space::accumulators ? a.a.qp.layer != inputs[0] : holds_other(a.a, inputs[0]);
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

void ProgramChecker::execute(const Pool& p) {
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
                if (ih < 0 || ih >= layer.in_shape.h || iw < 0 || iw >= layer.in_shape.w) continue;
                read_element(p.source.space, at(p.source, n, ih - p.h0, iw - p.w0, c),
                             p.source.bytes,
                             {input, rule.qp, rule.index(box().n0 + n, ih, iw, box().c0 + c)});
            }
    });
    require(p.qp.layer == index && p.qp.qp == rules_.output(index).qp, "shows another point");
    require(p.quantizer.format.frac == rules_.output(index).frac, "pools to another frac");
    make_tile(index, rules_.output(index).qp, box());
    write_output(p.destination, index, box());
    if (!p.index.exists()) return;
    require(!p.average, "an average has no winner");
    write_plane(p.index, {index, Qp::pool_err, Role::index}, box(), rules_.index_bits(index));
}

void ProgramChecker::execute(const QuantizeCmd& q) {
    static const std::map<Qp, Qp> masters{{Qp::Wq, Qp::W},          {Qp::bias_q, Qp::bias},
                                          {Qp::gamma_q, Qp::gamma}, {Qp::beta_q, Qp::beta},
                                          {Qp::mu, Qp::run_mu},     {Qp::sigma, Qp::run_sigma}};
    const Qp master = masters.at(q.qp.qp);
    const int layer = q.qp.layer;
    require(q.source_frac == rules_.at(layer, master).format.frac &&
                q.source_signed == rules_.at(layer, master).format.is_signed,
            "takes a master in another format");
    const int frac =
        q.qp.qp == Qp::bias_q ? rules_.output(layer).frac : rules_.at(layer, q.qp.qp).format.frac;
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

namespace {

Checked check(const Program& program, const Network& network, const Datapath& datapath,
              std::int64_t batch, const Task& task) {
    Checked checked;
    try {
        ProgramChecker(program, network, datapath, batch, task, checked).run();
    } catch (const Violation& violation) {
        checked.violation = violation.what();
    }
    return checked;
}

}  // namespace

Checked check_program(const Program& program, const Network& network, const Datapath& datapath,
                      std::int64_t batch, BatchNorm batch_norm) {
    return check(program, network, datapath, batch,
                 {compile::quantisation_points(network, datapath, batch, batch_norm), {}, true});
}

Checked check_training(const compile::TrainingPrograms& programs, const Network& network,
                       const Datapath& datapath, std::int64_t batch) {
    const compile::TrainingPoints points = compile::training_points(network, datapath, batch);
    const Checked prepared =
        check(programs.prepare, network, datapath, batch, {points.prepare, {}, false});
    if (!prepared.violation.empty()) return {"prepare: " + prepared.violation};
    Task step{points.step, {}, true};
    for (const compile::Expected& point : points.prepare)
        step.starts_with.insert({point.qp.layer, point.qp.qp});
    Checked checked = check(programs.step, network, datapath, batch, step);
    const auto same_place = [](const DramTensor& a, const DramTensor& b) {
        return a.address == b.address && a.bytes == b.bytes && a.qp.layer == b.qp.layer &&
               a.qp.qp == b.qp.qp && a.role == b.role;
    };
    if (checked.violation.empty() &&
        !std::equal(programs.prepare.tensors.begin(), programs.prepare.tensors.end(),
                    programs.step.tensors.begin(), programs.step.tensors.end(), same_place))
        checked.violation = "prepare and step have another Dram";
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
