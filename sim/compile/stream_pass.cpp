// Passes of the backward pass that stream tensors through the vector unit, tile by tile.
#include "compile/stream_pass.h"

#include <algorithm>
#include <string>
#include <tuple>

#include "compile/lowering.h"
#include "compile/placement.h"
#include "compile/spatial.h"
#include "wagesim/error.h"

namespace wagesim::compile {
namespace {

constexpr std::int64_t parameter_alignment = 8;
constexpr std::int32_t channel_step = 16;   ///< runs of a tile's channels in Dram are multiples
constexpr std::int32_t least_channels = 8;  ///< whole bytes of a bit plane
constexpr std::int64_t first_output_bank = 2;

/// Windows that hold any of the elements [first, first + count) of a pool's input.
std::pair<std::int32_t, std::int32_t> windows_over(std::int32_t first, std::int32_t count,
                                                   const WindowAxis& axis, std::int64_t outputs) {
    const std::int64_t low = std::int64_t{first} + axis.padding - axis.kernel + 1;
    const std::int64_t begin =
        std::clamp<std::int64_t>(low <= 0 ? 0 : ceil_divide(low, axis.stride), 0, outputs - 1);
    const std::int64_t end = std::clamp<std::int64_t>(
        (std::int64_t{first} + count - 1 + axis.padding) / axis.stride + 1, begin + 1, outputs);
    return {i32(begin), i32(end - begin)};
}

/// Bytes of a tile of a tensor or plane.
std::int64_t tile_bytes(const Box& box, int bytes, int plane_bits) {
    return box.pixels() *
           (plane_bits > 0 ? plane_bytes(box.c, plane_bits) : std::int64_t{box.c} * bytes);
}

}  // namespace

BitPlane dense_plane(std::int64_t address, int bits, const Box& box) {
    BitPlane plane;
    plane.address = address;
    plane.bits = bits;
    plane.stride_w = plane_bytes(box.c, bits);
    plane.stride_h = plane.stride_w * box.w;
    plane.stride_n = plane.stride_h * box.h;
    return plane;
}

StreamPass::StreamPass(const Job& job, Emitter& emitter, Phase phase, int layer, const Shape& shape)
    : job_(job), emitter_(emitter), phase_(phase), layer_(layer), shape_(shape) {}

int StreamPass::load(const DramTensor& tensor) {
    loads_.push_back({&tensor});
    return static_cast<int>(loads_.size()) - 1;
}
int StreamPass::load_behind(const DramTensor& tensor, const Layer& pool) {
    loads_.push_back({&tensor, &pool});
    return static_cast<int>(loads_.size()) - 1;
}
int StreamPass::load_labels(const DramTensor& tensor) {
    loads_.push_back({&tensor, nullptr, true});
    return static_cast<int>(loads_.size()) - 1;
}
int StreamPass::result(int bytes, const DramTensor* to) {
    results_.push_back({bytes, 0, to});
    return static_cast<int>(results_.size()) - 1;
}
int StreamPass::result_plane(int bits, const DramTensor& to) {
    results_.push_back({0, bits, &to});
    return static_cast<int>(results_.size()) - 1;
}

int StreamPass::add(Parameter parameter) {
    parameters_.push_back(parameter);
    return static_cast<int>(parameters_.size()) - 1;
}
int StreamPass::vector(int bytes, const DramTensor* from, const DramTensor* to) {
    return add({bytes, true, false, false, from, to, 0});
}
int StreamPass::cleared_vector(int bytes) {
    return add({bytes, true, false, true, nullptr, nullptr, 0});
}
int StreamPass::loaded_scale(const DramTensor& from) {
    return add({scale_bytes, false, false, false, &from, nullptr, 0});
}
int StreamPass::gathered_scale(const DramTensor& to) {
    return add({scale_bytes, false, true, false, &to, &to, 0});
}

TileView StreamPass::Tile::input(int load, const Format& format) const {
    const DramTensor& tensor = *pass_->loads_[index(load)].tensor;
    return dense_view(input_addresses_[index(load)], tensor.bytes, format,
                      input_boxes_[index(load)]);
}
BitPlane StreamPass::Tile::input_plane(int load) const {
    return dense_plane(input_addresses_[index(load)], pass_->loads_[index(load)].tensor->plane_bits,
                       input_boxes_[index(load)]);
}
TileView StreamPass::Tile::output(int result, const Format& format) const {
    return dense_view(output_addresses_[index(result)], pass_->results_[index(result)].bytes,
                      format, box_);
}
BitPlane StreamPass::Tile::output_plane(int result) const {
    return dense_plane(output_addresses_[index(result)], pass_->results_[index(result)].plane_bits,
                       box_);
}
std::int64_t StreamPass::Tile::vector(int vector) const {
    const Parameter& parameter = pass_->parameters_[index(vector)];
    return parameter.address + std::int64_t{box_.c0 - pass_->c0_} * parameter.bytes;
}
std::int64_t StreamPass::Tile::scale(int scale) const {
    return pass_->parameters_[index(scale)].address;
}

// ---- sizes ----------------------------------------------------------------------------------

std::int64_t StreamPass::parameter_bytes(std::int64_t channels) const {
    std::int64_t bytes = 0;
    for (const Parameter& p : parameters_)
        bytes += align(p.per_channel ? p.bytes * channels : p.bytes, parameter_alignment);
    return bytes;
}

std::int64_t StreamPass::plan_parameters(std::int64_t channels) {
    std::int64_t used = 0;
    for (Parameter& p : parameters_) {
        p.address = used;
        used += align(p.per_channel ? p.bytes * channels : p.bytes, parameter_alignment);
    }
    return used;
}

Box StreamPass::input_box(const Load& load, const Box& box) const {
    Box input = box;
    if (load.is_labels) {
        input.c0 = 0;
        input.c = 1;
    }
    if (load.pool == nullptr) return input;
    const Window window = pool_window_of(*load.pool);
    const Shape& shape = load.tensor->shape;
    std::tie(input.h0, input.h) = windows_over(box.h0, box.h, window.h, shape.h);
    std::tie(input.w0, input.w) = windows_over(box.w0, box.w, window.w, shape.w);
    return input;
}

/// Of a box of that size, wherever it lies.
Box StreamPass::largest_input_box(const Load& load, const Box& box) const {
    if (load.pool == nullptr) return input_box(load, box);
    const Window window = pool_window_of(*load.pool);
    const auto most = [](std::int32_t count, const WindowAxis& axis, std::int64_t outputs) {
        return std::min((count + axis.kernel - 2) / axis.stride + 1, i32(outputs));
    };
    Box input = box;
    input.h = most(box.h, window.h, load.tensor->shape.h);
    input.w = most(box.w, window.w, load.tensor->shape.w);
    return input;
}

std::int64_t StreamPass::place_inputs(std::vector<Box> boxes,
                                      std::vector<std::int64_t>* addresses) const {
    std::int64_t used = 0;
    for (std::size_t i = 0; i < loads_.size(); ++i) {
        used = align(used, placement_alignment);
        if (addresses != nullptr) addresses->push_back(used);
        used += tile_bytes(boxes[i], loads_[i].tensor->bytes, loads_[i].tensor->plane_bits);
    }
    return used;
}

std::int64_t StreamPass::place_outputs(const Box& box, std::vector<std::int64_t>* addresses) const {
    std::int64_t used = 0;
    for (const Result& result : results_) {
        used = align(used, placement_alignment);
        if (addresses != nullptr) addresses->push_back(used);
        used += tile_bytes(box, result.bytes, result.plane_bits);
    }
    return used;
}

std::int64_t StreamPass::bytes_of_tile(const Size& size) const {
    Box box;
    box.n = size.n;
    box.h = size.h;
    box.w = size.w;
    box.c = size.c;
    std::vector<Box> inputs;
    for (const Load& load : loads_) inputs.push_back(largest_input_box(load, box));
    return std::max(place_inputs(inputs, nullptr), place_outputs(box, nullptr));
}

bool StreamPass::fits(const Size& size) const {
    return bytes_of_tile(size) <= bank_bytes(job_.datapath.machine);
}

StreamPass::Size StreamPass::tile_size(std::int32_t channels) const {
    std::vector<std::int32_t> candidates{channels};
    const bool whole =
        std::any_of(loads_.begin(), loads_.end(), [](const Load& load) { return load.is_labels; });
    for (std::int32_t c = (channels - 1) / channel_step * channel_step; c > 0 && !whole;
         c -= channel_step)
        candidates.push_back(c);
    if (channels > least_channels && !whole) candidates.push_back(least_channels);
    const std::int64_t wanted =
        std::min<std::int64_t>(channel_step, shape_.n * shape_.h * shape_.w);
    Size best;
    std::int64_t pixels = 0;
    for (const std::int32_t c : candidates) {
        if (pixels >= wanted) break;
        const SpatialSize most = largest_size({shape_.n, shape_.h, shape_.w},
                                              [&](std::int64_t n, std::int64_t h, std::int64_t w) {
                                                  return fits({i32(n), i32(h), i32(w), c});
                                              });
        const Size size{i32(most.n), i32(most.rows), i32(most.columns), c};
        const std::int64_t found = std::int64_t{size.n} * size.h * size.w;
        if (found <= pixels) continue;
        best = size;
        pixels = found;
    }
    if (pixels == 0) {
        const std::int64_t bank = bank_bytes(job_.datapath.machine);
        throw InputError(
            "layer " + job_.layer(layer_).name + ": training needs " +
            std::to_string(bytes_of_tile({1, 1, 1, std::min(channels, least_channels)})) +
            " bytes for its smallest tile, a bank of the activation buffer has " +
            std::to_string(bank));
    }
    return best;
}

std::vector<Box> StreamPass::tiles(std::int32_t c0, std::int32_t channels) const {
    const Size size = tile_size(channels);
    std::vector<Box> boxes;
    for (std::int32_t n = 0; n < shape_.n; n += size.n)
        for (std::int32_t h = 0; h < shape_.h; h += size.h)
            for (std::int32_t w = 0; w < shape_.w; w += size.w)
                for (std::int32_t c = 0; c < channels; c += size.c) {
                    Box box;
                    box.n0 = n;
                    box.n = std::min(size.n, i32(shape_.n) - n);
                    box.h0 = h;
                    box.h = std::min(size.h, i32(shape_.h) - h);
                    box.w0 = w;
                    box.w = std::min(size.w, i32(shape_.w) - w);
                    box.c0 = c0 + c;
                    box.c = std::min(size.c, channels - c);
                    boxes.push_back(box);
                }
    return boxes;
}

StreamPass::Tile StreamPass::place(const Box& box, std::size_t turn) const {
    const std::int64_t bank = bank_bytes(job_.datapath.machine);
    Tile tile;
    tile.pass_ = this;
    tile.box_ = box;
    for (const Load& load : loads_) tile.input_boxes_.push_back(input_box(load, box));
    place_inputs(tile.input_boxes_, &tile.input_addresses_);
    place_outputs(box, &tile.output_addresses_);
    const auto bank_of_turn = static_cast<std::int64_t>(turn % 2);
    for (std::int64_t& address : tile.input_addresses_) address += bank_of_turn * bank;
    for (std::int64_t& address : tile.output_addresses_)
        address += (first_output_bank + bank_of_turn) * bank;
    return tile;
}

// ---- commands -------------------------------------------------------------------------------

void StreamPass::run(const Work& work, const End& end, const Work& begin) {
    emitter_.begin_phase(phase_);
    const std::int64_t limit = job_.datapath.machine.parameter_bytes;
    std::int64_t most = shape_.c;
    while (most > channel_step && parameter_bytes(most) > limit) {
        const std::int64_t blocks = ceil_divide(shape_.c, most) + 1;
        most = std::min(most - 1, ceil_divide(shape_.c, blocks)) / channel_step * channel_step;
    }
    most = std::max<std::int64_t>(most, std::min<std::int64_t>(shape_.c, channel_step));
    if (parameter_bytes(most) > limit)
        throw InputError("layer " + job_.layer(layer_).name + ": training needs " +
                         std::to_string(parameter_bytes(most)) +
                         " bytes of parameters for its smallest block of channels; "
                         "parameter_bytes is " +
                         std::to_string(limit));
    for (std::int64_t c0 = 0; c0 < shape_.c; c0 += most) {
        const std::int64_t c = std::min(most, shape_.c - c0);
        run_block(i32(c0), i32(c), c0 == 0, c0 + c == shape_.c, work, end, begin);
    }
}

void StreamPass::run_block(std::int32_t c0, std::int32_t channels, bool first, bool last,
                           const Work& work, const End& end, const Work& begin) {
    c0_ = c0;
    plan_parameters(channels);
    std::vector<Tile> placed;
    for (const Box& box : tiles(c0, channels)) placed.push_back(place(box, placed.size()));
    const Box all = channel_box(c0, channels);
    Tile block;
    block.pass_ = this;
    block.box_ = all;
    std::vector<Action> ending = end(block, last);
    load_tile(placed.front(), 0);
    load_parameters(all, first);
    clear(all, first);
    if (begin) {
        for (Action& action : begin(block)) {
            Command command =
                emitter_.command(Unit::vector, action.layer, 0, all, std::move(action.operands));
            wait_for_parameters(command);
            emitter_.emit(std::move(command));
        }
    }
    for (std::size_t t = 0; t < placed.size(); ++t) {
        const int number = static_cast<int>(t);
        const bool is_last = t + 1 == placed.size();
        // Ahead of the work, so that it is on its way meanwhile.
        if (!is_last) load_tile(placed[t + 1], number + 1);
        work_on(placed[t], number, work(placed[t]),
                is_last && ending.empty() && stores_parameters());
        store_tile(placed[t], number);
    }
    const int number = static_cast<int>(placed.size()) - 1;
    for (std::size_t i = 0; i < ending.size(); ++i) {
        Command command = emitter_.command(Unit::vector, ending[i].layer, number, all,
                                           std::move(ending[i].operands));
        if (i + 1 == ending.size() && stores_parameters())
            emitter_.give(command, tokens::statistics_done);
        emitter_.emit(std::move(command));
    }
    store_parameters(all, number);
    emitter_.fence(layer_);
}

bool StreamPass::stores_parameters() const {
    return std::any_of(parameters_.begin(), parameters_.end(),
                       [](const Parameter& p) { return p.to != nullptr; });
}

void StreamPass::load_parameters(const Box& channels, bool first) {
    std::vector<Command> loads;
    for (const Parameter& p : parameters_) {
        if (p.from == nullptr || (p.is_gathered && first)) continue;
        const Transfer transfer =
            p.per_channel
                ? run_transfer(*p.from, channels.c0, channels.c, Space::parameters, p.address)
                : run_transfer(*p.from, 0, 1, Space::parameters, p.address);
        loads.push_back(emitter_.command(Unit::dma_read, layer_, 0, channels, transfer));
    }
    parameters_pending_ = !loads.empty();
    if (loads.empty()) return;
    emitter_.give(loads.back(), tokens::parameters_full);
    for (Command& load : loads) emitter_.emit(std::move(load));
}

void StreamPass::clear(const Box& channels, bool first) {
    for (const Parameter& p : parameters_) {
        if (!p.is_cleared && !(p.is_gathered && first)) continue;
        const std::int64_t bytes = p.per_channel ? std::int64_t{p.bytes} * channels.c : p.bytes;
        emitter_.emit(emitter_.command(Unit::vector, layer_, 0, channels, Clear{p.address, bytes}));
    }
}

void StreamPass::load_tile(const Tile& tile, int number) {
    for (std::size_t i = 0; i < loads_.size(); ++i) {
        Command load = emitter_.command(
            Unit::dma_read, layer_, number, tile.box_,
            box_transfer(*loads_[i].tensor, tile.input_boxes_[i], tile.input_addresses_[i]));
        if (i == 0) emitter_.wait(load, tokens::tile_free);
        if (i + 1 == loads_.size()) emitter_.give(load, tokens::tile_full);
        emitter_.emit(std::move(load));
    }
}

bool StreamPass::stores() const {
    return std::any_of(results_.begin(), results_.end(),
                       [](const Result& result) { return result.to != nullptr; });
}

void StreamPass::wait_for_parameters(Command& command) {
    if (parameters_pending_) emitter_.wait(command, tokens::parameters_full);
    parameters_pending_ = false;
}

void StreamPass::work_on(const Tile& tile, int number, std::vector<Action> actions,
                         bool gives_parameters) {
    std::vector<Command> commands;
    for (Action& action : actions)
        commands.push_back(emitter_.command(Unit::vector, action.layer, number, tile.box_,
                                            std::move(action.operands)));
    Command &first = commands.front(), &last = commands.back();
    wait_for_parameters(first);
    emitter_.wait(first, tokens::tile_full);
    emitter_.give(last, tokens::tile_free);
    if (stores()) {
        emitter_.wait(first, tokens::result_free_vector);
        emitter_.give(last, tokens::result_full_vector);
    }
    if (gives_parameters) emitter_.give(last, tokens::statistics_done);
    for (Command& command : commands) emitter_.emit(std::move(command));
}

void StreamPass::store_tile(const Tile& tile, int number) {
    std::vector<Command> stores;
    for (std::size_t i = 0; i < results_.size(); ++i) {
        if (results_[i].to == nullptr) continue;
        stores.push_back(
            emitter_.command(Unit::dma_write, layer_, number, tile.box_,
                             box_transfer(*results_[i].to, tile.box_, tile.output_addresses_[i])));
    }
    if (stores.empty()) return;
    emitter_.wait(stores.front(), tokens::result_full_vector);
    emitter_.give(stores.back(), tokens::result_free_vector);
    for (Command& store : stores) emitter_.emit(std::move(store));
}

void StreamPass::store_parameters(const Box& channels, int number) {
    bool waits = true;
    for (const Parameter& p : parameters_) {
        if (p.to == nullptr) continue;
        const Transfer transfer =
            p.per_channel
                ? run_transfer(*p.to, channels.c0, channels.c, Space::parameters, p.address)
                : run_transfer(*p.to, 0, 1, Space::parameters, p.address);
        Command store = emitter_.command(Unit::dma_write, layer_, number, channels, transfer);
        if (waits) emitter_.wait(store, tokens::statistics_done);
        waits = false;
        emitter_.emit(std::move(store));
    }
}

}  // namespace wagesim::compile
