// The update: momentum, master weights, and the codes of the next step's forward pass.
#include <algorithm>
#include <string>
#include <utility>

#include "compile/backward.h"
#include "compile/placement.h"
#include "compile/tiling.h"
#include "wagesim/error.h"

namespace wagesim::compile {
namespace {

constexpr std::int64_t lanes = 16;  // whole groups of weights, while there are enough

}  // namespace

/// gW and the masters times 2^d meet like errors.
void BackwardLowering::lower_decay(int layer) {
    const DramTensor &gradient = at({layer, Qp::gW}), &master = at({layer, Qp::W});
    const QpId qp{layer, Qp::G};
    StreamPass pass(job_, emitter_, Phase::update, layer, gradient.shape);
    const int gradients = pass.load(gradient), masters = pass.load(master);
    const int unit = pass.loaded_scale(at(gradient.qp, Role::scale));
    const int sum = pass.result(8, &at(qp));
    const int scale = pass.gathered_scale(at(qp, Role::scale));
    const auto gradient_unit = [&](const StreamPass::Tile& tile) {
        return Exponent::Operand{{tile.scale(unit), false, 0, 0}, gradient.format.bits, -1};
    };
    const Exponent::Operand master_unit{
        {-1, false, master.format.frac, *job_.datapath.training.weight_decay_log2},
        master.format.bits,
        -1};
    pass.run(
        [&](const StreamPass::Tile& tile) -> Actions {
            Fork fork;
            fork.operands.push_back({gradient_unit(tile), tile.input(gradients, scaled_codes)});
            fork.operands.push_back({master_unit, tile.input(masters, master.format)});
            fork.destination = tile.output(sum, scaled_codes);
            fork.largest_address = tile.scale(scale);
            return {{layer, fork}};
        },
        [&](const StreamPass::Tile& block, bool last) -> Actions {
            if (!last) return {};
            Exponent exponent;
            exponent.scale_address = block.scale(scale);
            exponent.is_fork = true;
            exponent.operands = {gradient_unit(block), master_unit};
            return {{layer, exponent}};
        });
}

void BackwardLowering::lower_update(int layer, const Parameters& parameters) {
    emitter_.begin_phase(Phase::update);
    const auto find = [&](Qp qp) -> const DramTensor& { return at({layer, qp}); };
    const bool of_weights = parameters.gradient == Qp::gW;
    const bool decays = of_weights && job_.datapath.training.weight_decay_log2.has_value();
    const QpId gradient_qp{layer, decays ? Qp::G : parameters.gradient};
    const DramTensor& gradient = at(gradient_qp);
    const DramTensor &accq = find(parameters.accq), &master = find(parameters.master);
    const DramTensor& quantized = find(parameters.quantized);

    Update common;
    common.constant = of_weights;
    common.gradient_bytes = gradient.bytes;
    common.accumulator_bytes = accq.bytes;
    common.master_bytes = master.bytes;
    common.quantized_bytes = quantized.bytes;
    common.gradient_frac = gradient.format.frac;
    common.stream_op = 16 * static_cast<std::uint32_t>(layer);
    common.momentum_quarter = job_.datapath.training.momentum_quarter;
    common.lfsr = job_.datapath.training.random_source == RandomSource::lfsr;
    if (of_weights) {
        common.g = job_.at(layer, Qp::G);
        common.g_qp = {layer, Qp::G};
        common.scale.address = 0;
    }
    common.acc = job_.at(layer, parameters.acc);
    common.accq = job_.at(layer, parameters.accq);
    common.master = job_.at(layer, parameters.master);
    common.quantized = job_.at(layer, parameters.quantized);
    common.quantized.format = quantized.format;
    common.acc_qp = {layer, parameters.acc};
    common.accq_qp = {layer, parameters.accq};
    common.master_qp = {layer, parameters.master};
    common.quantized_qp = {layer, parameters.quantized};

    // All in one bank; Accq and the masters are changed where they lie.
    const std::int64_t bank = bank_bytes(job_.datapath.machine);
    const std::int64_t size = gradient.shape.size();
    struct Places {
        std::int64_t accq, master, quantized, end;
    };
    const auto places_of = [&](std::int64_t count) {
        Places places{};
        places.accq = align(count * gradient.bytes);
        places.master = align(places.accq + count * accq.bytes);
        places.quantized = align(places.master + count * master.bytes);
        places.end = places.quantized + count * quantized.bytes;
        return places;
    };
    std::int64_t most = std::min(size, bank);
    while (most > 1 && places_of(most).end > bank) most -= std::min(most - 1, lanes);
    if (most > lanes) most = most / lanes * lanes;
    if (places_of(most).end > bank)
        throw InputError("layer " + job_.layer(layer).name + ": training needs " +
                         std::to_string(places_of(1).end) +
                         " bytes for the update of one parameter, a bank of the activation buffer "
                         "has " +
                         std::to_string(bank));
    std::int64_t turn = 0;
    for (std::int64_t first = 0; first < size; first += most, ++turn) {
        const std::int64_t count = std::min(most, size - first);
        const Box box = channel_box(first, count);
        const int number = static_cast<int>(turn);
        const std::int64_t base = turn % 2 * bank;
        const Places places = places_of(count);
        std::vector<Command> loads, stores;
        const auto load = [&](const DramTensor& tensor, std::int64_t place) {
            loads.push_back(emitter_.command(
                Unit::dma_read, layer, number, box,
                run_transfer(tensor, first, count, Space::activations, base + place)));
        };
        const auto store = [&](const DramTensor& tensor, std::int64_t place) {
            stores.push_back(emitter_.command(
                Unit::dma_write, layer, number, box,
                run_transfer(tensor, first, count, Space::activations, base + place)));
        };
        load(gradient, 0);
        load(accq, places.accq);
        load(master, places.master);
        store(accq, places.accq);
        store(master, places.master);
        store(quantized, places.quantized);
        emitter_.wait(loads.front(), tokens::masters_free_stored);
        emitter_.give(loads.back(), tokens::masters_full);
        emitter_.wait(stores.front(), tokens::codes_full);
        emitter_.give(stores.back(), tokens::masters_free_stored);

        Update update = common;
        update.count = count;
        update.first = first;
        update.gradient_address = base;
        update.accumulator_address = base + places.accq;
        update.master_address = base + places.master;
        update.quantized_address = base + places.quantized;
        Command work = emitter_.command(Unit::update, layer, number, box, update);
        emitter_.wait(work, tokens::masters_full);
        emitter_.give(work, tokens::codes_full);

        if (turn == 0 && of_weights)
            emitter_.emit(emitter_.command(
                Unit::dma_read, layer, 0, channel_box(0, 1),
                run_transfer(at(gradient_qp, Role::scale), 0, 1, Space::parameters, 0)));
        for (Command& command : loads) emitter_.emit(std::move(command));
        emitter_.emit(std::move(work));
        for (Command& command : stores) emitter_.emit(std::move(command));
    }
    emitter_.fence(layer);
}

}  // namespace wagesim::compile
