// What all passes have in common: parameters, the vector unit's work on a tile, its way to Dram.
#include <algorithm>
#include <utility>

#include "compile/lowering.h"
#include "compile/placement.h"
#include "compile/stream_pass.h"
#include "compile/windows.h"

namespace wagesim::compile {
namespace {

constexpr std::int64_t first_output_bank = 2;  ///< banks 0 and 1 hold inputs

}  // namespace

TileView dense_view(std::int64_t address, int bytes, const Format& format, const Box& box) {
    TileView view;
    view.space = Space::activations;
    view.address = address;
    view.bytes = bytes;
    view.is_signed = format.is_signed;
    view.stride_w = std::int64_t{box.c} * bytes;
    view.stride_h = view.stride_w * box.w;
    view.stride_n = view.stride_h * box.h;
    view.frac = format.frac;
    return view;
}

PassLowering::PassLowering(const Job& job, const TensorPlans& plans, const DramLayout& dram,
                           const Pass& pass, const Tiling& tiling, Emitter& emitter)
    : job_(job), plans_(plans), dram_(dram), pass_(pass), tiling_(tiling), emitter_(emitter) {}

bool PassLowering::has_operands() const {
    return std::any_of(pass_.steps.begin(), pass_.steps.end(),
                       [](const Step& step) { return step.has_operand; });
}

void PassLowering::begin_segment(const Segment& segment) {
    segment_ = &segment;
    parameters_pending_ = false;
    input_of_tile_.clear();
    std::size_t inputs = 0;
    for (const Tile& tile : segment.tiles) {
        if (tile.loads) ++inputs;
        input_of_tile_.push_back(inputs - 1);
    }
}

PassLowering::Place PassLowering::place_of(std::size_t tile) const {
    const std::int64_t bank = bank_bytes(job_.datapath.machine);
    Place place;
    place.input_base = static_cast<std::int64_t>(input_of_tile_[tile] % 2) * bank;
    place.output_base = (first_output_bank + static_cast<std::int64_t>(tile % 2)) * bank;
    place.accumulator_base =
        static_cast<std::int64_t>(tile % 2) * accumulator_rows(job_.datapath.machine);
    place.placement = compile::place(plans_, pass_, tile_at(tile));
    return place;
}

// ---- parameters ---------------------------------------------------------------------------

void PassLowering::load_bias() {
    const ParameterPlan& parameters = segment_->parameters;
    for (const ParameterVector& vector : parameters.vectors) {
        if (vector.qp.qp != Qp::bias_q) continue;
        Command load = emitter_.command(
            Unit::dma_read, vector.qp.layer, tile_number(0), channel_box(segment_->c0, segment_->c),
            run_transfer(dram_.at(vector.qp.layer, vector.qp.qp), segment_->c0, segment_->c,
                         Space::parameters, vector.address));
        emitter_.give(load, tokens::bias_full);
        emitter_.emit(std::move(load));
    }
}

void PassLowering::load_parameters() {
    std::vector<Command> loads;
    for (const ParameterVector& vector : segment_->parameters.vectors) {
        if (!vector.loaded || vector.qp.qp == Qp::bias_q) continue;
        loads.push_back(emitter_.command(
            Unit::dma_read, vector.qp.layer, tile_number(0), channel_box(segment_->c0, segment_->c),
            run_transfer(dram_.at(vector.qp.layer, vector.qp.qp), segment_->c0, segment_->c,
                         Space::parameters, vector.address)));
    }
    if (loads.empty()) return;
    emitter_.give(loads.back(), tokens::parameters_full);
    for (Command& load : loads) emitter_.emit(std::move(load));
    parameters_pending_ = true;
}

void PassLowering::wait_for_parameters(Command& command) {
    if (parameters_pending_) emitter_.wait(command, tokens::parameters_full);
    parameters_pending_ = false;
}

void PassLowering::prepare_parameters() {
    const ParameterPlan& parameters = segment_->parameters;
    const Box channels = channel_box(segment_->c0, segment_->c);
    const std::int64_t c0 = segment_->c0;
    if (gathers()) {
        Command clear = emitter_.command(
            Unit::vector, pass_.statistics.front(), tile_number(0), channels,
            Clear{parameters.statistics, std::int64_t{statistics_bytes} * segment_->c});
        if (pass_.drains()) emitter_.give(clear, tokens::statistics_clear);
        emitter_.emit(std::move(clear));
    }
    if (!job_.folded() && !job_.reciprocal()) return;
    for (const Step& step : pass_.steps) {
        const int index = step.batch_norm;
        if (index < 0 || step.kind != Step::Kind::act) continue;
        BnCoef coefficients;
        coefficients.kind = job_.folded() ? BnCoef::Kind::fold : BnCoef::Kind::inverse;
        coefficients.mu_address = parameters.address(index, Qp::mu, c0);
        coefficients.sigma_address = parameters.address(index, Qp::sigma, c0);
        coefficients.gamma_address = parameters.address(index, Qp::gamma_q, c0);
        coefficients.beta_address = parameters.address(index, Qp::beta_q, c0);
        if (job_.folded()) {
            coefficients.out_address = parameters.address(index, Qp::fold_a, c0);
            coefficients.out_b_address = parameters.address(index, Qp::fold_b, c0);
        } else {
            coefficients.out_address = parameters.address(index, Qp::inv, c0);
        }
        coefficients.mu = job_.at(index, Qp::mu);
        coefficients.sigma = job_.at(index, Qp::sigma);
        coefficients.gamma = job_.at(index, Qp::gamma_q);
        coefficients.beta = job_.at(index, Qp::beta_q);
        coefficients.fold_b = job_.at(index, Qp::fold_b);
        Command command =
            emitter_.command(Unit::vector, index, tile_number(0), channels, coefficients);
        wait_for_parameters(command);
        emitter_.emit(std::move(command));
    }
}

void PassLowering::finish_segment() {
    const Box channels = channel_box(segment_->c0, segment_->c);
    const std::int64_t c0 = segment_->c0;
    const ParameterPlan& parameters = segment_->parameters;
    const int last_tile = tile_number(tile_count() - 1);
    bool first = true;
    for (const int index : pass_.statistics) {
        const TensorPlan& tensor = plans_.output(pass_.result);
        BnStat statistics;
        statistics.count = tensor.shape.n * tensor.shape.h * tensor.shape.w;
        statistics.source_frac = tensor.format.frac;
        statistics.statistics_address = parameters.statistics;
        statistics.mu_address = parameters.address(index, Qp::mu, c0);
        statistics.sigma_address = parameters.address(index, Qp::sigma, c0);
        statistics.run_mu_address = parameters.address(index, Qp::run_mu, c0);
        statistics.run_sigma_address = parameters.address(index, Qp::run_sigma, c0);
        statistics.running_shift = job_.datapath.running_shift;
        statistics.mu = job_.at(index, Qp::mu);
        statistics.var = job_.at(index, Qp::var);
        statistics.sigma = job_.at(index, Qp::sigma);
        statistics.run_mu = job_.at(index, Qp::run_mu);
        statistics.run_sigma = job_.at(index, Qp::run_sigma);
        Command command = emitter_.command(Unit::vector, index, last_tile, channels, statistics);
        wait_for_parameters(command);
        if (first && pass_.drains()) emitter_.wait(command, tokens::statistics_full);
        first = false;
        emitter_.give(command, tokens::statistics_done);
        emitter_.emit(std::move(command));

        bool waits = true;
        for (const ParameterVector& vector : parameters.vectors) {
            if (!vector.stored || vector.qp.layer != index) continue;
            Command store =
                emitter_.command(Unit::dma_write, index, last_tile, channels,
                                 run_transfer(dram_.at(index, vector.qp.qp), segment_->c0,
                                              segment_->c, Space::parameters, vector.address));
            if (waits) emitter_.wait(store, tokens::statistics_done);
            waits = false;
            emitter_.emit(std::move(store));
        }
    }
    emitter_.fence(pass_.first_layer());
    tiles_before_ += static_cast<int>(tile_count());
}

// ---- the vector unit's work ---------------------------------------------------------------

void PassLowering::load_operands(std::size_t tile, const TokenKind* free, const TokenKind* full) {
    const Place place = place_of(tile);
    const std::int64_t base = pass_.array_layer >= 0 ? place.output_base : place.input_base;
    std::vector<Command> loads;
    for (std::size_t s = 0; s < pass_.steps.size(); ++s) {
        const Step& step = pass_.steps[s];
        if (!step.has_operand) continue;
        loads.push_back(emitter_.command(Unit::dma_read, step.layer, tile_number(tile),
                                         tile_at(tile).box,
                                         box_transfer(dram_.output(step.operand), tile_at(tile).box,
                                                      base + place.placement.operands[s])));
    }
    if (loads.empty()) return;
    if (free != nullptr) emitter_.wait(loads.front(), *free);
    if (full != nullptr) emitter_.give(loads.back(), *full);
    for (Command& load : loads) emitter_.emit(std::move(load));
}

TileView PassLowering::source_view(std::size_t tile, const Place& place) const {
    if (pass_.array_layer < 0) {
        const TensorPlan& source = plans_.output(pass_.source);
        return dense_view(place.input_base + place.placement.input, source.bytes, source.format,
                          tile_at(tile).input);
    }
    const TensorPlan& sums = plans_.output(pass_.array_layer);
    TileView view;
    view.space = Space::accumulators;
    view.address = place.accumulator_base;
    view.bytes = sums.bytes;
    view.channels_per_row = tiling_.channels_per_row;
    view.frac = sums.format.frac;
    view.qp = sums.qp;
    return view;
}

TileView PassLowering::result_view(const Step& step, std::int64_t address, const Box& box) const {
    return dense_view(address, step.bytes, step.format, box);
}

Command PassLowering::normalize_command(const Step& step, const Tile& tile, int number) const {
    const ParameterPlan& parameters = segment_->parameters;
    const int index = step.batch_norm;
    NormalizeCmd normalize;
    normalize.inverse = job_.reciprocal();
    normalize.mu_address = parameters.address(index, Qp::mu, tile.box.c0);
    normalize.sigma_address =
        parameters.address(index, job_.reciprocal() ? Qp::inv : Qp::sigma, tile.box.c0);
    normalize.mu = job_.at(index, Qp::mu);
    normalize.sigma = job_.at(index, Qp::sigma);
    normalize.xhat = job_.at(index, Qp::xhat);
    return emitter_.command(Unit::vector, index, number, tile.box, normalize);
}

Command PassLowering::act_command(const Step& step, const Tile& tile, int number) const {
    Act act;
    act.kind = step.act;
    act.clip = step.clip;
    act.quantize = step.quantize;
    act.a_qp = {step.layer, Qp::A};
    act.masks_overflow = job_.datapath.training.masks_overflow;
    if (step.quantize) act.a = job_.at(step.layer, Qp::A);
    if (step.batch_norm >= 0) {
        const int index = step.batch_norm;
        const bool folded = step.act == Act::Kind::fold;
        const Qp factor = folded ? Qp::fold_a : Qp::gamma_q;
        const Qp offset = folded ? Qp::fold_b : Qp::beta_q;
        const ParameterPlan& parameters = segment_->parameters;
        act.gamma_address = parameters.address(index, factor, tile.box.c0);
        act.beta_address = parameters.address(index, offset, tile.box.c0);
        act.gamma = job_.at(index, factor);
        act.beta = job_.at(index, offset);
        if (folded) {
            act.gamma.format.frac =
                job_.at(index, Qp::sigma).format.bits + job_.at(index, Qp::gamma_q).format.frac;
        } else {
            act.x = plans_.formats(index).x2;
            act.x_qp = {index, Qp::x2};
            act.show_x = true;
        }
    }
    return emitter_.command(Unit::vector, step.layer, number, tile.box, act);
}

Command PassLowering::add_command(const Step& step, const Tile& tile, int number,
                                  const TileView& source, std::int64_t operand_address) const {
    const TensorPlan& operand = plans_.output(step.operand);
    Add add;
    add.a = source;
    add.b = dense_view(operand_address, operand.bytes, operand.format, tile.box);
    add.stream = plans_.formats(step.layer).stream;
    add.stream_qp = {step.layer, Qp::stream};
    add.quantize = step.quantize;
    add.a_qp = {step.layer, Qp::A};
    if (step.quantize) add.a_quantizer = job_.at(step.layer, Qp::A);
    return emitter_.command(Unit::vector, step.layer, number, tile.box, add);
}

Command PassLowering::pool_command(const Step& step, const Tile& tile, int number,
                                   bool from_memory) const {
    const Layer& layer = job_.layer(step.layer);
    const Window window = window_of(layer);
    const Box& origin = from_memory ? tile.input : tile.box;
    Pool pool;
    pool.average = layer.type != LayerType::max_pool;
    pool.kernel_h = window.h.kernel;
    pool.kernel_w = window.w.kernel;
    pool.stride_y = window.h.stride;
    pool.stride_x = window.w.stride;
    pool.padding_h = window.h.padding;
    pool.padding_w = window.w.padding;
    if (layer.type == LayerType::global_avg_pool) {
        pool.stride_y = window.h.kernel;
        pool.stride_x = window.w.kernel;
    }
    pool.h0 = origin.h0;
    pool.w0 = origin.w0;
    pool.image_h = i32(layer.in_shape.h);
    pool.image_w = i32(layer.in_shape.w);
    if (pool.average)
        pool.quantizer = job_.at(step.layer, Qp::A);
    else
        pool.quantizer.format = step.format;
    pool.qp = step.result;
    return emitter_.command(Unit::vector, step.layer, number, from_memory ? tile.box : tile.out,
                            pool);
}

Command PassLowering::step_command(std::size_t tile, std::size_t s, const TileView& source,
                                   const TileView& destination, const Place& place) const {
    const Step& step = pass_.steps[s];
    const Tile& t = tile_at(tile);
    const int number = tile_number(tile);
    switch (step.kind) {
        case Step::Kind::normalize: {
            Command command = normalize_command(step, t, number);
            auto& operands = std::get<NormalizeCmd>(command.operands);
            operands.source = source;
            operands.destination = destination;
            return command;
        }
        case Step::Kind::act: {
            Command command = act_command(step, t, number);
            auto& operands = std::get<Act>(command.operands);
            operands.source = source;
            operands.destination = destination;
            if (step.plane_bits > 0)
                operands.mask =
                    dense_plane(place.output_base + place.placement.planes[s], 1, t.box);
            return command;
        }
        case Step::Kind::add: {
            const std::int64_t base = pass_.array_layer >= 0 ? place.output_base : place.input_base;
            Command command =
                add_command(step, t, number, source, base + place.placement.operands[s]);
            std::get<Add>(command.operands).destination = destination;
            return command;
        }
        case Step::Kind::pool:
            break;
    }
    Command command = pool_command(step, t, number, s == 0 && pass_.pools_from_memory);
    auto& operands = std::get<Pool>(command.operands);
    operands.source = source;
    operands.destination = destination;
    if (step.plane_bits > 0)
        operands.index = dense_plane(place.output_base + place.placement.planes[s], step.plane_bits,
                                     command.box);
    return command;
}

void PassLowering::work_on_tile(std::size_t tile) {
    if (pass_.drains()) {
        drain_tile(tile);
        return;
    }
    const Place place = place_of(tile);
    const Tile& t = tile_at(tile);
    const bool from_array = pass_.array_layer >= 0;
    std::vector<Command> commands;
    std::size_t last_reader = 0;  // of what was loaded, where tiles come from Dram
    TileView view = source_view(tile, place);
    for (std::size_t s = 0; s < pass_.steps.size(); ++s) {
        const bool pooled = pass_.pools_last && s + 1 == pass_.steps.size();
        const TileView destination = result_view(
            pass_.steps[s], place.output_base + place.placement.results[s], pooled ? t.out : t.box);
        commands.push_back(step_command(tile, s, view, destination, place));
        if (pass_.steps[s].has_operand) last_reader = s;
        view = destination;
    }
    if (gathers()) {
        Gather gather;
        gather.source = view;
        gather.statistics_address =
            segment_->parameters.statistics + statistics_bytes * (t.out.c0 - segment_->c0);
        commands.push_back(emitter_.command(Unit::vector, pass_.statistics.front(),
                                            tile_number(tile), t.out, gather));
    }

    Command& first = commands.front();
    wait_for_parameters(first);
    emitter_.wait(first, from_array ? tokens::sums_full_vector : tokens::tile_full);
    if (from_array) {
        emitter_.give(first, tokens::sums_free_vector);
        // The operands lie in the output bank: who waits for them has the bank.
        emitter_.wait(first, has_operands() ? tokens::operand_full : tokens::result_free_vector);
    } else {
        emitter_.give(commands[last_reader], tokens::tile_free);
        if (pass_.stores) emitter_.wait(first, tokens::result_free_vector);
    }
    if (pass_.stores) emitter_.give(commands.back(), tokens::result_full_vector);
    for (Command& command : commands) emitter_.emit(std::move(command));
}

void PassLowering::drain_tile(std::size_t tile) {
    const Place place = place_of(tile);
    const Tile& t = tile_at(tile);
    const TensorPlan& sums = plans_.output(pass_.array_layer);
    Drain drain;
    drain.source = source_view(tile, place);
    drain.destination =
        dense_view(place.output_base + place.placement.drained, sums.bytes, sums.format, t.box);
    if (gathers())
        drain.statistics_address =
            segment_->parameters.statistics + statistics_bytes * (t.box.c0 - segment_->c0);
    Command command =
        emitter_.command(Unit::drain, pass_.array_layer, tile_number(tile), t.box, drain);
    emitter_.wait(command, tokens::sums_full_drain);
    emitter_.wait(command, tokens::result_free_drain);
    if (gathers() && tile == 0) emitter_.wait(command, tokens::statistics_clear);
    emitter_.give(command, tokens::sums_free_drain);
    emitter_.give(command, tokens::result_full_drain);
    if (gathers() && tile + 1 == tile_count()) emitter_.give(command, tokens::statistics_full);
    emitter_.emit(std::move(command));
}

/// What is made for the next layers, and what is kept for the backward pass.
void PassLowering::store_tile(std::size_t tile) {
    if (!pass_.stores) return;
    const Place place = place_of(tile);
    const Tile& t = tile_at(tile);
    std::vector<Command> stores;
    const auto store = [&](int layer, const DramTensor& tensor, const Box& box,
                           std::int64_t address) {
        stores.push_back(emitter_.command(Unit::dma_write, layer, tile_number(tile), box,
                                          box_transfer(tensor, box, place.output_base + address)));
    };
    for (std::size_t s = 0; s < pass_.steps.size(); ++s) {
        const Step& step = pass_.steps[s];
        const Box& box = pass_.pools_last && s + 1 == pass_.steps.size() ? t.out : t.box;
        if (step.keeps_result)
            store(step.layer, dram_.at(step.result.layer, step.result.qp), box,
                  place.placement.results[s]);
        if (step.plane_bits > 0)
            store(step.layer, dram_.at(step.plane.layer, step.plane.qp, step.plane_role), box,
                  place.placement.planes[s]);
    }
    store(pass_.result, dram_.output(pass_.result), t.out,
          pass_.drains() ? place.placement.drained : place.placement.results.back());
    if (pass_.drains()) {
        emitter_.wait(stores.front(), tokens::result_full_drain);
        emitter_.give(stores.back(), tokens::result_free_drain);
    } else {
        emitter_.wait(stores.front(), tokens::result_full_vector);
        const bool operands_first = pass_.array_layer >= 0 && has_operands();
        emitter_.give(stores.back(),
                      operands_first ? tokens::operand_free : tokens::result_free_vector);
    }
    for (Command& command : stores) emitter_.emit(std::move(command));
}

}  // namespace wagesim::compile
