// The prologue: masters and running statistics -> the codes that the forward pass uses.
#include <algorithm>
#include <string>
#include <utility>

#include "compile/lowering.h"
#include "wagesim/error.h"

namespace wagesim::compile {
namespace {

/// One parameter tensor to quantise.
struct Quantisation {
    int layer = 0;
    Qp from = Qp::W, to = Qp::Wq;
    Quantizer quantizer;
};

std::vector<Quantisation> quantisations(const Job& job, const TensorPlans& plans) {
    std::vector<Quantisation> found;
    const auto add = [&](int layer, Qp from, Qp to) {
        found.push_back({layer, from, to, job.at(layer, to)});
    };
    for (int i = 0; i < job.layer_count(); ++i) {
        const Layer& layer = job.layer(i);
        if (is_array_layer(layer)) {
            add(i, Qp::W, Qp::Wq);
            if (layer.bias) {
                add(i, Qp::bias, Qp::bias_q);
                found.back().quantizer = plans.formats(i).bias_q;
            }
        } else if (layer.type == LayerType::batch_norm) {
            add(i, Qp::gamma, Qp::gamma_q);
            add(i, Qp::beta, Qp::beta_q);
            if (job.batch_norm == BatchNorm::running) {
                add(i, Qp::run_mu, Qp::mu);
                add(i, Qp::run_sigma, Qp::sigma);
            }
        }
    }
    return found;
}

}  // namespace

void lower_prologue(const Job& job, const TensorPlans& plans, const DramLayout& dram,
                    Emitter& emitter) {
    constexpr std::int64_t lanes = 16;  // whole groups of weights, while there are enough
    const std::int64_t bank = bank_bytes(job.datapath.machine);
    const std::vector<Quantisation> all = quantisations(job, plans);
    if (all.empty()) return;
    emitter.begin_phase(Phase::prepare);
    std::int64_t turn = 0;
    for (const Quantisation& quantisation : all) {
        const DramTensor& from = dram.at(quantisation.layer, quantisation.from);
        const DramTensor& to = dram.at(quantisation.layer, quantisation.to);
        std::int64_t most = bank / std::max(from.bytes, to.bytes);
        if (most > lanes) most = most / lanes * lanes;
        if (most == 0)
            throw InputError("layer " + job.layer(quantisation.layer).name + ": needs " +
                             std::to_string(std::max(from.bytes, to.bytes)) +
                             " bytes for one parameter, a bank of the activation buffer has " +
                             std::to_string(bank));
        const std::int64_t size = from.shape.size();
        for (std::int64_t first = 0; first < size; first += most, ++turn) {
            const std::int64_t count = std::min(most, size - first);
            const Box box = channel_box(first, count);
            const int tile = static_cast<int>(first / most);

            Command load = emitter.command(
                Unit::dma_read, quantisation.layer, tile, box,
                run_transfer(from, first, count, Space::activations, turn % 2 * bank));
            emitter.wait(load, tokens::masters_free);
            emitter.give(load, tokens::masters_full);

            QuantizeCmd quantize;
            quantize.source_address = turn % 2 * bank;
            quantize.destination_address = (2 + turn % 2) * bank;
            quantize.source_bytes = from.bytes;
            quantize.source_frac = from.format.frac;
            quantize.source_signed = from.format.is_signed;
            quantize.destination_bytes = to.bytes;
            quantize.count = count;
            quantize.quantizer = quantisation.quantizer;
            quantize.qp = to.qp;
            quantize.first = first;
            Command work = emitter.command(Unit::update, quantisation.layer, tile, box, quantize);
            emitter.wait(work, tokens::masters_full);
            emitter.wait(work, tokens::codes_free);
            emitter.give(work, tokens::masters_free);
            emitter.give(work, tokens::codes_full);

            Command store = emitter.command(
                Unit::dma_write, quantisation.layer, tile, box,
                run_transfer(to, first, count, Space::activations, quantize.destination_address));
            emitter.wait(store, tokens::codes_full);
            emitter.give(store, tokens::codes_free);

            emitter.emit(std::move(load));
            emitter.emit(std::move(work));
            emitter.emit(std::move(store));
        }
    }
    emitter.fence(-1);
    emitter.begin_phase(Phase::forward);
}

}  // namespace wagesim::compile
